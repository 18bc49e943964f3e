use proptest::prelude::*;

use super::*;

const TYPE: &str = "multipart/form-data; boundary=XX";

fn parse(body: &str) -> Result<Form<'_>, MultipartError> {
    Form::parse(TYPE, body.as_bytes())
}

fn part(head: &str) -> String {
    format!("--XX\r\n{head}\r\n\r\nbody\r\n--XX--\r\n")
}

#[test]
fn curl_and_browser_forms() {
    let body = "--XX\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"Diagnose \\\"A\\\".wav\"\r\nContent-Type: audio/wav\r\n\r\n\0\r\n--X\r\nY\r\n--XX--\r\n";
    let form = parse(body).unwrap();
    assert_eq!(form.parts()[0], Part { name: "model".into(), file_name: None, body: b"whisper" });
    assert_eq!(form.parts()[1].file_name.as_deref(), Some("Diagnose \"A\".wav"));
    assert_eq!(form.parts()[1].body, b"\0\r\n--X\r\nY");
    let canonical = String::from_utf8(form.to_bytes()).unwrap();
    assert!(
        canonical
            .contains("name=\"file\"; filename=\"file\"\r\nContent-Type: application/octet-stream\r\n\r\n")
    );
    assert!(!canonical.contains("Diagnose"));
}

#[test]
fn boundaries() {
    let ok = |text: &str, expected: &str| assert_eq!(boundary(text).as_deref(), Ok(expected), "{text}");
    ok("multipart/form-data; boundary=abc", "abc");
    ok("Multipart/Form-Data; charset=utf-8; Boundary=\"a b=:c\"", "a b=:c");
    for text in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=ä",
        "multipart/form-data; boundary=\"a",
        // Engines decode names by it, or put the pieces together: to them it is another form.
        "multipart/form-data; boundary=a; charset=utf-7",
        "multipart/form-data; boundary=a; charset*=''utf-7",
        "multipart/form-data; boundary=a; boundary*0=b",
        "multipart/form-data; boundary=a; boundary*=''b",
    ] {
        assert_eq!(boundary(text), Err(MultipartError::Boundary), "{text}");
    }
    assert_eq!(
        boundary(&format!("multipart/form-data; boundary={}", "a".repeat(71))),
        Err(MultipartError::Boundary)
    );
    for text in ["", "application/json", "multipart/mixed; boundary=a"] {
        assert_eq!(boundary(text), Err(MultipartError::NotMultipart), "{text}");
    }
}

#[test]
fn strictness() {
    use MultipartError::*;
    let good = "Content-Disposition: form-data; name=a";
    assert_eq!(parse(&part(good)).unwrap().parts().len(), 1);
    assert_eq!(parse("--XX--").unwrap().parts().len(), 0);
    assert_eq!(parse("").unwrap_err(), NoStart);
    assert_eq!(parse("preamble\r\n--XX--").unwrap_err(), NoStart);
    assert_eq!(parse("--XX").unwrap_err(), NoEnd);
    assert_eq!(parse(&part(good).replace("--XX--", "--YY--")).unwrap_err(), NoEnd);
    assert_eq!(parse(&format!("{}epilogue", part(good))).unwrap_err(), TrailingText);
    assert_eq!(parse(&part(good).replace("body", "a\r\n--XXb")).unwrap_err(), BoundaryInPart { offset: 55 });
    assert_eq!(parse(&part(good).replace("body", "--XX")).unwrap_err(), BoundaryInPart { offset: 48 });
    for head in [
        "Content-Type: text/plain",
        "Content-Disposition: attachment; name=a",
        "Content-Disposition: form-data",
        "Content-Disposition: form-data; name=",
        "Content-Disposition: form-data; name=\"\"",
        "Content-Disposition: form-data; name=a; name=b",
        "Content-Disposition: form-data; name*=utf-8''a",
        // RFC 2231: to who joins the pieces this is `stream`.
        "Content-Disposition: form-data; name=a; name*0=str; name*1=eam",
        "Content-Disposition: form-data; name=a; name*0*=''stream",
        "Content-Disposition: form-data; name=a; filename*0=b",
        "Content-Disposition: form-data; name=\"a",
        "Content-Disposition: form-data; name=\"a\"b",
        "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
        "Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64",
        "Content-Disposition: form-data;\r\n name=a",
        "Content-Disposition : form-data; name=a",
        "no colon",
    ] {
        assert_eq!(parse(&part(head)).unwrap_err(), Head { offset: 6 }, "{head}");
    }
    let many = "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n".repeat(1025) + "--XX--";
    assert_eq!(parse(&many).unwrap_err(), TooManyParts);
}

#[test]
fn set_replaces_and_appends() {
    let body = "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n2\r\n--XX--\r\n";
    let mut form = parse(body).unwrap();
    form.set(&[("a", b"x"), ("b", b"y")]);
    let parts: Vec<(&str, &[u8])> = form.parts().iter().map(|p| (p.name.as_str(), p.body)).collect();
    assert_eq!(parts, [("a", b"x".as_slice()), ("b", b"y")]);
}

proptest! {
    #[test]
    fn writing_and_parsing_are_inverse(
        parts in proptest::collection::vec(("[^\\p{Cc}]{1,9}", any::<bool>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..6)
    ) {
        let boundary = "boundary-that-does-not-occur";
        let parts: Vec<Part<'_>> = parts.iter().map(|(name, file, body)| Part {
            name: name.clone(), file_name: file.then(|| name.clone()), body,
        }).collect();
        let form = Form { boundary: boundary.into(), parts };
        let bytes = form.to_bytes();
        let again = Form::parse(&format!("multipart/form-data; boundary={boundary}"), &bytes).unwrap();
        prop_assert_eq!(again.parts(), form.parts());
    }

    #[test]
    fn never_panics(body in "(--XX|\r\n|--|:|Content-Disposition: form-data; name=a|\"|\\\\|;|=|[a-b]){0,20}") {
        let _ = parse(&body);
        let _ = boundary(&body);
    }
}
