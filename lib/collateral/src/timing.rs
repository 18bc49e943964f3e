//! Time and chance, handed in: what the clock says, how long a retry is put off, and waiting itself.

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use privatemode_attest::UnixTime;

/// A clock, a source of jitter and a timer.
pub trait Timing: Send + Sync {
    /// The time now.
    fn now(&self) -> UnixTime;
    /// A random part of `span`, from nothing to all of it. Need not be unpredictable.
    fn jitter(&self, span: Duration) -> Duration;
    /// Comes back after `span`.
    fn pause(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The machine's.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemTiming;

impl Timing for SystemTiming {
    fn now(&self) -> UnixTime {
        // A clock before 1970 reads as 0; then no certificate is valid yet, and verification fails closed.
        UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs()))
    }

    fn jitter(&self, span: Duration) -> Duration {
        let mut random = [0; 4];
        // without randomness all clients wait alike, which is bad manners and no danger
        if getrandom::fill(&mut random).is_err() {
            return span;
        }
        span.mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX))
    }

    fn pause(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(span))
    }
}
