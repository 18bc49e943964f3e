//! What a coordinator does unasked: it watches the store, and asks its peers when it is stale.

use std::sync::Arc;
use std::time::Duration;

use privatemode_service::{Chain, Shutdown};
use privatemode_store::state::{StateError, StateKey, StateStore};

use super::Coordinator;
use crate::reader;
use crate::state::observe::{self, Observation};
use crate::state::set::SetPlan;
use crate::state::{StaleReason, State};

/// How often a stale coordinator asks its peers.
const ASK_EVERY: Duration = Duration::from_secs(15);
/// The pause after a store that fails.
const PAUSE: Duration = Duration::from_secs(5);

/// What a look at the store found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Nothing new.
    Same,
    /// This coordinator is stale since now.
    Stale,
    /// A commit that was uncertain has happened.
    Committed,
    /// The store was tampered with or rolled back; what is in force here stays.
    Tampered,
}

/// The state of a coordinator that starts.
pub(super) async fn first_state(store: &dyn StateStore) -> Result<State, StateError> {
    Ok(match store.get(&StateKey::Latest).await? {
        None => State::NoState,
        Some(_) => State::Stale(StaleReason::Restarted),
    })
}

impl Coordinator {
    /// Watches the store and asks peers until `shutdown`.
    pub async fn tend(self: Arc<Self>, shutdown: Shutdown) {
        tokio::select! {
            () = shutdown.triggered() => {}
            () = self.watch() => {}
            () = self.heal() => {}
        }
    }

    async fn watch(&self) {
        let mut seen: Option<Option<Vec<u8>>> = None;
        loop {
            let latest = match &seen {
                None => self.store.get(&StateKey::Latest).await,
                Some(seen) => self.store.changed(seen.as_deref()).await,
            };
            let noticed = match latest {
                Ok(latest) => {
                    seen = Some(latest);
                    self.observe().await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = noticed {
                tracing::warn!(error = %Chain(&error), "the store cannot be watched, trying again");
                // whatever happened meanwhile must be found
                seen = None;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn heal(&self) {
        let mut states = self.states();
        loop {
            let stale = matches!(&**states.borrow_and_update(), State::Stale(_));
            if stale && self.peers.is_some() {
                self.recover_from_peers().await;
            }
            tokio::select! {
                _ = states.changed() => {}
                () = tokio::time::sleep(ASK_EVERY) => {}
            }
        }
    }

    /// Looks at the store once.
    pub async fn observe(&self) -> Result<Notice, StateError> {
        let mut uncertain = self.changing.lock().await;
        self.observe_with(&mut uncertain).await
    }

    pub(super) async fn observe_with(&self, uncertain: &mut Option<SetPlan>) -> Result<Notice, StateError> {
        let latest = self.store.get(&StateKey::Latest).await?;
        if let (Some(plan), Some(latest)) = (&uncertain, &latest)
            && plan.latest == *latest
        {
            self.commit(plan);
            *uncertain = None;
            return Ok(Notice::Committed);
        }
        let state = self.state();
        let in_force = match (&*state, &latest) {
            (State::InForce(in_force), _) => in_force,
            (State::NoState, Some(_)) => {
                self.enter(State::Stale(StaleReason::Advanced));
                return Ok(Notice::Stale);
            }
            (State::NoState, None) | (State::Stale(_), _) => return Ok(Notice::Same),
        };
        if observe::is_same(in_force, latest.as_deref()) {
            return Ok(Notice::Same);
        }
        let observation = match &latest {
            None => Observation::Gone,
            // before the rest is read: what is not ours is not worth it
            Some(latest) => match observe::is_signed(in_force, latest) {
                Err(refused) => Observation::Foreign(refused),
                Ok(()) => match reader::below(&*self.store, latest).await {
                    Ok(stored) => observe::judge(in_force, &stored),
                    Err(reader::ReadError::Store(error)) => return Err(error),
                    Err(reader::ReadError::History(refused)) => Observation::Foreign(refused),
                },
            },
        };
        Ok(self.act(&observation))
    }

    fn act(&self, observation: &Observation) -> Notice {
        match observation {
            Observation::Same => Notice::Same,
            Observation::Advanced => {
                self.enter(State::Stale(StaleReason::Advanced));
                Notice::Stale
            }
            Observation::RolledBack => {
                tracing::error!(
                    "TAMPERED: the store was rolled back to an older manifest; the one in force here stays. Restore the store: a coordinator that starts now would take the older one for the latest"
                );
                Notice::Tampered
            }
            Observation::Forked => {
                tracing::error!(
                    "TAMPERED: the store holds another history of this deployment's key, which a store that compares before it swaps cannot; what is in force here stays"
                );
                Notice::Tampered
            }
            Observation::Foreign(refused) => {
                tracing::error!(error = %Chain(refused), "TAMPERED: the latest transition in the store is not of this deployment; what is in force here stays. Restore the store");
                Notice::Tampered
            }
            Observation::Gone => {
                tracing::error!(
                    "TAMPERED: the latest transition is gone from the store; what is in force here stays. Restore the store"
                );
                Notice::Tampered
            }
        }
    }

    pub(super) fn enter(&self, next: State) {
        match &next {
            State::InForce(in_force) => tracing::info!(
                manifest = %in_force.manifest().digest(),
                generation = in_force.generation(),
                "a manifest is in force"
            ),
            State::Stale(reason) => tracing::warn!(reason = reason.text(), "this coordinator is stale"),
            State::NoState => {}
        }
        self.state.send_replace(Arc::new(next));
    }
}
