//! Starts `privatemode up` (and single parts) as a user would, and stops them by their process IDs.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The command under test.
pub(crate) const PRIVATEMODE: &str = env!("CARGO_BIN_EXE_privatemode-under-test");

/// Generous: a test machine may be busy. Nothing asserts on time.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A running stack in a directory of its own.
pub(crate) struct Up {
    child: Guard,
    pub(crate) ready: Value,
    directory: Option<tempfile::TempDir>,
    path: PathBuf,
}

impl Up {
    /// Starts `privatemode up --json --port 0` with `arguments` in a fresh directory.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().to_owned();
        let mut up = Self::start_in(&path, arguments);
        up.directory = Some(directory);
        up
    }

    /// The same in a directory that stays.
    pub(crate) fn start_in(path: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(PRIVATEMODE);
        command.args(["up", "--json", "--port", "0", "--dir"]).arg(path).args(arguments);
        let mut child = Guard::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let line = child.first_line(START_LIMIT);
        let Some(line) = line else {
            panic!("`privatemode up` ended before it was ready:\n{}\n{}", child.stderr(), logs(path));
        };
        let ready =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in the ready line {line:?}"));
        Self { child, ready, directory: None, path: path.to_owned() }
    }

    pub(crate) fn endpoint(&self) -> &str {
        self.ready["endpoint"].as_str().expect("an endpoint")
    }

    pub(crate) fn api_key(&self) -> &str {
        self.ready["api_key"].as_str().expect("a key")
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.path
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Asks it to stop as Ctrl-C does, and waits. Returns whether it ended with success.
    pub(crate) fn interrupt(mut self) -> bool {
        self.child.signal("INT");
        self.child.wait(Duration::from_secs(60)).is_some_and(|status| status.success())
    }

    /// Ends the supervisor without a chance to clean up.
    pub(crate) fn kill(&mut self) {
        self.child.0.kill().expect("it runs");
        self.child.0.wait().expect("it ends");
    }

    /// What `part` was given for the flag `name`.
    pub(crate) fn flag_of(&self, part: &str, name: &str) -> Option<String> {
        let line = children_of(self.pid())
            .into_iter()
            .map(command_line)
            .find(|line| line.get(2).is_some_and(|p| p == part))?;
        let at = line.iter().position(|argument| argument == name)?;
        line.get(at + 1).cloned()
    }

    /// The arguments that `part` was started with, behind the program's name; empty where the system does not tell.
    pub(crate) fn arguments_of(&self, part: &str) -> Vec<String> {
        let line = self.find(part).map(command_line).unwrap_or_default();
        line.into_iter().skip(1).filter(|argument| !argument.is_empty()).collect()
    }

    fn find(&self, part: &str) -> Option<u32> {
        let mut children = children_of(self.pid()).into_iter();
        children.find(|pid| command_line(*pid).get(2).is_some_and(|name| name == part))
    }

    /// The process that runs `part`.
    pub(crate) fn pid_of(&self, part: &str) -> u32 {
        self.find(part).unwrap_or_else(|| panic!("no {part} runs"))
    }

    /// The resident memory of `part` in bytes; 0 where the system does not tell.
    pub(crate) fn resident(&self, part: &str) -> u64 {
        resident_of(self.pid_of(part))
    }

    /// The writable memory of the process that runs `part`, as the system shows it.
    pub(crate) fn memory_of(&self, part: &str) -> std::io::Result<Vec<u8>> {
        let pid = self.find(part).ok_or(std::io::ErrorKind::NotFound)?;
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        let mut all = Vec::new();
        for line in maps.lines().filter(|line| line.contains(" rw") && !line.contains("[v")) {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let Some((start, end)) = range else { continue };
            let number = |text| u64::from_str_radix(text, 16).map_err(std::io::Error::other);
            let (mut at, end) = (number(start)?, number(end)?);
            let mut buffer = vec![0; 1 << 20];
            // A region may shrink while it is read; what is gone is skipped.
            while at < end {
                let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
                let Ok(count @ 1..) = memory.read_at(&mut buffer[..want], at) else { break };
                all.extend_from_slice(&buffer[..count]);
                at += count as u64;
            }
        }
        Ok(all)
    }

    /// Sends a chat to the model `stub` and waits for its answer. A replay memory that began a moment ago takes only dates
    /// ahead of its clock; the proxy learns this from its first request, which an engine may so see twice.
    pub(crate) async fn settled(&self) {
        let chat = r#"{"model":"stub","messages":[]}"#;
        assert_eq!(self.post("/chat/completions", chat).send().await.unwrap().status(), 200);
    }

    /// A client that talks to loopback alone.
    pub(crate) fn client() -> reqwest::Client {
        // An error means that there is one already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().expect("a client")
    }

    /// A POST of `body` to `path` with the good key.
    pub(crate) fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        Self::client()
            .post(format!("{}{path}", self.endpoint()))
            .bearer_auth(self.api_key())
            .header("content-type", "application/json")
            .body(body)
    }
}

/// All logs of the stack in `directory`, for a failing test's message.
pub(crate) fn logs(directory: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(directory.join("logs")).into_iter().flatten().flatten() {
        let log = std::fs::read_to_string(entry.path()).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(15).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        text.push_str(&format!("--- {}\n{}\n", entry.path().display(), tail.join("\n")));
    }
    text
}

/// A child process that ends with the test.
pub(crate) struct Guard(pub(crate) Child);

impl Guard {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        // A setting of the developer's shell must not change what is tested.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PRIVATEMODE") {
                command.env_remove(name);
            }
        }
        Self(command.stdin(Stdio::null()).spawn().expect("the command starts"))
    }

    /// The first line on standard output, unless the process ends before or the time runs out.
    pub(crate) fn first_line(&mut self, limit: Duration) -> Option<String> {
        let output = self.0.stdout.take().expect("a pipe");
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(output);
            let mut line = String::new();
            let _ = reader.read_line(&mut line);
            let _ = sender.send(line);
            // Keeps the pipe open: the process may write more.
            let _ = reader.read_to_end(&mut Vec::new());
        });
        receiver.recv_timeout(limit).ok().filter(|line| !line.trim().is_empty())
    }

    pub(crate) fn stderr(&mut self) -> String {
        let _ = self.0.kill();
        let mut text = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    }

    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status();
        assert!(done.expect("kill runs").success());
    }

    pub(crate) fn wait(&mut self, limit: Duration) -> Option<std::process::ExitStatus> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal("TERM");
            if self.wait(Duration::from_secs(30)).is_none() {
                let _ = self.0.kill();
                let _ = self.0.wait();
            }
        }
    }
}

/// The `message` of an error in OpenAI's shape, with its status; panics when the shape is another.
pub(crate) async fn refusal(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.text().await.expect("a body");
    let json: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body:?}"));
    let error = json["error"].as_object().unwrap_or_else(|| panic!("no `error` in {body}"));
    for member in ["message", "type", "param", "code"] {
        assert!(error.contains_key(member), "no `{member}` in {body}");
    }
    (status, json["error"]["message"].as_str().expect("a message").to_owned())
}

/// Resident memory in bytes; 0 where the system does not tell.
pub(crate) fn resident_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The processes whose parent is `pid`.
pub(crate) fn children_of(pid: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1).map(str::to_owned));
        if parent.as_deref() == Some(pid.to_string().as_str()) {
            children.push(child);
        }
    }
    children
}

fn command_line(pid: u32) -> Vec<String> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split('\0').map(str::to_owned).collect()
}

/// Says past the capture of a passing test that something was not tested.
pub(crate) fn skipped(what: &str, why: &str) {
    let _ = std::io::stderr().lock().write_all(format!("\nSKIPPED {what}: {why}\n").as_bytes());
}
