//! Which of several workers gets a request. Pure.

use sha2::{Digest, Sha256};

/// What the choice looks at.
pub(crate) struct Candidate<'a> {
    pub(crate) name: &'a str,
    pub(crate) outstanding: usize,
}

/// A worker is overloaded when it has more than 5/4 of its share, but this many are never too many.
const NEVER_TOO_MANY: usize = 4;

/// The index of the chosen one; `None` only if there is none. `turn` decides among equals.
pub(crate) fn choose(candidates: &[Candidate<'_>], affinity: Option<&str>, turn: usize) -> Option<usize> {
    if let Some(key) = affinity
        && let Some(index) = preferred(candidates, key)
    {
        return Some(index);
    }
    let least = candidates.iter().map(|candidate| candidate.outstanding).min()?;
    let equals: Vec<usize> =
        (0..candidates.len()).filter(|index| candidates[*index].outstanding == least).collect();
    Some(equals[turn % equals.len()])
}

/// Rendezvous hashing with bounded load: each worker has its own rank for each key, so that a worker that comes or goes
/// moves only its own keys; the first in rank that is not overloaded is taken.
fn preferred(candidates: &[Candidate<'_>], key: &str) -> Option<usize> {
    let total: usize = candidates.iter().map(|candidate| candidate.outstanding).sum();
    let share = (total + 1).div_ceil(candidates.len().max(1));
    let bound = (share + share / 4).max(NEVER_TOO_MANY);
    let free = (0..candidates.len()).filter(|index| candidates[*index].outstanding < bound);
    free.max_by_key(|index| rank(candidates[*index].name, key))
}

fn rank(worker: &str, key: &str) -> [u8; 32] {
    Sha256::new().chain_update(worker).chain_update([0]).chain_update(key).finalize().into()
}

/// The part of a shard key that all prefixes of one conversation share (protocol.md §7: what stands before the `-`).
pub(crate) fn affinity(shard_key: &str) -> Option<&str> {
    let first = shard_key.split('-').next()?;
    (first.len() == 16 && first.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(first)
}
