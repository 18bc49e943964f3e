//! One name for an exchange that both ends and whoever is between them know: the hash of the request's salt.

use std::fmt;

use sha2::{Digest, Sha256};

use super::RequestSalt;

/// SHA-256 of the request's salt. The gateway takes it from the outer header and bills by it; the worker, whose key comes
/// from that salt, signs it in the receipt. So a bill and a receipt can be held together, though the request ID is sealed.
///
/// Says nothing of the content, and nothing about the salt that the header did not say. Clients draw a salt for each attempt,
/// so an honest client's IDs are all different.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId([u8; 32]);

/// Not 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an exchange's ID has 64 hexadecimal digits in lower case")]
pub struct ExchangeIdError;

impl ExchangeId {
    /// From its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> ExchangeId {
        ExchangeId(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Parses what [`Display`](fmt::Display) writes. One spelling only, so that equal IDs are equal texts.
    pub fn parse(text: &str) -> Result<ExchangeId, ExchangeIdError> {
        let mut bytes = [0; 32];
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(ExchangeIdError);
        }
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ExchangeIdError)?;
        Ok(ExchangeId(bytes))
    }
}

impl RequestSalt {
    /// The ID of the exchange that this salt begins.
    pub fn exchange_id(&self) -> ExchangeId {
        ExchangeId(Sha256::digest(self.as_bytes()).into())
    }
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExchangeId({self})")
    }
}
