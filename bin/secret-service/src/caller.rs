//! Who asks, by the workload name in its mesh certificate.

use privatemode_manifest::workload::{GATEWAY, INFERENCE_PROXY};
use privatemode_mesh::{MeshIdentity, PeerError};
use privatemode_service::Connection;

/// The workloads that the secret service tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Relays exchanges. Untrusted: never gets a secret.
    Gateway,
    /// Opens requests in a worker: may ask for secrets.
    InferenceProxy,
    /// Anybody else.
    Other,
}

impl Caller {
    /// Who may connect at all.
    pub(crate) const LET_IN: [&str; 2] = [GATEWAY, INFERENCE_PROXY];

    /// Who is at the other end. A workload with both names is neither.
    pub(crate) fn of(connection: Option<&Connection>, identity: &MeshIdentity) -> Result<Self, PeerError> {
        let connection = connection.ok_or(PeerError::NoCertificate)?;
        Ok(match identity.peer_name(connection, &Self::LET_IN)? {
            GATEWAY => Self::Gateway,
            INFERENCE_PROXY => Self::InferenceProxy,
            _ => Self::Other,
        })
    }
}
