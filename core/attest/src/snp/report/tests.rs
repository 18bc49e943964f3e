use privatemode_test_pki::amd::{Evidence, Product as TestProduct, Signer as TestSigner};

use super::*;

fn bytes(product: TestProduct) -> Vec<u8> {
    Evidence::new(product, TestSigner::Vcek).report.to_vec()
}

fn changed(at: usize, value: &[u8]) -> Result<Report, ReportError> {
    let mut report = bytes(TestProduct::Milan);
    report[at..at + value.len()].copy_from_slice(value);
    Report::parse(&report)
}

#[test]
fn every_field_comes_from_its_place() {
    let mut report = bytes(TestProduct::Milan);
    let fill = |report: &mut Vec<u8>, at: usize, len: usize, value: u8| report[at..at + len].fill(value);
    for (at, len, value) in [
        (0x04, 4, 1),
        (0x10, 16, 2),
        (0x20, 16, 3),
        (0x30, 4, 4),
        (0x50, 64, 5),
        (0x90, 48, 6),
        (0xc0, 32, 7),
        (0xe0, 48, 8),
        (0x110, 48, 9),
        (0x140, 32, 10),
        (0x160, 32, 11),
        (0x1a0, 64, 12),
    ] {
        fill(&mut report, at, len, value);
    }
    report[0x08..0x10].copy_from_slice(&0x3_001f_u64.to_le_bytes());
    report[0x38..0x40].copy_from_slice(&[1, 2, 0, 0, 0, 0, 3, 4]);
    report[0x40..0x48].copy_from_slice(&0x25_u64.to_le_bytes());
    report[0x48] = 0b111;
    report[0x180..0x188].copy_from_slice(&[5, 6, 0, 0, 0, 0, 7, 8]);
    report[0x188..0x18b].copy_from_slice(&[0x19, 1, 2]);
    report[0x1e0..0x1e8].copy_from_slice(&[9, 10, 0, 0, 0, 0, 11, 12]);
    report[0x1e8..0x1f0].copy_from_slice(&[21, 55, 1, 0, 20, 54, 2, 0]);
    report[0x1f0..0x1f8].copy_from_slice(&[13, 14, 0, 0, 0, 0, 15, 16]);
    let tcb = |bootloader, tee, snp, microcode| Tcb { fmc: None, bootloader, tee, snp, microcode };
    let firmware = |major, minor, build| FirmwareVersion { major, minor, build };

    assert_eq!(
        Report::parse(&report).unwrap(),
        Report {
            version: 3,
            guest_svn: 0x0101_0101,
            policy: GuestPolicy(0x3_001f),
            family_id: [2; 16],
            image_id: [3; 16],
            vmpl: 0x0404_0404,
            current_tcb: tcb(1, 2, 3, 4),
            platform_info: PlatformInfo(0x25),
            signer: Signer::Vlek,
            mask_chip_key: true,
            author_key_enabled: true,
            report_data: ReportData::from([5; 64]),
            measurement: [6; 48],
            host_data: [7; 32],
            id_key_digest: [8; 48],
            author_key_digest: [9; 48],
            report_id: [10; 32],
            report_id_ma: [11; 32],
            reported_tcb: tcb(5, 6, 7, 8),
            cpuid: Some(Cpuid { family: 0x19, model: 1, stepping: 2 }),
            chip_id: [12; 64],
            committed_tcb: tcb(9, 10, 11, 12),
            current_version: firmware(1, 55, 21),
            committed_version: firmware(2, 54, 20),
            launch_tcb: tcb(13, 14, 15, 16),
            launch_mitigation_vector: None,
            current_mitigation_vector: None,
            signature: Signature { r: [0; 72], s: [0; 72] },
        }
    );
}

#[test]
fn turin_has_its_own_layout_and_mitigations() {
    let report = Report::parse(&bytes(TestProduct::Turin)).unwrap();
    let tcb = Tcb { fmc: Some(2), bootloader: 4, tee: 1, snp: 24, microcode: 219 };
    assert_eq!([report.current_tcb, report.reported_tcb, report.committed_tcb, report.launch_tcb], [tcb; 4]);
    assert_eq!((report.launch_mitigation_vector, report.current_mitigation_vector), (Some(3), Some(7)));
    assert_eq!(report.product(), Some(Product::Turin));
}

#[test]
fn only_one_length() {
    let good = bytes(TestProduct::Milan);
    for len in [0, 1, 671, 1183] {
        assert_eq!(Report::parse(&good[..len]), Err(ReportError::Length { len }));
    }
    assert_eq!(Report::parse(&[&good[..], &[0]].concat()), Err(ReportError::Length { len: 1185 }));
}

#[test]
fn only_known_versions() {
    for version in [0, 1, 6, u32::MAX] {
        assert_eq!(changed(0, &version.to_le_bytes()), Err(ReportError::Version { version }));
    }
    for version in [3_u32, 4, 5] {
        assert_eq!(changed(0, &version.to_le_bytes()).unwrap().version, version);
    }
}

#[test]
fn version_2_names_no_processor() {
    let mut report = bytes(TestProduct::Milan);
    report[0] = 2;
    assert_eq!(Report::parse(&report), Err(ReportError::Reserved { offset: 0x188 }));
    report[0x188..0x18b].fill(0);
    let report = Report::parse(&report).unwrap();
    assert_eq!((report.cpuid, report.product()), (None, None));
}

#[test]
fn only_ecdsa_p384() {
    for algorithm in [0, 2, 0x101] {
        assert_eq!(
            changed(0x34, &u32::to_le_bytes(algorithm)),
            Err(ReportError::SignatureAlgorithm { algorithm })
        );
    }
}

#[test]
fn only_the_two_signing_keys() {
    for key in 2..8 {
        assert_eq!(changed(0x48, &[(key << 2) as u8]), Err(ReportError::SigningKey { key }));
    }
    assert_eq!(changed(0x48, &[4]).unwrap().signer, Signer::Vlek);
}

#[test]
fn processors_of_no_known_line() {
    assert_eq!(
        changed(0x188, &[0x17, 0x31, 0]),
        Err(ReportError::UnknownCpu { cpuid: Cpuid { family: 0x17, model: 0x31, stepping: 0 } })
    );
}

#[test]
fn reserved_bytes_are_zero() {
    for (at, offset) in [
        (0x3a, 0x38),
        (0x3d, 0x38),
        (0x49, 0x48),
        (0x4c, 0x4c),
        (0x4f, 0x4c),
        (0x182, 0x180),
        (0x18b, 0x18b),
        (0x19f, 0x18b),
        (0x1e5, 0x1e0),
        (0x1eb, 0x1eb),
        (0x1ef, 0x1ef),
        (0x1f2, 0x1f0),
        (0x1f8, 0x1f8),
        (0x207, 0x1f8),
        (0x208, 0x208),
        (0x29f, 0x208),
        (0x330, 0x330),
        (0x49f, 0x330),
    ] {
        assert_eq!(changed(at, &[1]), Err(ReportError::Reserved { offset }), "byte {at:#x}");
    }
}

#[test]
fn version_4_may_fill_the_mitigations_but_is_not_believed() {
    let mut report = bytes(TestProduct::Turin);
    report[0] = 4;
    let report = Report::parse(&report).unwrap();
    assert_eq!((report.launch_mitigation_vector, report.current_mitigation_vector), (None, None));
}

#[test]
fn the_signature_is_turned_around() {
    let mut report = bytes(TestProduct::Milan);
    report[0x2a0] = 1;
    report[0x2a0 + 47] = 2;
    report[0x2e8] = 3;
    let signature = Report::parse(&report).unwrap().signature_big_endian().unwrap();
    assert_eq!((signature[47], signature[0], signature[95], signature[48]), (1, 2, 3, 0));
}

#[test]
fn r_and_s_are_no_longer_than_the_curve() {
    for at in [0x2d0, 0x2e7, 0x318, 0x32f] {
        assert_eq!(changed(at, &[1]).unwrap().signature_big_endian(), None, "byte {at:#x}");
    }
}

#[test]
fn chips_can_be_masked() {
    assert!(changed(0x1a0, &[0; 64]).unwrap().chip_id_is_masked());
    assert!(!changed(0x1a1, &[0; 63]).unwrap().chip_id_is_masked());
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(noise in proptest::collection::vec(proptest::num::u8::ANY, 0..1300)) {
        let _ = Report::parse(&noise);
    }

    #[test]
    fn nothing_that_is_nearly_a_report_panics(places in proptest::collection::vec((0..Report::LEN, proptest::num::u8::ANY), 0..8)) {
        let mut report = bytes(TestProduct::Turin);
        for (place, value) in places {
            report[place] = value;
        }
        if let Ok(report) = Report::parse(&report) {
            let _ = (report.signature_big_endian(), report.product(), crate::snp::Needs::of(&report));
        }
    }
}
