//! Azure's machines: the verdicts that the real evidence must get, and those of each change to it.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod tdx_cases;

use std::{fs, path::PathBuf};

use privatemode_attest::{
    Genuine, ReportDataMismatch, UnixTime,
    azure::{AnchorError, Evidence, KeyError, Nonce, Platform, QuoteError, Unanchored, VerifyError, verify},
    signature::SignatureError,
    snp, tdx,
};

/// The refusal of hardware that vouches for something else.
const OTHER: AnchorError = AnchorError::ReportData { source: ReportDataMismatch };

const CASES: [(&str, Platform); 4] = [
    ("snp/milan-v2-azure-vtpm", Platform::Snp),
    ("snp/milan-v3-azure-vtpm", Platform::Snp),
    ("snp/genoa-v3-azure-vtpm", Platform::Snp),
    ("tdx/azure-90c06f-2026-06", Platform::Tdx),
];

/// One machine's evidence.
#[derive(Clone)]
struct Case {
    name: &'static str,
    platform: Platform,
    folder: PathBuf,
    hcl_report: Vec<u8>,
    quote: Vec<u8>,
    signature: Vec<u8>,
    pcrs: Vec<[u8; 32]>,
    nonce: Vec<u8>,
}

impl Case {
    fn read(root: &std::path::Path, (name, platform): (&'static str, Platform)) -> Self {
        let folder = root.join(name);
        let file = |name: &str| fs::read(folder.join(name)).unwrap();
        let facts: serde_json::Value = serde_json::from_slice(&file("facts.json")).unwrap();
        let nonce = facts["facts"]["tpm_quote"]["extra_data"].as_str().unwrap();
        let pcrs: Vec<String> = serde_json::from_slice(&file("tpm_pcrs_sha256.json")).unwrap();
        Self {
            name,
            platform,
            hcl_report: file("hcl_report.bin"),
            quote: file("tpm_quote.msg"),
            signature: file("tpm_quote.sig"),
            pcrs: pcrs.iter().map(|pcr| hex::decode(pcr).unwrap().try_into().unwrap()).collect(),
            nonce: hex::decode(nonce).unwrap(),
            folder,
        }
    }

    fn verify(&self) -> Result<Unanchored, VerifyError> {
        let Self { hcl_report, quote, signature, pcrs, nonce, .. } = self;
        let evidence = Evidence { hcl_report, quote, signature, pcrs };
        verify(&evidence, &Nonce::try_from(&nonce[..]).unwrap())
    }

    /// The report data that the hardware signed.
    fn signed_report_data(&self) -> Vec<u8> {
        match self.platform {
            Platform::Snp => fs::read(self.folder.join("report.bin")).unwrap()[0x50..0x90].to_vec(),
            // header 48, then 520 into the body
            Platform::Tdx => fs::read(self.folder.join("quote.bin")).unwrap()[568..632].to_vec(),
        }
    }
}

/// All cases, if the real evidence is here.
fn cases() -> Vec<Case> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/evidence"));
    if root.is_dir() {
        return CASES.into_iter().map(|case| Case::read(&root, case)).collect();
    }
    #[expect(clippy::print_stderr, reason = "a test that was left out has to be seen")]
    {
        eprintln!("SKIPPED: there is no real evidence at {}", root.display());
    }
    Vec::new()
}

#[test]
fn real_machines_are_valid_and_name_what_their_hardware_signed() {
    for case in cases() {
        let statement = case.verify().unwrap();
        assert_eq!(statement.report_data().as_bytes()[..], case.signed_report_data(), "{}", case.name);
        match case.platform {
            Platform::Snp => {
                let report = fs::read(case.folder.join("report.bin")).unwrap();
                assert_eq!(statement.snp_report().unwrap()[..], report, "{}", case.name);
            }
            Platform::Tdx => assert_eq!(statement.snp_report(), None),
        }
    }
}

/// The hardware's own evidence, verified at a time at which it is valid.
fn snp_hardware(case: &Case, report: &[u8]) -> Result<Genuine<snp::Evidence>, snp::VerifyError> {
    let now = match case.name {
        "snp/milan-v2-azure-vtpm" => "2024-06-01T00:00:00Z",
        "snp/milan-v3-azure-vtpm" => "2026-01-15T00:00:00Z",
        _ => "2025-09-01T00:00:00Z",
    };
    let [vek, ask, ark] =
        ["vcek.der", "ask.pem", "ark.pem"].map(|name| fs::read(case.folder.join(name)).unwrap());
    let crl = fs::read(case.folder.join("amd_crl.der")).ok();
    let endorsement = snp::Endorsement { vek: &vek, ask: &ask, ark: &ark, crl: crl.as_deref(), crl_grace: 0 };
    snp::verify(report, &endorsement, &snp::Roots::embedded(), UnixTime::parse_rfc3339(now).unwrap())
}

fn tdx_hardware(name: &str, now: &str) -> Genuine<tdx::Evidence> {
    tdx_cases::Case::read(name).verify(UnixTime::parse_rfc3339(now).unwrap()).unwrap()
}

#[test]
fn a_statement_is_anchored_in_its_own_hardware_and_no_other() {
    for case in cases() {
        let statement = case.verify().unwrap();
        match case.platform {
            Platform::Snp => {
                let report = *statement.snp_report().unwrap();
                let hardware = snp_hardware(&case, &report).unwrap();
                let (hardware, vtpm) = statement.clone().anchored_in(hardware).unwrap();
                assert_eq!(hardware.report.vmpl, 0);
                assert_eq!(vtpm.pcrs().iter().count(), 24);
                assert_eq!(vtpm.configuration().secure_boot, Some(true));
            }
            Platform::Tdx => {
                let hardware = tdx_hardware("azure-90c06f-2026-06", "2026-06-15T00:00:00Z");
                let (_, vtpm) = statement.clone().anchored_in(hardware).unwrap();
                assert_eq!(vtpm.pcrs().value(0), Some(&case.pcrs[0]));
            }
        }
        // genuine, but of another machine
        let other = tdx_hardware("gcp-00806f-2025-12", "2026-02-01T00:00:00Z");
        assert_eq!(statement.anchored_in(other).err(), Some(OTHER), "{}", case.name);
    }
}

#[test]
fn another_nonce_is_refused() {
    for mut case in cases() {
        case.nonce[0] ^= 1;
        let error = case.verify().unwrap_err();
        assert!(matches!(error, VerifyError::Nonce), "{}: {error:?}", case.name);
    }
}

#[test]
fn another_machines_quote_is_refused() {
    let cases = cases();
    for case in &cases {
        for other in cases.iter().filter(|other| other.name != case.name) {
            let mixed =
                Case { quote: other.quote.clone(), signature: other.signature.clone(), ..case.clone() };
            let error = mixed.verify().unwrap_err();
            let wrong = matches!(error, VerifyError::Signature { source: SignatureError::Wrong });
            assert!(wrong, "{} with the quote of {}: {error:?}", case.name, other.name);
        }
    }
    if let Some(case) = cases.into_iter().find(|case| case.name == "snp/milan-v2-azure-vtpm") {
        let quote = fs::read(case.folder.join("wrong_vtpm_quote.msg")).unwrap();
        let signature = fs::read(case.folder.join("wrong_vtpm_quote.sig")).unwrap();
        let error = Case { quote, signature, ..case }.verify().unwrap_err();
        let wrong = matches!(error, VerifyError::Signature { source: SignatureError::Wrong });
        assert!(wrong, "{error:?}");
    }
}

#[test]
fn every_changed_byte_of_the_runtime_data_is_refused() {
    for case in cases() {
        let runtime_data = fs::read(case.folder.join("runtime_data.json")).unwrap();
        let start = 32 + 1184 + 20;
        assert_eq!(case.hcl_report[start..start + runtime_data.len()], runtime_data);
        for place in start..start + runtime_data.len() {
            let mut changed = case.clone();
            changed.hcl_report[place] ^= 1;
            let error = changed.verify().unwrap_err();
            assert!(matches!(error, VerifyError::RuntimeData), "{}, byte {place}: {error:?}", case.name);
        }
    }
}

#[test]
fn every_changed_pcr_is_refused() {
    for case in cases() {
        for pcr in 0..case.pcrs.len() {
            let mut changed = case.clone();
            changed.pcrs[pcr][0] ^= 1;
            let error = changed.verify().unwrap_err();
            assert!(matches!(error, VerifyError::PcrValues), "{}, PCR {pcr}: {error:?}", case.name);
        }
        let mut fewer = case;
        fewer.pcrs.pop();
        let error = fewer.verify().unwrap_err();
        assert!(matches!(error, VerifyError::PcrCount { count: 23 }), "{error:?}");
    }
}

#[test]
fn every_changed_byte_of_quote_and_signature_is_refused() {
    for case in cases() {
        for place in 0..case.quote.len() {
            let mut changed = case.clone();
            changed.quote[place] ^= 1;
            let error = changed.verify().unwrap_err();
            let refused = matches!(
                error,
                VerifyError::Signature { source: SignatureError::Wrong } | VerifyError::Quote { .. }
            );
            assert!(refused, "{}, byte {place}: {error:?}", case.name);
        }
        for place in 0..case.signature.len() {
            let mut changed = case.clone();
            changed.signature[place] ^= 1;
            let error = changed.verify().unwrap_err();
            assert!(matches!(error, VerifyError::Signature { .. }), "{}, byte {place}: {error:?}", case.name);
        }
    }
}

#[test]
fn runtime_data_that_nobody_signed_cannot_bring_its_own_key() {
    // An attacker writes a document with their key, and its digest into the report beside it. All is right in itself; only
    // the report data tells: it is not what the hardware signed.
    for case in cases() {
        let runtime_data = fs::read(case.folder.join("runtime_data.json")).unwrap();
        let mut changed = case.clone();
        let start = 32 + 1184 + 20;
        // another identifier of the machine, of the same length
        let at = start + runtime_data.windows(12).position(|w| w == b"\"vmUniqueId\"").unwrap() + 14;
        changed.hcl_report[at] = if changed.hcl_report[at] == b'0' { b'1' } else { b'0' };
        let digest = {
            use sha2::Digest as _;
            sha2::Sha256::digest(&changed.hcl_report[start..start + runtime_data.len()])
        };
        let place = 32 + if case.platform == Platform::Snp { 0x50 } else { 128 };
        changed.hcl_report[place..place + 32].copy_from_slice(&digest);
        let statement = changed.verify().unwrap();
        assert_ne!(statement.report_data().as_bytes()[..], case.signed_report_data(), "{}", case.name);
        match case.platform {
            Platform::Snp => {
                let report = *statement.snp_report().unwrap();
                let refused = snp_hardware(&case, &report).err().unwrap();
                assert_eq!(refused.step(), snp::Step::Signature, "{}: {refused:?}", case.name);
            }
            Platform::Tdx => {
                let hardware = tdx_hardware("azure-90c06f-2026-06", "2026-06-15T00:00:00Z");
                assert_eq!(statement.anchored_in(hardware).err(), Some(OTHER));
            }
        }
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let Some(case) = cases().into_iter().next() else { return };
    let cut = Case { quote: case.quote[..100].to_vec(), ..case };
    let error = cut.verify().unwrap_err();
    assert!(matches!(error, VerifyError::Quote { source: QuoteError::Truncated }), "{error:?}");
    assert_eq!(error.to_string(), "the TPM quote cannot be read");
    assert_eq!(
        KeyError::Count { count: 0 }.to_string(),
        "the HCL's runtime data names 0 keys `HCLAkPub` instead of one"
    );
}
