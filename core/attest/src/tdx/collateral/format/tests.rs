use super::*;
use crate::tdx::fakes::{collateral, good, refused};

fn json() -> String {
    collateral(&good()).to_json().unwrap()
}

fn parse(json: &str) -> Result<Collateral, CollateralFormatError> {
    Collateral::from_json(json.as_bytes())
}

fn answer(tcb_info: &[u8]) -> Result<Collateral, CollateralFormatError> {
    let set = good();
    Collateral::assemble(&PcsDocuments {
        tcb_info,
        tcb_info_issuer_chain: &set.tcb_signing_chain,
        qe_identity: &set.qe_identity,
        qe_identity_issuer_chain: &set.tcb_signing_chain,
        pck_crl: &set.pck_crl,
        pck_crl_issuer_chain: &set.pck_crl_issuer_chain,
        root_ca_crl: &set.root_ca_crl,
    })
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let collateral = collateral(&good());
    assert_eq!(parse(&collateral.to_json().unwrap()).unwrap(), collateral);
}

#[test]
fn members_come_once_and_no_others() {
    let json = json();
    let member = r#""pck_crl":""#;
    for bad in [
        json.replacen(member, r#""pck_crl_":""#, 1),
        json.replacen(member, &format!(r#""pck_crl":"",{member}"#), 1),
        json.replacen(member, &format!(r#""more":"",{member}"#), 1),
        format!("{json}x"),
        format!("[{json}]"),
    ] {
        refused!(parse(&bad), CollateralFormatError::Json { what: "collateral file", .. });
    }
}

#[test]
fn hexadecimal_has_one_spelling() {
    let json = json();
    let crl = hex::encode(&good().pck_crl[..4]);
    let upper =
        json.replacen(&format!(r#""pck_crl":"{crl}"#), &format!(r#""pck_crl":"{}"#, crl.to_uppercase()), 1);
    let odd = json.replacen(r#""pck_crl":""#, r#""pck_crl":"3"#, 1);
    if upper != json {
        refused!(parse(&upper), CollateralFormatError::Hex { member: "pck_crl" });
    }
    refused!(parse(&odd), CollateralFormatError::Hex { member: "pck_crl" });
    let place = json.find(r#""tcb_info_signature":""#).unwrap() + 22;
    let short = format!("{}{}", &json[..place], &json[place + 2..]);
    refused!(parse(&short), CollateralFormatError::Hex { member: "tcb_info_signature" });
    let mut upper = json.clone();
    upper.replace_range(place..place + 2, "AA");
    refused!(parse(&upper), CollateralFormatError::Hex { member: "tcb_info_signature" });
}

#[test]
fn lengths_are_capped() {
    let long = vec![b' '; MAX_FILE + 1];
    refused!(Collateral::from_json(&long), CollateralFormatError::TooLong { what: "collateral file", .. });
    let long = vec![b' '; MAX_DOCUMENT + 1];
    refused!(answer(&long), CollateralFormatError::TooLong { what: "TCB info", .. });
    refused!(
        decode_issuer_chain(&"a".repeat(MAX_CHAIN + 1)),
        CollateralFormatError::TooLong { what: "issuer chain", .. }
    );
}

#[test]
fn answers_are_taken_apart_without_a_change() {
    let signature = "ab".repeat(64);
    let spaced = format!(r#"{{ "tcbInfo" : {{ "b" : 1 , "a":2.00 }} , "signature":"{signature}" }}"#);
    let collateral = answer(spaced.as_bytes()).unwrap();
    assert_eq!(collateral.tcb_info, r#"{ "b" : 1 , "a":2.00 }"#);
    assert_eq!(collateral.tcb_info_signature, [0xab; 64]);
    for bad in [
        format!(r#"{{"tcbInfo":{{}},"tcbInfo":{{}},"signature":"{signature}"}}"#),
        format!(r#"{{"tcbInfo":{{}},"signature":"{signature}","more":1}}"#),
        format!(r#"{{"enclaveIdentity":{{}},"signature":"{signature}"}}"#),
        r#"{"tcbInfo":{}}"#.to_owned(),
    ] {
        refused!(answer(bad.as_bytes()), CollateralFormatError::Json { what: "TCB info", .. });
    }
}

#[test]
fn headers_are_percent_encoded() {
    assert_eq!(
        decode_issuer_chain("-----BEGIN%20A-----%0Aab%2B%2f%0a").unwrap(),
        "-----BEGIN A-----\nab+/\n"
    );
    // form encoding has "+" for a blank; Intel's header has it for itself
    assert_eq!(decode_issuer_chain("a+b").unwrap(), "a+b");
    for bad in ["%", "%2", "%2x", "%ff"] {
        refused!(decode_issuer_chain(bad), CollateralFormatError::PercentEncoding);
    }
}
