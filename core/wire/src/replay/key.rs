//! The name of a request in the memory, and whose it is.

use sha2::{Digest, Sha256};

use crate::secret::SecretId;
use crate::stream::RequestId;

/// SHA-256 over secret ID and request ID: the same at all workers, so backends may use it as their key. With it goes the
/// secret's own mark, so that a memory can see to it that no secret takes more than its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplayKey {
    request: [u8; 32],
    owner: Owner,
}

/// 64 bits of SHA-256 over a secret ID. Two secrets with the same mark share one share, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner([u8; 8]);

impl ReplayKey {
    /// The request that this secret sealed.
    pub fn new(secret: &SecretId, request: &RequestId) -> ReplayKey {
        // The request ID's length is fixed, so it goes first: no two pairs make the same bytes.
        let hash =
            Sha256::new_with_prefix(request.as_bytes()).chain_update(secret.as_str().as_bytes()).finalize();
        let owner: [u8; 32] = Sha256::digest(secret.as_str().as_bytes()).into();
        ReplayKey { request: hash.into(), owner: Owner(owner.first_chunk().copied().unwrap_or_default()) }
    }

    /// From the bytes that another worker made of both.
    pub fn from_bytes(request: [u8; 32], owner: [u8; 8]) -> ReplayKey {
        ReplayKey { request, owner: Owner(owner) }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.request
    }

    /// Whose request it is.
    pub fn owner(&self) -> Owner {
        self.owner
    }
}

impl Owner {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}
