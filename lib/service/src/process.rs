//! A process from `main` to its exit code: configuration, logs, runtime, signals, the announcement of its addresses,
//! and the one place that prints an error chain.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::{self, Display},
    future::Future,
    io::{Read, Write},
    pin::Pin,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    Chain, Common, Shutdown,
    config::{Faults, Parsed, parse_process},
    dump, log,
};

/// The exit code of a process that failed.
const FAILED: u8 = 1;
/// The exit code of a process that was started wrongly.
const USAGE: u8 = 2;
/// How long tasks that ignore the drain may hold up the exit.
const LINGER: Duration = Duration::from_secs(2);

/// A boxed future, the same type as in `futures-util`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// What a process does once it is configured.
pub type RunFn<C> = fn(C, Process) -> BoxFuture<'static, anyhow::Result<()>>;

/// `v0.1.0`: the version of the workspace.
#[must_use]
pub fn version() -> &'static str {
    concat!("v", env!("CARGO_PKG_VERSION"))
}

/// Where a process listens, as it tells its parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The process.
    pub name: String,
    /// Address (`127.0.0.1:43121`, or a path) by purpose (`http`).
    pub addresses: BTreeMap<String, String>,
}

/// What a running process has from outside.
#[derive(Clone)]
pub struct Process {
    /// Its name, as in `privatemode-<name>`.
    pub name: &'static str,
    /// Triggered when it has to end.
    pub shutdown: Shutdown,
    outlet: Outlet,
}

/// Where an announcement goes.
#[derive(Clone)]
enum Outlet {
    Log,
    Stdout,
    Parent(Arc<Mutex<Option<oneshot::Sender<Announcement>>>>),
}

impl fmt::Debug for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Process").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Process {
    /// A process whose addresses are only logged. For tests, and for parts inside another process.
    #[must_use]
    pub fn new(name: &'static str, shutdown: Shutdown) -> Self {
        Self { name, shutdown, outlet: Outlet::Log }
    }

    /// A process inside another one, which receives the announcement.
    #[must_use]
    pub fn embedded(name: &'static str, shutdown: Shutdown) -> (Self, oneshot::Receiver<Announcement>) {
        let (sender, receiver) = oneshot::channel();
        (Self { name, shutdown, outlet: Outlet::Parent(Arc::new(Mutex::new(Some(sender)))) }, receiver)
    }

    /// Says where this process listens: call it once, when all listeners are open. With `--announce` this is one line
    /// of JSON on standard output.
    pub fn announce<A: Display>(&self, addresses: &[(&str, A)]) {
        let addresses: BTreeMap<_, _> =
            addresses.iter().map(|(purpose, address)| ((*purpose).to_owned(), address.to_string())).collect();
        for (purpose, address) in &addresses {
            tracing::info!(purpose, address, "listening");
        }
        let announcement = Announcement { name: self.name.to_owned(), addresses };
        match &self.outlet {
            Outlet::Log => {}
            Outlet::Stdout => {
                // A parent that closed our stdout does not want to know.
                let _ = write_line(&mut std::io::stdout().lock(), &announcement);
            }
            Outlet::Parent(sender) => {
                if let Some(sender) = sender.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    let _ = sender.send(announcement);
                }
            }
        }
    }
}

fn write_line(out: &mut impl Write, announcement: &Announcement) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(announcement)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

/// A whole `main`: reads arguments, environment and file, installs logs and the TLS provider, builds the runtime, runs
/// `run` until it ends or is told to, and turns the outcome into an exit code: 0 done, 1 failed, 2 started wrongly.
pub fn run_main<C: clap::Args>(name: &'static str, about: &'static str, run: RunFn<C>) -> ExitCode {
    run_main_from(std::env::args_os(), name, about, run)
}

/// As [`run_main`], with `arguments` in the place of this process's own; the first is the program's name.
pub fn run_main_from<C: clap::Args>(
    arguments: impl IntoIterator<Item = OsString>,
    name: &'static str,
    about: &'static str,
    run: RunFn<C>,
) -> ExitCode {
    let (common, config) = match parse_process::<C>(name, about, arguments) {
        Parsed::Run { common, config } => (common, config),
        Parsed::Exit { text, code: 0 } => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Parsed::Exit { text, code } => {
            let _ = std::io::stderr().write_all(text.as_bytes());
            return ExitCode::from(code);
        }
    };
    install(&common);
    dump::forbid();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(error = %Chain(&error), "cannot start the runtime");
            return ExitCode::from(FAILED);
        }
    };
    let code = runtime.block_on(self::run(name, &common, config, run));
    runtime.shutdown_timeout(LINGER);
    code
}

/// Installs what a process has once: the logger and the TLS provider. [`run_main`] does it by itself.
pub fn install(common: &Common) {
    log::install(common.log_level, common.log_format);
    // An error means that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// As [`run_main`], with a configuration that is parsed already and inside a runtime that exists already.
pub async fn run<C>(name: &'static str, common: &Common, config: C, run: RunFn<C>) -> ExitCode {
    let shutdown = Shutdown::new();
    on_signals(&shutdown);
    let outlet = if common.announce {
        on_stdin_end(shutdown.clone());
        Outlet::Stdout
    } else {
        Outlet::Log
    };
    tracing::debug!(name, version = version(), "starting");
    exit_code(run(config, Process { name, shutdown, outlet }).await)
}

fn exit_code(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let usage = error.chain().any(|cause| cause.is::<Faults>());
            let _ = writeln!(std::io::stderr(), "error: {}", Chain(&*error));
            ExitCode::from(if usage { USAGE } else { FAILED })
        }
    }
}

/// SIGINT and SIGTERM start the drain; a second one ends the process at once.
fn on_signals(shutdown: &Shutdown) {
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        let Ok(mut signals) = Signals::new() else {
            tracing::warn!(
                "cannot listen for signals: end this process by closing its standard input or by force"
            );
            return;
        };
        signals.next().await;
        tracing::info!("shutting down; a second signal ends at once");
        shutdown.trigger();
        signals.next().await;
        std::process::exit(130);
    });
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A parent that dies, however it dies, closes our standard input: nothing is left behind.
fn on_stdin_end(shutdown: Shutdown) {
    // A thread of its own, because a blocked read of the runtime's would hold up its end.
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        let mut stdin = std::io::stdin().lock();
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        shutdown.trigger();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_json() {
        let announcement = Announcement {
            name: "gateway".to_owned(),
            addresses: [("http".to_owned(), "127.0.0.1:43121".to_owned())].into(),
        };
        let mut out = Vec::new();
        write_line(&mut out, &announcement).unwrap();
        assert_eq!(out, b"{\"name\":\"gateway\",\"addresses\":{\"http\":\"127.0.0.1:43121\"}}\n");
    }

    #[tokio::test]
    async fn an_embedded_process_tells_its_parent_once() {
        let (process, announced) = Process::embedded("gateway", Shutdown::new());
        process.announce(&[("http", "127.0.0.1:1")]);
        process.announce(&[("http", "127.0.0.1:2")]);
        assert_eq!(announced.await.unwrap().addresses["http"], "127.0.0.1:1");
    }

    #[test]
    fn the_version_has_a_v() {
        assert!(version().starts_with('v') && version().split('.').count() == 3);
    }
}
