use std::{io::Write, net::SocketAddr};

use super::*;

#[derive(Debug, Args)]
struct Config {
    #[arg(long, default_value = "127.0.0.1:1")]
    listen: SocketAddr,
    #[arg(long)]
    worker: Vec<String>,
    #[arg(long)]
    shared: bool,
    #[arg(long)]
    manifest: PathBuf,
    #[arg(long, default_value_t = 7)]
    count: u32,
    // Variables that cargo sets for every test, because a test cannot set its own.
    #[arg(long, env = "CARGO_PKG_NAME")]
    from_environment: Option<String>,
}

#[derive(Debug, Args)]
struct Wrong {
    #[arg(long, env = "CARGO_PKG_NAME")]
    number: Option<u32>,
    #[arg(long)]
    listen: Option<SocketAddr>,
    #[arg(long)]
    count: Option<u32>,
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn parse<C: Args>(
    config: Option<&tempfile::NamedTempFile>,
    flags: &[&str],
) -> Result<(Common, C), ConfigError> {
    let mut arguments: Vec<OsString> = vec!["test".into()];
    arguments.extend(flags.iter().map(Into::into));
    if let Some(config) = config {
        arguments.extend(["--config".into(), config.path().into()]);
    }
    layered("test", "A test.", &arguments)
}

fn faults<C: Args + std::fmt::Debug>(
    config: Option<&tempfile::NamedTempFile>,
    flags: &[&str],
) -> Vec<String> {
    match parse::<C>(config, flags) {
        Err(ConfigError::Faults(faults)) => faults.0,
        other => panic!("expected faults, got {other:?}"),
    }
}

#[test]
fn flag_over_environment_over_file_over_default() {
    let file = file(
        "listen = '127.0.0.1:2'\nworker = ['a', 'b']\nshared = true\nmanifest = 'm'\nfrom-environment = 'file'\n\
         log-level = 'warn'\nlog-format = 'json'",
    );
    let (common, config) = parse::<Config>(Some(&file), &["--listen", "127.0.0.1:3"]).unwrap();
    assert_eq!(config.listen.port(), 3, "flag over file");
    assert_eq!(config.from_environment.as_deref(), Some("privatemode-service"), "environment over file");
    assert_eq!(config.worker, ["a", "b"], "file over default");
    assert!(config.shared, "a switch from the file");
    assert_eq!(config.manifest, PathBuf::from("m"), "a required setting from the file");
    assert_eq!(config.count, 7, "default");
    assert_eq!((common.log_level.to_string().as_str(), common.log_format), ("warn", LogFormat::Json));

    let (_, config) = parse::<Config>(Some(&file), &["--from-environment", "flag", "--worker", "c"]).unwrap();
    assert_eq!(config.from_environment.as_deref(), Some("flag"), "flag over environment");
    assert_eq!(config.worker, ["c"], "a list is replaced as a whole");
}

#[test]
fn unknown_keys_are_all_named_with_what_was_meant() {
    let file = file("manifest = 'm'\nlisen = 'x'\nWorkers = []\nqqq = 1\nconfig = 'other'");
    let text = faults::<Config>(Some(&file), &[]).join("\n");
    assert!(text.contains("unknown key `lisen`; did you mean `listen`?"), "{text}");
    assert!(text.contains("unknown key `Workers`; did you mean `worker`?"), "{text}");
    assert!(text.ends_with("unknown key `qqq`"), "{text}");
    assert!(text.contains("unknown key `config`"), "a file cannot name another: {text}");
}

#[test]
fn all_faults_of_all_layers_at_once() {
    let file = file("listen = 'nowhere'\ncount = -1\nlog-level = ['a', 'b']\nnested = { a = 1 }");
    let faults = faults::<Wrong>(Some(&file), &["--log-format", "xml"]);
    let text = faults.join("\n");
    assert!(text.contains("`listen`: invalid value 'nowhere'"), "{text}");
    assert!(text.contains("`count`: invalid value '-1'"), "{text}");
    assert!(text.contains("`log-level` takes one value, not a list"), "{text}");
    assert!(text.contains("unknown key `nested`"), "{text}");
    assert!(
        text.contains("environment variable CARGO_PKG_NAME: invalid value 'privatemode-service'"),
        "{text}"
    );
    assert!(text.contains("invalid value 'xml' for '--log-format"), "{text}");
    assert_eq!(faults.len(), 6, "{text}");
}

#[test]
fn a_missing_setting_and_an_unknown_flag_are_named() {
    let text = faults::<Config>(None, &[]).join("\n");
    assert!(text.contains("--manifest <MANIFEST>"), "{text}");
    let text = faults::<Config>(None, &["--manifest", "m", "--lisen", "x"]).join("\n");
    assert!(text.contains("--lisen") && text.contains("--listen"), "{text}");
}

#[test]
fn a_file_that_is_missing_or_broken() {
    let text = faults::<Config>(None, &["--config", "/nowhere/at/all.toml"]).join("\n");
    assert!(text.contains("cannot read the configuration file `/nowhere/at/all.toml`: "), "{text}");
    assert!(!text.contains("--manifest"), "the file might have had it: {text}");
    let broken = file("listen = ");
    let text = faults::<Config>(Some(&broken), &[]).join("\n");
    assert!(text.contains("is not valid TOML"), "{text}");
}

#[test]
fn help_comes_even_with_a_broken_file() {
    let broken = file("listen = ");
    for flag in ["--help", "-h", "--version"] {
        let answer = parse::<Config>(Some(&broken), &[flag]).unwrap_err();
        assert!(matches!(answer, ConfigError::Answer(_)), "{answer:?}");
    }
    let Err(ConfigError::Answer(help)) = parse::<Config>(None, &["--help"]) else { panic!() };
    assert!(help.contains("PRIVATEMODE_TEST_LISTEN"), "{help}");
    assert!(!help.contains("privatemode-service"), "values of variables may be secrets: {help}");
    assert!(!help.contains("announce"), "{help}");
}

#[test]
fn levels_with_a_sign() {
    let (common, _) = parse::<Config>(None, &["-l", "-4", "--manifest", "m"]).unwrap();
    assert_eq!(common.log_level.to_string(), "debug");
}

#[test]
fn an_embedded_configuration_has_arguments_only() {
    let config: Config = parse_config("test", ["--manifest", "m", "--shared"]).unwrap();
    assert!(config.shared);
    assert_eq!(config.from_environment, None);
}

#[test]
fn faults_print_as_a_list() {
    let mut faults = Faults::new();
    assert!(Faults::new().into_result().is_ok());
    faults.add("one");
    assert_eq!(faults.to_string(), "wrong configuration: one");
    faults.add("two");
    faults.add("one");
    assert_eq!(faults.check("x".parse::<u8>()), None);
    assert_eq!(faults.list().len(), 3);
    assert!(faults.to_string().starts_with("wrong configuration, 3 faults:\n  - one\n  - two\n  - "));
}
