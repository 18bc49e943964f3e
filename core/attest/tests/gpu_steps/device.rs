//! Steps 1 to 4: report, nonce, chain, firmware identifier, signature.

use privatemode_attest::UnixTime;
use privatemode_attest::gpu::{
    Architecture, ChainError, Nonce, OpaqueError, ReportError, Roots, Step, VerifyError, verify_device,
};
use privatemode_attest::x509::{IssueError, PathError, ValidityError};
use privatemode_test_pki::nvidia::{DAY, Device, Family, NOW as NOW_SECONDS, Opaque};
use privatemode_test_pki::{Extension, Key, der};

use crate::set::{NONCE, NOW, gpu, roots, verify};

fn refused(break_it: impl FnOnce(&mut Device)) -> VerifyError {
    let mut device = gpu();
    break_it(&mut device);
    verify(&device).unwrap_err()
}

fn issue(index: usize, source: IssueError) -> VerifyError {
    VerifyError::Chain(ChainError::Path(PathError::Issue { index, source }))
}

#[test]
fn good_devices_of_all_families_pass() {
    for (family, architecture) in [
        (Family::Hopper, Architecture::Hopper),
        (Family::Blackwell, Architecture::Blackwell),
        (Family::Ls10, Architecture::Ls10),
    ] {
        let device = verify(&Device::new(family, 3, NONCE)).unwrap();
        assert_eq!(device.architecture(), architecture);
    }
    // SPDM 1.2 has the same layout
    let mut newer = gpu();
    newer.report.version = 0x12;
    verify(&newer).unwrap();
}

#[test]
fn step_1_malformed_reports_are_refused() {
    let error = refused(|device| device.report.set(Opaque::Fwid, &[0; 47]));
    assert_eq!(error.step(), Step::Structure);
    assert_eq!(error, VerifyError::Report(ReportError::Opaque(OpaqueError::Value { kind: 20 })));
    let error = refused(|device| device.report.version = 0x13);
    assert_eq!(error, VerifyError::Report(ReportError::Version { version: 0x13 }));
}

#[test]
fn step_2_another_nonce_is_refused() {
    let device = gpu();
    let expected = Nonce([0; 32]);
    let error = verify_device(&device.evidence(), &device.chain_pem(), &roots(), &expected, NOW).unwrap_err();
    assert_eq!(error.step(), Step::Nonce);
    assert_eq!(error, VerifyError::Nonce { expected, found: Nonce(NONCE) });
}

#[test]
fn step_3_other_roots_are_refused() {
    let device = gpu();
    let nonce = Nonce(NONCE);
    let genuine = Roots::embedded();
    assert!(!genuine.are_of_test() && roots().are_of_test());
    let error = verify_device(&device.evidence(), &device.chain_pem(), &genuine, &nonce, NOW).unwrap_err();
    assert_eq!(error.step(), Step::Chain);
    let pinned = "NVIDIA Device Identity CA".to_owned();
    assert_eq!(error, VerifyError::Chain(ChainError::Root { pinned }));
    // the same name, another key
    let error = refused(|device| device.chain[4].key = Key::p384("somebody"));
    let pinned = "Test Device Identity CA".to_owned();
    assert_eq!(error, VerifyError::Chain(ChainError::Root { pinned }));
}

#[test]
fn step_3_a_copy_of_the_root_must_be_signed_by_it() {
    let mut resigned = gpu();
    resigned.chain[4].not_after += DAY;
    verify(&resigned).unwrap();
    let error = refused(|device| {
        device.chain[4].not_after += DAY;
        device.chain[4].signed_by = Key::p384("somebody");
    });
    assert!(
        matches!(error, VerifyError::Chain(ChainError::RootCopy(IssueError::Signature { .. }))),
        "{error:?}"
    );
}

#[test]
fn step_3_chains_have_four_or_five_certificates() {
    let error = refused(|device| device.chain.drain(1..3).for_each(drop));
    assert_eq!(error, VerifyError::Chain(ChainError::Length { found: 3, least: 4, most: 5 }));
    let error = refused(|device| device.chain.clear());
    assert!(matches!(error, VerifyError::Chain(ChainError::Parse(_))));
    let error = refused(|device| drop(device.chain.remove(0)));
    assert_eq!(error, VerifyError::Chain(ChainError::LeafIsAuthority));
}

#[test]
fn step_3_every_link_must_hold() {
    let other = Key::p384("somebody");
    for position in 0..4 {
        let error = refused(|device| device.chain[position].signed_by = other.clone());
        let VerifyError::Chain(ChainError::Path(PathError::Issue { index, source })) = error else {
            panic!("{error:?}")
        };
        assert_eq!(index, position);
        assert!(matches!(source, IssueError::Signature { .. }));
    }
    let error = refused(|device| device.chain[0].issuer = device.chain[3].subject.clone());
    assert_eq!(error, issue(0, IssueError::OtherIssuer));
    let error = refused(|device| device.chain[2].without("2.5.29.19"));
    assert_eq!(error, issue(1, IssueError::NotAuthority));
    let error = refused(|device| *device.chain[2].extension("2.5.29.15") = Extension::key_usage(&[6]));
    assert_eq!(error, issue(1, IssueError::KeyUsage));
    let error = refused(|device| *device.chain[3].extension("2.5.29.19") = Extension::authority(Some(0)));
    assert_eq!(error, VerifyError::Chain(ChainError::Path(PathError::PathLength { index: 3 })));
    let error = refused(|device| {
        device.chain[0].extensions.push(Extension {
            oid: "1.2.3".to_owned(),
            critical: true,
            value: der::null(),
        });
    });
    assert_eq!(error, issue(0, IssueError::UnknownCriticalExtension { oid: "1.2.3".to_owned() }));
}

#[test]
fn step_3_every_certificate_must_be_in_date() {
    for position in 0..5 {
        let error = refused(|device| device.chain[position].not_after = NOW_SECONDS - 1);
        let source = ValidityError::Expired { until: UnixTime(NOW_SECONDS - 1) };
        let path = PathError::Validity { index: position, source };
        assert_eq!(error, VerifyError::Chain(ChainError::Path(path)));
        let error = refused(|device| device.chain[position].not_before = NOW_SECONDS + 1);
        let source = ValidityError::NotYetValid { from: UnixTime(NOW_SECONDS + 1) };
        let path = PathError::Validity { index: position, source };
        assert_eq!(error, VerifyError::Chain(ChainError::Path(path)));
    }
}

#[test]
fn step_3_other_chips_are_refused() {
    let name = "GA100 A01 GSP FMC LF";
    let error = refused(|device| {
        let subject = [("2.5.4.3", der::utf8(name))];
        device.chain[0].subject = privatemode_test_pki::Name::new(&subject);
    });
    assert_eq!(error.step(), Step::Chain);
    assert_eq!(error, VerifyError::UnknownChip { common_name: name.to_owned() });
}

#[test]
fn step_3_firmware_identifiers_must_be_equal() {
    for family in [Family::Hopper, Family::Blackwell] {
        let mut device = Device::new(family, 1, NONCE);
        device.report.set(Opaque::Fwid, &[0; 48]);
        let error = verify(&device).unwrap_err();
        assert_eq!(error.step(), Step::FirmwareId);
        assert_eq!(error, VerifyError::FirmwareId, "{family:?}");
        // older drivers do not report it
        device.report.remove(Opaque::Fwid);
        verify(&device).unwrap();
    }
}

#[test]
fn step_3_the_leaf_must_have_one_readable_firmware_identifier() {
    const DEVICE_ID: &str = "2.23.133.5.4.1";
    const TCB_INFO: &str = "2.23.133.5.4.1.1";
    let error = refused(|device| device.chain[0].without(DEVICE_ID));
    assert_eq!(error.step(), Step::FirmwareId);
    assert_eq!(error, VerifyError::NoFirmwareId);
    let error = refused(|device| device.chain[0].extension(DEVICE_ID).value.truncate(9));
    assert_eq!(error, VerifyError::NoFirmwareId);
    let error = refused(|device| {
        let other = Device::new(Family::Blackwell, 1, NONCE).chain[0].extension(TCB_INFO).clone();
        device.chain[0].extensions.push(other);
    });
    assert_eq!(error, VerifyError::NoFirmwareId);
    // another digest algorithm
    let error = refused(|device| {
        let value = &mut device.chain[0].extension(DEVICE_ID).value;
        let digest = value.len() - 51;
        value[digest] ^= 1;
    });
    assert_eq!(error, VerifyError::NoFirmwareId);
}

#[test]
fn step_4_the_report_must_be_signed_by_the_leaf() {
    let error = refused(|device| device.report_signed_by = Key::p384("somebody"));
    assert_eq!(error.step(), Step::Signature);
    assert_eq!(error, VerifyError::Signature);
    let device = gpu();
    let mut evidence = device.evidence();
    // a measurement
    evidence[52] ^= 1;
    let error = verify_device(&evidence, &device.chain_pem(), &roots(), &Nonce(NONCE), NOW).unwrap_err();
    assert_eq!(error, VerifyError::Signature);
}

#[test]
fn steps_have_the_numbers_of_the_specification() {
    let numbers: Vec<u8> = Step::ALL.iter().map(|step| step.number()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 3, 5, 6, 7, 8, 9, 9]);
    let mut names: Vec<&str> = Step::ALL.iter().map(|step| step.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Step::ALL.len());
}
