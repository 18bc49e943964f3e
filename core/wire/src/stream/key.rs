//! The keys of one exchange.
//!
//! ```text
//! secret ──HKDF-Extract(request salt)──▶ PRK ──Expand("… request key" ‖ 0x00)──────────────────▶ request key
//!                                         └───Expand("… response key" ‖ 0x00 ‖ response salt)──▶ response key
//! ```
//!
//! Does not draw salts. HKDF is RFC 5869 with SHA-256; protocol.md, section 9.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::outer::{RequestSalt, ResponseSalt};
use crate::aead::{Aead, Key};
use crate::secret::Secret;

const REQUEST_INFO: &[u8] = b"privatemode oae request key\0";
const RESPONSE_INFO: &[u8] = b"privatemode oae response key\0";
/// RFC 5869 §2.3: T(1) = HMAC(PRK, info ‖ 0x01), and one block is all that a key of 32 bytes needs.
const FIRST_BLOCK: &[u8] = &[1];

/// The pseudo-random key that one secret and one request salt make.
pub(super) struct ExchangeKeys(Zeroizing<[u8; 32]>);

impl ExchangeKeys {
    pub(super) fn new(secret: &Secret, salt: &RequestSalt) -> ExchangeKeys {
        ExchangeKeys(hmac(salt.as_bytes(), &[secret.expose()]))
    }

    pub(super) fn request(&self) -> Key {
        expand(&self.request_bytes())
    }

    pub(super) fn response(&self, salt: &ResponseSalt) -> Key {
        expand(&self.response_bytes(salt))
    }

    fn request_bytes(&self) -> Zeroizing<[u8; 32]> {
        hmac(self.0.as_slice(), &[REQUEST_INFO, FIRST_BLOCK])
    }

    fn response_bytes(&self, salt: &ResponseSalt) -> Zeroizing<[u8; 32]> {
        hmac(self.0.as_slice(), &[RESPONSE_INFO, salt.as_bytes(), FIRST_BLOCK])
    }
}

fn hmac(key: &[u8], message: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in message {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

fn expand(bytes: &[u8; 32]) -> Key {
    Key::expand(&Secret::from_slice(bytes).expect("32 is a legal length"))
}

#[cfg(test)]
mod tests;
