//! The mesh CA and the certificates that it signs: pure X.509.
//!
//! A mesh CA counts only if the deployment's attestation named it: parse it from attested bytes, nowhere else. There is no
//! trust store, no revocation list and no chain building: a leaf is signed by this CA, or refused. Specification:
//! `attestation.md` §2, RFC 5280.

mod ca;
mod certificate;
mod leaf;

pub use crate::x509::{CertificateError, MAX_CERTIFICATE};
pub use ca::{MeshCa, MeshCaError};
pub use leaf::{LeafError, San, VerifiedMeshCertificate, WORKLOAD_SECRET_ID_OID};

pub use crate::signature::SignatureError;

#[cfg(test)]
mod tests;
