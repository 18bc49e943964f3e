//! Recovery: a coordinator that has no seed gets it from a share owner, or from another coordinator.
//!
//! Nothing that comes with the seed is believed: it must be the seed whose key signed the latest transition in the store, and
//! what the store holds is a chain of hashes below that signature. `attestation.md` §2.

use std::collections::BTreeMap;
use std::sync::Arc;

use p384::SecretKey;
use privatemode_attest::UnixTime;
use privatemode_attest::signature::Scheme;
use privatemode_manifest::history::Transition;
use privatemode_manifest::{Manifest, ManifestError};
use thiserror::Error;
use zeroize::Zeroizing;

use super::InForce;
use crate::authority::{Authority, AuthorityError, Certificates};
use crate::deployment::{Deployment, DeploymentError, Own, PolicyFile};
use crate::history::{HistoryError, Stored};
use crate::seed::{Seed, SeedError};
use crate::shares;

/// What a share owner sends.
pub struct RecoverRequest {
    /// The decrypted share.
    pub seed: Zeroizing<Vec<u8>>,
    /// The salt beside it.
    pub salt: Vec<u8>,
    /// The transition that the owner knows as the latest: a store that was rolled back has another one.
    pub latest: [u8; 32],
    /// The owner's key, PKCS #1 DER, as the manifest has it.
    pub owner_key: Vec<u8>,
    /// RSASSA-PSS with SHA-384 over [`Seed::recovery_message`].
    pub signature: Vec<u8>,
    /// Recover although another coordinator may be up, whose mesh CA would then be another one.
    pub force: bool,
}

/// What an attested coordinator of the same deployment sends.
pub struct PeerState {
    /// The seed.
    pub seed: Zeroizing<Vec<u8>>,
    /// The salt.
    pub salt: Vec<u8>,
    /// Key of the mesh CA.
    pub mesh_key: SecretKey,
    /// The manifest that it enforces.
    pub latest_manifest: Vec<u8>,
    /// Its CA certificates, unless it is of another make.
    pub certificates: Option<Certificates>,
}

/// Why a coordinator was not recovered.
#[derive(Debug, Error)]
pub enum RecoverError {
    /// There is nothing.
    #[error(
        "no manifest was ever set here, so there is nothing to recover; set one with `privatemode manifest set`"
    )]
    NothingToRecover,
    /// Already up.
    #[error("this coordinator is up to date and needs no recovery")]
    AlreadyRecovered,
    /// What the store holds is no history.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Not what the owner knows as the latest.
    #[error(
        "the store's latest transition is {stored}, the share owner expects {expected}{}", hint(*.contained)
    )]
    RolledBack {
        /// What the owner expects.
        expected: Transition,
        /// What the store holds.
        stored: Transition,
        /// Whether the expected one is an earlier one of the store's.
        contained: bool,
    },
    /// A stranger.
    #[error("the key is not one of the manifest's seed share owners")]
    NotAnOwner,
    /// Not by that owner, or over something else.
    #[error("the share owner's signature is not over this seed and this transition")]
    Signature,
    /// No seed.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// Another deployment's seed, or a store of another deployment.
    #[error("the seed is not the one of the history in the store")]
    WrongSeed {
        /// What the signature says.
        source: HistoryError,
    },
    /// The peer enforces another manifest than the store says.
    #[error("the other coordinator enforces another manifest than the store has as its latest")]
    PeerManifest,
    /// This coordinator may not enforce what is in force.
    #[error("this coordinator cannot enforce the manifest in the store")]
    Deployment(#[from] DeploymentError),
    /// A manifest that cannot be read.
    #[error("the latest manifest in the store cannot be read")]
    Manifest {
        /// Why.
        source: ManifestError,
    },
    /// No certificates.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

fn hint(contained: bool) -> &'static str {
    if contained {
        ": the manifest was updated since; look at the history, then recover with its latest transition"
    } else {
        ": the store was rolled back or replaced, or the share is of another deployment"
    }
}

/// Recovers with a share owner's seed and a new mesh CA: all workloads have to join again.
pub fn by_owner(
    stored: Stored,
    own: Own,
    request: &RecoverRequest,
    now: UnixTime,
) -> Result<InForce, RecoverError> {
    // the store is not verified yet: its manifest decides only who is let on to the next check
    let manifest = parse(&stored)?;
    if !manifest.seedshare_owners().contains(&request.owner_key) {
        return Err(RecoverError::NotAnOwner);
    }
    if stored.latest.hash != request.latest {
        return Err(RecoverError::RolledBack {
            expected: Transition::of_digest(request.latest),
            stored: Transition::of_digest(stored.latest.hash),
            contained: stored.contains(&request.latest),
        });
    }
    let key = shares::owner_key(&request.owner_key).map_err(|_| RecoverError::NotAnOwner)?;
    let message = Seed::recovery_message(&request.latest, &request.seed, &request.salt);
    key.verify(Scheme::RsaPssSha384, &message, &request.signature).map_err(|_| RecoverError::Signature)?;
    let seed = Seed::new(&request.seed, &request.salt)?;
    let authority = |seed: &Seed| Authority::create(seed.root_key(), now);
    in_force(stored, &manifest, own, seed, authority)
}

/// Recovers with everything that another coordinator has: its mesh CA stays.
pub fn by_peer(stored: Stored, own: Own, peer: PeerState, now: UnixTime) -> Result<InForce, RecoverError> {
    let manifest = parse(&stored)?;
    if peer.latest_manifest != stored.manifest() {
        return Err(RecoverError::PeerManifest);
    }
    let seed = Seed::new(&peer.seed, &peer.salt)?;
    in_force(stored, &manifest, own, seed, |seed| match peer.certificates {
        Some(certificates) => Authority::of_peer(seed.root_key(), peer.mesh_key, certificates, now),
        None => Authority::with_key(seed.root_key(), peer.mesh_key, now),
    })
}

fn parse(stored: &Stored) -> Result<Manifest, RecoverError> {
    Manifest::parse(stored.manifest()).map_err(|source| RecoverError::Manifest { source })
}

fn in_force(
    stored: Stored,
    manifest: &Manifest,
    own: Own,
    seed: Seed,
    authority: impl FnOnce(&Seed) -> Result<Authority, AuthorityError>,
) -> Result<InForce, RecoverError> {
    stored.verify(&seed).map_err(|source| RecoverError::WrongSeed { source })?;
    let Stored { latest, steps, policies } = stored;
    let files = of_manifest(manifest, &policies);
    let earlier = steps.iter().map(|step| step.manifest.len()).sum::<usize>() - manifest.raw().len();
    let deployment = Deployment::check(manifest.raw(), files, own, earlier)?;
    let authority = authority(&seed)?;
    let challenge_key = seed.challenge_key();
    Ok(InForce { seed: Arc::new(seed), challenge_key, deployment, authority, steps, policies, latest })
}

fn of_manifest(
    manifest: &Manifest,
    policies: &BTreeMap<privatemode_manifest::PolicyHash, Vec<u8>>,
) -> Vec<PolicyFile> {
    let named = policies.iter().filter(|(hash, _)| manifest.policy(hash).is_some());
    named.map(|(hash, bytes)| PolicyFile { name: hash.to_string(), bytes: bytes.clone() }).collect()
}
