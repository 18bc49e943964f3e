use proptest::prelude::*;
use sha2::Digest as _;

use super::*;
use crate::encoding::edit::{Owned, added, with, without};

/// A quote whose every byte differs from its neighbours. `body` is 584 bytes (version 4), or a version 5 type.
fn quote(version: u16, body_type: u16, extra: usize) -> Vec<u8> {
    let pattern = |len: usize| (0..len).map(|n| (n % 251 + 1) as u8);
    let chain = 100_usize;
    let auth = 32_usize;
    let certification = 384 + 64 + 2 + auth + 6 + chain;
    let mut out = version.to_le_bytes().to_vec();
    out.extend(pattern(46));
    if version == 5 {
        let size = if body_type == 3 { 648_u32 } else { 584 };
        out.extend(body_type.to_le_bytes());
        out.extend(size.to_le_bytes());
        out.extend(pattern(size as usize));
    } else {
        out.extend(pattern(584));
    }
    out.extend(((64 + 64 + 6 + certification) as u32).to_le_bytes());
    out.extend(pattern(128));
    out.extend(6_u16.to_le_bytes());
    out.extend((certification as u32).to_le_bytes());
    out.extend(pattern(384 + 64));
    out.extend((auth as u16).to_le_bytes());
    out.extend(pattern(auth));
    out.extend(5_u16.to_le_bytes());
    out.extend((chain as u32).to_le_bytes());
    out.extend(pattern(chain));
    out.extend(pattern(extra));
    out
}

fn message() -> Vec<u8> {
    encode(&quote(4, 0, 10)).unwrap()
}

#[test]
fn quotes_come_back() {
    for (version, body) in [(4, 0), (5, 2), (5, 3)] {
        for extra in [0, 10] {
            let quote = quote(version, body, extra);
            assert_eq!(decode(&encode(&quote).unwrap()), Ok(quote));
        }
    }
}

/// The same members, written by Google's protobuf library from the published field numbers.
#[test]
fn another_encoder_writes_the_same_bytes() {
    let message = message();
    let digest = hex::encode(sha2::Sha256::digest(&message));
    assert_eq!(
        (message.len(), digest.as_str()),
        (1459, "d4c645424e5fdc49d4f87df7ca7c0267dd4d2cdf42dcc1c31f17f0418f173933")
    );
}

#[test]
fn the_tables_cover_their_structures_without_overlap() {
    for layout in [HEADER, BODY, body_v5(2).unwrap(), body_v5(3).unwrap(), QE_REPORT] {
        let mut covered = vec![0; layout.size];
        for place in layout.fields {
            covered[place.offset..place.offset + place.kind.size()].iter_mut().for_each(|n| *n += 1);
        }
        assert!(covered.iter().all(|n| *n == 1), "{}", layout.message);
    }
}

type Message = (&'static [u32], &'static str, &'static [(u32, &'static str)]);

/// Every message inside, its path, and its fields that must be there.
const MESSAGES: [Message; 6] = [
    (&[], "quote", &[(1, "header"), (2, "td_quote_body"), (4, "signed_data")]),
    (&[4], "signed_data", &[(1, "signature"), (2, "ecdsa_attestation_key"), (3, "certification_data")]),
    (&[4, 3], "certification_data", &[(3, "qe_report_certification_data")]),
    (
        &[4, 3, 3],
        "qe_report_certification_data",
        &[
            (1, "qe_report"),
            (2, "qe_report_signature"),
            (3, "qe_auth_data"),
            (4, "pck_certificate_chain_data"),
        ],
    ),
    (&[4, 3, 3, 3], "qe_auth_data", &[]),
    (&[4, 3, 3, 4], "pck_certificate_chain_data", &[]),
];

/// The structures of fixed size, and their paths.
const STRUCTURES: [(&[u32], &Layout); 3] = [(&[1], &HEADER), (&[2], &BODY), (&[4, 3, 3, 1], &QE_REPORT)];

#[test]
fn each_missing_field_is_named() {
    for (path, message_name, required) in MESSAGES {
        for (number, field) in required {
            let error = DecodeError::Missing { message: message_name, field };
            assert_eq!(decode(&without(&message(), path, *number)), Err(error));
        }
    }
    for (path, layout) in STRUCTURES {
        for place in layout.fields {
            let decoded = decode(&without(&message(), path, place.number));
            match place.kind {
                Kind::Number(_) if place.name == "version" => {
                    assert_eq!(decoded, Err(DecodeError::QuoteVersion { version: 0 }));
                }
                // a missing number is zero, which the signature does not cover
                Kind::Number(_) => assert_ne!(decoded.unwrap(), quote(4, 0, 10)),
                _ => {
                    let error = DecodeError::Missing { message: layout.message, field: place.name };
                    assert_eq!(decoded, Err(error));
                }
            }
        }
    }
}

#[test]
fn each_wrong_length_is_named() {
    for (path, layout) in STRUCTURES {
        for place in layout.fields {
            let (Kind::Bytes(want) | Kind::List { each: want, .. }) = place.kind else { continue };
            for have in [0, want - 1, want + 1] {
                let wrong = with(&message(), path, place.number, &Owned::Bytes(vec![1; have]));
                let error = DecodeError::Length { message: layout.message, field: place.name, have, want };
                assert_eq!(decode(&wrong), Err(error));
            }
        }
    }
    for (path, message_name, number, field) in [
        (&[4][..], "signed_data", 1, "signature"),
        (&[4], "signed_data", 2, "ecdsa_attestation_key"),
        (&[4, 3, 3], "qe_report_certification_data", 2, "qe_report_signature"),
    ] {
        for have in [0, 63, 65] {
            let wrong = with(&message(), path, number, &Owned::Bytes(vec![1; have]));
            let error = DecodeError::Length { message: message_name, field, have, want: 64 };
            assert_eq!(decode(&wrong), Err(error));
        }
    }
}

#[test]
fn a_list_has_as_many_members_as_the_hardware() {
    let five = added(&message(), &[2], 11, &Owned::Bytes(vec![1; 48]));
    let error = DecodeError::TooMany { message: "td_quote_body", field: "rtmrs", max: 4 };
    assert_eq!(decode(&five), Err(error));
    let one = with(&message(), &[2], 11, &Owned::Bytes(vec![1; 48]));
    assert_eq!(decode(&one), Err(DecodeError::Missing { message: "td_quote_body", field: "rtmrs" }));
}

#[test]
fn lengths_that_are_written_out_must_be_right() {
    for (path, message_name, number, field, actual) in [
        (&[][..], "quote", 3, "signed_data_size", 722_u64),
        (&[4, 3], "certification_data", 2, "size", 588),
        (&[4, 3, 3, 3], "qe_auth_data", 1, "parsed_data_size", 32),
        (&[4, 3, 3, 4], "pck_certificate_chain_data", 2, "size", 100),
    ] {
        for declared in [0, actual - 1, actual + 1, u64::MAX] {
            let wrong = with(&message(), path, number, &Owned::Number(declared));
            let actual = actual as usize;
            let error = DecodeError::Size { message: message_name, field, declared, actual };
            assert_eq!(decode(&wrong), Err(error));
        }
    }
}

#[test]
fn unknown_and_repeated_fields_are_refused_everywhere() {
    for (path, message_name, required) in MESSAGES {
        let error = DecodeError::UnknownField { message: message_name, number: 6 };
        assert_eq!(decode(&added(&message(), path, 6, &Owned::Number(1))), Err(error));
        for (number, field) in required {
            let error = DecodeError::Repeated { message: message_name, field };
            assert_eq!(decode(&added(&message(), path, *number, &Owned::Bytes(vec![]))), Err(error));
        }
    }
    for (path, layout) in STRUCTURES {
        let error = DecodeError::UnknownField { message: layout.message, number: 15 };
        assert_eq!(decode(&added(&message(), path, 15, &Owned::Number(1))), Err(error));
    }
}

#[test]
fn numbers_have_to_fit() {
    for (path, message_name, number, field, bytes) in [
        (&[1][..], "header", 1, "version", 2),
        (&[1], "header", 3, "tee_type", 4),
        (&[4, 3], "certification_data", 1, "certificate_data_type", 2),
        (&[4, 3, 3, 1], "qe_report", 9, "isv_prod_id", 2),
        (&[4, 3, 3, 4], "pck_certificate_chain_data", 1, "certificate_data_type", 2),
    ] {
        let value = 1 << (8 * bytes);
        let error = DecodeError::TooLarge { message: message_name, field, value, bytes };
        assert_eq!(decode(&with(&message(), path, number, &Owned::Number(value))), Err(error));
    }
}

#[test]
fn other_versions_and_bodies_are_refused() {
    for version in [0, 3, 6] {
        let wrong = with(&message(), &[1], 1, &Owned::Number(version));
        assert_eq!(decode(&wrong), Err(DecodeError::QuoteVersion { version }));
        let version = version as u16;
        assert_eq!(encode(&quote(version, 0, 0)), Err(EncodeError::QuoteVersion { version }));
    }
    let five = encode(&quote(5, 3, 0)).unwrap();
    for kind in [0, 1, 4, u64::MAX] {
        let wrong = with(&five, &[2], 1, &Owned::Number(kind));
        assert_eq!(decode(&wrong), Err(DecodeError::BodyType { kind }));
    }
    // type 2 has no members of TDX 1.5
    let wrong = with(&five, &[2], 1, &Owned::Number(2));
    let error = DecodeError::UnknownField { message: "td_quote_body_v5", number: 13 };
    assert_eq!(decode(&wrong), Err(error));
    let wrong = with(&five, &[2], 2, &Owned::Number(584));
    let error = DecodeError::Size {
        message: "td_quote_body_descriptor",
        field: "td_quote_body_size",
        declared: 584,
        actual: 648,
    };
    assert_eq!(decode(&wrong), Err(error));
    let mut wrong = quote(5, 3, 0);
    wrong[48] = 4;
    assert_eq!(encode(&wrong), Err(EncodeError::BodyType { kind: 4, size: 648 }));
}

#[test]
fn a_quote_that_ends_early_is_not_encoded() {
    let whole = quote(4, 0, 0);
    for (len, part) in [
        (0, "header"),
        (47, "header"),
        (48, "body"),
        (631, "body"),
        (635, "signature length"),
        (1000, "signature data"),
    ] {
        assert_eq!(encode(&whole[..len]), Err(EncodeError::Truncated { part }), "{len}");
    }
    for len in 0..whole.len() {
        assert!(encode(&whole[..len]).is_err(), "{len}");
    }
}

#[test]
fn lengths_inside_a_quote_must_be_right() {
    // offsets of the low bytes: certification data, authentication data, chain
    let start = 48 + 584 + 4 + 128;
    for (offset, error) in [
        (start + 2, EncodeError::Size { part: "certification data", declared: 588 ^ 1, actual: 588 }),
        (
            start + 6 + 448 + 2 + 32 + 2,
            EncodeError::Size { part: "PCK chain", declared: 100 ^ 1, actual: 100 },
        ),
    ] {
        let mut wrong = quote(4, 0, 0);
        wrong[offset] ^= 1;
        assert_eq!(encode(&wrong), Err(error));
    }
    let mut wrong = quote(4, 0, 0);
    wrong[start + 6 + 448 + 1] = 0xff;
    assert_eq!(encode(&wrong), Err(EncodeError::Truncated { part: "QE authentication data" }));
    let mut wrong = quote(4, 0, 0);
    wrong[start] = 5;
    assert_eq!(encode(&wrong), Err(EncodeError::CertificationType { kind: 5 }));
}

#[test]
fn sizes_are_capped() {
    let (len, max) = (MAX_EVIDENCE + 1, MAX_EVIDENCE);
    assert_eq!(decode(&vec![0; len]), Err(DecodeError::TooLong { len, max }));
    let len = MAX_QUOTE + 1;
    assert_eq!(encode(&vec![0; len]), Err(EncodeError::TooLong { part: "quote", len, max: MAX_QUOTE }));
    // what may be encoded may be decoded
    let largest = quote(5, 3, MAX_QUOTE - quote(5, 3, 0).len());
    assert_eq!(decode(&encode(&largest).unwrap()), Ok(largest));
}

proptest! {
    #[test]
    fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let _ = decode(&bytes);
        let _ = encode(&bytes);
    }

    #[test]
    fn no_damage_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(), version in 4_u16..6) {
        let mut bytes = quote(version, 3, 0);
        let place = at.index(bytes.len());
        let mut message = encode(&bytes).unwrap();
        bytes[place] = byte;
        if let Ok(message) = encode(&bytes) {
            prop_assert_eq!(decode(&message), Ok(bytes));
        }
        let place = at.index(message.len());
        message[place] = byte;
        let _ = decode(&message);
    }
}
