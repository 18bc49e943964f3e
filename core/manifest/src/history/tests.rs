use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vector {
    manifests: Vec<String>,
    transitions: Vec<String>,
    nonce: String,
    root_ca: String,
    mesh_ca: String,
    report_data: String,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../../../../testdata/attest.json")).unwrap()
}

fn hex32(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

#[test]
fn vectors_of_the_independent_program() {
    for vector in vectors() {
        let manifests: Vec<_> = vector.manifests.iter().map(|text| STANDARD.decode(text).unwrap()).collect();
        for (place, expected) in vector.transitions.iter().enumerate() {
            assert_eq!(&transition(&manifests[..=place]).unwrap().to_string(), expected);
        }
        let last = transition(&manifests).unwrap();
        let (root, mesh) = (vector.root_ca.as_bytes(), vector.mesh_ca.as_bytes());
        let data = report_data(&hex32(&vector.nonce), &last, root, mesh);
        assert_eq!(hex::encode(data.as_bytes()), vector.report_data);
    }
}

/// Computed by hand from the description of the existing service.
#[test]
fn vectors_of_the_existing_service() {
    let manifest = b"{}\n";
    let first = transition(&[manifest]).unwrap();
    assert_eq!(first.to_string(), "fe065c75b3fea47bf4b6effe8639ad25904822da1321584bf4b1254a33f05818");
    let second = transition(&[manifest, manifest]).unwrap();
    assert_eq!(second.to_string(), "c3e4bb0c3f4abfc130de8a8878455574505725a08e63399fb87662ef89994c08");
    assert_eq!(first.then(manifest), second);

    let data = report_data(&[0x11; 32], &first, b"ROOT", b"MESH");
    let digest = "22517e3aec0cd930169db723ab34a63f6ab37ffe7d74e9bea02d7d8259d2065e";
    assert_eq!(hex::encode(data.as_bytes()), format!("{digest}{}", "0".repeat(64)));
}

#[test]
fn no_manifest_has_no_transition() {
    assert_eq!(transition::<&[u8]>(&[]), None);
}

#[test]
fn order_and_every_input_count() {
    let ab = transition(&["a", "b"]).unwrap();
    assert_ne!(ab, transition(&["b", "a"]).unwrap());
    assert_ne!(ab, transition(&["ab"]).unwrap());
    let base = report_data(&[0; 32], &ab, b"root", b"mesh");
    for other in [
        report_data(&[1; 32], &ab, b"root", b"mesh"),
        report_data(&[0; 32], &transition(&["a"]).unwrap(), b"root", b"mesh"),
        report_data(&[0; 32], &ab, b"root\n", b"mesh"),
        report_data(&[0; 32], &ab, b"root", b"mesh\n"),
        report_data(&[0; 32], &ab, b"mesh", b"root"),
    ] {
        assert_ne!(base, other);
    }
}
