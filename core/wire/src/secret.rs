//! The secret that client and workers share, and its identifier.
//!
//! Does not make or exchange secrets ([`crate::exchange`]). protocol.md, sections 3 and 4.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroize;

/// A shared secret of 16, 24 or 32 bytes: boxed, wiped when dropped, compared in constant time, shown to nobody. Share it
/// as `Arc<Secret>`.
pub struct Secret(Box<[u8]>);

/// A secret of another length than AES keys have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret has 16, 24 or 32 bytes, this one has {length}")]
pub struct SecretLengthError {
    /// The length given.
    pub length: usize,
}

impl Secret {
    /// Length of the secrets that we make.
    pub const LENGTH: usize = 32;

    /// A secret that `fill` writes in place.
    pub fn init(length: usize, fill: impl FnOnce(&mut [u8])) -> Result<Secret, SecretLengthError> {
        if !matches!(length, 16 | 24 | 32) {
            return Err(SecretLengthError { length });
        }
        let mut secret = Secret(vec![0; length].into_boxed_slice());
        fill(&mut secret.0);
        Ok(secret)
    }

    /// A copy of the bytes; wiping the original is the caller's matter.
    pub fn from_slice(bytes: &[u8]) -> Result<Secret, SecretLengthError> {
        Secret::init(bytes.len(), |buffer| buffer.copy_from_slice(bytes))
    }

    /// A fresh random secret.
    pub fn random(rng: &mut dyn CryptoRng) -> Secret {
        Secret::init(Secret::LENGTH, |buffer| rng.fill_bytes(buffer)).expect("32 is a legal length")
    }

    /// The bytes themselves, for handing them to storage or a cipher. Nothing else may see them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl ConstantTimeEq for Secret {
    fn ct_eq(&self, other: &Secret) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

/// The public identifier of a secret: for ours the base64 of SHA-256 of the public key it was exchanged with, for old
/// clients a text of their choice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretId(String);

/// Not an identifier of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretIdError {
    /// Empty.
    #[error("a secret ID must not be empty")]
    Empty,
    /// Longer than [`SecretId::MAX_LENGTH`].
    #[error("a secret ID has at most {} characters, this one has {length}", SecretId::MAX_LENGTH)]
    TooLong {
        /// The length given.
        length: usize,
    },
    /// A colon would end the ID within a sealed field; quotes, backslashes and control characters would break its JSON string.
    #[error("a secret ID consists of printable ASCII characters without colon, quote and backslash")]
    Character,
}

impl SecretId {
    /// Longest identifier, in characters.
    pub const MAX_LENGTH: usize = 128;

    /// The identifier of the secret that is exchanged with this public key: b64(SHA-256(key)).
    pub fn of_public_key(public_key: &[u8]) -> SecretId {
        SecretId(STANDARD.encode(Sha256::digest(public_key)))
    }

    /// An identifier from outside.
    pub fn parse(text: &str) -> Result<SecretId, SecretIdError> {
        if text.is_empty() {
            return Err(SecretIdError::Empty);
        }
        if text.len() > SecretId::MAX_LENGTH {
            return Err(SecretIdError::TooLong { length: text.len() });
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b':' | b'"' | b'\\')) {
            return Err(SecretIdError::Character);
        }
        Ok(SecretId(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::from_slice(&[0xab; 32]).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(format!("{:#?}", std::sync::Arc::new(secret)), "Secret(..)");
    }

    #[test]
    fn lengths() {
        for length in [16, 24, 32] {
            assert_eq!(Secret::from_slice(&vec![1; length]).unwrap().expose().len(), length);
        }
        for length in [0, 15, 31, 33] {
            assert_eq!(Secret::from_slice(&vec![1; length]).unwrap_err(), SecretLengthError { length });
        }
    }

    #[test]
    fn equality_is_by_content_and_length() {
        let secret = |bytes: &[u8]| Secret::from_slice(bytes).unwrap();
        assert!(bool::from(secret(&[1; 32]).ct_eq(&secret(&[1; 32]))));
        assert!(!bool::from(secret(&[1; 32]).ct_eq(&secret(&[2; 32]))));
        assert!(!bool::from(secret(&[1; 32]).ct_eq(&secret(&[1; 16]))));
    }

    #[test]
    fn ids_from_outside() {
        assert_eq!(SecretId::parse("0198a-b+/=").unwrap().as_str(), "0198a-b+/=");
        assert_eq!(SecretId::parse(""), Err(SecretIdError::Empty));
        assert_eq!(SecretId::parse(&"x".repeat(129)), Err(SecretIdError::TooLong { length: 129 }));
        for bad in ["a:b", "a\"b", "a\\b", "a b", "a\n", "é"] {
            assert_eq!(SecretId::parse(bad), Err(SecretIdError::Character), "{bad:?}");
        }
    }
}
