//! Receipts: what a worker signs of one exchange, so that it can be checked later and offline.
//!
//! Does not sign and does not verify signatures or chains: closures do, with the mesh key and its CA. Digests are taken
//! while the bodies pass ([`crate::stream`]). What is signed is canonical JSON; its members `type` and `v` keep it apart
//! from everything else that a mesh key signs. protocol.md, section 9.
//!
//! ```text
//! exchange          SHA-256(request salt)
//! request digest    SHA-256(request salt ‖ body as received)
//! response digest   SHA-256(response salt ‖ body as sent, without its last segment)
//! ```
//!
//! The salts are in the digests because the bodies mean nothing without them. The last segment of the response carries
//! the receipt itself, so it cannot be in its digest; its own tag protects it.
//!
//! The exchange is what the gateway sees of the same request ([`ExchangeId`]): a bill is held against receipts by it.

mod signed;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use signed::{ReceiptMismatch, SignedReceipt, VerifiedReceipt};
pub(crate) use wire::WireSigned;

use crate::stream::outer::ExchangeId;
use crate::stream::{CanonicalError, ManifestDigest, Outcome, RequestId, UnixMillis};
use crate::usage::Usage;

/// SHA-256 of one direction of one exchange.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SealedDigest(pub [u8; 32]);

impl fmt::Debug for SealedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedDigest({})", hex::encode(self.0))
    }
}

/// What the worker states. Holds no word of prompt or answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The request.
    pub request_id: RequestId,
    /// The exchange, by the name that the gateway knows, too.
    pub exchange: ExchangeId,
    /// The request as received. `None` where the worker refused it (status 400 and above) before it had read all of it.
    pub request_digest: Option<SealedDigest>,
    /// The response as sent, without its trailer.
    pub response_digest: SealedDigest,
    /// The response's status.
    pub status: u16,
    /// How the answer ended.
    pub outcome: Outcome,
    /// The model that answered.
    pub model: String,
    /// Root hash of the model's files, where they are measured.
    pub model_root: Option<[u8; 32]>,
    /// Digest of the engine's image, where there is one.
    pub engine_image: Option<[u8; 32]>,
    /// The manifest that the worker runs under. Clients hold it against the one they verified.
    pub manifest: ManifestDigest,
    /// Sampling parameters in effect, by name, each as raw JSON text (canonical JSON has no fractions).
    pub sampling: BTreeMap<String, String>,
    /// What was counted.
    pub usage: Option<Usage>,
    /// The worker's clock when the head was read.
    pub received: UnixMillis,
    /// When the response began.
    pub started: UnixMillis,
    /// When its body had ended.
    pub finished: UnixMillis,
    /// Every tolerance that was in effect, by name: `simulated`, `test-root`, an old protocol, a tolerated advisory.
    pub downgrades: BTreeSet<String>,
    /// The mesh certificate and its issuers, DER, leaf first.
    pub certificates: Vec<Vec<u8>>,
}

/// Not a receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not the JSON expected.
    #[error("the receipt is not the canonical JSON that is expected")]
    Json(#[source] CanonicalError),
    /// Another kind of document.
    #[error("the document is no receipt")]
    Type,
    /// Another version.
    #[error("the receipt has version {version}, this program knows 1")]
    Version {
        /// The version given.
        version: u64,
    },
    /// A member's value is not what it must be.
    #[error("the receipt's member `{member}` is malformed")]
    Member {
        /// Which.
        member: &'static str,
    },
}

impl Receipt {
    /// Longest receipt with its signature, in bytes of JSON.
    pub const MAX_LENGTH: usize = 30 * 1024;

    /// What is signed: the receipt as canonical JSON.
    pub fn to_be_signed(&self) -> Vec<u8> {
        wire::to_json(self).into_bytes()
    }
}

#[cfg(test)]
mod tests;
