//! The trailer: the data of a response's last segment, as canonical JSON.
//!
//! Does not check the receipt in it ([`crate::receipt`]). protocol.md, section 9.

use serde::{Deserialize, Serialize};

use super::{CanonicalError, WireUsage, from_canonical, to_canonical};
use crate::receipt::{ReceiptError, SignedReceipt};
use crate::usage::Usage;

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The body is whole.
    Complete,
    /// The engine failed in mid-answer: what was sent is not the whole answer, and the caller must be told.
    Failed,
    /// The answer was given up on somebody's wish: not the whole answer either.
    Cancelled,
}

/// What follows the body of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// How it ended. Anything but [`Outcome::Complete`] is an error to the caller.
    pub outcome: Outcome,
    /// What the worker counted, where there is something to count.
    pub usage: Option<Usage>,
    /// Where the head asked for one.
    pub receipt: Option<Box<SignedReceipt>>,
}

/// Not a trailer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrailerError {
    /// The response ended without one.
    #[error("there is no trailer")]
    Missing,
    /// Not the JSON expected.
    #[error("the trailer is not the canonical JSON that is expected")]
    Json(#[source] CanonicalError),
    /// Another version.
    #[error("the trailer has version {version}, this side knows 1")]
    Version {
        /// The version given.
        version: u64,
    },
    /// Its receipt is malformed.
    #[error("the trailer's receipt is malformed")]
    Receipt(#[source] ReceiptError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<crate::receipt::WireSigned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<WireUsage>,
    v: u64,
}

impl Trailer {
    /// Longest trailer, in bytes. With padding it still fits one segment.
    pub const MAX_LENGTH: usize = 32 * 1024;

    /// A whole answer without receipt.
    pub fn complete(usage: Option<Usage>) -> Trailer {
        Trailer { outcome: Outcome::Complete, usage, receipt: None }
    }

    /// Canonical JSON.
    pub fn to_json(&self) -> Result<String, TrailerError> {
        let Trailer { outcome, usage, receipt } = self;
        let receipt = receipt.as_ref().map(|receipt| receipt.to_wire());
        let json =
            to_canonical(&Wire { outcome: *outcome, receipt, usage: usage.map(WireUsage::from), v: 1 });
        let (length, max) = (json.len(), Trailer::MAX_LENGTH);
        if length > max {
            return Err(TrailerError::Json(CanonicalError::TooLong { length, max }));
        }
        Ok(json)
    }

    /// Parses the last segment's data.
    pub fn parse(json: &[u8]) -> Result<Trailer, TrailerError> {
        if json.is_empty() {
            return Err(TrailerError::Missing);
        }
        let Wire { outcome, receipt, usage, v } =
            from_canonical(json, Trailer::MAX_LENGTH).map_err(TrailerError::Json)?;
        if v != 1 {
            return Err(TrailerError::Version { version: v });
        }
        let receipt =
            receipt.map(SignedReceipt::from_wire).transpose().map_err(TrailerError::Receipt)?.map(Box::new);
        Ok(Trailer { outcome, usage: usage.map(Usage::from), receipt })
    }
}

#[cfg(test)]
mod tests;
