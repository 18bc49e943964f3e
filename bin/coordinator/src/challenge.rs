//! Nonces for joining: each one is made here, lives for a minute, and counts once.
//!
//! Without them, evidence that somebody captured could be shown again. Makes no randomness and reads no clock.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use privatemode_attest::UnixTime;
use thiserror::Error;

/// Seconds from challenge to answer: slow hardware takes a few to quote.
pub const LIFETIME: u64 = 60;
/// Nonces that are remembered at once; about 300 KiB.
pub const CAPACITY: usize = 4096;

/// The nonces that were handed out.
#[derive(Debug)]
pub struct Challenges {
    nonces: HashMap<[u8; 32], State>,
    capacity: usize,
}

#[derive(Debug, Clone, Copy)]
struct State {
    expires: UnixTime,
    used: bool,
}

/// Too many open challenges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many workloads are joining at once; try again in a minute")]
pub struct ChallengesFull;

/// Why a nonce does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NonceError {
    /// Never handed out, or so long ago that it is forgotten.
    #[error("the nonce was not handed out by this coordinator, or too long ago; ask for a new challenge")]
    Unknown,
    /// Shown a second time.
    #[error("the nonce was used already, each one counts once; ask for a new challenge")]
    Used,
    /// Answered too late.
    #[error("the nonce has expired, each one lives for {LIFETIME} s; ask for a new challenge")]
    Expired,
}

impl Challenges {
    /// An empty table that remembers at most `capacity` nonces.
    pub fn new(capacity: usize) -> Self {
        Self { nonces: HashMap::new(), capacity }
    }

    /// Remembers a fresh random nonce. When the table is full of live ones, new workloads must wait: to forget one would
    /// let a flood of challenges shut out a workload that is just quoting.
    pub fn issue(&mut self, nonce: [u8; 32], now: UnixTime) -> Result<(), ChallengesFull> {
        if self.nonces.len() >= self.capacity {
            self.nonces.retain(|_, state| now <= state.expires);
        }
        if self.nonces.len() >= self.capacity {
            return Err(ChallengesFull);
        }
        self.nonces.insert(nonce, State { expires: now.saturating_add(LIFETIME), used: false });
        Ok(())
    }

    /// Uses a nonce up, also when what follows fails.
    pub fn take(&mut self, nonce: &[u8; 32], now: UnixTime) -> Result<(), NonceError> {
        let Entry::Occupied(mut entry) = self.nonces.entry(*nonce) else {
            return Err(NonceError::Unknown);
        };
        let state = entry.get_mut();
        if state.used {
            return Err(NonceError::Used);
        }
        state.used = true;
        if now > state.expires { Err(NonceError::Expired) } else { Ok(()) }
    }

    /// Nonces that are remembered.
    pub fn len(&self) -> usize {
        self.nonces.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.nonces.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1000);
    const LAST: UnixTime = UnixTime(1000 + LIFETIME);
    const LATE: UnixTime = UnixTime(1001 + LIFETIME);

    #[test]
    fn a_nonce_counts_once() {
        let mut challenges = Challenges::new(4);
        challenges.issue([1; 32], NOW).unwrap();
        assert_eq!(challenges.take(&[1; 32], LAST), Ok(()));
        assert_eq!(challenges.take(&[1; 32], NOW), Err(NonceError::Used));
    }

    #[test]
    fn a_foreign_nonce_does_not_count() {
        let mut challenges = Challenges::new(4);
        challenges.issue([1; 32], NOW).unwrap();
        assert_eq!(challenges.take(&[2; 32], NOW), Err(NonceError::Unknown));
    }

    #[test]
    fn a_late_answer_does_not_count_not_even_later() {
        let mut challenges = Challenges::new(4);
        challenges.issue([1; 32], NOW).unwrap();
        assert_eq!(challenges.take(&[1; 32], LATE), Err(NonceError::Expired));
        assert_eq!(challenges.take(&[1; 32], NOW), Err(NonceError::Used));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_what_expired() {
        let mut challenges = Challenges::new(2);
        challenges.issue([1; 32], NOW).unwrap();
        challenges.issue([2; 32], LATE).unwrap();
        assert_eq!(challenges.issue([3; 32], NOW), Err(ChallengesFull));
        assert_eq!(challenges.len(), 2);
        // by now the first one has expired
        challenges.issue([3; 32], LATE).unwrap();
        assert_eq!(challenges.take(&[1; 32], LATE), Err(NonceError::Unknown));
        assert_eq!(challenges.take(&[2; 32], LATE), Ok(()));
        assert_eq!(challenges.take(&[3; 32], LATE), Ok(()));
        // used ones are remembered until they would have expired: a full table never lets one count again
        assert_eq!(challenges.issue([4; 32], LATE), Err(ChallengesFull));
        assert_eq!(challenges.take(&[2; 32], LATE), Err(NonceError::Used));
    }
}
