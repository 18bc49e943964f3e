//! The name of a request in the memory.

use sha2::{Digest, Sha256};

use crate::secret::SecretId;
use crate::stream::RequestId;

/// SHA-256 over secret ID and request ID: the same at all workers, so backends may use it as their key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplayKey([u8; 32]);

impl ReplayKey {
    /// The request that this secret sealed.
    pub fn new(secret: &SecretId, request: &RequestId) -> ReplayKey {
        // The request ID's length is fixed, so it goes first: no two pairs make the same bytes.
        let hash =
            Sha256::new_with_prefix(request.as_bytes()).chain_update(secret.as_str().as_bytes()).finalize();
        ReplayKey(hash.into())
    }

    /// From the bytes that another worker made of both.
    pub fn from_bytes(bytes: [u8; 32]) -> ReplayKey {
        ReplayKey(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}
