//! `privatemode verify` on bundles of a deployment whose evidence is genuine in everything but the root: AMD Genoa.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_attest::encoding::sevsnp;
use privatemode_attest::{EvidenceKind, UnixTime};
use privatemode_collateral::{
    AmdProduct, AmdSigner, Bundle, Document, Found, Key, Origin, Provenance, State,
};
use privatemode_manifest::{AttestationDocument, Manifest, PolicyHash, history};
use privatemode_test_pki::amd;
use serde_json::{Value, json};

const NONCE: [u8; 32] = [9; 32];
const POLICY: &[u8] = b"policy of the coordinator";
const DAY: u64 = 86_400;

/// What a test changes before everything is signed.
struct Genoa {
    pki: amd::Evidence,
    /// The manifest's entry.
    entry: Value,
    /// Where the revocation list is.
    list: List,
}

#[derive(PartialEq, Eq)]
enum List {
    InEvidence,
    InBundle,
    Nowhere,
}

struct Saved {
    folder: tempfile::TempDir,
}

fn ca_pem() -> Vec<u8> {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    params.self_signed(&key).unwrap().pem().into_bytes()
}

/// A deployment on Genoa, verified at [`amd::NOW`] and saved.
fn saved(change: impl FnOnce(&mut Genoa)) -> Saved {
    let entry = json!({
        "ProductName": "Genoa",
        "TrustedMeasurement": "3e".repeat(48),
        "MinimumTCB": {"BootloaderVersion": 4, "TEEVersion": 1, "SNPVersion": 24, "MicrocodeVersion": 219},
        "GuestPolicy": {"SMT": true, "ABIMinor": 31},
        "PlatformInfo": {"SMTEnabled": true, "ECCEnabled": true, "AliasCheckComplete": true},
    });
    let pki = amd::Evidence::new(amd::Product::Genoa, amd::Signer::Vcek);
    let mut genoa = Genoa { pki, entry, list: List::InEvidence };
    change(&mut genoa);
    let Genoa { mut pki, entry, list } = genoa;
    let hash = PolicyHash::of(POLICY);
    let policies = json!({hash.to_string(): {"SANs": ["coordinator"], "Role": "coordinator"}});
    let manifest = json!({"Policies": policies, "ReferenceValues": {"snp": [entry]}}).to_string();
    let manifest = Manifest::parse(manifest.as_bytes()).unwrap();
    let mut document = AttestationDocument {
        version: "v0.1.0".into(),
        raw_attestation_doc: Vec::new(),
        attestation_type: Some(EvidenceKind::Snp),
        manifests: vec![manifest.raw().to_vec()],
        policies: vec![POLICY.to_vec()],
        root_ca: ca_pem(),
        mesh_ca: ca_pem(),
    };
    let transition = history::transition(&document.manifests).unwrap();
    let data = history::report_data(&NONCE, &transition, &document.root_ca, &document.mesh_ca);
    pki.report[0x50..0x90].copy_from_slice(data.as_bytes());
    pki.report[0xc0..0xe0].copy_from_slice(hash.as_bytes());
    let encoded = pki.encode();
    let mut carried = sevsnp::SnpEvidence::of_report(encoded.report.clone().try_into().unwrap());
    (carried.vcek, carried.ask) = (Some(encoded.vek.clone()), Some(encoded.ask.clone()));
    carried.crl = (list == List::InEvidence).then(|| encoded.crl.clone());
    document.raw_attestation_doc = sevsnp::encode(&carried).unwrap();
    let mut collateral = Bundle::new();
    if list == List::InBundle {
        collateral.add(&revocations(&encoded.crl));
    }
    let collateral: Value = serde_json::from_slice(&collateral.to_bytes()).unwrap();
    let bundle = json!({
        "format": "privatemode-verification", "version": 1, "target": "https://gateway.example.com",
        "verified_at": UnixTime(amd::NOW).to_string(), "nonce": STANDARD.encode(NONCE),
        "manifest": STANDARD.encode(manifest.raw()), "document": STANDARD.encode(document.to_json()),
        "collateral": collateral,
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bundle.json"), bundle.to_string()).unwrap();
    std::fs::write(folder.path().join("ark.der"), encoded.ark).unwrap();
    Saved { folder }
}

fn revocations(list: &[u8]) -> Found {
    let key = Key::AmdCrl { product: AmdProduct::Genoa, signer: AmdSigner::Vcek };
    let fetched_at = Some(UnixTime(amd::NOW));
    let provenance = Provenance { key, origin: Origin::Bundle, fetched_at, state: State::Current };
    Found { document: Arc::new(Document { bytes: list.to_vec(), issuer_chain: None }), provenance }
}

impl Saved {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `privatemode verify bundle.json ARGUMENTS`: exit code and standard output.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_privatemode"))
            .arg("verify")
            .arg(self.path("bundle.json"))
            .arg("--dir")
            .arg(self.folder.path())
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }

    /// The JSON under the test's root.
    fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let ark = self.path("ark.der");
        let root = ["--danger-amd-root", ark.to_str().unwrap(), "--json"];
        let (code, output) = self.run(&[&root, arguments].concat());
        (code, serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}")))
    }

    /// Refused because of the evidence, for reasons with this text.
    #[track_caller]
    fn refused(&self, text: &str) -> Value {
        let (code, json) = self.json(&[]);
        assert_eq!((code, &json["verdict"]), (1, &json!("refused")), "{json:#}");
        let failed =
            json["steps"].as_array().unwrap().iter().find(|step| step["verdict"] == "failed").unwrap();
        assert_eq!((&failed["name"], &json["refusal"]["step"]), (&json!("evidence"), &json!(7)));
        assert!(json["refusal"]["why"].to_string().contains(text), "no {text:?} in {:#}", json["refusal"]);
        json
    }
}

#[test]
fn every_step_and_the_test_root_on_every_line() {
    let saved = saved(|_| ());
    let ark = saved.path("ark.der");
    let (code, text) = saved.run(&["--danger-amd-root", ark.to_str().unwrap()]);
    assert_eq!(code, 0, "{text}");
    assert!(text.lines().all(|line| line.starts_with("DANGER, TEST ROOT |")), "{text}");
    for part in
        ["VERIFIED: 9 steps passed", "Genoa entry 1 of the manifest accepts it", "a signature to a TEST ROOT"]
    {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let (code, json) = saved.json(&[]);
    assert_eq!((code, &json["simulated"]), (0, &json!(false)));
    assert_eq!(json["evidence"]["production_roots"], false);
    assert!(json["danger"][0].as_str().unwrap().contains("proves nothing about hardware"));

    // AMD's own root has not signed this
    let (code, text) = saved.run(&[]);
    assert_eq!(code, 1);
    assert!(text.contains("REFUSED: step 7, evidence") && text.contains("✗ FAILED"), "{text}");
}

#[test]
fn a_stale_revocation_list_and_its_grace() {
    let saved = saved(|genoa| genoa.pki.crl.next_update = amd::NOW - DAY);
    let json = saved.refused("the revocation list was to be renewed on 2025-12-31T00:00:00Z");
    assert!(json["refusal"]["next"].as_str().unwrap().contains("--crl-grace"), "{json}");
    let (code, json) = saved.json(&["--crl-grace", "48"]);
    assert_eq!(code, 0, "{json:#}");
    let warnings = json["warnings"].to_string();
    assert!(warnings.contains("the grace covers it") && warnings.contains("--crl-grace"), "{warnings}");
}

#[test]
fn a_revocation_list_from_the_bundle_or_from_nowhere() {
    let (code, json) = saved(|genoa| genoa.list = List::InBundle).json(&[]);
    assert_eq!(code, 0, "{json:#}");
    assert_eq!(json["collateral"][0]["from"], "bundle");
    let nowhere = saved(|genoa| genoa.list = List::Nowhere);
    let json = nowhere.refused("nobody gave AMD's revocation list");
    assert!(json["refusal"]["why"].to_string().contains("and the network is off"), "{json:#}");
}

#[test]
fn a_guest_that_the_host_may_debug() {
    // bit 19 of the guest policy, which is signed
    saved(|genoa| genoa.pki.report[0x0a] |= 1 << 3)
        .refused("the guest policy allows Debug, which the manifest does not");
}

#[test]
fn another_measurement_and_a_tcb_below_the_minimum() {
    saved(|genoa| genoa.entry["TrustedMeasurement"] = json!("4f".repeat(48))).refused("measurement");
    saved(|genoa| genoa.entry["MinimumTCB"]["SNPVersion"] = json!(28)).refused("TCB is below 28");
}
