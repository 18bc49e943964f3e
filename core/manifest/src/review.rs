//! What somebody should know of a manifest before it is put in force, or trusted. Nothing here is an error: a verifier
//! refuses what is wrong.

use privatemode_attest::signature::PublicKey;

use crate::model::{Manifest, PolicyEntry};
use crate::reference::{SnpReference, TdxReference};

/// An older manifest names a key by its digest.
const DIGEST_LEN: usize = 32;

/// Remarks in words, each with its place. None: nothing stands out.
pub fn review(manifest: &Manifest) -> Vec<String> {
    let mut remarks = Vec::new();
    if manifest.is_simulated() {
        remarks.push(
            "ReferenceValues: SIMULATED: no hardware protects a deployment under this manifest".to_owned(),
        );
    }
    for member in manifest.unknown_members() {
        remarks.push(format!("{member}: this version does not know it and ignores it; is it mistyped?"));
    }
    for (number, entry) in manifest.reference_values().snp.iter().enumerate() {
        snp(&format!("ReferenceValues.snp[{number}]"), entry, &mut remarks);
    }
    for (number, entry) in manifest.reference_values().tdx.iter().enumerate() {
        tdx(&format!("ReferenceValues.tdx[{number}]"), entry, &mut remarks);
    }
    policies(manifest, &mut remarks);
    owners(manifest, &mut remarks);
    if !manifest.speaks("sealed-body/1") {
        remarks
            .push("Protocols: sealed bodies are not spoken: clients fall back to sealed fields".to_owned());
    }
    remarks
}

fn snp(place: &str, entry: &SnpReference, remarks: &mut Vec<String>) {
    let policy = &entry.guest_policy;
    for (set, what) in [
        (policy.debug, "GuestPolicy.Debug: the host may read all of the guest's memory"),
        (policy.migrate_ma, "GuestPolicy.MigrateMA: the guest may be moved to other machines by an agent"),
        (entry.allow_vlek, "AllowVLEK: evidence may prove a cloud, and not the chip"),
        (entry.allow_masked_chip_id, "AllowMaskedChipID: evidence may keep its chip to itself"),
        (
            entry.allowed_chip_ids.is_empty() && !entry.allow_vlek,
            "AllowedChipIDs: any chip of this line is accepted, wherever it stands",
        ),
    ] {
        if set {
            remarks.push(format!("{place}.{what}"));
        }
    }
}

fn tdx(place: &str, entry: &TdxReference, remarks: &mut Vec<String>) {
    for tolerated in &entry.tolerated_tcb_status {
        remarks
            .push(format!("{place}.ToleratedTCBStatus: a platform that is {} is accepted", tolerated.status));
    }
    if entry.allowed_piids.is_empty() {
        remarks.push(format!("{place}.AllowedPIIDs: any platform is accepted, wherever it stands"));
    }
}

fn policies(manifest: &Manifest, remarks: &mut Vec<String>) {
    let mut names: Vec<&str> = Vec::new();
    for (hash, PolicyEntry { sans, .. }) in manifest.policies() {
        match sans.first() {
            None => remarks.push(format!("Policies.{hash}: no SANs, so a coordinator of ours refuses it")),
            Some(name) if names.contains(&name.as_str()) => {
                remarks.push(format!("Policies.{hash}: another policy has the name `{name}`, too"));
            }
            Some(name) => names.push(name),
        }
    }
}

fn owners(manifest: &Manifest, remarks: &mut Vec<String>) {
    if !manifest.is_immutable() {
        let count = manifest.workload_owners().len();
        remarks.push(format!(
            "WorkloadOwnerPubKeys: each of {count} owners can replace the manifest alone; clients notice, and refuse"
        ));
    }
    for (number, key) in manifest.workload_owners().iter().enumerate() {
        if key.len() != DIGEST_LEN && PublicKey::parse_spki(key).is_err() {
            remarks.push(format!("WorkloadOwnerPubKeys[{number}]: it is no ECDSA key over P-256 or P-384"));
        }
    }
    if manifest.seedshare_owners().is_empty() {
        let what = "nobody can recover the coordinators: when all of them restart at once, workload secrets are lost";
        remarks.push(format!("SeedshareOwnerPubKeys: {what}"));
    }
}

#[cfg(test)]
mod tests;
