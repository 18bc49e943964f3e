//! Where the time comes from. Sleeping is not here: a timer that stood still while the machine slept proves nothing
//! about the age of a secret, only the wall clock does.

use std::time::{SystemTime, UNIX_EPOCH};

use privatemode_attest::UnixTime;

/// A wall clock.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> UnixTime;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        // A clock before 1970 reads as 0: then no certificate is valid yet, and verification fails closed.
        UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs()))
    }
}
