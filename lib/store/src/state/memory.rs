//! The state in this process's memory: for a coordinator that stands alone, and whose restart is a new deployment.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{MAX_ENTRY, StateError, StateKey, StateStore, SwapError};
use crate::StoreFuture;

/// Entries in memory.
pub struct MemoryState {
    entries: Mutex<BTreeMap<StateKey, Vec<u8>>>,
    swaps: watch::Sender<()>,
}

impl MemoryState {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: Mutex::default(), swaps: watch::Sender::new(()) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StateKey, Vec<u8>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn swap_now(&self, expected: Option<&[u8]>, new: &[u8]) -> Result<(), SwapError> {
        super::check_length(&StateKey::Latest, new, MAX_ENTRY)?;
        let mut entries = self.lock();
        if entries.get(&StateKey::Latest).map(Vec::as_slice) != expected {
            return Err(SwapError::Lost);
        }
        entries.insert(StateKey::Latest, new.to_vec());
        self.swaps.send_replace(());
        Ok(())
    }
}

impl Default for MemoryState {
    fn default() -> Self {
        Self::new()
    }
}

impl StateStore for MemoryState {
    fn get<'a>(&'a self, key: &'a StateKey) -> StoreFuture<'a, Option<Vec<u8>>, StateError> {
        Box::pin(async move { Ok(self.lock().get(key).cloned()) })
    }

    fn put<'a>(&'a self, key: &'a StateKey, value: &'a [u8]) -> StoreFuture<'a, (), StateError> {
        Box::pin(async move {
            super::check_length(key, value, MAX_ENTRY)?;
            self.lock().entry(*key).or_insert_with(|| value.to_vec());
            Ok(())
        })
    }

    fn swap<'a>(&'a self, expected: Option<&'a [u8]>, new: &'a [u8]) -> StoreFuture<'a, (), SwapError> {
        Box::pin(async move { self.swap_now(expected, new) })
    }

    fn changed<'a>(&'a self, seen: Option<&'a [u8]>) -> StoreFuture<'a, Option<Vec<u8>>, StateError> {
        Box::pin(async move {
            // subscribed before the first look, so that no swap falls between
            let mut swaps = self.swaps.subscribe();
            loop {
                let latest = self.lock().get(&StateKey::Latest).cloned();
                if latest.as_deref() != seen || swaps.changed().await.is_err() {
                    return Ok(latest);
                }
            }
        })
    }
}
