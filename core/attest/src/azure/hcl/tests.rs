use proptest::prelude::*;

use super::*;
use crate::azure::fake;

#[test]
fn reports_are_taken_apart() {
    for platform in [Platform::Snp, Platform::Tdx] {
        let bytes = fake::hcl_report(platform, b"{}");
        let report = HclReport::parse(&bytes).unwrap();
        assert_eq!((report.platform(), report.runtime_data()), (platform, &b"{}"[..]));
        assert_eq!(report.snp_report().is_some(), platform == Platform::Snp);
        assert!(report.embedded_report_data().matches(&report.expected_report_data()));
        assert_eq!(report.expected_report_data().as_bytes()[..2], [0x44, 0x13]);
        // the rest of the NV index
        let padded = [&bytes[..], &[9; 100]].concat();
        assert_eq!(HclReport::parse(&padded), Ok(report));
    }
}

#[test]
fn every_cut_is_refused() {
    let bytes = fake::hcl_report(Platform::Snp, b"{}");
    for len in 0..bytes.len() {
        assert_eq!(HclReport::parse(&bytes[..len]), Err(HclError::Truncated), "{len}");
    }
}

#[test]
fn each_member_of_the_header_is_checked() {
    let bytes = fake::hcl_report(Platform::Snp, b"{}");
    for (offset, member) in [
        (4, "version"),
        (12, "request type"),
        (16, "status"),
        (1220, "runtime data version"),
        (1224, "report type"),
        (1228, "hash type"),
    ] {
        let mut wrong = bytes.clone();
        wrong[offset] = 9;
        assert_eq!(HclReport::parse(&wrong), Err(HclError::Header { member, value: 9 }));
    }
    let mut wrong = bytes.clone();
    wrong[0] = b'h';
    assert_eq!(HclReport::parse(&wrong), Err(HclError::Magic));
}

#[test]
fn each_length_must_fit_the_others() {
    let bytes = fake::hcl_report(Platform::Snp, b"{}");
    for (offset, member, declared, computed) in [
        (8, "report size", 1238 ^ 0xff, 1238_u64),
        (1216, "data size", 22 ^ 0xff, 22),
        (1232, "data size", 22, 20 + (2 ^ 0xff)),
    ] {
        let mut wrong = bytes.clone();
        wrong[offset] ^= 0xff;
        assert_eq!(HclReport::parse(&wrong), Err(HclError::Size { member, declared, computed }));
    }
    let len = MAX_REPORT + 1;
    assert_eq!(HclReport::parse(&vec![0; len]), Err(HclError::TooLong { len, max: MAX_REPORT }));
    // lengths whose sum does not fit 32 bits
    let mut wrong = bytes;
    wrong[1232..1236].fill(0xff);
    let computed = u64::from(u32::MAX) + 20;
    assert_eq!(HclReport::parse(&wrong), Err(HclError::Size { member: "data size", declared: 22, computed }));
}

proptest! {
    #[test]
    fn no_damage_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = fake::hcl_report(Platform::Tdx, b"{}");
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let _ = HclReport::parse(&bytes).map(|report| report.embedded_report_data());
    }
}
