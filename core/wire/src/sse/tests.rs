use proptest::prelude::*;

use super::*;

#[derive(Debug, PartialEq)]
struct Seen {
    raw: Vec<u8>,
    name: Option<String>,
    data: Option<Vec<u8>>,
}

fn see(event: &Event<'_>) -> Seen {
    let name = event.name().map(Cow::into_owned);
    Seen { raw: event.raw().to_vec(), name, data: event.data().map(Cow::into_owned) }
}

fn frame(chunks: &[&[u8]]) -> Vec<Seen> {
    let mut framer = Framer::new();
    let mut seen = Vec::new();
    for chunk in chunks {
        framer
            .push(chunk, |event| {
                seen.push(see(&event));
                Ok::<(), SseError>(())
            })
            .unwrap();
    }
    if let Some(event) = framer.finish() {
        seen.push(see(&event));
    }
    seen
}

fn data(chunk: &str) -> Vec<Option<String>> {
    frame(&[chunk.as_bytes()])
        .into_iter()
        .map(|seen| seen.data.map(|d| String::from_utf8(d).unwrap()))
        .collect()
}

#[test]
fn line_ends_and_fields() {
    assert_eq!(
        data("data: a\n\ndata:b\r\n\r\ndata\r\rdata:  c\n\n"),
        [Some("a".into()), Some("b".into()), Some(String::new()), Some(" c".into())]
    );
    assert_eq!(data("data: a\ndata: b\n\n: comment\n\nid: 7\n\n\n"), [Some("a\nb".into()), None, None, None]);
    assert_eq!(data("dataset: a\n\n"), [None]);
    let seen = frame(&[b"event: first\nevent:second\ndata: x\n\n"]);
    assert_eq!(seen[0].name.as_deref(), Some("second"));
}

#[test]
fn byte_order_mark() {
    let seen = frame(&[b"\xef\xbb", b"\xbfdata: a\n\ndata: b\n\n"]);
    assert_eq!(seen[0].raw, b"\xef\xbb\xbfdata: a\n\n");
    assert_eq!(seen[0].data.as_deref(), Some(b"a".as_slice()));
    assert_eq!(seen.len(), 2);
    assert_eq!(frame(&[b"\xef\xbb\xbf\n"]).len(), 1);
}

#[test]
fn a_cut_event_is_left_over() {
    let mut framer = Framer::new();
    framer.push(b"data: a\n\ndata: b\n", |_| Ok::<(), SseError>(())).unwrap();
    assert_eq!(framer.finish().unwrap().raw(), b"data: b\n");
}

#[test]
fn the_size_is_capped() {
    let mut framer = Framer::with_limit(16);
    let none = |_: Event<'_>| Ok::<(), SseError>(());
    framer.push(b"data: 12345678\n\n", none).unwrap();
    assert_eq!(framer.push(b"data: 123456789\n\n", none), Err(SseError::TooLong { limit: 16 }));
    let mut framer = Framer::with_limit(16);
    framer.push(b"data: 12345678", none).unwrap();
    assert_eq!(framer.push(b"9012", none), Err(SseError::TooLong { limit: 16 }));
}

#[test]
fn other_data_same_event() {
    let write = |event: &str, data: &str| {
        let mut out = Vec::new();
        let mut framer = Framer::new();
        framer
            .push(event.as_bytes(), |event| {
                event.write_with_data(data.as_bytes(), &mut out);
                Ok::<(), SseError>(())
            })
            .unwrap();
        String::from_utf8(out).unwrap()
    };
    let event = "event: e\r\n: note\r\ndata:old\r\nid: 7\r\ndata: more\r\n\r\n";
    assert_eq!(write(event, "new"), "event: e\r\n: note\r\ndata:new\r\nid: 7\r\n\r\n");
    assert_eq!(write("data: x\n\n", "{\n1}"), "data: {\ndata: 1}\n\n");
    assert_eq!(write("data\n\n", "x"), "data: x\n\n");
    assert_eq!(write("\u{feff}data: x\n\n", "y"), "\u{feff}data: y\n\n");
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(
        text in "(\u{feff})?((data|event|id|: c|x)(:| |: )?[ab:]{0,3}(\n|\r|\r\n){1,3}){0,8}",
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let bytes = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        let whole = frame(&[bytes]);
        prop_assert_eq!(&frame(&chunks), &whole);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&frame(&single), &whole);
        let joined: Vec<u8> = whole.into_iter().flat_map(|seen| seen.raw).collect();
        prop_assert_eq!(joined, bytes);
    }
}
