//! A session against a deployment in memory: what it does in good order, and that each attack ends in its own error.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test that fails is a failed test")]

use std::{
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use privatemode_client::{
    AttestationError, ManifestError, Manifests, Nonce, Outcome, Phase, RenewError, Session, Settings,
    SignerError, Transport, TransportError,
    testing::{Ca, Deployment, ManualClock},
};
use privatemode_manifest::{Manifest, VerifyError};

const START: u64 = 1_800_000_000;

/// What the gateway in the middle does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gateway {
    Honest,
    /// Plays the first attestation back.
    Replays,
    /// Asks the coordinator with its own nonce.
    OtherNonce,
    /// Signs with a workload of its own mesh.
    ForeignMesh,
    /// Signs with another workload of the right mesh.
    OtherWorkload,
    /// Signs with a certificate that has the public service's name.
    PublicName,
    /// Keeps the certificate, but signs another exchange.
    OtherExchange,
    Down,
    Unauthorized,
}

struct Net {
    deployment: Mutex<Arc<Deployment>>,
    gateway: Mutex<Gateway>,
    recorded: Mutex<Option<Vec<u8>>>,
    attests: AtomicUsize,
    exchanges: AtomicUsize,
}

impl Net {
    fn new(deployment: &Arc<Deployment>) -> Arc<Self> {
        Arc::new(Self {
            deployment: Mutex::new(Arc::clone(deployment)),
            gateway: Mutex::new(Gateway::Honest),
            recorded: Mutex::default(),
            attests: AtomicUsize::new(0),
            exchanges: AtomicUsize::new(0),
        })
    }

    fn becomes(&self, gateway: Gateway) {
        *self.gateway.lock().unwrap() = gateway;
    }

    fn deployment(&self) -> Arc<Deployment> {
        Arc::clone(&self.deployment.lock().unwrap())
    }

    fn fault(&self) -> Result<Gateway, TransportError> {
        match *self.gateway.lock().unwrap() {
            Gateway::Down => Err(TransportError::Unreachable { source: "refused".into() }),
            Gateway::Unauthorized => Err(TransportError::Unauthorized { status: 401, body: b"{}".to_vec() }),
            gateway => Ok(gateway),
        }
    }
}

impl Transport for Net {
    async fn attest(&self, nonce: Nonce) -> Result<Vec<u8>, TransportError> {
        self.attests.fetch_add(1, SeqCst);
        tokio::task::yield_now().await; // others may come while this is under way
        let gateway = self.fault()?;
        let honest = self.deployment().attest(nonce);
        let first = self.recorded.lock().unwrap().get_or_insert_with(|| honest.clone()).clone();
        Ok(match gateway {
            Gateway::Replays => first,
            Gateway::OtherNonce => self.deployment().attest(Nonce([7; 32])),
            _ => honest,
        })
    }

    async fn exchange(&self, request: String) -> Result<Vec<u8>, TransportError> {
        self.exchanges.fetch_add(1, SeqCst);
        let deployment = self.deployment();
        Ok(match self.fault()? {
            Gateway::ForeignMesh => deployment.exchange_signed_by(
                &request,
                &Ca::new("system:coordinator:intermediate").workload("secret-service"),
            ),
            Gateway::OtherWorkload => {
                deployment.exchange_signed_by(&request, &deployment.mesh_ca.workload("inference-proxy"))
            }
            Gateway::PublicName => {
                deployment.exchange_signed_by(&request, &deployment.mesh_ca.workload("secret.privatemode.ai"))
            }
            Gateway::OtherExchange => {
                let other = deployment.exchange(&request);
                let mut reply: serde_json::Value =
                    serde_json::from_slice(&deployment.exchange(&request)).unwrap();
                let other: serde_json::Value = serde_json::from_slice(&other).unwrap();
                reply["EncapsulatedKey"] = other["EncapsulatedKey"].clone();
                serde_json::to_vec(&reply).unwrap()
            }
            _ => deployment.exchange(&request),
        })
    }
}

/// The manifests of a CDN, and the record of what was enforced.
struct Cdn {
    manifest: Mutex<Vec<u8>>,
    fetches: AtomicUsize,
    enforced: Mutex<Vec<String>>,
    disk_full: bool,
}

impl Cdn {
    fn of(deployment: &Deployment) -> Arc<Self> {
        Arc::new(Self {
            manifest: Mutex::new(deployment.manifest.clone()),
            fetches: AtomicUsize::new(0),
            enforced: Mutex::default(),
            disk_full: false,
        })
    }

    fn publishes(&self, deployment: &Deployment) {
        *self.manifest.lock().unwrap() = deployment.manifest.clone();
    }
}

impl Manifests for Cdn {
    async fn fetch(&self) -> Result<Manifest, ManifestError> {
        self.fetches.fetch_add(1, SeqCst);
        Ok(Manifest::parse(&self.manifest.lock().unwrap()).unwrap())
    }

    fn enforced(&self, manifest: &Manifest) -> Result<(), Box<dyn Error + Send + Sync>> {
        if self.disk_full {
            return Err("disk full".into());
        }
        self.enforced.lock().unwrap().push(manifest.digest().to_string());
        Ok(())
    }
}

struct World {
    net: Arc<Net>,
    cdn: Arc<Cdn>,
    clock: Arc<ManualClock>,
    session: Arc<Session<Arc<Net>, Arc<Cdn>>>,
}

fn world_with(deployment: &Arc<Deployment>, cdn: Arc<Cdn>) -> World {
    let net = Net::new(deployment);
    let clock = ManualClock::at(START);
    let settings = Settings { clock: clock.clone(), ..Settings::system(Deployment::options()) };
    let session = Session::new(Arc::clone(&net), Arc::clone(&cdn), settings);
    World { net, cdn, clock, session }
}

fn world() -> World {
    let deployment = Arc::new(Deployment::new("1"));
    let cdn = Cdn::of(&deployment);
    world_with(&deployment, cdn)
}

impl World {
    fn counts(&self) -> (usize, usize, usize) {
        (self.cdn.fetches.load(SeqCst), self.net.attests.load(SeqCst), self.net.exchanges.load(SeqCst))
    }
}

fn error(outcome: Outcome) -> Arc<RenewError> {
    outcome.expect_err("no credential")
}

/// The step of the verification that failed.
fn step(error: &RenewError) -> &VerifyError {
    match error {
        RenewError::Attestation { source } => match &**source {
            AttestationError::Verify { source } => source,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn in_good_order() {
    let world = world();
    assert_eq!(world.session.status().phase(), Phase::NeverVerified);

    let credential = world.session.credential().await.unwrap();
    let shared = world.net.deployment().secret(credential.id()).unwrap();
    assert_eq!(shared.expose(), credential.secret().expose(), "both sides have the same secret");
    assert_eq!(format!("{credential:?}").matches("secret: ").count(), 0);

    let status = world.session.status();
    assert_eq!(status.phase(), Phase::Verified);
    let verified = status.verified.as_ref().unwrap();
    let manifest = Manifest::parse(&world.net.deployment().manifest).unwrap();
    assert_eq!(verified.manifest_digest, manifest.digest().to_string());
    assert!(verified.simulated && verified.platform == "SIMULATED");
    assert!(verified.downgrades[0].starts_with("SIMULATED"), "{:?}", verified.downgrades);
    assert_eq!(verified.mesh_ca_pem.as_bytes(), world.net.deployment().mesh_ca.pem);
    assert_eq!(*world.cdn.enforced.lock().unwrap(), std::slice::from_ref(&verified.manifest_digest));
    assert_eq!(world.counts(), (1, 1, 1));

    // used again, not renewed again
    assert_eq!(world.session.credential().await.unwrap().id(), credential.id());
    assert_eq!(world.counts(), (1, 1, 1));
}

#[tokio::test]
async fn a_machine_that_slept_past_the_end_renews_before_use() {
    let world = world();
    let first = world.session.credential().await.unwrap();
    world.clock.advance(3600);
    assert!(!world.session.status().is_ready(privatemode_client::Clock::now(&*world.clock)));
    let second = world.session.credential().await.unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!(world.counts(), (1, 2, 2), "attested again before the exchange");
}

#[tokio::test(start_paused = true)]
async fn the_background_renews_by_wall_clock_and_nobody_waits() {
    let world = world();
    let maintenance = tokio::spawn(Arc::clone(&world.session).maintain());
    let first = world.session.credential_within(Duration::from_secs(5)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1000)).await;
    assert_eq!(world.counts(), (1, 1, 1), "timers alone do not age a secret");

    // The wall clock jumps, as after a sleep; within 30 s of running time it is noticed.
    world.clock.advance(2700);
    tokio::time::sleep(Duration::from_secs(31)).await;
    let status = world.session.status();
    assert_ne!(status.credential.as_ref().unwrap().id(), first.id());
    assert_eq!(world.counts(), (1, 2, 2));
    maintenance.abort();
}

#[tokio::test]
async fn in_the_last_quarter_the_old_one_is_used_while_a_new_one_comes() {
    let world = world();
    let first = world.session.credential().await.unwrap();
    world.clock.advance(2700);
    assert_eq!(world.session.credential().await.unwrap().id(), first.id(), "no waiting");
    let second = world.session.replace(first.id()).await.unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!(world.counts(), (1, 2, 2), "the renewal under way was shared");
}

#[tokio::test]
async fn callers_that_lost_the_same_secret_share_one_renewal() {
    let world = world();
    let lost = world.session.credential().await.unwrap();
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (session, lost) = (Arc::clone(&world.session), lost.id().clone());
            tokio::spawn(async move { session.replace(&lost).await.unwrap().id().clone() })
        })
        .collect();
    let mut ids = Vec::new();
    for caller in callers {
        ids.push(caller.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_ne!(&ids[0], lost.id());
    assert_eq!(world.counts(), (1, 2, 2));
    // one that comes late with the same loss gets the new one, too
    assert_eq!(world.session.replace(lost.id()).await.unwrap().id(), &ids[0]);
    assert_eq!(world.counts(), (1, 2, 2));
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_end_the_renewal() {
    let world = world();
    let session = Arc::clone(&world.session);
    let caller = tokio::spawn(async move { session.credential().await.is_ok() });
    tokio::task::yield_now().await;
    caller.abort();
    world.session.credential().await.unwrap();
    assert_eq!(world.counts(), (1, 1, 1));
}

#[tokio::test]
async fn a_redeployment_is_followed_where_the_manifest_is_published() {
    let world = world();
    world.session.credential().await.unwrap();
    let next = Arc::new(Deployment::new("2"));
    world.cdn.publishes(&next);
    *world.net.deployment.lock().unwrap() = Arc::clone(&next);
    world.clock.advance(3600);
    let credential = world.session.credential().await.unwrap();
    assert!(next.secret(credential.id()).is_some());
    assert_eq!(world.counts(), (2, 3, 2), "failed, fetched, verified again");
    assert_eq!(world.cdn.enforced.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn attack_another_manifest_than_the_expected_one() {
    let world = world();
    *world.net.deployment.lock().unwrap() = Arc::new(Deployment::new("old"));
    let error = error(world.session.credential().await);
    assert!(matches!(step(&error), VerifyError::ManifestChanged { .. }), "{error:?}");
    assert_eq!(world.counts(), (2, 2, 0), "looked afresh once, exchanged nothing");
    assert!(world.cdn.enforced.lock().unwrap().is_empty(), "nothing was enforced");
    assert!(!error.is_transient());
    let status = world.session.status();
    assert_eq!((status.phase(), status.failing.as_ref().unwrap().attempts), (Phase::NeverVerified, 1));
}

#[tokio::test]
async fn attack_a_replayed_attestation() {
    let world = world();
    world.session.credential().await.unwrap();
    world.net.becomes(Gateway::Replays);
    world.clock.advance(3600);
    let error = error(world.session.credential().await);
    assert!(matches!(step(&error), VerifyError::ReportDataMismatch), "{error:?}");
    let status = world.session.status();
    assert_eq!(status.phase(), Phase::Failing);
    assert_eq!(status.failing.as_ref().unwrap().since.as_secs(), START + 3600);
}

#[tokio::test]
async fn attack_evidence_for_another_nonce() {
    let world = world();
    world.net.becomes(Gateway::OtherNonce);
    let error = error(world.session.credential().await);
    assert!(matches!(step(&error), VerifyError::ReportDataMismatch), "{error:?}");
}

#[tokio::test]
async fn attack_a_foreign_mesh_ca() {
    let world = world();
    world.net.becomes(Gateway::ForeignMesh);
    let error = error(world.session.credential().await);
    assert!(matches!(&*error, RenewError::Signer { source: SignerError::ForeignMeshCa { .. } }), "{error:?}");
}

#[tokio::test]
async fn attack_a_reply_signed_by_another_workload() {
    let world = world();
    world.net.becomes(Gateway::OtherWorkload);
    let error = error(world.session.credential().await);
    match &*error {
        RenewError::Signer { source: SignerError::NotSecretService { signer } } => {
            assert_eq!(signer, "inference-proxy");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_public_services_name_is_the_secret_service() {
    let world = world();
    world.net.becomes(Gateway::PublicName);
    world.session.credential().await.unwrap();
}

#[tokio::test]
async fn attack_a_signature_over_another_exchange() {
    let world = world();
    world.net.becomes(Gateway::OtherExchange);
    let error = error(world.session.credential().await);
    assert!(matches!(&*error, RenewError::Signer { source: SignerError::Signature { .. } }), "{error:?}");
}

#[tokio::test]
async fn simulated_evidence_needs_the_switch() {
    let deployment = Arc::new(Deployment::new("1"));
    let (net, cdn) = (Net::new(&deployment), Cdn::of(&deployment));
    let session = Session::new(net, cdn, Settings::system(privatemode_manifest::VerifyOptions::default()));
    let error = error(session.credential().await);
    assert!(matches!(step(&error), VerifyError::SimulatedNotAllowed), "{error:?}");
}

#[tokio::test]
async fn a_manifest_that_cannot_be_recorded_is_not_relied_on() {
    let deployment = Arc::new(Deployment::new("1"));
    let cdn = Arc::new(Cdn {
        manifest: Mutex::new(deployment.manifest.clone()),
        fetches: AtomicUsize::new(0),
        enforced: Mutex::default(),
        disk_full: true,
    });
    let world = world_with(&deployment, cdn);
    let error = error(world.session.credential().await);
    assert!(matches!(&*error, RenewError::Record { .. }), "{error:?}");
    assert_eq!(world.counts(), (1, 1, 0), "no secret was asked for");
}

#[tokio::test(start_paused = true)]
async fn callers_wait_for_a_gateway_that_comes_back_but_not_for_a_refused_key() {
    let world = world();
    world.net.becomes(Gateway::Down);
    let net = Arc::clone(&world.net);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        net.becomes(Gateway::Honest);
    });
    world.session.credential_within(Duration::from_secs(30)).await.unwrap();

    world.clock.advance(3600);
    world.net.becomes(Gateway::Unauthorized);
    let before = tokio::time::Instant::now();
    let error = error(world.session.credential_within(Duration::from_secs(30)).await);
    assert!(error.is_about_key(), "{error:?}");
    assert!(before.elapsed() < Duration::from_secs(1), "at once");
}

#[tokio::test(start_paused = true)]
async fn waiting_is_bounded_and_a_failure_is_not_asked_for_again_at_once() {
    let world = world();
    world.net.becomes(Gateway::Down);
    let error = error(world.session.credential_within(Duration::from_secs(10)).await);
    assert!(
        matches!(&*error, RenewError::Attest { source: TransportError::Unreachable { .. } }),
        "{error:?}"
    );
    let attests = world.net.attests.load(SeqCst);
    assert!(attests <= 11, "at most one a second: {attests}");
}
