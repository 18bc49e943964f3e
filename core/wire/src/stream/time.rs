//! Points in time as the protocol writes them.

use std::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z. Whoever calls has the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Later by that many milliseconds; stays at the end of time instead of wrapping.
    #[must_use]
    pub fn plus(self, millis: u64) -> UnixMillis {
        UnixMillis(self.0.saturating_add(millis))
    }

    /// Earlier by that many milliseconds; stays at 1970 instead of wrapping.
    #[must_use]
    pub fn minus(self, millis: u64) -> UnixMillis {
        UnixMillis(self.0.saturating_sub(millis))
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}
