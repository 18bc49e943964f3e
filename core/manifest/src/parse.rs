//! From JSON to [`Parts`]: which member means what. Does not decide what is acceptable.

mod reader;
mod values;

use std::collections::BTreeMap;

use reader::{Object, array, hex_list, short, strings};

use crate::digest::PolicyHash;
use crate::json::Json;
use crate::model::{ManifestError, Parts, PolicyEntry, Role};
use crate::reference::ReferenceValues;

/// Caps. A deployment has tens of policies with a handful of names.
const MAX_POLICIES: usize = 1024;
const MAX_SANS: usize = 64;
const MAX_OWNERS: usize = 64;
const MAX_PROTOCOLS: usize = 32;

pub(crate) fn manifest(raw: &[u8]) -> Result<Parts, ManifestError> {
    let json = Json::parse(raw)?;
    let (mut unknown, mut missing) = (Vec::new(), Vec::new());
    let mut top = Object::new("", &json)?;
    let policies = policies(top.take("Policies"), &mut unknown)?;
    let reference_values = values::reference_values(top.take("ReferenceValues"), &mut unknown, &mut missing)?;
    let mut workload_owners = hex_list(top.take("WorkloadOwnerPubKeys"), MAX_OWNERS)?;
    workload_owners.extend(hex_list(top.take("WorkloadOwnerKeyDigests"), MAX_OWNERS)?);
    let seedshare_owners = hex_list(top.take("SeedshareOwnerPubKeys"), MAX_OWNERS)?;
    let protocols = strings(top.take("Protocols"), MAX_PROTOCOLS)?;
    top.rest_into(&mut unknown);

    if !policies.values().any(|entry| entry.role == Role::Coordinator) {
        return Err(ManifestError::NoCoordinator);
    }
    let real = !reference_values.snp.is_empty() || !reference_values.tdx.is_empty();
    match (real, !reference_values.simulated.is_empty()) {
        (false, false) => Err(ManifestError::NoReferenceValues),
        // One simulated entry beside real ones would let anybody in who writes the JSON for it.
        (true, true) => Err(ManifestError::MixedPlatforms),
        (true, false) | (false, true) => Ok(Parts {
            policies,
            reference_values,
            workload_owners,
            seedshare_owners,
            protocols,
            unknown,
            missing,
        }),
    }
}

/// Reference values that stand alone, and the members in them that this version does not know.
pub(crate) fn reference_values(json: &Json) -> Result<(ReferenceValues, Vec<String>), ManifestError> {
    let (mut unknown, mut missing) = (Vec::new(), Vec::new());
    let member = ("ReferenceValues".to_owned(), json);
    let values = values::reference_values(Some(member), &mut unknown, &mut missing)?;
    Ok((values, unknown))
}

fn policies(
    member: Option<(String, &Json)>,
    unknown: &mut Vec<String>,
) -> Result<BTreeMap<PolicyHash, PolicyEntry>, ManifestError> {
    let Some((path, json)) = member else {
        return Ok(BTreeMap::new());
    };
    let Json::Object(members) = json else {
        return Err(ManifestError::WrongType { path, expected: "an object" });
    };
    if members.len() > MAX_POLICIES {
        return Err(ManifestError::TooMany { path, max: MAX_POLICIES });
    }
    let mut policies = BTreeMap::new();
    for (key, value) in members {
        let hash = key.parse().map_err(|_| ManifestError::PolicyHash { key: short(key) })?;
        let entry = policy_entry(Object::new(&format!("{path}.{key}"), value)?, unknown)?;
        // two spellings of one hash are duplicates already: names are compared without case
        policies.insert(hash, entry);
    }
    Ok(policies)
}

fn policy_entry(mut object: Object<'_>, unknown: &mut Vec<String>) -> Result<PolicyEntry, ManifestError> {
    let sans = strings(object.take("SANs"), MAX_SANS)?;
    let workload_secret_id = object.text("WorkloadSecretID")?.filter(|id| !id.is_empty()).map(str::to_owned);
    let path = object.path("Role");
    let role = match object.text("Role")? {
        None | Some("") => Role::Workload,
        Some("coordinator") => Role::Coordinator,
        Some(other) => {
            let allowed = "`coordinator`, or empty";
            return Err(ManifestError::UnknownValue { path, value: short(other), allowed });
        }
    };
    object.rest_into(unknown);
    Ok(PolicyEntry { sans, workload_secret_id, role })
}

/// The elements of an optional array of objects.
fn objects<'a>(member: Option<(String, &'a Json)>, max: usize) -> Result<Vec<Object<'a>>, ManifestError> {
    array(member, max)?.into_iter().map(|(path, json)| Object::new(&path, json)).collect()
}
