//! One part of the stack as a child process.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};

/// An announcement is a name and a few addresses.
const MAX_ANNOUNCEMENT: u64 = 64 * 1024;

/// How many bytes at the end of a log are shown when a part fails.
const LOG_TAIL: usize = 2000;

/// A running part.
#[derive(Debug)]
pub(crate) struct Part {
    name: &'static str,
    child: Child,
    /// Open as long as the part shall run.
    input: Option<ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
    log: PathBuf,
}

/// Why a part did not come up or did not stay up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PartError {
    #[error("cannot write the log of the {name}, `{}`", log.display())]
    Log { name: &'static str, log: PathBuf, source: io::Error },
    #[error("cannot start the {name}")]
    Spawn { name: &'static str, source: io::Error },
    #[error("the {name} stopped before it was ready ({status}); the end of `{}` says:\n{tail}", log.display())]
    Died { name: &'static str, status: String, log: PathBuf, tail: String },
    #[error("the {name} was not ready within {} s; its log is `{}`", limit.as_secs(), log.display())]
    Slow { name: &'static str, limit: Duration, log: PathBuf },
    #[error("the {name} announced itself in a way that makes no sense: {line:?}")]
    Announcement { name: &'static str, line: String },
}

#[derive(Debug, Deserialize)]
struct Announcement {
    addresses: BTreeMap<String, String>,
}

/// How a part is started.
#[derive(Debug)]
pub(crate) struct Command<'a> {
    pub(crate) program: &'a Path,
    pub(crate) name: &'static str,
    /// Which of several of that name, from 1.
    pub(crate) instance: u8,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(&'static str, OsString)>,
    pub(crate) logs: &'a Path,
    pub(crate) log_level: &'a str,
    /// Whether the part's standard error is the terminal's: it shows progress bars.
    pub(crate) talks: bool,
}

impl Part {
    pub(crate) fn spawn(command: Command<'_>) -> Result<Self, PartError> {
        let Command { program, name, instance, arguments, environment, logs, log_level, talks } = command;
        let log = logs.join(match instance {
            0 | 1 => format!("{name}.log"),
            more => format!("{name}-{more}.log"),
        });
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&log)
            .map_err(|source| PartError::Log { name, log: log.clone(), source })?;
        let mut child = tokio::process::Command::new(program)
            .args(["service", name, "--announce", "--log-level", log_level])
            .args(arguments)
            .env_clear()
            .envs(inherited(std::env::vars_os()))
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if talks { Stdio::inherit() } else { Stdio::from(file) })
            // Ctrl-C reaches this process alone, which then stops the parts in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| PartError::Spawn { name, source })?;
        let input = child.stdin.take();
        let output = child.stdout.take().map(BufReader::new);
        Ok(Self { name, child, input, output, log })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Waits until the part listens, and returns its addresses by their names.
    pub(crate) async fn ready(&mut self, limit: Duration) -> Result<BTreeMap<String, String>, PartError> {
        let mut line = String::new();
        let reading = async {
            match self.output.as_mut() {
                Some(output) => output.take(MAX_ANNOUNCEMENT).read_line(&mut line).await,
                None => Ok(0),
            }
        };
        match tokio::time::timeout(limit, reading).await {
            Err(_) => return Err(PartError::Slow { name: self.name, limit, log: self.log.clone() }),
            Ok(Ok(count)) if count > 0 => {}
            Ok(_) => return Err(self.died().await),
        }
        match serde_json::from_str::<Announcement>(&line) {
            Ok(announcement) => Ok(announcement.addresses),
            Err(_) => {
                Err(PartError::Announcement { name: self.name, line: line.chars().take(200).collect() })
            }
        }
    }

    /// Ends only when the part does.
    pub(crate) async fn exited(&mut self) -> PartError {
        self.died().await
    }

    async fn died(&mut self) -> PartError {
        let status = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(_) => "its exit status is unknown".to_owned(),
        };
        PartError::Died { name: self.name, status, tail: tail(&self.log), log: self.log.clone() }
    }

    /// Lets the part drain; kills it when it does not end within `limit`. Says whether it ended by itself.
    pub(crate) async fn stop(mut self, limit: Duration) -> bool {
        drop(self.input.take());
        if tokio::time::timeout(limit, self.child.wait()).await.is_ok() {
            return true;
        }
        let _ = self.child.kill().await;
        false
    }
}

/// Settings of one part must not leak into another by way of the environment, so only these names pass.
fn inherited(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    const NAMES: &[&str] =
        &["PATH", "HOME", "LANG", "LC_ALL", "TERM", "TMPDIR", "TZ", "NO_COLOR", "RUST_BACKTRACE", "COLUMNS"];
    variables.filter(|(name, _)| NAMES.iter().any(|known| name.as_os_str() == OsStr::new(known)))
}

fn tail(log: &Path) -> String {
    let content = std::fs::read(log).unwrap_or_default();
    let start = content.len().saturating_sub(LOG_TAIL);
    let text = String::from_utf8_lossy(content.get(start..).unwrap_or_default()).into_owned();
    text.lines()
        .rev()
        .take(8)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .map(|line| format!("  {line}\n"))
        .collect()
}
