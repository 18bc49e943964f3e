use proptest::prelude::*;

use super::*;

/// Raw JSON texts that a re-serialising implementation would damage.
fn raw_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1e400".to_owned()),
        Just("-0.0".to_owned()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?",
        any::<String>().prop_map(|text| crate::json::quote(&text)),
        Just("\"\\ud800\\/\\u0061\\\\\"".to_owned()),
    ];
    let space = || prop_oneof![Just(""), Just(" "), Just("\n\t")];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            (proptest::collection::vec(inner.clone(), 0..4), space())
                .prop_map(|(values, space)| format!("[{space}{}{space}]", values.join(","))),
            (proptest::collection::vec(("[a-c]{0,2}", inner), 0..4), space()).prop_map(|(members, space)| {
                let members: Vec<String> =
                    members.iter().map(|(n, v)| format!("\"{n}\"{space}:{v}")).collect();
                format!("{{{}{space}}}", members.join(","))
            }),
        ]
    })
}

fn document() -> impl Strategy<Value = String> {
    let name = prop_oneof![any::<String>(), "[a-c.?*]{1,3}", Just("model".to_owned()), Just("id".to_owned())];
    (proptest::collection::btree_map(name, (raw_value(), any::<u8>()), 0..6)).prop_map(|members| {
        let mut members: Vec<(String, (String, u8))> = members.into_iter().collect();
        members.sort_by_key(|(_, (_, order))| *order);
        let members: Vec<String> =
            members.iter().map(|(name, (raw, _))| format!(" {} :{raw}", crate::json::quote(name))).collect();
        format!("{{{} }}", members.join(","))
    })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    prop_oneof![Just(CHAT), Just(Endpoint::Messages), Just(Endpoint::Responses), Just(Endpoint::Embeddings)]
}

fn split<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn requests_arrive_byte_for_byte(body in document(), endpoint in endpoint(), seed in any::<u64>()) {
        let (sealed, _) = seal_request(endpoint, body.as_bytes(), seed);
        let (opened, _) = open_request(endpoint, &sealed).unwrap();
        prop_assert_eq!(String::from_utf8(opened).unwrap(), body);
    }

    #[test]
    fn array_responses_arrive_byte_for_byte(elements in proptest::collection::vec(raw_value(), 0..14)) {
        let body = format!("[ {} ]", elements.join(" , "));
        let (_, mut opener, mut sealer) = exchange();
        let sealed = sealer.seal(Endpoint::Unstructured, body.as_bytes(), &mut TestRng::new(2)).unwrap();
        let opened = opener.open(Endpoint::Unstructured, &sealed).unwrap();
        prop_assert_eq!(String::from_utf8(opened).unwrap(), body);
    }

    #[test]
    fn streams_do_not_depend_on_their_chunks(
        documents in proptest::collection::vec((document(), prop_oneof![Just("\n"), Just("\r\n"), Just("\r")], any::<bool>()), 0..4),
        seal_cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        open_cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut text = "data: {\"first\":0}\n\n".to_owned();
        for (document, end, named) in &documents {
            // Line breaks within a document would become several data lines; CR would become LF. What only some readers
            // take for a line break is refused, which `streams.rs` tests.
            let document = document.replace(['\n', '\t', '\u{85}', '\u{2028}', '\u{2029}'], " ");
            let name = if *named { format!(": note{end}event: e{end}") } else { String::new() };
            text += &format!("{name}data: {document}{end}{end}");
        }
        text += "data: [DONE]\n\n";

        let seal = |chunks: Vec<&[u8]>| {
            let (mut out, mut rng) = (Vec::new(), TestRng::new(4));
            let mut stream = exchange().2.into_stream(CHAT);
            for chunk in chunks {
                stream.push(chunk, &mut out, &mut rng).unwrap();
            }
            stream.finish(&mut out, &mut rng).unwrap();
            out
        };
        let sealed = seal(vec![text.as_bytes()]);
        prop_assert_eq!(&seal(split(text.as_bytes(), &seal_cuts)), &sealed);

        let open = |chunks: Vec<&[u8]>| {
            let mut out = Vec::new();
            let mut stream = exchange().1.into_stream(CHAT);
            for chunk in chunks {
                stream.push(chunk, &mut out).unwrap();
            }
            stream.finish().unwrap();
            String::from_utf8(out).unwrap()
        };
        prop_assert_eq!(&open(split(&sealed, &open_cuts)), &text);
        prop_assert_eq!(&open(sealed.chunks(1).collect()), &text);
    }

    #[test]
    fn hostile_bytes_never_panic(
        body in "([{}\\[\\]:,\"]|id:|[0-9a-f]{24}:|[0-9a-f]{32}|data: |\n|\"a\":\"id:[0-9a-f]{24}:[0-9a-f]{24}:[0-9a-f]{34}\"){0,12}",
        endpoint in endpoint(),
    ) {
        let _ = open_request(endpoint, body.as_bytes());
        let (_, mut opener, _) = exchange();
        let _ = opener.open(endpoint, body.as_bytes());
        let mut stream = opener.into_stream(endpoint);
        let _ = stream.push(body.as_bytes(), &mut Vec::new());
        let _ = stream.finish();
    }
}
