//! `privatemode up` as a child process, and where its parts are.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::client::Target;

/// The parts that content passes through.
pub(crate) const PARTS: [&str; 3] = ["proxy", "gateway", "inference-proxy"];

pub(crate) struct Stack {
    child: Child,
    _directory: tempfile::TempDir,
    pub(crate) protocol: String,
    pub(crate) target: Target,
    /// As in [`PARTS`].
    pub(crate) pids: Vec<u32>,
}

impl Stack {
    pub(crate) async fn start(program: &Path, upstream: &str, protocol: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut child = Command::new(program)
            .args([
                "up",
                "--json",
                "--port",
                "0",
                "--log-level",
                "warn",
                "--protocol",
                protocol,
                "--upstream",
            ])
            .arg(format!("http://{upstream}"))
            .arg("--dir")
            .arg(directory.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start `{}`", program.display()))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line).await?;
        let ready: serde_json::Value =
            serde_json::from_str(&line).context("`privatemode up` did not get ready")?;
        let text = |name: &str| ready[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
        let address = text("endpoint")?.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
        let target = Target { address, key: text("api_key")? };
        let children = children_of(child.id().context("it ended by itself")?)?;
        let pid = |part: &str| {
            let found = children.iter().find(|(_, name)| name == part).map(|(pid, _)| *pid);
            found.with_context(|| format!("no {part} runs"))
        };
        let pids = PARTS.into_iter().map(pid).collect::<Result<_>>()?;
        Ok(Self { child, _directory: directory, protocol: protocol.to_owned(), target, pids })
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = self.child.id().context("it ended by itself")?.to_string();
        Command::new("kill").args(["-s", "INT", &pid]).status().await?;
        self.child.wait().await?;
        Ok(())
    }
}

/// Processes whose parent is `parent`, with the part that each one runs.
fn children_of(parent: u32) -> Result<Vec<(u32, String)>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").context("this measures with /proc, which is Linux's")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let is_child = status
            .lines()
            .any(|line| line.strip_prefix("PPid:").is_some_and(|id| id.trim() == parent.to_string()));
        if is_child {
            let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            children.push((pid, line.split('\0').nth(2).unwrap_or_default().to_owned()));
        }
    }
    Ok(children)
}
