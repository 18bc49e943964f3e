use proptest::prelude::*;
use sha2::Digest as _;

use super::*;
use crate::encoding::edit::{Owned, added, edit, fields, with, without};

/// Every byte that a version 5 report uses is set.
fn report() -> [u8; REPORT_LEN] {
    let mut report = [0; REPORT_LEN];
    for place in REPORT.fields {
        for (offset, byte) in report.iter_mut().enumerate().skip(place.offset).take(place.kind.size()) {
            *byte = (offset % 251 + 1) as u8;
        }
    }
    report[..4].copy_from_slice(&5_u32.to_le_bytes());
    report[0x188..0x18b].copy_from_slice(&[0x19, 0x11, 1]);
    report
}

fn full() -> SnpEvidence {
    SnpEvidence {
        report: Box::new(report()),
        vcek: Some(b"vcek".to_vec()),
        vlek: Some(b"vlek".to_vec()),
        ask: Some(b"ask".to_vec()),
        ark: Some(b"ark".to_vec()),
        crl: Some(b"crl".to_vec()),
    }
}

fn message() -> Vec<u8> {
    encode(&full()).unwrap()
}

#[test]
fn evidence_comes_back() {
    assert_eq!(decode(&message()), Ok(full()));
    let alone = SnpEvidence::of_report(report());
    assert_eq!(decode(&encode(&alone).unwrap()), Ok(alone));
}

/// The same members, written by Google's protobuf library from the published field numbers.
#[test]
fn another_encoder_writes_the_same_bytes() {
    let message = message();
    let digest = hex::encode(sha2::Sha256::digest(&message));
    assert_eq!(
        (message.len(), digest.as_str()),
        (1161, "8c26a188e77d2af395939d246745a261922a9d4004c2a90a1536f58b6210f6c4")
    );
}

#[test]
fn the_table_covers_the_report_without_overlap() {
    let mut covered = [0; REPORT_LEN];
    for place in REPORT.fields {
        covered[place.offset..place.offset + place.kind.size()].iter_mut().for_each(|n| *n += 1);
    }
    let reserved: Vec<usize> = (0..REPORT_LEN).filter(|offset| covered[*offset] != 1).collect();
    let expected: Vec<usize> =
        [0x4c..0x50, 0x18b..0x1a0, 0x1eb..0x1ec, 0x1ef..0x1f0, 0x208..0x2a0].into_iter().flatten().collect();
    assert_eq!(reserved, expected);
    assert!(covered.iter().all(|n| *n <= 1));
}

#[test]
fn each_missing_field_is_named() {
    for place in REPORT.fields {
        let without = without(&message(), &[1], place.number);
        match place.kind {
            Kind::Bytes(_) => assert_eq!(
                decode(&without),
                Err(DecodeError::Missing { message: "report", field: place.name })
            ),
            // protobuf cannot tell a missing number from zero: the signature will not hold
            _ => assert!(decode(&without).map_or(place.name == "version", |e| e.report[..] != report()[..])),
        }
    }
    assert_eq!(
        decode(&without(&message(), &[], 1)),
        Err(DecodeError::Missing { message: "attestation", field: "report" })
    );
    let bare = decode(&without(&without(&message(), &[], 2), &[], 3));
    assert_eq!(bare, Ok(SnpEvidence::of_report(report())));
}

#[test]
fn each_wrong_length_is_named() {
    for place in REPORT.fields {
        let Kind::Bytes(want) = place.kind else { continue };
        for have in [0, 1, want - 1, want + 1, 2000] {
            let wrong = with(&message(), &[1], place.number, &Owned::Bytes(vec![7; have]));
            let error = DecodeError::Length { message: "report", field: place.name, have, want };
            assert_eq!(decode(&wrong), Err(error));
        }
    }
}

#[test]
fn each_number_has_to_fit() {
    for place in REPORT.fields {
        let Kind::Number(bytes @ 1..8) = place.kind else { continue };
        let value = 1 << (8 * bytes);
        let wrong = with(&message(), &[1], place.number, &Owned::Number(value));
        let error = DecodeError::TooLarge { message: "report", field: place.name, value, bytes };
        assert_eq!(decode(&wrong), Err(error));
    }
    let wrong = with(&message(), &[1], 29, &Owned::Number(0xf000_0000));
    assert_eq!(decode(&wrong), Err(DecodeError::Processor { value: 0xf000_0000 }));
}

#[test]
fn each_repeated_field_is_named() {
    for (number, value) in fields(&edit(&message(), &[], &mut |_| {})) {
        let field = ["report", "certificate_chain", "product"][number as usize - 1];
        let error = DecodeError::Repeated { message: "attestation", field };
        assert_eq!(decode(&added(&message(), &[], number, &value)), Err(error));
    }
    let mut report_fields = Vec::new();
    edit(&message(), &[1], &mut |fields| report_fields.clone_from(fields));
    assert_eq!(report_fields.len(), REPORT.fields.len());
    for (number, value) in report_fields {
        let field = REPORT.fields.iter().find(|place| place.number == number).unwrap().name;
        let error = DecodeError::Repeated { message: "report", field };
        assert_eq!(decode(&added(&message(), &[1], number, &value)), Err(error));
    }
    for (number, field) in [(1, "vcek_cert"), (2, "ask_cert"), (3, "ark_cert"), (6, "vlek_cert")] {
        let twice = added(&message(), &[2], number, &Owned::Bytes(b"other".to_vec()));
        assert_eq!(decode(&twice), Err(DecodeError::Repeated { message: "certificate_chain", field }));
    }
    let mut crl = None;
    edit(&message(), &[2], &mut |fields| crl = fields.iter().find(|(number, _)| *number == 7).cloned());
    let twice = added(&message(), &[2], 7, &crl.unwrap().1);
    assert_eq!(decode(&twice), Err(DecodeError::Repeated { message: "certificate_chain", field: "extras" }));
}

#[test]
fn each_wrong_type_is_named() {
    for place in REPORT.fields {
        let (value, wire_type) = match place.kind {
            Kind::Bytes(_) => (Owned::Number(1), 0),
            _ => (Owned::Bytes(vec![1]), 2),
        };
        let error = DecodeError::WireType { message: "report", field: place.name, wire_type };
        assert_eq!(decode(&with(&message(), &[1], place.number, &value)), Err(error));
    }
    for (number, field) in [(1, "vcek_cert"), (4, "firmware_cert"), (7, "extras")] {
        let error = DecodeError::WireType { message: "certificate_chain", field, wire_type: 0 };
        assert_eq!(decode(&with(&message(), &[2], number, &Owned::Number(1))), Err(error));
    }
}

#[test]
fn unknown_fields_are_refused_everywhere() {
    for (path, message_name, number) in [
        (&[][..], "attestation", 4),
        (&[1], "report", 32),
        (&[2], "certificate_chain", 5),
        (&[2, 7], "extras", 3),
    ] {
        let error = DecodeError::UnknownField { message: message_name, number };
        assert_eq!(decode(&added(&message(), path, number, &Owned::Bytes(vec![1]))), Err(error));
    }
}

#[test]
fn members_of_later_versions_are_refused_in_earlier_ones() {
    for (version, field) in [(2, "cpuid1eax_fms"), (4, "launch_mit_vector")] {
        let older = with(&message(), &[1], 1, &Owned::Number(version.into()));
        assert_eq!(decode(&older), Err(DecodeError::NotInVersion { field, version }));
    }
    let older = without(&with(&message(), &[1], 1, &Owned::Number(4)), &[1], 30);
    let error = DecodeError::NotInVersion { field: "current_mit_vector", version: 4 };
    assert_eq!(decode(&older), Err(error));
    let mut report = report();
    report[0] = 4;
    let error = EncodeError::NotCarried { offset: 0x1f8 };
    assert_eq!(encode(&SnpEvidence::of_report(report)), Err(error));
    report[0] = 2;
    assert_eq!(encode(&SnpEvidence::of_report(report)), Err(EncodeError::NotCarried { offset: 0x188 }));
}

#[test]
fn a_report_that_the_message_cannot_carry_is_not_encoded() {
    for offset in [0x4c, 0x18b, 0x19f, 0x1eb, 0x1ef, 0x208, 0x29f] {
        let mut report = report();
        report[offset] = 1;
        assert_eq!(encode(&SnpEvidence::of_report(report)), Err(EncodeError::NotCarried { offset }));
    }
    // CPUID has four bits for a stepping, the report eight
    let mut report = report();
    report[0x18a] = 0x10;
    assert_eq!(encode(&SnpEvidence::of_report(report)), Err(EncodeError::NotCarried { offset: 0x18a }));
}

#[test]
fn sizes_are_capped() {
    let too_long = vec![0; MAX_EVIDENCE + 1];
    let error = DecodeError::TooLong { len: MAX_EVIDENCE + 1, max: MAX_EVIDENCE };
    assert_eq!(decode(&too_long), Err(error));

    let large = Owned::Bytes(vec![1; MAX_CERTIFICATE + 1]);
    let (len, max) = (MAX_CERTIFICATE + 1, MAX_CERTIFICATE);
    let error = DecodeError::FieldTooLong { message: "certificate_chain", field: "ask_cert", len, max };
    assert_eq!(decode(&with(&message(), &[2], 2, &large)), Err(error));
    let evidence = SnpEvidence { ask: Some(vec![1; len]), ..full() };
    assert_eq!(encode(&evidence), Err(EncodeError::TooLong { part: "ASK", len, max }));

    let (len, max) = (MAX_CRL + 1, MAX_CRL);
    let evidence = SnpEvidence { crl: Some(vec![1; len]), ..full() };
    assert_eq!(encode(&evidence), Err(EncodeError::TooLong { part: "revocation list", len, max }));
    let crl = with(&message(), &[2, 7], 2, &Owned::Bytes(vec![1; len]));
    let error = DecodeError::FieldTooLong { message: "certificate_chain", field: "extras", len, max };
    assert_eq!(decode(&crl), Err(error));
}

#[test]
fn other_extras_are_read_over_up_to_a_number() {
    let other = || {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, b"ecae0c0f-9502-43b1-afa2-0ae2e0d565b6");
        put_bytes(&mut entry, 2, b"anything");
        Owned::Bytes(entry)
    };
    let mut many = message();
    for _ in 1..MAX_EXTRAS {
        many = added(&many, &[2], 7, &other());
    }
    assert_eq!(decode(&many), Ok(full()));
    let error = DecodeError::TooMany { message: "certificate_chain", field: "extras", max: MAX_EXTRAS };
    assert_eq!(decode(&added(&many, &[2], 7, &other())), Err(error));
}

#[test]
fn an_empty_certificate_is_none() {
    let empty = with(&message(), &[2], 6, &Owned::Bytes(Vec::new()));
    assert_eq!(decode(&empty), Ok(SnpEvidence { vlek: None, ..full() }));
}

#[test]
fn the_product_is_told_from_the_processor() {
    for (processor, expected) in [
        ([0x19, 0x01, 1], &b"\x08\x01\x1a\x02\x08\x01"[..]),
        ([0x19, 0x11, 0], b"\x08\x02\x1a\x00"),
        ([0x19, 0xa0, 2], b"\x08\x02\x1a\x02\x08\x02"),
        ([0x1a, 0x02, 1], b"\x08\x03\x1a\x02\x08\x01"),
        ([0x17, 0x01, 1], b""),
    ] {
        let mut report = report();
        report[0x188..0x18b].copy_from_slice(&processor);
        assert_eq!(product(&report), expected);
        assert!(decode(&encode(&SnpEvidence::of_report(report)).unwrap()).is_ok());
    }
}

proptest! {
    #[test]
    fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn no_damage_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = message();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let _ = decode(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = decode(&bytes);
    }

    #[test]
    fn what_encodes_comes_back(bytes in proptest::collection::vec(any::<u8>(), REPORT_LEN), keep_reserved in any::<bool>()) {
        let mut report: [u8; REPORT_LEN] = bytes.try_into().unwrap();
        if !keep_reserved {
            for range in [0x4c..0x50, 0x18b..0x1a0, 0x1eb..0x1ec, 0x1ef..0x1f0, 0x208..0x2a0] {
                report[range].fill(0);
            }
            report[0x18a] &= 0xf;
            report[3] |= 0x80; // of a later version than any
        }
        let evidence = SnpEvidence::of_report(report);
        match encode(&evidence) {
            Ok(message) => prop_assert_eq!(decode(&message), Ok(evidence)),
            Err(error) => {
                prop_assert!(keep_reserved, "{}", error);
                let is_not_carried = matches!(error, EncodeError::NotCarried { .. });
                prop_assert!(is_not_carried);
            }
        }
    }
}
