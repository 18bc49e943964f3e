use super::*;
use crate::{ReportData, ReportDataLength};

const HOST: [u8; 32] = [0xab; 32];

fn expected() -> ReportData {
    ReportData::from([5; 64])
}

fn verify(evidence: &[u8]) -> Result<(), EvidenceError> {
    parse_and_verify(evidence, &expected(), SimulatedAllowed::danger_accept_simulated()).map(drop)
}

#[test]
fn what_is_issued_verifies_and_says_what_was_put_in() {
    let evidence = issue(&expected(), HOST);
    let report =
        parse_and_verify(&evidence, &expected(), SimulatedAllowed::danger_accept_simulated()).unwrap();
    assert_eq!(report.host_data(), &HOST);
    assert_eq!(report.report_data(), &expected());
}

#[test]
fn every_bit_of_the_report_data_counts() {
    for place in 0..64 {
        let mut bytes = [5; 64];
        bytes[place] ^= 0x80;
        let evidence = issue(&ReportData::from(bytes), HOST);
        assert!(matches!(verify(&evidence), Err(EvidenceError::ReportDataMismatch)), "byte {place}");
    }
}

#[test]
fn too_long() {
    let evidence = vec![b' '; MAX_EVIDENCE + 1];
    assert!(matches!(verify(&evidence), Err(EvidenceError::TooLong { len: 4097, max: 4096 })));
}

#[test]
fn not_the_json_that_it_should_be() {
    let twice = br#"{"reportData":"","reportData":"","hostData":""}"#;
    let foreign = br#"{"reportData":"","hostData":"","more":1}"#;
    for evidence in [&b""[..], b"{", b"[]", b"null", b"{}", b"\xff", twice, foreign] {
        assert!(matches!(verify(evidence), Err(EvidenceError::Json { .. })), "{evidence:?}");
    }
}

#[test]
fn not_base64() {
    let evidence = br#"{"reportData":"!","hostData":""}"#;
    assert!(matches!(verify(evidence), Err(EvidenceError::Base64 { member: "reportData", .. })));
    let evidence = br#"{"reportData":"","hostData":"QQ"}"#;
    assert!(matches!(verify(evidence), Err(EvidenceError::Base64 { member: "hostData", .. })));
}

#[test]
fn wrong_lengths() {
    let evidence = br#"{"reportData":"QUFB","hostData":"QUFB"}"#;
    let refused = verify(evidence).unwrap_err();
    assert!(matches!(refused, EvidenceError::ReportDataLength { source: ReportDataLength { len: 3 } }));

    let evidence = String::from_utf8(issue(&expected(), HOST)).unwrap();
    let host = evidence.find("hostData\":\"").unwrap() + 11;
    let short = format!("{}QUFB\"}}", &evidence[..host]);
    assert!(matches!(verify(short.as_bytes()), Err(EvidenceError::HostDataLength { len: 3 })));
}
