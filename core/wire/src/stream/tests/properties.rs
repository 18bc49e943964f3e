//! Any pieces, any bytes.

use proptest::prelude::*;

use super::*;

fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

fn padding() -> impl Strategy<Value = Padding> {
    prop_oneof![Just("off"), Just("bucket"), Just("constant/300/20")].prop_map(|text| text.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn exchanges_do_not_depend_on_their_pieces(
        padding in padding(),
        body in proptest::collection::vec(any::<u8>(), 0..3000),
        repeat in prop_oneof![Just(1usize), Just(60)],
        deltas in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..700), 0..5),
        receipt in any::<bool>(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let (secret, head) = (secret(1), head(padding, receipt));
        let body = body.repeat(repeat);
        let sent = send(&secret, &head, &body, 1);
        let (seen, opened, responder) = receive(&secret, &sent.salt, &cut(&sent.wire, &cuts)).unwrap();
        prop_assert_eq!(&seen, &head);
        prop_assert_eq!(&opened, &body);
        prop_assert_eq!(responder.request_digest(), sent.digest);
        let deltas: Vec<&[u8]> = deltas.iter().map(Vec::as_slice).collect();
        let answered = answer(responder, &deltas, 2);
        let (_, opened, end, digest) =
            read(sent.pending, &answered.salt, &cut(&answered.wire, &cuts)).unwrap();
        prop_assert_eq!(opened, deltas.concat());
        prop_assert_eq!(end, trailer());
        prop_assert_eq!(digest, answered.digest);
    }

    #[test]
    fn single_bytes(padding in padding(), body in proptest::collection::vec(any::<u8>(), 0..900)) {
        let (secret, head) = (secret(1), head(padding, true));
        let sent = send(&secret, &head, &body, 1);
        let pieces: Vec<&[u8]> = sent.wire.chunks(1).collect();
        prop_assert_eq!(receive(&secret, &sent.salt, &pieces).unwrap().1, body);
    }

    #[test]
    fn hostile_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        length in 29u32..80,
    ) {
        let framed = [&length.to_be_bytes()[..], &bytes].concat();
        for wire in [&bytes, &framed] {
            prop_assert!(receive(&secret(1), &RequestSalt::from_bytes([0; 32]), &[wire]).is_err());
            let keys = key::ExchangeKeys::new(&secret(1), &RequestSalt::from_bytes([0; 32]));
            let pending = PendingResponse::new(keys, ID, true);
            prop_assert!(read(pending, &ResponseSalt::from_bytes([0; 32]), &[wire]).is_err());
        }
        let _ = RequestHead::parse(&bytes);
        let _ = ResponseHead::parse(&bytes);
        let _ = Trailer::parse(&bytes);
    }

    /// Bytes that a broken or hostile peer seals with the right key.
    #[test]
    fn hostile_plaintexts_never_panic(
        plain in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            "\\{(\"(v|path|status|usage|padding|headers|receipt)\":(1|null|\"a\"|\\{\\}|\\[\\]),?){0,5}\\}".prop_map(|json| {
                [&u32::try_from(json.len()).unwrap().to_be_bytes()[..], json.as_bytes()].concat()
            }),
        ],
        last in any::<bool>(),
    ) {
        let keys = key::ExchangeKeys::new(&secret(1), &RequestSalt::from_bytes([0; 32]));
        let flag = if last { segment::Flag::Last } else { segment::Flag::More };
        let mut sealer = segment::SegmentSealer::new(keys.request(), None, &mut TestRng::new(1));
        let mut wire = [&[0; segment::FRAME][..], &plain].concat();
        sealer.seal(&mut wire, 0, 3, flag).unwrap();
        prop_assert!(receive(&secret(1), &RequestSalt::from_bytes([0; 32]), &[&wire]).is_err());

        let salt = ResponseSalt::from_bytes([0; 32]);
        let mut sealer = segment::SegmentSealer::new(keys.response(&salt), None, &mut TestRng::new(1));
        let mut wire = [&[0; segment::FRAME][..], &plain].concat();
        sealer.seal(&mut wire, 0, 3, flag).unwrap();
        prop_assert!(read(PendingResponse::new(keys, ID, true), &salt, &[&wire]).is_err());
    }
}
