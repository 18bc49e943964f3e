use std::sync::OnceLock;

use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;
use crate::azure::fake;
use crate::signature::PublicKeyError;

const NONCE: &[u8] = b"nonce of ours";

fn key() -> &'static RsaKeyPair {
    static KEY: OnceLock<RsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
}

/// A machine whose parts fit; a test changes one and, where a signature lies over it, signs again.
struct Machine {
    platform: Platform,
    keys: Vec<serde_json::Value>,
    user_data: serde_json::Value,
    quote: Vec<u8>,
    pcrs: Vec<[u8; 32]>,
}

fn jwk(kid: &str) -> serde_json::Value {
    let components: PublicKeyComponents<Vec<u8>> = key().public_key().into();
    let modulus = URL_SAFE_NO_PAD.encode(components.n);
    serde_json::json!({ "kid": kid, "kty": "RSA", "key_ops": ["sign"], "e": "AQAB", "n": modulus })
}

impl Machine {
    fn new() -> Self {
        let pcrs = vec![[1; 32], [2; 32], [3; 32]];
        let quote = fake::quote(NONCE, [7, 0, 0], &Sha256::digest(pcrs.as_flattened()));
        let keys = vec![jwk("HCLAkPub"), jwk("HCLEkPub")];
        Self { platform: Platform::Snp, keys, user_data: "5a".repeat(64).into(), quote, pcrs }
    }

    fn runtime_data(&self) -> Vec<u8> {
        let configuration = serde_json::json!({ "secure-boot": true, "vmUniqueId": "7", "later": [] });
        serde_json::to_vec(&serde_json::json!({
            "keys": self.keys, "vm-configuration": configuration, "user-data": self.user_data, "later": 1
        }))
        .unwrap()
    }

    fn verify(&self) -> Result<Unanchored, VerifyError> {
        self.verify_hcl(&fake::hcl_report(self.platform, &self.runtime_data()))
    }

    fn verify_hcl(&self, hcl_report: &[u8]) -> Result<Unanchored, VerifyError> {
        let mut signature = vec![0; 256];
        let rng = aws_lc_rs::rand::SystemRandom::new();
        key().sign(&RSA_PKCS1_SHA256, &rng, &self.quote, &mut signature).unwrap();
        self.verify_signed(hcl_report, &signature)
    }

    fn verify_signed(&self, hcl_report: &[u8], signature: &[u8]) -> Result<Unanchored, VerifyError> {
        let evidence = Evidence { hcl_report, quote: &self.quote, signature, pcrs: &self.pcrs };
        verify(&evidence, &Nonce::try_from(NONCE).unwrap())
    }
}

/// Hardware evidence that somebody else verified.
struct Other(ReportData, Platform);

impl CarriesReportData for Other {
    fn report_data(&self) -> &ReportData {
        &self.0
    }
}

impl Hardware for Other {
    fn platform(&self) -> Platform {
        self.1
    }
}

#[test]
fn a_statement_counts_once_hardware_vouches_for_it() {
    for platform in [Platform::Snp, Platform::Tdx] {
        let machine = Machine { platform, ..Machine::new() };
        let statement = machine.verify().unwrap();
        assert_eq!(statement.snp_report().is_some(), platform == Platform::Snp);
        let expected = ReportData::of_digest(&Sha256::digest(machine.runtime_data()).into());
        assert_eq!(statement.report_data(), &expected);

        let hardware = Genuine::new(Other(expected, platform));
        let (_, vtpm) = statement.clone().anchored_in(hardware).unwrap();
        assert_eq!(vtpm.platform(), platform);
        assert_eq!(vtpm.pcrs().value(2), Some(&[3; 32]));
        assert_eq!(vtpm.pcrs().value(3), None);
        assert_eq!(vtpm.user_data(), Some(&[0x5a; 64]));
        let configuration = vtpm.configuration();
        assert_eq!(configuration.secure_boot, Some(true));
        assert_eq!(configuration.console_enabled, None);
        assert_eq!(configuration.vm_unique_id.as_deref(), Some("7"));

        // step 8: each byte of the report data counts, the zeros too
        for place in [0, 31, 32, 63] {
            let mut other = *expected.as_bytes();
            other[place] ^= 1;
            let hardware = Genuine::new(Other(other.into(), platform));
            let refused = AnchorError::ReportData { source: ReportDataMismatch };
            assert_eq!(statement.clone().anchored_in(hardware).err(), Some(refused));
        }
    }
}

/// The header that names the platform is under no signature: it must be what the genuine hardware is.
#[test]
fn step_8_platform() {
    for (declared, genuine) in [(Platform::Snp, Platform::Tdx), (Platform::Tdx, Platform::Snp)] {
        let statement = Machine { platform: declared, ..Machine::new() }.verify().unwrap();
        let hardware = Genuine::new(Other(*statement.report_data(), genuine));
        let refused = statement.anchored_in(hardware).err();
        assert_eq!(refused, Some(AnchorError::Platform { declared, genuine }));
    }
}

#[test]
fn step_1_hcl_report() {
    let error = Machine::new().verify_hcl(b"HCLB").unwrap_err();
    assert!(matches!(error, VerifyError::HclReport { source: HclError::Magic }), "{error:?}");
    assert_eq!(error.step(), Step::HclReport);
}

#[test]
fn step_2_runtime_data() {
    let machine = Machine::new();
    let whole = fake::hcl_report(Platform::Snp, &machine.runtime_data());
    // the digest in the report and the zeros behind it, and the first and last byte of the document
    let data = 32 + 1184 + 20;
    for place in [32 + 0x50, 32 + 0x50 + 31, 32 + 0x50 + 32, 32 + 0x50 + 63, data, whole.len() - 1] {
        let mut wrong = whole.clone();
        wrong[place] ^= 1;
        let error = machine.verify_hcl(&wrong).unwrap_err();
        assert!(matches!(error, VerifyError::RuntimeData), "{place}: {error:?}");
        assert_eq!(error.step(), Step::RuntimeData);
    }
}

#[track_caller]
fn key_error(machine: &Machine) -> KeyError {
    match machine.verify().unwrap_err() {
        VerifyError::AttestationKey { source } => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn step_3_attestation_key() {
    let with = |keys: Vec<serde_json::Value>| Machine { keys, ..Machine::new() };
    let changed = |member: &str, value: serde_json::Value| {
        let mut key = jwk("HCLAkPub");
        key[member] = value;
        with(vec![key])
    };
    let error = Machine::new().verify_hcl(&fake::hcl_report(Platform::Snp, b"no JSON")).unwrap_err();
    assert!(matches!(error, VerifyError::AttestationKey { source: KeyError::Json { .. } }), "{error:?}");
    assert_eq!(error.step(), Step::AttestationKey);

    assert!(matches!(key_error(&with(vec![jwk("HCLEkPub")])), KeyError::Count { count: 0 }));
    let twice = with(vec![jwk("HCLAkPub"), jwk("HCLAkPub")]);
    assert!(matches!(key_error(&twice), KeyError::Count { count: 2 }));
    let many = with(vec![jwk("HCLEkPub"); 9]);
    assert!(matches!(key_error(&many), KeyError::TooManyKeys { count: 9, max: 8 }));
    assert!(matches!(key_error(&changed("kty", "EC".into())), KeyError::Kind));
    assert!(matches!(key_error(&changed("e", "Aw".into())), KeyError::Kind));
    assert!(matches!(key_error(&changed("key_ops", serde_json::json!(["encrypt"]))), KeyError::Kind));
    assert!(matches!(key_error(&changed("n", "+/".into())), KeyError::Modulus { .. }));
    let short = changed("n", URL_SAFE_NO_PAD.encode([0xff; 128]).into());
    let source = PublicKeyError::RsaParameters { bits: 1024 };
    assert!(matches!(key_error(&short), KeyError::Key { source: why } if why == source));
    for user_data in ["5a", &"zz".repeat(64)] {
        let machine = Machine { user_data: user_data.into(), ..Machine::new() };
        assert!(matches!(key_error(&machine), KeyError::UserData));
    }
}

#[test]
fn step_4_quote() {
    let mut machine = Machine::new();
    machine.quote[0] = 0;
    let error = machine.verify().unwrap_err();
    let magic = QuoteError::Magic { value: 0x0054_4347 };
    assert!(matches!(&error, VerifyError::Quote { source } if *source == magic), "{error:?}");
    assert_eq!(error.step(), Step::Quote);
}

#[test]
fn step_5_signature() {
    let machine = Machine::new();
    let hcl = fake::hcl_report(Platform::Snp, &machine.runtime_data());
    for (signature, expected) in
        [(vec![0; 256], SignatureError::Wrong), (vec![1; 255], SignatureError::Malformed)]
    {
        let error = machine.verify_signed(&hcl, &signature).unwrap_err();
        assert!(matches!(error, VerifyError::Signature { source } if source == expected), "{error:?}");
        assert_eq!(error.step(), Step::Signature);
    }
}

#[test]
fn step_6_nonce() {
    let pcrs = Machine::new().pcrs;
    let digest = Sha256::digest(pcrs.as_flattened());
    for nonce in [&b""[..], b"nonce of our", b"nonce of oursx", b"Nonce of ours"] {
        let machine = Machine { quote: fake::quote(nonce, [7, 0, 0], &digest), ..Machine::new() };
        let error = machine.verify().unwrap_err();
        assert!(matches!(error, VerifyError::Nonce), "{error:?}");
        assert_eq!(error.step(), Step::Nonce);
    }
    for len in [0, 65] {
        assert_eq!(Nonce::try_from(&vec![1; len][..]).err(), Some(NonceLength { len }));
    }
}

#[test]
fn step_7_pcr_values() {
    for count in [0, 2, 4] {
        let machine = Machine { pcrs: vec![[1; 32]; count], ..Machine::new() };
        let error = machine.verify().unwrap_err();
        assert!(matches!(error, VerifyError::PcrCount { count: had } if had == count), "{error:?}");
        assert_eq!(error.step(), Step::PcrValues);
    }
    for place in 0..3 {
        let mut machine = Machine::new();
        machine.pcrs[place][31] ^= 1;
        let error = machine.verify().unwrap_err();
        assert!(matches!(error, VerifyError::PcrValues), "{error:?}");
        assert_eq!(error.step(), Step::PcrValues);
    }
}
