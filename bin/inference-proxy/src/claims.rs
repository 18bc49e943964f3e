//! Who lets a sealed request run: once, over all workers that hold its secret.
//!
//! Asked before the first byte of an answer leaves; the engine may have begun by then, unless the memory is young
//! (`Caution`). Whoever cannot ask refuses.
//! protocol.md, section 9.

mod caution;
mod local;
mod mesh;

use privatemode_service::{BoxError, BoxFuture};
use privatemode_wire::{
    replay::{Refusal, ReplayKey},
    stream::UnixMillis,
};

pub(crate) use caution::Caution;
pub use local::LocalClaims;
pub use mesh::MeshClaims;

/// Remembers which requests have run.
pub trait Claims: Send + Sync {
    /// Claims a request: `Ok` once, never again. A claim that is given up may count or not.
    fn claim<'a>(&'a self, key: &'a ReplayKey, sent: UnixMillis) -> BoxFuture<'a, Result<(), ClaimError>>;
}

/// Why a request must not be answered.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// It ran before, or nobody can tell.
    #[error("the request may not run")]
    Refused(#[source] Refusal),
    /// Whoever remembers cannot be asked.
    #[error("the claims' memory cannot be reached")]
    Unreachable(#[source] BoxError),
    /// It gave an answer that is neither yes nor no.
    #[error("the claims' memory answered with status {status}")]
    Answer {
        /// The HTTP status.
        status: u16,
    },
}
