//! The memory that lets a request run once: pure, bounded, sliced by sending time.
//!
//! Does not talk to other workers (a backend shares or partitions it) and has no clock. protocol.md, section 9.
//!
//! A request is named by (secret ID, request ID) and dated by its sealed sending time. With `past` and `future` the
//! widths of the window (120 s each unless told otherwise) a claim is decided in this order:
//!
//! | sending time | answer |
//! | --- | --- |
//! | before now − past | `TooOld` |
//! | after now + future | `FromFuture` |
//! | before the floor | `BeforeStart` |
//! | claimed before | `Replayed` |
//! | memory full | `Full` (nothing is evicted to make room: that would be a way to replay) |
//! | the secret has its share | `Share` (or the holder of one secret could lock everybody else out) |
//!
//! **Restart.** What a predecessor accepted is forgotten, and it may have accepted sending times up to `future` ahead of its
//! clock. So the floor begins at start + `future`, not at start. A client that is told `not_before` dates its fresh head
//! with it, and is served in its one retry: a new worker costs an extra round trip for the first 120 s, no outage. The
//! same holds when a range of secrets changes owner.
//!
//! **Clock steps.** Entries are dropped by the worker's clock, in whole slices, and each drop raises the floor to the end of
//! what was dropped: whatever the clock does afterwards, a forgotten request is never taken again. Forward by more than the
//! window and back: requests are refused with `BeforeStart` until the floor is reached again, if anything was dropped.
//! Back: entries stay longer, at most until the capacity is reached; nothing else changes. A clock set back **across** a
//! restart cannot be noticed here: the backend's record or the life of the secrets (one hour) bounds it.

mod key;
mod memory;

pub use key::{Owner, ReplayKey};
pub use memory::{ReplayLimits, ReplayMemory};

use crate::stream::UnixMillis;

/// Why a request is not run. The client gets it sealed, in the response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It ran before.
    #[error("this request was run before")]
    Replayed,
    /// Sent too long ago by the worker's clock.
    #[error("this request was sent too long ago by the worker's clock ({server_time}); send it afresh")]
    TooOld {
        /// The worker's clock.
        server_time: UnixMillis,
    },
    /// Sent in the worker's future.
    #[error("this request was sent in the future of the worker's clock ({server_time}); send it afresh")]
    FromFuture {
        /// The worker's clock.
        server_time: UnixMillis,
    },
    /// Sent at a time of which this worker knows nothing.
    #[error("this worker cannot tell whether this request ran before; send it afresh, dated {not_before}")]
    BeforeStart {
        /// The worker's clock.
        server_time: UnixMillis,
        /// The earliest sending time that it takes.
        not_before: UnixMillis,
    },
    /// No room to remember it in the part of the memory that one secret may take.
    #[error("this client sent more requests than the worker remembers for one client; try again in a minute")]
    Share,
    /// No room to remember it.
    #[error("the worker's replay memory is full; try again in a minute")]
    Full,
}

impl Refusal {
    /// HTTP status: 409, 429 where the client sent too many, or 503 where nobody is to blame.
    pub fn status(self) -> u16 {
        match self {
            Refusal::Full => 503,
            Refusal::Share => 429,
            Refusal::Replayed
            | Refusal::TooOld { .. }
            | Refusal::FromFuture { .. }
            | Refusal::BeforeStart { .. } => 409,
        }
    }
}

#[cfg(test)]
mod tests;
