//! Slices of remembered requests.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use sha2::{Digest, Sha256};

use super::{Owner, Refusal, ReplayKey};
use crate::stream::UnixMillis;

/// Milliseconds of sending time in one slice.
const SLICE: u64 = 10_000;

/// 96 bits of SHA-256 under a seed: 13 bytes a place in the table, so at most 30 bytes an entry right after it has
/// grown. Two requests of ten million share one with a chance of 2^-50, and then one is refused.
type Tag = [u8; 12];
type Tags = HashSet<Tag, BuildHasherDefault<TagHasher>>;

/// Requests sent within one span of time, and how many of them are whose. A slice has few owners beside its requests: each is
/// a secret that was exchanged.
#[derive(Default)]
struct Slice {
    tags: Tags,
    owners: HashMap<Owner, u32>,
}

/// Window and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayLimits {
    /// How long ago a request may have been sent, in milliseconds.
    pub past: u64,
    /// How far in the future a request may have been sent, in milliseconds.
    pub future: u64,
    /// Most requests that are remembered at once.
    pub capacity: usize,
    /// Most of them that one secret may have sealed.
    pub share: usize,
}

impl Default for ReplayLimits {
    /// 120 s either way, four million requests (at most 128 MiB), of which an eighth for each secret: 2,000 requests a second, for
    /// a whole company may stand behind one proxy.
    fn default() -> ReplayLimits {
        ReplayLimits::with_capacity(4_000_000)
    }
}

impl ReplayLimits {
    /// The usual window, that many requests, and an eighth of them (at least one) for each secret.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> ReplayLimits {
        ReplayLimits { past: 120_000, future: 120_000, capacity, share: capacity.div_ceil(8).max(1) }
    }
}

/// The requests that ran within the window.
pub struct ReplayMemory {
    limits: ReplayLimits,
    seed: [u8; 16],
    floor: UnixMillis,
    slices: BTreeMap<u64, Slice>,
    entries: usize,
}

impl ReplayMemory {
    /// An empty memory, at start or when a range of secrets is taken over. `seed`: 16 random bytes, so that nobody can choose
    /// request IDs that crowd the table.
    pub fn begin(limits: ReplayLimits, now: UnixMillis, seed: [u8; 16]) -> ReplayMemory {
        ReplayMemory { limits, seed, floor: now.plus(limits.future), slices: BTreeMap::new(), entries: 0 }
    }

    /// Claims a request: `Ok` once, never again. `now` is the worker's clock.
    pub fn claim(&mut self, key: &ReplayKey, sent: UnixMillis, now: UnixMillis) -> Result<(), Refusal> {
        self.forget(now);
        if sent < now.minus(self.limits.past) {
            return Err(Refusal::TooOld { server_time: now });
        }
        if sent > now.plus(self.limits.future) {
            return Err(Refusal::FromFuture { server_time: now });
        }
        if sent < self.floor {
            return Err(Refusal::BeforeStart { server_time: now, not_before: self.floor });
        }
        let tag = self.tag(key);
        // In all slices: the same request must not run again under another date either.
        if self.slices.values().any(|slice| slice.tags.contains(&tag)) {
            return Err(Refusal::Replayed);
        }
        if self.entries >= self.limits.capacity {
            return Err(Refusal::Full);
        }
        if self.held_by(key.owner()) >= self.limits.share {
            return Err(Refusal::Share);
        }
        let slice = self.slices.entry(slice_of(sent)).or_default();
        slice.tags.insert(tag);
        let held = slice.owners.entry(key.owner()).or_default();
        *held = held.saturating_add(1);
        self.entries = self.entries.saturating_add(1);
        Ok(())
    }

    /// Requests of one secret that are remembered: over the slices of the window, some 25 of them.
    fn held_by(&self, owner: Owner) -> usize {
        let held = self.slices.values().filter_map(|slice| slice.owners.get(&owner));
        held.fold(0, |sum, held| sum.saturating_add(usize::try_from(*held).unwrap_or(usize::MAX)))
    }

    /// Requests remembered.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The earliest sending time that is taken; backends that keep a record write it down.
    pub fn not_before(&self) -> UnixMillis {
        self.floor
    }

    /// Drops the slices that ended before the window, and never again takes what was sent in or before them.
    fn forget(&mut self, now: UnixMillis) {
        let kept = self.slices.split_off(&slice_of(now.minus(self.limits.past)));
        let dropped = std::mem::replace(&mut self.slices, kept);
        for (index, slice) in dropped {
            self.entries = self.entries.saturating_sub(slice.tags.len());
            let end = UnixMillis(index.saturating_add(1).saturating_mul(SLICE));
            self.floor = self.floor.max(end);
        }
    }

    fn tag(&self, key: &ReplayKey) -> Tag {
        let hash = Sha256::new_with_prefix(self.seed).chain_update(key.as_bytes()).finalize();
        let mut tag = Tag::default();
        for (byte, hashed) in tag.iter_mut().zip(hash) {
            *byte = hashed;
        }
        tag
    }

    #[cfg(test)]
    pub(super) fn capacity_in_bytes(&self) -> usize {
        // hashbrown: 7/8 of the places are usable; one control byte each.
        let places = |capacity: usize| (capacity * 8).div_ceil(7);
        let bytes = |slice: &Slice| {
            places(slice.tags.capacity()) * (size_of::<Tag>() + 1)
                + places(slice.owners.capacity()) * (size_of::<(Owner, u32)>() + 1)
        };
        self.slices.values().map(bytes).sum()
    }
}

fn slice_of(time: UnixMillis) -> u64 {
    time.0.checked_div(SLICE).unwrap_or(0)
}

/// Tags are hashes under a secret seed already.
#[derive(Default)]
struct TagHasher(u64);

impl Hasher for TagHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    /// The array's length says nothing.
    fn write_usize(&mut self, _: usize) {}
}
