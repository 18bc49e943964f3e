//! A memory in this process: only for a worker that shares its secrets with no other.

use std::sync::Arc;

use privatemode_service::BoxFuture;
use privatemode_store::claims::ClaimMemory;
use privatemode_wire::{replay::ReplayKey, stream::UnixMillis};

use super::{ClaimError, Claims};

/// Claims in this process.
pub struct LocalClaims(Arc<ClaimMemory>);

impl LocalClaims {
    /// Claims in `memory`.
    #[must_use]
    pub fn new(memory: Arc<ClaimMemory>) -> Self {
        Self(memory)
    }
}

impl Claims for LocalClaims {
    fn claim<'a>(&'a self, key: &'a ReplayKey, sent: UnixMillis) -> BoxFuture<'a, Result<(), ClaimError>> {
        Box::pin(async move { self.0.claim(key, sent).map_err(ClaimError::Refused) })
    }
}
