//! A real etcd, from the installed binary: one member or several, plain or with certificates as the mesh issues them.
//!
//! Listens on 127.0.0.1, keeps its data in a temporary folder, and is killed by its own handle. Where no etcd is installed
//! [`EtcdCluster::start`] says so loudly and gives none: the test has to be skipped.

mod pki;

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub use pki::{EtcdPki, EtcdServerFiles};

use crate::{ChildGuard, free_port};

/// Elections on a busy machine take their time.
const LIMIT: Duration = Duration::from_secs(60);

/// Members of one etcd cluster.
pub struct EtcdCluster {
    members: Vec<Member>,
    args: Vec<String>,
    tls: bool,
    dir: TempDir,
}

struct Member {
    name: String,
    client: u16,
    peer: u16,
    metrics: u16,
    process: Option<ChildGuard>,
}

impl EtcdCluster {
    /// Starts `count` members; none if etcd is not installed. `pki`: clients need a certificate of it.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub async fn start(count: usize, pki: Option<&EtcdPki>) -> Option<Self> {
        Self::start_with(count, pki.map(EtcdPki::server).as_ref()).await
    }

    /// The same with certificates from elsewhere.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub async fn start_with(count: usize, files: Option<&EtcdServerFiles>) -> Option<Self> {
        if !installed() {
            loudly_missing();
            return None;
        }
        let mut last = None;
        // another process may take a port between looking and listening
        for _ in 0..3 {
            match Self::try_start(count, files).await {
                Ok(cluster) => return Some(cluster),
                Err(error) => last = Some(error),
            }
        }
        panic!("etcd is installed and does not start: {last:?}");
    }

    async fn try_start(count: usize, files: Option<&EtcdServerFiles>) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let args = files.map(|files| files.write(dir.path())).transpose()?.unwrap_or_default();
        let member = |number| Member {
            name: format!("m{number}"),
            client: free_port(),
            peer: free_port(),
            metrics: free_port(),
            process: None,
        };
        let members = (0..count).map(member).collect();
        let mut cluster = Self { members, args, tls: files.is_some(), dir };
        for number in 0..count {
            cluster.spawn(number)?;
        }
        cluster.healthy().await?;
        Ok(cluster)
    }

    /// The members' URLs.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        let scheme = if self.tls { "https" } else { "http" };
        self.members.iter().map(|member| format!("{scheme}://127.0.0.1:{}", member.client)).collect()
    }

    /// Kills a member, as `kill -9` does. Its data stay.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self, number: usize) {
        let mut process = self.members[number].process.take().expect("it runs");
        process.kill().expect("it can be killed");
    }

    /// Starts a killed member again, with its data, and waits until all that run are healthy.
    ///
    /// # Panics
    /// When that fails.
    pub async fn restart(&mut self, number: usize) {
        self.spawn(number).expect("it starts again");
        self.healthy().await.expect("it is healthy again");
    }

    /// Starts a member again that cannot be healthy yet, because too many others are gone.
    ///
    /// # Panics
    /// When that fails.
    pub fn restart_alone(&mut self, number: usize) {
        self.spawn(number).expect("it starts again");
    }

    /// Waits until all members that run are healthy.
    ///
    /// # Panics
    /// When they do not get so.
    pub async fn settled(&self) {
        self.healthy().await.expect("all members that run are healthy");
    }

    /// Stops a member in its tracks, as a hanging machine does: connections stay open, nothing answers.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self, number: usize) {
        self.signal(number, Signal::STOP);
    }

    /// Lets a frozen member go on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self, number: usize) {
        self.signal(number, Signal::CONT);
    }

    /// A member's process ID.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn id(&self, number: usize) -> u32 {
        self.members[number].process.as_ref().expect("it runs").id()
    }

    /// Where a member's data are.
    #[must_use]
    pub fn data(&self, number: usize) -> PathBuf {
        self.dir.path().join(&self.members[number].name)
    }

    fn signal(&self, number: usize, signal: Signal) {
        let process = self.members[number].process.as_ref().expect("it runs");
        let id = i32::try_from(process.id()).expect("a process ID");
        // the child is not reaped yet, so that its ID cannot be somebody else's
        kill_process(Pid::from_raw(id).expect("a process ID above 0"), signal).expect("it can be signalled");
    }

    fn spawn(&mut self, number: usize) -> anyhow::Result<()> {
        let peers: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("{}=http://127.0.0.1:{}", member.name, member.peer))
            .collect();
        let client = self.urls()[number].clone();
        let data = self.data(number);
        let member = &mut self.members[number];
        let peer = format!("http://127.0.0.1:{}", member.peer);
        let mut command = Command::new("etcd");
        command
            .args(["--name", &member.name, "--data-dir"])
            .arg(data)
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--listen-metrics-urls", &format!("http://127.0.0.1:{}", member.metrics)])
            .args(["--initial-cluster", &peers.join(","), "--logger", "zap", "--log-level", "error"])
            .args(&self.args);
        member.process = Some(ChildGuard::spawn(&mut command)?);
        Ok(())
    }

    async fn healthy(&self) -> anyhow::Result<()> {
        let start = std::time::Instant::now();
        for member in &self.members {
            let Some(process) = &member.process else { continue };
            while !is_healthy(member.metrics).await {
                if start.elapsed() > LIMIT {
                    bail!("{} was not healthy after {LIMIT:?}: {}", member.name, process.stderr());
                }
                if !PathBuf::from(format!("/proc/{}/fd", process.id())).exists()
                    || process.stderr().contains("address already in use")
                {
                    bail!("{} ended: {}", member.name, process.stderr());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }
}

/// Whether there is an etcd to run.
fn installed() -> bool {
    Command::new("etcd").arg("--version").output().is_ok_and(|output| output.status.success())
}

#[expect(clippy::print_stderr, reason = "a test that is skipped must be seen to be")]
fn loudly_missing() {
    eprintln!("\n*** SKIPPED: no etcd on the PATH. Install it (Debian: apt-get install etcd-server) ***\n");
}

/// `GET /health` says true: the member has a leader and can write.
async fn is_healthy(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer).contains("\"health\":\"true\""))
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), ask).await.context("no answer");
    answer.is_ok_and(|healthy| healthy.unwrap_or(false))
}
