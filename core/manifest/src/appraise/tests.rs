use serde_json::json;

use super::*;

const HASH: [u8; 32] = [0x11; 32];
const REFERENCED_ONLY: [u8; 32] = [0x22; 32];

fn manifest(reference_values: &serde_json::Value) -> Manifest {
    let policies = json!({hex::encode(HASH): {"SANs": ["coordinator"], "Role": "coordinator"}});
    let json = json!({"Policies": policies, "ReferenceValues": reference_values});
    Manifest::parse(json.to_string().as_bytes()).unwrap()
}

fn simulated_manifest() -> Manifest {
    let hosts = [HASH, REFERENCED_ONLY].map(|hash| json!({"HostData": hex::encode(hash)}));
    manifest(&json!({"simulated": hosts}))
}

fn complete_snp() -> serde_json::Value {
    let tcb = json!({"BootloaderVersion": 1, "TEEVersion": 1, "SNPVersion": 1, "MicrocodeVersion": 1});
    json!({"snp": [{"ProductName": "Genoa", "TrustedMeasurement": "00".repeat(48), "MinimumTCB": tcb}]})
}

fn appraise(
    manifest: &Manifest,
    kind: EvidenceKind,
    evidence: &[u8],
    options: &VerifyOptions,
) -> Result<Workload, AppraiseError> {
    appraise_workload(manifest, kind, evidence, &ReportData::from([7; 64]), options, UnixTime(1))
}

#[test]
fn a_platform_that_the_manifest_does_not_name() {
    for kind in [EvidenceKind::Snp, EvidenceKind::Tdx] {
        let refused = appraise(&simulated_manifest(), kind, b"", &VerifyOptions::default()).unwrap_err();
        assert!(matches!(refused, AppraiseError::PlatformNotInManifest { kind: named } if named == kind));
    }
    let refused =
        appraise(&manifest(&complete_snp()), EvidenceKind::Simulated, b"", &VerifyOptions::default())
            .unwrap_err();
    assert!(matches!(refused, AppraiseError::PlatformNotInManifest { kind: EvidenceKind::Simulated }));
}

#[test]
fn a_manifest_with_gaps() {
    let incomplete = manifest(&json!({"tdx": [{}]}));
    match appraise(&incomplete, EvidenceKind::Tdx, b"", &VerifyOptions::default()) {
        Err(AppraiseError::ReferenceValueMissing { names }) => {
            assert_eq!(names[0], "ReferenceValues.tdx[0].MrTd");
        }
        other => panic!("{other:?}"),
    }
}

#[cfg(not(feature = "simulated"))]
#[test]
fn without_the_feature_simulated_evidence_is_refused_in_any_case() {
    let refused =
        appraise(&simulated_manifest(), EvidenceKind::Simulated, b"", &VerifyOptions::default()).unwrap_err();
    assert!(matches!(refused, AppraiseError::SimulatedNotBuilt));
}

#[cfg(feature = "simulated")]
mod simulated {
    use privatemode_attest::SimulatedAllowed;
    use privatemode_attest::simulated::issue;

    use super::*;

    fn allowed() -> VerifyOptions {
        VerifyOptions {
            simulated: Some(SimulatedAllowed::danger_accept_simulated()),
            ..VerifyOptions::default()
        }
    }

    fn check(evidence: &[u8]) -> Result<Workload, AppraiseError> {
        appraise(&simulated_manifest(), EvidenceKind::Simulated, evidence, &allowed())
    }

    #[test]
    fn the_entry_of_the_policy() {
        let workload = check(&issue(&ReportData::from([7; 64]), HASH)).unwrap();
        assert_eq!(workload.policy_hash, PolicyHash::from(HASH));
        assert_eq!(workload.entry.sans, ["coordinator"]);
    }

    #[test]
    fn not_without_the_switch() {
        let evidence = issue(&ReportData::from([7; 64]), HASH);
        let refused =
            appraise(&simulated_manifest(), EvidenceKind::Simulated, &evidence, &VerifyOptions::default());
        assert!(matches!(refused, Err(AppraiseError::SimulatedNotAllowed)));
    }

    #[test]
    fn for_something_else() {
        let refused = check(&issue(&ReportData::from([8; 64]), HASH));
        assert!(matches!(refused, Err(AppraiseError::ReportDataMismatch)));
    }

    #[test]
    fn not_evidence() {
        let refused = check(b"{}");
        assert!(matches!(refused, Err(AppraiseError::Evidence { kind: EvidenceKind::Simulated, .. })));
    }

    #[test]
    fn a_policy_that_no_reference_value_allows() {
        let refused = check(&issue(&ReportData::from([7; 64]), [0x33; 32])).unwrap_err();
        assert!(
            matches!(refused, AppraiseError::HostDataNotAllowed { got } if got == PolicyHash::from([0x33; 32]))
        );
    }

    #[test]
    fn a_policy_that_is_in_the_reference_values_only() {
        let refused = check(&issue(&ReportData::from([7; 64]), REFERENCED_ONLY)).unwrap_err();
        assert!(
            matches!(refused, AppraiseError::PolicyNotInManifest { got } if got == PolicyHash::from(REFERENCED_ONLY))
        );
    }
}
