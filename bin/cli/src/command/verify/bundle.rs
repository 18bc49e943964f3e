//! A verification in one file: what was asked, what was answered, what was expected, what the vendors published, and when.
//!
//! A bundle is not trusted. Whoever made it chose the manifest in it, so a verdict on a bundle says: *this* manifest was
//! enforced, then. Which manifest that is, the reader compares, or gives with `--manifest`.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_attest::UnixTime;
use privatemode_collateral::{Bundle as Collateral, BundleError};
use privatemode_manifest::{AttestationDocument, Manifest};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

const FORMAT: &str = "privatemode-verification";
const VERSION: u32 = 1;
/// Longest file, in bytes: base64 of the longest document, manifest and collateral.
pub(super) const MAX: usize = 48 << 20;

/// What is verified.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) target: String,
    pub(super) at: UnixTime,
    pub(super) nonce: [u8; 32],
    pub(super) manifest: Vec<u8>,
    pub(super) document: Vec<u8>,
    pub(super) collateral: Collateral,
}

/// Why a file is no bundle.
#[derive(Debug, Error)]
pub(super) enum RecordError {
    #[error("it is not the JSON that `privatemode verify --save` writes")]
    Json { source: serde_json::Error },
    #[error("it is no verification of version {VERSION}; save it again with this program")]
    Version,
    #[error("its `{member}` is not base64")]
    Base64 { member: &'static str, source: base64::DecodeError },
    #[error("its `{member}` has {len} bytes, which none has")]
    Length { member: &'static str, len: usize },
    #[error("its `verified_at` is not a time such as 2026-01-31T12:00:00Z")]
    Time,
    #[error("its `collateral` cannot be used")]
    Collateral { source: BundleError },
}

/// Enough to tell what a file is, whatever else a newer version has.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    version: u32,
    target: String,
    verified_at: String,
    nonce: String,
    manifest: String,
    document: String,
    collateral: Box<RawValue>,
}

impl Recorded {
    /// Reads the bytes of a file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let json = |source| RecordError::Json { source };
        let head: Head = serde_json::from_slice(bytes).map_err(json)?;
        if head.format != FORMAT || head.version != VERSION {
            return Err(RecordError::Version);
        }
        let file: File = serde_json::from_slice(bytes).map_err(json)?;
        let at = crate::command::attest::input::parse_time(&file.verified_at);
        let nonce = base64("nonce", &file.nonce, 32)?;
        let collateral = file.collateral.get().as_bytes();
        Ok(Self {
            target: file.target.chars().take(300).collect(),
            at: at.ok().filter(|_| file.verified_at != "now").ok_or(RecordError::Time)?,
            nonce: nonce.try_into().map_err(|nonce: Vec<u8>| wrong_length("nonce", nonce.len()))?,
            manifest: base64("manifest", &file.manifest, Manifest::MAX_LEN)?,
            document: base64("document", &file.document, AttestationDocument::MAX_LEN)?,
            collateral: Collateral::parse(collateral).map_err(|source| RecordError::Collateral { source })?,
        })
    }

    /// The bytes of a file: the same for the same verification.
    pub(super) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let collateral = String::from_utf8_lossy(&self.collateral.to_bytes()).trim_end().to_owned();
        let file = File {
            format: FORMAT.to_owned(),
            version: VERSION,
            target: self.target.clone(),
            verified_at: self.at.to_string(),
            nonce: STANDARD.encode(self.nonce),
            manifest: STANDARD.encode(&self.manifest),
            document: STANDARD.encode(&self.document),
            collateral: RawValue::from_string(collateral)?,
        };
        let mut bytes = serde_json::to_vec_pretty(&file)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Writes the file whole or not at all.
    pub(super) fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut new = path.as_os_str().to_owned();
        new.push(format!(".{}.part", std::process::id()));
        let new = std::path::PathBuf::from(new);
        std::fs::write(&new, self.to_bytes()?)?;
        std::fs::rename(&new, path).inspect_err(|_| {
            let _gone = std::fs::remove_file(&new);
        })
    }
}

fn base64(member: &'static str, text: &str, max: usize) -> Result<Vec<u8>, RecordError> {
    let bytes = STANDARD.decode(text).map_err(|source| RecordError::Base64 { member, source })?;
    if bytes.len() > max { Err(wrong_length(member, bytes.len())) } else { Ok(bytes) }
}

fn wrong_length(member: &'static str, len: usize) -> RecordError {
    RecordError::Length { member, len }
}

#[cfg(test)]
mod tests;
