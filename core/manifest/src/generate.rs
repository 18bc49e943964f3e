//! Manifests for the simulated platform, as `privatemode up` needs them. Manifests for hardware come from another tool.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::digest::PolicyHash;
use crate::model::Role;

/// A workload of a simulated deployment.
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
    simulated: Vec<SimulatedJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SimulatedJson {
    host_data: String,
}

/// Writes an immutable manifest for the simulated platform, indented and with a final newline. The same entries give the
/// same bytes. Parse the result to have it checked: one entry must be a coordinator.
pub fn simulated(entries: &[Entry<'_>]) -> Vec<u8> {
    let policies: BTreeMap<String, PolicyJson<'_>> = entries
        .iter()
        .map(|entry| {
            let json = PolicyJson {
                sans: entry.sans,
                workload_secret_id: entry.workload_secret_id,
                role: entry.role.as_str(),
            };
            (PolicyHash::of(entry.policy).to_string(), json)
        })
        .collect();
    let simulated = policies.keys().map(|hash| SimulatedJson { host_data: hash.clone() }).collect();
    let manifest = ManifestJson {
        policies,
        reference_values: ReferenceJson { simulated },
        protocols: ["fields/1", "sealed-body/1"],
    };
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
    fn the_same_entries_give_the_same_bytes() {
        let [first, second] = ENTRIES;
        assert_eq!(simulated(&ENTRIES), simulated(&[second, first]));
        assert!(simulated(&ENTRIES).ends_with(b"}\n"));
    }
}
