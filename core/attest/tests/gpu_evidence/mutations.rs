//! The documented mutations of valid cases: each is refused, for the right reason.

use privatemode_attest::gpu::measurements::RimRole;
use privatemode_attest::gpu::ocsp::{self, OcspError, SentNonce};
use privatemode_attest::gpu::rim::{RimError, RimSignatureError};
use privatemode_attest::gpu::{AppraisalError, ChainError, Nonce, OcspPolicy, ReportError, VerifyError};
use privatemode_attest::x509::PathError;

use crate::case::{
    Case, DRIVER_RIM, SAMPLE_NONCE, SWITCH_RIM, VBIOS_RIM, WITHOUT_OCSP, at, policy, verify_rim,
};

/// Flips the lowest bit of one byte.
fn flipped(at: usize) -> Option<Case> {
    let mut case = Case::complete()?;
    case.evidence[at] ^= 1;
    Some(case)
}

#[test]
fn a_flipped_nonce_is_another_nonce_and_unsigned() {
    for byte in 4..36 {
        let Some(mut case) = flipped(byte) else { return };
        assert!(matches!(case.verify(WITHOUT_OCSP), Err(VerifyError::Nonce { .. })), "{byte}");
        let Nonce(mut nonce) = case.nonce;
        nonce[byte - 4] ^= 1;
        case.nonce = Nonce(nonce);
        assert_eq!(case.verify(WITHOUT_OCSP).unwrap_err(), VerifyError::Signature, "{byte}");
    }
}

#[test]
fn flips_in_measurement_version_and_signature_break_the_signature() {
    let Some(case) = Case::complete() else { return };
    let version = case.evidence.windows(9).position(|window| window == b"550.90.07").unwrap();
    for byte in [52, version, case.evidence.len() - 1] {
        let case = flipped(byte).unwrap();
        assert_eq!(case.verify(WITHOUT_OCSP).unwrap_err(), VerifyError::Signature, "{byte}");
    }
}

#[test]
fn wrong_counts_and_lengths_are_malformed() {
    let Some(case) = Case::complete() else { return };
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut case = case.clone();
        change(&mut case.evidence);
        match case.verify(WITHOUT_OCSP) {
            Err(VerifyError::Report(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(with(&|bytes| bytes[41] = 63), ReportError::Record { blocks: 63, left: 55 });
    let record = with(&|bytes| bytes[42..45].fill(0xFF));
    assert!(matches!(record, ReportError::Truncated { part: "measurement record", need: 0xFF_FFFF, .. }));
    assert!(matches!(
        with(&|bytes| {
            bytes.pop();
        }),
        ReportError::Truncated { part: "signature", need: 96, have: 95 }
    ));
    assert_eq!(with(&|bytes| bytes.push(1)), ReportError::Trailing { len: 1 });
    assert_eq!(with(&|bytes| bytes.extend([0, 0])), ReportError::Trailing { len: 2 });
}

#[test]
fn one_trailing_nul_is_tolerated() {
    let Some(mut case) = Case::complete() else { return };
    case.evidence.push(0);
    case.verify(WITHOUT_OCSP).unwrap();
}

#[test]
fn another_devices_chain_does_not_fit() {
    let Some(mut case) = Case::complete() else { return };
    for other in ["h100-580.159.03", "h100-560.00-bad-signature", "blackwell-575.32", "ls10-switch"] {
        case.chain = Case::open(other, SAMPLE_NONCE).unwrap().chain;
        assert_eq!(case.verify("2026-01-01T00:00:00Z").unwrap_err(), VerifyError::Signature, "{other}");
    }
}

/// The chain in parts, each with its line break.
fn parts(chain: &[u8]) -> Vec<String> {
    let text = String::from_utf8(chain.to_vec()).unwrap();
    text.split_inclusive("-----END CERTIFICATE-----")
        .map(str::to_owned)
        .filter(|part| part.len() > 9)
        .collect()
}

#[test]
fn intermediates_may_not_be_missing_reordered_or_exchanged() {
    let Some(mut case) = Case::complete() else { return };
    let certificates = parts(&case.chain);
    assert_eq!(certificates.len(), 5);
    for missing in 1..4 {
        let mut some = certificates.clone();
        some.remove(missing);
        case.chain = some.concat().into_bytes();
        let refused = case.verify(WITHOUT_OCSP).unwrap_err();
        let VerifyError::Chain(ChainError::Path(PathError::Issue { index, .. })) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(index, missing - 1);
    }
    let mut swapped = certificates.clone();
    swapped.swap(1, 2);
    case.chain = swapped.concat().into_bytes();
    assert!(matches!(
        case.verify(WITHOUT_OCSP).unwrap_err(),
        VerifyError::Chain(ChainError::Path(PathError::Issue { index: 0, .. }))
    ));
    let rim_root = case.folder.join("../roots/rim_signing_root_ca.pem");
    let mut other_root = certificates.clone();
    other_root[4] = format!("\n{}", std::fs::read_to_string(rim_root).unwrap());
    case.chain = other_root.concat().into_bytes();
    let pinned = "NVIDIA Device Identity CA".to_owned();
    assert_eq!(case.verify(WITHOUT_OCSP).unwrap_err(), VerifyError::Chain(ChainError::Root { pinned }));
    let mut twice = certificates;
    twice.insert(1, twice[1].clone());
    case.chain = twice.concat().into_bytes();
    assert!(matches!(case.verify(WITHOUT_OCSP).unwrap_err(), VerifyError::Chain(ChainError::Parse(_))));
}

#[test]
fn exchanged_rims_and_other_versions_are_refused() {
    let Some(case) = Case::complete() else { return };
    let policy = policy(OcspPolicy::ALLOW_UNKNOWN);
    let refused = case.appraise(Some(VBIOS_RIM), Some(DRIVER_RIM), &[], &policy, WITHOUT_OCSP).unwrap_err();
    let AppraisalError::OtherRim { role: RimRole::Driver, version, needed_version, .. } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((version.as_str(), needed_version.as_str()), ("96.00.9F.00.01", "550.90.07"));
    let other = "../rim-samples/rims/NV_GPU_DRIVER_GH100_550.144.03.xml";
    let refused = case.appraise(Some(other), Some(VBIOS_RIM), &[], &policy, WITHOUT_OCSP).unwrap_err();
    assert!(matches!(refused, AppraisalError::OtherRim { role: RimRole::Driver, .. }), "{refused:?}");
    let switch = format!("../ls10-switch/{SWITCH_RIM}");
    let now = "2026-05-21T00:00:00Z";
    let refused = case.appraise(Some(DRIVER_RIM), Some(&switch), &[], &policy, now).unwrap_err();
    assert!(matches!(refused, AppraisalError::OtherRim { role: RimRole::Vbios, .. }), "{refused:?}");
}

/// The signed document moves into a wrapper, a changed one takes its place: whatever is read is what is hashed, so each is refused.
#[test]
fn signature_wrapping_is_refused() {
    let Some(case) = Case::complete() else { return };
    let text = String::from_utf8(case.read(DRIVER_RIM)).unwrap();
    let forged = text.replace("Hash0=\"80161aac", "Hash0=\"90161aac");
    let (start, end) = (text.find("<ds:Signature ").unwrap(), text.find("</ds:Signature>").unwrap() + 15);
    let signature = &text[start..end];
    let forged_unsigned = forged.replace(signature, "");
    let count = |found| RimError::Envelope(RimSignatureError::Count { found });
    let refused = |document: &str| verify_rim(document.as_bytes(), WITHOUT_OCSP).unwrap_err();

    // the forged document around the genuine one
    let around = forged_unsigned.replace("</SoftwareIdentity>", &format!("{text}</SoftwareIdentity>"));
    assert_eq!(refused(&around), count(1));
    // both signed by the same signature
    let both = forged.replace("</SoftwareIdentity>", &format!("{text}</SoftwareIdentity>"));
    assert_eq!(refused(&both), count(2));
    // a neutral wrapper around both
    assert_eq!(refused(&format!("<wrapper>{text}{forged_unsigned}</wrapper>")), count(1));
    // the genuine one hidden in the signature itself
    let object = format!(
        "<ds:Object xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">{}</ds:Object>",
        text.replace(signature, "")
    );
    let inside = forged.replace("</ds:KeyInfo>", &format!("</ds:KeyInfo>{object}"));
    let structure = RimSignatureError::Structure { element: "Signature" };
    assert_eq!(refused(&inside), RimError::Envelope(structure));
    // a reference to a part by its identifier
    let part = text.replace("<ds:Reference URI=\"\">", "<ds:Reference URI=\"#x\">");
    assert_eq!(refused(&part), RimError::Envelope(RimSignatureError::Reference));
    // two documents
    assert!(matches!(refused(&format!("{text}{forged_unsigned}")), RimError::Xml(_)));
}

#[test]
fn a_rim_may_not_be_decorated() {
    let Some(case) = Case::complete() else { return };
    let text = String::from_utf8(case.read(DRIVER_RIM)).unwrap();
    let refused = |document: &str| verify_rim(document.as_bytes(), WITHOUT_OCSP).unwrap_err();
    // what canonicalisation would drop
    for decoration in ["<!--c-->", "<?p?>"] {
        let document = text.replacen("<ns0:Payload", &format!("{decoration}<ns0:Payload"), 1);
        assert!(matches!(refused(&document), RimError::Xml(_)));
        assert!(matches!(refused(&format!("{decoration}{text}")), RimError::Xml(_)));
    }
    let doctype = format!("<!DOCTYPE SoftwareIdentity [<!ENTITY x \"y\">]>{text}");
    assert!(matches!(refused(&doctype), RimError::Xml(_)));
    // what it does not change: quotes, order and space of attributes, empty elements, space around the document
    let same =
        text.replacen("corpus=\"false\" name=\"GH100\"", "name='GH100'  \n corpus = \"false\"", 1).replacen(
            "role=\"softwareCreator tagCreator\"/>",
            "role=\"softwareCreator tagCreator\"></ns0:Entity >",
            1,
        );
    assert_ne!(same, text);
    verify_rim(format!("\n {same}\n").as_bytes(), WITHOUT_OCSP).unwrap();
    // a second payload
    let payload = text.replacen("<ns0:Payload", "<ns0:Payload/><ns0:Payload", 1);
    assert_eq!(refused(&payload), RimError::Envelope(RimSignatureError::Digest));
}

#[test]
fn an_ocsp_response_of_another_certificate_or_time_or_content_is_not_good() {
    let Some(case) = Case::complete() else { return };
    let device = case.verify(WITHOUT_OCSP).unwrap();
    let pairs: Vec<_> = device.chain().pairs().collect();
    let now = at("2025-08-21T12:00:00Z");
    let response = case.read("ocsp/gpu_certificate_l3.der");
    let verify = |response: &[u8], pair: usize, now| {
        let (subject, issuer) = pairs[pair];
        ocsp::verify(response, subject, issuer, SentNonce::None, 0, now)
    };
    verify(&response, 2, now).unwrap();
    for other in [0, 1, 3] {
        assert_eq!(verify(&response, other, now).unwrap_err(), OcspError::OtherCertificate);
    }
    let late = verify(&response, 2, at("2025-08-23T00:00:00Z")).unwrap_err();
    assert!(matches!(late, OcspError::Stale { .. }));
    let mut flipped = response;
    let produced = flipped.windows(4).position(|window| window == b"2025").unwrap();
    flipped[produced + 3] ^= 1;
    assert_eq!(verify(&flipped, 2, now).unwrap_err(), OcspError::Signature);
}
