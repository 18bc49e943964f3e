use privatemode_attest::UnixTime;

use super::*;
use crate::key::{AmdProduct, AmdSigner, AmdTcb, ChipId, Fmspc, RimId};

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

fn plain(bytes: &[u8]) -> Document {
    Document { bytes: bytes.to_vec(), issuer_chain: None }
}

fn crl() -> Key {
    Key::AmdCrl { product: AmdProduct::Milan, signer: AmdSigner::Vcek }
}

fn vcek() -> Key {
    let tcb = AmdTcb { fmc: None, bootloader: 0, tee: 0, snp: 0, microcode: 0 };
    Key::AmdVcek { product: AmdProduct::Milan, chip_id: ChipId([1; 64]), tcb }
}

#[test]
fn der_is_one_value_of_the_stated_length() {
    for der in [&[0x30, 0][..], &[0x30, 0x81, 1, 9], &[0x30, 0x82, 0, 1, 9], &[0x30, 0x84, 0, 0, 0, 1, 9]] {
        assert_eq!(check(&crl(), &plain(der)), Ok(()), "{der:02x?}");
    }
    for der in [
        &[0x30][..],
        &[0x30, 1],
        &[0x30, 0, 0],
        &[0x31, 0],
        &[0x30, 0x80, 0, 0],
        &[0x30, 0x82, 1],
        &[0x30, 0x85, 0, 0, 0, 0, 1, 9],
        b"<html>",
    ] {
        assert_eq!(check(&crl(), &plain(der)), Err(Unusable::NotDer), "{der:02x?}");
    }
    assert_eq!(check(&crl(), &plain(b"")), Err(Unusable::Empty));
}

#[test]
fn caps_of_each_kind() {
    let rim = Key::NvidiaRim { id: RimId::new("NV_1").unwrap() };
    for (key, max) in [
        (vcek(), 64 << 10),
        (crl(), 1 << 20),
        (Key::IntelQeIdentity, 4 << 20),
        (rim, 4 << 20),
        (Key::NvidiaOcsp { request: [0; 32] }, 64 << 10),
    ] {
        assert_eq!(check(&key, &plain(&vec![b' '; max + 1])), Err(Unusable::TooLong { max }), "{key}");
        let at_the_cap = check(&key, &plain(&vec![b' '; max])).unwrap_err();
        assert_ne!(at_the_cap, Unusable::TooLong { max }, "{key}");
    }
}

#[test]
fn certificates_in_pem_are_complete() {
    let key = Key::AmdCertChain { product: AmdProduct::Milan, signer: AmdSigner::Vcek };
    for text in [PEM.to_owned(), format!("\n{PEM}\r\n{PEM}")] {
        assert_eq!(check(&key, &plain(text.as_bytes())), Ok(()));
        assert_eq!(check(&vcek(), &plain(PEM.as_bytes())), Ok(()), "one that was handed in may be PEM");
    }
    for text in ["-----BEGIN CERTIFICATE-----\nAAAA", "AAAA", &format!("{PEM}{}", &PEM[..40]), &PEM[1..]] {
        assert_eq!(check(&key, &plain(text.as_bytes())), Err(Unusable::NotPem), "{text}");
    }
    let parts = split_pem(format!("{PEM}\r\n{PEM}").as_bytes());
    assert_eq!(parts, [PEM.as_bytes(), PEM.as_bytes()]);
    assert_eq!(split_pem(b"none"), Vec::<Vec<u8>>::new());
}

#[test]
fn intels_json_is_whole_and_of_what_was_asked_for() {
    let key = Key::IntelTcbInfo { fmspc: Fmspc([0xb0, 0xc0, 0x6f, 0, 0, 0]) };
    let with = |text: &str| {
        let document = Document { bytes: text.as_bytes().to_vec(), issuer_chain: Some(PEM.to_owned()) };
        check(&key, &document)
    };
    let good = r#"{"tcbInfo":{"id":"TDX","fmspc":"B0C06F000000"},"signature":"00"}"#;
    assert_eq!(with(good), Ok(()));
    let found = "B0C06F000001".to_owned();
    assert_eq!(with(&good.replace("F000000", "F000001")), Err(Unusable::Other { found }));
    for text in [&good[..good.len() - 1], "[]", "{}", r#"{"tcbInfo":{"fmspc":"B0C06F000000"}}"#] {
        assert_eq!(with(text), Err(Unusable::NotJson), "{text}");
    }
    assert_eq!(check(&key, &plain(good.as_bytes())), Err(Unusable::NoIssuerChain));
    let cut = Document { issuer_chain: Some("AAAA".to_owned()), ..plain(good.as_bytes()) };
    assert_eq!(check(&key, &cut), Err(Unusable::NotPem));
    let long = Document { issuer_chain: Some(PEM.repeat(2000)), ..plain(good.as_bytes()) };
    assert_eq!(check(&key, &long), Err(Unusable::TooLong { max: 64 << 10 }));

    let identity = |id: &str| {
        let text = format!(r#"{{"enclaveIdentity":{{"id":"{id}"}},"signature":"00"}}"#);
        check(
            &Key::IntelQeIdentity,
            &Document { issuer_chain: Some(PEM.to_owned()), ..plain(text.as_bytes()) },
        )
    };
    assert_eq!(identity("TD_QE"), Ok(()));
    assert_eq!(identity("QE"), Err(Unusable::Other { found: "QE".to_owned() }));
}

#[test]
fn a_manifest_is_xml() {
    let key = Key::NvidiaRim { id: RimId::new("NV_1").unwrap() };
    assert_eq!(check(&key, &plain("\u{feff}<?xml version=\"1.0\"?>\n<a/>\n".as_bytes())), Ok(()));
    for text in [&b"<a"[..], b"{}", b"\xff<a/>", b"<!DOCTYPE html><html></html>"] {
        assert_eq!(check(&key, &plain(text)), Err(Unusable::NotXml));
    }
}

#[test]
fn labels_that_say_it_is_something_else() {
    for form in [Form::Certificate, Form::PemChain, Form::Crl, Form::Json, Form::Xml, Form::Ocsp] {
        for wrong in ["text/html", "TEXT/HTML; charset=utf-8", "application/xhtml+xml", "image/png"] {
            let error = check_content_type(form, wrong).unwrap_err();
            assert!(matches!(error, Unusable::ContentType { .. }), "{form:?} {wrong}");
        }
        // what a plain file server says of a file it does not know
        assert_eq!(check_content_type(form, "application/octet-stream"), Ok(()));
    }
    for (form, wrong) in [
        (Form::Crl, "application/json"),
        (Form::Certificate, "application/problem+json"),
        (Form::Ocsp, "text/plain"),
        (Form::Json, "application/pkix-cert"),
    ] {
        assert!(check_content_type(form, wrong).is_err(), "{form:?} {wrong}");
    }
}

#[test]
fn declared_next_updates() {
    let identity = plain(br#"{"enclaveIdentity":{"nextUpdate":"2026-01-01T00:00:00Z"},"signature":"00"}"#);
    let read = |document: &Document| declared_next_update(&Key::IntelQeIdentity, document);
    assert_eq!(read(&identity), Some(UnixTime(1_767_225_600)));
    assert_eq!(read(&plain(br#"{"enclaveIdentity":{"nextUpdate":"soon"}}"#)), None);
    assert_eq!(read(&plain(br#"{"enclaveIdentity":{"nextUpdate":"1960-01-01T00:00:00Z"}}"#)), None);
    assert_eq!(declared_next_update(&crl(), &plain(&[0x30, 0])), None);
    assert_eq!(declared_next_update(&vcek(), &plain(&[0x30, 0])), None);
}
