use http::{HeaderMap, HeaderValue, header};

use super::*;

fn meter(kind: &'static str) -> Meter {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Meter::for_answer(&headers)
}

/// The amounts, which must be the same however the answer is cut into pieces.
fn amounts(kind: &'static str, answer: &str) -> Amounts {
    let mut whole = meter(kind);
    whole.push(answer.as_bytes());
    let expected = whole.amounts();
    for size in [1, 2, 3, 7, 64] {
        let mut pieces = meter(kind);
        answer.as_bytes().chunks(size).for_each(|piece| pieces.push(piece));
        assert_eq!(pieces.amounts(), expected, "in pieces of {size}");
    }
    expected
}

fn tokens(prompt_tokens: u64, completion_tokens: u64) -> Amounts {
    Amounts { requests: 1, prompt_tokens, completion_tokens, ..Amounts::default() }
}

#[test]
fn usage_of_a_unary_answer() {
    let sealed = "a1:b2:c3:".to_owned() + &"d4".repeat(5000);
    for usage in [
        r#""usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}"#,
        r#" "usage" : { "completion_tokens" : 2 , "prompt_tokens":7 } "#,
    ] {
        let answer = format!(
            r#"{{"id":"x","choices":"{sealed}",{usage},"z":[1,{{"usage":{{"prompt_tokens":99}}}}]}}"#
        );
        assert_eq!(amounts("application/json; charset=utf-8", &answer), tokens(7, 2));
    }
}

#[test]
fn only_top_level_members_count() {
    for answer in [
        r#"{"a":"\"usage\":{\"prompt_tokens\":1}","b":{"usage":{"prompt_tokens":1}}}"#,
        r#"["usage",{"usage":{"prompt_tokens":1}}]"#,
        r#"{"a":"usage","b":"\\","c":["usage",{"prompt_tokens":1}]}"#,
        r#"}}]]{"usage"#,
        "",
    ] {
        assert_eq!(amounts("application/json", answer), tokens(0, 0), "{answer}");
    }
}

#[test]
fn strings_inside_the_usage_do_not_end_it() {
    let answer = r#"{"usage":{"note":"}\",{\\","prompt_tokens":3}}"#;
    assert_eq!(amounts("application/json", answer), tokens(3, 0));
}

#[test]
fn an_oversized_usage_is_not_kept() {
    let answer = format!(r#"{{"usage":{{"note":"{}","prompt_tokens":3}}}}"#, "x".repeat(100_000));
    assert_eq!(amounts("application/json", &answer), tokens(0, 0));
}

#[test]
fn usage_at_the_end_of_a_stream() {
    let answer = "data: {\"id\":\"1\",\"choices\":\"aa:bb\"}\r\n\r\nevent: x\r\n\
        data: {\"id\":\"1\",\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":1}}\r\n\r\n\
        data: {\"id\":\"1\",\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":6}}\r\n\r\ndata: [DONE]\r\n\r\n";
    assert_eq!(amounts("text/event-stream", answer), tokens(4, 6));
}

#[test]
fn audio_and_caches() {
    let audio = amounts("application/json", r#"{"text":"aa:bb","duration":"3.2"}"#);
    assert_eq!(audio.audio_seconds, 4);
    let cached = amounts(
        "application/json",
        r#"{"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":8}}}"#,
    );
    assert_eq!(cached.cached_tokens, 8);
}

#[test]
fn implausible_counts_are_capped() {
    let answer = r#"{"usage":{"prompt_tokens":18446744073709551615}}"#;
    assert_eq!(amounts("application/json", answer).prompt_tokens, PLAUSIBLE);
}

#[test]
fn other_answers_are_not_looked_at() {
    assert_eq!(amounts("text/plain", r#"{"usage":{"prompt_tokens":1}}"#), tokens(0, 0));
}

#[test]
fn an_event_that_is_too_large_does_not_undo_what_was_counted() {
    let mut meter = Meter::Events(StreamUsage::new());
    meter.push(b"data: {\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\ndata: ");
    meter.push(&vec![b'x'; privatemode_wire::sse::DEFAULT_MAX_EVENT + 1]);
    meter.push(b"\n\n");
    let amounts = meter.amounts();
    assert_eq!((amounts.prompt_tokens, amounts.completion_tokens), (7, 3));
}

#[test]
fn the_trailer_counts_for_sealed_answers_only() {
    let value =
        r#"{"audio_seconds":4,"cached_tokens":1,"completion_tokens":3,"prompt_tokens":5,"total_tokens":8}"#;
    let trailers = |values: &[&str]| {
        let mut trailers = HeaderMap::new();
        for value in values {
            trailers.append(USAGE, value.parse().unwrap());
        }
        trailers
    };
    let metered = |kind: &'static str, values: &[&str]| {
        let mut meter = meter(kind);
        meter.push(b"{\"usage\":{\"prompt_tokens\":9}}");
        meter.trailers(&trailers(values));
        meter.amounts()
    };
    const SEALED: &str = "application/vnd.privatemode.encrypted-body";
    let expected = Amounts { cached_tokens: 1, audio_seconds: 4, ..tokens(5, 3) };
    assert_eq!(metered(SEALED, &[value]), expected);
    assert_eq!(metered("application/json", &[value]), tokens(9, 0));
    for wrong in [&[][..], &[value, value], &["{}"], &["5"]] {
        assert_eq!(metered(SEALED, wrong), tokens(0, 0), "{wrong:?}");
    }
    let huge = value.replace(":5", &format!(":{}", u64::MAX));
    assert_eq!(metered(SEALED, &[&huge]).prompt_tokens, PLAUSIBLE);
}
