use super::*;

#[test]
fn trailers() {
    for outcome in [Outcome::Complete, Outcome::Failed, Outcome::Cancelled] {
        for usage in [None, Some(Usage::default())] {
            let trailer = Trailer { outcome, usage, receipt: None };
            assert_eq!(Trailer::parse(trailer.to_json().unwrap().as_bytes()), Ok(trailer));
        }
    }
    assert_eq!(Trailer::complete(None).to_json().unwrap(), r#"{"outcome":"complete","v":1}"#);
}

#[test]
fn malformed() {
    let parse = |text: &str| Trailer::parse(text.as_bytes()).unwrap_err();
    assert_eq!(parse(""), TrailerError::Missing);
    assert_eq!(parse(r#"{"outcome":"complete","v":2}"#), TrailerError::Version { version: 2 });
    assert!(matches!(parse(r#"{"outcome":"other","v":1}"#), TrailerError::Json(CanonicalError::Json { .. })));
    assert!(matches!(
        parse(r#"{"outcome":"complete","v":1,"x":1}"#),
        TrailerError::Json(CanonicalError::Json { .. })
    ));
    assert_eq!(parse(r#"{"v":1,"outcome":"complete"}"#), TrailerError::Json(CanonicalError::NotCanonical));
    let max = Trailer::MAX_LENGTH;
    let error = CanonicalError::TooLong { length: max + 1, max };
    assert_eq!(parse(&" ".repeat(max + 1)), TrailerError::Json(error));
}
