//! Everything a gateway can do to sealed fields, each ending in its own error.

use super::*;
use crate::json::{Editor, Object};

fn values(sealed: &[u8]) -> Vec<(String, String)> {
    let object = Object::parse(sealed).unwrap();
    let text = |raw: &[u8]| String::from_utf8(raw.to_vec()).unwrap();
    object.members().iter().map(|m| (m.name.to_string(), text(m.raw))).collect()
}

fn document(members: &[(&str, &str)]) -> Vec<u8> {
    let members: Vec<String> = members.iter().map(|(name, raw)| format!("\"{name}\":{raw}")).collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

fn refused(sealed: &[u8]) -> OpenError {
    open_request(CHAT, sealed).map(drop).unwrap_err()
}

fn tampered(name: &str) -> OpenError {
    OpenError::Tampered { name: name.into() }
}

/// Every byte of the response's only sealed field, flipped. The client knows the nonce, so each part has its own error.
#[test]
fn every_flipped_byte() {
    let (_, mut opener, mut sealer) = exchange();
    let sealed = sealer.seal(CHAT, br#"{"choices":"text"}"#, &mut TestRng::new(5)).unwrap();
    let field = Object::parse(&sealed).unwrap().members()[0].span.clone();
    let name = || "choices".to_owned();
    let length = field.len();
    for offset in 0..length {
        let mut changed = sealed.clone();
        let byte = &mut changed[field.start + offset];
        *byte ^= 1;
        let hex = matches!(*byte, b'0'..=b'9' | b'a'..=b'f');
        // "id:<24>:<24>:<ct>" with its quotes
        let expected = match offset {
            1 | 2 => OpenError::WrongSecretId { name: name() },
            3 | 28 | 53 => OpenError::NotSealed { name: name() },
            4..=27 if hex => OpenError::WrongNonce { name: name() },
            29..=52 | 54.. if offset != length - 1 && hex => tampered("choices"),
            4..=52 | 54.. if offset != length - 1 => OpenError::Malformed { name: name() },
            _ => match opener.open(CHAT, &changed) {
                Err(OpenError::Json(_)) => continue, // a quote is gone
                other => panic!("{offset}: {other:?}"),
            },
        };
        assert_eq!(opener.open(CHAT, &changed), Err(expected), "offset {offset}");
    }
    // After all these failures the untouched response still opens: a failure moves nothing.
    assert_eq!(opener.open(CHAT, &sealed).unwrap(), br#"{"choices":"text"}"#);
}

/// The server learns the nonce from the first field, so another nonce in it shows as a tag that does not fit.
#[test]
fn flipped_nonce_in_a_request() {
    let (sealed, _) = seal_request(CHAT, br#"{"a":1}"#, 1);
    let mut changed = sealed.clone();
    changed[9] = if changed[9] == b'0' { b'1' } else { b'0' };
    assert_eq!(refused(&changed), tampered("a"));
}

#[test]
fn upper_case_hex_and_escapes_are_other_spellings() {
    let (sealed, _) = seal_request(CHAT, br#"{"a":1}"#, 1);
    let [(_, value)] = values(&sealed).try_into().unwrap();
    let upper = value.to_uppercase().replace("ID", "id");
    assert_eq!(refused(&document(&[("a", &upper)])), OpenError::Malformed { name: "a".into() });
    let escaped = value.replace("id:", "\\u0069d:");
    assert_eq!(refused(&document(&[("a", &escaped)])), OpenError::WrongSecretId { name: "a".into() });
}

#[test]
fn swapped_moved_renamed_dropped_repeated() {
    let (sealed, _) = seal_request(CHAT, br#"{"a":1,"b":2,"c":3}"#, 1);
    let fields = values(&sealed);
    let [a, b, c] = [&*fields[0].1, &*fields[1].1, &*fields[2].1];
    assert!(open_request(CHAT, &document(&[("a", a), ("b", b), ("c", c)])).is_ok());
    assert_eq!(refused(&document(&[("a", b), ("b", a), ("c", c)])), tampered("a"));
    assert_eq!(refused(&document(&[("d", a), ("b", b), ("c", c)])), tampered("d"));
    assert_eq!(refused(&document(&[("b", b), ("c", c)])), tampered("b"));
    assert_eq!(refused(&document(&[("a", a), ("a1", a), ("b", b), ("c", c)])), tampered("a1"));
    assert_eq!(
        refused(&document(&[("a", a), ("b", "2"), ("c", c)])),
        OpenError::NotSealed { name: "b".into() }
    );
    assert_eq!(
        refused(&document(&[("a", a), ("b", "null"), ("c", c)])),
        OpenError::NotSealed { name: "b".into() }
    );
    assert!(matches!(refused(&document(&[("a", a), ("\\u0061", a)])), OpenError::Json(_)));
    // Order in the document is not what is counted.
    assert!(open_request(CHAT, &document(&[("c", c), ("a", a), ("b", b)])).is_ok());
}

/// Sealing does not authenticate names (protocol.md, section 10): a new name that sorts to the same place is not noticed.
/// Known and unavoidable in this format; sealed bodies close it.
#[test]
fn a_rename_within_the_order_is_a_known_hole() {
    let (sealed, _) = seal_request(CHAT, br#"{"a":1,"c":3}"#, 1);
    let fields = values(&sealed);
    let renamed = document(&[("b", &fields[0].1), ("c", &fields[1].1)]);
    assert_eq!(open_request(CHAT, &renamed).unwrap().0, br#"{"b":1,"c":3}"#);
}

#[test]
fn a_plain_member_turned_private() {
    let (sealed, _) = seal_request(CHAT, br#"{"model":"m","a":1}"#, 1);
    let moved = String::from_utf8(sealed).unwrap().replace("\"model\":\"m\"", "\"Model\":\"m\"");
    assert_eq!(refused(moved.as_bytes()), OpenError::NotSealed { name: "Model".into() });
}

#[test]
fn fields_of_another_exchange() {
    let (first, _) = seal_request(CHAT, br#"{"a":1,"b":2}"#, 1);
    let (second, _) = seal_request(CHAT, br#"{"a":1,"b":2}"#, 2);
    let (first, second) = (values(&first), values(&second));
    let mixed = document(&[("a", &first[0].1), ("b", &second[1].1)]);
    assert_eq!(refused(&mixed), OpenError::WrongNonce { name: "b".into() });
    let other = second[1].1.replace("id:", "di:");
    let mixed = document(&[("a", &first[0].1), ("b", &other)]);
    assert_eq!(refused(&mixed), OpenError::WrongSecretId { name: "b".into() });
}

#[test]
fn another_secret() {
    let (sealed, _) = seal_request(CHAT, br#"{"a":1}"#, 1);
    let mut opener = RequestOpener::new(&id(), &Secret::from_slice(&[8; 32]).unwrap());
    assert_eq!(opener.open(CHAT, None, &sealed), Err(tampered("a")));
    let mut opener = RequestOpener::new(&SecretId::parse("other").unwrap(), &secret());
    assert_eq!(opener.open(CHAT, None, &sealed), Err(OpenError::WrongSecretId { name: "a".into() }));
}

#[test]
fn reflected_request_fields() {
    let (request, mut opener, _) = exchange();
    let messages = &values(&request)[0].1;
    // Same nonce, same key, same sequence number 0: the tag would fit.
    let response = document(&[("choices", messages)]);
    assert_eq!(opener.open(CHAT, &response), Err(OpenError::Reflected { name: "choices".into() }));
    let mut stream = opener.into_stream(CHAT);
    let event = format!("data: {}\n\n", String::from_utf8(response).unwrap());
    let mut out = Vec::new();
    assert_eq!(stream.push(event.as_bytes(), &mut out), Err(OpenError::Reflected { name: "choices".into() }));
}

#[test]
fn a_response_played_twice() {
    let (_, mut opener, mut sealer) = exchange();
    let sealed = sealer.seal(CHAT, br#"{"choices":1}"#, &mut TestRng::new(5)).unwrap();
    opener.open(CHAT, &sealed).unwrap();
    assert_eq!(opener.open(CHAT, &sealed), Err(tampered("choices")));
}

#[test]
fn array_elements() {
    let (_, mut opener, mut sealer) = exchange();
    let sealed = sealer.seal(Endpoint::Unstructured, b"[1,2]", &mut TestRng::new(5)).unwrap();
    let text = String::from_utf8(sealed.clone()).unwrap();
    let (first, second) = text[1..text.len() - 1].split_once(',').unwrap();
    let mut open = |body: String| opener.open(Endpoint::Unstructured, body.as_bytes());
    assert_eq!(open(format!("[{second},{first}]")), Err(tampered("0")));
    assert_eq!(open(format!("[{second}]")), Err(tampered("0")));
    assert_eq!(open(format!("[{first},2]")), Err(OpenError::NotSealed { name: "1".into() }));
    // Dropping the last one is a known hole of the format.
    assert_eq!(open(format!("[{first}]")).unwrap(), b"[1]");
}

/// A sealed value that is not one JSON value would change the document around it.
#[test]
fn content_cannot_break_out() {
    let form = Endpoint::Unstructured; // seals any bytes
    let (sealed, _) = seal_request(form, br#"1,"max_tokens":9"#, 1);
    let body = document(&[("a", std::str::from_utf8(&sealed).unwrap())]);
    assert_eq!(refused(&body), OpenError::BadContent { name: "a".into() });
}

#[test]
fn names_in_errors_are_cut_and_cleaned() {
    let name = "\\n".to_owned() + &"x".repeat(100);
    let error = refused(&document(&[(&name, "1")]));
    assert_eq!(error, OpenError::NotSealed { name: "?".to_owned() + &"x".repeat(63) });
}

#[test]
fn plain_members_are_not_authenticated() {
    let (sealed, _) = seal_request(CHAT, br#"{"model":"m","a":1}"#, 1);
    let object = Object::parse(&sealed).unwrap();
    let mut editor = Editor::new(&sealed);
    editor.set(&object, 0, &[("model", b"\"x\"")]);
    assert_eq!(open_request(CHAT, &editor.finish()).unwrap().0, br#"{"model":"x","a":1}"#);
}
