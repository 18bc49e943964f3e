//! `privatemode up` as a child process, and what the system says of its parts.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

pub(crate) struct Stack {
    child: Child,
    _directory: tempfile::TempDir,
    pub(crate) endpoint: String,
    pub(crate) api_key: String,
    pub(crate) start_to_ready: Duration,
    pub(crate) program_size: u64,
}

impl Stack {
    pub(crate) async fn start(upstream: &str, protocol: &str) -> Result<Self> {
        let program = program()?;
        let program_size = std::fs::metadata(&program)?.len();
        let directory = tempfile::tempdir()?;
        let begun = Instant::now();
        let mut child = Command::new(&program)
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
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line).await?;
        let start_to_ready = begun.elapsed();
        let ready: serde_json::Value =
            serde_json::from_str(&line).context("`privatemode up` did not get ready")?;
        let text = |name: &str| ready[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
        let endpoint = text("endpoint")?.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
        Ok(Self {
            child,
            _directory: directory,
            endpoint,
            api_key: text("api_key")?,
            start_to_ready,
            program_size,
        })
    }

    /// Resident memory of each part in KiB (Linux; empty elsewhere).
    pub(crate) fn memory(&self) -> Vec<(String, u64)> {
        let parent = self.child.id().unwrap_or_default();
        let mut parts = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let field = |name: &str| {
                status.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
            };
            if field("PPid:").is_none_or(|ppid| ppid != parent.to_string()) {
                continue;
            }
            let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            let name = line.split('\0').nth(2).unwrap_or("?").to_owned();
            let kib = field("VmRSS:").and_then(|rss| rss.trim_end_matches(" kB").parse().ok()).unwrap_or(0);
            parts.push((name, kib));
        }
        parts
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = self.child.id().context("it ended by itself")?.to_string();
        Command::new("kill").args(["-s", "INT", &pid]).status().await?;
        self.child.wait().await?;
        Ok(())
    }
}

/// The release build beside this program.
fn program() -> Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("privatemode");
    if !program.exists() {
        bail!("there is no `{}`: run `cargo build --release --bin privatemode` first", program.display());
    }
    Ok(program)
}
