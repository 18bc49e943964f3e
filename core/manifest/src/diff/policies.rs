//! Which code may take part, under which name, with which rights.

use super::{Changes, pairs};
use crate::digest::PolicyHash;
use crate::model::{Manifest, PolicyEntry, Role};

pub(super) fn compare(old: &Manifest, new: &Manifest, changes: &mut Changes) {
    let (old, new) = (list(old), list(new));
    for (hash, entry) in &old {
        if let Some((_, other)) = new.iter().find(|(other, _)| other == hash) {
            rights(&format!("Policies.{hash}"), entry, other, changes);
        }
    }
    let gone = |list: &[Policy], other: &[Policy]| {
        let list = list.iter().filter(|(hash, _)| !other.iter().any(|(other, _)| other == hash));
        list.cloned().collect::<Vec<_>>()
    };
    let (removed, added) = (gone(&old, &new), gone(&new, &old));
    let (mut removed, mut added): (Vec<_>, Vec<_>) = (removed.iter().collect(), added.iter().collect());
    // a workload with a new policy: one of that name before, and one after
    for ((old_hash, old), (new_hash, new)) in
        pairs(&mut removed, &mut added, |(_, entry)| entry.sans.first().cloned())
    {
        let place = format!("Policies of {}", name(old));
        let what = format!(
            "another policy, {new_hash} in place of {old_hash}: other code or settings run under this name; review it"
        );
        changes.neutral(&place, &what);
        rights(&place, old, new, changes);
    }
    for (hash, entry) in added {
        let what = format!("one more workload may join: {}{}", name(entry), role(entry));
        changes.weaker(&format!("Policies.{hash}"), &what);
    }
    for (hash, entry) in removed {
        let what = format!("the workload {} may no longer join{}", name(entry), role(entry));
        changes.stronger(&format!("Policies.{hash}"), &what);
    }
}

type Policy = (PolicyHash, PolicyEntry);

fn list(manifest: &Manifest) -> Vec<Policy> {
    manifest.policies().map(|(hash, entry)| (*hash, entry.clone())).collect()
}

/// What an entry of the same workload gives it.
fn rights(place: &str, old: &PolicyEntry, new: &PolicyEntry, changes: &mut Changes) {
    if old.sans.first() != new.sans.first() {
        let what = format!("renamed: its certificate names {} first, not {}", name(new), name(old));
        changes.neutral(&format!("{place}.SANs"), &what);
    }
    changes.set(&format!("{place}.SANs"), "as its name,", &old.sans, &new.sans);
    match (old.role, new.role) {
        (Role::Workload, Role::Coordinator) => {
            changes
                .weaker(&format!("{place}.Role"), "it may be the coordinator: it gets the deployment's keys");
        }
        (Role::Coordinator, Role::Workload) => {
            changes.stronger(&format!("{place}.Role"), "it may no longer be the coordinator");
        }
        (Role::Workload, Role::Workload) | (Role::Coordinator, Role::Coordinator) => {}
    }
    let place = format!("{place}.WorkloadSecretID");
    match (&old.workload_secret_id, &new.workload_secret_id) {
        (None, Some(id)) => changes.weaker(&place, &format!("it gets the workload secret `{id}`")),
        (Some(id), None) => {
            changes.stronger(&place, &format!("it no longer gets the workload secret `{id}`"));
        }
        (Some(old), Some(new)) if old != new => {
            let what = format!(
                "it gets the workload secret `{new}`, not `{old}`: what it sealed before is lost to it"
            );
            changes.neutral(&place, &what);
        }
        _ => {}
    }
}

fn name(entry: &PolicyEntry) -> String {
    entry.sans.first().map_or_else(|| "(without a name)".to_owned(), |name| format!("`{name}`"))
}

fn role(entry: &PolicyEntry) -> &'static str {
    match entry.role {
        Role::Workload => "",
        Role::Coordinator => ", as a coordinator",
    }
}
