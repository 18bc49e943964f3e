use super::*;
use crate::stream::CanonicalError;
use crate::usage::Usage;

#[test]
fn salts_have_one_spelling() {
    let text = format!(":{}=:", "A".repeat(43));
    let salt = RequestSalt::parse_header(&text).unwrap();
    assert_eq!(salt.as_bytes(), &[0; 32]);
    assert_eq!(salt.to_header(), text);
    let a = |count| "A".repeat(count);
    for (bad, error) in [
        (String::new(), SaltError::Length { length: 0 }),
        (format!(":{}:", a(43)), SaltError::Length { length: 45 }),
        (format!(" {text}"), SaltError::Length { length: 47 }),
        (format!("{text};a"), SaltError::Length { length: 48 }),
        (format!("A{}=:", a(43)), SaltError::Colons),
        (format!(":{}=A", a(43)), SaltError::Colons),
        (format!(":{}:", a(44)), SaltError::Base64),
        (format!(":{}==:", a(42)), SaltError::Base64),
        (format!(":{}B=:", a(42)), SaltError::Base64),
        (format!(":{} =:", a(42)), SaltError::Base64),
        (format!(":{}_=:", a(42)), SaltError::Base64),
    ] {
        assert_eq!(RequestSalt::parse_header(&bad), Err(error.clone()), "{bad}");
        assert_eq!(ResponseSalt::parse_header(&bad), Err(error), "{bad}");
    }
}

#[test]
fn an_exchange_has_one_name() {
    let id = RequestSalt::from_bytes([0; 32]).exchange_id();
    // SHA-256 of 32 zero bytes, by another program.
    let text = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
    assert_eq!(id.to_string(), text);
    assert_eq!(ExchangeId::parse(text), Ok(id));
    assert_eq!(ExchangeId::from_bytes(*id.as_bytes()), id);
    assert_ne!(RequestSalt::from_bytes([1; 32]).exchange_id(), id);
    for bad in ["", &text[1..], &format!("{text}0"), &text.to_uppercase(), &text.replace("66", "6g")] {
        assert_eq!(ExchangeId::parse(bad), Err(ExchangeIdError), "{bad}");
    }
}

#[test]
fn content_types() {
    assert!(is_sealed("application/vnd.privatemode.encrypted-body"));
    assert!(is_sealed("Application/VND.privatemode.encrypted-body"));
    assert!(!is_sealed("application/vnd.privatemode.encrypted-body; x=1"));
    assert!(!is_sealed("application/json"));
}

#[test]
fn counts_have_one_spelling() {
    for (text, count) in [("0", 0), ("1", 1), ("18446744073709551615", u64::MAX)] {
        assert_eq!(parse_count(text), Some(count));
    }
    for text in ["", "-1", "+1", "01", "1.0", "1e3", " 1", "18446744073709551616"] {
        assert_eq!(parse_count(text), None, "{text}");
    }
}

#[test]
fn usage_headers() {
    let usage = Usage {
        prompt_tokens: 7,
        completion_tokens: 9,
        total_tokens: 16,
        cached_tokens: 4,
        ..Usage::default()
    };
    let text =
        r#"{"audio_seconds":0,"cached_tokens":4,"completion_tokens":9,"prompt_tokens":7,"total_tokens":16}"#;
    assert_eq!(usage_header(usage), text);
    assert_eq!(parse_usage(text), Ok(usage));
    let error = |text: &str| parse_usage(text).unwrap_err().0;
    assert_eq!(error(&text.replace(",\"t", ", \"t")), CanonicalError::NotCanonical);
    assert!(matches!(error(&text.replace("\"prompt_tokens\":7,", "")), CanonicalError::Json { .. }));
    assert!(matches!(error(&text.replace('}', ",\"x\":1}")), CanonicalError::Json { .. }));
    // One spelling for none, too.
    let audio = r#"{"audio_bytes":1,"#.to_owned() + &text[1..];
    assert_eq!(parse_usage(&audio), Ok(Usage { audio_bytes: 1, ..usage }));
    assert_eq!(usage_header(Usage { audio_bytes: 1, ..usage }), audio);
    assert_eq!(error(&audio.replace("bytes\":1", "bytes\":0")), CanonicalError::NotCanonical);
    assert_eq!(error(&" ".repeat(513)), CanonicalError::TooLong { length: 513, max: 512 });
}
