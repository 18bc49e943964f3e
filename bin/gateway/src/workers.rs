//! The workers: what each serves, whether it answers, how busy it is, and the choice among them.
//!
//! Each worker is asked for its models every few seconds. A worker that stops answering keeps its models, so that its
//! callers hear "not now" and not "no such model". product.md G4.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Method, StatusCode};
use privatemode_service::{Chain, Shutdown, body};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::keyring::pause;
use crate::origin::{ControlError, Origin, control_request};

mod choice;

pub(crate) use choice::affinity;
#[cfg(test)]
mod tests;

use choice::Candidate;

/// How often a worker that answers is asked.
const REFRESH: Duration = Duration::from_secs(3);
/// How often one that does not.
const REFRESH_DOWN: Duration = Duration::from_millis(300);
const MAX_LIST: usize = 4 * 1024 * 1024;
const MAX_MODELS: usize = 1000;
const MAX_MODEL_ID: usize = 256;

const UNKNOWN: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;

/// One entry of a worker's list: the worker's own JSON, kept as it came.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) id: Arc<str>,
    entry: Arc<RawValue>,
}

pub(crate) struct Worker {
    origin: Origin,
    models: ArcSwap<Vec<Model>>,
    state: AtomicU8,
    outstanding: AtomicUsize,
    /// A request found the worker gone: look now, not at the next turn.
    suspect: Notify,
}

pub(crate) struct Workers {
    all: Vec<Arc<Worker>>,
    turn: AtomicUsize,
}

/// Why there is no worker for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoWorker {
    /// No worker has this model.
    UnknownModel,
    /// Some workers have not answered since the gateway started: one of them may have it.
    NotYetKnown,
    /// Those that have it cannot be reached (or have just failed).
    Unreachable,
}

/// A worker in use: it counts as busy until this is dropped.
pub(crate) struct Lease {
    worker: Arc<Worker>,
    /// The model's name, shared with all other requests for it.
    pub(crate) model: Arc<str>,
}

#[derive(Debug, thiserror::Error)]
enum RefreshError {
    #[error("the worker's model list: no answer")]
    Control(#[source] ControlError),
    #[error("the worker's model list: status {0}")]
    Status(StatusCode),
    #[error("the worker's model list is not OpenAI's")]
    Json(#[source] serde_json::Error),
}

#[derive(Deserialize)]
struct List {
    data: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
}

impl Workers {
    pub(crate) fn new(origins: Vec<Origin>) -> Workers {
        let worker = |origin| {
            Arc::new(Worker {
                origin,
                models: ArcSwap::default(),
                state: AtomicU8::new(UNKNOWN),
                outstanding: AtomicUsize::new(0),
                suspect: Notify::new(),
            })
        };
        Workers { all: origins.into_iter().map(worker).collect(), turn: AtomicUsize::new(0) }
    }

    /// Keeps asking all workers for their models until shutdown.
    pub(crate) async fn watch(&self, shutdown: Shutdown) {
        let watches = self.all.iter().map(|worker| worker.watch(shutdown.clone()));
        futures_util::future::join_all(watches).await;
    }

    /// Asks each worker once.
    #[cfg(test)]
    pub(crate) async fn refresh(&self) {
        for worker in &self.all {
            worker.refresh().await;
        }
    }

    /// Whether at least one worker answers.
    pub(crate) fn any_up(&self) -> bool {
        self.all.iter().any(|worker| worker.is_up())
    }

    /// All models, each once, in the order of the workers.
    pub(crate) fn models(&self) -> Vec<Model> {
        let mut seen = HashSet::new();
        let all = self.all.iter().flat_map(|worker| worker.models.load().iter().cloned().collect::<Vec<_>>());
        all.filter(|model| seen.insert(Arc::clone(&model.id))).collect()
    }

    /// Takes a worker for the model: the one with the caller's prefix in its cache where `affinity` is given and that one is
    /// not overloaded, else the least busy. `failed` is left out.
    pub(crate) fn lease(
        &self,
        model: &str,
        affinity: Option<&str>,
        failed: Option<&Lease>,
    ) -> Result<Lease, NoWorker> {
        let serving: Vec<(&Arc<Worker>, Arc<str>)> =
            self.all.iter().filter_map(|worker| Some((worker, worker.serves(model)?))).collect();
        if serving.is_empty() {
            let settled = self.all.iter().all(|worker| worker.state.load(Ordering::Relaxed) != UNKNOWN);
            return Err(if settled { NoWorker::UnknownModel } else { NoWorker::NotYetKnown });
        }
        let is_failed = |worker: &Arc<Worker>| failed.is_some_and(|lease| Arc::ptr_eq(&lease.worker, worker));
        let usable: Vec<_> =
            serving.iter().filter(|(worker, _)| worker.is_up() && !is_failed(worker)).collect();
        let candidates: Vec<Candidate<'_>> = usable.iter().map(|(worker, _)| worker.candidate()).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let index = choice::choose(&candidates, affinity, turn).ok_or(NoWorker::Unreachable)?;
        let (worker, model) = usable[index];
        worker.outstanding.fetch_add(1, Ordering::Relaxed);
        Ok(Lease { worker: Arc::clone(worker), model: Arc::clone(model) })
    }
}

impl Worker {
    async fn watch(&self, shutdown: Shutdown) {
        loop {
            self.refresh().await;
            let wait = if self.is_up() { REFRESH } else { REFRESH_DOWN };
            let goes_on = tokio::select! {
                goes_on = pause(wait, &shutdown) => goes_on,
                () = self.suspect.notified() => pause(REFRESH_DOWN, &shutdown).await,
            };
            if !goes_on {
                return;
            }
        }
    }

    async fn refresh(&self) {
        match self.fetch().await {
            Ok(models) => {
                self.models.store(Arc::new(models));
                if self.state.swap(UP, Ordering::Relaxed) != UP {
                    tracing::info!(worker = self.origin.name(), "worker answers");
                }
            }
            Err(error) => self.went_down(&Chain(&error)),
        }
    }

    async fn fetch(&self) -> Result<Vec<Model>, RefreshError> {
        let request = control_request(&self.origin, Method::GET, "/v1/models", body::empty());
        let answer = self.origin.control(request, MAX_LIST).await.map_err(RefreshError::Control)?;
        if answer.status() != StatusCode::OK {
            return Err(RefreshError::Status(answer.status()));
        }
        let list: List = serde_json::from_slice(answer.body()).map_err(RefreshError::Json)?;
        let model = |entry: Box<RawValue>| {
            let Entry { id } = serde_json::from_str(entry.get()).ok()?;
            let usable = !id.is_empty() && id.len() <= MAX_MODEL_ID;
            usable.then(|| Model { id: id.into(), entry: entry.into() })
        };
        Ok(list.data.into_iter().filter_map(model).take(MAX_MODELS).collect())
    }

    fn went_down(&self, why: &dyn std::fmt::Display) {
        if self.state.swap(DOWN, Ordering::Relaxed) != DOWN {
            tracing::warn!(worker = self.origin.name(), error = %why, "worker does not answer");
        }
    }

    fn is_up(&self) -> bool {
        self.state.load(Ordering::Relaxed) == UP
    }

    fn serves(&self, model: &str) -> Option<Arc<str>> {
        self.models.load().iter().find(|served| *served.id == *model).map(|served| Arc::clone(&served.id))
    }

    fn candidate(&self) -> Candidate<'_> {
        Candidate { name: self.origin.name(), outstanding: self.outstanding.load(Ordering::Relaxed) }
    }
}

impl Model {
    pub(crate) fn entry(&self) -> &str {
        self.entry.get()
    }
}

impl Lease {
    /// The worker could not be reached: nobody is sent there until it answers again.
    pub(crate) fn unreachable(&self, why: &dyn std::fmt::Display) {
        self.worker.went_down(why);
        self.worker.suspect.notify_one();
    }
}

impl Deref for Lease {
    type Target = Origin;

    fn deref(&self) -> &Origin {
        &self.worker.origin
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.worker.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}
