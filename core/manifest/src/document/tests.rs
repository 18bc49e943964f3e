use super::*;

fn document() -> AttestationDocument {
    AttestationDocument {
        version: "v0.1.0".into(),
        raw_attestation_doc: vec![1, 2, 3],
        attestation_type: Some(EvidenceKind::Simulated),
        manifests: vec![b"one".to_vec(), b"two".to_vec()],
        policies: vec![b"policy".to_vec()],
        root_ca: b"ROOT".to_vec(),
        mesh_ca: b"MESH".to_vec(),
    }
}

#[test]
fn the_json_has_the_names_and_forms_of_the_existing_service() {
    let json: serde_json::Value = serde_json::from_slice(&document().to_json()).unwrap();
    let expected = serde_json::json!({
        "version": "v0.1.0",
        "raw_attestation_doc": "AQID",
        "attestation_type": [1, 3, 9901, 2, 3],
        "manifests": ["b25l", "dHdv"],
        "policies": ["cG9saWN5"],
        "root_ca": "Uk9PVA==",
        "mesh_ca": "TUVTSA==",
    });
    assert_eq!(json, expected);
}

#[test]
fn written_and_read_again() {
    assert_eq!(AttestationDocument::parse(&document().to_json()).unwrap(), document());
}

#[test]
fn older_coordinators_leave_things_out() {
    let json = br#"{"raw_attestation_doc":"","attestation_type":null,"manifests":null,"policies":null,"root_ca":"","mesh_ca":"","more":1}"#;
    let parsed = AttestationDocument::parse(json).unwrap();
    assert_eq!(parsed.attestation_type, None);
    assert!(parsed.manifests.is_empty() && parsed.policies.is_empty() && parsed.version.is_empty());
}

#[test]
fn too_long() {
    let json = vec![b' '; AttestationDocument::MAX_LEN + 1];
    let refused = AttestationDocument::parse(&json).unwrap_err();
    assert!(matches!(refused, DocumentError::TooLong { len: 4_194_305, max: 4_194_304 }));
}

#[test]
fn not_the_json_that_it_should_be() {
    let twice =
        br#"{"raw_attestation_doc":"","root_ca":"","root_ca":"","mesh_ca":"","manifests":[],"policies":[]}"#;
    for bad in [&b""[..], b"[]", b"{}", b"<html>", br#"{"root_ca":1}"#, twice] {
        assert!(matches!(AttestationDocument::parse(bad), Err(DocumentError::Json { .. })), "{bad:?}");
    }
}

#[test]
fn not_base64() {
    for member in ["raw_attestation_doc", "root_ca", "mesh_ca", "manifests", "policies"] {
        let mut json: serde_json::Value = serde_json::from_slice(&document().to_json()).unwrap();
        let bad = "not base64".into();
        json[member] = if json[member].is_array() { serde_json::Value::Array(vec![bad]) } else { bad };
        match AttestationDocument::parse(json.to_string().as_bytes()) {
            Err(DocumentError::Base64 { member: named, .. }) => assert_eq!(named, member),
            other => panic!("{member}: {other:?}"),
        }
    }
}

#[test]
fn too_many() {
    let mut long = document();
    long.manifests = vec![Vec::new(); 257];
    let refused = AttestationDocument::parse(&long.to_json()).unwrap_err();
    assert!(matches!(refused, DocumentError::TooMany { member: "manifests", count: 257, max: 256 }));
    let mut long = document();
    long.policies = vec![Vec::new(); 1025];
    let refused = AttestationDocument::parse(&long.to_json()).unwrap_err();
    assert!(matches!(refused, DocumentError::TooMany { member: "policies", count: 1025, max: 1024 }));
}

#[test]
fn unknown_evidence() {
    let json = String::from_utf8(document().to_json()).unwrap().replace("9901,2,3", "9901,2,9");
    match AttestationDocument::parse(json.as_bytes()) {
        Err(DocumentError::EvidenceKind { source }) => assert_eq!(source.oid, [1, 3, 9901, 2, 9]),
        other => panic!("{other:?}"),
    }
}
