//! A store in the same process as a source.

use std::sync::Arc;

use privatemode_service::BoxFuture;
use privatemode_store::{GetError, SecretStore};
use privatemode_wire::{Secret, SecretId};

use super::{Found, LookupError, SecretSource};

/// Asks a store in this process.
pub struct StoreSource(Arc<dyn SecretStore>);

impl StoreSource {
    /// Asks `store`.
    #[must_use]
    pub fn new(store: Arc<dyn SecretStore>) -> Self {
        Self(store)
    }
}

impl SecretSource for StoreSource {
    fn lookup<'a>(&'a self, id: &'a SecretId) -> BoxFuture<'a, Result<Option<Found>, LookupError>> {
        Box::pin(async move {
            let stored = match self.0.get(id.as_str()).await {
                Ok(stored) => stored,
                Err(GetError::Unavailable(cause)) => return Err(LookupError::Unreachable(cause)),
            };
            let Some(stored) = stored else { return Ok(None) };
            let secret = Secret::from_slice(&stored.secret).map_err(|_| LookupError::Answer)?;
            Ok(Some(Found { secret, expires_in: stored.expires_in }))
        })
    }
}
