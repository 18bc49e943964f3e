//! Configuration of a process from four layers: flag, environment variable, TOML file, default; the first one that has
//! a value wins. One `clap` struct describes all four: flag `--secret-ttl` of the process `gateway` is the variable
//! `PRIVATEMODE_GATEWAY_SECRET_TTL` (unless the struct names another) and the file's key `secret-ttl`.
//!
//! All faults are reported at once. Does not know what the settings mean: a process checks what hangs together itself
//! and collects what it finds in [`Faults`].

mod file;
mod names;

use std::{ffi::OsString, fmt, path::PathBuf};

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, builder::BoolishValueParser, error::ErrorKind,
};

use self::file::FileValues;
use crate::{LogFormat, LogLevel, process::version};

/// The exit code of a process that was started wrongly.
const USAGE: u8 = 2;

/// The settings that every process has.
#[derive(Clone, Debug, Default, Args)]
pub struct Common {
    /// TOML file with further settings; its keys are the names of the flags.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What is logged: debug, info, warn, error, or a number (-4 debug, 0 info, 4 warn, 8 error).
    #[arg(long, short = 'l', value_name = "LEVEL", default_value_t, allow_hyphen_values = true)]
    pub log_level: LogLevel,
    /// How log lines look.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Print the addresses as one line of JSON, and end when standard input does.
    #[arg(long, hide = true)]
    pub announce: bool,
}

/// Everything that is wrong with a configuration, collected before anything is reported. As an error it makes
/// [`crate::run_main`] exit with 2.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<String>);

impl Faults {
    /// No fault yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one: what is wrong and what to do.
    pub fn add(&mut self, fault: impl Into<String>) {
        let fault = fault.into();
        if !self.0.contains(&fault) {
            self.0.push(fault);
        }
    }

    /// Keeps the value, or the error as a fault.
    pub fn check<T, E: fmt::Display>(&mut self, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(error.to_string())).ok()
    }

    /// Adds those of another one.
    pub fn append(&mut self, other: Self) {
        other.0.into_iter().for_each(|fault| self.add(fault));
    }

    /// What was collected.
    #[must_use]
    pub fn list(&self) -> &[String] {
        &self.0
    }

    /// An error if there is any.
    ///
    /// # Errors
    /// Itself, unless it is empty.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [fault] = self.0.as_slice() {
            return write!(formatter, "wrong configuration: {fault}");
        }
        write!(formatter, "wrong configuration, {} faults:", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(formatter, "\n  - {fault}"))
    }
}

impl std::error::Error for Faults {}

/// Why no configuration came out.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Something is wrong with it.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// Help or the version was asked for: this text answers it.
    #[error("{0}")]
    Answer(String),
}

/// What came out of the command line, the environment and the file.
pub(crate) enum Parsed<C> {
    Run { common: Common, config: C },
    Exit { text: String, code: u8 },
}

/// The configuration of a process from arguments alone (without the program's name): no environment, no file. For a
/// process that starts others inside itself.
///
/// # Errors
/// [`ConfigError`], with all that is wrong.
pub fn parse_config<C: Args>(
    name: &'static str,
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<C, ConfigError> {
    let command = command::<C>(name, "").mut_args(|arg| arg.env(None::<&'static str>));
    let arguments: Vec<_> =
        std::iter::once(name.into()).chain(arguments.into_iter().map(Into::into)).collect();
    let matches = matches_of(command, &arguments, Faults::new())?;
    from_matches(&matches).map(|(_, config)| config)
}

/// All layers. `arguments` begin with the program's name.
pub(crate) fn parse_process<C: Args>(
    name: &'static str,
    about: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
) -> Parsed<C> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    match layered::<C>(name, about, &arguments) {
        Ok((common, config)) => Parsed::Run { common, config },
        Err(ConfigError::Answer(text)) => Parsed::Exit { text, code: 0 },
        Err(ConfigError::Faults(faults)) => {
            let text = format!("error: {faults}\n\nFor all settings, try `--help`.\n");
            Parsed::Exit { text, code: USAGE }
        }
    }
}

fn layered<C: Args>(
    name: &'static str,
    about: &'static str,
    arguments: &[OsString],
) -> Result<(Common, C), ConfigError> {
    let command = command::<C>(name, about).mut_args(|arg| with_variable(name, arg));
    let mut faults = Faults::new();
    // Help has to come even where the file is broken: it says how to repair it.
    let command = match config_path(name, arguments) {
        Some(path) if !asks_for_help(arguments) => match file::read(&path) {
            Ok(values) => with_file(command, &path.display().to_string(), &values, &mut faults),
            Err(error) => {
                faults.add(crate::Chain(&error).to_string());
                // What the file might have set is not missing.
                command.mut_args(|arg| arg.required(false))
            }
        },
        _ => command,
    };
    variable_faults(&command, &mut faults);
    from_matches(&matches_of(command, arguments, faults)?)
}

fn command<C: Args>(name: &'static str, about: &'static str) -> Command {
    C::augment_args(Common::augment_args(Command::new(name))).about(about).version(version()).mut_args(
        |arg| match arg.get_action() {
            ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()),
            _ => arg,
        },
    )
}

/// Gives an argument its environment variable, unless it has one, and keeps the values out of `--help`: some are secrets.
fn with_variable(name: &'static str, arg: Arg) -> Arg {
    let Some(long) = arg.get_long() else { return arg };
    let variable = names::variable(name, long);
    let arg = if arg.get_env().is_none() { arg.env(variable) } else { arg };
    arg.hide_env_values(true)
}

/// Finds `--config` before the rest can be parsed: what the file has, the command line need not have, and faults of both
/// are reported together.
fn config_path(process: &str, arguments: &[OsString]) -> Option<PathBuf> {
    let mut rest = arguments.iter().skip(1).take_while(|argument| *argument != "--");
    while let Some(argument) = rest.next() {
        if argument == "--config" {
            return rest.next().map(PathBuf::from);
        }
        if let Some(path) = argument.to_str().and_then(|text| text.strip_prefix("--config=")) {
            return Some(path.into());
        }
    }
    std::env::var_os(names::variable(process, "config")).map(PathBuf::from)
}

fn asks_for_help(arguments: &[OsString]) -> bool {
    arguments.iter().any(|argument| ["--help", "-h", "--version", "-V"].iter().any(|help| argument == help))
}

/// The file's values become defaults; what cannot be one is a fault.
fn with_file(command: Command, path: &str, values: &FileValues, faults: &mut Faults) -> Command {
    let known: Vec<String> = command
        .get_arguments()
        .filter_map(|arg| arg.get_long())
        .filter(|long| !matches!(*long, "help" | "version" | "config"))
        .map(str::to_owned)
        .collect();
    for key in values.keys().filter(|key| !known.contains(key)) {
        faults.add(format!("{path}: unknown key `{key}`{}", names::suggestion(key, &known)));
    }
    command.mut_args(|arg| {
        let value = arg.get_long().filter(|long| *long != "config").and_then(|long| values.get(long));
        let Some(value) = value else { return arg };
        let arg = arg.required(false);
        let long = arg.get_long().unwrap_or_default();
        let texts = match value {
            Ok(texts) => texts,
            Err(what) => {
                faults.add(format!("{path}: `{long}`: {what}"));
                return arg;
            }
        };
        let several = matches!(arg.get_action(), ArgAction::Append)
            || arg.get_num_args().is_some_and(|range| range.max_values() > 1);
        if texts.len() != 1 && !several {
            faults.add(format!("{path}: `{long}` takes one value, not a list"));
            return arg;
        }
        if let Err(what) = accepts(&arg, texts) {
            faults.add(format!("{path}: `{long}`: {what}"));
            return arg;
        }
        arg.default_values(texts.clone())
    })
}

/// Each variable is tried by itself, because `clap` would name only the first that is wrong.
fn variable_faults(command: &Command, faults: &mut Faults) {
    for arg in command.get_arguments() {
        let Some(variable) = arg.get_env() else { continue };
        let Some(value) = std::env::var_os(variable) else { continue };
        let variable = variable.to_string_lossy();
        let Some(text) = value.to_str() else {
            faults.add(format!("environment variable {variable} is not valid UTF-8"));
            continue;
        };
        if let Err(what) = accepts(arg, &[text.to_owned()]) {
            faults.add(format!("environment variable {variable}: {what}"));
        }
    }
}

/// Whether an argument takes these values; if not, what is wrong with them.
fn accepts(arg: &Arg, texts: &[String]) -> Result<(), String> {
    let alone = Arg::new(arg.get_id().clone())
        .long("value")
        .action(arg.get_action().clone())
        .value_parser(arg.get_value_parser().clone())
        .default_values(texts.to_vec());
    let alone = match (arg.get_num_args(), arg.get_value_delimiter()) {
        (Some(range), Some(delimiter)) => alone.num_args(range).value_delimiter(delimiter),
        (Some(range), None) => alone.num_args(range),
        (None, Some(delimiter)) => alone.value_delimiter(delimiter),
        (None, None) => alone,
    };
    let command = Command::new("check").disable_help_flag(true).arg(alone);
    match command.try_get_matches_from(["check"]) {
        Ok(_) => Ok(()),
        Err(error) => Err(reason(&error)),
    }
}

/// What `clap` says, without its usage block and without the pseudo flag of [`accepts`].
fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let text = text.split("\n\nUsage:").next().unwrap_or(text);
    let text = text.split("\n\nFor more information").next().unwrap_or(text).trim();
    let text = match text.split_once(" for '--value") {
        Some((before, after)) => format!("{before}{}", after.split_once('\'').map_or("", |(_, rest)| rest)),
        None => text.to_owned(),
    };
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

fn matches_of(
    command: Command,
    arguments: &[OsString],
    mut faults: Faults,
) -> Result<ArgMatches, ConfigError> {
    match command.try_get_matches_from(arguments) {
        Ok(matches) => {
            faults.into_result()?;
            Ok(matches)
        }
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Err(ConfigError::Answer(error.to_string()))
        }
        Err(error) => {
            // A wrong value of a variable was named already.
            let from_layers = !faults.0.is_empty() && error.kind() == ErrorKind::ValueValidation;
            if !from_layers || !faults.0.iter().any(|fault| same_value(fault, &error)) {
                faults.add(reason(&error));
            }
            Err(faults.into())
        }
    }
}

fn same_value(fault: &str, error: &clap::Error) -> bool {
    use clap::error::{ContextKind, ContextValue};
    match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => fault.contains(&format!("'{value}'")),
        _ => false,
    }
}

fn from_matches<C: Args>(matches: &ArgMatches) -> Result<(Common, C), ConfigError> {
    let fault = |error: clap::Error| {
        let mut faults = Faults::new();
        faults.add(reason(&error));
        faults
    };
    let common = Common::from_arg_matches(matches).map_err(fault)?;
    Ok((common, C::from_arg_matches(matches).map_err(fault)?))
}

#[cfg(test)]
mod tests;
