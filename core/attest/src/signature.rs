//! Verifies signatures: ECDSA over P-256 and P-384 (FIPS 186-5), RSA with PSS and PKCS #1 v1.5 padding (RFC 8017).
//!
//! The only place that asks a cryptographic library whether a signature holds: aws-lc-rs natively, the RustCrypto crates in
//! WebAssembly, the same tests for both. Makes no signatures and holds no private keys. What may be signed with which
//! scheme is the caller's rule.

mod backend;
mod key;

pub use key::{PublicKey, PublicKeyError};

use thiserror::Error;

/// A signature algorithm with its hash function. Nothing weaker is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// ECDSA with SHA-256, over P-256 or P-384.
    EcdsaSha256,
    /// ECDSA with SHA-384, over P-256 or P-384.
    EcdsaSha384,
    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384 and 48 bytes of salt.
    RsaPssSha384,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaPkcs1Sha384,
}

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// Not the encoding that its scheme has: a strict DER sequence of two integers in range, or the length of the modulus.
    #[error("the signature is not encoded as its algorithm demands")]
    Malformed,
    /// The scheme is of another kind than the key.
    #[error("the signature's algorithm does not belong to this kind of key")]
    OtherAlgorithm,
    /// Well formed, but not made by this key over this content.
    #[error("the signature was not made by this key over this content")]
    Wrong,
}

/// Counts the signatures that this thread had checked, for tests of what must not be checked twice.
#[cfg(test)]
pub(crate) mod checked {
    use std::cell::Cell;

    thread_local!(static CHECKED: Cell<usize> = const { Cell::new(0) });

    pub(super) fn add() {
        CHECKED.set(CHECKED.get() + 1);
    }

    pub(crate) fn count() -> usize {
        CHECKED.get()
    }
}

#[cfg(test)]
mod tests;
