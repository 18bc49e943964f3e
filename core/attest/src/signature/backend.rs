//! The two libraries behind one small trait.

use super::{Scheme, SignatureError};

/// The curves that keys may be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
}

/// A parsed key of one library.
pub(super) trait Verifier: Sized {
    /// A key from an uncompressed point and the SubjectPublicKeyInfo that holds it; none when it is not on the curve.
    fn elliptic(curve: Curve, point: &[u8], spki_der: &[u8]) -> Option<Self>;
    /// A key from modulus and exponent and the SubjectPublicKeyInfo that holds them.
    fn rsa(modulus: &[u8], exponent: &[u8], spki_der: &[u8]) -> Option<Self>;
    fn verify(&self, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<(), SignatureError>;
    fn verify_fixed(&self, scheme: Scheme, message: &[u8], r_and_s: &[u8]) -> Result<(), SignatureError>;
    fn verify_sha256_digest(&self, digest: &[u8; 32], signature: &[u8]) -> Result<(), SignatureError>;
}

#[cfg(not(target_family = "wasm"))]
pub(super) type Key = native::Key;
#[cfg(target_family = "wasm")]
pub(super) type Key = portable::Key;
/// The other library, so that tests run both.
#[cfg(test)]
pub(super) type PortableKey = portable::Key;

/// Whether `signature` is the strict DER of two integers in the range of the curve's order. Both libraries are then asked
/// about the same signature, and there is one encoding of it.
fn is_strict_der(curve: Curve, signature: &[u8]) -> bool {
    match curve {
        Curve::P256 => p256::ecdsa::Signature::from_der(signature).is_ok(),
        Curve::P384 => p384::ecdsa::Signature::from_der(signature).is_ok(),
    }
}

#[cfg(not(target_family = "wasm"))]
mod native {
    use aws_lc_rs::digest::{Digest, SHA256};
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1,
        ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_2048_8192_SHA384, RSA_PSS_2048_8192_SHA384, UnparsedPublicKey, VerificationAlgorithm,
    };

    use super::{Curve, Scheme, SignatureError, Verifier, is_strict_der};

    /// A key, parsed once for the scheme that it is used with nearly always.
    #[derive(Clone)]
    pub(in super::super) struct Key {
        kind: Kind,
        parsed: ParsedPublicKey,
        usual: Scheme,
        spki_der: Vec<u8>,
    }

    #[derive(Clone, Copy)]
    enum Kind {
        Elliptic(Curve),
        Rsa { bytes: usize },
    }

    fn algorithm(kind: Kind, scheme: Scheme) -> Option<&'static dyn VerificationAlgorithm> {
        Some(match (kind, scheme) {
            (Kind::Elliptic(Curve::P256), Scheme::EcdsaSha256) => &ECDSA_P256_SHA256_ASN1,
            (Kind::Elliptic(Curve::P256), Scheme::EcdsaSha384) => &ECDSA_P256_SHA384_ASN1,
            (Kind::Elliptic(Curve::P384), Scheme::EcdsaSha256) => &ECDSA_P384_SHA256_ASN1,
            (Kind::Elliptic(Curve::P384), Scheme::EcdsaSha384) => &ECDSA_P384_SHA384_ASN1,
            (Kind::Rsa { .. }, Scheme::RsaPssSha384) => &RSA_PSS_2048_8192_SHA384,
            (Kind::Rsa { .. }, Scheme::RsaPkcs1Sha256) => &RSA_PKCS1_2048_8192_SHA256,
            (Kind::Rsa { .. }, Scheme::RsaPkcs1Sha384) => &RSA_PKCS1_2048_8192_SHA384,
            _ => return None,
        })
    }

    impl Key {
        fn new(kind: Kind, usual: Scheme, spki_der: &[u8]) -> Option<Self> {
            let parsed = ParsedPublicKey::new(algorithm(kind, usual)?, spki_der).ok()?;
            Some(Self { kind, parsed, usual, spki_der: spki_der.to_vec() })
        }

        fn check_encoding(&self, signature: &[u8]) -> Result<(), SignatureError> {
            let well_formed = match self.kind {
                Kind::Elliptic(curve) => is_strict_der(curve, signature),
                Kind::Rsa { bytes } => signature.len() == bytes,
            };
            if well_formed { Ok(()) } else { Err(SignatureError::Malformed) }
        }
    }

    impl Verifier for Key {
        fn elliptic(curve: Curve, _point: &[u8], spki_der: &[u8]) -> Option<Self> {
            let usual = match curve {
                Curve::P256 => Scheme::EcdsaSha256,
                Curve::P384 => Scheme::EcdsaSha384,
            };
            Self::new(Kind::Elliptic(curve), usual, spki_der)
        }

        fn rsa(modulus: &[u8], _exponent: &[u8], spki_der: &[u8]) -> Option<Self> {
            Self::new(Kind::Rsa { bytes: modulus.len() }, Scheme::RsaPssSha384, spki_der)
        }

        fn verify(&self, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
            let algorithm = algorithm(self.kind, scheme).ok_or(SignatureError::OtherAlgorithm)?;
            self.check_encoding(signature)?;
            if scheme == self.usual {
                self.parsed.verify_sig(message, signature)
            } else {
                UnparsedPublicKey::new(algorithm, &self.spki_der).verify(message, signature)
            }
            .map_err(|_| SignatureError::Wrong)
        }

        fn verify_fixed(&self, scheme: Scheme, message: &[u8], r_and_s: &[u8]) -> Result<(), SignatureError> {
            let (algorithm, length): (&'static dyn VerificationAlgorithm, usize) = match (self.kind, scheme) {
                (Kind::Elliptic(Curve::P256), Scheme::EcdsaSha256) => (&ECDSA_P256_SHA256_FIXED, 64),
                (Kind::Elliptic(Curve::P384), Scheme::EcdsaSha384) => (&ECDSA_P384_SHA384_FIXED, 96),
                _ => return Err(SignatureError::OtherAlgorithm),
            };
            if r_and_s.len() != length {
                return Err(SignatureError::Malformed);
            }
            UnparsedPublicKey::new(algorithm, &self.spki_der)
                .verify(message, r_and_s)
                .map_err(|_| SignatureError::Wrong)
        }

        fn verify_sha256_digest(&self, digest: &[u8; 32], signature: &[u8]) -> Result<(), SignatureError> {
            let Kind::Elliptic(_) = self.kind else { return Err(SignatureError::OtherAlgorithm) };
            let algorithm =
                algorithm(self.kind, Scheme::EcdsaSha256).ok_or(SignatureError::OtherAlgorithm)?;
            self.check_encoding(signature)?;
            let digest = Digest::import_less_safe(digest, &SHA256).map_err(|_| SignatureError::Wrong)?;
            UnparsedPublicKey::new(algorithm, &self.spki_der)
                .verify_digest(&digest, signature)
                .map_err(|_| SignatureError::Wrong)
        }
    }
}

#[cfg(any(target_family = "wasm", test))]
mod portable {
    use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
    use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPublicKey};
    use sha2::{Digest as _, Sha256, Sha384};

    use super::{Curve, Scheme, SignatureError, Verifier, is_strict_der};

    #[derive(Clone)]
    pub(in super::super) enum Key {
        P256(Box<p256::ecdsa::VerifyingKey>),
        P384(Box<p384::ecdsa::VerifyingKey>),
        Rsa { key: Box<RsaPublicKey>, bytes: usize },
    }

    impl Key {
        fn verify_digest(&self, digest: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
            match self {
                Self::P256(key) => {
                    let signature =
                        p256::ecdsa::Signature::from_der(signature).map_err(|_| SignatureError::Malformed)?;
                    key.verify_prehash(digest, &signature)
                }
                Self::P384(key) => {
                    let signature =
                        p384::ecdsa::Signature::from_der(signature).map_err(|_| SignatureError::Malformed)?;
                    key.verify_prehash(digest, &signature)
                }
                Self::Rsa { .. } => return Err(SignatureError::OtherAlgorithm),
            }
            .map_err(|_| SignatureError::Wrong)
        }
    }

    impl Verifier for Key {
        fn elliptic(curve: Curve, point: &[u8], _spki_der: &[u8]) -> Option<Self> {
            Some(match curve {
                Curve::P256 => Self::P256(p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?.into()),
                Curve::P384 => Self::P384(p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?.into()),
            })
        }

        fn rsa(modulus: &[u8], exponent: &[u8], _spki_der: &[u8]) -> Option<Self> {
            let (n, e) = (BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent));
            Some(Self::Rsa { key: Box::new(RsaPublicKey::new(n, e).ok()?), bytes: modulus.len() })
        }

        fn verify(&self, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
            let Self::Rsa { key, bytes } = self else {
                return match scheme {
                    Scheme::EcdsaSha256 => self.verify_digest(&Sha256::digest(message), signature),
                    Scheme::EcdsaSha384 => self.verify_digest(&Sha384::digest(message), signature),
                    _ => Err(SignatureError::OtherAlgorithm),
                };
            };
            if !matches!(scheme, Scheme::RsaPssSha384 | Scheme::RsaPkcs1Sha256 | Scheme::RsaPkcs1Sha384) {
                return Err(SignatureError::OtherAlgorithm);
            }
            if signature.len() != *bytes {
                return Err(SignatureError::Malformed);
            }
            match scheme {
                Scheme::RsaPssSha384 => {
                    let padding = Pss::new_with_salt::<rsa::sha2::Sha384>(48);
                    key.verify(padding, &Sha384::digest(message), signature)
                }
                Scheme::RsaPkcs1Sha256 => {
                    let padding = Pkcs1v15Sign::new::<rsa::sha2::Sha256>();
                    key.verify(padding, &Sha256::digest(message), signature)
                }
                _ => {
                    let padding = Pkcs1v15Sign::new::<rsa::sha2::Sha384>();
                    key.verify(padding, &Sha384::digest(message), signature)
                }
            }
            .map_err(|_| SignatureError::Wrong)
        }

        fn verify_fixed(&self, scheme: Scheme, message: &[u8], r_and_s: &[u8]) -> Result<(), SignatureError> {
            match (self, scheme) {
                (Self::P256(key), Scheme::EcdsaSha256) if r_and_s.len() == 64 => {
                    let signature =
                        p256::ecdsa::Signature::from_slice(r_and_s).map_err(|_| SignatureError::Wrong)?;
                    key.verify_prehash(&Sha256::digest(message), &signature)
                }
                (Self::P384(key), Scheme::EcdsaSha384) if r_and_s.len() == 96 => {
                    let signature =
                        p384::ecdsa::Signature::from_slice(r_and_s).map_err(|_| SignatureError::Wrong)?;
                    key.verify_prehash(&Sha384::digest(message), &signature)
                }
                (Self::P256(_), Scheme::EcdsaSha256) | (Self::P384(_), Scheme::EcdsaSha384) => {
                    return Err(SignatureError::Malformed);
                }
                _ => return Err(SignatureError::OtherAlgorithm),
            }
            .map_err(|_| SignatureError::Wrong)
        }

        fn verify_sha256_digest(&self, digest: &[u8; 32], signature: &[u8]) -> Result<(), SignatureError> {
            let curve = match self {
                Self::P256(_) => Curve::P256,
                Self::P384(_) => Curve::P384,
                Self::Rsa { .. } => return Err(SignatureError::OtherAlgorithm),
            };
            if !is_strict_der(curve, signature) {
                return Err(SignatureError::Malformed);
            }
            self.verify_digest(digest, signature)
        }
    }
}
