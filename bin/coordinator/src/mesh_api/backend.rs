//! What the mesh API needs of the coordinator behind it.

use privatemode_mesh::atls::{Appraiser, Peer};
use thiserror::Error;
use zeroize::Zeroizing;

/// Length of a workload secret in bytes.
pub(super) const WORKLOAD_SECRET: usize = 64;

/// The coordinator behind the API. A [`Peer`] is somebody whose evidence was verified; its role is the API's business, and
/// that the manifest is still the same is the backend's, at the moment in which it answers.
pub trait MeshBackend: Send + Sync + 'static {
    /// Who appraises callers now: the manifest in force.
    ///
    /// # Errors
    /// [`NotReady`].
    fn appraiser(&self) -> Result<Appraiser, NotReady>;

    /// Certifies the caller's key.
    ///
    /// # Errors
    /// [`MeshFault`].
    fn new_mesh_cert(&self, caller: &Peer) -> Result<Certified, MeshFault>;

    /// All that another coordinator needs. Asked for coordinators only.
    ///
    /// # Errors
    /// [`MeshFault`].
    fn recover_peer(&self, caller: &Peer) -> Result<Secrets, MeshFault>;

    /// PEM of the mesh CA in force.
    ///
    /// # Errors
    /// [`NotReady`].
    fn mesh_ca(&self) -> Result<String, NotReady>;
}

/// What a workload gets.
pub struct Certified {
    /// PEM of the mesh CA.
    pub mesh_ca: String,
    /// PEM of the leaf, then of the intermediate.
    pub cert_chain: String,
    /// PEM of the root CA.
    pub root_ca: String,
    /// Its secret, if the manifest gives it one.
    pub workload_secret: Option<Zeroizing<[u8; WORKLOAD_SECRET]>>,
}

/// What another coordinator gets.
pub struct Secrets {
    /// The seed.
    pub seed: Zeroizing<Vec<u8>>,
    /// The salt.
    pub salt: Vec<u8>,
    /// Key of the mesh CA, SEC1 in PEM.
    pub mesh_ca_key: Zeroizing<String>,
    /// The manifest in force.
    pub manifest: Vec<u8>,
    /// PEM of the mesh CA.
    pub mesh_ca: String,
    /// PEM of the root CA.
    pub root_ca: String,
}

/// Why there is nothing to give yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotReady {
    /// Nothing was set.
    #[error("no manifest is set yet")]
    NoManifest,
    /// It has no seed, or an outdated state.
    #[error("this coordinator must be recovered first")]
    NeedsRecovery,
    /// The manifest is another one than the caller was verified under.
    #[error("the manifest has changed since this connection was opened; connect again")]
    Changed,
}

/// Why a caller gets nothing.
#[derive(Debug, Error)]
pub enum MeshFault {
    /// Not now.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// Our own fault; the caller does not learn more.
    #[error("internal error")]
    Internal {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
