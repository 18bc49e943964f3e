//! A deployment without processes: a manifest, quoters for its policies, and connections between them.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use privatemode_attest::{SimulatedAllowed, UnixTime, snp};
use privatemode_manifest::{
    Manifest, PolicyHash, Role, Roots, VerifyOptions,
    generate::{self, Entry},
};
use privatemode_mesh::{
    FakeSnpQuoter, MeshKey, Quoter, SimulatedQuoter,
    atls::{Appraiser, AtlsError, Attested, Client, Clock, Demand, Identity, Server, Unverified},
};
use privatemode_test_pki::amd;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{client, server};

pub(crate) const COORDINATOR: &[u8] = b"policy of the coordinator";
pub(crate) const WORKLOAD: &[u8] = b"policy of a workload";
pub(crate) const FOREIGN: &[u8] = b"policy of somebody else";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Platform {
    Simulated,
    Snp,
}

pub(crate) const BOTH: [Platform; 2] = [Platform::Simulated, Platform::Snp];

pub(crate) struct Stand {
    pub(crate) platform: Platform,
    pub(crate) manifest: Manifest,
    options: VerifyOptions,
    machine: tempfile::TempDir,
    now: Arc<AtomicU64>,
}

impl Stand {
    pub(crate) fn new(platform: Platform) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let machine = tempfile::tempdir().unwrap();
        let (manifest, options) = match platform {
            Platform::Simulated => simulated(),
            Platform::Snp => snp(machine.path(), now),
        };
        Self { platform, manifest, options, machine, now: Arc::new(AtomicU64::new(now)) }
    }

    pub(crate) fn quoter(&self, policy: &[u8]) -> Arc<dyn Quoter> {
        let policy = PolicyHash::of(policy);
        match self.platform {
            Platform::Simulated => Arc::new(SimulatedQuoter { host_data: *policy.as_bytes() }),
            Platform::Snp => Arc::new(FakeSnpQuoter::open(self.machine.path(), policy).unwrap()),
        }
    }

    /// The clock of whoever verifies.
    pub(crate) fn clock(&self) -> Clock {
        let now = Arc::clone(&self.now);
        Arc::new(move || UnixTime(now.load(Ordering::Relaxed)))
    }

    /// The clock of whoever makes certificates, ahead or behind.
    pub(crate) fn clock_off_by(&self, seconds: i64) -> Clock {
        let now = Arc::clone(&self.now);
        Arc::new(move || UnixTime(now.load(Ordering::Relaxed).strict_add_signed(seconds)))
    }

    pub(crate) fn appraiser(&self) -> Appraiser {
        Appraiser::new(self.manifest.clone(), self.options.clone(), self.clock())
    }

    pub(crate) fn server(&self, policy: &[u8]) -> Server {
        Server::new(self.quoter(policy), self.clock())
    }

    pub(crate) fn identity(&self, policy: &[u8]) -> Identity {
        Identity { quoter: self.quoter(policy), key: Arc::new(MeshKey::generate().unwrap()) }
    }

    pub(crate) fn client(&self, policy: &[u8]) -> Client {
        Client::attested(self.identity(policy), self.clock())
    }

    pub(crate) fn anonymous(&self) -> Client {
        Client::anonymous(self.clock())
    }

    pub(crate) async fn verify<T>(
        &self,
        peer: Result<Unverified<T>, AtlsError>,
        demand: Demand,
    ) -> Result<Attested<T>, AtlsError> {
        peer?.verify(&self.appraiser(), demand).await.map_err(|refused| refused.error)
    }
}

fn simulated() -> (Manifest, VerifyOptions) {
    let entry = |policy, sans, role| Entry { policy, sans, workload_secret_id: None, role };
    let raw = generate::simulated(&[
        entry(COORDINATOR, &["coordinator"], Role::Coordinator),
        entry(WORKLOAD, &["workload"], Role::Workload),
    ]);
    let simulated = Some(SimulatedAllowed::danger_accept_simulated());
    (Manifest::parse(&raw).unwrap(), VerifyOptions { simulated, ..VerifyOptions::default() })
}

fn snp(folder: &std::path::Path, now: u64) -> (Manifest, VerifyOptions) {
    let machine = amd::Evidence::new(amd::Product::Genoa, amd::Signer::Vcek).made_at(now);
    machine.write_machine(folder, amd::Extras::All).unwrap();
    let json = json!({
        "Policies": {
            PolicyHash::of(COORDINATOR).to_string(): {"SANs": ["coordinator"], "Role": "coordinator"},
            PolicyHash::of(WORKLOAD).to_string(): {"SANs": ["workload"]},
        },
        "ReferenceValues": {"snp": [{
            "ProductName": "Genoa",
            "TrustedMeasurement": "3e".repeat(48),
            "MinimumTCB": {"BootloaderVersion": 4, "TEEVersion": 1, "SNPVersion": 24, "MicrocodeVersion": 219},
            "GuestPolicy": {"SMT": true, "ABIMinor": 31},
            "PlatformInfo": {"SMTEnabled": true, "ECCEnabled": true, "AliasCheckComplete": true},
        }]},
    });
    let roots =
        Roots::danger_test_snp(snp::Product::Genoa, &std::fs::read(folder.join("ark.der")).unwrap()).unwrap();
    (
        Manifest::parse(json.to_string().as_bytes()).unwrap(),
        VerifyOptions { roots, ..VerifyOptions::default() },
    )
}

/// Both ends of a connection.
pub(crate) async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

pub(crate) type AtServer = Result<Unverified<server::TlsStream<TcpStream>>, AtlsError>;
pub(crate) type AtClient = Result<Unverified<client::TlsStream<TcpStream>>, AtlsError>;

/// What each end says to a mutual handshake.
pub(crate) async fn mutual(server: &Server, client: &Client) -> (AtServer, AtClient) {
    let (near, far) = tcp().await;
    tokio::join!(server.accept_mutual(far), client.connect(near))
}

/// A byte each way.
pub(crate) async fn talk<S, C>(server: &mut S, client: &mut C)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let near = async {
        client.write_all(b"c").await.unwrap();
        client.flush().await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b's');
    };
    let far = async {
        assert_eq!(server.read_u8().await.unwrap(), b'c');
        server.write_all(b"s").await.unwrap();
        server.flush().await.unwrap();
    };
    tokio::join!(near, far);
}
