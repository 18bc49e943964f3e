use rcgen::{
    CertificateParams, CustomExtension, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
};
use time::OffsetDateTime;

use super::*;
use crate::signature::PublicKeyError;

const NOW: UnixTime = UnixTime(1_800_000_000);
const SNP: &[u64] = &[1, 3, 9901, 2, 1];
const TDX: &[u64] = &[1, 3, 9901, 2, 2];

fn date(time: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(time.try_into().unwrap()).unwrap()
}

fn params(extensions: &[(&[u64], &[u8])]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Contrast");
    params.not_before = date(NOW.0 - 7200);
    params.not_after = date(NOW.0 + 7200);
    params.custom_extensions = extensions
        .iter()
        .map(|(oid, content)| CustomExtension::from_oid_content(oid, content.to_vec()))
        .collect();
    params
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn der(params: &CertificateParams) -> Vec<u8> {
    params.self_signed(&key()).unwrap().der().to_vec()
}

fn refuse(der: &[u8]) -> LeafError {
    Leaf::parse(der, NOW).unwrap_err()
}

#[test]
fn evidence_is_the_extensions_raw_content() {
    let key = key();
    let der = params(&[(SNP, b"\x01raw, no DER")]).self_signed(&key).unwrap().der().to_vec();
    let leaf = Leaf::parse(&der, NOW).unwrap();
    assert_eq!((leaf.kind(), leaf.evidence()), (EvidenceKind::Snp, &b"\x01raw, no DER"[..]));
    assert_eq!(leaf.public_key().spki_der(), rcgen::PublicKeyData::subject_public_key_info(&key));
    assert!(
        leaf.report_data(&[7; 32])
            .matches(&ReportData::of_public_key(leaf.public_key().spki_der(), &[7; 32]))
    );
}

#[test]
fn evidence_is_there_once_and_of_a_known_kind() {
    assert_eq!(refuse(&der(&params(&[]))), LeafError::NoEvidence);
    assert_eq!(refuse(&der(&params(&[(&[1, 3, 9901, 3, 1], b"id")]))), LeafError::NoEvidence);
    let two = params(&[(SNP, b"one"), (TDX, b"two")]);
    assert_eq!(refuse(&der(&two)), LeafError::SeveralEvidence { count: 2 });
    let twice = params(&[(SNP, b"one"), (SNP, b"one")]);
    let source = CertificateError::DuplicateExtension { oid: "1.3.9901.2.1".into() };
    assert_eq!(refuse(&der(&twice)), LeafError::Certificate { source });
    for foreign in [&[1, 3, 9901, 2, 99][..], &[1, 3, 9901, 2, 1, 1]] {
        let source = UnknownEvidenceKind { oid: foreign.to_vec() };
        assert_eq!(refuse(&der(&params(&[(foreign, b"x")]))), LeafError::EvidenceKind { source });
        // a known kind beside it does not help
        let both = params(&[(SNP, b"x"), (foreign, b"x")]);
        assert_eq!(refuse(&der(&both)), LeafError::SeveralEvidence { count: 2 });
    }
}

#[test]
fn a_changed_byte_of_the_evidence_breaks_the_self_signature() {
    let mut der = der(&params(&[(SNP, b"the evidence")]));
    let at = der.windows(12).position(|window| window == b"the evidence").unwrap();
    der[at] ^= 1;
    assert_eq!(refuse(&der), LeafError::SelfSignature { source: SignatureError::Wrong });
}

#[test]
fn another_keys_signature_is_not_its_own() {
    // the issuer has the subject's name, and another key
    let issuer = rcgen::Issuer::new(params(&[]), key());
    let der = params(&[(SNP, b"x")]).signed_by(&key(), &issuer).unwrap().der().to_vec();
    assert_eq!(refuse(&der), LeafError::SelfSignature { source: SignatureError::Wrong });
    let mut other = params(&[]);
    other.distinguished_name.push(DnType::CommonName, "somebody");
    let issuer = rcgen::Issuer::new(other, key());
    let der = params(&[(SNP, b"x")]).signed_by(&key(), &issuer).unwrap().der().to_vec();
    assert_eq!(refuse(&der), LeafError::NotSelfIssued);
}

#[test]
fn it_counts_from_its_first_to_its_last_second() {
    let der = der(&params(&[(SNP, b"x")]));
    for inside in [NOW.0 - 7200, NOW.0 + 7200] {
        Leaf::parse(&der, UnixTime(inside)).unwrap();
    }
    let (from, until) = (UnixTime(NOW.0 - 7200), UnixTime(NOW.0 + 7200));
    let early = Leaf::parse(&der, UnixTime(NOW.0 - 7201)).unwrap_err();
    assert_eq!(early, LeafError::Validity { source: ValidityError::NotYetValid { from } });
    let late = Leaf::parse(&der, UnixTime(NOW.0 + 7201)).unwrap_err();
    assert_eq!(late, LeafError::Validity { source: ValidityError::Expired { until } });
}

#[test]
fn other_keys_and_lengths_are_refused() {
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let der = params(&[(SNP, b"x")]).self_signed(&p384).unwrap().der().to_vec();
    assert_eq!(refuse(&der), LeafError::OtherAlgorithm);
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let der = params(&[(SNP, b"x")]).self_signed(&ed25519).unwrap().der().to_vec();
    assert!(matches!(
        refuse(&der),
        LeafError::Certificate {
            source: CertificateError::UnsupportedAlgorithm { .. }
                | CertificateError::PublicKey { source: PublicKeyError::Unsupported }
        }
    ));
    let most = params(&[(SNP, &vec![7; MAX_EVIDENCE])]).self_signed(&key()).unwrap().der().to_vec();
    assert_eq!(Leaf::parse(&most, NOW).unwrap().evidence().len(), MAX_EVIDENCE);
    let long = vec![0x30; MAX_LEAF + 1];
    let source = CertificateError::TooLong { len: MAX_LEAF + 1, max: MAX_LEAF };
    assert_eq!(refuse(&long), LeafError::Certificate { source });
}

#[test]
fn a_critical_extension_must_be_understood() {
    let mut with = params(&[(SNP, b"x")]);
    let mut foreign = CustomExtension::from_oid_content(&[1, 2, 3], b"x".to_vec());
    with.custom_extensions.push(foreign.clone());
    Leaf::parse(&der(&with), NOW).unwrap();
    foreign.set_criticality(true);
    *with.custom_extensions.last_mut().unwrap() = foreign;
    let source = CertificateError::UnknownCriticalExtension { oid: "1.2.3".into() };
    assert_eq!(refuse(&der(&with)), LeafError::Certificate { source });
}

#[test]
fn cut_and_changed_bytes_are_refused() {
    let whole = der(&params(&[(SNP, b"x")]));
    for length in 0..whole.len() {
        assert!(Leaf::parse(&whole[..length], NOW).is_err(), "{length}");
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(Leaf::parse(&changed, NOW).is_err(), "{at}");
    }
}
