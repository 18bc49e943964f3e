//! The history of manifests and what the coordinator's evidence binds (`protocol.md` §8).

use std::fmt;
use std::str::FromStr;

use privatemode_attest::ReportData;
use sha2::{Digest, Sha256};

use crate::digest::HashError;

/// A digest over a whole history of manifests: SHA-256(SHA-256(manifest) ‖ previous transition), the first one after 32
/// zero bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Transition([u8; 32]);

impl Transition {
    /// The transition that `manifest` makes as the first of a history.
    #[must_use]
    pub fn first(manifest: &[u8]) -> Self {
        step(manifest, &[0; 32])
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The transition of that digest, as a store or a peer names it.
    #[must_use]
    pub fn of_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The transition that `manifest` makes after this one.
    #[must_use]
    pub fn then(&self, manifest: &[u8]) -> Self {
        step(manifest, &self.0)
    }
}

/// What a workload owner signs (ECDSA) to put `next`, a transition that is not in force yet, in force: SHA-256 of its 64
/// lower-case hexadecimal digits. Signing the digits lets any tool that does "SHA-256, then ECDSA" over a text file do it.
pub fn update_digest(next: &Transition) -> [u8; 32] {
    Sha256::digest(hex::encode(next.0)).into()
}

/// The last transition of a history, oldest manifest first. A history without a manifest has none.
pub fn transition<M: AsRef<[u8]>>(manifests: &[M]) -> Option<Transition> {
    let (first, later) = manifests.split_first()?;
    let start = Transition::first(first.as_ref());
    Some(later.iter().fold(start, |transition, manifest| transition.then(manifest.as_ref())))
}

/// The report data of the coordinator's evidence: it binds the caller's nonce, the whole history, and both CAs, as the PEM
/// bytes that are sent. SHA-256(nonce ‖ transition ‖ SHA-256(root CA) ‖ SHA-256(mesh CA)) ‖ 32 zero bytes.
pub fn report_data(nonce: &[u8; 32], transition: &Transition, root_ca: &[u8], mesh_ca: &[u8]) -> ReportData {
    let digest = Sha256::new()
        .chain_update(nonce)
        .chain_update(transition.0)
        .chain_update(Sha256::digest(root_ca))
        .chain_update(Sha256::digest(mesh_ca))
        .finalize();
    ReportData::of_digest(&digest.into())
}

fn step(manifest: &[u8], previous: &[u8; 32]) -> Transition {
    Transition(Sha256::new().chain_update(Sha256::digest(manifest)).chain_update(previous).finalize().into())
}

/// 64 hexadecimal digits of either case.
impl FromStr for Transition {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| HashError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transition({self})")
    }
}

#[cfg(test)]
mod tests;
