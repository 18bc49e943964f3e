use prost::Message as _;

use super::*;

#[test]
fn the_wire_form_is_etcds() {
    // key 1, value 2, lease 3
    let put = PutRequest { key: b"k".to_vec(), value: b"v".to_vec(), lease: 5 };
    assert_eq!(put.encode_to_vec(), b"\x0a\x01k\x12\x01v\x18\x05");
    // result 1 and target 2: EQUAL is the default, CREATE is 1; key 3, create_revision 5 is sent though it is 0
    assert_eq!(Compare::absent("k").encode_to_vec(), b"\x10\x01\x1a\x01k\x28\x00");
    assert_eq!(Compare::value("k", "v").encode_to_vec(), b"\x10\x03\x1a\x01k\x3a\x01v");
    assert_eq!(Compare::unchanged_since("k", 7).encode_to_vec(), b"\x10\x02\x1a\x01k\x30\x07");
    let txn = TxnRequest {
        compare: vec![],
        success: vec![put.into()],
        failure: vec![RangeRequest::one("k").into()],
    };
    assert_eq!(txn.encode_to_vec(), b"\x12\x0a\x12\x08\x0a\x01k\x12\x01v\x18\x05\x1a\x05\x0a\x03\x0a\x01k");
    let watch = WatchCreateRequest {
        key: b"k".to_vec(),
        range_end: vec![],
        start_revision: 3,
        progress_notify: true,
        fragment: true,
    };
    let watch = WatchRequest { request: Some(watch_request::Request::Create(watch)) };
    assert_eq!(watch.encode_to_vec(), b"\x0a\x09\x0a\x01k\x18\x03\x20\x01\x40\x01");
}

#[test]
fn unknown_fields_are_skipped_and_rubbish_is_an_error() {
    let answer = b"\x12\x07\x0a\x01k\x2a\x02vv\x20\x01\xfa\x01\x01x";
    let answer = RangeResponse::decode(answer.as_slice()).unwrap();
    assert_eq!((answer.count, answer.kvs.len(), answer.kvs[0].value.as_slice()), (1, 1, &b"vv"[..]));
    for rubbish in [&b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f"[..], b"\x12\x7fk", b"\x0b"] {
        assert!(RangeResponse::decode(rubbish).is_err(), "{rubbish:?}");
    }
}

#[test]
fn values_are_not_printed() {
    let kv = || {
        let mut kv = KeyValue::default();
        kv.key = b"id".to_vec();
        kv.value = b"hunter2".to_vec();
        kv
    };
    assert_eq!(format!("{:?}", kv()), "KeyValue(id at 0, ..)");
    let put = PutRequest { key: b"id".to_vec(), value: b"hunter2".to_vec(), lease: 10 };
    assert_eq!(format!("{put:?}"), "PutRequest(id, lease a, ..)");
    let event = Event { r#type: 0, kv: Some(kv()) };
    let range = RangeResponse { kvs: vec![kv()], ..RangeResponse::default() };
    let txn = TxnRequest { compare: vec![], success: vec![put.into()], failure: vec![] };
    for text in [format!("{event:?}"), format!("{range:?}"), format!("{txn:?}")] {
        assert!(!text.contains("hunter2") && text.contains("id"), "{text}");
        assert!(!text.contains(&format!("{:?}", b"hunter2")), "{text}");
    }
}
