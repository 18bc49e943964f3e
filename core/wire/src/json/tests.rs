use proptest::prelude::*;

use super::*;

fn kind(text: &str) -> JsonErrorKind {
    Document::parse(text.as_bytes()).unwrap_err().kind
}

#[test]
fn spans_keep_the_text() {
    let text = br#" {"a" : 1.50e+3 , "b\u0041":{"x":[ ] } ,"c": "\ud83d\ude00" } "#;
    let object = Object::parse(text).unwrap();
    let members: Vec<(&str, &[u8])> = object.members().iter().map(|m| (&*m.name, m.raw)).collect();
    assert_eq!(members, [("a", b"1.50e+3".as_slice()), ("bA", b"{\"x\":[ ] }"), ("c", br#""\ud83d\ude00""#)]);
    assert_eq!(object.string("c").unwrap(), "\u{1f600}");
    for member in object.members() {
        assert_eq!(&text[member.span.clone()], member.raw);
    }
}

#[test]
fn arrays() {
    let array = Array::parse(b"[ 1 ,[2],{\"a\":3}, null]").unwrap();
    let raw: Vec<&[u8]> = array.elements().iter().map(|e| e.raw).collect();
    assert_eq!(raw, [b"1".as_slice(), b"[2]", b"{\"a\":3}", b"null"]);
    assert_eq!(Array::parse(b" [] ").unwrap().elements().len(), 0);
    assert_eq!(Array::parse(b"{}").unwrap_err().kind, JsonErrorKind::NotAnArray);
    assert_eq!(Object::parse(b"[]").unwrap_err().kind, JsonErrorKind::NotAnObject);
}

#[test]
fn duplicates_are_refused_however_they_are_spelled() {
    for text in
        [r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":2}"#, r#"{"\/":1,"b":0,"/":2}"#, r#"{"\ud800":1,"\udfff":2}"#]
    {
        assert_eq!(kind(text), JsonErrorKind::DuplicateName, "{text}");
    }
    let error = Object::parse(b"{\"a\":1,\n  \"\\u0061\":2}").unwrap_err();
    assert_eq!((error.offset, error.line, error.column), (10, 2, 3));
    assert_eq!(error.to_string(), "duplicate member name at line 2, column 3 (byte 10)");
}

#[test]
fn the_grammar_is_enforced() {
    use JsonErrorKind::*;
    let cases = [
        ("", UnexpectedEnd),
        ("  ", UnexpectedEnd),
        ("{", UnexpectedEnd),
        ("[1", UnexpectedEnd),
        ("{\"a\"", UnexpectedEnd),
        ("{\"a\":", UnexpectedEnd),
        ("[\"abc", UnexpectedEnd),
        ("\"text\"", NotADocument),
        ("1", NotADocument),
        ("null", NotADocument),
        ("{} {}", TrailingText),
        ("{}x", TrailingText),
        ("[1,]", Expected { expected: "a value" }),
        ("{\"a\":1,}", Expected { expected: "a member name in quotes" }),
        ("{a:1}", Expected { expected: "a member name in quotes" }),
        ("{\"a\" 1}", Expected { expected: "`:`" }),
        ("[1 2]", Expected { expected: "`,` or `]`" }),
        ("[{\"a\":1]]", Expected { expected: "`,` or `}`" }),
        ("[tru]", Expected { expected: "a value" }),
        ("[nan]", Expected { expected: "a value" }),
        ("[01]", BadNumber),
        ("[-]", BadNumber),
        ("[1.]", BadNumber),
        ("[1e]", BadNumber),
        ("[+1]", Expected { expected: "a value" }),
        ("[.5]", Expected { expected: "a value" }),
        ("[\"a\nb\"]", ControlCharacter),
        ("[\"\\x\"]", BadEscape),
        ("[\"\\u12g4\"]", BadEscape),
        ("['a']", Expected { expected: "a value" }),
        ("\u{feff}{}", NotADocument),
    ];
    for (text, expected) in cases {
        assert_eq!(kind(text), expected, "{text:?}");
    }
    assert_eq!(Document::parse(b"[\"\xff\"]").unwrap_err().kind, NotUtf8);
}

#[test]
fn depth_is_bounded_without_recursion() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Document::parse(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert_eq!(kind(&nested(MAX_DEPTH + 1)), JsonErrorKind::TooDeep);
    assert_eq!(kind(&"[".repeat(1_000_000)), JsonErrorKind::TooDeep);
    assert_eq!(kind(&"{\"a\":".repeat(1_000_000)), JsonErrorKind::TooDeep);
    let mixed = "[{\"a\":".repeat(MAX_DEPTH / 2) + "1" + &"}]".repeat(MAX_DEPTH / 2);
    assert!(Document::parse(mixed.as_bytes()).is_ok());
}

#[test]
fn many_members_stay_cheap() {
    // Comparing pairs would take 10^9 steps here.
    let members: Vec<String> = (0..60_000).map(|i| format!("\"{i}\":0")).collect();
    let text = format!("{{{}}}", members.join(","));
    assert_eq!(Object::parse(text.as_bytes()).unwrap().members().len(), 60_000);
}

#[test]
fn single_values() {
    for text in ["1", "\"a\"", "{}", "[1,{\"a\":null}]", "true", "-0.0e-7"] {
        assert_eq!(validate_value(text.as_bytes()), Ok(()), "{text}");
    }
    for text in ["", " 1", "1 ", "1,2", "\"a\",\"b\":1", "1}"] {
        assert!(validate_value(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn editing() {
    let text = b"{ \"a\":1, \"b\":2 }";
    let object = Object::parse(text).unwrap();
    let mut editor = Editor::new(text);
    editor.set(&object, 0, &[("b", b"[]"), ("c\"", b"3"), ("a", b"null"), ("d", b"4")]);
    assert_eq!(editor.finish(), br#"{ "a":null, "b":[],"c\"":3,"d":4 }"#);
    let empty = Object::parse(b" { } ").unwrap();
    let mut editor = Editor::new(b" { } ");
    editor.append(&empty, 0, &[("a", b"1"), ("b", b"2")]);
    assert_eq!(editor.finish(), b" { \"a\":1,\"b\":2} ");
}

#[test]
fn strings_are_decoded() {
    let decode = |raw: &str| string_value(raw.as_bytes()).map(Cow::into_owned);
    assert_eq!(decode(r#""a\"\\\/\b\f\n\r\t\u00e9""#).unwrap(), "a\"\\/\u{8}\u{c}\n\r\t\u{e9}");
    assert_eq!(decode(r#""\ud83d\ude00""#).unwrap(), "\u{1f600}");
    assert_eq!(decode(r#""\ud83dx\ude00""#).unwrap(), "\u{fffd}x\u{fffd}");
    assert_eq!(decode(r#""\ud83d\u0041""#).unwrap(), "\u{fffd}A");
    for bad in ["7", "\"a", "\"\\\"", r#""\u12""#, r#""\q""#, r#""\u+123""#] {
        assert_eq!(decode(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn quote_and_string_value_are_inverse(text in any::<String>()) {
        let quoted = quote(&text);
        prop_assert_eq!(string_value(quoted.as_bytes()).unwrap(), text.as_str());
        prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
    }

    #[test]
    fn agrees_with_serde_json(text in "[\\[\\]{}\",:0-9eE.+ \\-\\\\u\na-ftrnls]{0,24}") {
        // serde_json keeps the last of equal names and replaces nothing else that matters here.
        let ours = Document::parse(text.as_bytes());
        let theirs = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text);
        match ours {
            Ok(_) => prop_assert!(theirs.is_ok()),
            Err(error) if theirs.is_ok() => prop_assert!(
                matches!(error.kind, JsonErrorKind::NotADocument | JsonErrorKind::DuplicateName), "{}", error),
            Err(_) => {}
        }
    }

    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Document::parse(&bytes);
        let _ = validate_value(&bytes);
        let _ = string_value(&bytes);
    }
}

#[test]
fn entries_are_limited() {
    let object = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!("\"{n}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(Object::parse(object(MAX_MEMBERS).as_bytes()).unwrap().members().len(), MAX_MEMBERS);
    let error = Object::parse(object(MAX_MEMBERS + 1).as_bytes()).unwrap_err();
    assert_eq!(error.kind, JsonErrorKind::TooMany { most: MAX_MEMBERS });
    let array = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
    assert_eq!(Array::parse(array(MAX_ELEMENTS).as_bytes()).unwrap().elements().len(), MAX_ELEMENTS);
    let error = Array::parse(array(MAX_ELEMENTS + 1).as_bytes()).unwrap_err();
    assert_eq!(error.kind, JsonErrorKind::TooMany { most: MAX_ELEMENTS });
}
