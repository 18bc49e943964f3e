//! Reads a whole history from the store. What it returns is consistent with one value of latest, whoever writes meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use privatemode_manifest::{Manifest, PolicyHash};
use privatemode_store::state::{StateError, StateKey, StateStore};
use thiserror::Error;

use crate::history::{
    HistoryError, Latest, MAX_BYTES, MAX_TRANSITIONS, Step, Stored, check_entry, parse_transition,
};

/// Why the history could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StateError),
    /// What it holds.
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// The history below `latest` as it stands in the store; none if nothing was ever set.
pub async fn read(store: &dyn StateStore) -> Result<Option<Stored>, ReadError> {
    match store.get(&StateKey::Latest).await? {
        Some(latest) => below(store, &latest).await.map(Some),
        None => Ok(None),
    }
}

/// The history below this value of latest.
pub async fn below(store: &dyn StateStore, latest: &[u8]) -> Result<Stored, ReadError> {
    let latest = Latest::parse(latest)?;
    let mut entries = Entries { store, left: MAX_BYTES };
    let mut steps = Vec::new();
    let mut next = Some(latest.hash);
    while let Some(transition) = next {
        // hashes cannot go round in a circle, but a store could send a chain without end
        if steps.len() == MAX_TRANSITIONS {
            return Err(HistoryError::TooLong.into());
        }
        let key = StateKey::Transition(transition);
        let (manifest, previous) = parse_transition(&key, &entries.get(&key).await?)?;
        let manifest = entries.get(&StateKey::Manifest(manifest)).await?;
        steps.push(Step { transition, manifest });
        next = previous;
    }
    steps.reverse();
    let mut policies = BTreeMap::new();
    for hash in policy_hashes(&steps)? {
        let policy = entries.get(&StateKey::Policy(*hash.as_bytes())).await?;
        policies.insert(hash, policy);
    }
    Ok(Stored { latest, steps, policies })
}

fn policy_hashes(steps: &[Step]) -> Result<BTreeSet<PolicyHash>, HistoryError> {
    let mut hashes = BTreeSet::new();
    for step in steps {
        let manifest = Manifest::parse(&step.manifest).map_err(|source| HistoryError::Manifest { source })?;
        hashes.extend(manifest.policies().map(|(hash, _)| *hash));
    }
    Ok(hashes)
}

struct Entries<'a> {
    store: &'a dyn StateStore,
    left: usize,
}

impl Entries<'_> {
    async fn get(&mut self, key: &StateKey) -> Result<Vec<u8>, ReadError> {
        let entry = self.store.get(key).await?.ok_or(HistoryError::Missing { key: *key })?;
        check_entry(key, &entry)?;
        self.left = self.left.checked_sub(entry.len()).ok_or(HistoryError::TooLong)?;
        Ok(entry)
    }
}
