//! Setting a manifest: the first one, or an update that a workload owner signed.
//!
//! 1. Who may: the first one anybody, and the data owner checks afterwards what is in force; an update by a signature over the
//!    very transition that it makes. 2. Share owners stay. 3. The manifest and every policy are checked. 4. All keys are made.
//! 5. Entries are written. 6. The latest transition is swapped: from then on it is in force, and nothing can fail any more.
//!
//! `attestation.md` §2.

use std::collections::BTreeMap;
use std::sync::Arc;

use privatemode_attest::UnixTime;
use privatemode_attest::signature::{PublicKey, PublicKeyError};
use privatemode_manifest::history::{Transition, update_digest};
use privatemode_manifest::{Manifest, ManifestDigest};
use privatemode_store::state::StateKey;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{InForce, NotInForce, State};
use crate::authority::{Authority, AuthorityError};
use crate::deployment::{Deployment, DeploymentError, Own, PolicyFile};
use crate::history::{self, Latest, MAX_BYTES, MAX_TRANSITIONS, Step};
use crate::seed::{SALT, SEED, Seed, SeedError};
use crate::shares::{self, SeedShares, ShareError};

/// What somebody asks to be put in force.
#[derive(Debug, Clone, Default)]
pub struct SetRequest {
    /// Its raw bytes.
    pub manifest: Vec<u8>,
    /// All of its policies.
    pub policies: Vec<PolicyFile>,
    /// A workload owner's ECDSA-ASN.1 signature of the update digest.
    pub signature: Option<Vec<u8>>,
    /// SubjectPublicKeyInfo DER of that owner; needed where the manifest in force holds only digests of keys.
    pub owner_key: Option<Vec<u8>>,
    /// The transition that must be the latest one.
    pub previous: Option<[u8; 32]>,
}

/// Randomness for a first manifest.
pub struct Entropy {
    /// For the seed.
    pub seed: Zeroizing<[u8; SEED]>,
    /// For the salt.
    pub salt: [u8; SALT],
}

/// What has to be done, in this order, and what comes then.
pub struct SetPlan {
    /// Entries to put first. They are harmless when the rest is never done.
    pub writes: Vec<(StateKey, Vec<u8>)>,
    /// The commit point: what latest must still be, none if there must be none.
    pub expected: Option<Vec<u8>>,
    /// What latest becomes.
    pub latest: Vec<u8>,
    /// What is in force then.
    pub next: Arc<InForce>,
    /// Of a first set.
    pub shares: Option<SeedShares>,
}

/// Why a manifest is not put in force. Nothing was changed.
#[derive(Debug, Error)]
pub enum SetError {
    /// This coordinator is not up to date.
    #[error(transparent)]
    NotInForce(#[from] NotInForce),
    /// An update of nothing.
    #[error("no manifest is set yet, so there is nothing to update; set the first one without a signature")]
    NothingToUpdate,
    /// Somebody else was faster.
    #[error(
        "the latest transition is {latest}, not {previous}: the manifest was updated in the meantime; look at the history and sign again"
    )]
    NotLatest {
        /// What the request is based on.
        previous: Transition,
        /// What is latest.
        latest: Transition,
    },
    /// Nobody may update.
    #[error("the manifest in force names no workload owners, so nobody can update it; deploy anew")]
    Immutable,
    /// Nobody has signed.
    #[error(
        "an update needs the signature of a workload owner of the manifest in force; make one with `privatemode manifest sign`"
    )]
    SignatureMissing,
    /// Only a digest of the key is known.
    #[error(
        "the manifest in force holds digests of its workload owners' keys: send the public key along with the signature"
    )]
    OwnerKeyMissing,
    /// A key that cannot be used.
    #[error("the workload owner's key cannot be used")]
    OwnerKey {
        /// Why.
        source: PublicKeyError,
    },
    /// A stranger.
    #[error("the key is not one of the manifest's workload owners")]
    NotAnOwner,
    /// Of something else, or by somebody else.
    #[error(
        "the signature is not by a workload owner of the manifest in force over this manifest after transition {latest}"
    )]
    Signature {
        /// What it had to be based on.
        latest: Transition,
    },
    /// Whoever can recover must stay the same: they hold the seed already.
    #[error("an update cannot change `SeedshareOwnerPubKeys`; deploy anew to change who can recover")]
    ShareOwnersChanged,
    /// Every client would refuse it.
    #[error(
        "an update cannot take the workload owners away: clients demand that a manifest which nobody can update is the only one of its history; deploy it anew"
    )]
    NotTheFirst,
    /// Not to be enforced.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// Nobody could recover it.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// Randomness that gives no key.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// No certificates.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A history without end.
    #[error(
        "the history is as long as it may be ({MAX_TRANSITIONS} manifests, {MAX_BYTES} bytes); deploy anew"
    )]
    HistoryFull,
}

/// Decides on `request` and prepares everything up to the commit point.
pub fn plan(
    state: &State,
    own: Own,
    request: SetRequest,
    entropy: &Entropy,
    now: UnixTime,
) -> Result<SetPlan, SetError> {
    match state {
        State::NoState => first(own, request, entropy, now),
        State::InForce(current) => update(current, own, request, now),
        State::Stale(reason) => Err(NotInForce::NeedsRecovery { reason: *reason }.into()),
    }
}

fn first(own: Own, request: SetRequest, entropy: &Entropy, now: UnixTime) -> Result<SetPlan, SetError> {
    if request.signature.is_some() || request.previous.is_some() {
        return Err(SetError::NothingToUpdate);
    }
    let deployment = Deployment::check(&request.manifest, request.policies, own, 0)?;
    let seed = Arc::new(Seed::new(entropy.seed.as_slice(), &entropy.salt)?);
    let shares = shares::encrypt(&seed, deployment.manifest().seedshare_owners())?;
    let mut plan = prepare(seed, deployment, Vec::new(), BTreeMap::new(), now)?;
    let stored = serde_json::to_vec(&shares).expect("strings always serialise");
    plan.writes.push((plan.next.latest.shares_key(), stored));
    plan.shares = Some(shares);
    Ok(plan)
}

fn update(current: &InForce, own: Own, request: SetRequest, now: UnixTime) -> Result<SetPlan, SetError> {
    let latest = Transition::of_digest(current.latest.hash);
    if let Some(previous) = request.previous
        && previous != current.latest.hash
    {
        return Err(SetError::NotLatest { previous: Transition::of_digest(previous), latest });
    }
    authorise(current.manifest(), &latest, &request)?;
    let deployment = Deployment::check(&request.manifest, request.policies, own, current.earlier_bytes())?;
    if deployment.manifest().seedshare_owners() != current.manifest().seedshare_owners() {
        return Err(SetError::ShareOwnersChanged);
    }
    // an earlier manifest could have handed out the same root (`protocol.md` §8)
    if deployment.manifest().is_immutable() {
        return Err(SetError::NotTheFirst);
    }
    let (steps, policies) = (current.steps.clone(), current.policies.clone());
    let mut plan = prepare(Arc::clone(&current.seed), deployment, steps, policies, now)?;
    plan.expected = Some(current.latest.to_bytes());
    Ok(plan)
}

/// An owner of the manifest in force has signed exactly this step: this manifest, after this history.
fn authorise(current: &Manifest, latest: &Transition, request: &SetRequest) -> Result<(), SetError> {
    let owners = current.workload_owners();
    if owners.is_empty() {
        return Err(SetError::Immutable);
    }
    let signature = request.signature.as_ref().ok_or(SetError::SignatureMissing)?;
    let candidates: Vec<&[u8]> = match &request.owner_key {
        Some(key) => {
            let digest: [u8; 32] = Sha256::digest(key).into();
            let known = owners.iter().any(|owner| owner == key || owner.as_slice() == digest);
            if !known {
                return Err(SetError::NotAnOwner);
            }
            vec![key]
        }
        // a digest has 32 bytes, and no key is that short
        None => owners.iter().map(Vec::as_slice).filter(|owner| owner.len() != 32).collect(),
    };
    if candidates.is_empty() {
        return Err(SetError::OwnerKeyMissing);
    }
    let digest = update_digest(&latest.then(&request.manifest));
    for candidate in candidates {
        let key = PublicKey::parse_spki(candidate).map_err(|source| SetError::OwnerKey { source })?;
        if key.verify_prehash(&digest, signature).is_ok() {
            return Ok(());
        }
    }
    Err(SetError::Signature { latest: *latest })
}

/// All keys and certificates, and what must be written for them to count.
fn prepare(
    seed: Arc<Seed>,
    deployment: Deployment,
    mut steps: Vec<Step>,
    mut policies: BTreeMap<privatemode_manifest::PolicyHash, Vec<u8>>,
    now: UnixTime,
) -> Result<SetPlan, SetError> {
    let manifest = deployment.manifest().raw().to_vec();
    let previous = steps.last().map(|step| step.transition);
    let transition = history::transition_hash(&manifest, previous.as_ref());
    let mut writes: Vec<_> = deployment
        .policy_map()
        .iter()
        .map(|(hash, policy)| (StateKey::Policy(*hash.as_bytes()), policy.clone()))
        .collect();
    writes.push((StateKey::Manifest(*ManifestDigest::of(&manifest).as_bytes()), manifest.clone()));
    let bytes = history::transition_bytes(&manifest, previous.as_ref()).to_vec();
    writes.push((StateKey::Transition(transition), bytes));
    policies.extend(deployment.policy_map().iter().map(|(hash, policy)| (*hash, policy.clone())));
    steps.push(Step { transition, manifest });
    let bytes = policies.values().chain(steps.iter().map(|step| &step.manifest)).map(Vec::len).sum::<usize>();
    if steps.len() > MAX_TRANSITIONS || bytes > MAX_BYTES {
        return Err(SetError::HistoryFull);
    }
    let authority = Authority::create(seed.root_key(), now)?;
    let latest = Latest::sign(&seed, transition);
    let challenge_key = seed.challenge_key();
    let next = InForce { seed, challenge_key, deployment, authority, steps, policies, latest };
    Ok(SetPlan { writes, expected: None, latest: next.latest.to_bytes(), next: Arc::new(next), shares: None })
}
