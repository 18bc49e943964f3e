//! The documented verdicts.

use privatemode_attest::gpu::measurements::{MeasurementError, RimRole};
use privatemode_attest::gpu::ocsp::{self, CertStatus, Freshness, OcspError, SentNonce};
use privatemode_attest::gpu::rim::{RimError, RimSignatureError};
use privatemode_attest::gpu::{
    AppraisalError, Architecture, Bundle, ChainError, Component, ComponentState, Nonce, OcspPolicy, Roots,
    Step, Unanswered, VerifyError,
};
use privatemode_attest::x509::{PathError, ValidityError};

use crate::case::{
    Case, DRIVER_RIM, SAMPLE_NONCE, SWITCH_RIM, SWITCH_TIME, VBIOS_RIM, WITHOUT_OCSP, at, folder, nonce,
    policy, verify_rim,
};

fn good(component: Component) -> ComponentState {
    ComponentState { component, status: CertStatus::Good, position: None, unanswered: None }
}

#[test]
fn h100_complete_is_valid_with_ocsp_of_the_gpu_chain() {
    let Some(case) = Case::complete() else { return };
    let now = "2025-08-21T12:00:00Z";
    let ocsp = case.ocsp();
    let run =
        |ocsp_policy| case.appraise(Some(DRIVER_RIM), Some(VBIOS_RIM), &ocsp, &policy(ocsp_policy), now);
    let appraised = run(OcspPolicy::ALLOW_UNKNOWN).unwrap();
    assert_eq!(appraised.compared().equal(), 32);
    assert_eq!(appraised.compared().skipped(), [35]);
    assert_eq!(appraised.states()[0], good(Component::Gpu));
    // the RIM signers' responses are two months younger
    let from = at("2025-10-24T11:32:22Z");
    let unknown = ComponentState {
        component: Component::Vbios,
        status: CertStatus::Unknown,
        position: Some(0),
        unanswered: Some(Unanswered::OutOfTime(OcspError::NotYetValid { from })),
    };
    assert_eq!(appraised.states()[1], unknown);
    let refused = run(OcspPolicy::REQUIRE_GOOD).unwrap_err();
    assert_eq!(refused.step(), Step::Revocation);
    assert_eq!(refused, AppraisalError::NotGood { state: unknown });
}

#[test]
fn h100_complete_is_valid_with_ocsp_of_the_rim_chains() {
    let Some(case) = Case::complete() else { return };
    let (now, ocsp) = ("2025-10-24T18:00:00Z", case.ocsp());
    let run =
        |ocsp_policy| case.appraise(Some(DRIVER_RIM), Some(VBIOS_RIM), &ocsp, &policy(ocsp_policy), now);
    let appraised = run(OcspPolicy::ALLOW_UNKNOWN).unwrap();
    assert_eq!(appraised.states()[1..], [good(Component::Vbios), good(Component::Driver)]);
    let since = at("2025-08-22T06:47:07Z");
    let state = ComponentState {
        component: Component::Gpu,
        status: CertStatus::Unknown,
        position: Some(1),
        unanswered: Some(Unanswered::OutOfTime(OcspError::Stale { since })),
    };
    assert_eq!(run(OcspPolicy::REQUIRE_GOOD).unwrap_err(), AppraisalError::NotGood { state });
    // a grace of 64 days makes all seven count
    let grace = OcspPolicy { response_grace: 64 * 86_400, ..OcspPolicy::REQUIRE_GOOD };
    let all = [Component::Gpu, Component::Vbios, Component::Driver].map(good);
    assert_eq!(run(grace).unwrap().states(), all);
}

#[test]
fn h100_complete_without_ocsp_is_valid_only_if_unknown_is_allowed() {
    let Some(case) = Case::complete() else { return };
    let run = |ocsp: &[Vec<u8>], ocsp_policy| {
        case.appraise(Some(DRIVER_RIM), Some(VBIOS_RIM), ocsp, &policy(ocsp_policy), WITHOUT_OCSP)
    };
    assert_eq!(run(&[], OcspPolicy::ALLOW_UNKNOWN).unwrap().compared().equal(), 32);
    let state = ComponentState {
        component: Component::Gpu,
        status: CertStatus::Unknown,
        position: Some(1),
        unanswered: Some(Unanswered::NoResponse),
    };
    assert_eq!(run(&[], OcspPolicy::REQUIRE_GOOD).unwrap_err(), AppraisalError::NotGood { state });
    assert!(matches!(
        run(&case.ocsp(), OcspPolicy::REQUIRE_GOOD).unwrap_err(),
        AppraisalError::NotGood { state: ComponentState { unanswered: Some(Unanswered::OutOfTime(_)), .. } }
    ));
}

#[test]
fn h100_complete_is_invalid_when_a_rim_signer_has_expired() {
    let Some(case) = Case::complete() else { return };
    let now = "2026-03-01T00:00:00Z";
    let expired = |until| {
        let source = ValidityError::Expired { until: at(until) };
        RimError::Chain(ChainError::Path(PathError::Validity { index: 0, source }))
    };
    assert_eq!(case.rim(VBIOS_RIM, now).unwrap_err(), expired("2026-02-22T23:17:58Z"));
    assert!(case.rim(DRIVER_RIM, now).is_ok());
    assert_eq!(case.rim(DRIVER_RIM, "2026-06-02T00:00:00Z").unwrap_err(), expired("2026-06-01T02:08:29Z"));
    // one that was verified before does not live longer
    let (driver, vbios) =
        (case.rim(DRIVER_RIM, WITHOUT_OCSP).unwrap(), case.rim(VBIOS_RIM, WITHOUT_OCSP).unwrap());
    let collateral =
        privatemode_attest::gpu::Collateral { driver: Some(&driver), vbios: Some(&vbios), ocsp: &[] };
    let device = case.verify(now).unwrap();
    let policy = policy(OcspPolicy::ALLOW_UNKNOWN);
    let refused = privatemode_attest::gpu::appraise(device, &collateral, &policy, at(now)).unwrap_err();
    assert!(matches!(refused, AppraisalError::RimOutOfDate { role: RimRole::Vbios, .. }));
}

#[test]
fn h100_complete_is_invalid_for_any_other_nonce() {
    let Some(mut case) = Case::complete() else { return };
    let found = case.nonce;
    case.nonce = Nonce([0; 32]);
    let refused = case.verify(WITHOUT_OCSP).unwrap_err();
    assert_eq!(refused.step(), Step::Nonce);
    assert_eq!(refused, VerifyError::Nonce { expected: case.nonce, found });
}

#[test]
fn h100_complete_is_invalid_with_the_bad_chains() {
    let Some(mut case) = Case::complete() else { return };
    case.chain = case.read("bad_chain_root_only.pem");
    let length = ChainError::Length { found: 1, least: 4, most: 5 };
    assert_eq!(case.verify(WITHOUT_OCSP).unwrap_err(), VerifyError::Chain(length));
    case.chain = case.read("bad_chain_Provisioner_ICA_missing.pem");
    let refused = case.verify(WITHOUT_OCSP).unwrap_err();
    let VerifyError::Chain(ChainError::Path(PathError::Issue { index: 1, .. })) = refused else {
        panic!("{refused:?}")
    };
    case.chain = case.read("bad_chain_leaf_missing.pem");
    assert_eq!(case.verify(WITHOUT_OCSP).unwrap_err(), VerifyError::Chain(ChainError::LeafIsAuthority));
}

/// Each of the seven responses counts for its own certificate at its own time.
#[test]
fn every_ocsp_response_is_good_in_its_time() {
    let Some(case) = Case::complete() else { return };
    let device = case.verify(WITHOUT_OCSP).unwrap();
    let rims = [DRIVER_RIM, VBIOS_RIM].map(|file| case.rim(file, WITHOUT_OCSP).unwrap());
    let gpu = device.chain().pairs();
    let pairs: Vec<_> = gpu.chain(rims.iter().flat_map(|rim| rim.chain().pairs())).collect();
    for response in case.ocsp() {
        let about: Vec<_> =
            pairs.iter().filter(|(subject, issuer)| ocsp::answers(&response, subject, issuer)).collect();
        let (subject, issuer) = about.first().expect("each response is about one of the certificates");
        let verify = |now| ocsp::verify(&response, subject, issuer, SentNonce::None, 0, now);
        let times = ["2025-08-21T12:00:00Z", "2025-10-24T18:00:00Z"].map(at);
        let right: Vec<_> = times.iter().filter_map(|now| verify(*now).ok()).collect();
        assert_eq!(right.len(), 1);
        assert_eq!((right[0].status(), right[0].freshness()), (CertStatus::Good, Freshness::Fresh));
        let next = right[0].next_update();
        assert!(verify(next).is_ok());
        assert_eq!(verify(next.saturating_add(1)).unwrap_err(), OcspError::Stale { since: next });
        let this = right[0].this_update();
        let before = verify(this.saturating_sub(1)).unwrap_err();
        assert_eq!(before, OcspError::NotYetValid { from: this });
        // none carries a nonce
        let asked = ocsp::verify(&response, subject, issuer, SentNonce::Sent(&[0; 32]), 0, this);
        assert_eq!(asked.unwrap_err(), OcspError::Nonce);
    }
}

#[test]
fn the_other_h100_is_genuine_but_its_driver_rim_is_missing() {
    let nonce = "5bb22e377702d4e1e8215a903ba094826b9ac7f731dee1fe8102958bf2840aca";
    let Some(case) = Case::open("h100-580.159.03", nonce) else { return };
    let policy = policy(OcspPolicy::ALLOW_UNKNOWN);
    let refused = case.appraise(None, None, &[], &policy, "2026-06-01T00:00:00Z").unwrap_err();
    let AppraisalError::RimMissing { id } = refused else { panic!("{refused:?}") };
    assert_eq!(id.as_str(), "NV_GPU_DRIVER_GH100_580.159.03");
    // with the RIM of 2023: another value at index 9
    let now = "2024-06-01T00:00:00Z";
    let vbios = case.rim("rims/NV_GPU_VBIOS_1010_0205_862_9600740020_2023.xml", now).unwrap();
    let device = case.verify(now).unwrap();
    assert_eq!(device.vbios_rim_id().unwrap().as_str(), "NV_GPU_VBIOS_1010_0205_862_9600740020");
    let differs = privatemode_attest::gpu::measurements::compare(&device, None, &vbios).unwrap_err();
    let expected =
        MeasurementError::Differs { index: 9, role: RimRole::Vbios, name: "Measurement_9".to_owned() };
    assert_eq!(differs, expected);
}

#[test]
fn the_bad_signature_is_refused() {
    let Some(case) = Case::open("h100-560.00-bad-signature", SAMPLE_NONCE) else { return };
    for now in ["2024-06-01T00:00:00Z", "2026-06-01T00:00:00Z"] {
        assert_eq!(case.verify(now).unwrap_err(), VerifyError::Signature);
    }
}

#[test]
fn blackwell_is_genuine_but_its_rims_are_missing() {
    let Some(case) = Case::open("blackwell-575.32", SAMPLE_NONCE) else { return };
    let now = "2026-01-01T00:00:00Z";
    let device = case.verify(now).unwrap();
    assert_eq!((device.architecture(), device.chip()), (Architecture::Blackwell, "GB100"));
    assert_eq!(device.vbios_rim_id().unwrap().as_str(), "NV_GPU_VBIOS_G525_0220_886_970088000F");
    let refused = case.appraise(None, None, &[], &policy(OcspPolicy::ALLOW_UNKNOWN), now).unwrap_err();
    let AppraisalError::RimMissing { id } = refused else { panic!("{refused:?}") };
    assert_eq!(id.as_str(), "NV_GPU_CC_DRIVER_GB100_575.32");
}

#[test]
fn the_switch_is_valid_with_31_measurements() {
    let Some(case) = Case::switch() else { return };
    let policy = policy(OcspPolicy::ALLOW_UNKNOWN);
    let appraised = case.appraise(None, Some(SWITCH_RIM), &[], &policy, SWITCH_TIME).unwrap();
    assert_eq!(appraised.compared().equal(), 31);
    let id = appraised.device().vbios_rim_id().unwrap();
    assert_eq!(id.as_str(), "NV_SWITCH_BIOS_5612_0002_890_9610550001");
    assert_eq!(appraised.device().driver_rim_id(), None);
}

#[test]
fn the_switch_is_invalid_before_its_rim_signer() {
    let Some(case) = Case::switch() else { return };
    let now = "2026-05-01T00:00:00Z";
    case.verify(now).unwrap();
    let refused = case.rim(SWITCH_RIM, now).unwrap_err();
    let RimError::Chain(ChainError::Path(PathError::Validity { index: 0, source })) = refused else {
        panic!("{refused:?}")
    };
    let ValidityError::NotYetValid { from } = source else { panic!("{source:?}") };
    assert!(from.to_string().starts_with("2026-05-20T"), "{from}");
}

#[test]
fn the_rim_samples_get_their_verdicts() {
    let Some(folder) = folder() else { return };
    let rim = |name: &str, now| {
        verify_rim(&std::fs::read(folder.join("rim-samples/rims").join(name)).unwrap(), now)
    };
    let now = "2025-06-01T00:00:00Z";
    let valid = rim("NV_GPU_DRIVER_GH100_550.144.03.xml", now).unwrap();
    assert_eq!(valid.rim().version, "550.144.03");
    for now in [now, "2026-06-01T00:00:00Z"] {
        let pinned = "NVIDIA CoRIM signing Root CA".to_owned();
        let debug_root = rim("incorrect_cert_chain_driver_rim.xml", now).unwrap_err();
        assert_eq!(debug_root, RimError::Chain(ChainError::Root { pinned }));
        assert_eq!(rim("incorrect_signature_driver_rim.xml", now).unwrap_err(), RimError::Signature);
    }
}

#[test]
fn the_vbios_rims_of_2023_are_valid_until_their_signers_expired() {
    let Some(folder) = folder() else { return };
    let mut seen = 0;
    for file in std::fs::read_dir(folder.join("vbios-rims-2023/rims")).unwrap() {
        let path = file.unwrap().path();
        let xml = std::fs::read(&path).unwrap();
        let rim = verify_rim(&xml, "2024-06-01T00:00:00Z").unwrap();
        // the file's name ends in the version without dots
        let version = rim.rim().version.replace('.', "");
        assert!(path.to_string_lossy().contains(&version), "{}", path.display());
        let late = verify_rim(&xml, "2025-12-01T00:00:00Z").unwrap_err();
        let RimError::Chain(ChainError::Path(PathError::Validity { index: 0, source })) = late else {
            panic!("{late:?}")
        };
        assert!(matches!(source, ValidityError::Expired { .. }));
        seen += 1;
    }
    assert_eq!(seen, 24);
}

#[test]
fn the_eight_gpus_and_four_switches_are_genuine() {
    let Some(folder) = folder() else { return };
    let nonce = nonce("4760e30534a0621357d458b1a7936551b5dc4cd1e69718adf7ed9fb0252a537e");
    for (name, count) in [("h100-590.12-eight-ppcie", 8), ("ls10-switch-four", 4)] {
        let json = std::fs::read(folder.join(name).join("evidence.json")).unwrap();
        let bundle = Bundle::from_nvidia_list(&json).unwrap();
        assert_eq!(bundle.devices.len(), count);
        let now = at("2026-01-01T00:00:00Z");
        bundle.verify_devices(&vec![nonce; count], &Roots::embedded(), now).unwrap();
        assert_eq!(Bundle::parse(bundle.to_json().as_bytes()).unwrap(), bundle);
    }
}

/// The digest is checked before anything else of the signature, as the reason of a changed document.
#[test]
fn a_changed_golden_value_is_a_wrong_digest() {
    let Some(case) = Case::complete() else { return };
    let text = String::from_utf8(case.read(DRIVER_RIM)).unwrap();
    let changed = text.replacen("Hash0=\"80161aac", "Hash0=\"90161aac", 1);
    assert_ne!(changed, text);
    let refused = verify_rim(changed.as_bytes(), WITHOUT_OCSP).unwrap_err();
    assert_eq!(refused, RimError::Envelope(RimSignatureError::Digest));
}
