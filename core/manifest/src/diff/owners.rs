//! Who may update the deployment, and who may recover it.

use sha2::{Digest, Sha256};

use super::Changes;
use crate::model::Manifest;

/// An older manifest names a key by its digest.
const DIGEST_LEN: usize = 32;

pub(super) fn compare(old: &Manifest, new: &Manifest, changes: &mut Changes) {
    let place = "WorkloadOwnerPubKeys";
    match (old.is_immutable(), new.is_immutable()) {
        (true, false) => changes.weaker(place, "it can be replaced from now on, and was immutable"),
        (false, true) => changes.stronger(place, "it is immutable: nobody can ever replace it"),
        (true, true) | (false, false) => {
            let (old, new) = (digests(old.workload_owners()), digests(new.workload_owners()));
            changes.set(place, "the signature of owner", &old, &new);
        }
    }
    let (old, new) = (digests(old.seedshare_owners()), digests(new.seedshare_owners()));
    let place = "SeedshareOwnerPubKeys";
    changes.set(place, "recovery by owner", &old, &new);
    let sorted = |list: &[String]| {
        let mut list = list.to_vec();
        list.sort();
        list
    };
    if old != new && sorted(&old) == sorted(&new) {
        changes.neutral(place, "the same owners in another order");
    }
}

/// SHA-256 of each key; a digest stands for itself.
fn digests(keys: &[Vec<u8>]) -> Vec<String> {
    keys.iter()
        .map(|key| if key.len() == DIGEST_LEN { hex::encode(key) } else { hex::encode(Sha256::digest(key)) })
        .collect()
}
