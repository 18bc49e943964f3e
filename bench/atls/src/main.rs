//! What a handshake of attested TLS costs, and where the time goes: quotes, TLS with its certificates, verification.
//!
//! ```sh
//! cargo run --release -p bench-atls -- [ROUNDS]
//! ```
//!
//! Both ends in this process, over TCP on the loopback device, one connection at a time. The simulated platform quotes in no
//! time; fake SEV-SNP reports are read from files and signed, and verified as genuine ones are, under a test's root. What
//! hardware takes for a quote comes on top. Prints Markdown; asserts nothing.

#![expect(clippy::print_stdout, reason = "the figures are this program's output")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use privatemode_attest::{EvidenceKind, ReportData, SimulatedAllowed, snp};
use privatemode_manifest::{Manifest, PolicyHash, Roots, VerifyOptions};
use privatemode_mesh::atls::{Appraiser, Client, Demand, Identity, Server, wall_clock};
use privatemode_mesh::{FakeSnpQuoter, MeshKey, QuoteError, Quoter, SimulatedQuoter};
use privatemode_test_pki::amd;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

const ROUNDS: usize = 200;
static POLICY: LazyLock<PolicyHash> = LazyLock::new(|| PolicyHash::of(b"policy of the coordinator"));

/// Counts the time that the platform takes.
struct Timed {
    inner: Arc<dyn Quoter>,
    nanoseconds: Arc<AtomicU64>,
}

impl Quoter for Timed {
    fn kind(&self) -> EvidenceKind {
        self.inner.kind()
    }

    fn quote(&self, bind: &ReportData) -> Result<Vec<u8>, QuoteError> {
        let started = Instant::now();
        let quoted = self.inner.quote(bind);
        let taken = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(taken, Ordering::Relaxed);
        quoted
    }
}

/// One kind of evidence.
struct Platform {
    name: &'static str,
    quoter: Arc<dyn Quoter>,
    quoting: Arc<AtomicU64>,
    appraiser: Appraiser,
}

impl Platform {
    fn new(
        name: &'static str,
        inner: Arc<dyn Quoter>,
        reference_values: &Value,
        options: VerifyOptions,
    ) -> Result<Self> {
        let quoting = Arc::new(AtomicU64::new(0));
        let policies = json!({POLICY.to_string(): {"SANs": ["coordinator"], "Role": "coordinator"}});
        let manifest = json!({"Policies": policies, "ReferenceValues": reference_values}).to_string();
        Ok(Self {
            name,
            quoter: Arc::new(Timed { inner, nanoseconds: Arc::clone(&quoting) }),
            quoting,
            appraiser: Appraiser::new(Manifest::parse(manifest.as_bytes())?, options, wall_clock()),
        })
    }

    fn simulated() -> Result<Self> {
        let options = VerifyOptions {
            simulated: Some(SimulatedAllowed::danger_accept_simulated()),
            ..VerifyOptions::default()
        };
        let quoter = Arc::new(SimulatedQuoter { host_data: *POLICY.as_bytes() });
        let values = json!({"simulated": [{"HostData": POLICY.to_string()}]});
        Self::new("simulated", quoter, &values, options)
    }

    fn fake_snp(folder: &std::path::Path) -> Result<Self> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let machine = amd::Evidence::new(amd::Product::Genoa, amd::Signer::Vcek).made_at(now);
        machine.write_machine(folder, amd::Extras::All)?;
        let roots = Roots::danger_test_snp(snp::Product::Genoa, &std::fs::read(folder.join("ark.der"))?)?;
        let values = json!({"snp": [{
            "ProductName": "Genoa",
            "TrustedMeasurement": "3e".repeat(48),
            "MinimumTCB": {"BootloaderVersion": 4, "TEEVersion": 1, "SNPVersion": 24, "MicrocodeVersion": 219},
            "GuestPolicy": {"SMT": true, "ABIMinor": 31},
            "PlatformInfo": {"SMTEnabled": true, "ECCEnabled": true, "AliasCheckComplete": true},
        }]});
        let quoter = Arc::new(FakeSnpQuoter::open(folder, *POLICY)?);
        Self::new("fake SEV-SNP", quoter, &values, VerifyOptions { roots, ..VerifyOptions::default() })
    }
}

/// Where the time of one connection went.
struct Cost {
    total: Duration,
    quoting: Duration,
    tls: Duration,
    verifying: Duration,
}

async fn one(platform: &Platform, server: &Server, client: &Client, mutual: bool) -> Result<Cost> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr()?), listener.accept());
    let (near, far) = (near?, far?.0);
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    platform.quoting.store(0, Ordering::Relaxed);
    let started = Instant::now();
    let (at_client, at_server) = if mutual {
        let (at_client, at_server) = tokio::join!(client.connect(near), server.accept_mutual(far));
        (at_client?, Some(at_server?))
    } else {
        let (at_client, at_server) = tokio::join!(client.connect(near), server.accept(far));
        at_server?;
        (at_client?, None)
    };
    let handshake = started.elapsed();
    at_client.verify(&platform.appraiser, Demand::Coordinator).await.map_err(|refused| refused.error)?;
    if let Some(at_server) = at_server {
        at_server.verify(&platform.appraiser, Demand::AnyWorkload).await.map_err(|refused| refused.error)?;
    }
    let total = started.elapsed();
    let quoting = Duration::from_nanos(platform.quoting.load(Ordering::Relaxed));
    Ok(Cost {
        total,
        quoting,
        tls: handshake.saturating_sub(quoting),
        verifying: total.saturating_sub(handshake),
    })
}

async fn measure(platform: &Platform, mutual: bool, rounds: usize) -> Result<()> {
    let clock = wall_clock();
    let server = Server::new(Arc::clone(&platform.quoter), Arc::clone(&clock));
    let client = if mutual {
        let key = Arc::new(MeshKey::generate()?);
        Client::attested(Identity { quoter: Arc::clone(&platform.quoter), key }, clock)
    } else {
        Client::anonymous(clock)
    };
    let mut costs = Vec::new();
    for round in 0..rounds + rounds / 10 {
        let cost = one(platform, &server, &client, mutual).await?;
        // the first ones warm up
        if round >= rounds / 10 {
            costs.push(cost);
        }
    }
    let median = |part: fn(&Cost) -> Duration| {
        let mut times: Vec<_> = costs.iter().map(part).collect();
        times.sort_unstable();
        times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    println!(
        "| {} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
        platform.name,
        if mutual { "both ends" } else { "the server" },
        median(|cost| cost.total),
        median(|cost| cost.quoting),
        median(|cost| cost.tls),
        median(|cost| cost.verifying),
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let rounds =
        std::env::args().nth(1).map(|rounds| rounds.parse()).transpose().context("ROUNDS is a number")?;
    let rounds = rounds.unwrap_or(ROUNDS);
    let folder = tempfile::tempdir()?;
    println!("| evidence | who is attested | median ms | quotes | TLS and certificates | verification |");
    println!("| --- | --- | ---: | ---: | ---: | ---: |");
    for platform in [Platform::simulated()?, Platform::fake_snp(folder.path())?] {
        for mutual in [false, true] {
            measure(&platform, mutual, rounds).await?;
        }
    }
    Ok(())
}
