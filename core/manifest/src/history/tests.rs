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
    let signed = "389eb01f6babcbf933c74f2de164cc8b168206c04d852c15e29ea5a06b3bca3c";
    assert_eq!(hex::encode(update_digest(&second)), signed);

    let data = report_data(&[0x11; 32], &first, b"ROOT", b"MESH");
    let digest = "22517e3aec0cd930169db723ab34a63f6ab37ffe7d74e9bea02d7d8259d2065e";
    assert_eq!(hex::encode(data.as_bytes()), format!("{digest}{}", "0".repeat(64)));
}

/// The existing service's own: a transition is named by the hash of its two halves.
#[test]
fn a_transition_after_a_given_one() {
    let manifest = b"hello"; // SHA-256 2cf24dba…
    let previous: Transition =
        "486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7".parse().unwrap();
    let next = previous.then(manifest);
    assert_eq!(next.to_string(), "7305db9b2abccd706c256db3d97e5ff48d677cfe4d3a5904afb7da0e3950e1e2");
    assert_eq!(Transition::of_digest(*next.as_bytes()), next);
}

#[test]
fn text_and_back() {
    let text = "486EA46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7";
    assert_eq!(text.parse::<Transition>().unwrap().to_string(), text.to_lowercase());
    for bad in ["", &text[1..], &format!("{text}00"), &format!("{text}\n"), &"g".repeat(64)] {
        assert_eq!(bad.parse::<Transition>(), Err(HashError), "{bad:?}");
    }
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
