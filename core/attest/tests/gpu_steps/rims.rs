//! Steps 5 to 7: versions, RIMs, measurements.

use privatemode_attest::gpu::measurements::{MeasurementError, RimRole};
use privatemode_attest::gpu::rim::{self, RimError, RimSignatureError, SwidError};
use privatemode_attest::gpu::{AppraisalError, ChainError, Step, Versions};
use privatemode_attest::x509::{IssueError, PathError};
use privatemode_test_pki::nvidia::{Device, Family, Opaque, Rim};
use privatemode_test_pki::{Extension, Key};

use crate::set::{DRIVER_GOLDEN, NONCE, NOW, Set, driver_rim, roots, vbios_rim, verified};

fn refused(break_it: impl FnOnce(&mut Set)) -> AppraisalError {
    let mut set = Set::of_gpu();
    break_it(&mut set);
    set.appraise().unwrap_err()
}

fn rim_refused(break_it: impl FnOnce(&mut Rim)) -> RimError {
    let mut rim = driver_rim();
    break_it(&mut rim);
    rim::verify(rim.encode().as_bytes(), &roots(), NOW).unwrap_err()
}

/// Changes signed text, and signs again.
fn replaced(from: &str, to: &str) -> RimError {
    rim_refused(|rim| {
        let (body, info) = (rim.body.clone(), rim.signed_info.clone());
        rim.body = body.replacen(from, to, 1);
        rim.signed_info = info.replacen(from, to, 1);
        assert!(rim.body != body || rim.signed_info != info, "the change must change something");
    })
}

#[test]
fn a_good_gpu_and_a_good_switch_pass() {
    let appraised = Set::of_gpu().appraise().unwrap();
    assert_eq!(appraised.compared().equal(), 3);
    let appraised = Set::of_switch(Device::new(Family::Ls10, 1, NONCE)).appraise().unwrap();
    assert_eq!(appraised.compared().equal(), 1);
    assert_eq!(appraised.states().len(), 2);
}

#[test]
fn step_5_versions_must_be_allowed() {
    let only = |version: &str| Versions::OneOf(vec![version.to_owned()]);
    let error = refused(|set| set.policy.drivers = only("550.90.08"));
    assert_eq!(error.step(), Step::Versions);
    let version = "550.90.07".to_owned();
    assert_eq!(error, AppraisalError::VersionNotAllowed { role: RimRole::Driver, version });
    let error = refused(|set| set.policy.vbios = only("96.00.9F.00.02"));
    let version = "96.00.9F.00.01".to_owned();
    assert_eq!(error, AppraisalError::VersionNotAllowed { role: RimRole::Vbios, version });
    let mut allowed = Set::of_gpu();
    allowed.policy.drivers = only("550.90.07");
    allowed.policy.vbios = only("96.00.9f.00.01");
    allowed.appraise().unwrap();
}

#[test]
fn step_5_versions_must_be_reported() {
    for (field, role) in [
        (Opaque::DriverVersion, RimRole::Driver),
        (Opaque::VbiosVersion, RimRole::Vbios),
        (Opaque::Project, RimRole::Vbios),
        (Opaque::ProjectSku, RimRole::Vbios),
        (Opaque::ChipSku, RimRole::Vbios),
    ] {
        let error = refused(|set| set.device.report.remove(field));
        assert_eq!(error, AppraisalError::VersionMissing { role }, "{field:?}");
    }
}

#[test]
fn step_6_rims_must_be_there() {
    for (driver, name) in
        [(true, "NV_GPU_DRIVER_GH100_550.90.07"), (false, "NV_GPU_VBIOS_1010_0200_882_96009F0001")]
    {
        let error = refused(|set| if driver { set.driver = None } else { set.vbios = None });
        assert_eq!(error.step(), Step::Rims);
        let AppraisalError::RimMissing { id } = error else { panic!("{error:?}") };
        assert_eq!(id.as_str(), name);
    }
}

#[test]
fn step_6_rims_must_be_those_of_the_device() {
    for (product, edition, version) in
        [("GB100", "GPU", "550.90.07"), ("GH100", "SWITCH", "550.90.07"), ("GH100", "GPU", "550.90.08")]
    {
        let error = refused(|set| set.driver = Some(Rim::new(product, edition, version, DRIVER_GOLDEN)));
        assert!(matches!(error, AppraisalError::OtherRim { role: RimRole::Driver, .. }), "{error:?}");
    }
    let error = refused(|set| set.vbios = Some(driver_rim()));
    assert!(matches!(error, AppraisalError::OtherRim { role: RimRole::Vbios, .. }), "{error:?}");
}

#[test]
fn step_6_a_chip_with_its_own_name_has_its_own_driver_rim() {
    let mut device = Device::new(Family::Blackwell, 1, NONCE);
    device.report.set(Opaque::ChipInfo, b"GB20X\0");
    let device = crate::set::verify(&device).unwrap();
    assert_eq!(device.driver_rim_id().unwrap().as_str(), "NV_GPU_CC_DRIVER_GB20X_550.90.07");
}

#[test]
fn step_6_rims_must_be_nvidias() {
    let pinned = "Test CoRIM signing Root CA".to_owned();
    let error = rim_refused(|rim| rim.chain[3].key = Key::p384("somebody"));
    assert_eq!(error, RimError::Chain(ChainError::Root { pinned }));
    let error = rim_refused(|rim| drop(rim.chain.drain(1..3)));
    assert_eq!(error, RimError::Chain(ChainError::Length { found: 2, least: 3, most: 5 }));
    let error = rim_refused(|rim| rim.chain[0].extensions.push(Extension::authority(None)));
    assert_eq!(error, RimError::Chain(ChainError::LeafIsAuthority));
    let error = rim_refused(|rim| rim.chain[0].signed_by = Key::p384("somebody"));
    let RimError::Chain(ChainError::Path(PathError::Issue { index: 0, source })) = error else {
        panic!("{error:?}")
    };
    assert!(matches!(source, IssueError::Signature { .. }));
    let error = rim_refused(|rim| rim.chain[1].not_after = NOW.as_secs() - 1);
    assert!(matches!(error, RimError::Chain(ChainError::Path(PathError::Validity { index: 1, .. }))));
    assert_eq!(rim_refused(|rim| rim.signed_by = Key::p384("somebody")), RimError::Signature);
}

#[test]
fn step_6_the_signature_must_be_of_the_one_form() {
    let structure = |element| RimError::Envelope(RimSignatureError::Structure { element });
    let algorithm = |element| RimError::Envelope(RimSignatureError::Algorithm { element });
    let reference = || RimError::Envelope(RimSignatureError::Reference);
    for (from, to, expected) in [
        ("#sha384\"></ds:DigestMethod", "#sha512\"></ds:DigestMethod", algorithm("DigestMethod")),
        ("ecdsa-sha384", "hmac-sha384", algorithm("SignatureMethod")),
        ("c14n11\"></ds:Canon", "c14n11#WithComments\"></ds:Canon", algorithm("CanonicalizationMethod")),
        ("#enveloped-signature", "#base64", algorithm("Transform")),
        ("c14n11\"></ds:Transform>", "c14n11#WithComments\"></ds:Transform>", algorithm("Transform")),
        ("URI=\"\"", "URI=\"#other\"", reference()),
        ("URI=\"\"", "Id=\"x\" URI=\"\"", reference()),
        ("</ds:Transforms>", "<ds:Transform></ds:Transform></ds:Transforms>", structure("Transforms")),
        ("</ds:Reference>", "</ds:Reference><ds:Reference></ds:Reference>", structure("SignedInfo")),
        ("<ds:DigestValue>", "<ds:DigestValue>AA", structure("DigestValue")),
    ] {
        assert_eq!(replaced(from, to), expected, "{from}");
    }
}

#[test]
fn step_6_what_is_signed_must_not_change() {
    let text = driver_rim().encode();
    let refused = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        rim::verify(changed.as_bytes(), &roots(), NOW).unwrap_err()
    };
    let digest = RimError::Envelope(RimSignatureError::Digest);
    assert_eq!(refused("active=\"True\"", "active=\"False\""), digest);
    assert_eq!(refused("<ns0:Payload>", "<ns0:Payload> "), digest);
    let count = |found| RimError::Envelope(RimSignatureError::Count { found });
    assert_eq!(
        refused("ds=\"http://www.w3.org/2000/09/xmldsig#\"", "ds=\"http://www.w3.org/2000/09/xmldsig\""),
        count(0)
    );
    assert_eq!(
        refused("<ds:SignatureValue>", "<ds:SignatureValue Id=\"1\">"),
        RimError::Envelope(RimSignatureError::Structure { element: "SignatureValue" })
    );
    assert!(matches!(refused("<ns0:Payload>", "<!-- --><ns0:Payload>"), RimError::Xml(_)));
}

#[test]
fn step_6_signed_nonsense_is_no_rim() {
    let error = replaced("product=\"GH100\"", "product=\"GB100\"");
    assert_eq!(error, RimError::Swid(SwidError::Attribute { attribute: "name" }));
    let error = replaced("index=\"0\"", "index=\"1\"");
    assert_eq!(error, RimError::Swid(SwidError::DuplicateIndex { index: 1 }));
    let error = replaced("size=\"48\"", "size=\"32\"");
    assert_eq!(error, RimError::Swid(SwidError::Measurement { position: 0, attribute: "size" }));
}

#[test]
fn step_7_every_active_measurement_must_be_equal() {
    let error = refused(|set| set.device.report.blocks[0] = [7; 48]);
    assert_eq!(error.step(), Step::Measurements);
    let name = "Measurement_0".to_owned();
    let differs = MeasurementError::Differs { index: 0, role: RimRole::Driver, name };
    assert_eq!(error, AppraisalError::Measurement(differs));
    let name = "Measurement_1".to_owned();
    let error = refused(|set| set.device.report.blocks[1] = [7; 48]);
    let differs = MeasurementError::Differs { index: 1, role: RimRole::Vbios, name };
    assert_eq!(error, AppraisalError::Measurement(differs));
    // any of the alternatives will do
    let mut other = Set::of_gpu();
    other.device.report.blocks[1] = [9; 48];
    other.appraise().unwrap();
}

#[test]
fn step_7_the_report_must_have_every_active_measurement() {
    let error = refused(|set| set.device.report.blocks.truncate(35));
    let name = "Measurement_35".to_owned();
    let missing = MeasurementError::Missing { index: 35, role: RimRole::Driver, name };
    assert_eq!(error, AppraisalError::Measurement(missing));
}

#[test]
fn step_7_index_35_counts_only_with_the_video_decoder() {
    let mut set = Set::of_gpu();
    set.device.report.blocks[35] = [0; 48];
    let name = "Measurement_35".to_owned();
    let differs = MeasurementError::Differs { index: 35, role: RimRole::Driver, name };
    assert_eq!(set.appraise().unwrap_err(), AppraisalError::Measurement(differs));
    set.device.report.set(Opaque::Nvdec0, &[0x55]);
    let appraised = set.appraise().unwrap();
    assert_eq!((appraised.compared().equal(), appraised.compared().skipped()), (2, &[35][..]));
}

#[test]
fn step_7_no_index_may_be_defined_twice() {
    let both = Rim::new("GH100", "GPU", "96.00.9F.00.01", &[(0, true, &[[1; 48]])]);
    let error = refused(|set| set.vbios = Some(both));
    assert_eq!(error, AppraisalError::Measurement(MeasurementError::Conflict { index: 0 }));
}

#[test]
fn step_7_something_must_be_compared() {
    let empty = |version| Some(Rim::new("GH100", "GPU", version, &[]));
    let error = refused(|set| {
        set.driver = empty("550.90.07");
        set.vbios = empty("96.00.9F.00.01");
    });
    assert_eq!(error, AppraisalError::Measurement(MeasurementError::NothingActive));
}

#[test]
fn a_verified_rim_can_be_used_again() {
    let rim = verified(&vbios_rim());
    assert_eq!(rim.rim().golden.len(), 2);
    assert!(rim.rim().active(1).is_some() && rim.rim().active(0).is_none());
    assert_eq!(rim.chain().pairs().count(), 3);
}
