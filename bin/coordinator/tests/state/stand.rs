//! What the tests share: owners with keys, manifests that name them, coordinators over a store, and each other as peers.

use std::sync::{Arc, Mutex, OnceLock, Weak};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::RSA_PSS_SHA384;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::ecdsa::{DerSignature, SigningKey};
use p384::pkcs8::EncodePublicKey as _;
use privatemode_attest::{EvidenceKind, SimulatedAllowed, UnixTime};
use privatemode_coordinator::Coordinator;
use privatemode_coordinator::deployment::{Own, PolicyFile};
use privatemode_coordinator::peers::{Peers, PeersError};
use privatemode_coordinator::seed::Seed;
use privatemode_coordinator::shares::SeedShares;
use privatemode_coordinator::state::InForce;
use privatemode_coordinator::state::recover::{PeerState, RecoverRequest};
use privatemode_coordinator::state::set::SetRequest;
use privatemode_manifest::generate::{Entry, simulated};
use privatemode_manifest::history::{Transition, update_digest};
use privatemode_manifest::{Manifest, PolicyHash, Role, VerifyOptions};
use privatemode_service::BoxFuture;
use privatemode_store::state::{StateError, StateStore};
use zeroize::Zeroizing;

pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);
pub(crate) const COORDINATOR: &[u8] = b"policy of the coordinator";
const GATEWAY: &[u8] = b"policy of the gateway";

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A workload owner.
pub(crate) struct Owner(SigningKey);

impl Owner {
    pub(crate) fn new(byte: u8) -> Self {
        Self(SigningKey::from_slice(&[byte; 48]).unwrap())
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        self.0.verifying_key().to_public_key_der().unwrap().into_vec()
    }

    /// Signs `manifest` as the successor of `latest`.
    pub(crate) fn sign(&self, latest: &[u8; 32], manifest: &[u8]) -> Vec<u8> {
        let next = Transition::of_digest(*latest).then(manifest);
        let signature: DerSignature = self.0.sign_prehash(&update_digest(&next)).unwrap();
        signature.as_bytes().to_vec()
    }
}

/// A share owner. Making an RSA key takes a while: there are two for all tests.
pub(crate) struct ShareOwner {
    decrypting: PrivateDecryptingKey,
    signing: KeyPair,
    pub(crate) pkcs1: Vec<u8>,
}

pub(crate) fn share_owner(number: usize) -> &'static ShareOwner {
    static OWNERS: [OnceLock<ShareOwner>; 2] = [OnceLock::new(), OnceLock::new()];
    OWNERS[number].get_or_init(|| {
        let decrypting = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&decrypting).unwrap();
        let signing = KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(&decrypting.public_key()).unwrap();
        ShareOwner { decrypting, signing, pkcs1: spki.as_ref()[24..].to_vec() }
    })
}

impl ShareOwner {
    pub(crate) fn open(&self, shares: &SeedShares) -> Vec<u8> {
        let mine = shares.seed_shares.iter().find(|share| share.public_key == hex(&self.pkcs1)).unwrap();
        let encrypted = STANDARD.decode(&mine.encrypted_seed).unwrap();
        let key = OaepPrivateDecryptingKey::new(self.decrypting.clone()).unwrap();
        let mut out = vec![0; key.min_output_size()];
        key.decrypt(&OAEP_SHA256_MGF1SHA256, &encrypted, &mut out, Some(b"seedshare")).unwrap().to_vec()
    }

    pub(crate) fn request(&self, shares: &SeedShares, latest: [u8; 32]) -> RecoverRequest {
        self.request_with(&self.open(shares), &STANDARD.decode(&shares.salt).unwrap(), latest)
    }

    pub(crate) fn request_with(&self, seed: &[u8], salt: &[u8], latest: [u8; 32]) -> RecoverRequest {
        let message = Seed::recovery_message(&latest, seed, salt);
        let mut signature = vec![0; self.signing.public_modulus_len()];
        let random = aws_lc_rs::rand::SystemRandom::new();
        self.signing.sign(&RSA_PSS_SHA384, &random, &message, &mut signature).unwrap();
        RecoverRequest {
            seed: Zeroizing::new(seed.to_vec()),
            salt: salt.to_vec(),
            latest,
            owner_key: self.pkcs1.clone(),
            signature,
            force: false,
        }
    }
}

/// A manifest that `version` tells from others, with workload owner 1 and share owner 0.
pub(crate) fn manifest(version: u32) -> Vec<u8> {
    let owners = format!("[\"{}\"]", hex(&Owner::new(1).spki()));
    manifest_with(version, "WorkloadOwnerPubKeys", &owners, &[&share_owner(0).pkcs1])
}

pub(crate) fn manifest_with(version: u32, member: &str, owners: &str, share_owners: &[&[u8]]) -> Vec<u8> {
    let name = format!("gateway-{version}");
    let names = [name.as_str()];
    let entry = |policy, sans, role| Entry { policy, sans, workload_secret_id: None, role };
    let text = simulated(&[
        entry(COORDINATOR, &["coordinator"], Role::Coordinator),
        entry(GATEWAY, &names, Role::Workload),
    ]);
    let share_owners: Vec<_> = share_owners.iter().map(|owner| format!("\"{}\"", hex(owner))).collect();
    let more = format!(
        "\"{member}\": {owners}, \"SeedshareOwnerPubKeys\": [{}], \"Protocols\"",
        share_owners.join(",")
    );
    String::from_utf8(text).unwrap().replace("\"Protocols\"", &more).into_bytes()
}

pub(crate) fn policies() -> Vec<PolicyFile> {
    let file = |name: &str, bytes: &[u8]| PolicyFile { name: name.into(), bytes: bytes.to_vec() };
    vec![file("coordinator", COORDINATOR), file("gateway", GATEWAY)]
}

pub(crate) fn first(manifest: Vec<u8>) -> SetRequest {
    SetRequest { manifest, policies: policies(), ..SetRequest::default() }
}

/// Signed by workload owner 1.
pub(crate) fn update(latest: &[u8; 32], manifest: Vec<u8>) -> SetRequest {
    let signature = Some(Owner::new(1).sign(latest, &manifest));
    SetRequest { signature, ..first(manifest) }
}

pub(crate) async fn coordinator(store: Arc<dyn StateStore>) -> Coordinator {
    open(store).await.unwrap()
}

pub(crate) async fn open(store: Arc<dyn StateStore>) -> Result<Coordinator, StateError> {
    let own = Own { policy: PolicyHash::of(COORDINATOR), kind: EvidenceKind::Simulated };
    let quoter = privatemode_mesh::quoter(EvidenceKind::Simulated, Some(own.policy), None).unwrap();
    let options = VerifyOptions {
        simulated: Some(SimulatedAllowed::danger_accept_simulated()),
        ..VerifyOptions::default()
    };
    Coordinator::open(own, store, quoter, options, Arc::new(|| NOW)).await
}

pub(crate) fn latest(coordinator: &Coordinator) -> [u8; 32] {
    coordinator.in_force().unwrap().latest().hash
}

/// What a coordinator sends to another one.
pub(crate) fn peer_state(in_force: &InForce) -> PeerState {
    PeerState {
        seed: Zeroizing::new(in_force.seed().expose().to_vec()),
        salt: in_force.seed().salt().to_vec(),
        mesh_key: in_force.authority().mesh_key().clone(),
        latest_manifest: in_force.manifest().raw().to_vec(),
        certificates: Some(in_force.authority().certificates().clone()),
    }
}

/// The coordinators of this process as each other's peers. What attested TLS would prove is taken for granted here.
#[derive(Default)]
pub(crate) struct Neighbours(Mutex<Vec<Weak<Coordinator>>>);

impl Neighbours {
    pub(crate) fn add(&self, coordinator: &Arc<Coordinator>) {
        self.0.lock().unwrap().push(Arc::downgrade(coordinator));
    }

    pub(crate) async fn start(self: &Arc<Self>, store: Arc<dyn StateStore>) -> Arc<Coordinator> {
        let peers: Arc<dyn Peers> = Arc::clone(self) as _;
        let coordinator = Arc::new(coordinator(store).await.with_peers(peers));
        self.add(&coordinator);
        coordinator
    }
}

impl Peers for Neighbours {
    fn ask<'a>(&'a self, _: &'a Manifest) -> BoxFuture<'a, Result<PeerState, PeersError>> {
        let neighbours = self.0.lock().unwrap();
        let up = neighbours.iter().filter_map(|weak| weak.upgrade()?.in_force().ok()).next();
        let state = up.map(|in_force| peer_state(&in_force));
        Box::pin(std::future::ready(state.ok_or(PeersError { refusals: Vec::new() })))
    }
}
