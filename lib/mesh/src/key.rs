//! The workload's key: P-256, made here, never leaves the process. It stays the same over renewals, so that a
//! certificate and a signature that were taken a moment apart still belong together.

use std::{fmt, sync::Arc};

use getrandom::SysRng;
use p256::{
    SecretKey,
    ecdsa::{DerSignature, SigningKey, signature::hazmat::PrehashSigner},
    elliptic_curve::Generate,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

/// Why no key could be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No random numbers.
    #[error("the operating system gave no random bytes")]
    Random(#[source] getrandom::Error),
    /// Not expected of a key that was just made.
    #[error("the key cannot be encoded")]
    Encode(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// As well.
    #[error("the key cannot be used for TLS")]
    Tls(#[source] rustls::Error),
}

/// A P-256 key pair. Wiped when dropped, but for the copy that TLS keeps.
pub struct MeshKey {
    signing: SigningKey,
    spki: Vec<u8>,
    tls: Arc<dyn rustls::sign::SigningKey>,
}

impl fmt::Debug for MeshKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MeshKey(..)")
    }
}

impl MeshKey {
    /// A new key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn generate() -> Result<Self, KeyError> {
        let secret = SecretKey::try_generate_from_rng(&mut SysRng).map_err(KeyError::Random)?;
        // Both documents are wiped when dropped.
        let spki = secret.public_key().to_public_key_der().map_err(|error| KeyError::Encode(error.into()))?;
        let pkcs8 = secret.to_pkcs8_der().map_err(|error| KeyError::Encode(error.into()))?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_bytes()));
        let tls = rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&der).map_err(KeyError::Tls)?;
        Ok(Self { signing: SigningKey::from(&secret), spki: spki.into_vec(), tls })
    }

    /// SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// For the TLS handshake.
    pub(crate) fn tls(&self) -> Arc<dyn rustls::sign::SigningKey> {
        Arc::clone(&self.tls)
    }

    /// The private key as PKCS#8 in PEM, for the one file that a workload reads it from. **A secret**.
    ///
    /// # Errors
    /// [`KeyError::Encode`].
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        self.signing.to_pkcs8_pem(LineEnding::LF).map_err(|error| KeyError::Encode(error.into()))
    }

    /// ASN.1 ECDSA signature over a SHA-256 digest; deterministic (RFC 6979).
    #[must_use]
    pub fn sign_prehash_asn1(&self, digest: &[u8; 32]) -> Vec<u8> {
        let signature: DerSignature = self
            .signing
            .sign_prehash(digest)
            .expect("a digest as long as the curve's field can always be signed");
        signature.as_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_key_is_printed() {
        assert_eq!(format!("{:?}", MeshKey::generate().unwrap()), "MeshKey(..)");
    }
}
