//! Public keys, as SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) or as bare curve points.

use std::fmt;

use thiserror::Error;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{self, Decode as _, Reader as _, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::backend::{self, Curve, Verifier as _};
use super::{Scheme, SignatureError};

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const CURVE_P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const CURVE_P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// A SubjectPublicKeyInfo of RSA-4096 has 550 bytes.
const MAX_SPKI: usize = 1024;

/// Sizes of RSA moduli in bytes: 2048 to 4096 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// The DER before a P-256 point: SEQUENCE { SEQUENCE { ecPublicKey, prime256v1 }, BIT STRING }.
const P256_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// A public key that can verify signatures. Equal when their encodings are.
#[derive(Clone)]
pub struct PublicKey {
    spki_der: Vec<u8>,
    key: backend::Key,
}

/// Why bytes are no usable public key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublicKeyError {
    /// Not a SubjectPublicKeyInfo in DER.
    #[error("the public key is not a SubjectPublicKeyInfo in DER")]
    Malformed,
    /// Another kind of key.
    #[error("the public key is of a kind that is not used here; ECDSA over P-256 or P-384 and RSA are")]
    Unsupported,
    /// The bytes are no point of the curve, or not in the uncompressed form.
    #[error("the public key is not an uncompressed point of its curve")]
    NotOnCurve,
    /// An RSA key that is too weak, too large, or with another exponent than 65537.
    #[error(
        "the RSA key has {bits} bits or an unusual exponent; 2048 to 4096 bits and the exponent 65537 are used here"
    )]
    RsaParameters {
        /// Size of the modulus.
        bits: usize,
    },
}

impl PublicKey {
    /// Reads a key from SubjectPublicKeyInfo DER.
    ///
    /// # Errors
    /// [`PublicKeyError`] for everything but the kinds of keys that this module knows, in their only encoding.
    pub fn parse_spki(spki_der: &[u8]) -> Result<Self, PublicKeyError> {
        if spki_der.len() > MAX_SPKI {
            return Err(PublicKeyError::Malformed);
        }
        let spki = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(|_| PublicKeyError::Malformed)?;
        let bits = spki.subject_public_key.as_bytes().ok_or(PublicKeyError::Malformed)?;
        let key = match spki.algorithm.oid {
            EC_PUBLIC_KEY => {
                let curve = match spki.algorithm.parameters_oid() {
                    Ok(CURVE_P256) => Curve::P256,
                    Ok(CURVE_P384) => Curve::P384,
                    _ => return Err(PublicKeyError::Unsupported),
                };
                // RFC 5480 §2.2: uncompressed is mandatory, compressed optional; one form only keeps key comparisons simple.
                if bits.first() != Some(&4) {
                    return Err(PublicKeyError::NotOnCurve);
                }
                backend::Key::elliptic(curve, bits, spki_der).ok_or(PublicKeyError::NotOnCurve)?
            }
            RSA_ENCRYPTION => {
                // RFC 3279 §2.3.1: "The parameters field MUST have ASN.1 type NULL"
                if spki
                    .algorithm
                    .parameters
                    .is_none_or(|parameters| parameters.decode_as::<der::asn1::Null>().is_err())
                {
                    return Err(PublicKeyError::Malformed);
                }
                let (modulus, exponent) = rsa_numbers(bits).map_err(|_| PublicKeyError::Malformed)?;
                let size = modulus.len();
                let odd_sized = modulus.first().is_none_or(|top| top.leading_zeros() != 0);
                if !RSA_BYTES.contains(&size) || odd_sized || exponent != [1, 0, 1] {
                    return Err(PublicKeyError::RsaParameters { bits: size.saturating_mul(8) });
                }
                backend::Key::rsa(modulus, exponent, spki_der).ok_or(PublicKeyError::Malformed)?
            }
            _ => return Err(PublicKeyError::Unsupported),
        };
        Ok(Self { spki_der: spki_der.to_vec(), key })
    }

    /// A P-256 key from its coordinates x ‖ y, big-endian.
    ///
    /// # Errors
    /// [`PublicKeyError::NotOnCurve`].
    pub fn from_p256_xy(xy: &[u8; 64]) -> Result<Self, PublicKeyError> {
        let mut spki = P256_PREFIX.to_vec();
        spki.extend_from_slice(xy);
        Self::parse_spki(&spki)
    }

    /// Whether it is on the curve P-256.
    pub fn is_p256(&self) -> bool {
        self.spki_der.starts_with(&P256_PREFIX)
    }

    /// The SubjectPublicKeyInfo in DER, as it was read.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// Checks a signature over `message`. An ECDSA signature is the DER sequence of r and s.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        #[cfg(test)]
        super::checked::add();
        self.key.verify(scheme, message, signature)
    }

    /// Checks an ECDSA signature in the form r ‖ s, big-endian, each as long as the curve's order.
    ///
    /// # Errors
    /// [`SignatureError`]; the scheme must pair P-256 with SHA-256 or P-384 with SHA-384.
    pub fn verify_fixed(&self, scheme: Scheme, message: &[u8], r_and_s: &[u8]) -> Result<(), SignatureError> {
        #[cfg(test)]
        super::checked::add();
        self.key.verify_fixed(scheme, message, r_and_s)
    }

    /// Checks an ECDSA signature in DER over a SHA-256 digest.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify_prehash(&self, digest: &[u8; 32], signature: &[u8]) -> Result<(), SignatureError> {
        self.key.verify_sha256_digest(digest, signature)
    }
}

/// Modulus and exponent of an RSAPublicKey, without leading zeros.
fn rsa_numbers(der: &[u8]) -> Result<(&[u8], &[u8]), der::Error> {
    let mut reader = SliceReader::new(der)?;
    let numbers = reader.sequence(|numbers| {
        let modulus = UintRef::decode(numbers)?;
        let exponent = UintRef::decode(numbers)?;
        Ok::<_, der::Error>((modulus.as_bytes(), exponent.as_bytes()))
    })?;
    reader.finish()?;
    Ok(numbers)
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki_der == other.spki_der
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(&self.spki_der))
    }
}
