//! What a coordinator enforces: a manifest with all its policies, checked before anything else happens.
//!
//! Reads no files. `attestation.md` §2: the manifest and every policy are validated before any key is made.

use std::collections::BTreeMap;

use privatemode_attest::EvidenceKind;
use privatemode_attest::signature::{PublicKey, PublicKeyError};
use privatemode_manifest::{Manifest, ManifestError, PolicyHash, Role};
use thiserror::Error;

use crate::names::{self, NameError};

/// Manifest and policies go into every attestation document, which is at most 4 MiB long in base64.
const MAX_TOTAL: usize = 2 * 1024 * 1024;

/// A policy as it came, with a name for messages.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    /// Where it came from.
    pub name: String,
    /// Its raw bytes, whose hash is its name in the manifest.
    pub bytes: Vec<u8>,
}

/// A checked deployment.
#[derive(Debug)]
pub struct Deployment {
    manifest: Manifest,
    policies: BTreeMap<PolicyHash, Vec<u8>>,
}

/// What this coordinator is: it must have its place in every manifest that it enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Hash of its policy.
    pub policy: PolicyHash,
    /// Kind of its evidence.
    pub kind: EvidenceKind,
}

/// Why a deployment cannot be enforced.
#[derive(Debug, Error)]
pub enum DeploymentError {
    /// No manifest.
    #[error("the manifest cannot be enforced")]
    Manifest {
        /// Why.
        source: ManifestError,
    },
    /// Clients would refuse it.
    #[error("the manifest lacks required reference values, so every client would refuse it; fill them in: {}", .names.join(", "))]
    ReferenceValueMissing {
        /// Paths in the manifest.
        names: Vec<String>,
    },
    /// Clients would refuse our evidence.
    #[error(
        "the manifest has no reference values for {kind}, the platform of this coordinator; every client would refuse its evidence"
    )]
    Platform {
        /// The platform.
        kind: EvidenceKind,
    },
    /// A policy that nothing refers to: most likely one that was changed after the manifest was made.
    #[error(
        "policy `{name}` (SHA-256 {hash}) is not in the manifest; generate the manifest again if the policy was changed, else remove the file"
    )]
    PolicyNotInManifest {
        /// Where it came from.
        name: String,
        /// Its hash.
        hash: PolicyHash,
    },
    /// A policy that is referred to, and not there.
    #[error("the manifest names policy {hash} ({}), but no policy file has that SHA-256", .sans.join(", "))]
    PolicyMissing {
        /// Its hash.
        hash: PolicyHash,
        /// Names of the workload.
        sans: Vec<String>,
    },
    /// This coordinator could not be trusted.
    #[error(
        "the coordinator's own policy (SHA-256 {hash}) does not have the role `coordinator` in the manifest; every client would refuse it"
    )]
    OwnPolicy {
        /// Its hash.
        hash: PolicyHash,
    },
    /// A workload that could not be named.
    #[error(
        "policy {hash} has no SANs in the manifest, so its certificate would name nobody; give it at least one"
    )]
    NoName {
        /// Its hash.
        hash: PolicyHash,
    },
    /// A name that no certificate can hold.
    #[error("policy {hash} has a SAN in the manifest that cannot be used")]
    Name {
        /// Its hash.
        hash: PolicyHash,
        /// Why.
        source: NameError,
    },
    /// Nobody could ever update it, although it says that somebody can.
    #[error(
        "a workload owner of the manifest (entry {index}) is neither an ECDSA key (SubjectPublicKeyInfo DER) nor the SHA-256 of one"
    )]
    WorkloadOwner {
        /// Its place among the owners, from 0.
        index: usize,
        /// Why.
        source: PublicKeyError,
    },
    /// Too long for an attestation document.
    #[error(
        "policies, manifest and earlier manifests have {len} bytes together, at most {max} fit into an attestation document"
    )]
    TooLong {
        /// Their length.
        len: usize,
        /// Longest length.
        max: usize,
    },
}

impl Deployment {
    /// Checks manifest, policies and the coordinator's own place in it. `earlier`: bytes of all earlier manifests, which go
    /// into every attestation document as well.
    pub fn check(
        manifest: &[u8],
        files: Vec<PolicyFile>,
        own: Own,
        earlier: usize,
    ) -> Result<Self, DeploymentError> {
        let manifest = Manifest::parse(manifest).map_err(|source| DeploymentError::Manifest { source })?;
        if !manifest.expected_missing().is_empty() {
            let names = manifest.expected_missing().to_vec();
            return Err(DeploymentError::ReferenceValueMissing { names });
        }
        let Own { policy: own_policy, kind } = own;
        if !manifest.names_platform(kind) {
            return Err(DeploymentError::Platform { kind });
        }
        if manifest.policy(&own_policy).is_none_or(|entry| entry.role != Role::Coordinator) {
            return Err(DeploymentError::OwnPolicy { hash: own_policy });
        }
        let policies = check_policies(&manifest, files)?;
        check_names(&manifest)?;
        check_owners(&manifest)?;
        let len = policies.values().map(Vec::len).sum::<usize>() + manifest.raw().len() + earlier;
        if len > MAX_TOTAL {
            return Err(DeploymentError::TooLong { len, max: MAX_TOTAL });
        }
        Ok(Self { manifest, policies })
    }

    /// The manifest in force.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The policies' raw bytes, in the order of their hashes.
    pub fn policies(&self) -> impl Iterator<Item = &[u8]> {
        self.policies.values().map(Vec::as_slice)
    }

    /// Policies by their hashes.
    pub fn policy_map(&self) -> &BTreeMap<PolicyHash, Vec<u8>> {
        &self.policies
    }
}

/// The files are exactly the policies that the manifest names.
fn check_policies(
    manifest: &Manifest,
    files: Vec<PolicyFile>,
) -> Result<BTreeMap<PolicyHash, Vec<u8>>, DeploymentError> {
    let mut policies = BTreeMap::new();
    for PolicyFile { name, bytes } in files {
        let hash = PolicyHash::of(&bytes);
        if manifest.policy(&hash).is_none() {
            return Err(DeploymentError::PolicyNotInManifest { name, hash });
        }
        policies.insert(hash, bytes);
    }
    match manifest.policies().find(|(hash, _)| !policies.contains_key(hash)) {
        Some((&hash, entry)) => Err(DeploymentError::PolicyMissing { hash, sans: entry.sans.clone() }),
        None => Ok(policies),
    }
}

/// Every entry can become a certificate: better known now than when a workload joins.
fn check_names(manifest: &Manifest) -> Result<(), DeploymentError> {
    for (&hash, entry) in manifest.policies() {
        if entry.sans.is_empty() {
            return Err(DeploymentError::NoName { hash });
        }
        for name in &entry.sans {
            names::classify(name).map_err(|source| DeploymentError::Name { hash, source })?;
        }
    }
    Ok(())
}

/// Every owner can be recognised: better known now than when an update is refused.
fn check_owners(manifest: &Manifest) -> Result<(), DeploymentError> {
    for (index, owner) in manifest.workload_owners().iter().enumerate() {
        // 32 bytes are a digest: no key is that short
        if owner.len() != 32 {
            PublicKey::parse_spki(owner)
                .map_err(|source| DeploymentError::WorkloadOwner { index, source })?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[cfg(feature = "simulated")]
mod tests;
