//! What stands beside a document's content, as JSON.

use serde::{Deserialize, Serialize};

use super::Entry;
use crate::{document::Freshness, key::Key};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
pub(super) struct Sidecar {
    version: u32,
    kind: String,
    identity: String,
    /// Over content and issuers, in hexadecimal.
    sha256: String,
    pub(super) fetched_at: u64,
    pub(super) freshness: Freshness,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issuer_chain: Option<String>,
}

impl Sidecar {
    pub(super) fn new(key: &Key, digest: &[u8; 32], entry: &Entry) -> Self {
        Self {
            version: VERSION,
            kind: key.kind().as_str().to_owned(),
            identity: key.identity(),
            sha256: hex::encode(digest),
            fetched_at: entry.fetched_at.0,
            freshness: entry.freshness,
            etag: entry.etag.clone(),
            issuer_chain: entry.document.issuer_chain.clone(),
        }
    }

    /// The digest, if this is a sidecar that we can read, of `key`.
    pub(super) fn of(&self, key: &Key) -> Option<[u8; 32]> {
        let ours =
            self.version == VERSION && self.kind == key.kind().as_str() && self.identity == key.identity();
        let mut digest = [0; 32];
        hex::decode_to_slice(&self.sha256, &mut digest).ok().filter(|()| ours)?;
        Some(digest)
    }
}
