//! Where a request's secret comes from: the secret service, or etcd itself, through a cache in memory.

mod cache;
mod mesh;
mod store;
mod watch;

use std::time::Duration;

use privatemode_service::{BoxError, BoxFuture};
use privatemode_wire::{Secret, SecretId};

pub use cache::SecretCache;
pub use mesh::MeshSource;
pub use store::StoreSource;
pub use watch::SecretWatch;

/// A secret as its source has it.
#[derive(Debug)]
pub struct Found {
    /// The secret.
    pub secret: Secret,
    /// How long it will live.
    pub expires_in: Duration,
}

/// Knows the secrets that clients exchanged.
pub trait SecretSource: Send + Sync {
    /// The live secret of that ID; none if there is none.
    fn lookup<'a>(&'a self, id: &'a SecretId) -> BoxFuture<'a, Result<Option<Found>, LookupError>>;
}

/// Why a source could not be asked. None of it says whether the secret exists.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// No connection, no TLS, or no whole answer.
    #[error("the secret service or its store cannot be reached")]
    Unreachable(#[source] BoxError),
    /// An answer that is neither a secret nor its absence.
    #[error("the secret service answered with status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// Not a secret. The answer itself is not kept: it may hold one.
    #[error("the secret service's answer is not a secret")]
    Answer,
    /// The lookup was dropped.
    #[error("the lookup ended without an answer")]
    Aborted,
}
