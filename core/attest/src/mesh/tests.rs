use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    SanType, SignatureAlgorithm, SigningKey as _, string::Ia5String,
};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::*;
use crate::UnixTime;
use crate::signature::PublicKeyError;

const NOW: UnixTime = UnixTime(1_800_000_000);
const HOUR: u64 = 3600;
const SECRET_ID: [u64; 5] = [1, 3, 9901, 3, 1];

fn at(time: UnixTime) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(time.0.try_into().unwrap()).unwrap()
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// A CA as the coordinator makes it, with one thing changed.
struct TestCa {
    params: CertificateParams,
    key: KeyPair,
}

impl TestCa {
    fn new() -> Self {
        Self::with(&PKCS_ECDSA_P384_SHA384, |_| ())
    }

    fn with(algorithm: &'static SignatureAlgorithm, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = name("system:coordinator:intermediate");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.not_before = at(NOW.saturating_sub(24 * HOUR));
        params.not_after = at(NOW.saturating_add(24 * HOUR));
        change(&mut params);
        Self { params, key: KeyPair::generate_for(algorithm).unwrap() }
    }

    fn der(&self) -> Vec<u8> {
        self.params.self_signed(&self.key).unwrap().der().to_vec()
    }

    fn pem(&self) -> String {
        to_pem(&self.der())
    }

    fn parse(&self) -> Result<MeshCa, MeshCaError> {
        MeshCa::parse_pem(self.pem())
    }

    fn issue(&self, key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = leaf_params();
        change(&mut params);
        let issuer = Issuer::from_params(&self.params, &self.key);
        params.signed_by(key, &issuer).unwrap().der().to_vec()
    }

    /// Issues a leaf with one thing changed, and verifies it.
    fn check(
        &self,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Result<VerifiedMeshCertificate, LeafError> {
        self.parse().unwrap().verify_leaf(&self.issue(&p256(), change), NOW)
    }
}

fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("secret-service");
    params.subject_alt_names = vec![
        SanType::DnsName(Ia5String::try_from("secret-service").unwrap()),
        SanType::URI(Ia5String::try_from("spiffe://mesh/secret").unwrap()),
        SanType::IpAddress("127.0.0.1".parse().unwrap()),
        SanType::IpAddress("::1".parse().unwrap()),
    ];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.custom_extensions = vec![CustomExtension::from_oid_content(&SECRET_ID, octet_string(b"the-id"))];
    params.not_before = at(NOW.saturating_sub(HOUR));
    params.not_after = at(NOW.saturating_add(HOUR));
    params
}

fn octet_string(content: &[u8]) -> Vec<u8> {
    let mut der = vec![4, content.len().try_into().unwrap()];
    der.extend(content);
    der
}

fn p256() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn to_pem(der: &[u8]) -> String {
    use x509_cert::der::pem::{LineEnding, encode_string};
    encode_string("CERTIFICATE", LineEnding::LF, der).unwrap()
}

/// Replaces the last occurrence of `from`.
fn patch_last(der: &mut [u8], from: &[u8], to: &[u8]) {
    let place = der.windows(from.len()).rposition(|window| window == from).unwrap();
    der[place..place + to.len()].copy_from_slice(to);
}

fn certificate_fault(result: Result<VerifiedMeshCertificate, LeafError>) -> CertificateError {
    match result {
        Err(LeafError::Certificate { source }) => source,
        other => panic!("{other:?}"),
    }
}

// --- what passes ---

#[test]
fn a_leaf_says_who_it_is_and_its_key_verifies() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384] {
        let ca = TestCa::with(algorithm, |_| ());
        let key = KeyPair::generate_for(algorithm).unwrap();
        let leaf = ca.parse().unwrap().verify_leaf(&ca.issue(&key, |_| ()), NOW).unwrap();

        assert_eq!(leaf.sans()[0], San::Dns("secret-service".into()));
        assert_eq!(leaf.sans().len(), 4);
        for name in ["secret-service", "Secret-Service", "spiffe://mesh/secret", "127.0.0.1", "::1"] {
            assert!(leaf.has_name(name), "{name}");
        }
        for name in ["", "*", "secret", "secret-service.", "127.0.0.2", "spiffe://mesh/"] {
            assert!(!leaf.has_name(name), "{name}");
        }
        assert_eq!(leaf.workload_secret_id(), Some("the-id"));
        assert_eq!(leaf.not_after(), NOW.saturating_add(HOUR));
    }
}

#[test]
fn signatures_of_the_leaf_are_checked() {
    let ca = TestCa::new();
    let key = p256();
    let leaf = ca.parse().unwrap().verify_leaf(&ca.issue(&key, |_| ()), NOW).unwrap();
    let digest: [u8; 32] = Sha256::digest(b"message").into();
    let signature = key.sign(b"message").unwrap();

    assert_eq!(leaf.verify_prehash(&digest, &signature), Ok(()));
    assert_eq!(leaf.verify_prehash(&[0; 32], &signature), Err(SignatureError::Wrong));
    assert_eq!(leaf.verify_prehash(&digest, &p256().sign(b"message").unwrap()), Err(SignatureError::Wrong));
    for bad in [&b""[..], &signature[1..], &[0x30, 0x80]] {
        assert_eq!(leaf.verify_prehash(&digest, bad), Err(SignatureError::Malformed));
    }
}

#[test]
fn a_wildcard_names_nobody() {
    let ca = TestCa::new();
    let leaf = ca
        .check(|leaf| leaf.subject_alt_names = vec![SanType::DnsName(Ia5String::try_from("*").unwrap())])
        .unwrap();
    assert!(!leaf.has_name("secret-service"));
}

#[test]
fn without_the_extension_there_is_no_workload_secret_id() {
    let leaf = TestCa::new().check(|leaf| leaf.custom_extensions.clear()).unwrap();
    assert_eq!(leaf.workload_secret_id(), None);
}

#[test]
fn the_pem_is_kept_as_it_came() {
    let pem = TestCa::new().pem();
    assert_eq!(MeshCa::parse_pem(&pem).unwrap().pem(), pem);
    let bare = pem.trim_end();
    assert_eq!(MeshCa::parse_pem(bare).unwrap().pem(), bare);
}

// --- CA: one test for each error ---

#[test]
fn ca_too_long() {
    let pem = " ".repeat(40_000);
    assert_eq!(MeshCa::parse_pem(pem), Err(MeshCaError::TooLong { len: 40_000, max: 32_768 }));
}

#[test]
fn ca_not_pem() {
    for bad in ["", "hello", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"] {
        assert!(matches!(MeshCa::parse_pem(bad), Err(MeshCaError::Pem { .. })), "{bad}");
    }
}

#[test]
fn ca_not_one_certificate() {
    let pem = TestCa::new().pem();
    let words = format!("words before\n{pem}");
    let key = pem.replace("CERTIFICATE", "PRIVATE KEY");
    let two = format!("{pem}{pem}");
    for bad in [words, key, two] {
        assert_eq!(MeshCa::parse_pem(&bad), Err(MeshCaError::NotOneCertificate), "{bad}");
    }
    assert_eq!(MeshCa::parse_pem([0xff]), Err(MeshCaError::NotOneCertificate));
}

#[test]
fn ca_not_a_certificate() {
    let refused = MeshCa::parse_pem(to_pem(b"nonsense")).unwrap_err();
    assert!(matches!(refused, MeshCaError::Certificate { source: CertificateError::Malformed { .. } }));
}

#[test]
fn ca_without_basic_constraints() {
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let ca = TestCa::with(&PKCS_ECDSA_P384_SHA384, |ca| ca.is_ca = is_ca);
        assert_eq!(ca.parse(), Err(MeshCaError::NotACa));
    }
}

#[test]
fn ca_that_must_not_sign() {
    let ca = TestCa::with(&PKCS_ECDSA_P384_SHA384, |ca| ca.key_usages = vec![KeyUsagePurpose::CrlSign]);
    assert_eq!(ca.parse(), Err(MeshCaError::KeyUsage));
}

#[test]
fn ca_of_another_issuer() {
    let root =
        TestCa::with(&PKCS_ECDSA_P384_SHA384, |ca| ca.distinguished_name = name("system:coordinator:root"));
    let below = TestCa::new();
    let issuer = Issuer::from_params(&root.params, &root.key);
    let pem = below.params.signed_by(&below.key, &issuer).unwrap().pem();
    assert_eq!(MeshCa::parse_pem(pem), Err(MeshCaError::NotSelfIssued));
}

#[test]
fn ca_with_a_wrong_signature() {
    // same name, another key: as an exchanged intermediate would be
    let (real, other) = (TestCa::new(), TestCa::new());
    let issuer = Issuer::from_params(&other.params, &other.key);
    let pem = real.params.signed_by(&real.key, &issuer).unwrap().pem();
    assert_eq!(MeshCa::parse_pem(pem), Err(MeshCaError::Signature { source: SignatureError::Wrong }));
}

#[test]
fn ca_validity_is_checked() {
    let ca = TestCa::new().parse().unwrap();
    let (first, last) = ca.validity();
    assert_eq!((ca.check_validity(first), ca.check_validity(last)), (Ok(()), Ok(())));
    let early = first.saturating_sub(1);
    assert_eq!(ca.check_validity(early), Err(LeafError::CaNotYetValid { not_before: first, now: early }));
    let late = last.saturating_add(1);
    assert_eq!(ca.check_validity(late), Err(LeafError::CaExpired { not_after: last, now: late }));
}

// --- leaf: one test for each error, in the order of the steps ---

#[test]
fn leaf_too_long() {
    let ca = TestCa::new().parse().unwrap();
    let fault = certificate_fault(ca.verify_leaf(&[0x30; MAX_CERTIFICATE + 1], NOW));
    assert_eq!(fault, CertificateError::TooLong { len: 16_385, max: 16_384 });
}

#[test]
fn leaf_malformed() {
    let ca = TestCa::new();
    let mut longer = ca.issue(&p256(), |_| ());
    longer.push(0);
    let parsed = ca.parse().unwrap();
    for bad in [&b""[..], b"nonsense", &longer, &longer[..longer.len() - 2]] {
        let fault = certificate_fault(parsed.verify_leaf(bad, NOW));
        assert!(matches!(fault, CertificateError::Malformed { .. }), "{fault:?}");
    }
}

#[test]
fn leaf_of_an_old_version() {
    let ca = TestCa::new();
    let mut leaf = ca.issue(&p256(), |_| ());
    patch_last(&mut leaf, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 1]);
    assert_eq!(certificate_fault(ca.parse().unwrap().verify_leaf(&leaf, NOW)), CertificateError::Version);
}

#[test]
fn leaf_with_two_algorithms() {
    let ca = TestCa::new();
    let mut leaf = ca.issue(&p256(), |_| ());
    let oid = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    patch_last(&mut leaf, &[&oid[..], &[3]].concat(), &[&oid[..], &[2]].concat());
    let fault = certificate_fault(ca.parse().unwrap().verify_leaf(&leaf, NOW));
    assert_eq!(fault, CertificateError::AlgorithmMismatch);
}

#[test]
fn leaf_with_an_algorithm_that_the_mesh_does_not_use() {
    let foreign = TestCa::with(&PKCS_ED25519, |_| ());
    let leaf = foreign.issue(&p256(), |_| ());
    let fault = certificate_fault(TestCa::new().parse().unwrap().verify_leaf(&leaf, NOW));
    assert_eq!(fault, CertificateError::UnsupportedAlgorithm { oid: "1.3.101.112".into() });
}

#[test]
fn leaf_with_an_extension_twice() {
    let twice = CustomExtension::from_oid_content(&SECRET_ID, octet_string(b"another"));
    let fault = certificate_fault(TestCa::new().check(|leaf| leaf.custom_extensions.push(twice)));
    assert_eq!(fault, CertificateError::DuplicateExtension { oid: "1.3.9901.3.1".into() });
}

#[test]
fn leaf_with_an_unknown_critical_extension() {
    let mut unknown = CustomExtension::from_oid_content(&[1, 3, 9901, 7], vec![5, 0]);
    unknown.set_criticality(true);
    let fault = certificate_fault(TestCa::new().check(|leaf| leaf.custom_extensions.push(unknown)));
    assert_eq!(fault, CertificateError::UnknownCriticalExtension { oid: "1.3.9901.7".into() });
}

#[test]
fn an_unknown_extension_that_is_not_critical_is_ignored() {
    let unknown = CustomExtension::from_oid_content(&[1, 3, 9901, 2, 1, 7], vec![5, 0]);
    assert!(TestCa::new().check(|leaf| leaf.custom_extensions.push(unknown)).is_ok());
}

#[test]
fn leaf_with_a_malformed_extension() {
    let broken = CustomExtension::from_oid_content(&SECRET_ID, b"raw text".to_vec());
    let fault = certificate_fault(TestCa::new().check(|leaf| leaf.custom_extensions = vec![broken]));
    assert!(matches!(fault, CertificateError::MalformedExtension { oid, .. } if oid == "1.3.9901.3.1"));
}

#[test]
fn leaf_with_a_foreign_key_type() {
    let ca = TestCa::new();
    let leaf = ca.issue(&KeyPair::generate_for(&PKCS_ED25519).unwrap(), |_| ());
    let fault = certificate_fault(ca.parse().unwrap().verify_leaf(&leaf, NOW));
    assert_eq!(fault, CertificateError::PublicKey { source: PublicKeyError::Unsupported });
}

#[test]
fn leaf_of_another_issuer() {
    let other = TestCa::with(&PKCS_ECDSA_P384_SHA384, |ca| ca.distinguished_name = name("somebody"));
    let leaf = other.issue(&p256(), |_| ());
    assert_eq!(TestCa::new().parse().unwrap().verify_leaf(&leaf, NOW), Err(LeafError::Issuer));
}

#[test]
fn leaf_of_another_ca_with_the_same_name() {
    let leaf = TestCa::new().issue(&p256(), |_| ());
    let refused = TestCa::new().parse().unwrap().verify_leaf(&leaf, NOW);
    assert_eq!(refused, Err(LeafError::Signature { source: SignatureError::Wrong }));
}

#[test]
fn leaf_with_a_malformed_signature() {
    use x509_cert::der::Decode as _;
    let ca = TestCa::new();
    let mut leaf = ca.issue(&p256(), |_| ());
    let signature = x509_cert::Certificate::from_der(&leaf).unwrap().signature().raw_bytes().len();
    let start = leaf.len() - signature;
    leaf[start] = 0x31; // a SET where a SEQUENCE should be
    let refused = ca.parse().unwrap().verify_leaf(&leaf, NOW);
    assert_eq!(refused, Err(LeafError::Signature { source: SignatureError::Malformed }));
}

#[test]
fn leaf_out_of_its_time() {
    let ca = TestCa::new();
    let leaf = ca.issue(&p256(), |_| ());
    let parsed = ca.parse().unwrap();
    let (first, last) = (NOW.saturating_sub(HOUR), NOW.saturating_add(HOUR));
    assert!(parsed.verify_leaf(&leaf, first).is_ok());
    assert!(parsed.verify_leaf(&leaf, last).is_ok());
    let early = first.saturating_sub(1);
    assert_eq!(
        parsed.verify_leaf(&leaf, early),
        Err(LeafError::NotYetValid { not_before: first, now: early })
    );
    let late = last.saturating_add(1);
    assert_eq!(parsed.verify_leaf(&leaf, late), Err(LeafError::Expired { not_after: last, now: late }));
}

#[test]
fn leaf_under_a_ca_out_of_its_time() {
    let ca = TestCa::new();
    let leaf = ca.issue(&p256(), |leaf| {
        leaf.not_before = at(UnixTime(1));
        leaf.not_after = at(NOW.saturating_add(1000 * HOUR));
    });
    let parsed = ca.parse().unwrap();
    let (first, last) = parsed.validity();
    let late = last.saturating_add(1);
    assert_eq!(parsed.verify_leaf(&leaf, late), Err(LeafError::CaExpired { not_after: last, now: late }));
    let early = first.saturating_sub(1);
    assert_eq!(
        parsed.verify_leaf(&leaf, early),
        Err(LeafError::CaNotYetValid { not_before: first, now: early })
    );
}

#[test]
fn leaf_that_is_a_ca() {
    let refused = TestCa::new().check(|leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    assert_eq!(refused, Err(LeafError::IsCa));
}

#[test]
fn leaf_that_must_not_sign() {
    let refused = TestCa::new().check(|leaf| leaf.key_usages = vec![KeyUsagePurpose::KeyAgreement]);
    assert_eq!(refused, Err(LeafError::KeyUsage));
}

#[test]
fn leaf_for_one_side_only() {
    for purposes in
        [vec![], vec![ExtendedKeyUsagePurpose::ServerAuth], vec![ExtendedKeyUsagePurpose::ClientAuth]]
    {
        let refused = TestCa::new().check(|leaf| leaf.extended_key_usages = purposes);
        assert_eq!(refused, Err(LeafError::ExtendedKeyUsage));
    }
}

#[test]
fn leaf_without_a_name() {
    assert_eq!(TestCa::new().check(|leaf| leaf.subject_alt_names.clear()), Err(LeafError::NoName));
}

#[test]
fn leaf_with_a_name_of_another_kind() {
    let mail = SanType::Rfc822Name(Ia5String::try_from("a@b").unwrap());
    assert_eq!(
        TestCa::new().check(|leaf| leaf.subject_alt_names.push(mail)),
        Err(LeafError::UnsupportedName)
    );
}

#[test]
fn leaf_with_a_secret_id_that_is_no_text() {
    let bytes = CustomExtension::from_oid_content(&SECRET_ID, octet_string(&[0xff]));
    let refused = TestCa::new().check(|leaf| leaf.custom_extensions = vec![bytes]);
    assert_eq!(refused, Err(LeafError::WorkloadSecretId));
}

#[test]
fn no_changed_byte_passes() {
    let ca = TestCa::new();
    let leaf = ca.issue(&p256(), |_| ());
    let parsed = ca.parse().unwrap();
    for place in 0..leaf.len() {
        let mut changed = leaf.clone();
        changed[place] ^= 1;
        assert!(parsed.verify_leaf(&changed, NOW).is_err(), "byte {place}");
    }
}
