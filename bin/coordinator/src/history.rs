//! The history of a deployment as the store keeps it: which manifests were in force, in which order, signed by the seed's
//! key.
//!
//! The store is not trusted. Every entry is named by its SHA-256 and is hashed again when it is read; the latest transition
//! carries a signature; a transition names the one before it. Pure: [`crate::reader`] does the reading.
//! `attestation.md` §2.

use std::collections::BTreeMap;

use privatemode_attest::signature::{PublicKey, PublicKeyError, SignatureError};
use privatemode_manifest::history::Transition;
use privatemode_manifest::{ManifestDigest, ManifestError, PolicyHash};
use privatemode_store::state::StateKey;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::seed::Seed;

/// Most transitions of one deployment.
pub const MAX_TRANSITIONS: usize = 1000;
/// Most bytes of manifests and policies over a whole history.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of a transition: hash of the manifest, hash of the transition before (zeros for the first).
pub const TRANSITION: usize = 64;
/// Longest ASN.1 ECDSA signature of a P-384 key.
const MAX_SIGNATURE: usize = 104;

/// What [`StateKey::Latest`] holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// Hash of the latest transition.
    pub hash: [u8; 32],
    /// ECDSA-ASN.1 over it.
    pub signature: Vec<u8>,
}

/// One step of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Hash of the transition.
    pub transition: [u8; 32],
    /// The manifest that it put in force.
    pub manifest: Vec<u8>,
}

/// A history as it was read: every entry is what its name says, and the chain is whole. Whether the seed's key signed it is
/// not known until [`Self::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The latest transition, as it stands in the store.
    pub latest: Latest,
    /// Oldest first; at least one.
    pub steps: Vec<Step>,
    /// The policies of all manifests.
    pub policies: BTreeMap<PolicyHash, Vec<u8>>,
}

/// Why what the store holds is no history.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// An entry that another one names is gone.
    #[error("`{key}` is not in the store; it was removed: restore the store, or begin with an empty one")]
    Missing {
        /// Its name.
        key: StateKey,
    },
    /// An entry is not what its name says.
    #[error("`{key}` in the store has another content than its name says; it was changed: restore the store")]
    Altered {
        /// Its name.
        key: StateKey,
    },
    /// A transition of another length.
    #[error("`{key}` in the store has {len} bytes, a transition has {TRANSITION}")]
    TransitionLength {
        /// Its name.
        key: StateKey,
        /// Its length.
        len: usize,
    },
    /// The latest transition cannot be read.
    #[error(
        "`transitions/latest` in the store has {len} bytes; it holds a hash of 32 and a signature of at most {MAX_SIGNATURE}"
    )]
    LatestLength {
        /// Its length.
        len: usize,
    },
    /// The seed's key did not sign it.
    #[error("the signature of `transitions/latest` in the store is not by this deployment's key")]
    Signature {
        /// Why.
        source: SignatureError,
    },
    /// Our own key cannot be used.
    #[error("the key of the history cannot be used")]
    Key {
        /// Why.
        source: PublicKeyError,
    },
    /// A manifest that nobody could have set.
    #[error("a manifest in the store cannot be read")]
    Manifest {
        /// Why.
        source: ManifestError,
    },
    /// More than any deployment has.
    #[error("the history in the store is longer than {MAX_TRANSITIONS} manifests or {MAX_BYTES} bytes")]
    TooLong,
}

impl Latest {
    /// Signs `hash` with the key of `seed`.
    pub fn sign(seed: &Seed, hash: [u8; 32]) -> Self {
        Self { hash, signature: seed.sign_transition(&hash) }
    }

    /// Reads the store's entry.
    pub fn parse(bytes: &[u8]) -> Result<Self, HistoryError> {
        let refused = HistoryError::LatestLength { len: bytes.len() };
        match bytes.split_first_chunk::<32>() {
            Some((hash, signature)) if (1..=MAX_SIGNATURE).contains(&signature.len()) => {
                Ok(Self { hash: *hash, signature: signature.to_vec() })
            }
            Some(_) | None => Err(refused),
        }
    }

    /// The store's entry.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.hash.as_slice(), &self.signature].concat()
    }

    /// Whether the key of `seed` signed it.
    pub fn verify(&self, seed: &Seed) -> Result<(), HistoryError> {
        let key =
            PublicKey::parse_spki(seed.transactions_spki()).map_err(|source| HistoryError::Key { source })?;
        key.verify_prehash(&self.hash, &self.signature).map_err(|source| HistoryError::Signature { source })
    }

    /// Where the encrypted shares of the seed are that signed this as its first.
    pub fn shares_key(&self) -> StateKey {
        StateKey::SeedShares(Sha256::digest(self.to_bytes()).into())
    }
}

impl Stored {
    /// Whether the key of `seed` signed it.
    pub fn verify(&self, seed: &Seed) -> Result<(), HistoryError> {
        self.latest.verify(seed)
    }

    /// The manifest that is in force by this history.
    pub fn manifest(&self) -> &[u8] {
        self.steps.last().map(|step| step.manifest.as_slice()).unwrap_or_default()
    }

    /// Whether `transition` was ever in force.
    pub fn contains(&self, transition: &[u8; 32]) -> bool {
        self.steps.iter().any(|step| step.transition == *transition)
    }
}

/// The bytes of the transition that `manifest` makes after `previous`.
pub fn transition_bytes(manifest: &[u8], previous: Option<&[u8; 32]>) -> [u8; TRANSITION] {
    let mut bytes = [0; TRANSITION];
    let (new, before) = bytes.split_at_mut(32);
    new.copy_from_slice(ManifestDigest::of(manifest).as_bytes());
    before.copy_from_slice(previous.unwrap_or(&[0; 32]));
    bytes
}

/// The hash of the transition that `manifest` makes after `previous`.
pub fn transition_hash(manifest: &[u8], previous: Option<&[u8; 32]>) -> [u8; 32] {
    *previous
        .map_or_else(
            || Transition::first(manifest),
            |previous| Transition::of_digest(*previous).then(manifest),
        )
        .as_bytes()
}

/// Checks that an entry is what its name says.
pub fn check_entry(key: &StateKey, bytes: &[u8]) -> Result<(), HistoryError> {
    let named = match key {
        StateKey::Manifest(hash) | StateKey::Policy(hash) | StateKey::Transition(hash) => hash,
        // these two are not named by their content
        StateKey::SeedShares(_) | StateKey::Latest => return Ok(()),
    };
    if <[u8; 32]>::from(Sha256::digest(bytes)) == *named {
        Ok(())
    } else {
        Err(HistoryError::Altered { key: *key })
    }
}

/// Takes a transition apart: hash of the manifest, hash of the transition before, if there is one.
pub fn parse_transition(key: &StateKey, bytes: &[u8]) -> Result<([u8; 32], Option<[u8; 32]>), HistoryError> {
    let wrong = || HistoryError::TransitionLength { key: *key, len: bytes.len() };
    let bytes: &[u8; TRANSITION] = bytes.try_into().map_err(|_| wrong())?;
    let (manifest, previous) = bytes.split_at(32);
    let manifest = manifest.try_into().map_err(|_| wrong())?;
    let previous: [u8; 32] = previous.try_into().map_err(|_| wrong())?;
    Ok((manifest, (previous != [0; 32]).then_some(previous)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(byte: u8) -> Seed {
        Seed::new(&[byte; 64], &[0; 32]).unwrap()
    }

    fn digest(bytes: &[u8]) -> [u8; 32] {
        Sha256::digest(bytes).into()
    }

    #[test]
    fn a_transition_is_the_hash_of_its_bytes() {
        let first = transition_hash(b"one", None);
        assert_eq!(first, digest(&transition_bytes(b"one", None)));
        assert_eq!(transition_hash(b"two", Some(&first)), digest(&transition_bytes(b"two", Some(&first))));
        let key = StateKey::Transition([0; 32]);
        let parsed = parse_transition(&key, &transition_bytes(b"two", Some(&first))).unwrap();
        assert_eq!(parsed, (digest(b"two"), Some(first)));
        assert_eq!(parse_transition(&key, &transition_bytes(b"one", None)).unwrap(), (digest(b"one"), None));
        for len in [0, 63, 65] {
            let refused = parse_transition(&key, &vec![1; len]).unwrap_err();
            assert!(matches!(refused, HistoryError::TransitionLength { len: named, .. } if named == len));
        }
    }

    #[test]
    fn latest_is_read_as_it_was_written_and_verifies_to_its_seed_only() {
        let latest = Latest::sign(&seed(1), [9; 32]);
        assert_eq!(Latest::parse(&latest.to_bytes()).unwrap(), latest);
        latest.verify(&seed(1)).unwrap();
        assert!(matches!(
            latest.verify(&seed(2)),
            Err(HistoryError::Signature { source: SignatureError::Wrong })
        ));
        let moved = Latest { hash: [8; 32], ..latest };
        assert!(matches!(moved.verify(&seed(1)), Err(HistoryError::Signature { .. })));
        for len in [0, 31, 32, 32 + MAX_SIGNATURE + 1, 5000] {
            let refused = Latest::parse(&vec![1; len]).unwrap_err();
            assert!(matches!(refused, HistoryError::LatestLength { len: named } if named == len));
        }
    }

    #[test]
    fn an_entry_is_what_its_name_says() {
        for kind in [StateKey::Manifest, StateKey::Policy, StateKey::Transition] {
            check_entry(&kind(digest(b"x")), b"x").unwrap();
            let key = kind(digest(b"y"));
            assert!(
                matches!(check_entry(&key, b"x"), Err(HistoryError::Altered { key: named }) if named == key)
            );
        }
    }
}
