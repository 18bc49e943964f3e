use super::*;
use crate::sse::SseError;

fn seal_stream(endpoint: Endpoint, sealer: ResponseSealer, text: &str) -> Vec<u8> {
    let (mut out, mut rng) = (Vec::new(), TestRng::new(5));
    let mut stream = sealer.into_stream(endpoint);
    stream.push(text.as_bytes(), &mut out, &mut rng).unwrap();
    stream.finish(&mut out, &mut rng).unwrap();
    out
}

fn open_stream(endpoint: Endpoint, opener: ResponseOpener, sealed: &[u8]) -> Result<String, OpenError> {
    let mut stream = opener.into_stream(endpoint);
    let mut out = Vec::new();
    stream.push(sealed, &mut out)?;
    stream.finish()?;
    Ok(String::from_utf8(out).unwrap())
}

fn round_trip(endpoint: Endpoint, text: &str) -> Result<String, OpenError> {
    let (_, opener, sealer) = exchange();
    let sealed = seal_stream(endpoint, sealer, text);
    open_stream(endpoint, opener, &sealed)
}

#[test]
fn everything_but_data_passes_unchanged() {
    let text = "\u{feff}: hello\r\n\r\nretry: 5\n\nevent: chunk\r\ndata: {\"id\":\"1\",\"choices\":[1.0]}\r\nid: 9\r\n\r\n\n\ndata:{\"choices\":[2]}\n\ndata:\n\ndata: [DONE]\n\n: bye\n\n";
    let (_, opener, sealer) = exchange();
    let sealed = seal_stream(CHAT, sealer, text);
    let wire = String::from_utf8(sealed.clone()).unwrap();
    assert!(
        wire.starts_with(
            "\u{feff}: hello\r\n\r\nretry: 5\n\nevent: chunk\r\ndata: {\"id\":\"1\",\"choices\":\"id:"
        ),
        "{wire}"
    );
    assert!(wire.ends_with("data:\n\ndata: [DONE]\n\n: bye\n\n"));
    assert_eq!(open_stream(CHAT, opener, &sealed).unwrap(), text);
}

#[test]
fn end_markers() {
    let ends = |endpoint, last: &str| {
        let text = format!("data: {{\"type\":\"other\",\"x\":1}}\n\n{last}");
        match round_trip(endpoint, &text) {
            Ok(opened) => {
                assert_eq!(opened, text);
                true
            }
            Err(OpenError::Truncated) => false,
            Err(error) => panic!("{error:?}"),
        }
    };
    use Endpoint::*;
    for endpoint in [ChatCompletions, Completions, Transcriptions, Messages, Responses] {
        let typed = matches!(endpoint, Messages | Responses);
        assert_eq!(ends(endpoint, "data: [DONE]\n\n"), !typed, "{endpoint:?}");
        assert!(!ends(endpoint, ""), "{endpoint:?}");
        assert!(!ends(endpoint, ": [DONE]\n\n"), "{endpoint:?}");
        assert!(ends(endpoint, "data: {\"error\":{\"message\":\"from the engine\"}}\n\n"), "{endpoint:?}");
        assert!(!ends(endpoint, "data: {\"error\":null}\n\n"), "{endpoint:?}");
    }
    assert!(ends(Messages, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
    assert!(ends(Messages, "data: {\"type\":\"message_stop\"}\n\ndata: [DONE]\n\n"));
    assert!(!ends(ChatCompletions, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
    for kind in ["completed", "failed", "incomplete"] {
        assert!(ends(Responses, &format!("data: {{\"type\":\"response.{kind}\",\"response\":{{}}}}\n\n")));
    }
    assert!(!ends(Responses, "event: response.completed\ndata: {\"type\":\"response.created\"}\n\n"));
}

#[test]
fn cut_anywhere_before_the_marker_is_truncated() {
    let (_, _, sealer) = exchange();
    let sealed =
        seal_stream(CHAT, sealer, "data: {\"choices\":[1]}\n\ndata: {\"choices\":[2]}\n\ndata: [DONE]\n\n");
    // Behind `data: [DONE]` nothing of the answer is missing.
    let whole = sealed.len() - 2;
    for length in 0..sealed.len() {
        let (_, opener, _) = exchange();
        let expected = if length < whole { Err(OpenError::Truncated) } else { Ok(()) };
        assert_eq!(open_stream(CHAT, opener, &sealed[..length]).map(drop), expected, "{length}");
    }
}

#[test]
fn events_dropped_swapped_repeated_or_in_the_clear() {
    let (_, _, sealer) = exchange();
    let sealed = String::from_utf8(seal_stream(
        CHAT,
        sealer,
        "data: {\"choices\":[1]}\n\ndata: {\"choices\":[2]}\n\ndata: [DONE]\n\n",
    ))
    .unwrap();
    let events: Vec<&str> = sealed.split_inclusive("\n\n").collect();
    let open = |events: &[&str]| open_stream(CHAT, exchange().1, events.concat().as_bytes());
    let tampered = || Err(OpenError::Tampered { name: "choices".into() });
    assert!(open(&events).is_ok());
    assert_eq!(open(&[events[1], events[2]]), tampered());
    assert_eq!(open(&[events[1], events[0], events[2]]), tampered());
    assert_eq!(open(&[events[0], events[0], events[1], events[2]]), tampered());
    assert_eq!(
        open(&[events[0], "data: {\"choices\":[3]}\n\n"]),
        Err(OpenError::NotSealed { name: "choices".into() })
    );
    assert!(matches!(open(&["data: hello\n\n"]), Err(OpenError::Json(_))));
    // Cutting in front of a forged marker is a known hole of the format.
    assert!(open(&[events[0], events[2]]).is_ok());
}

#[test]
fn nothing_is_opened_after_an_error() {
    let (_, opener, sealer) = exchange();
    let sealed = seal_stream(CHAT, sealer, "data: {\"choices\":[1]}\n\ndata: [DONE]\n\n");
    let mut stream = opener.into_stream(CHAT);
    let mut out = Vec::new();
    assert!(matches!(stream.push(b"data: x\n\n", &mut out), Err(OpenError::Json(_))));
    assert_eq!(stream.push(&sealed, &mut out), Err(OpenError::AfterError));
    assert_eq!(out, b"");
    assert_eq!(stream.finish(), Err(OpenError::AfterError));
}

#[test]
fn errors_from_outside_the_sealed_path() {
    let event = crate::error_body::sse_error_event(&crate::error_body::openai(
        "worker lost",
        "server_error",
        None,
        None,
    ));
    assert_eq!(open_stream(CHAT, exchange().1, event.as_bytes()), Ok(event));
    let refused = |event: &str, name: &str| {
        let error = open_stream(CHAT, exchange().1, event.as_bytes()).unwrap_err();
        assert_eq!(error, OpenError::NotSealed { name: name.into() }, "{event}");
    };
    refused("data: {\"error\":{}}\n\n", "error");
    refused("event: error\ndata: {\"error\":\"text\"}\n\n", "error");
    refused("event: error\ndata: {\"choices\":[],\"error\":{}}\n\n", "choices");
    refused("event: error\ndata: {\"type\":\"error\"}\n\n", "type");
}

#[test]
fn several_data_lines_are_one_document() {
    let text = "data: {\"choices\":\ndata: [1,\ndata: 2]}\n\ndata: [DONE]\n\n";
    assert_eq!(round_trip(CHAT, text).unwrap(), text);
}

#[test]
fn the_engines_last_event_is_completed() {
    for (text, expected) in [
        ("data: [DONE]\n", "data: [DONE]\n\n"),
        ("data: [DONE]", "data: [DONE]\n\n"),
        ("data: [DONE]\r\n\r", "data: [DONE]\r\n\r\n"),
    ] {
        let first = "data: {\"choices\":[1]}\n\n";
        let whole = round_trip(CHAT, &format!("{first}{text}"));
        assert_eq!(whole, Ok(format!("{first}{expected}")), "{text:?}");
    }
    let (mut out, mut rng) = (Vec::new(), TestRng::new(1));
    let mut stream = exchange().2.into_stream(CHAT);
    stream.push(b"data: {\"choices\":[", &mut out, &mut rng).unwrap();
    assert!(matches!(stream.finish(&mut out, &mut rng), Err(SealError::Json(_))));
}

#[test]
fn attack_an_answer_that_was_emptied() {
    let truncated = |endpoint, text: &str| {
        assert_eq!(open_stream(endpoint, exchange().1, text.as_bytes()), Err(OpenError::Truncated), "{text}");
    };
    truncated(CHAT, "data: [DONE]\n\n");
    truncated(CHAT, "data: [DONE]");
    truncated(CHAT, "data: {\"id\":\"x\",\"usage\":{}}\n\ndata: [DONE]\n\n");
    truncated(Endpoint::Messages, "data: {\"type\":\"message_stop\"}\n\n");
}

#[test]
fn attack_a_line_that_only_some_clients_see() {
    let (_, _, sealer) = exchange();
    let sealed = seal_stream(CHAT, sealer, "data: {\"choices\":[1]}\n\ndata: [DONE]\n\n");
    let forged = "data: {\"choices\":[2]}";
    for odd in ["\u{b}", "\u{c}", "\u{1c}", "\u{1d}", "\u{1e}", "\u{85}", "\u{2028}", "\u{2029}"] {
        for event in [
            format!(": x{odd}{forged}\n\n"),
            format!("event: error\ndata: {{\"error\":{{\"message\":\"{odd}{forged}\"}}}}\n\n"),
        ] {
            let stream = [event.as_bytes(), &sealed].concat();
            let error = open_stream(CHAT, exchange().1, &stream).unwrap_err();
            assert_eq!(error, OpenError::Sse(SseError::OddLineBreak), "{event:?}");
        }
    }
    let latin1 = [b": \x85data: x\n\n".as_slice(), &sealed].concat();
    assert_eq!(
        open_stream(CHAT, exchange().1, &latin1),
        Err(OpenError::Sse(SseError::OddLineBreak)),
        "a reader of Latin-1 breaks there"
    );
    let friendly = [": Grüße\n\n".as_bytes(), &sealed].concat();
    assert!(open_stream(CHAT, exchange().1, &friendly).is_ok());
}

#[test]
fn an_event_that_would_be_too_long_once_sealed_is_refused_at_the_worker() {
    let event = |length: usize| format!("data: {{\"id\":\"1\",\"choices\":\"{}\"}}\n\n", "x".repeat(length));
    let seal = |text: &str| {
        let (_, _, sealer) = exchange();
        let mut out = Vec::new();
        sealer.into_stream(CHAT).push(text.as_bytes(), &mut out, &mut TestRng::new(5)).map(|()| out)
    };
    let longest = seal(&event(super::super::stream::MAX_SEALED_EVENT - 64)).unwrap();
    assert!(longest.len() < crate::sse::DEFAULT_MAX_EVENT, "{}", longest.len());
    let refused = seal(&event(super::super::stream::MAX_SEALED_EVENT));
    assert!(matches!(refused, Err(SealError::Sse(SseError::TooLong { .. }))), "{refused:?}");
}
