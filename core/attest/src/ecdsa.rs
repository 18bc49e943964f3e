//! ECDSA over P-256 and P-384: the public keys of the mesh.
//!
//! Makes no signatures and holds no private keys. FIPS 186-5; keys as SubjectPublicKeyInfo (RFC 5480).

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use sha2::{Digest as _, Sha256, Sha384};
use thiserror::Error;
use x509_cert::der::{Decode as _, asn1::ObjectIdentifier};
use x509_cert::spki::SubjectPublicKeyInfoRef;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const CURVE_P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const CURVE_P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// A P-384 SubjectPublicKeyInfo has 120 bytes.
const MAX_SPKI: usize = 256;

/// A P-256 or P-384 public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    spki_der: Vec<u8>,
    key: Curve,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Curve {
    P256(Box<p256::ecdsa::VerifyingKey>),
    P384(Box<p384::ecdsa::VerifyingKey>),
}

/// Hash functions of certificate signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
}

/// Why bytes are no usable public key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublicKeyError {
    /// Not a SubjectPublicKeyInfo in DER.
    #[error("the public key is not a SubjectPublicKeyInfo in DER")]
    Malformed,
    /// Another kind of key.
    #[error("the public key is not an ECDSA key over P-256 or P-384, the only kinds that the mesh uses")]
    Unsupported,
    /// The bytes are no point of the curve, or not in the uncompressed form.
    #[error("the public key is not an uncompressed point of its curve")]
    NotOnCurve,
}

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// Not a DER sequence of two integers in range.
    #[error("the signature is not an ECDSA signature in ASN.1")]
    Malformed,
    /// Well formed, but not made by this key over this digest.
    #[error("the signature was not made by this key over this content")]
    Wrong,
}

impl PublicKey {
    /// Reads a key from SubjectPublicKeyInfo DER.
    pub fn parse_spki(spki_der: &[u8]) -> Result<Self, PublicKeyError> {
        if spki_der.len() > MAX_SPKI {
            return Err(PublicKeyError::Malformed);
        }
        let spki = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(|_| PublicKeyError::Malformed)?;
        if spki.algorithm.oid != EC_PUBLIC_KEY {
            return Err(PublicKeyError::Unsupported);
        }
        let curve = spki.algorithm.parameters_oid().map_err(|_| PublicKeyError::Unsupported)?;
        let point = spki.subject_public_key.as_bytes().ok_or(PublicKeyError::NotOnCurve)?;
        // RFC 5480 §2.2: uncompressed is mandatory, compressed optional; one form only keeps key comparisons simple.
        if point.first() != Some(&4) {
            return Err(PublicKeyError::NotOnCurve);
        }
        let key = match curve {
            CURVE_P256 => Curve::P256(
                p256::ecdsa::VerifyingKey::from_sec1_bytes(point)
                    .map_err(|_| PublicKeyError::NotOnCurve)?
                    .into(),
            ),
            CURVE_P384 => Curve::P384(
                p384::ecdsa::VerifyingKey::from_sec1_bytes(point)
                    .map_err(|_| PublicKeyError::NotOnCurve)?
                    .into(),
            ),
            _ => return Err(PublicKeyError::Unsupported),
        };
        Ok(Self { spki_der: spki_der.to_vec(), key })
    }

    /// The SubjectPublicKeyInfo in DER, as it was read.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// Checks an ASN.1 signature over a SHA-256 digest.
    pub fn verify_prehash(&self, digest: &[u8; 32], signature: &[u8]) -> Result<(), SignatureError> {
        self.verify(digest, signature)
    }

    pub(crate) fn verify_message(
        &self,
        hash: Hash,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        match hash {
            Hash::Sha256 => self.verify(&Sha256::digest(message), signature),
            Hash::Sha384 => self.verify(&Sha384::digest(message), signature),
        }
    }

    fn verify(&self, digest: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        match &self.key {
            Curve::P256(key) => {
                let signature =
                    p256::ecdsa::Signature::from_der(signature).map_err(|_| SignatureError::Malformed)?;
                key.verify_prehash(digest, &signature)
            }
            Curve::P384(key) => {
                let signature =
                    p384::ecdsa::Signature::from_der(signature).map_err(|_| SignatureError::Malformed)?;
                key.verify_prehash(digest, &signature)
            }
        }
        .map_err(|_| SignatureError::Wrong)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData as _};

    use super::*;

    fn spki() -> Vec<u8> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().subject_public_key_info()
    }

    #[test]
    fn both_curves_are_read_and_kept_as_they_came() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384] {
            let spki = KeyPair::generate_for(algorithm).unwrap().subject_public_key_info();
            assert_eq!(PublicKey::parse_spki(&spki).unwrap().spki_der(), spki);
        }
    }

    #[test]
    fn not_a_public_key() {
        let longer = [spki(), vec![0]].concat();
        for bad in [&b""[..], b"nonsense", &longer, &spki()[1..], &[0x30; 1000]] {
            assert_eq!(PublicKey::parse_spki(bad), Err(PublicKeyError::Malformed));
        }
    }

    #[test]
    fn another_kind_of_key() {
        let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().subject_public_key_info();
        assert_eq!(PublicKey::parse_spki(&ed25519), Err(PublicKeyError::Unsupported));
    }

    #[test]
    fn not_on_the_curve() {
        let mut moved = spki();
        *moved.last_mut().unwrap() ^= 1;
        assert_eq!(PublicKey::parse_spki(&moved), Err(PublicKeyError::NotOnCurve));
        let mut other_form = spki();
        let form = other_form.len() - 65;
        other_form[form] = 6;
        assert_eq!(PublicKey::parse_spki(&other_form), Err(PublicKeyError::NotOnCurve));
    }
}
