use super::*;
use crate::{
    found::{Origin, Provenance, State},
    key::{AmdProduct, AmdSigner, Fmspc, Kind, RimId},
};

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

fn found(key: Key, bytes: &[u8], issuer_chain: Option<&str>) -> Found {
    let document =
        Arc::new(Document { bytes: bytes.to_vec(), issuer_chain: issuer_chain.map(str::to_owned) });
    let provenance =
        Provenance { key, origin: Origin::Cache, fetched_at: Some(UnixTime(7)), state: State::Current };
    Found { document, provenance }
}

fn documents() -> Vec<Found> {
    let tcb_info = br#"{"tcbInfo":{"fmspc":"b0c06f000000"},"signature":"00"}"#;
    vec![
        found(Key::NvidiaRim { id: RimId::new("NV_1").unwrap() }, b"<a></a>", None),
        found(Key::AmdCrl { product: AmdProduct::Milan, signer: AmdSigner::Vcek }, &[0x30, 1, 0], None),
        found(Key::IntelTcbInfo { fmspc: Fmspc([0xb0, 0xc0, 0x6f, 0, 0, 0]) }, tcb_info, Some(PEM)),
    ]
}

fn bundle<'a>(found: impl IntoIterator<Item = &'a Found>) -> Bundle {
    let mut bundle = Bundle::new();
    found.into_iter().for_each(|found| bundle.add(found));
    bundle
}

#[test]
fn the_same_documents_make_the_same_bytes() {
    let documents = documents();
    let bytes = bundle(&documents).to_bytes();
    assert_eq!(bundle(documents.iter().rev()).to_bytes(), bytes);
    let read = Bundle::parse(&bytes).unwrap();
    assert_eq!((read.len(), read.is_empty()), (3, false));
    assert_eq!(read.to_bytes(), bytes);
    for found in documents {
        assert_eq!(read.document(&found.provenance.key), Some(found.document.as_ref()));
    }
    let only = Key::AmdCrl { product: AmdProduct::Milan, signer: AmdSigner::Vcek };
    let only = documents_with(&only);
    assert_eq!(
        String::from_utf8(bundle(&only).to_bytes()).unwrap(),
        "{\n  \"format\": \"privatemode-collateral\",\n  \"version\": 1,\n  \"documents\": [\n    {\n      \"kind\": \"amd-crl\",\n      \
         \"identity\": \"Milan/vcek\",\n      \"fetched_at\": 7,\n      \"document\": \"MAEA\"\n    }\n  ]\n}\n"
    );
}

fn documents_with(key: &Key) -> Vec<Found> {
    documents().into_iter().filter(|found| found.provenance.key == *key).collect()
}

#[test]
fn a_file_is_written_whole_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.json");
    let bundle = bundle(&documents());
    bundle.write(&path).unwrap();
    bundle.write(&path).unwrap();
    assert_eq!(Bundle::read(&path).unwrap().to_bytes(), bundle.to_bytes());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

    let missing = folder.path().join("missing").join("bundle.json");
    assert!(matches!(Bundle::read(&missing), Err(BundleError::Read { path, .. }) if path == missing));
    assert!(matches!(bundle.write(&missing), Err(BundleError::Write { path, .. }) if path == missing));
    let long = folder.path().join("long");
    std::fs::File::create(&long).unwrap().set_len(MAX_BUNDLE as u64 + 1).unwrap();
    assert!(matches!(Bundle::read(&long), Err(BundleError::TooLong { max: MAX_BUNDLE })));
}

fn file(entries: &str) -> Vec<u8> {
    format!(r#"{{"format":"privatemode-collateral","version":1,"documents":[{entries}]}}"#).into_bytes()
}

const CRL: &str = r#"{"kind":"amd-crl","identity":"Milan/vcek","document":"MAEA"}"#;

#[test]
fn what_is_no_bundle_is_refused_by_name() {
    assert_eq!(Bundle::parse(&file(CRL)).unwrap().len(), 1);
    let error = |bytes: &[u8]| Bundle::parse(bytes).unwrap_err();
    for text in ["", "[]", "{}", "{\"format\":1}"] {
        assert!(matches!(error(text.as_bytes()), BundleError::Malformed { .. }), "{text}");
    }
    let other = br#"{"format":"other","version":1,"documents":[]}"#;
    assert!(matches!(error(other), BundleError::Version));
    // a newer version may have members that we do not know; the version is what is wrong with it
    let newer = br#"{"format":"privatemode-collateral","version":2,"documents":[],"more":1}"#;
    assert!(matches!(error(newer), BundleError::Version));
    let more = br#"{"format":"privatemode-collateral","version":1,"documents":[],"more":1}"#;
    assert!(matches!(error(more), BundleError::Malformed { .. }));
    assert!(matches!(error(&vec![b' '; MAX_BUNDLE + 1]), BundleError::TooLong { max: MAX_BUNDLE }));
    let many = vec![CRL; MAX_DOCUMENTS + 1].join(",");
    assert!(matches!(error(&file(&many)), BundleError::TooMany { max: MAX_DOCUMENTS }));
}

#[test]
fn a_wrong_entry_is_refused_by_name() {
    let error = |entry: &str| Bundle::parse(&file(entry)).unwrap_err();
    let unknown = CRL.replace("amd-crl", "arm-crl");
    let source = InvalidKey::Kind;
    assert!(matches!(error(&unknown), BundleError::Name { index: 1, source: s } if s == source));
    let second = format!("{CRL},{}", CRL.replace("Milan", "milan"));
    let source = InvalidKey::Identity { kind: Kind::AmdCrl };
    assert!(matches!(error(&second), BundleError::Name { index: 2, source: s } if s == source));
    let encoding = CRL.replace("MAEA", "MAEA=");
    assert!(matches!(error(&encoding), BundleError::Encoding { index: 1 }));
    let cut = CRL.replace("MAEA", "MAIA");
    assert!(matches!(error(&cut), BundleError::Unusable { source: Unusable::NotDer, .. }));
    assert!(matches!(error(&format!("{CRL},{CRL}")), BundleError::Twice { key: Key::AmdCrl { .. } }));
}
