//! Writes manifests: what was typed in is written in one form, so that the same deployment gives the same bytes anywhere.
//!
//! Knows no measurements: somebody who built the images does. A required value that is not there is left out, and every
//! verifier refuses such a manifest; [`Manifest::expected_missing`](crate::Manifest::expected_missing) names it. Parse what
//! comes out to have it checked.

mod snp;
mod tdx;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::digest::PolicyHash;
use crate::json::Json;
use crate::model::{ManifestError, Role};
use crate::parse;
use crate::reference::ReferenceValues;
#[cfg(feature = "simulated")]
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

/// What a manifest is made of.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The workloads; no two with the same policy.
    pub entries: &'a [Entry<'a>],
    /// What evidence must measure.
    pub reference_values: &'a ReferenceValues,
    /// Keys of those who may update it, SubjectPublicKeyInfo DER. None: immutable.
    pub workload_owners: &'a [Vec<u8>],
    /// Keys of those who may recover the coordinator, PKCS#1 DER.
    pub seedshare_owners: &'a [Vec<u8>],
    /// The wire protocols that the deployment speaks.
    pub protocols: &'a [&'a str],
}

/// The protocols of this version's parts.
pub const PROTOCOLS: [&str; 2] = ["fields/1", "sealed-body/1"];

/// Writes a manifest, indented and with a final newline. The same plan gives the same bytes, in whatever order its workloads
/// are given.
pub fn manifest(plan: &Plan<'_>) -> Vec<u8> {
    let ReferenceValues { snp, tdx, simulated } = plan.reference_values;
    let keys = |list: &[Vec<u8>]| list.iter().map(hex::encode).collect();
    let host_data = simulated.iter().filter_map(|entry| entry.host_data);
    write(&ManifestJson {
        policies: policies(plan.entries),
        reference_values: ReferenceJson {
            simulated: host_data.map(|hash| SimulatedJson { host_data: hex::encode(hash) }).collect(),
            snp: snp.iter().map(|entry| ordered(snp::json(entry))).collect(),
            tdx: tdx.iter().map(|entry| ordered(tdx::json(entry))).collect(),
        },
        workload_owner_pub_keys: keys(plan.workload_owners),
        seedshare_owner_pub_keys: keys(plan.seedshare_owners),
        protocols: plan.protocols,
    })
}

/// Reads reference values as they stand under `ReferenceValues` in a manifest. Returns with them the paths of members that
/// this version does not know, which most likely are mistyped.
///
/// # Errors
/// [`ManifestError`] names the place.
pub fn read_reference_values(json: &[u8]) -> Result<(ReferenceValues, Vec<String>), ManifestError> {
    parse::reference_values(&Json::parse(json)?)
}

/// Writes an immutable manifest for the simulated platform.
#[cfg(feature = "simulated")]
pub fn simulated(entries: &[Entry<'_>]) -> Vec<u8> {
    let policies = policies(entries);
    let simulated = policies.keys().map(|hash| SimulatedJson { host_data: hash.clone() }).collect();
    immutable(policies, ReferenceJson { simulated, snp: Vec::new(), tdx: Vec::new() })
}

/// As [`simulated`], for machines with SEV-SNP as `reference` describes them.
#[cfg(feature = "simulated")]
pub fn snp(entries: &[Entry<'_>], reference: &SnpReference) -> Vec<u8> {
    let snp = vec![ordered(snp::json(reference))];
    immutable(policies(entries), ReferenceJson { simulated: Vec::new(), snp, tdx: Vec::new() })
}

#[cfg(feature = "simulated")]
fn immutable(policies: BTreeMap<String, PolicyJson<'_>>, reference_values: ReferenceJson) -> Vec<u8> {
    write(&ManifestJson {
        policies,
        reference_values,
        workload_owner_pub_keys: Vec::new(),
        seedshare_owner_pub_keys: Vec::new(),
        protocols: &PROTOCOLS,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestJson<'a> {
    policies: BTreeMap<String, PolicyJson<'a>>,
    reference_values: ReferenceJson,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    workload_owner_pub_keys: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seedshare_owner_pub_keys: Vec<String>,
    protocols: &'a [&'a str],
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
    snp: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tdx: Vec<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SimulatedJson {
    host_data: String,
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

/// Members by name. A JSON library's map has them in this order or in that of insertion, as its features say.
fn ordered(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<String, Value> = members.into_iter().collect();
            Value::Object(members.into_iter().map(|(name, value)| (name, ordered(value))).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(ordered).collect()),
        plain => plain,
    }
}

fn write(manifest: &ManifestJson<'_>) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "strings and numbers always serialise")]
    let mut json = serde_json::to_vec_pretty(manifest).expect("strings and numbers always serialise");
    json.push(b'\n');
    json
}

#[cfg(test)]
mod tests;
