//! A machine, its vendor, and the files that the agent writes.

use std::{
    future::Future,
    pin::Pin,
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use privatemode_attest::UnixTime;
use privatemode_attestation_agent::{AdmitError, Agent, Plan, Tell};
use privatemode_collateral::{Collector, Endpoints, Proxy, Settings, Timing};
use privatemode_service::{Common, Shutdown};
use privatemode_test_kit::vendor::{OCSP_PATH, VendorServer};
use tokio::{sync::Semaphore, task::JoinHandle};

use crate::machine::{self, Gpus, NOW, RIMS};

/// A pause of this length or more is one between rounds, and lasts until the test says so.
const ROUND: Duration = Duration::from_secs(60);

/// A clock that the test moves.
pub(crate) struct Clock {
    now: AtomicU64,
    /// The pauses between rounds.
    pub(crate) pauses: Mutex<Vec<Duration>>,
    next_round: Semaphore,
    waiting: Semaphore,
}

impl Clock {
    pub(crate) fn pass(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Comes back when a round has ended, and the agent waits for the next.
    pub(crate) async fn round_ended(&self, running: &mut JoinHandle<Result<(), AdmitError>>) {
        tokio::select! {
            permit = self.waiting.acquire() => permit.unwrap().forget(),
            ended = running => panic!("it ended instead: {ended:?}"),
        }
    }

    pub(crate) fn begin_round(&self) {
        self.next_round.add_permits(1);
    }
}

impl Timing for Clock {
    fn now(&self) -> UnixTime {
        UnixTime(self.now.load(Ordering::SeqCst))
    }

    fn jitter(&self, span: Duration) -> Duration {
        span
    }

    fn pause(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if span < ROUND {
            return Box::pin(std::future::ready(()));
        }
        self.pauses.lock().unwrap().push(span);
        self.waiting.add_permits(1);
        Box::pin(async { self.next_round.acquire().await.unwrap().forget() })
    }
}

pub(crate) struct World {
    pub(crate) vendor: VendorServer,
    pub(crate) gpus: Arc<Gpus>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    /// A good machine, whose vendor publishes everything about it.
    pub(crate) async fn new(gpus: u8) -> Self {
        let vendor = VendorServer::start().await;
        for (id, version) in RIMS {
            vendor.nvidia_rim(id, machine::rim(version).encode().as_bytes());
        }
        for pair in machine::pairs(gpus) {
            vendor.nvidia_ocsp_for(&machine::request(&pair), &machine::answer(&pair).der());
        }
        let clock = Clock {
            now: AtomicU64::new(NOW.0),
            pauses: Mutex::default(),
            next_round: Semaphore::new(0),
            waiting: Semaphore::new(0),
        };
        let folder = tempfile::TempDir::new().unwrap();
        Self { vendor, gpus: Arc::new(Gpus::new(gpus)), clock: Arc::new(clock), folder }
    }

    pub(crate) fn tell(&self) -> Tell {
        let path = |name: &str| self.folder.path().join(name);
        Tell { evidence: path("gpu-evidence.json"), status: path("ocsp-status.json"), signed: None }
    }

    pub(crate) fn agent(&self, change: impl FnOnce(&mut Plan)) -> Agent {
        let mut plan = Plan {
            report_data: machine::question(),
            gpus: None,
            policy: machine::policy(),
            tell: self.tell(),
            once: true,
        };
        change(&mut plan);
        let url = self.vendor.url();
        let endpoints = Endpoints::default().nvidia_rim(&url).unwrap();
        let endpoints = endpoints.nvidia_ocsp(&format!("{url}{}", &OCSP_PATH[1..])).unwrap();
        let settings = Settings {
            folder: Some(self.folder.path().join("collateral")),
            endpoints,
            proxy: Proxy::Direct,
            tls: Some(no_roots()),
            grace: Duration::from_secs(14 * 24 * 3600),
            timing: Arc::clone(&self.clock) as Arc<dyn Timing>,
            ..Settings::default()
        };
        Agent {
            quoter: Arc::clone(&self.gpus) as _,
            collector: Collector::new(settings).unwrap(),
            roots: machine::roots(),
            timing: Arc::clone(&self.clock) as _,
            plan,
        }
    }

    pub(crate) async fn run(&self, change: impl FnOnce(&mut Plan)) -> Result<(), AdmitError> {
        self.agent(change).run(Shutdown::new()).await
    }

    /// As a process: what it ends with.
    pub(crate) async fn exit_code(&self) -> ExitCode {
        let common = Common::default();
        let run = |agent: Agent, process: privatemode_service::Process| {
            Box::pin(async move { Ok(agent.run(process.shutdown).await?) }) as _
        };
        privatemode_service::run("attestation-agent", &common, self.agent(|_| ()), run).await
    }

    pub(crate) fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.tell().status).unwrap()).unwrap()
    }

    /// Nobody can read that the GPUs were good.
    pub(crate) fn tells_nothing(&self) -> bool {
        let Tell { evidence, status, .. } = self.tell();
        !evidence.exists() && !status.exists()
    }
}

fn no_roots() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}
