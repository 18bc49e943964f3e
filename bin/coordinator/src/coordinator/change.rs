//! Changes of the state that somebody asks for: setting a manifest, and recovery.

use std::sync::Arc;

use privatemode_manifest::{Manifest, PolicyHash};
use privatemode_store::state::{StateError, StateKey, SwapError};
use thiserror::Error;
use zeroize::Zeroizing;

use super::Coordinator;
use crate::history::Latest;
use crate::reader::{self, ReadError};
use crate::seed::{SALT, SEED};
use crate::shares::SeedShares;
use crate::state::recover::{self, RecoverError, RecoverRequest};
use crate::state::set::{self, Entropy, SetError, SetPlan, SetRequest};
use crate::state::{InForce, State};

/// What is in force after a change.
pub struct Committed {
    /// It.
    pub in_force: Arc<InForce>,
    /// The encrypted seed, after a first set.
    pub shares: Option<SeedShares>,
}

/// Who gave the state back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveredBy {
    /// A share owner; the mesh CA is a new one.
    Owner,
    /// Another coordinator, which was up after all; the mesh CA stays.
    Peer,
}

/// Why nothing, or perhaps something, was changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// Refused.
    #[error(transparent)]
    Set(#[from] SetError),
    /// Refused.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// Another coordinator committed first.
    #[error("another change of the manifest was faster; look at the history before you try again")]
    Conflict,
    /// Nothing was changed.
    #[error("nothing was changed: the store failed")]
    Store {
        /// Why.
        source: StateError,
    },
    /// The commit may have happened.
    #[error(
        "the store failed in the very moment of the commit, and cannot be asked whether it happened; look at the history before you try again"
    )]
    Uncertain {
        /// Why.
        source: StateError,
    },
    /// The history cannot be read.
    #[error("the history in the store cannot be used")]
    Read {
        /// Why.
        source: ReadError,
    },
    /// No random numbers.
    #[error("the operating system gave no random numbers")]
    Random {
        /// Why.
        source: getrandom::Error,
    },
}

impl Coordinator {
    /// Sets the first manifest or updates it.
    pub async fn set(&self, request: SetRequest) -> Result<Committed, ChangeError> {
        let mut uncertain = self.changing.lock().await;
        // an earlier commit may have happened after all; planning on the state before it would only lose the swap
        self.observe_with(&mut uncertain).await.map_err(|source| ChangeError::Store { source })?;
        let entropy = entropy().map_err(|source| ChangeError::Random { source })?;
        let plan = set::plan(&self.state(), self.own, request, &entropy, self.now())?;
        for (key, value) in &plan.writes {
            self.store.put(key, value).await.map_err(|source| ChangeError::Store { source })?;
        }
        match self.store.swap(plan.expected.as_deref(), &plan.latest).await {
            Ok(()) => Ok(self.commit(&plan)),
            Err(SwapError::Lost) => {
                // what the winner did is noticed now or by the watcher
                let _ = self.observe_with(&mut uncertain).await;
                Err(ChangeError::Conflict)
            }
            Err(SwapError::Store(source)) => self.settle(&mut uncertain, plan, source).await,
        }
    }

    /// The answer to the swap was lost. The plan is kept until it is known: it holds the only key to what it may have begun.
    async fn settle(
        &self,
        uncertain: &mut Option<SetPlan>,
        plan: SetPlan,
        source: StateError,
    ) -> Result<Committed, ChangeError> {
        let now = self.store.get(&StateKey::Latest).await;
        match now {
            Ok(Some(latest)) if latest == plan.latest => Ok(self.commit(&plan)),
            Ok(latest) => {
                let happened_to_another = latest != plan.expected;
                *uncertain = Some(plan);
                Err(if happened_to_another {
                    ChangeError::Conflict
                } else {
                    ChangeError::Uncertain { source }
                })
            }
            Err(_) => {
                *uncertain = Some(plan);
                Err(ChangeError::Uncertain { source })
            }
        }
    }

    pub(super) fn commit(&self, plan: &SetPlan) -> Committed {
        let in_force = Arc::clone(&plan.next);
        self.enter(State::InForce(Arc::clone(&in_force)));
        Committed { in_force, shares: plan.shares.clone() }
    }

    /// Recovers with a share owner's seed; from a peer, if one is up and the owner does not insist.
    pub async fn recover(&self, request: &RecoverRequest) -> Result<(Committed, RecoveredBy), ChangeError> {
        let mut uncertain = self.changing.lock().await;
        self.observe_with(&mut uncertain).await.map_err(|source| ChangeError::Store { source })?;
        match &*self.state() {
            State::NoState => return Err(RecoverError::NothingToRecover.into()),
            State::InForce(_) => return Err(RecoverError::AlreadyRecovered.into()),
            State::Stale(_) => {}
        }
        let stored = reader::read(&*self.store).await.map_err(|source| ChangeError::Read { source })?;
        let stored = stored.ok_or(RecoverError::NothingToRecover)?;
        // who may recover is checked before a peer is asked, so that a stranger cannot make us ask
        let recovered = recover::by_owner(stored, self.own, request, self.now())?;
        if !request.force && self.ask_peers().await.is_some() {
            let in_force = self.in_force().map_err(|_| ChangeError::Conflict)?;
            return Ok((Committed { in_force, shares: None }, RecoveredBy::Peer));
        }
        let in_force = Arc::new(recovered);
        self.enter(State::InForce(Arc::clone(&in_force)));
        // somebody may have advanced the store since it was read
        let _ = self.observe_with(&mut uncertain).await;
        Ok((Committed { in_force, shares: None }, RecoveredBy::Owner))
    }

    /// If stale, asks the peers; whether one gave the state.
    pub async fn recover_from_peers(&self) -> bool {
        let mut uncertain = self.changing.lock().await;
        if !matches!(&*self.state(), State::Stale(_)) {
            return false;
        }
        let recovered = self.ask_peers().await.is_some();
        if recovered {
            let _ = self.observe_with(&mut uncertain).await;
        }
        recovered
    }

    async fn ask_peers(&self) -> Option<()> {
        let peers = self.peers.as_ref()?;
        match self.peers_state(&**peers).await {
            Ok(in_force) => {
                tracing::info!(manifest = %in_force.manifest().digest(), "recovered from another coordinator");
                self.enter(State::InForce(Arc::new(in_force)));
                Some(())
            }
            Err(error) => {
                tracing::warn!(error = %privatemode_service::Chain(&*error), "no other coordinator could give the state");
                None
            }
        }
    }

    async fn peers_state(
        &self,
        peers: &dyn crate::peers::Peers,
    ) -> Result<InForce, Box<dyn std::error::Error + Send + Sync>> {
        let stored = reader::read(&*self.store).await?.ok_or(RecoverError::NothingToRecover)?;
        let expected = Manifest::parse(stored.manifest())?;
        let peer = peers.ask(&expected).await?;
        Ok(recover::by_peer(stored, self.own, peer, self.now())?)
    }

    /// The encrypted shares of the seed, for an owner whose answer to the first set was lost. None where they cannot be
    /// found: the coordinator is stale and the manifest was updated since.
    pub async fn seed_shares(&self) -> Result<Option<Vec<u8>>, ChangeError> {
        let key = match &*self.state() {
            State::NoState => return Ok(None),
            State::InForce(in_force) => {
                let first = in_force.steps.first().map(|step| step.transition);
                first.map(|first| Latest::sign(in_force.seed(), first).shares_key())
            }
            State::Stale(_) => {
                let latest = self.store.get(&StateKey::Latest).await;
                let latest = latest.map_err(|source| ChangeError::Store { source })?;
                latest.and_then(|latest| Latest::parse(&latest).ok()).map(|latest| latest.shares_key())
            }
        };
        let Some(key) = key else { return Ok(None) };
        self.store.get(&key).await.map_err(|source| ChangeError::Store { source })
    }

    /// Hash of this coordinator's own policy.
    pub fn own_policy(&self) -> PolicyHash {
        self.own.policy
    }
}

fn entropy() -> Result<Entropy, getrandom::Error> {
    let mut entropy = Entropy { seed: Zeroizing::new([0; SEED]), salt: [0; SALT] };
    getrandom::fill(entropy.seed.as_mut_slice())?;
    getrandom::fill(&mut entropy.salt)?;
    Ok(entropy)
}
