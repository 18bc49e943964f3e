//! Structured logs on standard error, as text or as JSON. Logs of dependencies stay at `warn`: their lower levels print
//! header values and statements, which must not reach a log.

use std::{fmt, str::FromStr};

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

/// Dependencies whose debug output would carry header values, statements or keys.
const QUIET: &[&str] = &[
    "h2",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
    "tokio_rustls",
    "tower",
    "tower_http",
    "axum",
    "sqlx",
    "mio",
    "tokio_util",
    "tokenizers",
    "candle_core",
    "want",
];

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// The lowest level that is logged: a name, or a number where -4 is debug, 0 info, 4 warn, 8 error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLevel(Level);

impl LogLevel {
    /// The level as `tracing` names it.
    #[must_use]
    pub fn level(self) -> Level {
        self.0
    }
}

impl Default for LogLevel {
    fn default() -> Self {
        Self(Level::INFO)
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0.as_str().to_ascii_lowercase())
    }
}

/// A text that names no level.
#[derive(Debug, thiserror::Error)]
#[error("not a log level: use debug, info, warn, error, or a number (-4 debug, 0 info, 4 warn, 8 error)")]
pub struct UnknownLevel;

impl FromStr for LogLevel {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        let level = match text.to_ascii_lowercase().as_str() {
            "trace" => Level::TRACE,
            "debug" => Level::DEBUG,
            "info" => Level::INFO,
            "warn" | "warning" => Level::WARN,
            "error" => Level::ERROR,
            // A number is a threshold: 1 hides info (0) and shows warn (4).
            number => match number.parse::<i32>().map_err(|_| UnknownLevel)? {
                i32::MIN..=-8 => Level::TRACE,
                -7..=-4 => Level::DEBUG,
                -3..=0 => Level::INFO,
                1..=4 => Level::WARN,
                5.. => Level::ERROR,
            },
        };
        Ok(Self(level))
    }
}

/// Installs the logger of this process; a second call changes nothing, the first one holds.
pub fn install(level: LogLevel, format: LogFormat) {
    let quiet = LevelFilter::from_level(level.0.min(Level::WARN));
    let targets = Targets::new().with_default(level.0).with_targets(QUIET.iter().map(|name| (*name, quiet)));
    let registry = tracing_subscriber::registry().with(targets);
    // An error means that a logger is there already, which is what we want.
    let _ = match format {
        LogFormat::Text => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            let layer = tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(ansi)
                .with_target(false);
            registry.with(layer).try_init()
        }
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_writer(std::io::stderr);
            registry.with(layer).try_init()
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, level) in [
            ("debug", Level::DEBUG),
            ("INFO", Level::INFO),
            ("warn", Level::WARN),
            ("error", Level::ERROR),
            ("-8", Level::TRACE),
            ("-4", Level::DEBUG),
            ("-1", Level::INFO),
            ("0", Level::INFO),
            ("1", Level::WARN),
            ("4", Level::WARN),
            ("5", Level::ERROR),
            ("8", Level::ERROR),
        ] {
            assert_eq!(text.parse::<LogLevel>().unwrap().level(), level, "{text}");
        }
        assert!("loud".parse::<LogLevel>().is_err());
        assert!("".parse::<LogLevel>().is_err());
    }
}
