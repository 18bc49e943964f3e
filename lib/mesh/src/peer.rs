//! Who is at the other end of a mesh connection, by the workload names in its certificate; and why somebody is not let in.

use std::{
    collections::HashMap,
    error::Error,
    io,
    sync::{Arc, PoisonError},
};

use privatemode_attest::mesh::{LeafError, San, VerifiedMeshCertificate};
use privatemode_service::Connection;
use sha2::{Digest, Sha256};

use crate::{
    MeshIdentity,
    identity::{Shared, State},
    join::now,
};

/// A deployment has tens of workloads; more certificates than this are renewals of them.
const MAX_PEERS: usize = 256;

/// Why a peer is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It showed no certificate.
    #[error("the peer showed no mesh certificate")]
    NoCertificate,
    /// Its certificate does not verify to the attested mesh CA, or not now.
    #[error("the peer's certificate is not one of this mesh")]
    NotOfThisMesh {
        /// Why.
        source: LeafError,
    },
    /// Another workload of the same mesh.
    #[error("the peer is the workload `{}`, expected was `{}`", .got.join("`, `"), .expected.join("`, `"))]
    WrongName {
        /// Who would have been let in.
        expected: Vec<String>,
        /// Who it is.
        got: Vec<String>,
    },
    /// It has several of the names, so that rules for one of them would hold for the other.
    #[error("the peer has the names `{}` at once; give each workload its own entry in the manifest", .got.join("`, `"))]
    Ambiguous {
        /// The names that it has.
        got: Vec<String>,
    },
}

impl PeerError {
    /// The reason inside an error of a TLS connection, if it is one of these: `rustls` and `io` wrap it so that
    /// [`Error::source`] alone does not find it.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            if let Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other))) =
                error.downcast_ref()
            {
                return other.0.downcast_ref::<Self>();
            }
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }
}

impl MeshIdentity {
    /// Which of the workloads `among` is calling. The names of a listener's [`Self::server_tls`] or fewer: a route that only
    /// one of them may use passes only that one.
    ///
    /// # Errors
    /// [`PeerError`]; also when the certificate has expired since the connection was made.
    pub fn peer_name<'a>(&self, connection: &Connection, among: &[&'a str]) -> Result<&'a str, PeerError> {
        let peer = self.peer(connection)?;
        let mut names = among.iter().filter(|name| peer.has_name(name));
        match (names.next(), names.next()) {
            (Some(name), None) => Ok(name),
            (None, _) => Err(wrong_name(&peer, among)),
            (Some(one), Some(two)) => {
                Err(PeerError::Ambiguous { got: vec![(*one).to_owned(), (*two).to_owned()] })
            }
        }
    }

    /// The peer's certificate, verified.
    ///
    /// # Errors
    /// [`PeerError`]; also when the certificate has expired since the connection was made.
    pub fn peer(&self, connection: &Connection) -> Result<Arc<VerifiedMeshCertificate>, PeerError> {
        let leaf = connection.peer_certificates.first().ok_or(PeerError::NoCertificate)?;
        let digest: [u8; 32] = Sha256::digest(leaf).into();
        let now = now();
        let mut peers = self.shared.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get(&digest) {
            if now <= peer.not_after() {
                return Ok(Arc::clone(peer));
            }
            let source = LeafError::Expired { not_after: peer.not_after(), now };
            return Err(PeerError::NotOfThisMesh { source });
        }
        let state = self.shared.state.load();
        let verified = state.deployment.mesh_ca().verify_leaf(leaf, now);
        let peer = Arc::new(verified.map_err(|source| PeerError::NotOfThisMesh { source })?);
        if peers.len() >= MAX_PEERS {
            peers.clear();
        }
        peers.insert(digest, Arc::clone(&peer));
        Ok(peer)
    }

    /// Puts a new state in place. Peers that were verified to another CA are forgotten.
    pub(crate) fn swap(&self, state: State) {
        let Shared { state: current, peers } = &*self.shared;
        let mut peers = peers.lock().unwrap_or_else(PoisonError::into_inner);
        *peers = HashMap::new();
        current.store(Arc::new(state));
    }
}

/// Whether the certificate has one of the names.
pub(crate) fn has_one_of(leaf: &VerifiedMeshCertificate, allowed: &[String]) -> Result<(), PeerError> {
    if allowed.iter().any(|name| leaf.has_name(name)) { Ok(()) } else { Err(wrong_name(leaf, allowed)) }
}

fn wrong_name<S: AsRef<str>>(leaf: &VerifiedMeshCertificate, expected: &[S]) -> PeerError {
    let got = leaf.sans().iter().map(|san| match san {
        San::Dns(name) | San::Uri(name) => name.clone(),
        San::Ip(address) => address.to_string(),
    });
    PeerError::WrongName {
        expected: expected.iter().map(|name| name.as_ref().to_owned()).collect(),
        got: got.collect(),
    }
}
