//! Leases that several keys share: one for each slice of time, not one for each key.
//!
//! A lease costs etcd as much as a key does, and its end a proposal of its own. Keys that are written within one slice hang
//! on one lease that is as much longer as the slice is: never shorter than promised, at most a minute longer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::OnceCell;

use crate::{
    Clock,
    etcd::{Etcd, EtcdError},
};

/// How much longer than promised a key may live: a sixtieth, within these bounds.
const SLICE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// Makes and shares leases.
pub(crate) struct SharedLeases {
    etcd: Etcd,
    clock: Arc<dyn Clock>,
    /// By the seconds that were promised.
    current: Mutex<HashMap<u64, Arc<Slot>>>,
}

/// One slice. Its lease is asked for once, by whoever comes first.
struct Slot {
    /// Before the lease was asked for, and so not after it began.
    began: Duration,
    slice: Duration,
    lease: OnceCell<i64>,
}

/// A lease to hang a key on.
pub(crate) struct SharedLease {
    pub(crate) id: i64,
    /// A key that is written by then lives as long as was promised.
    pub(crate) good_until: Duration,
}

impl SharedLeases {
    pub(crate) fn new(etcd: Etcd, clock: Arc<dyn Clock>) -> Self {
        Self { etcd, clock, current: Mutex::default() }
    }

    /// A lease that will not end within `ttl` (rounded up to seconds) if the key is written by
    /// [`SharedLease::good_until`].
    pub(crate) async fn lease(&self, ttl: Duration) -> Result<SharedLease, EtcdError> {
        let seconds = whole_seconds(ttl);
        let slot = self.slot(seconds);
        let id = slot.lease.get_or_try_init(|| async {
            let ttl = seconds.saturating_add(slot.slice.as_secs());
            let granted = self.etcd.lease_grant(i64::try_from(ttl).unwrap_or(i64::MAX)).await?;
            Ok::<_, EtcdError>(granted.id)
        });
        Ok(SharedLease { id: *id.await?, good_until: slot.began.saturating_add(slot.slice) })
    }

    /// The lease is gone: the next one is a new one.
    pub(crate) fn forget(&self, id: i64) {
        self.lock().retain(|_, slot| slot.lease.get() != Some(&id));
    }

    fn slot(&self, seconds: u64) -> Arc<Slot> {
        let now = self.clock.now();
        let mut current = self.lock();
        // half of the slice is for the writing itself
        current.retain(|_, slot| now.saturating_sub(slot.began) < slot.slice / 2);
        let slot = current.entry(seconds).or_insert_with(|| {
            let slice = Duration::from_secs(seconds / 60).clamp(SLICE.0, SLICE.1);
            Arc::new(Slot { began: now, slice, lease: OnceCell::new() })
        });
        Arc::clone(slot)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Slot>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rounded up; etcd's leases have at most nine billion seconds.
fn whole_seconds(ttl: Duration) -> u64 {
    const LONGEST: u64 = 9_000_000_000 - 60;
    let up = u64::from(ttl.subsec_nanos() > 0);
    ttl.as_secs().saturating_add(up).clamp(1, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up() {
        for (ttl, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (3_600_000, 3600)] {
            assert_eq!(whole_seconds(Duration::from_millis(ttl)), seconds, "{ttl} ms");
        }
        assert_eq!(whole_seconds(Duration::MAX), 8_999_999_940);
    }
}
