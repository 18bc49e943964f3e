//! All collateral of a verification in one file, so that it can be repeated without a network.
//!
//! The file is JSON: `{"format": "privatemode-collateral", "version": 1, "documents": [{"kind", "identity", "fetched_at",
//! "issuer_chain", "document"}]}`, the document in base64, ordered by kind and identity: the same documents make the same bytes.
//! A bundle is not trusted: what is in it is verified like what comes from a vendor.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_attest::UnixTime;
use serde::{Deserialize, Serialize};

use crate::{
    document::{Document, Unusable, check},
    found::Found,
    key::{InvalidKey, Key},
};

const FORMAT: &str = "privatemode-collateral";
const VERSION: u32 = 1;
/// Longest file, in bytes.
pub const MAX_BUNDLE: usize = 32 << 20;
/// Most documents in one.
pub const MAX_DOCUMENTS: usize = 1024;

/// Why a file is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It cannot be read.
    #[error("cannot read the collateral bundle `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error("cannot write the collateral bundle `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Over the cap.
    #[error("the collateral bundle is longer than {max} bytes; a bundle for one deployment is far smaller")]
    TooLong {
        /// The cap.
        max: usize,
    },
    /// Over the cap.
    #[error("the collateral bundle has more than {max} documents; split it by deployment")]
    TooMany {
        /// The cap.
        max: usize,
    },
    /// Not laid out as a bundle.
    #[error("the collateral bundle is not the JSON that `privatemode verify` saves; save it again")]
    Malformed {
        /// Why.
        source: serde_json::Error,
    },
    /// Something else, or newer.
    #[error("this file is not a collateral bundle of version {VERSION}; save it again with this program")]
    Version,
    /// An entry's name.
    #[error("document {index} of the collateral bundle has no valid name; save the bundle again")]
    Name {
        /// Counted from 1.
        index: usize,
        /// Why.
        source: InvalidKey,
    },
    /// An entry's content.
    #[error("document {index} of the collateral bundle is not in base64; save the bundle again")]
    Encoding {
        /// Counted from 1.
        index: usize,
    },
    /// An entry that cannot be what it is named.
    #[error("the {key} in the collateral bundle cannot be used; save the bundle again")]
    Unusable {
        /// Which.
        key: Key,
        /// Why.
        source: Unusable,
    },
    /// Two entries of one name: which one would count?
    #[error("the {key} is in the collateral bundle twice; save the bundle again")]
    Twice {
        /// Which.
        key: Key,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    version: u32,
    documents: Vec<FileEntry>,
}

/// Enough to tell what a file is, whatever else a newer version has.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    kind: String,
    identity: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fetched_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer_chain: Option<String>,
    document: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) document: Arc<Document>,
    pub(crate) fetched_at: Option<UnixTime>,
}

/// Documents by key.
#[derive(Debug, Clone, Default)]
pub struct Bundle {
    documents: BTreeMap<Key, Kept>,
}

impl Bundle {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many documents.
    #[must_use]
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Adds a document, in place of an older one.
    pub fn add(&mut self, found: &Found) {
        let kept = Kept { document: Arc::clone(&found.document), fetched_at: found.provenance.fetched_at };
        self.documents.insert(found.provenance.key.clone(), kept);
    }

    /// The document of `key`.
    #[must_use]
    pub fn document(&self, key: &Key) -> Option<&Document> {
        self.documents.get(key).map(|kept| kept.document.as_ref())
    }

    pub(crate) fn kept(&self, key: &Key) -> Option<&Kept> {
        self.documents.get(key)
    }

    /// Reads a bundle from its bytes.
    ///
    /// # Errors
    /// [`BundleError`]
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_BUNDLE {
            return Err(BundleError::TooLong { max: MAX_BUNDLE });
        }
        let malformed = |source| BundleError::Malformed { source };
        let head: Head = serde_json::from_slice(bytes).map_err(malformed)?;
        if head.format != FORMAT || head.version != VERSION {
            return Err(BundleError::Version);
        }
        let file: File = serde_json::from_slice(bytes).map_err(malformed)?;
        if file.documents.len() > MAX_DOCUMENTS {
            return Err(BundleError::TooMany { max: MAX_DOCUMENTS });
        }
        let mut documents = BTreeMap::new();
        for (index, entry) in (1..).zip(file.documents) {
            let FileEntry { kind, identity, fetched_at, issuer_chain, document } = entry;
            let key = Key::parse(&kind, &identity).map_err(|source| BundleError::Name { index, source })?;
            let bytes = STANDARD.decode(document).map_err(|_| BundleError::Encoding { index })?;
            let document = Document { bytes, issuer_chain };
            if let Err(source) = check(&key, &document) {
                return Err(BundleError::Unusable { key, source });
            }
            let kept = Kept { document: Arc::new(document), fetched_at: fetched_at.map(UnixTime) };
            if documents.insert(key.clone(), kept).is_some() {
                return Err(BundleError::Twice { key });
            }
        }
        Ok(Self { documents })
    }

    /// Reads a bundle from a file of at most [`MAX_BUNDLE`] bytes.
    ///
    /// # Errors
    /// [`BundleError`]
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        let failed = |source| BundleError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MAX_BUNDLE as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        Self::parse(&bytes)
    }

    /// The bundle's bytes: the same for the same documents.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut documents: Vec<FileEntry> = self
            .documents
            .iter()
            .map(|(key, kept)| FileEntry {
                kind: key.kind().as_str().to_owned(),
                identity: key.identity(),
                fetched_at: kept.fetched_at.map(|time| time.0),
                issuer_chain: kept.document.issuer_chain.clone(),
                document: STANDARD.encode(&kept.document.bytes),
            })
            .collect();
        documents.sort_by(|a, b| (&a.kind, &a.identity).cmp(&(&b.kind, &b.identity)));
        let file = File { format: FORMAT.to_owned(), version: VERSION, documents };
        let mut bytes = serde_json::to_vec_pretty(&file).expect("strings and numbers are always JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Writes the bundle beside `path` and renames it into place.
    ///
    /// # Errors
    /// [`BundleError::Write`]
    pub fn write(&self, path: &Path) -> Result<(), BundleError> {
        let failed = |source| BundleError::Write { path: path.to_owned(), source };
        let mut new = path.as_os_str().to_owned();
        new.push(format!(".{}.part", std::process::id()));
        let new = PathBuf::from(new);
        std::fs::write(&new, self.to_bytes()).map_err(failed)?;
        std::fs::rename(&new, path).map_err(|source| {
            let _gone = std::fs::remove_file(&new);
            failed(source)
        })
    }
}

#[cfg(test)]
mod tests;
