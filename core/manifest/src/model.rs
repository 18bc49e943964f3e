//! The manifest: what the raw bytes say, checked for form. Specification: `attestation.md` §1.

use std::collections::BTreeMap;
use std::fmt;

use privatemode_attest::EvidenceKind;
use thiserror::Error;

use crate::digest::{ManifestDigest, PolicyHash};
use crate::parse;
use crate::reference::ReferenceValues;

/// A manifest. Keeps the raw bytes, which alone decide equality and the digest.
#[derive(Clone)]
pub struct Manifest {
    pub(crate) raw: Vec<u8>,
    pub(crate) parts: Parts,
}

/// What the parser made of the raw bytes.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) policies: BTreeMap<PolicyHash, PolicyEntry>,
    pub(crate) reference_values: ReferenceValues,
    pub(crate) workload_owners: Vec<Vec<u8>>,
    pub(crate) seedshare_owners: Vec<Vec<u8>>,
    pub(crate) protocols: Vec<String>,
    pub(crate) unknown: Vec<String>,
    pub(crate) missing: Vec<String>,
}

/// One workload that may take part in the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyEntry {
    /// Subject alternative names of its certificate; the first one is also the common name.
    pub sans: Vec<String>,
    /// Name of its workload secret, if it gets one.
    pub workload_secret_id: Option<String>,
    /// What it may do.
    pub role: Role,
}

/// What a workload may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Gets a certificate and nothing else.
    Workload,
    /// Enforces the manifest and issues the certificates.
    Coordinator,
}

/// Why bytes are no manifest. Every path names the place in the document.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// Longer than any manifest.
    #[error("the manifest has {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Length that came.
        len: usize,
        /// Longest length.
        max: usize,
    },
    /// Not JSON.
    #[error("the manifest is not valid JSON")]
    Json {
        /// Where and why.
        source: serde_json::Error,
    },
    /// A member twice, where readers could choose differently.
    #[error("the manifest has member `{path}` twice; names are compared without case. Remove one of them")]
    DuplicateMember {
        /// The second one.
        path: String,
    },
    /// Another type than the member has.
    #[error("`{path}` in the manifest must be {expected}")]
    WrongType {
        /// The place.
        path: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// Not hexadecimal of the right length.
    #[error("`{path}` in the manifest must be {bytes} bytes in hexadecimal")]
    Hex {
        /// The place.
        path: String,
        /// Bytes that belong there.
        bytes: usize,
    },
    /// Not one of the values that are known.
    #[error("`{path}` in the manifest is `{value}`, but must be one of: {allowed}")]
    UnknownValue {
        /// The place.
        path: String,
        /// What stands there, shortened.
        value: String,
        /// What may stand there.
        allowed: &'static str,
    },
    /// More entries than any manifest has.
    #[error("`{path}` in the manifest has more than {max} entries")]
    TooMany {
        /// The place.
        path: String,
        /// Most entries.
        max: usize,
    },
    /// A policy's name is no hash.
    #[error(
        "`Policies` in the manifest has an entry `{key}`: policies are named by their SHA-256, 64 hexadecimal digits"
    )]
    PolicyHash {
        /// The name, shortened.
        key: String,
    },
    /// Nobody could enforce it.
    #[error("the manifest has no policy with the role `coordinator`, so no coordinator could enforce it")]
    NoCoordinator,
    /// Nothing could be trusted under it.
    #[error("the manifest has no reference values, so no evidence could satisfy it")]
    NoReferenceValues,
    /// Simulated next to real hardware.
    #[error(
        "the manifest allows simulated evidence beside real hardware, which would undo all protection; make two manifests"
    )]
    MixedPlatforms,
}

impl Manifest {
    /// Longest manifest that is read.
    pub const MAX_LEN: usize = 1024 * 1024;

    /// Reads a manifest. The bytes are kept as they are.
    pub fn parse(raw: &[u8]) -> Result<Self, ManifestError> {
        if raw.len() > Self::MAX_LEN {
            return Err(ManifestError::TooLong { len: raw.len(), max: Self::MAX_LEN });
        }
        Ok(Self { raw: raw.to_vec(), parts: parse::manifest(raw)? })
    }

    /// The bytes, as they were read.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// SHA-256 of the raw bytes.
    pub fn digest(&self) -> ManifestDigest {
        ManifestDigest::of(&self.raw)
    }

    /// All policies, in the order of their hashes.
    pub fn policies(&self) -> impl Iterator<Item = (&PolicyHash, &PolicyEntry)> {
        self.parts.policies.iter()
    }

    /// The entry of a policy.
    pub fn policy(&self, hash: &PolicyHash) -> Option<&PolicyEntry> {
        self.parts.policies.get(hash)
    }

    /// The policies with the role coordinator: at least one.
    pub fn coordinator_policies(&self) -> impl Iterator<Item = &PolicyHash> {
        let coordinators = self.policies().filter(|(_, entry)| entry.role == Role::Coordinator);
        coordinators.map(|(hash, _)| hash)
    }

    /// What evidence must measure.
    pub fn reference_values(&self) -> &ReferenceValues {
        &self.parts.reference_values
    }

    /// The wire protocols that the deployment speaks; absent means sealed fields only (`protocol.md` §9).
    pub fn protocols(&self) -> &[String] {
        &self.parts.protocols
    }

    /// Whether it names the wire protocol, `sealed-body/1` for example.
    pub fn speaks(&self, protocol: &str) -> bool {
        self.parts.protocols.iter().any(|spoken| spoken == protocol)
    }

    /// Whether it is for the simulated platform: nothing under it is protected by hardware.
    pub fn is_simulated(&self) -> bool {
        !self.parts.reference_values.simulated.is_empty()
    }

    /// Whether it has reference values for this kind of evidence.
    pub fn names_platform(&self, kind: EvidenceKind) -> bool {
        let values = &self.parts.reference_values;
        match kind {
            EvidenceKind::Snp => !values.snp.is_empty(),
            EvidenceKind::Tdx => !values.tdx.is_empty(),
            EvidenceKind::Simulated => !values.simulated.is_empty(),
        }
    }

    /// Whether nobody can replace it: it names no workload owner whose signature an update would need.
    pub fn is_immutable(&self) -> bool {
        self.parts.workload_owners.is_empty()
    }

    /// Keys, or digests of keys, of those who may update it.
    pub fn workload_owners(&self) -> &[Vec<u8>] {
        &self.parts.workload_owners
    }

    /// Keys of those who may recover the coordinator (PKCS#1 DER).
    pub fn seedshare_owners(&self) -> &[Vec<u8>] {
        &self.parts.seedshare_owners
    }

    /// Members that this version does not know; ignored, but worth showing.
    pub fn unknown_members(&self) -> &[String] {
        &self.parts.unknown
    }

    /// Required reference values that are not there. A generator may leave them out; the verifier refuses them.
    pub fn expected_missing(&self) -> &[String] {
        &self.parts.missing
    }
}

/// Two manifests are equal if their bytes are.
impl PartialEq for Manifest {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for Manifest {}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manifest({})", self.digest())
    }
}

impl Role {
    /// The text in a manifest; a plain workload has none.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workload => "",
            Self::Coordinator => "coordinator",
        }
    }
}

#[cfg(test)]
mod tests;
