//! `privatemode up` as a child process, and what the system says of its parts.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// One process of the stack.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) resident_kib: u64,
    /// Processor time so far, user and system.
    pub(crate) cpu: Duration,
}

/// Fields 14 and 15 of `/proc/PID/stat`, in ticks of 10 ms.
fn cpu(stat: &str) -> Duration {
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

pub(crate) struct Stack {
    child: Child,
    _directory: tempfile::TempDir,
    pub(crate) endpoint: String,
    pub(crate) api_key: String,
    gateway: String,
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
            gateway: text("gateway")?,
            start_to_ready,
            program_size,
        })
    }

    /// The parts and what the system says of them (Linux; empty elsewhere).
    pub(crate) fn parts(&self) -> Vec<Part> {
        let parent = self.child.id().unwrap_or_default();
        let mut parts = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let read = |name: &str| std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
            let status = read("status");
            let field = |name: &str| {
                status.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
            };
            if field("PPid:").is_none_or(|ppid| ppid != parent.to_string()) {
                continue;
            }
            let name = read("cmdline").split('\0').nth(2).unwrap_or("?").to_owned();
            let resident_kib = field("VmRSS:").and_then(|rss| rss.trim_end_matches(" kB").parse().ok());
            parts.push(Part { name, resident_kib: resident_kib.unwrap_or(0), cpu: cpu(&read("stat")) });
        }
        parts
    }

    /// Bytes that the client proxy sent to the gateway and received from it so far, as TCP carried them (TLS included), by `ss`
    /// of iproute2; `None` without it.
    pub(crate) async fn wire(&self) -> Option<(u64, u64)> {
        let port = self.gateway.rsplit(':').next()?;
        let filter = format!("( dport = :{port} )");
        let shown =
            Command::new("ss").args(["-tinO", "state", "established", &filter]).output().await.ok()?;
        let shown = String::from_utf8(shown.stdout).ok()?;
        let sum = |name: &str| -> u64 {
            shown.split_whitespace().filter_map(|word| word.strip_prefix(name)?.parse::<u64>().ok()).sum()
        };
        Some((sum("bytes_sent:"), sum("bytes_received:")))
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
