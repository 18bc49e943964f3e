//! Collateral: what Intel says about platforms, quoting enclaves and revoked keys, and for how long.
//!
//! Holds the documents as they came. [`Collateral::verify`] turns them into a [`VerifiedCollateral`], which judges any
//! number of quotes. Fetching is another crate's task. `attestation.md` §4 step 2.

mod error;
mod format;
mod verify;

pub use error::{CollateralError, Document};
pub use format::{CollateralFormatError, PcsDocuments, decode_issuer_chain};
pub use verify::{Grace, GraceTooLong, VerifiedCollateral};

/// Intel's documents for platforms of one FMSPC and PCK authority: unverified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collateral {
    /// TCB info: the signed JSON object, byte for byte.
    pub tcb_info: String,
    /// Its signature, r and s.
    pub tcb_info_signature: [u8; 64],
    /// TCB signing certificate and root in PEM.
    pub tcb_info_issuer_chain: String,
    /// Identity of the TDX quoting enclave: the signed JSON object, byte for byte.
    pub qe_identity: String,
    /// Its signature, r and s.
    pub qe_identity_signature: [u8; 64],
    /// TCB signing certificate and root in PEM.
    pub qe_identity_issuer_chain: String,
    /// Revoked PCK certificates, in DER.
    pub pck_crl: Vec<u8>,
    /// PCK authority and root in PEM.
    pub pck_crl_issuer_chain: String,
    /// Revoked authorities and signing certificates, in DER.
    pub root_ca_crl: Vec<u8>,
}
