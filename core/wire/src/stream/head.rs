//! Heads: what the first plaintext of each direction says of the body behind it.
//!
//! Canonical JSON after its length as u32 big-endian, whole within the first segment. Does not look into the body.
//! protocol.md, section 9.

mod check;
mod request;
mod response;

pub(super) use check::demand;
pub use check::{BodyFields, HeadField, HeadMismatch, Outer};
pub use request::RequestHead;
pub use response::{ClockSkew, ResponseHead};

use std::fmt;

use rand_core::CryptoRng;

use super::CanonicalError;
use super::error::ReadError;

/// Length of the head's length.
pub(super) const LENGTH: usize = 4;

/// Longest head, in bytes.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// Not a head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Not the JSON expected.
    #[error("the head is not the canonical JSON that is expected")]
    Json(#[source] CanonicalError),
    /// Another version.
    #[error("the head has version {version}, this side knows 1")]
    Version {
        /// The version given.
        version: u64,
    },
    /// A member's value is not what it must be.
    #[error("the head's member `{member}` is malformed")]
    Member {
        /// Which.
        member: &'static str,
    },
}

/// 16 random bytes that name one request, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// A fresh one. A retry needs another.
    pub fn random(rng: &mut dyn CryptoRng) -> RequestId {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        RequestId(bytes)
    }

    /// From bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> RequestId {
        RequestId(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// SHA-256 of the manifest's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ManifestDigest(pub [u8; 32]);

/// Splits the first plaintext into the head's JSON and the offset of what follows.
pub(super) fn split(data: &[u8]) -> Result<(&[u8], usize), ReadError> {
    let (length, rest) = data.split_first_chunk::<LENGTH>().ok_or(ReadError::HeadCut)?;
    let length = u32::from_be_bytes(*length);
    let bytes = usize::try_from(length)
        .ok()
        .filter(|length| *length <= MAX_HEAD)
        .ok_or(ReadError::HeadTooLong { length })?;
    Ok((rest.get(..bytes).ok_or(ReadError::HeadCut)?, LENGTH.saturating_add(bytes)))
}

/// The head with its length before it.
pub(super) fn framed(json: &str) -> Result<Vec<u8>, HeadError> {
    let length = json.len();
    let too_long = HeadError::Json(CanonicalError::TooLong { length, max: MAX_HEAD });
    let prefix = u32::try_from(length).ok().filter(|_| length <= MAX_HEAD).ok_or(too_long)?;
    let mut framed = prefix.to_be_bytes().to_vec();
    framed.extend_from_slice(json.as_bytes());
    Ok(framed)
}

/// Lower-case hex of exactly N bytes.
fn unhex<const N: usize>(text: &str, member: &'static str) -> Result<[u8; N], HeadError> {
    let malformed = HeadError::Member { member };
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(malformed);
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| malformed)?;
    Ok(bytes)
}

/// Printable ASCII, so that it can stand in a header: nobody smuggles a line break into one.
fn printable(text: &str, max: usize, member: &'static str) -> Result<(), HeadError> {
    let fits = text.len() <= max && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if fits { Ok(()) } else { Err(HeadError::Member { member }) }
}

#[cfg(test)]
mod tests;
