//! Nonces for joining, which carry their own proof: time, chance, and a MAC over both. Nothing is remembered, so that
//! nobody can fill a table, and any coordinator of the deployment takes the nonce of any other.
//!
//! A nonce may be shown several times within its minute. That helps nobody: the evidence behind it is for one key, and all
//! that a second showing gets is another certificate for the same key. Makes no randomness and reads no clock.

use hmac::{Hmac, KeyInit, Mac};
use privatemode_attest::UnixTime;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use thiserror::Error;
use zeroize::Zeroizing;

/// Seconds from challenge to answer: slow hardware takes a few to quote.
pub const LIFETIME: u64 = 60;
/// How far the clock of another coordinator may be ahead of ours, in seconds.
const AHEAD: u64 = 10;

/// The key of the MACs, the same in all coordinators of a deployment.
pub type ChallengeKey = Zeroizing<[u8; 64]>;

/// A nonce: 8 bytes of time, 8 random ones, 16 of a MAC.
pub type Nonce = [u8; 32];

/// Why a nonce does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NonceError {
    /// Not made by a coordinator of this deployment.
    #[error("the nonce was not handed out by this deployment's coordinators; ask for a new challenge")]
    Unknown,
    /// Answered too late.
    #[error("the nonce has expired, each one lives for {LIFETIME} s; ask for a new challenge")]
    Expired,
}

/// Makes a nonce from 8 random bytes.
pub fn issue(key: &ChallengeKey, chance: [u8; 8], now: UnixTime) -> Nonce {
    let mut nonce = [0; 32];
    let (stated, mac) = nonce.split_at_mut(16);
    stated[..8].copy_from_slice(&now.as_secs().to_be_bytes());
    stated[8..].copy_from_slice(&chance);
    mac.copy_from_slice(&tag(key, stated));
    nonce
}

/// Checks a nonce that came back.
pub fn check(key: &ChallengeKey, nonce: &Nonce, now: UnixTime) -> Result<(), NonceError> {
    let (stated, mac) = nonce.split_at(16);
    if !bool::from(tag(key, stated).ct_eq(mac)) {
        return Err(NonceError::Unknown);
    }
    let (made, _) = stated.split_at(8);
    let made = u64::from_be_bytes(made.try_into().expect("split at 8"));
    let age = now.as_secs().checked_sub(made);
    match age {
        Some(age) if age > LIFETIME => Err(NonceError::Expired),
        // from a coordinator whose clock is ahead; from further ahead than that our own clock must have jumped
        None if made - now.as_secs() > AHEAD => Err(NonceError::Expired),
        Some(_) | None => Ok(()),
    }
}

fn tag(key: &ChallengeKey, stated: &[u8]) -> [u8; 16] {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(key.as_slice()).expect("HMAC takes keys of any length");
    mac.update(stated);
    let full: [u8; 32] = mac.finalize().into_bytes().into();
    let mut tag = [0; 16];
    tag.copy_from_slice(&full[..16]);
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1000);

    fn key(byte: u8) -> ChallengeKey {
        Zeroizing::new([byte; 64])
    }

    #[test]
    fn a_nonce_counts_for_a_minute_everywhere_in_the_deployment() {
        let nonce = issue(&key(1), [3; 8], NOW);
        for age in [0, 1, LIFETIME] {
            assert_eq!(check(&key(1), &nonce, NOW.saturating_add(age)), Ok(()));
        }
        assert_eq!(check(&key(1), &nonce, NOW.saturating_add(LIFETIME + 1)), Err(NonceError::Expired));
        assert_ne!(nonce, issue(&key(1), [4; 8], NOW));
    }

    #[test]
    fn clocks_may_differ_a_little() {
        let nonce = issue(&key(1), [3; 8], NOW);
        assert_eq!(check(&key(1), &nonce, NOW.saturating_sub(AHEAD)), Ok(()));
        assert_eq!(check(&key(1), &nonce, NOW.saturating_sub(AHEAD + 1)), Err(NonceError::Expired));
    }

    #[test]
    fn a_foreign_or_changed_nonce_does_not_count() {
        let nonce = issue(&key(1), [3; 8], NOW);
        assert_eq!(check(&key(2), &nonce, NOW), Err(NonceError::Unknown));
        for place in 0..nonce.len() {
            for bit in 0..8 {
                let mut changed = nonce;
                changed[place] ^= 1 << bit;
                assert_eq!(check(&key(1), &changed, NOW), Err(NonceError::Unknown));
            }
        }
        assert_eq!(check(&key(1), &[0; 32], NOW), Err(NonceError::Unknown));
    }
}
