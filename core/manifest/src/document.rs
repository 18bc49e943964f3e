//! The attestation document: the coordinator's answer to a nonce, as JSON (`protocol.md` §8).
//!
//! Reads and writes; believes nothing. [`crate::verify_deployment`] is what makes it count.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_attest::{EvidenceKind, UnknownEvidenceKind};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a coordinator says of its deployment, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationDocument {
    /// Version of the coordinator, for people.
    pub version: String,
    /// The evidence, in the encoding of its kind.
    pub raw_attestation_doc: Vec<u8>,
    /// The kind of evidence; older coordinators do not say.
    pub attestation_type: Option<EvidenceKind>,
    /// The history, oldest manifest first, as raw bytes.
    pub manifests: Vec<Vec<u8>>,
    /// The policies, as raw bytes, in any order.
    pub policies: Vec<Vec<u8>>,
    /// PEM of the root CA.
    pub root_ca: Vec<u8>,
    /// PEM of the mesh CA.
    pub mesh_ca: Vec<u8>,
}

/// Why bytes are no attestation document.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// Longer than any document.
    #[error("the attestation document has {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Length that came.
        len: usize,
        /// Longest length.
        max: usize,
    },
    /// Not the JSON that it should be.
    #[error(
        "the attestation document is not the JSON object that a coordinator sends; is the address a coordinator's or gateway's?"
    )]
    Json {
        /// Where and why.
        source: serde_json::Error,
    },
    /// A member is not standard base64 with padding.
    #[error("`{member}` of the attestation document is not base64")]
    Base64 {
        /// Its name.
        member: &'static str,
        /// Where and why.
        source: base64::DecodeError,
    },
    /// More manifests or policies than a deployment has.
    #[error("`{member}` of the attestation document has {count} entries, at most {max} are allowed")]
    TooMany {
        /// Its name.
        member: &'static str,
        /// Entries that came.
        count: usize,
        /// Most entries.
        max: usize,
    },
    /// Evidence of a kind that this version does not know.
    #[error("the attestation document's evidence is of an unknown kind")]
    EvidenceKind {
        /// Which.
        source: UnknownEvidenceKind,
    },
}

#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(default)]
    version: String,
    raw_attestation_doc: String,
    #[serde(default)]
    attestation_type: Option<Vec<u64>>,
    manifests: Option<Vec<String>>,
    policies: Option<Vec<String>>,
    root_ca: String,
    mesh_ca: String,
}

impl AttestationDocument {
    /// Longest document that is read: policies are tens of KiB each.
    pub const MAX_LEN: usize = 4 * 1024 * 1024;
    /// Longest history.
    pub const MAX_MANIFESTS: usize = 256;
    /// Most policies.
    pub const MAX_POLICIES: usize = 1024;

    /// Reads a document.
    pub fn parse(json: &[u8]) -> Result<Self, DocumentError> {
        if json.len() > Self::MAX_LEN {
            return Err(DocumentError::TooLong { len: json.len(), max: Self::MAX_LEN });
        }
        let wire: Wire = serde_json::from_slice(json).map_err(|source| DocumentError::Json { source })?;
        let attestation_type = wire
            .attestation_type
            .map(|oid| EvidenceKind::from_oid(&oid))
            .transpose()
            .map_err(|source| DocumentError::EvidenceKind { source })?;
        Ok(Self {
            version: wire.version,
            raw_attestation_doc: decode("raw_attestation_doc", &wire.raw_attestation_doc)?,
            attestation_type,
            manifests: decode_list("manifests", &wire.manifests.unwrap_or_default(), Self::MAX_MANIFESTS)?,
            policies: decode_list("policies", &wire.policies.unwrap_or_default(), Self::MAX_POLICIES)?,
            root_ca: decode("root_ca", &wire.root_ca)?,
            mesh_ca: decode("mesh_ca", &wire.mesh_ca)?,
        })
    }

    /// Writes the document.
    pub fn to_json(&self) -> Vec<u8> {
        let list = |values: &[Vec<u8>]| Some(values.iter().map(|value| STANDARD.encode(value)).collect());
        let wire = Wire {
            version: self.version.clone(),
            raw_attestation_doc: STANDARD.encode(&self.raw_attestation_doc),
            attestation_type: self.attestation_type.map(|kind| kind.oid().to_vec()),
            manifests: list(&self.manifests),
            policies: list(&self.policies),
            root_ca: STANDARD.encode(&self.root_ca),
            mesh_ca: STANDARD.encode(&self.mesh_ca),
        };
        #[expect(clippy::expect_used, reason = "strings and numbers always serialise")]
        serde_json::to_vec(&wire).expect("strings and numbers always serialise")
    }
}

fn decode(member: &'static str, text: &str) -> Result<Vec<u8>, DocumentError> {
    STANDARD.decode(text).map_err(|source| DocumentError::Base64 { member, source })
}

fn decode_list(member: &'static str, list: &[String], max: usize) -> Result<Vec<Vec<u8>>, DocumentError> {
    if list.len() > max {
        return Err(DocumentError::TooMany { member, count: list.len(), max });
    }
    list.iter().map(|text| decode(member, text)).collect()
}

#[cfg(test)]
mod tests;
