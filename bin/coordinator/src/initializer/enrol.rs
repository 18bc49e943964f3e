//! What came from the coordinator, checked before anything of it is written: a certificate for our key that peers accept, by
//! the mesh CA and by the root.

use privatemode_attest::UnixTime;
use privatemode_attest::mesh::{LeafError, MeshCa, MeshCaError, SignatureError};
use privatemode_attest::x509::{Certificate, CertificateError, IssueError};
use privatemode_mesh::MeshKey;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::mesh_api::NewCertificate;

/// A leaf and an intermediate; another make of coordinator might send one more.
const MAX_CHAIN: usize = 4;

/// Why what came is of no use.
#[derive(Debug, Error)]
pub enum EnrolError {
    /// No mesh CA.
    #[error("the mesh CA from the coordinator cannot be used")]
    MeshCa {
        /// Why.
        source: MeshCaError,
    },
    /// No root CA.
    #[error("the root CA from the coordinator cannot be used")]
    RootCa {
        /// Why.
        source: MeshCaError,
    },
    /// No chain.
    #[error("the coordinator's answer holds no certificate chain as PEM of 2 to {MAX_CHAIN} certificates")]
    Chain {
        /// Why, if it is no PEM at all.
        source: Option<CertificateError>,
    },
    /// The leaf is not of the mesh CA, or not valid.
    #[error("the certificate from the coordinator is refused")]
    Leaf {
        /// Why.
        source: LeafError,
    },
    /// For another key.
    #[error("the certificate from the coordinator is for another key than ours")]
    ForeignKey {
        /// Why.
        source: SignatureError,
    },
    /// Peers that trust the root alone would refuse us.
    #[error("the intermediate from the coordinator was not issued by its root CA")]
    Intermediate {
        /// Why.
        source: IssueError,
    },
    /// As well.
    #[error("the intermediate from the coordinator has another key than its mesh CA")]
    IntermediateKey,
}

/// A certificate that can be used, with its times.
pub(super) struct Enrolled {
    pub(super) new: NewCertificate,
    pub(super) name: String,
    pub(super) not_after: UnixTime,
    /// Two thirds of the life that is left.
    pub(super) renew_at: UnixTime,
}

/// Checks what came.
pub(super) fn check(new: NewCertificate, key: &MeshKey, now: UnixTime) -> Result<Enrolled, EnrolError> {
    // step 1: the authorities
    let mesh_ca = MeshCa::parse_pem(&new.mesh_ca).map_err(|source| EnrolError::MeshCa { source })?;
    let root_ca = MeshCa::parse_pem(&new.root_ca).map_err(|source| EnrolError::RootCa { source })?;
    // step 2: our certificate, as every peer will verify it
    let chain = Certificate::parse_pem_chain(new.cert_chain.as_bytes(), MAX_CHAIN)
        .map_err(|source| EnrolError::Chain { source: Some(source) })?;
    let [leaf, intermediate, ..] = chain.as_slice() else { return Err(EnrolError::Chain { source: None }) };
    let leaf = mesh_ca.verify_leaf(leaf.der(), now).map_err(|source| EnrolError::Leaf { source })?;
    // step 3: for our key; a signature that verifies is a comparison that no encoding can fool
    let probe: [u8; 32] = Sha256::digest(new.cert_chain.as_bytes()).into();
    leaf.verify_prehash(&probe, &key.sign_prehash_asn1(&probe))
        .map_err(|source| EnrolError::ForeignKey { source })?;
    // step 4: the way to the root
    let root =
        Certificate::parse(root_ca.der()).map_err(|source| EnrolError::Chain { source: Some(source) })?;
    intermediate.check_issued_by(&root, &[]).map_err(|source| EnrolError::Intermediate { source })?;
    if intermediate.spki_der() != mesh_ca.public_key().spki_der() {
        return Err(EnrolError::IntermediateKey);
    }
    let not_after = leaf.not_after();
    let left = not_after.as_secs().saturating_sub(now.as_secs());
    let name = leaf.sans().first().map(|san| format!("{san:?}")).unwrap_or_default();
    Ok(Enrolled { new, name, not_after, renew_at: now.saturating_add(left / 3 * 2) })
}

#[cfg(test)]
mod tests;
