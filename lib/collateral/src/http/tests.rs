use reqwest::header::HeaderValue;

use super::*;

fn headers(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_str(value).unwrap());
    headers
}

#[test]
fn how_long_a_vendor_wants_to_be_left_alone() {
    let now = UnixTime(1_792_567_680); // 2026-10-21T07:28:00Z
    let asked = |value| retry_after(&headers("retry-after", value), now);
    assert_eq!(asked("7"), Some(Duration::from_secs(7)));
    assert_eq!(asked("Wed, 21 Oct 2026 07:28:30 GMT"), Some(Duration::from_secs(30)));
    assert_eq!(asked("Wed, 21 Oct 2026 07:00:00 GMT"), Some(Duration::ZERO));
    for unreadable in ["soon", "-1", ""] {
        assert_eq!(asked(unreadable), None, "{unreadable}");
    }
    assert_eq!(retry_after(&HeaderMap::new(), now), None);
}

#[test]
fn the_issuers_are_in_a_header() {
    let pem = "-----BEGIN%20CERTIFICATE-----%0AAB+c%0A-----END%20CERTIFICATE-----%0A";
    let key = Key::IntelQeIdentity;
    let unwrapped = |headers: &HeaderMap| body::unwrap(&key, b"{}".to_vec(), headers);
    let document = unwrapped(&headers("SGX-Enclave-Identity-Issuer-Chain", pem)).unwrap();
    assert_eq!(
        document.issuer_chain.as_deref(),
        Some("-----BEGIN CERTIFICATE-----\nAB+c\n-----END CERTIFICATE-----\n")
    );
    assert_eq!(unwrapped(&HeaderMap::new()), Err(Unusable::NoIssuerChain));
    for cut in ["%", "%2", "%zz", "%ff%fe"] {
        assert_eq!(
            unwrapped(&headers("SGX-Enclave-Identity-Issuer-Chain", cut)),
            Err(Unusable::NotPem),
            "{cut}"
        );
    }
}

#[test]
fn a_manifest_is_taken_out_of_its_json() {
    let key = Key::NvidiaRim { id: crate::key::RimId::new("NV_X").unwrap() };
    let unwrapped = |json: &str| body::unwrap(&key, json.as_bytes().to_vec(), &HeaderMap::new());
    assert_eq!(unwrapped(r#"{"id":"NV_X","rim":"PGE+\nPC9hPg=="}"#).unwrap().bytes, b"<a></a>");
    assert_eq!(unwrapped(r#"{"rim":"PGE+"}"#).unwrap().bytes, b"<a>");
    assert_eq!(unwrapped(r#"{"id":"NV_Y","rim":"PGE+"}"#), Err(Unusable::Other { found: "NV_Y".to_owned() }));
    for broken in ["{}", r#"{"rim":"?"}"#, "<html>", r#"{"rim":"PGE"#] {
        assert_eq!(unwrapped(broken), Err(Unusable::NotJson), "{broken}");
    }
}

#[test]
fn a_revocation_list_in_hexadecimal_is_der_all_the_same() {
    let unwrapped = |bytes: &[u8]| body::unwrap(&Key::IntelRootCrl, bytes.to_vec(), &HeaderMap::new());
    assert_eq!(unwrapped(b"3003020101\n").unwrap().bytes, [0x30, 3, 2, 1, 1]);
    assert_eq!(unwrapped(&[0x30, 3, 2, 1, 1]).unwrap().bytes, [0x30, 3, 2, 1, 1]);
}
