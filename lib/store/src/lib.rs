//! Secrets with expiry behind one trait.
//!
//! [`SecretStore`] is what the secret service needs from a store: put a new secret under an ID that is not taken, and
//! get it back until it expires. [`Embedded`] keeps the secrets in this process, [`EtcdSecrets`]
//! in etcd. Knows nothing of how a secret was
//! agreed on or of who may read it; specification: `protocol.md` §4. [`claims`] lets each request run once; §9. [`state`]
//! keeps the coordinators' history, which is public. [`etcd`] is the client for what is kept there.

pub mod claims;
mod clock;
mod embedded;
pub mod etcd;
mod etcd_secrets;
mod leases;
pub mod state;

use std::{error::Error, fmt, future::Future, pin::Pin, time::Duration};

use zeroize::Zeroizing;

pub use clock::{Clock, ManualClock, MonotonicClock};
pub use embedded::Embedded;
pub use etcd_secrets::{EtcdSecrets, SECRETS_PREFIX};

/// The longest secret that a store takes, in bytes. Ours have 32.
pub const MAX_SECRET_LEN: usize = 64;
/// The longest ID that a store takes, in bytes. Ours have 44.
pub const MAX_ID_LEN: usize = 128;

/// A store's answer to come. Boxed, so that a store can be chosen at run time.
pub type StoreFuture<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;
/// Why a remote store did not answer.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Keeps secrets until they expire.
pub trait SecretStore: Send + Sync {
    /// Keeps `secret` under `id` for `ttl`. An ID that is taken and has not expired is refused: whoever could replace a
    /// secret could make workers accept a key of its own.
    fn put<'a>(&'a self, id: &'a str, secret: &'a [u8], ttl: Duration) -> StoreFuture<'a, (), PutError>;

    /// The secret under `id`; none if there never was one or it has expired.
    fn get<'a>(&'a self, id: &'a str) -> StoreFuture<'a, Option<StoredSecret>, GetError>;
}

/// A secret as the store holds it: wiped when dropped, never printed.
pub struct StoredSecret {
    /// The secret's bytes.
    pub secret: Zeroizing<Box<[u8]>>,
    /// How long the secret will live, as of the answer. Never zero.
    pub expires_in: Duration,
}

impl fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret: _, expires_in } = self;
        f.debug_struct("StoredSecret").field("expires_in", expires_in).finish_non_exhaustive()
    }
}

/// Why a secret was not kept.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The ID is taken.
    #[error("the secret's ID is already in use")]
    Exists,
    /// As many live secrets as the store may hold.
    #[error("the secret store is full ({capacity} secrets)")]
    Full {
        /// How many it may hold.
        capacity: usize,
    },
    /// The ID is empty or too long.
    #[error("a secret's ID has 1 to {MAX_ID_LEN} bytes, not {len}")]
    IdLength {
        /// The length in bytes.
        len: usize,
    },
    /// The secret is empty or too long.
    #[error("a secret has 1 to {MAX_SECRET_LEN} bytes, not {len}")]
    SecretLength {
        /// The length in bytes.
        len: usize,
    },
    /// The store cannot be reached.
    #[error("the secret store does not answer")]
    Unavailable(#[source] Cause),
}

/// Why the store could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// The store cannot be reached.
    #[error("the secret store does not answer")]
    Unavailable(#[source] Cause),
}
