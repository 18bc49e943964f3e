//! Where coordinators keep their history: entries named by their content, and one entry that is swapped.
//!
//! [`StateStore`] is not trusted: whoever reads hashes what came and verifies the signature of the latest transition. It
//! must only be a store: what was written is there, and of two swaps from the same state one loses. Holds nothing secret.
//! Specification: `attestation.md` §2.

mod config_map;
mod directory;
mod etcd;
mod key;
mod memory;

use crate::{Cause, StoreFuture};

pub use config_map::{ConfigMapError, ConfigMapSettings, ConfigMapState};
pub use directory::{DirectoryError, DirectoryState};
pub use etcd::EtcdState;
pub use key::StateKey;
pub use memory::MemoryState;

/// The longest entry: a manifest or a policy.
pub const MAX_ENTRY: usize = 1024 * 1024;

/// Keeps the entries of one deployment, for all its coordinators.
pub trait StateStore: Send + Sync {
    /// What is under `key`; none if nothing is.
    fn get<'a>(&'a self, key: &'a StateKey) -> StoreFuture<'a, Option<Vec<u8>>, StateError>;

    /// Keeps an entry for good. It may be there already: then nothing changes. Never called for [`StateKey::Latest`].
    fn put<'a>(&'a self, key: &'a StateKey, value: &'a [u8]) -> StoreFuture<'a, (), StateError>;

    /// Replaces [`StateKey::Latest`] if it is still `expected`; none: if there is none. Of several callers with the same
    /// expectation one succeeds. After [`SwapError::Store`] nobody knows whether it happened: read again.
    fn swap<'a>(&'a self, expected: Option<&'a [u8]>, new: &'a [u8]) -> StoreFuture<'a, (), SwapError>;

    /// Waits until [`StateKey::Latest`] is something else than `seen`, and returns it. May return early with what is
    /// there, and may miss what was replaced in between.
    fn changed<'a>(&'a self, seen: Option<&'a [u8]>) -> StoreFuture<'a, Option<Vec<u8>>, StateError>;
}

/// Why the store did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The entry does not fit.
    #[error("`{key}` has {len} bytes, this store takes at most {max}")]
    TooLong {
        /// Which.
        key: StateKey,
        /// Its length.
        len: usize,
        /// Longest length.
        max: usize,
    },
    /// In the entry's place is something that this store did not write. Asking again does not help.
    #[error("`{key}` in the coordinator's store is no entry")]
    Foreign {
        /// Which.
        key: StateKey,
        /// What is there.
        source: Cause,
    },
    /// The store cannot be reached, or says no.
    #[error("the coordinator's store does not answer")]
    Unavailable(#[source] Cause),
}

/// Why the latest transition was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// Somebody else was faster.
    #[error("another coordinator has changed the state in the meantime")]
    Lost,
    /// Not done, or nobody knows.
    #[error(transparent)]
    Store(#[from] StateError),
}

fn check_length(key: &StateKey, value: &[u8], max: usize) -> Result<(), StateError> {
    if value.len() > max {
        return Err(StateError::TooLong { key: *key, len: value.len(), max });
    }
    Ok(())
}
