//! Reference values for TDX as a manifest writes them (`attestation.md` §1).

use serde_json::{Value, json};

use super::snp::present;
use crate::reference::{TdxReference, ToleratedStatus};

/// One entry of `ReferenceValues.tdx`. A switch that is off is written too, so that a reader sees what was decided.
pub(super) fn json(reference: &TdxReference) -> Value {
    let TdxReference {
        mr_td,
        mr_seam,
        rtmrs,
        xfam,
        min_tcb_evaluation_data_number,
        allowed_piids,
        memory_integrity,
        smt_disabled,
        static_platform,
        tolerated_tcb_status,
        mr_owner,
        mr_owner_config,
        cpus,
        platform,
    } = reference;
    let instances: Vec<String> = allowed_piids.iter().map(hex::encode).collect();
    let tolerated: Vec<Value> = tolerated_tcb_status.iter().map(tolerated).collect();
    let owner = |bytes: &[u8; 48]| (*bytes != [0; 48]).then(|| json!(hex::encode(bytes)));
    let members = [
        ("MrTd", mr_td.map(|measurement| json!(hex::encode(measurement)))),
        ("MrSeam", mr_seam.map(|measurement| json!(hex::encode(measurement)))),
        ("Rtmrs", rtmrs.map(|rtmrs| json!(rtmrs.map(hex::encode)))),
        ("Xfam", xfam.map(|xfam| json!(hex::encode(xfam)))),
        ("MinTCBEvaluationDataNumber", min_tcb_evaluation_data_number.map(|number| json!(number))),
        ("AllowedPIIDs", (!instances.is_empty()).then(|| json!(instances))),
        ("MemoryIntegrity", Some(json!(memory_integrity))),
        ("SMTDisabled", Some(json!(smt_disabled))),
        ("StaticPlatform", Some(json!(static_platform))),
        ("ToleratedTCBStatus", (!tolerated.is_empty()).then(|| json!(tolerated))),
        ("MrOwner", owner(mr_owner)),
        ("MrOwnerConfig", owner(mr_owner_config)),
        ("CPUs", cpus.map(|cpus| json!(cpus))),
        ("Platform", platform.as_ref().map(|platform| json!(platform))),
    ];
    present(members)
}

fn tolerated(tolerated: &ToleratedStatus) -> Value {
    let ToleratedStatus { status, advisories } = tolerated;
    json!({ "Status": status.name(), "Advisories": advisories })
}
