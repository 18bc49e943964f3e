//! Parsers of `core/manifest`.

use privatemode_manifest::{AttestationDocument, Manifest};

pub(crate) fn manifest(data: &[u8]) {
    if let Ok(manifest) = Manifest::parse(data) {
        assert_eq!(manifest.raw(), data);
    }
}

pub(crate) fn document(data: &[u8]) {
    if let Ok(document) = AttestationDocument::parse(data) {
        assert_eq!(AttestationDocument::parse(&document.to_json()).ok(), Some(document));
    }
}
