//! The identity that [`crate::join()`] gives a workload: its key, its certificate, and the mesh CA that it trusts. What
//! changes with a renewal is in one [`State`] that is swapped as a whole.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;
use privatemode_attest::{
    UnixTime,
    mesh::{San, VerifiedMeshCertificate},
};
use privatemode_manifest::{Manifest, VerifiedDeployment};
use rustls::{
    RootCertStore,
    pki_types::CertificateDer,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};

use crate::{args::Settings, coordinator::Coordinator, key::MeshKey, quote::Quoter, tls};

/// A workload that has joined. Shared as `Arc`; everything is valid until the certificate expires, and
/// [`Self::spawn_renewal`] keeps it from that.
pub struct MeshIdentity {
    pub(crate) settings: Settings,
    pub(crate) coordinator: Coordinator,
    pub(crate) quoter: Arc<dyn Quoter>,
    pub(crate) key: MeshKey,
    pub(crate) shared: Arc<Shared>,
}

/// What the TLS verifiers see.
pub(crate) struct Shared {
    pub(crate) state: ArcSwap<State>,
    /// Verified peers by the SHA-256 of their certificate: a P-384 verification per request would cost more than most
    /// requests.
    pub(crate) peers: Mutex<HashMap<[u8; 32], Arc<VerifiedMeshCertificate>>>,
}

/// All of one certificate's lifetime.
pub(crate) struct State {
    pub(crate) deployment: VerifiedDeployment,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) certified: Arc<CertifiedKey>,
    /// The leaf's first name.
    pub(crate) name: String,
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) clients: Arc<dyn ClientCertVerifier>,
    pub(crate) not_after: UnixTime,
    /// Two thirds of the lifetime that was left when the certificate came.
    pub(crate) renew_at: UnixTime,
}

impl fmt::Debug for MeshIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MeshIdentity").field("key", &self.key).finish_non_exhaustive()
    }
}

impl State {
    /// `leaf` is the verified first certificate of `chain`, for the key of `key`.
    pub(crate) fn new(
        deployment: VerifiedDeployment,
        chain: Vec<CertificateDer<'static>>,
        leaf: &VerifiedMeshCertificate,
        key: &MeshKey,
        now: UnixTime,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(deployment.mesh_ca().der().to_vec()))?;
        let roots = Arc::new(roots);
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), tls::provider()).build()?;
        // Only the leaf is shown: it is signed by the CA directly, and nothing else would count.
        let shown = chain.iter().take(1).cloned().collect();
        let certified = Arc::new(CertifiedKey::new(shown, key.tls()));
        let name = match leaf.sans().first() {
            Some(San::Dns(name) | San::Uri(name)) => name.clone(),
            Some(San::Ip(address)) => address.to_string(),
            None => String::new(),
        };
        let not_after = leaf.not_after();
        let left = not_after.as_secs().saturating_sub(now.as_secs());
        let renew_at = now.saturating_add(left / 3 * 2);
        Ok(Self { deployment, chain, certified, name, roots, clients, not_after, renew_at })
    }
}

impl MeshIdentity {
    /// Our certificate, DER.
    #[must_use]
    pub fn leaf_der(&self) -> Vec<u8> {
        self.shared.state.load().chain.first().map(|leaf| leaf.to_vec()).unwrap_or_default()
    }

    /// Our certificate and what the coordinator sent with it, leaf first.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.shared.state.load().chain.clone()
    }

    /// The first name in our certificate, which is its common name as well: as whom etcd knows us.
    #[must_use]
    pub fn name(&self) -> String {
        self.shared.state.load().name.clone()
    }

    /// ASN.1 ECDSA (P-256) signature over a SHA-256 digest by the key of [`Self::leaf_der`]. The key stays the same over
    /// renewals, so that any leaf of this process fits any signature of it.
    #[must_use]
    pub fn sign_prehash_asn1(&self, digest: &[u8; 32]) -> Vec<u8> {
        self.key.sign_prehash_asn1(digest)
    }

    /// ASN.1 ECDSA (P-256) signature over the SHA-256 of `message`, as [`Self::sign_prehash_asn1`].
    #[must_use]
    pub fn sign_asn1(&self, message: &[u8]) -> Vec<u8> {
        self.sign_prehash_asn1(&Sha256::digest(message).into())
    }

    /// The manifest that the coordinator proved to enforce.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.settings.manifest
    }

    /// The deployment as it was verified last.
    #[must_use]
    pub fn deployment(&self) -> VerifiedDeployment {
        self.shared.state.load().deployment.clone()
    }

    /// The attested mesh CA.
    #[must_use]
    pub fn mesh_ca_pem(&self) -> String {
        self.shared.state.load().deployment.mesh_ca_pem().to_owned()
    }

    /// Whether no hardware protects this deployment.
    #[must_use]
    pub fn simulated(&self) -> bool {
        self.shared.state.load().deployment.simulated()
    }

    /// Whether a test's root stands in the hardware vendor's place: then nothing proves that hardware protects it, either.
    #[must_use]
    pub fn test_root(&self) -> bool {
        self.shared.state.load().deployment.test_root()
    }

    /// Last second in which our certificate is valid.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.shared.state.load().not_after
    }
}
