//! Coordinators over one store, each with a mesh API, on the simulated platform or on fake SEV-SNP evidence.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::ecdsa::{DerSignature, SigningKey};
use p384::pkcs8::EncodePublicKey as _;
use privatemode_attest::{EvidenceKind, SimulatedAllowed, snp};
use privatemode_coordinator::Coordinator;
use privatemode_coordinator::deployment::{Own, PolicyFile};
use privatemode_coordinator::mesh_api::{Limits, MeshApi, MeshClient, OfCoordinator};
use privatemode_coordinator::state::set::SetRequest;
use privatemode_manifest::history::{Transition, update_digest};
use privatemode_manifest::{Manifest, PolicyHash, Roots, VerifyOptions};
use privatemode_mesh::atls::{Appraiser, Identity, wall_clock};
use privatemode_mesh::{FakeSnpQuoter, MeshKey, Quoter, SimulatedQuoter};
use privatemode_service::{Shutdown, listen};
use privatemode_store::state::MemoryState;
use privatemode_test_pki::amd;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

pub(crate) const COORDINATOR: &[u8] = b"policy of the coordinator";
pub(crate) const SECRETS: &[u8] = b"policy of the secret service";
pub(crate) const GATEWAY: &[u8] = b"policy of the gateway";
pub(crate) const FOREIGN: &[u8] = b"policy of somebody else";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Platform {
    Simulated,
    Snp,
}

pub(crate) struct Stand {
    pub(crate) platform: Platform,
    pub(crate) options: VerifyOptions,
    pub(crate) store: Arc<MemoryState>,
    pub(crate) folder: tempfile::TempDir,
}

/// One of the coordinators.
pub(crate) struct One {
    pub(crate) coordinator: Arc<Coordinator>,
    pub(crate) address: SocketAddr,
    shutdown: Shutdown,
    running: JoinHandle<()>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn owner() -> SigningKey {
    SigningKey::from_slice(&[1; 48]).unwrap()
}

impl Stand {
    pub(crate) fn new(platform: Platform) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = match platform {
            Platform::Simulated => VerifyOptions {
                simulated: Some(SimulatedAllowed::danger_accept_simulated()),
                ..VerifyOptions::default()
            },
            Platform::Snp => snp_options(&folder.path().join("machine")),
        };
        for (name, policy) in
            [("coordinator", COORDINATOR), ("secrets", SECRETS), ("gateway", GATEWAY), ("foreign", FOREIGN)]
        {
            std::fs::write(folder.path().join(name), policy).unwrap();
        }
        let stand = Self { platform, options, store: Arc::new(MemoryState::new()), folder };
        std::fs::write(stand.folder.path().join("manifest.json"), stand.manifest(1)).unwrap();
        std::fs::write(stand.folder.path().join("values.json"), stand.reference_values().to_string())
            .unwrap();
        stand
    }

    fn reference_values(&self) -> Value {
        match self.platform {
            Platform::Simulated => {
                let all = [COORDINATOR, SECRETS, GATEWAY]
                    .map(|policy| json!({"HostData": PolicyHash::of(policy).to_string()}));
                json!({ "simulated": all })
            }
            Platform::Snp => json!({"snp": [{
                "ProductName": "Genoa",
                "TrustedMeasurement": "3e".repeat(48),
                "MinimumTCB": {"BootloaderVersion": 4, "TEEVersion": 1, "SNPVersion": 24, "MicrocodeVersion": 219},
                "GuestPolicy": {"SMT": true, "ABIMinor": 31},
                "PlatformInfo": {"SMTEnabled": true, "ECCEnabled": true, "AliasCheckComplete": true},
            }]}),
        }
    }

    pub(crate) fn manifest(&self, version: u32) -> Vec<u8> {
        let owner = owner().verifying_key().to_public_key_der().unwrap().into_vec();
        let name = |policy| PolicyHash::of(policy).to_string();
        json!({
            "Policies": {
                name(COORDINATOR): {"SANs": ["coordinator"], "Role": "coordinator"},
                name(SECRETS): {"SANs": ["secret-service"], "WorkloadSecretID": "the secret"},
                name(GATEWAY): {"SANs": ["gateway", format!("gateway-{version}")]},
            },
            "ReferenceValues": self.reference_values(),
            "WorkloadOwnerPubKeys": [hex(&owner)],
        })
        .to_string()
        .into_bytes()
    }

    pub(crate) fn quoter(&self, policy: &[u8]) -> Arc<dyn Quoter> {
        let policy = PolicyHash::of(policy);
        match self.platform {
            Platform::Simulated => Arc::new(SimulatedQuoter { host_data: *policy.as_bytes() }),
            Platform::Snp => {
                Arc::new(FakeSnpQuoter::open(self.folder.path().join("machine"), policy).unwrap())
            }
        }
    }

    /// A coordinator without a manifest, or, with a store that has one, a stale one.
    pub(crate) async fn start(&self, change: impl FnOnce(Coordinator) -> Coordinator) -> One {
        self.start_with(Limits::default(), change).await
    }

    pub(crate) async fn start_with(
        &self,
        limits: Limits,
        change: impl FnOnce(Coordinator) -> Coordinator,
    ) -> One {
        let kind = match self.platform {
            Platform::Simulated => EvidenceKind::Simulated,
            Platform::Snp => EvidenceKind::Snp,
        };
        let own = Own { policy: PolicyHash::of(COORDINATOR), kind };
        let quoter = self.quoter(COORDINATOR);
        let coordinator = Coordinator::open(
            own,
            Arc::clone(&self.store) as _,
            Arc::clone(&quoter),
            self.options.clone(),
            wall_clock(),
        )
        .await
        .unwrap();
        let coordinator = Arc::new(change(coordinator));
        let backend = Arc::new(OfCoordinator::new(Arc::clone(&coordinator), None));
        let api = MeshApi::new(quoter, wall_clock(), backend).with_limits(limits);
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let running = tokio::spawn(api.serve(listener, shutdown.clone()));
        One { coordinator, address, shutdown, running }
    }

    /// A coordinator with the first manifest in force.
    pub(crate) async fn set(&self) -> One {
        let one = self.start(|coordinator| coordinator).await;
        self.set_manifest(&one, 1).await;
        one
    }

    pub(crate) async fn set_manifest(&self, one: &One, version: u32) {
        let manifest = self.manifest(version);
        let file = |name: &str, bytes: &[u8]| PolicyFile { name: name.into(), bytes: bytes.to_vec() };
        let policies =
            vec![file("coordinator", COORDINATOR), file("secrets", SECRETS), file("gateway", GATEWAY)];
        let signature = one.coordinator.in_force().ok().map(|in_force| {
            let next = Transition::of_digest(in_force.latest().hash).then(&manifest);
            let signature: DerSignature = owner().sign_prehash(&update_digest(&next)).unwrap();
            signature.as_bytes().to_vec()
        });
        let request = SetRequest { manifest, policies, signature, ..SetRequest::default() };
        one.coordinator.set(request).await.unwrap();
    }

    /// Who is expected to answer.
    pub(crate) fn expected(&self, version: u32) -> Appraiser {
        let manifest = Manifest::parse(&self.manifest(version)).unwrap();
        Appraiser::new(manifest, self.options.clone(), wall_clock())
    }

    pub(crate) fn identity(&self, policy: &[u8]) -> Identity {
        Identity { quoter: self.quoter(policy), key: Arc::new(MeshKey::generate().unwrap()) }
    }

    pub(crate) fn client(&self, policy: &[u8], address: SocketAddr) -> MeshClient {
        MeshClient::new(address.to_string(), self.identity(policy), wall_clock())
    }
}

impl One {
    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        self.running.await.unwrap();
    }
}

fn snp_options(machine: &Path) -> VerifyOptions {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let evidence = amd::Evidence::new(amd::Product::Genoa, amd::Signer::Vcek).made_at(now);
    evidence.write_machine(machine, amd::Extras::All).unwrap();
    let ark = std::fs::read(machine.join("ark.der")).unwrap();
    let roots = Roots::danger_test_snp(snp::Product::Genoa, &ark).unwrap();
    VerifyOptions { roots, ..VerifyOptions::default() }
}
