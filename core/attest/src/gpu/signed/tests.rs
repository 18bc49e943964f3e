use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SigningKey as _,
};
use time::OffsetDateTime;

use super::*;
use crate::gpu::DeviceEvidence;

const NOW: UnixTime = UnixTime(1_800_000_000);
const NAME: &str = "attestation-agent";

struct Mesh {
    ca: (CertificateParams, KeyPair),
    key: KeyPair,
}

fn valid(mut params: CertificateParams) -> CertificateParams {
    let at = |seconds: u64| OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap()).unwrap();
    (params.not_before, params.not_after) = (at(NOW.0 - 3600), at(NOW.0 + 3600));
    params
}

impl Mesh {
    fn new() -> Self {
        let mut ca = valid(CertificateParams::default());
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pair = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self { ca: (ca, pair()), key: pair() }
    }

    fn ca(&self) -> MeshCa {
        MeshCa::parse_pem(self.ca.0.self_signed(&self.ca.1).unwrap().pem()).unwrap()
    }

    fn leaf(&self, name: &str) -> Vec<u8> {
        let mut leaf = valid(CertificateParams::new([name.to_owned()]).unwrap());
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let issuer = Issuer::from_params(&self.ca.0, &self.ca.1);
        leaf.signed_by(&self.key, &issuer).unwrap().der().to_vec()
    }

    fn sign(&self, name: &str, encoded: &[u8]) -> SignedBundle {
        let signature = self.key.sign(&[LABEL, encoded].concat()).unwrap();
        SignedBundle::new(encoded.to_vec(), self.leaf(name), signature)
    }
}

fn statement() -> Statement {
    let device =
        DeviceEvidence { architecture: "HOPPER".to_owned(), report: vec![1; 9], chain: b"PEM".to_vec() };
    let bundle = Bundle { devices: vec![device], rims: vec![b"<rim/>".to_vec()], ocsp: vec![vec![0x30, 0]] };
    Statement { report_data: ReportData::from([0x5a; 64]), verified_at: NOW, bundle }
}

#[test]
fn a_workloads_word_is_read_back() {
    let mesh = Mesh::new();
    let file = mesh.sign(NAME, &statement().encode()).to_json();
    let signed = SignedBundle::parse(file.as_bytes()).unwrap();
    assert_eq!(signed.open(&mesh.ca(), NAME, NOW).unwrap(), statement());
}

#[test]
fn what_was_changed_or_signed_by_somebody_else_does_not_count() {
    let (mesh, other) = (Mesh::new(), Mesh::new());
    let good = mesh.sign(NAME, &statement().encode());
    let open = |signed: &SignedBundle| signed.open(&mesh.ca(), NAME, NOW).unwrap_err();

    for place in 0..good.statement.len() {
        let mut changed = good.clone();
        changed.statement[place] ^= 1;
        assert!(matches!(open(&changed), SignedBundleError::Signature(SignatureError::Wrong)), "{place}");
    }
    let mut unlabelled = good.clone();
    unlabelled.signature = mesh.key.sign(&good.statement).unwrap();
    assert!(matches!(open(&unlabelled), SignedBundleError::Signature(SignatureError::Wrong)));

    let foreign = other.sign(NAME, &statement().encode());
    assert!(matches!(open(&foreign), SignedBundleError::Signer(_)));
    let gateway = mesh.sign("gateway", &statement().encode());
    assert!(matches!(open(&gateway), SignedBundleError::Name { expected } if expected == NAME));
    let late = good.open(&mesh.ca(), NAME, UnixTime(NOW.0 + 3601)).unwrap_err();
    assert!(matches!(late, SignedBundleError::Signer(LeafError::CaExpired { .. })), "{late:?}");
    let something = mesh.sign(NAME, b"{}");
    assert!(matches!(open(&something), SignedBundleError::Json(_)));
    let newer = mesh.sign(NAME, br#"{"version":2,"report_data":"","verified_at":0,"bundle":""}"#);
    assert!(matches!(open(&newer), SignedBundleError::Version { version: 2 }));
    let short = mesh.sign(NAME, br#"{"version":1,"report_data":"5a","verified_at":0,"bundle":""}"#);
    assert!(matches!(open(&short), SignedBundleError::ReportData));
}

#[test]
fn files_that_are_none() {
    let file = |text: &str| SignedBundle::parse(text.as_bytes()).unwrap_err();
    assert!(matches!(file("{"), SignedBundleError::Json(_)));
    let of = |version: u32, statement: &str| {
        format!(r#"{{"version":{version},"statement":"{statement}","certificate":"","signature":""}}"#)
    };
    assert!(matches!(file(&of(2, "")), SignedBundleError::Version { version: 2 }));
    assert!(matches!(file(&of(1, "?")), SignedBundleError::Base64 { member: "statement", .. }));
    let long = " ".repeat(MAX_FILE + 1);
    assert!(matches!(file(&long), SignedBundleError::TooLong { len } if len == MAX_FILE + 1));
}
