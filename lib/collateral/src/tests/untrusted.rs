//! Whatever vendors, mirrors and files hold, reading it is bounded and never panics.

use proptest::prelude::*;

use crate::{Bundle, Document, Fmspc, Key, Kind, PckCa, RimId, check, declared_next_update};

fn keys() -> Vec<Key> {
    vec![
        super::support::vcek_key(),
        super::support::crl_key(),
        Key::IntelTcbInfo { fmspc: Fmspc([0; 6]) },
        Key::IntelQeIdentity,
        Key::IntelPckCrl { ca: PckCa::Platform },
        Key::NvidiaRim { id: RimId::new("NV_1").unwrap() },
        Key::NvidiaOcsp { request: [0; 32] },
    ]
}

/// Bytes that get past the first look.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let begin = prop::sample::select(vec![
        &b""[..],
        b"0",
        b"0\x82",
        b"-----BEGIN CERTIFICATE-----",
        b"{\"tcbInfo\":{",
        b"<",
        b"\xef\xbb\xbf<",
    ]);
    (begin, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(begin, rest)| [begin, &rest].concat())
}

proptest! {
    #[test]
    fn documents(bytes in bytes(), chain in prop::option::of(".{0,60}")) {
        let document = Document { bytes, issuer_chain: chain };
        for key in keys() {
            let usable = check(&key, &document).is_ok();
            prop_assert!(!usable || (1..=key.kind().max_len()).contains(&document.bytes.len()));
            prop_assert!(!usable || document.issuer_chain.is_some() || !key.kind().has_issuer_chain());
            let _read = declared_next_update(&key, &document);
        }
    }

    #[test]
    fn names(identity in ".{0,300}") {
        for kind in Kind::ALL {
            if let Ok(key) = Key::parse(kind.as_str(), &identity) {
                prop_assert_eq!(key.identity(), identity.clone());
            }
        }
    }

    #[test]
    fn bundles(text in "(\\{\"format\":\"privatemode-collateral\",\"version\":1,\"documents\":\\[)?.{0,100}") {
        if let Ok(bundle) = Bundle::parse(text.as_bytes()) {
            prop_assert!(bundle.len() < text.len());
        }
    }
}
