use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CrlIssuingDistributionPoint, CrlScope, CustomExtension, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

use privatemode_test_pki::der::{boolean, explicit, number, octet_string, sequence, tlv};

use super::*;
use crate::UnixTime;
use crate::signature::{Scheme, SignatureError};

/// ecdsa-with-SHA256.
const ECDSA_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const CRITICAL: &[u64] = &[1, 3, 9901, 7];
const CRITICAL_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.9901.7");

fn at(text: &str) -> UnixTime {
    UnixTime::parse_rfc3339(text).unwrap()
}

fn now() -> UnixTime {
    at("2026-01-01T00:00:00Z")
}

/// A certificate with its key, ready to issue others.
struct Node {
    params: CertificateParams,
    key: KeyPair,
    certificate: Certificate,
}

fn params(name: &str, is_ca: IsCa) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params.serial_number = Some(SerialNumber::from(vec![0x2a, name.len() as u8]));
    if is_ca != IsCa::NoCa {
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    }
    params.is_ca = is_ca;
    params.key_identifier_method = KeyIdMethod::Sha256;
    params
}

fn root(params: CertificateParams) -> Node {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let der = params.self_signed(&key).unwrap();
    Node { certificate: Certificate::parse_der(der.der()).unwrap(), params, key }
}

fn below(parent: &Node, params: CertificateParams) -> Node {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let issuer = Issuer::from_params(&parent.params, &parent.key);
    let der = params.signed_by(&key, &issuer).unwrap();
    Node { certificate: Certificate::parse_der(der.der()).unwrap(), params, key }
}

fn ca(length: Option<u8>) -> IsCa {
    IsCa::Ca(length.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained))
}

fn chain() -> (Node, Node, Node) {
    let top = root(params("root", ca(Some(1))));
    let middle = below(&top, params("middle", ca(Some(0))));
    let leaf = below(&middle, params("leaf", IsCa::NoCa));
    (leaf, middle, top)
}

#[test]
fn a_certificate_in_parts() {
    let (leaf, middle, _) = chain();
    let certificate = &leaf.certificate;
    assert_eq!(certificate.common_name(), Some("leaf"));
    assert_eq!(certificate.serial(), [0x2a, 4]);
    assert_eq!(certificate.not_before(), at("2025-01-01T00:00:00Z"));
    assert_eq!(certificate.not_after(), at("2027-01-01T00:00:00Z"));
    assert_eq!(certificate.issuer_der(), middle.certificate.subject_der());
    assert_eq!(certificate.scheme(), Scheme::EcdsaSha256);
    assert!(!certificate.is_ca() && middle.certificate.is_ca());
    assert_eq!(Certificate::parse_der(certificate.der()).as_ref(), Ok(certificate));
}

#[test]
fn a_path_holds() {
    let (leaf, middle, top) = chain();
    let path = [&leaf.certificate, &middle.certificate, &top.certificate];
    assert_eq!(check_path(&path, now(), &[]), Ok(()));
    assert_eq!(top.certificate.check_issued_by(&top.certificate, &[]), Ok(()));
}

#[test]
fn each_end_of_the_validity() {
    let (leaf, ..) = chain();
    let check = |time: &str| leaf.certificate.check_valid_at(at(time));
    assert_eq!(check("2025-01-01T00:00:00Z"), Ok(()));
    assert_eq!(check("2027-01-01T00:00:00Z"), Ok(()));
    let from = at("2025-01-01T00:00:00Z");
    assert_eq!(check("2024-12-31T23:59:59Z"), Err(ValidityError::NotYetValid { from }));
    let until = at("2027-01-01T00:00:00Z");
    assert_eq!(check("2027-01-01T00:00:01Z"), Err(ValidityError::Expired { until }));
}

#[test]
fn a_path_with_one_certificate_out_of_date_names_it() {
    let top = root(params("root", ca(None)));
    let mut short = params("middle", ca(None));
    short.not_after = date_time_ymd(2025, 6, 1);
    let middle = below(&top, short);
    let leaf = below(&middle, params("leaf", IsCa::NoCa));
    let path = [&leaf.certificate, &middle.certificate, &top.certificate];
    let source = ValidityError::Expired { until: at("2025-06-01T00:00:00Z") };
    assert_eq!(check_path(&path, now(), &[]), Err(PathError::Validity { index: 1, source }));
}

#[test]
fn more_authorities_than_the_path_length_allows() {
    let top = root(params("root", ca(Some(0))));
    let middle = below(&top, params("middle", ca(None)));
    let leaf = below(&middle, params("leaf", IsCa::NoCa));
    let path = [&leaf.certificate, &middle.certificate, &top.certificate];
    assert_eq!(check_path(&path, now(), &[]), Err(PathError::PathLength { index: 2 }));
}

#[test]
fn another_issuer_by_name_and_by_key() {
    let (leaf, middle, top) = chain();
    let other = root(params("root", ca(Some(1))));
    let issued = |issuer: &Node| leaf.certificate.check_issued_by(&issuer.certificate, &[]);
    assert_eq!(issued(&top), Err(IssueError::OtherIssuer));
    assert_eq!(
        middle.certificate.check_issued_by(&other.certificate, &[]),
        Err(IssueError::Signature { source: SignatureError::Wrong })
    );
}

#[test]
fn an_issuer_that_may_not_issue() {
    let plain = root(params("plain", IsCa::NoCa));
    let leaf = below(&plain, params("leaf", IsCa::NoCa));
    assert_eq!(leaf.certificate.check_issued_by(&plain.certificate, &[]), Err(IssueError::NotAuthority));
    let mut lists_only = params("lists", ca(None));
    lists_only.key_usages = vec![KeyUsagePurpose::CrlSign];
    let lists_only = root(lists_only);
    let leaf = below(&lists_only, params("leaf", IsCa::NoCa));
    assert_eq!(leaf.certificate.check_issued_by(&lists_only.certificate, &[]), Err(IssueError::KeyUsage));
}

#[test]
fn a_critical_extension_must_be_understood() {
    let top = root(params("root", ca(None)));
    let mut marked = params("leaf", IsCa::NoCa);
    let mut extension = CustomExtension::from_oid_content(CRITICAL, vec![5, 0]);
    extension.set_criticality(true);
    marked.custom_extensions.push(extension);
    let leaf = below(&top, marked);
    let oid = CRITICAL_OID.to_string();
    let refused = leaf.certificate.check_issued_by(&top.certificate, &[]);
    assert_eq!(refused, Err(IssueError::UnknownCriticalExtension { oid }));
    assert_eq!(leaf.certificate.check_issued_by(&top.certificate, &[CRITICAL_OID]), Ok(()));
    assert_eq!(leaf.certificate.extension(CRITICAL_OID), Some(&[5, 0][..]));
}

#[test]
fn a_critical_extension_of_the_issuer_must_be_understood_too() {
    let mut marked = params("root", ca(None));
    let mut extension = CustomExtension::from_oid_content(CRITICAL, vec![5, 0]);
    extension.set_criticality(true);
    marked.custom_extensions.push(extension);
    let top = root(marked);
    let leaf = below(&top, params("leaf", IsCa::NoCa));
    let oid = CRITICAL_OID.to_string();
    let refused = leaf.certificate.check_issued_by(&top.certificate, &[]);
    assert_eq!(refused, Err(IssueError::UnknownCriticalExtension { oid }));
    assert_eq!(leaf.certificate.check_issued_by(&top.certificate, &[CRITICAL_OID]), Ok(()));
}

#[test]
fn an_extension_that_is_there_twice() {
    let with = |contents: &[u8]| {
        let extension = |content: &u8| {
            let parts = [tlv(6, &[0x2b, 6, 1, 4]), octet_string(&[*content])];
            sequence(&parts)
        };
        let extensions = explicit(3, &sequence(&contents.iter().map(extension).collect::<Vec<_>>()));
        let parsed = Certificate::parse_der(&SAMPLE).unwrap();
        let signature = tlv(0x03, &[0, 1]);
        let validity = [tlv(0x17, b"250101000000Z"), tlv(0x17, b"270101000000Z")];
        let signed = [
            explicit(0, &number(2)),
            number(7),
            ECDSA_SHA256.to_vec(),
            parsed.issuer_der().to_vec(),
            sequence(&validity),
            parsed.subject_der().to_vec(),
            parsed.spki_der().to_vec(),
            extensions,
        ];
        Certificate::parse_der(&sequence(&[sequence(&signed), ECDSA_SHA256.to_vec(), signature]))
    };
    assert!(with(&[1]).is_ok());
    let oid = "1.3.6.1.4".to_owned();
    assert_eq!(with(&[1, 2]), Err(CertificateError::DuplicateExtension { oid }));
}

#[test]
fn no_bit_of_a_certificate_can_be_flipped() {
    let (leaf, middle, _) = chain();
    let der = leaf.certificate.der();
    for bit in 0..der.len() * 8 {
        let mut flipped = der.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let held = Certificate::parse_der(&flipped)
            .is_ok_and(|certificate| certificate.check_issued_by(&middle.certificate, &[]).is_ok());
        assert!(!held, "bit {bit}");
    }
}

#[test]
fn pem_holds_one_or_several() {
    let (leaf, middle, _) = chain();
    let block = |node: &Node| pem_of(node.certificate.der());
    let both = format!("\n{}\r\n{}\n\n", block(&leaf), block(&middle));
    let parsed = Certificate::parse_pem_chain(both.as_bytes(), 2).unwrap();
    assert_eq!(parsed, [leaf.certificate.clone(), middle.certificate.clone()]);
    assert_eq!(Certificate::parse(block(&leaf).as_bytes()).as_ref(), Ok(&leaf.certificate));
    assert_eq!(Certificate::parse(leaf.certificate.der()).as_ref(), Ok(&leaf.certificate));
    let fault = |text: &str| match Certificate::parse_pem_chain(text.as_bytes(), 1) {
        Err(CertificateError::Pem { source }) => source,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(&both), PemError::TooMany { max: 1 });
    assert_eq!(fault(""), PemError::Empty);
    assert_eq!(fault("no certificate"), PemError::Empty);
    assert_eq!(
        fault(&block(&leaf).replace("CERTIFICATE", "PRIVATE KEY")),
        PemError::OtherLabel { block: 1, label: "PRIVATE KEY".into() }
    );
    assert_eq!(fault(&block(&leaf)[..200]), PemError::Malformed { block: 1 });
    let words = format!("{} and more", block(&leaf));
    assert_eq!(fault(&words), PemError::Malformed { block: 2 });
    let long = " ".repeat(40_000);
    assert_eq!(fault(&long), PemError::TooLong { len: 40_000, max: 24_576 });
}

fn pem_of(der: &[u8]) -> String {
    x509_cert::der::pem::encode_string("CERTIFICATE", x509_cert::der::pem::LineEnding::LF, der).unwrap()
}

fn list(issuer: &Node, serials: &[&[u8]]) -> Vec<u8> {
    let revoked = |serial: &&[u8]| RevokedCertParams {
        serial_number: SerialNumber::from(serial.to_vec()),
        revocation_time: date_time_ymd(2025, 7, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 8, 1),
        next_update: date_time_ymd(2025, 9, 1),
        crl_number: SerialNumber::from(7_u64),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&Issuer::from_params(&issuer.params, &issuer.key)).unwrap().der().to_vec()
}

#[test]
fn a_list_knows_whom_it_revokes() {
    let (_, middle, top) = chain();
    let crl = Crl::parse_der(&list(&top, &[&[9], &[0x2a, 6], &[1, 2, 3]])).unwrap();
    assert_eq!(crl.check_issued_by(&top.certificate), Ok(()));
    assert_eq!(
        (crl.this_update(), crl.next_update()),
        (at("2025-08-01T00:00:00Z"), at("2025-09-01T00:00:00Z"))
    );
    assert_eq!(crl.revoked(), 3);
    assert_eq!(crl.revocation_of(middle.certificate.serial()), Some(at("2025-07-01T00:00:00Z")));
    for serial in [&[9][..], &[1, 2, 3]] {
        assert!(crl.revocation_of(serial).is_some());
    }
    assert_eq!(crl.revocation_of(&[8]), None);
    assert_eq!(Crl::parse_der(&list(&top, &[])).unwrap().revoked(), 0);
}

#[test]
fn a_list_of_another_authority() {
    let (leaf, middle, top) = chain();
    let crl = Crl::parse_der(&list(&top, &[])).unwrap();
    assert_eq!(crl.check_issued_by(&middle.certificate), Err(IssueError::OtherIssuer));
    let double = root(params("root", ca(Some(1))));
    assert_eq!(
        crl.check_issued_by(&double.certificate),
        Err(IssueError::Signature { source: SignatureError::Wrong })
    );
    let own = Crl::parse_der(&list(&leaf, &[])).unwrap();
    assert_eq!(own.check_issued_by(&leaf.certificate), Err(IssueError::NotAuthority));
}

#[test]
fn a_list_by_a_key_that_may_sign_certificates_only() {
    let mut certificates_only = params("root", ca(None));
    certificates_only.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let Node { certificate, key, .. } = root(certificates_only);
    // the same name and key, so that only the certificate's key usage stands against it
    let signer = Node { params: params("root", ca(None)), key, certificate: certificate.clone() };
    let crl = Crl::parse_der(&list(&signer, &[])).unwrap();
    assert_eq!(crl.check_issued_by(&certificate), Err(IssueError::KeyUsage));
}

#[test]
fn a_list_of_some_certificates_only() {
    let (_, _, top) = chain();
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 8, 1),
        next_update: date_time_ymd(2025, 9, 1),
        crl_number: SerialNumber::from(7_u64),
        issuing_distribution_point: Some(CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint { uris: vec!["http://crl.example.com".to_owned()] },
            scope: Some(CrlScope::UserCertsOnly),
        }),
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let der = params.signed_by(&Issuer::from_params(&top.params, &top.key)).unwrap();
    let oid = "2.5.29.28".to_owned();
    assert_eq!(Crl::parse_der(der.der()), Err(CrlError::UnknownCriticalExtension { oid }));
}

#[test]
fn an_entry_with_a_critical_extension() {
    let time = || tlv(0x17, b"250801000000Z");
    let with = |critical: bool| {
        // certificate issuer: the entry speaks about a certificate of somebody else
        let extension = [tlv(6, &[0x55, 0x1d, 0x1d]), boolean(critical), octet_string(&[0x30, 0])];
        let entry = [number(9), time(), sequence(&[sequence(&extension)])];
        let signed =
            [number(1), ECDSA_SHA256.to_vec(), tlv(0x30, &[]), time(), time(), sequence(&[sequence(&entry)])];
        Crl::parse_der(&sequence(&[sequence(&signed), ECDSA_SHA256.to_vec(), tlv(0x03, &[0, 1])]))
    };
    assert!(with(false).is_ok());
    let oid = "2.5.29.29".to_owned();
    assert_eq!(with(true), Err(CrlError::UnknownCriticalExtension { oid }));
}

#[test]
fn no_bit_of_a_list_can_be_flipped() {
    let (_, _, top) = chain();
    let der = list(&top, &[&[9], &[10]]);
    for bit in 0..der.len() * 8 {
        let mut flipped = der.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let held = Crl::parse_der(&flipped).is_ok_and(|crl| crl.check_issued_by(&top.certificate).is_ok());
        assert!(!held, "bit {bit}");
    }
}

#[test]
fn too_long() {
    let refused = Certificate::parse_der(&vec![0x30; MAX_CERTIFICATE + 1]);
    assert_eq!(refused, Err(CertificateError::TooLong { len: 16_385, max: 16_384 }));
    let refused = Crl::parse_der(&vec![0x30; MAX_CRL + 1]);
    assert_eq!(refused, Err(CrlError::TooLong { len: 1_048_577, max: 1_048_576 }));
}

proptest::proptest! {
    #[test]
    fn nothing_panics(noise in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let _ = Certificate::parse(&noise);
        let _ = Crl::parse(&noise);
    }

    #[test]
    fn nothing_that_is_nearly_a_certificate_panics(cut in 0_usize..600, place in 0_usize..600, byte in proptest::num::u8::ANY) {
        let mut der = std::sync::LazyLock::force(&SAMPLE).clone();
        if let Some(old) = der.get_mut(place) { *old = byte; }
        der.truncate(der.len().saturating_sub(cut));
        let _ = Certificate::parse_der(&der);
    }
}

static SAMPLE: std::sync::LazyLock<Vec<u8>> =
    std::sync::LazyLock::new(|| root(params("sample", ca(Some(1)))).certificate.der().to_vec());
