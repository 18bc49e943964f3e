//! The settings of the process in all their layers: flags, environment variables, the configuration file.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::io::Write as _;
use std::process::Command;

/// Runs the proxy, which cannot start with any of these settings; what it says of them, and its exit code.
fn refusal(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> (String, Option<i32>) {
    let mut config = tempfile::NamedTempFile::new().unwrap();
    config.write_all(file.as_bytes()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_privatemode-proxy"));
    // A setting of the developer's shell must not change what is tested.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PRIVATEMODE"))
    {
        command.env_remove(name);
    }
    let workspace = tempfile::tempdir().unwrap();
    command.arg("--workspace").arg(workspace.path()).arg("--config").arg(config.path()).args(flags);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
}

#[track_caller]
fn says(file: &str, variables: &[(&str, &str)], flags: &[&str], parts: &[&str]) {
    let (text, code) = refusal(file, variables, flags);
    assert!(code.is_some_and(|code| code != 0), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
}

const RECEIPTS: &str = "only sealed bodies have receipts";
const PADDED: &str = "only sealed bodies are padded";

#[test]
fn contradictions_are_found_across_the_layers() {
    says("protocol = \"compatible\"\nreceipts = \"r\"\n", &[], &[], &[RECEIPTS]);
    says("protocol = \"compatible\"\n", &[("PRIVATEMODE_PROXY_RECEIPTS", "r")], &[], &[RECEIPTS]);
    says("receipts = \"r\"\n", &[("PRIVATEMODE_PROXY_PROTOCOL", "compatible")], &[], &[RECEIPTS]);
    says("padding = \"constant\"\n", &[], &["--protocol", "compatible"], &[PADDED]);
    says("", &[("PRIVATEMODE_PROXY_PADDING", "constant/512/20")], &["--protocol=compatible"], &[PADDED]);
    let both = "protocol = \"compatible\"\npadding = \"constant\"\nreceipts = \"r\"\n";
    says(both, &[], &[], &[RECEIPTS, PADDED]);
}

#[test]
fn a_nearer_layer_wins() {
    // The variable takes back what the file says, and the flag what the variable says: only the other fault is left.
    let contradiction = "protocol = \"compatible\"\nreceipts = \"r\"\ntlsCertPath = \"c.pem\"\n";
    for (variables, flags) in [
        (&[("PRIVATEMODE_PROXY_PROTOCOL", "sealed")][..], &[][..]),
        (&[("PRIVATEMODE_PROXY_PROTOCOL", "compatible")], &["--protocol", "auto"]),
    ] {
        let (text, code) = refusal(contradiction, variables, flags);
        assert!(code.is_some_and(|code| code != 0), "{text}");
        assert!(
            text.contains("--tlsCertPath is set without --tlsKeyPath") && !text.contains(RECEIPTS),
            "{text}"
        );
    }
}

#[test]
fn a_wrong_value_is_named_with_its_place() {
    let variables = [("PRIVATEMODE_PROXY_PROTOCOL", "fields"), ("PRIVATEMODE_PROXY_PADDING", "constant/1/1")];
    says(
        "",
        &variables,
        &[],
        &[
            "PRIVATEMODE_PROXY_PROTOCOL",
            "the protocol is `auto`, `sealed` or `compatible`",
            "PRIVATEMODE_PROXY_PADDING",
            "records have 256 to 65536 bytes",
        ],
    );
    says("padding = \"wide\"\n", &[], &[], &["`padding`", "padding is `off`, `bucket`"]);
    says("protocols = \"sealed\"\n", &[], &[], &["unknown key `protocols`"]);
    says("receipts = [\"a\", \"b\"]\n", &[], &[], &["`receipts` takes one value"]);
}
