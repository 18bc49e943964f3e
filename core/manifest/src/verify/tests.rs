use serde_json::json;

use super::*;
use crate::appraise::Verdict;

const NONCE: [u8; 32] = [9; 32];
const NOW: UnixTime = UnixTime(1_800_000_000);
const COORDINATOR: &[u8] = b"policy of the coordinator";
const SECRETS: &[u8] = b"policy of the secret service";

fn hash(policy: &[u8]) -> String {
    PolicyHash::of(policy).to_string()
}

fn manifest_json() -> serde_json::Value {
    let hosts = [COORDINATOR, SECRETS].map(|policy| json!({"HostData": hash(policy)}));
    json!({
        "Policies": {
            hash(COORDINATOR): {"SANs": ["coordinator"], "Role": "coordinator"},
            hash(SECRETS): {"SANs": ["secret-service"]},
        },
        "ReferenceValues": {"simulated": hosts},
    })
}

fn manifest() -> Manifest {
    Manifest::parse(manifest_json().to_string().as_bytes()).unwrap()
}

fn ca_pem() -> Vec<u8> {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    params.self_signed(&key).unwrap().pem().into_bytes()
}

/// A document as a coordinator would make it, without its evidence.
fn unproven(manifest: &Manifest) -> AttestationDocument {
    AttestationDocument {
        version: "v0.1.0".into(),
        raw_attestation_doc: Vec::new(),
        attestation_type: Some(EvidenceKind::Simulated),
        manifests: vec![manifest.raw().to_vec()],
        policies: vec![SECRETS.to_vec(), COORDINATOR.to_vec()],
        root_ca: ca_pem(),
        mesh_ca: ca_pem(),
    }
}

fn refuse(document: &AttestationDocument, options: &VerifyOptions) -> VerifyError {
    verify_deployment(document, &NONCE, &manifest(), options, NOW).unwrap_err()
}

// Steps 1 to 6 come before the evidence is read, in every build.

#[test]
fn step_1_no_manifest() {
    let mut document = unproven(&manifest());
    document.manifests.clear();
    assert!(matches!(refuse(&document, &VerifyOptions::default()), VerifyError::HistoryEmpty));
}

#[test]
fn step_2_another_manifest_even_by_one_space() {
    let mut document = unproven(&manifest());
    let changed = [manifest().raw(), b" "].concat();
    document.manifests = vec![changed.clone()];
    match refuse(&document, &VerifyOptions::default()) {
        VerifyError::ManifestChanged { expected, got } => {
            assert_eq!(expected, manifest().digest());
            assert_eq!(got, ManifestDigest::of(&changed));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn step_2_an_older_manifest_as_expected_but_not_the_last() {
    let mut document = unproven(&manifest());
    document.manifests.push(b"{}".to_vec());
    assert!(matches!(refuse(&document, &VerifyOptions::default()), VerifyError::ManifestChanged { .. }));
}

#[test]
fn step_3_an_immutable_deployment_with_a_past() {
    let mut document = unproven(&manifest());
    document.manifests.insert(0, b"{}".to_vec());
    assert!(matches!(
        refuse(&document, &VerifyOptions::default()),
        VerifyError::HistoryNotSingle { entries: 2 }
    ));
}

#[test]
fn step_4_no_kind_of_evidence() {
    let mut document = unproven(&manifest());
    document.attestation_type = None;
    assert!(matches!(refuse(&document, &VerifyOptions::default()), VerifyError::EvidenceKindMissing));
}

#[test]
fn step_5_a_foreign_policy() {
    let mut document = unproven(&manifest());
    document.policies.push(b"foreign".to_vec());
    let got = PolicyHash::of(b"foreign");
    assert!(
        matches!(refuse(&document, &VerifyOptions::default()), VerifyError::PolicyMismatch { got: named } if named == got)
    );
}

#[test]
fn step_5_a_policy_that_was_not_sent() {
    let mut document = unproven(&manifest());
    document.policies.pop();
    let expected = PolicyHash::of(COORDINATOR);
    assert!(
        matches!(refuse(&document, &VerifyOptions::default()), VerifyError::PolicyMissing { missing } if missing == expected)
    );
}

#[test]
fn step_6_a_platform_that_the_manifest_does_not_name() {
    let mut document = unproven(&manifest());
    document.attestation_type = Some(EvidenceKind::Tdx);
    assert!(matches!(
        refuse(&document, &VerifyOptions::default()),
        VerifyError::PlatformNotInManifest { kind: EvidenceKind::Tdx }
    ));
}

#[test]
fn a_report_of_a_refusal_names_the_failing_step() {
    let mut document = unproven(&manifest());
    document.policies.push(b"foreign".to_vec());
    let options = VerifyOptions::default();
    let (report, result) = verify_deployment_report(&document, &NONCE, &manifest(), &options, NOW);
    assert_eq!(result.unwrap_err().step(), Step::Policies);
    assert!(!report.trusted && report.evidence.is_none());
    let verdicts: Vec<Verdict> = report.steps.iter().map(|step| step.verdict).collect();
    assert_eq!(verdicts[..4], [Verdict::Passed; 4]);
    assert_eq!(verdicts[4], Verdict::Failed);
    assert_eq!(verdicts[5..], [Verdict::NotReached; 4]);
    assert_eq!(report.steps[4].values.value("reason"), report.reason.as_deref());
    let digest = manifest().digest().to_string();
    assert_eq!(report.steps[1].values.value("digest"), Some(digest.as_str()));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["steps"][4]["name"], "policies");
    assert_eq!(json["steps"][4]["verdict"], "failed");
}

fn refuse_under(reference_values: serde_json::Value, kind: EvidenceKind) -> VerifyError {
    let mut json = manifest_json();
    json["ReferenceValues"] = reference_values;
    let manifest = Manifest::parse(json.to_string().as_bytes()).unwrap();
    let mut document = unproven(&manifest);
    document.attestation_type = Some(kind);
    verify_deployment(&document, &NONCE, &manifest, &VerifyOptions::default(), NOW).unwrap_err()
}

#[test]
fn step_6_a_manifest_with_gaps() {
    match refuse_under(json!({"tdx": [{}]}), EvidenceKind::Tdx) {
        VerifyError::ReferenceValueMissing { names } => assert_eq!(names.len(), 5),
        other => panic!("{other:?}"),
    }
}

#[cfg(not(feature = "simulated"))]
#[test]
fn step_6_simulated_is_refused_by_a_build_without_it() {
    let refused = refuse(&unproven(&manifest()), &VerifyOptions::default());
    assert!(matches!(refused, VerifyError::SimulatedNotBuilt));
    assert!(refused.to_string().contains("SIMULATED"));
}

#[cfg(feature = "simulated")]
mod simulated {
    use privatemode_attest::SimulatedAllowed;
    use privatemode_attest::mesh::{LeafError, MeshCaError};
    use privatemode_attest::simulated::issue;

    use super::*;

    fn allowed() -> VerifyOptions {
        VerifyOptions {
            simulated: Some(SimulatedAllowed::danger_accept_simulated()),
            ..VerifyOptions::default()
        }
    }

    /// Adds evidence for what the document says, as a coordinator that is honest about it.
    fn prove(mut document: AttestationDocument, policy: &[u8]) -> AttestationDocument {
        let transition = history::transition(&document.manifests).unwrap();
        let data = history::report_data(&NONCE, &transition, &document.root_ca, &document.mesh_ca);
        document.raw_attestation_doc = issue(&data, *PolicyHash::of(policy).as_bytes());
        document
    }

    fn proven() -> AttestationDocument {
        prove(unproven(&manifest()), COORDINATOR)
    }

    #[test]
    fn a_deployment_as_expected() {
        let document = AttestationDocument::parse(&proven().to_json()).unwrap();
        let deployment = verify_deployment(&document, &NONCE, &manifest(), &allowed(), NOW).unwrap();
        assert_eq!(deployment.mesh_ca_pem().as_bytes(), document.mesh_ca);
        assert_eq!(deployment.root_ca_pem().as_bytes(), document.root_ca);
        assert_eq!(deployment.mesh_ca().pem(), deployment.mesh_ca_pem());
        assert_eq!(deployment.manifest_digest(), manifest().digest());
        assert_eq!(deployment.platform(), EvidenceKind::Simulated);
        assert_eq!(deployment.coordinator_policy(), PolicyHash::of(COORDINATOR));
        assert!(deployment.simulated());
    }

    #[test]
    fn a_report_of_a_trusted_deployment() {
        let (report, result) = verify_deployment_report(&proven(), &NONCE, &manifest(), &allowed(), NOW);
        assert!(result.is_ok() && report.trusted && report.reason.is_none());
        let numbers: Vec<u8> = report.steps.iter().map(|step| step.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert!(report.steps.iter().all(|step| step.verdict == Verdict::Passed));
        let evidence = report.evidence.unwrap();
        assert_eq!((evidence.kind, evidence.policy), ("simulated", Some(hash(COORDINATOR))));
    }

    #[test]
    fn step_4_simulated_evidence_is_never_guessed() {
        let mut document = proven();
        document.attestation_type = None;
        assert!(matches!(refuse(&document, &allowed()), VerifyError::EvidenceKindMissing));
    }

    #[test]
    fn a_deployment_that_was_updated_by_its_owners() {
        let mut json = manifest_json();
        json["WorkloadOwnerPubKeys"] = json!(["01"]);
        let manifest = Manifest::parse(json.to_string().as_bytes()).unwrap();
        let mut document = unproven(&manifest);
        document.manifests.insert(0, b"an earlier one".to_vec());
        document.policies.push(b"a policy of the earlier one".to_vec());
        let document = prove(document, COORDINATOR);
        assert!(verify_deployment(&document, &NONCE, &manifest, &allowed(), NOW).is_ok());
    }

    #[test]
    fn step_6_simulated_needs_the_switch() {
        let refused = refuse(&proven(), &VerifyOptions::default());
        assert!(matches!(refused, VerifyError::SimulatedNotAllowed));
        assert!(refused.to_string().contains("--danger-simulated"));
    }

    #[test]
    fn step_7_a_replayed_answer() {
        let refused = verify_deployment(&proven(), &[8; 32], &manifest(), &allowed(), NOW).unwrap_err();
        assert!(matches!(refused, VerifyError::ReportDataMismatch));
    }

    #[test]
    fn step_7_an_exchanged_ca() {
        let mut document = proven();
        document.mesh_ca = ca_pem();
        assert!(matches!(refuse(&document, &allowed()), VerifyError::ReportDataMismatch));
        let mut document = proven();
        document.root_ca.push(b'\n');
        assert!(matches!(refuse(&document, &allowed()), VerifyError::ReportDataMismatch));
    }

    #[test]
    fn step_7_no_evidence() {
        let refused = refuse(&unproven(&manifest()), &allowed());
        assert!(matches!(refused, VerifyError::Evidence { kind: EvidenceKind::Simulated, .. }));
    }

    #[test]
    fn step_7_a_policy_that_no_reference_value_allows() {
        let refused = refuse(&prove(unproven(&manifest()), b"foreign"), &allowed());
        let expected = PolicyHash::of(b"foreign");
        assert!(matches!(refused, VerifyError::HostDataNotAllowed { got } if got == expected));
    }

    #[test]
    fn step_8_another_workload_of_the_deployment() {
        let refused = refuse(&prove(unproven(&manifest()), SECRETS), &allowed());
        let expected = PolicyHash::of(SECRETS);
        assert!(matches!(refused, VerifyError::HostDataNotCoordinator { got } if got == expected));
    }

    #[test]
    fn step_8_a_policy_that_is_in_the_reference_values_only() {
        let mut json = manifest_json();
        json["ReferenceValues"]["simulated"] = json!([{"HostData": hash(b"extra")}]);
        let manifest = Manifest::parse(json.to_string().as_bytes()).unwrap();
        let document = prove(unproven(&manifest), b"extra");
        let refused = verify_deployment(&document, &NONCE, &manifest, &allowed(), NOW).unwrap_err();
        assert!(matches!(refused, VerifyError::HostDataNotCoordinator { .. }));
    }

    #[test]
    fn step_9_unusable_cas() {
        let mut document = unproven(&manifest());
        document.mesh_ca = b"no PEM".to_vec();
        let refused = refuse(&prove(document, COORDINATOR), &allowed());
        assert!(matches!(refused, VerifyError::MeshCa { source: MeshCaError::Pem { .. } }));
        let mut document = unproven(&manifest());
        document.root_ca.clear();
        let refused = refuse(&prove(document, COORDINATOR), &allowed());
        assert!(matches!(refused, VerifyError::RootCa { source: MeshCaError::Pem { .. } }));
    }

    #[test]
    fn step_9_a_ca_out_of_its_time() {
        let late = UnixTime(4_000_000_000);
        let refused = verify_deployment(&proven(), &NONCE, &manifest(), &allowed(), late).unwrap_err();
        assert!(matches!(refused, VerifyError::MeshCaValidity { source: LeafError::CaExpired { .. } }));
    }
}
