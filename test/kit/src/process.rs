//! Real processes and waiting, both bounded.

use std::{
    fmt,
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A port of 127.0.0.1 that was free a moment ago, for processes that cannot be given port 0.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Asks `condition` every few milliseconds until it holds.
///
/// # Panics
/// When it still does not after `limit`; `what` is in the message.
pub async fn wait_until(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A child process that does not outlive this guard: it is killed by its own handle, and reaped.
pub struct ChildGuard {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl ChildGuard {
    /// Starts `command`; what it prints is kept, and its standard input stays open until [`ChildGuard::close_stdin`].
    pub fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let stdout = gather(child.stdout.take().context("standard output is piped")?);
        let stderr = gather(child.stderr.take().context("standard error is piped")?);
        Ok(Self { child, stdout, stderr })
    }

    /// The process ID.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything on standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    /// Everything on standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits for the first line of JSON on standard output: what `--announce` and `up --json` print when ready.
    pub async fn announced(&mut self, limit: Duration) -> anyhow::Result<Value> {
        let start = Instant::now();
        loop {
            if let Some(line) =
                self.stdout().lines().find(|line| line.starts_with('{') && line.ends_with('}'))
            {
                return Ok(serde_json::from_str(line)?);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the process ended ({status}) before it was ready: {}", self.stderr());
            }
            if start.elapsed() > limit {
                bail!("the process was not ready after {limit:?}: {}", self.stderr());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Closes its standard input, which announcing servers take as the request to stop.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Sends what Ctrl-C sends.
    pub fn interrupt(&self) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id())?;
        // the child is not reaped yet, so that its ID cannot be somebody else's
        kill_process(Pid::from_raw(id).context("a process ID above 0")?, Signal::INT)?;
        Ok(())
    }

    /// Kills it at once, as `kill -9` does, and reaps it.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > limit {
                bail!("the process still ran after {limit:?}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl fmt::Debug for ChildGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChildGuard({})", self.id())
    }
}

/// Reads on a thread of its own, so that a talkative child never blocks on a full pipe.
fn gather(pipe: impl std::io::Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_is_heard_and_ends_with_its_input() {
        let script = "echo talk >&2; echo '{\"ready\":true}'; cat; exit 3";
        let mut child = ChildGuard::spawn(Command::new("sh").args(["-c", script])).unwrap();
        let limit = Duration::from_secs(20);
        assert_eq!(child.announced(limit).await.unwrap()["ready"], true);
        child.close_stdin();
        assert_eq!(child.ended(limit).await.unwrap().code(), Some(3));
        assert_eq!(child.stdout(), "{\"ready\":true}\n");
    }

    #[tokio::test]
    async fn a_child_that_fails_says_why() {
        let mut child = ChildGuard::spawn(Command::new("sh").args(["-c", "exit 2"])).unwrap();
        let error = child.announced(Duration::from_secs(20)).await.unwrap_err();
        assert!(error.to_string().contains("ended"), "{error}");
    }

    #[tokio::test]
    async fn a_dropped_guard_leaves_no_process() {
        let mut child = ChildGuard::spawn(Command::new("sh").args(["-c", "echo '{}'; sleep 600"])).unwrap();
        child.announced(Duration::from_secs(20)).await.unwrap();
        let process = format!("/proc/{}", child.id());
        drop(child);
        assert!(!std::path::Path::new(&process).exists());
    }
}
