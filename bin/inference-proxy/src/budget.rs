//! How much of large requests may be in memory at once, over all requests: anybody may send many of them.
//!
//! Counts what is reserved, not what is used of it, and both copies while one is made of the other. The first [`FREE`] bytes
//! of each request count for nothing, so that large requests never keep small ones out.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use privatemode_service::BodyError;

/// More than most requests have.
const FREE: usize = 1024 * 1024;
/// From this size on a buffer grows by a quarter, not to its double: what is reserved and not used is somebody else's room.
const LARGE: usize = 1024 * 1024;

/// What is left. Clones share it.
#[derive(Clone)]
pub(crate) struct Budget(Arc<AtomicUsize>);

/// What one request holds of the budget, until this is dropped.
pub(crate) struct Held {
    budget: Budget,
    held: usize,
}

/// Too many large requests at once.
#[derive(Debug, thiserror::Error)]
#[error("the worker holds as many large requests as it may")]
pub(crate) struct OverBudget;

impl From<OverBudget> for BodyError {
    fn from(over: OverBudget) -> Self {
        Self::Read { source: over.into() }
    }
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    pub(crate) fn hold(&self) -> Held {
        Held { budget: self.clone(), held: 0 }
    }
}

impl Held {
    /// The request holds so many bytes from now on, in all its buffers. Less than before is always granted.
    pub(crate) fn set(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let wanted = bytes.saturating_sub(FREE);
        let left = &self.budget.0;
        match wanted.checked_sub(self.held) {
            Some(more) => {
                let taken =
                    left.try_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(more));
                taken.map_err(|_| OverBudget)?;
            }
            None => drop(left.fetch_add(self.held - wanted, Ordering::AcqRel)),
        }
        self.held = wanted;
        Ok(())
    }

    /// Bytes that give back what is held when the last of them is dropped.
    pub(crate) fn keep(mut self, bytes: Vec<u8>) -> Result<Bytes, OverBudget> {
        self.set(bytes.capacity())?;
        Ok(Bytes::from_owner(Kept { bytes, _held: self }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.0.fetch_add(self.held, Ordering::AcqRel);
    }
}

struct Kept {
    bytes: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body that is put together in memory, counted as it grows.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    held: Held,
    max: usize,
}

impl Buffer {
    /// For at most `max` bytes.
    pub(crate) fn new(held: Held, max: usize) -> Self {
        Self { bytes: Vec::new(), held, max }
    }

    /// Appends; nothing of the excess is kept.
    pub(crate) fn extend(&mut self, data: &[u8]) -> Result<(), BodyError> {
        let (capacity, max) = (self.bytes.capacity(), self.max);
        let needed = self.bytes.len().saturating_add(data.len());
        if needed > max {
            return Err(BodyError::TooLarge { max });
        }
        if needed > capacity {
            let step = if capacity < LARGE { capacity } else { capacity / 4 };
            let grown = capacity.saturating_add(step).clamp(needed, max);
            // While it is copied, both are there.
            self.held.set(capacity.saturating_add(grown))?;
            self.bytes.reserve_exact(grown - self.bytes.len());
            self.held.set(self.bytes.capacity())?;
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// The bytes, and what is held for them.
    pub(crate) fn into_parts(self) -> (Vec<u8>, Held) {
        (self.bytes, self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn left(budget: &Budget) -> usize {
        budget.0.load(Ordering::SeqCst)
    }

    #[test]
    fn what_is_reserved_counts() {
        let budget = Budget::new(100 * MIB);
        let mut buffer = Buffer::new(budget.hold(), 64 * MIB);
        let piece = vec![7; 64 * 1024];
        let mut before = 0;
        while buffer.bytes.len() < 40 * MIB {
            buffer.extend(&piece).unwrap();
            let reserved = buffer.bytes.capacity();
            assert_eq!(100 * MIB - left(&budget), reserved.saturating_sub(FREE));
            if reserved != before && before > LARGE {
                assert!(reserved <= before + before / 4 + piece.len(), "{before} to {reserved}");
            }
            before = reserved;
        }
        let (bytes, held) = buffer.into_parts();
        let capacity = bytes.capacity();
        let kept = held.keep(bytes).unwrap();
        assert_eq!(100 * MIB - left(&budget), capacity - FREE);
        let part = kept.slice(..1);
        drop(kept);
        assert_eq!(100 * MIB - left(&budget), capacity - FREE, "a part keeps the whole");
        drop(part);
        assert_eq!(left(&budget), 100 * MIB);
    }

    /// A buffer that has to move needs room for both: without it, the old one stays what it is.
    #[test]
    fn growing_needs_room_for_both_copies() {
        let budget = Budget::new(4 * MIB);
        let mut buffer = Buffer::new(budget.hold(), 64 * MIB);
        let piece = vec![7; MIB];
        let error = (0..64).find_map(|_| buffer.extend(&piece).err()).unwrap();
        assert!(matches!(&error, BodyError::Read { source } if source.is::<OverBudget>()), "{error:?}");
        // Three to four would be seven, and five are free or in the budget.
        assert_eq!((buffer.bytes.len(), buffer.bytes.capacity()), (3 * MIB, 3 * MIB));
        assert_eq!(4 * MIB - left(&budget), 2 * MIB);
        drop(buffer);
        assert_eq!(left(&budget), 4 * MIB);
    }

    #[test]
    fn no_more_than_the_cap() {
        let mut buffer = Buffer::new(Budget::new(MIB).hold(), 5);
        buffer.extend(b"abcde").unwrap();
        let error = buffer.extend(b"f").unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { max: 5 }), "{error:?}");
        assert_eq!(buffer.into_parts().0, b"abcde");
    }
}
