use super::*;
use crate::gpu::RawField;

/// Request, one block, opaque data with a driver version, signature.
fn report() -> Vec<u8> {
    let mut bytes = vec![0x11, 0xE0, 1, 0xFF];
    bytes.extend([7; 32]);
    bytes.extend([0, 0x11, 0x60, 0, 0, 1, 55, 0, 0]);
    bytes.extend([1, 1, 51, 0, 1, 48, 0]);
    bytes.extend([5; 48]);
    bytes.extend([8; 32]);
    bytes.extend([8, 0, 3, 0, 4, 0]);
    bytes.extend(b"1.2\0");
    bytes.extend([9; 96]);
    bytes
}

const VERSION: usize = REQUEST_LEN;
const BLOCKS: usize = REQUEST_LEN + 4;
const RECORD: usize = REQUEST_LEN + 8;

/// Sets one byte.
fn refused(at: usize, value: u8) -> ReportError {
    let mut bytes = report();
    assert_ne!(bytes[at], value);
    bytes[at] = value;
    Report::parse(&bytes).unwrap_err()
}

#[test]
fn a_report_is_read() {
    let bytes = report();
    let report = Report::parse(&bytes).unwrap();
    assert_eq!(report.nonce(), &Nonce([7; 32]));
    assert_eq!(report.response_nonce(), &[8; 32]);
    assert_eq!(report.measurement(1), Some(&[5; 48]));
    assert_eq!(report.measurement(2), None);
    assert_eq!(report.opaque().driver_version.as_deref(), Some("1.2"));
    assert_eq!(report.signature(), &[9; 96]);
    assert_eq!(report.signed(), &bytes[..bytes.len() - 96]);
}

#[test]
fn one_nul_may_follow_and_nothing_else() {
    let with = |tail: &[u8]| Report::parse(&[&report(), tail].concat());
    assert_eq!(with(&[0]).unwrap().signed(), Report::parse(&report()).unwrap().signed());
    assert_eq!(with(&[1]).unwrap_err(), ReportError::Trailing { len: 1 });
    assert_eq!(with(&[0, 0]).unwrap_err(), ReportError::Trailing { len: 2 });
}

#[test]
fn every_shorter_report_is_truncated() {
    let bytes = report();
    for len in 0..bytes.len() {
        assert!(matches!(Report::parse(&bytes[..len]), Err(ReportError::Truncated { .. })), "{len}");
    }
    assert_eq!(
        Report::parse(&vec![0; MAX_REPORT + 1]).unwrap_err(),
        ReportError::TooLong { len: MAX_REPORT + 1 }
    );
}

#[test]
fn the_request_must_ask_for_everything() {
    assert_eq!(refused(0, 0x10), ReportError::Version { version: 0x10 });
    assert_eq!(refused(0, 0x12), ReportError::VersionsDiffer { request: 0x12, response: 0x11 });
    assert_eq!(refused(1, 0xE1), ReportError::Message { expected: 0xE0, found: 0xE1 });
    assert_eq!(refused(2, 0), ReportError::Request);
    assert_eq!(refused(3, 1), ReportError::Request);
    assert_eq!(refused(36, 8), ReportError::Request);
}

#[test]
fn the_response_must_be_consistent() {
    assert_eq!(refused(VERSION, 0x12), ReportError::VersionsDiffer { request: 0x11, response: 0x12 });
    assert_eq!(refused(VERSION + 1, 0x7F), ReportError::Message { expected: 0x60, found: 0x7F });
    assert_eq!(refused(BLOCKS, 0), ReportError::Record { blocks: 0, left: 55 });
    let block = "measurement block";
    assert_eq!(refused(BLOCKS, 63), ReportError::Truncated { part: block, need: 1, have: 0 });
    let record = ReportError::Truncated { part: "measurement record", need: 0xFF_0037, have: 193 };
    assert_eq!(refused(BLOCKS + 3, 0xFF), record);
}

#[test]
fn blocks_must_be_digests_in_order() {
    assert_eq!(refused(RECORD, 0), ReportError::Order { index: 0, previous: 0 });
    assert_eq!(refused(RECORD + 1, 2), ReportError::Block { index: 1 });
    assert_eq!(refused(RECORD + 4, 0x81), ReportError::Block { index: 1 });
    assert_eq!(refused(RECORD + 5, 47), ReportError::Block { index: 1 });
    let mut two = report();
    let block = two[RECORD..RECORD + 55].to_vec();
    two.splice(RECORD..RECORD, block);
    two[BLOCKS] = 2;
    two[BLOCKS + 1] = 110;
    assert_eq!(Report::parse(&two).unwrap_err(), ReportError::Order { index: 1, previous: 1 });
}

#[test]
fn opaque_fields_must_be_of_their_type() {
    let field = |kind: u16, value: &[u8]| {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        bytes.extend(value);
        bytes
    };
    for (kind, value) in [
        (3, &b"1.2/../x"[..]),
        (3, b"1\x002\0"),
        (6, b"\x01\x02\x03\x04\x05\x00\x00\x01"),
        (6, b"96.10.55.00"),
        (6, b"96.10.55.00.0g"),
        (11, b"\x54"),
        (20, &[0; 47]),
        (21, b""),
        (22, &[0; 9]),
        (36, b"\x01"),
    ] {
        assert_eq!(Opaque::parse(&field(kind, value)), Err(OpaqueError::Value { kind }), "{kind} {value:?}");
    }
    let twice = [field(3, b"1"), field(3, b"1")].concat();
    assert_eq!(Opaque::parse(&twice), Err(OpaqueError::Duplicate { kind: 3 }));
    let many: Vec<u8> = (100..165).flat_map(|kind| field(kind, b"")).collect();
    assert_eq!(Opaque::parse(&many), Err(OpaqueError::TooMany));
    assert_eq!(Opaque::parse(&[3, 0, 2, 0, 1]), Err(OpaqueError::Truncated { need: 2, have: 1 }));
    let unknown = Opaque::parse(&field(99, b"x")).unwrap();
    assert_eq!(unknown.other, [RawField { kind: 99, value: b"x".to_vec() }]);
}
