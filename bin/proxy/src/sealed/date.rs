//! The sending time of sealed requests: our clock, corrected by what workers said under seal. Without the correction, a
//! wrong clock, or a worker that began a moment ago, would cost a second round trip for each request, and an upload that
//! cannot be repeated would fail. Specification: protocol.md §9 (replays).

use std::sync::{Mutex, PoisonError};

use privatemode_attest::UnixTime;
use privatemode_wire::stream::{ClockSkew, UnixMillis};

/// What is known of the workers' clocks.
#[derive(Debug, Default)]
pub(crate) struct SendingTime(Mutex<Correction>);

#[derive(Debug, Default, Clone, Copy)]
struct Correction {
    /// The workers' clock less ours.
    offset_millis: i64,
    /// Nothing sent before this is taken.
    floor: UnixMillis,
}

impl SendingTime {
    /// The date for a request sent at `now`.
    pub(crate) fn at(&self, now: UnixTime) -> UnixMillis {
        let Correction { offset_millis, floor } = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        UnixMillis(millis(now).0.saturating_add_signed(offset_millis)).max(floor)
    }

    /// A worker refused a date: takes its word, which came under seal.
    pub(crate) fn corrected(&self, skew: ClockSkew, now: UnixTime) {
        let ahead = i128::from(skew.server_time.0) - i128::from(millis(now).0);
        // Our clock counts whole seconds: less is no difference.
        let offset_millis = if ahead.abs() < 1000 { 0 } else { i64::try_from(ahead).unwrap_or(0) };
        let floor = if skew.send_as > skew.server_time { skew.send_as } else { UnixMillis(0) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Correction { offset_millis, floor };
    }
}

fn millis(time: UnixTime) -> UnixMillis {
    UnixMillis(time.as_secs().saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_and_a_new_worker_are_remembered() {
        let time = SendingTime::default();
        assert_eq!(time.at(UnixTime(1000)), UnixMillis(1_000_000));
        // ten minutes behind
        let server_time = UnixMillis(1_600_000);
        time.corrected(ClockSkew { server_time, send_as: server_time }, UnixTime(1000));
        assert_eq!(time.at(UnixTime(1001)), UnixMillis(1_601_000));
        // a worker that began: nothing before its floor, later our clock again
        let skew = ClockSkew { server_time: UnixMillis(2_000_500), send_as: UnixMillis(2_120_000) };
        time.corrected(skew, UnixTime(2000));
        assert_eq!(time.at(UnixTime(2001)), UnixMillis(2_120_000));
        assert_eq!(time.at(UnixTime(2200)), UnixMillis(2_200_000));
    }
}
