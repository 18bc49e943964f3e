//! Several workers of one model behind one gateway, with one secret service: each a process that can be ended and started
//! again at the same address. The coordinator is that of an `up`.

use std::process::Command;
use std::time::Duration;

use privatemode_test_kit::{ChildGuard, free_port};

use crate::harness::{PRIVATEMODE, Up};

/// Generous: a test machine may be busy. Nothing asserts on time.
const LIMIT: Duration = Duration::from_secs(120);

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// As its machine does.
    Killed,
    /// As its operator asks.
    Drained,
}

/// A process, and how to start it again.
struct Member {
    arguments: Vec<String>,
    process: Option<ChildGuard>,
}

pub(super) struct Fleet {
    secret_service: Member,
    workers: Vec<Member>,
    gateway: Member,
    /// `https://127.0.0.1:PORT`
    pub(super) url: String,
}

impl Fleet {
    /// Starts `workers` of them next to `up`, which keeps its own.
    pub(super) async fn start(up: &Up, workers: usize) -> Self {
        let address = || format!("127.0.0.1:{}", free_port());
        let secrets = address();
        let secrets_url = format!("https://{secrets}");
        let secret_service = [("--listen", &*secrets), ("--health-listen", "127.0.0.1:0")];
        let secret_service = Member::like(up, "secret-service", &secret_service);
        let addresses: Vec<String> = (0..workers).map(|_| address()).collect();
        let worker = |address: &String| {
            let own = [
                ("--listen", address.as_str()),
                ("--metrics-listen", "127.0.0.1:0"),
                ("--secret-service", &secrets_url),
            ];
            Member::like(up, "inference-proxy", &own)
        };
        let workers = addresses.iter().map(worker).collect();
        let urls: Vec<String> = addresses.iter().map(|address| format!("https://{address}")).collect();
        let listen = address();
        let own = [
            ("--listen", listen.as_str()),
            ("--metrics-listen", "127.0.0.1:0"),
            ("--secret-service", &secrets_url),
            ("--exchanges-per-minute", "100000"),
        ];
        let own = own.into_iter().chain(urls.iter().map(|url| ("--worker", url.as_str())));
        let gateway = Member::like(up, "gateway", &own.collect::<Vec<_>>());
        let mut fleet = Self { secret_service, workers, gateway, url: format!("https://{listen}") };
        fleet.secret_service.start().await;
        for worker in &mut fleet.workers {
            worker.start().await;
        }
        fleet.gateway.start().await;
        fleet
    }

    /// Ends a worker and starts it again.
    pub(super) async fn restart_worker(&mut self, which: usize, end: End) {
        let which = which % self.workers.len();
        self.workers[which].restart(end).await;
    }

    /// Ends the secret service, with all secrets and claims, and starts it again.
    pub(super) async fn restart_secret_service(&mut self, end: End) {
        self.secret_service.restart(end).await;
    }
}

impl Member {
    /// What `up` runs as `part`, with these flags in the place of its own.
    fn like(up: &Up, part: &str, flags: &[(&str, &str)]) -> Self {
        let mut arguments = up.arguments_of(part);
        for (name, _) in flags {
            while let Some(at) = arguments.iter().position(|argument| argument == name) {
                arguments.drain(at..at + 2);
            }
        }
        arguments.extend(flags.iter().flat_map(|(name, value)| [(*name).to_owned(), (*value).to_owned()]));
        Self { arguments, process: None }
    }

    async fn start(&mut self) {
        let mut process = ChildGuard::spawn(Command::new(PRIVATEMODE).args(&self.arguments)).unwrap();
        process.announced(LIMIT).await.unwrap();
        self.process = Some(process);
    }

    async fn restart(&mut self, end: End) {
        if let Some(mut process) = self.process.take() {
            match end {
                End::Killed => process.kill().unwrap(),
                End::Drained => {
                    process.interrupt().unwrap();
                    process.ended(LIMIT).await.unwrap();
                }
            }
        }
        self.start().await;
    }
}
