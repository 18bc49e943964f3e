//! Manifests as `privatemode up` needs them: for the simulated platform, and for fake SEV-SNP reports. Manifests for real
//! hardware come from another tool, which knows what must be measured.

mod snp;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::digest::PolicyHash;
use crate::model::Role;
use crate::reference::SnpReference;

/// A workload of a deployment.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Raw bytes of its policy; their hash names it.
    pub policy: &'a [u8],
    /// Names of its certificate; the first one is also the common name.
    pub sans: &'a [&'a str],
    /// Name of its workload secret, if it gets one.
    pub workload_secret_id: Option<&'a str>,
    /// What it may do.
    pub role: Role,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestJson<'a> {
    policies: BTreeMap<String, PolicyJson<'a>>,
    reference_values: ReferenceJson,
    protocols: [&'static str; 2],
}

#[derive(Serialize)]
struct PolicyJson<'a> {
    #[serde(rename = "SANs")]
    sans: &'a [&'a str],
    #[serde(rename = "WorkloadSecretID", skip_serializing_if = "Option::is_none")]
    workload_secret_id: Option<&'a str>,
    #[serde(rename = "Role", skip_serializing_if = "str::is_empty")]
    role: &'static str,
}

#[derive(Serialize)]
struct ReferenceJson {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    simulated: Vec<SimulatedJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    snp: Vec<serde_json::Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SimulatedJson {
    host_data: String,
}

/// Writes an immutable manifest for the simulated platform, indented and with a final newline. The same entries give the
/// same bytes. Parse the result to have it checked: one entry must be a coordinator.
pub fn simulated(entries: &[Entry<'_>]) -> Vec<u8> {
    let policies = policies(entries);
    let simulated = policies.keys().map(|hash| SimulatedJson { host_data: hash.clone() }).collect();
    manifest(policies, ReferenceJson { simulated, snp: Vec::new() })
}

/// As [`simulated`], for machines with SEV-SNP as `reference` describes them. A required value that is not there is left
/// out, and verifiers refuse such a manifest.
pub fn snp(entries: &[Entry<'_>], reference: &SnpReference) -> Vec<u8> {
    let references = ReferenceJson { simulated: Vec::new(), snp: vec![snp::json(reference)] };
    manifest(policies(entries), references)
}

fn policies<'a>(entries: &[Entry<'a>]) -> BTreeMap<String, PolicyJson<'a>> {
    entries
        .iter()
        .map(|entry| {
            let json = PolicyJson {
                sans: entry.sans,
                workload_secret_id: entry.workload_secret_id,
                role: entry.role.as_str(),
            };
            (PolicyHash::of(entry.policy).to_string(), json)
        })
        .collect()
}

fn manifest(policies: BTreeMap<String, PolicyJson<'_>>, reference_values: ReferenceJson) -> Vec<u8> {
    let manifest = ManifestJson { policies, reference_values, protocols: ["fields/1", "sealed-body/1"] };
    #[expect(clippy::expect_used, reason = "strings always serialise")]
    let mut json = serde_json::to_vec_pretty(&manifest).expect("strings always serialise");
    json.push(b'\n');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifest;

    const ENTRIES: [Entry<'static>; 2] = [
        Entry {
            policy: b"coordinator",
            sans: &["coordinator"],
            workload_secret_id: None,
            role: Role::Coordinator,
        },
        Entry {
            policy: b"secrets",
            sans: &["secret-service", "127.0.0.1"],
            workload_secret_id: Some("secret-service"),
            role: Role::Workload,
        },
    ];

    #[test]
    fn what_is_generated_parses_to_what_was_meant() {
        let manifest = Manifest::parse(&simulated(&ENTRIES)).unwrap();
        assert!(manifest.is_simulated());
        assert!(manifest.is_immutable());
        assert_eq!(manifest.protocols(), ["fields/1", "sealed-body/1"]);
        assert!(manifest.unknown_members().is_empty());
        assert!(manifest.expected_missing().is_empty());
        for entry in ENTRIES {
            let parsed = manifest.policy(&PolicyHash::of(entry.policy)).unwrap();
            assert_eq!(parsed.sans, entry.sans);
            assert_eq!(parsed.workload_secret_id.as_deref(), entry.workload_secret_id);
            assert_eq!(parsed.role, entry.role);
        }
        assert_eq!(manifest.policies().count(), 2);
    }

    #[test]
    fn reference_values_of_hardware_come_back_as_they_were() {
        use privatemode_attest::snp::Product;

        use crate::reference::{SnpGuestPolicy, SnpPlatformInfo, SnpTcb};
        let reference = SnpReference {
            product_name: Some(Product::Genoa),
            trusted_measurement: Some([0x3e; 48]),
            minimum_tcb: SnpTcb {
                fmc: None,
                bootloader: Some(4),
                tee: Some(0),
                snp: Some(24),
                microcode: Some(219),
            },
            guest_policy: SnpGuestPolicy { abi_minor: 31, smt: true, ..SnpGuestPolicy::default() },
            platform_info: SnpPlatformInfo { ecc_enabled: true, ..SnpPlatformInfo::default() },
            minimum_mitigation_vector: 3,
            allowed_chip_ids: vec![[0xc5; 64]],
            require_id_block: true,
            ..SnpReference::default()
        };
        let manifest = Manifest::parse(&snp(&ENTRIES, &reference)).unwrap();
        assert_eq!(manifest.reference_values().snp, [reference]);
        assert!(!manifest.is_simulated());
        assert!(manifest.unknown_members().is_empty());
        assert!(manifest.expected_missing().is_empty());
        assert_eq!(manifest.policies().count(), 2);

        let incomplete = SnpReference { product_name: Some(Product::Genoa), ..SnpReference::default() };
        let manifest = Manifest::parse(&snp(&ENTRIES, &incomplete)).unwrap();
        assert_eq!(manifest.expected_missing().len(), 5, "{:?}", manifest.expected_missing());
    }

    #[test]
    fn the_same_entries_give_the_same_bytes() {
        let [first, second] = ENTRIES;
        assert_eq!(simulated(&ENTRIES), simulated(&[second, first]));
        assert!(simulated(&ENTRIES).ends_with(b"}\n"));
    }
}
