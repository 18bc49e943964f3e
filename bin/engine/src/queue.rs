//! The queue before the model: bounded, first come first served, one worker thread. Batching will replace the worker,
//! not its interface. Speaks tokens and text; no HTTP.
//!
//! A job whose caller has gone (its event channel is closed) is skipped in the queue and stopped while it runs.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokenizers::Tokenizer;
use tokio::sync::mpsc::UnboundedSender;

use crate::backend::{Backend, BackendError};
use crate::generate;
use crate::metrics::Metrics;
use crate::sampling::Sampling;

/// One generation.
pub(crate) struct Generation {
    pub(crate) prompt: Vec<u32>,
    pub(crate) max_tokens: usize,
    pub(crate) min_tokens: usize,
    pub(crate) sampling: Sampling,
    pub(crate) stop: Vec<String>,
    /// Tokens that end the text because the request says so.
    pub(crate) stop_tokens: Vec<u32>,
    /// Tokens that end the text because the model was made so.
    pub(crate) end_tokens: Vec<u32>,
}

/// Work for the model.
pub(crate) enum Work {
    Generate(Generation),
    Embed(Vec<Vec<u32>>),
}

/// One place in the queue.
pub(crate) struct Job {
    pub(crate) work: Work,
    /// Unbounded on purpose: a slow reader must not hold up the one worker, and `max_tokens` bounds what can pile up.
    pub(crate) events: UnboundedSender<Event>,
}

/// What comes of a job, in this order: any number of `Text`, then one of the others.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    /// Further text, and how many tokens there are so far.
    Text {
        text: String,
        tokens: usize,
    },
    Finished {
        reason: Finish,
        tokens: usize,
    },
    Embedded {
        vectors: Vec<Vec<f32>>,
    },
    Failed,
}

/// Why a text ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The model's own end.
    End,
    StopString(String),
    StopToken(u32),
    Length,
}

/// The caller has to come back later.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) waiting: usize,
}

/// The way in. Dropping it lets the worker finish what is queued and end.
pub(crate) struct Queue {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
    metrics: Arc<Metrics>,
}

struct State {
    waiting: VecDeque<Job>,
    closed: bool,
}

impl Shared {
    /// No code panics while it holds the lock; a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self, state: &State) {
        self.metrics.waiting.set(i64::try_from(state.waiting.len()).unwrap_or(i64::MAX));
    }
}

impl Queue {
    /// Starts the worker, which owns the model from now on.
    pub(crate) fn start(
        backend: Box<dyn Backend>,
        tokenizer: Arc<Tokenizer>,
        capacity: usize,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let state = Mutex::new(State { waiting: VecDeque::new(), closed: false });
        let shared = Arc::new(Shared { state, changed: Condvar::new(), capacity, metrics });
        let worker = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("engine-worker".to_owned())
            .spawn(move || run_worker(&worker, backend, &tokenizer))?;
        Ok(Self { shared })
    }

    /// Puts jobs at the end, all or none.
    pub(crate) fn submit(&self, jobs: Vec<Job>) -> Result<(), Full> {
        let mut state = self.shared.lock();
        if state.waiting.len() + jobs.len() > self.shared.capacity {
            // Those whose callers have gone hold no place.
            state.waiting.retain(|job| !job.events.is_closed());
        }
        // A request larger than the whole queue may enter an empty one, or it could never run.
        if !state.waiting.is_empty() && state.waiting.len() + jobs.len() > self.shared.capacity {
            self.shared.metrics.refused.increment();
            return Err(Full { waiting: state.waiting.len() });
        }
        state.waiting.extend(jobs);
        self.shared.counted(&state);
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

fn next_job(shared: &Shared) -> Option<Job> {
    let mut state = shared.lock();
    loop {
        if let Some(job) = state.waiting.pop_front() {
            shared.counted(&state);
            return Some(job);
        }
        if state.closed {
            return None;
        }
        state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

fn run_worker(shared: &Shared, mut backend: Box<dyn Backend>, tokenizer: &Tokenizer) {
    while let Some(job) = next_job(shared) {
        if job.events.is_closed() {
            shared.metrics.aborted.increment();
            continue;
        }
        let running = shared.metrics.running.enter();
        // A panic in a kernel must cost one request, not the service.
        let outcome =
            catch_unwind(AssertUnwindSafe(|| run_job(&job, backend.as_mut(), tokenizer, &shared.metrics)));
        drop(running);
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(BackendError::Aborted)) => shared.metrics.aborted.increment(),
            Ok(Err(error)) => fail(&job, shared, &privatemode_service::Chain(&error).to_string()),
            Err(_) => fail(&job, shared, "the worker panicked"),
        }
    }
}

fn fail(job: &Job, shared: &Shared, detail: &str) {
    tracing::error!(detail, "a request failed in the model");
    shared.metrics.failed.increment();
    let _ = job.events.send(Event::Failed);
}

fn run_job(
    job: &Job,
    backend: &mut dyn Backend,
    tokenizer: &Tokenizer,
    metrics: &Metrics,
) -> Result<(), BackendError> {
    match &job.work {
        Work::Generate(generation) => generate::run(generation, backend, tokenizer, &job.events, metrics),
        Work::Embed(inputs) => {
            let mut vectors = Vec::with_capacity(inputs.len());
            for input in inputs {
                if job.events.is_closed() {
                    return Err(BackendError::Aborted);
                }
                metrics.prompt_tokens.add(input.len() as u64);
                vectors.push(backend.embed(input)?);
            }
            metrics.stopped.increment();
            let _ = job.events.send(Event::Embedded { vectors });
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
