use super::*;

fn recorded() -> Recorded {
    Recorded {
        target: "https://gateway.example.com".to_owned(),
        at: UnixTime(1_800_000_000),
        nonce: [7; 32],
        manifest: b"{\"manifest\": 1}".to_vec(),
        document: b"{\"document\": 1}".to_vec(),
        collateral: Collateral::new(),
    }
}

fn with(member: &str, value: serde_json::Value) -> Vec<u8> {
    let mut file: serde_json::Value = serde_json::from_slice(&recorded().to_bytes().unwrap()).unwrap();
    file[member] = value;
    serde_json::to_vec(&file).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let bytes = recorded().to_bytes().unwrap();
    let back = Recorded::parse(&bytes).unwrap();
    assert_eq!(back.to_bytes().unwrap(), bytes);
    assert_eq!((back.at, back.nonce), (UnixTime(1_800_000_000), [7; 32]));
}

#[test]
fn every_member_is_read_strictly() {
    let parse = |member, value| Recorded::parse(&with(member, value)).unwrap_err();
    assert!(matches!(parse("format", "other".into()), RecordError::Version));
    assert!(matches!(parse("version", 2.into()), RecordError::Version));
    assert!(matches!(parse("verified_at", "now".into()), RecordError::Time));
    assert!(matches!(parse("verified_at", "yesterday".into()), RecordError::Time));
    assert!(matches!(parse("nonce", "AA==".into()), RecordError::Length { member: "nonce", len: 1 }));
    assert!(matches!(parse("nonce", "%".into()), RecordError::Base64 { member: "nonce", .. }));
    assert!(matches!(parse("manifest", "%".into()), RecordError::Base64 { member: "manifest", .. }));
    assert!(matches!(parse("document", "%".into()), RecordError::Base64 { member: "document", .. }));
    assert!(matches!(parse("collateral", 1.into()), RecordError::Collateral { .. }));
    assert!(matches!(parse("target", 1.into()), RecordError::Json { .. }));
    assert!(matches!(parse("more", 1.into()), RecordError::Json { .. }));
    let long = STANDARD.encode(vec![0; Manifest::MAX_LEN + 1]);
    assert!(matches!(parse("manifest", long.into()), RecordError::Length { member: "manifest", .. }));
}
