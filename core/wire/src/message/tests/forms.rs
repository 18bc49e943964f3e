use super::*;
use crate::multipart::{Form, MultipartError};

const TYPE: Option<&str> = Some("multipart/form-data; boundary=XX");
const AUDIO: Endpoint = Endpoint::Transcriptions;

fn text(name: &str, value: &str) -> String {
    format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

fn file(name: &str, file_name: &str, value: &str) -> String {
    format!(
        "--XX\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\nContent-Type: audio/wav\r\n\r\n{value}\r\n"
    )
}

fn form(parts: &[String]) -> Vec<u8> {
    (parts.concat() + "--XX--\r\n").into_bytes()
}

fn seal(body: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut rng = TestRng::new(1);
    RequestSealer::new(&id(), &secret(), &mut rng).seal(AUDIO, TYPE, body, &mut rng)
}

fn open(sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    RequestOpener::new(&id(), &secret()).open(AUDIO, TYPE, sealed)
}

fn parts(body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let form = Form::parse(TYPE.unwrap(), body).unwrap();
    form.parts().iter().map(|part| (part.name.clone(), part.body.to_vec())).collect()
}

#[test]
fn round_trip() {
    let body = form(&[
        file("file", "Diagnose.wav", "\0RIFF\r\n--X"),
        text("model", "whisper"),
        text("prompt", "b"),
        text("a.b", ""),
        text("prompt", "again"),
        text("stream", "true"),
    ]);
    let sealed = seal(&body).unwrap();
    let wire = String::from_utf8(sealed.clone()).unwrap();
    for secret in ["Diagnose", "RIFF", "again", "audio/wav"] {
        assert!(!wire.contains(secret), "{secret}");
    }
    assert!(wire.contains("name=\"model\"\r\n\r\nwhisper\r\n"));
    assert!(wire.contains("name=\"file\"; filename=\"file\"\r\n"));
    let opened = open(&sealed).unwrap();
    assert_eq!(parts(&opened), parts(&body));
}

/// Text parts are counted before files, each in the order of their names: what another implementation would do.
#[test]
fn counting_order() {
    let sealed = seal(&form(&[file("a", "x", "1"), text("z", "2"), text("b", "3"), text("z", "4")])).unwrap();
    let part = |index: usize| String::from_utf8(parts(&sealed)[index].1.clone()).unwrap();
    // The same values sealed one by one in counting order must open in a JSON document of that order; numbers are JSON too.
    let json = format!("{{\"1\":{},\"2\":{},\"3\":{},\"4\":{}}}", part(2), part(1), part(3), part(0));
    assert_eq!(open_request(CHAT, json.as_bytes()).unwrap().0, br#"{"1":3,"2":2,"3":4,"4":1}"#);
}

#[test]
fn what_is_refused() {
    assert_eq!(seal(&form(&[file("model", "x", "1")])), Err(SealError::PlainFile { name: "model".into() }));
    assert_eq!(seal(b"{}"), Err(SealError::Multipart(MultipartError::NoStart)));
    let mut rng = TestRng::new(1);
    let error = RequestSealer::new(&id(), &secret(), &mut rng).seal(AUDIO, None, b"x", &mut rng);
    assert_eq!(error, Err(SealError::Multipart(MultipartError::NotMultipart)));

    let not_sealed = |name: &str| Err(OpenError::NotSealed { name: name.into() });
    assert_eq!(open(&form(&[text("prompt", "plain")])), not_sealed("prompt"));
    assert_eq!(open(&form(&[file("file", "x", "plain")])), not_sealed("file"));
    assert_eq!(open(&form(&[file("model", "x", "plain")])), not_sealed("model"));
}

#[test]
fn parts_swapped_dropped_or_turned_into_files() {
    let sealed = seal(&form(&[text("a", "1"), text("b", "2"), file("c", "x", "3")])).unwrap();
    let values: Vec<String> =
        parts(&sealed).into_iter().map(|(_, body)| String::from_utf8(body).unwrap()).collect();
    let tampered = |name: &str| Err(OpenError::Tampered { name: name.into() });
    let (a, b, c) = (&*values[0], &*values[1], &*values[2]);
    assert_eq!(open(&form(&[text("a", b), text("b", a), file("c", "c", c)])), tampered("a"));
    assert_eq!(open(&form(&[text("b", b), file("c", "c", c)])), tampered("b"));
    assert_eq!(open(&form(&[text("a", a), text("a", a), text("b", b)])), tampered("a"));
    assert_eq!(open(&form(&[file("a", "a", a), text("b", b), file("c", "c", c)])), tampered("a"));
}

#[test]
fn content_with_the_boundary_cannot_break_out() {
    for content in ["x\r\n--XX\r\n", "--XX--", "\r\n--XX"] {
        let (sealed, _) = seal_request(Endpoint::Unstructured, content.as_bytes(), 1);
        let body = form(&[text("prompt", std::str::from_utf8(&sealed).unwrap())]);
        assert_eq!(open(&body), Err(OpenError::BadContent { name: "prompt".into() }), "{content:?}");
    }
}
