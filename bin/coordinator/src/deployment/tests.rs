use privatemode_manifest::generate::{Entry, simulated};

use super::*;

const COORDINATOR: &[u8] = b"policy of the coordinator";
const GATEWAY: &[u8] = b"policy of the gateway";

fn entries() -> [Entry<'static>; 2] {
    let entry = |policy, sans, role| Entry { policy, sans, workload_secret_id: None, role };
    [
        entry(COORDINATOR, &["coordinator"], Role::Coordinator),
        entry(GATEWAY, &["gateway", "127.0.0.1"], Role::Workload),
    ]
}

fn file(name: &str, bytes: &[u8]) -> PolicyFile {
    PolicyFile { name: name.into(), bytes: bytes.to_vec() }
}

fn files() -> Vec<PolicyFile> {
    vec![file("gateway", GATEWAY), file("coordinator", COORDINATOR)]
}

fn own(policy: &[u8]) -> Own {
    Own { policy: PolicyHash::of(policy), kind: EvidenceKind::Simulated }
}

fn check(manifest: &[u8], files: Vec<PolicyFile>) -> Result<Deployment, DeploymentError> {
    Deployment::check(manifest, files, own(COORDINATOR), 0)
}

/// The manifest with some text replaced.
fn replaced(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(simulated(&entries())).unwrap();
    assert!(text.contains(from));
    text.replace(from, to).into_bytes()
}

#[test]
fn a_deployment_that_fits() {
    let raw = simulated(&entries());
    let deployment = check(&raw, files()).unwrap();
    assert_eq!(deployment.manifest().raw(), raw);
    assert_eq!(deployment.policies().count(), 2);
    // the same policy in two files is one policy
    let mut twice = files();
    twice.push(file("again", GATEWAY));
    assert_eq!(check(&raw, twice).unwrap().policies().count(), 2);
}

#[test]
fn no_manifest() {
    assert!(matches!(
        check(b"{}", files()),
        Err(DeploymentError::Manifest { source: ManifestError::NoCoordinator })
    ));
}

#[test]
fn a_manifest_with_gaps() {
    let raw = replaced("\"HostData\"", "\"Other\"");
    match check(&raw, files()) {
        Err(DeploymentError::ReferenceValueMissing { names }) => assert_eq!(names.len(), 2),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_owner_that_is_no_key() {
    let raw = replaced("\"Protocols\"", "\"WorkloadOwnerPubKeys\": [\"01\"], \"Protocols\"");
    assert!(matches!(
        check(&raw, files()),
        Err(DeploymentError::WorkloadOwner { index: 0, source: PublicKeyError::Malformed })
    ));
    let digest = "ab".repeat(32);
    let raw =
        replaced("\"Protocols\"", &format!("\"WorkloadOwnerKeyDigests\": [\"{digest}\"], \"Protocols\""));
    check(&raw, files()).unwrap();
}

#[test]
fn another_platform() {
    let raw = simulated(&entries());
    let snp = Own { kind: EvidenceKind::Snp, ..own(COORDINATOR) };
    let refused = Deployment::check(&raw, files(), snp, 0).unwrap_err();
    assert!(matches!(refused, DeploymentError::Platform { kind: EvidenceKind::Snp }));
}

#[test]
fn a_policy_that_the_manifest_does_not_name() {
    let mut more = files();
    more.push(file("changed", b"policy of the gateway, edited"));
    match check(&simulated(&entries()), more) {
        Err(DeploymentError::PolicyNotInManifest { name, hash }) => {
            assert_eq!((name.as_str(), hash), ("changed", PolicyHash::of(b"policy of the gateway, edited")));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_policy_that_is_missing() {
    match check(&simulated(&entries()), vec![file("coordinator", COORDINATOR)]) {
        Err(DeploymentError::PolicyMissing { hash, sans }) => {
            assert_eq!(hash, PolicyHash::of(GATEWAY));
            assert_eq!(sans, ["gateway", "127.0.0.1"]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_own_policy_without_the_role() {
    let raw = simulated(&entries());
    for policy in [GATEWAY, b"unknown"] {
        let refused = Deployment::check(&raw, files(), own(policy), 0).unwrap_err();
        assert!(matches!(refused, DeploymentError::OwnPolicy { hash } if hash == PolicyHash::of(policy)));
    }
}

#[test]
fn a_workload_without_a_name() {
    let [coordinator, gateway] = entries();
    let raw = simulated(&[coordinator, Entry { sans: &[], ..gateway }]);
    assert!(
        matches!(check(&raw, files()), Err(DeploymentError::NoName { hash }) if hash == PolicyHash::of(GATEWAY))
    );
}

#[test]
fn a_name_that_no_certificate_can_hold() {
    let [coordinator, gateway] = entries();
    let raw = simulated(&[coordinator, Entry { sans: &["gateway", "two words"], ..gateway }]);
    match check(&raw, files()) {
        Err(DeploymentError::Name { source, .. }) => assert_eq!(source.name, "two words"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn too_long_for_a_document() {
    let [coordinator, gateway] = entries();
    let long = vec![b'x'; MAX_TOTAL];
    let raw = simulated(&[coordinator, Entry { policy: &long, ..gateway }]);
    let refused = check(&raw, vec![file("coordinator", COORDINATOR), file("long", &long)]).unwrap_err();
    assert!(matches!(refused, DeploymentError::TooLong { max: MAX_TOTAL, .. }));
    // all manifests of a history go into the document
    let refused =
        Deployment::check(&simulated(&entries()), files(), own(COORDINATOR), MAX_TOTAL).unwrap_err();
    assert!(matches!(refused, DeploymentError::TooLong { max: MAX_TOTAL, .. }));
}

/// The longest deployment still fits into the document that clients read.
#[test]
fn the_cap_fits_the_documents_cap() {
    use privatemode_manifest::AttestationDocument;
    let document = AttestationDocument {
        version: "v0.1.0".into(),
        raw_attestation_doc: vec![0; 64 * 1024],
        attestation_type: Some(EvidenceKind::Simulated),
        manifests: vec![vec![0; MAX_TOTAL / 2]],
        policies: vec![vec![0; MAX_TOTAL / 2]],
        root_ca: vec![0; 4096],
        mesh_ca: vec![0; 4096],
    };
    assert!(AttestationDocument::parse(&document.to_json()).is_ok());
}
