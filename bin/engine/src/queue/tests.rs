use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::backend::Task;
use crate::backend::scripted::Scripted;
use crate::fixture::{END, VOCABULARY, byte_tokenizer};

fn job(prompt: &[u32], max_tokens: usize) -> (Job, UnboundedReceiver<Event>) {
    let (events, receiver) = unbounded_channel();
    let generation = Generation {
        prompt: prompt.to_vec(),
        max_tokens,
        min_tokens: 0,
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        stop: Vec::new(),
        stop_tokens: Vec::new(),
        end_tokens: vec![END],
    };
    (Job { work: Work::Generate(generation), events }, receiver)
}

struct Bench {
    queue: Queue,
    steps: Arc<AtomicUsize>,
    /// One message lets the model take one step; dropped, it runs freely.
    gate: mpsc::Sender<()>,
    metrics: Arc<Metrics>,
}

fn bench(capacity: usize) -> Bench {
    let (gate, held) = mpsc::channel();
    let steps = Arc::new(AtomicUsize::new(0));
    let metrics = Arc::new(Metrics::new("test"));
    let backend = Scripted {
        script: b"abc".iter().map(|byte| u32::from(*byte)).chain([END]).collect(),
        vocabulary: VOCABULARY,
        max_context: 64,
        steps: Arc::clone(&steps),
        gate: Some(held),
        at: 0,
    };
    let tokenizer = Arc::new(byte_tokenizer());
    let queue = Queue::start(Box::new(backend), tokenizer, capacity, Arc::clone(&metrics)).unwrap();
    Bench { queue, steps, gate, metrics }
}

fn drain(mut receiver: UnboundedReceiver<Event>) -> Vec<Event> {
    std::iter::from_fn(|| receiver.blocking_recv()).collect()
}

fn text(text: &str, tokens: usize) -> Event {
    Event::Text { text: text.to_owned(), tokens }
}

#[test]
fn a_generation_runs_to_its_end() {
    let bench = bench(4);
    drop(bench.gate);
    let (whole, events) = job(&[1], 10);
    bench.queue.submit(vec![whole]).unwrap();
    let end = Event::Finished { reason: Finish::End, tokens: 4 };
    assert_eq!(drain(events), [text("a", 1), text("b", 2), text("c", 3), end]);
    let (short, events) = job(&[1], 2);
    bench.queue.submit(vec![short]).unwrap();
    let length = Event::Finished { reason: Finish::Length, tokens: 2 };
    assert_eq!(drain(events), [text("a", 1), text("b", 2), length]);
    assert_eq!((bench.metrics.stopped.value(), bench.metrics.length.value()), (1, 1));
}

#[test]
fn a_full_queue_refuses_and_the_gone_give_up_their_places() {
    let bench = bench(1);
    let (first, mut events) = job(&[1], 10);
    bench.queue.submit(vec![first]).unwrap();
    bench.gate.send(()).unwrap();
    assert_eq!(events.blocking_recv(), Some(text("a", 1)), "the first one runs");
    let (second, gone) = job(&[1], 10);
    bench.queue.submit(vec![second]).unwrap();
    let (third, _third_events) = job(&[1], 10);
    assert_eq!(bench.queue.submit(vec![third]), Err(Full { waiting: 1 }));
    drop(gone);
    let (fourth, last) = job(&[1], 10);
    bench.queue.submit(vec![fourth]).unwrap();
    drop(bench.gate);
    assert_eq!(drain(last).len(), 4);
    assert_eq!(bench.metrics.refused.value(), 1);
}

#[test]
fn nobody_listening_stops_the_model() {
    let bench = bench(4);
    let (first, mut events) = job(&[1], 1000);
    bench.queue.submit(vec![first]).unwrap();
    bench.gate.send(()).unwrap();
    assert_eq!(events.blocking_recv(), Some(text("a", 1)));
    drop(events);
    drop(bench.gate);
    // The next job is served only when the first has ended.
    let (next, events) = job(&[1], 1);
    bench.queue.submit(vec![next]).unwrap();
    assert_eq!(drain(events).len(), 2);
    assert!(bench.steps.load(Ordering::SeqCst) <= 4, "{:?}", bench.steps);
    assert_eq!(bench.metrics.aborted.value(), 1);
}

/// Panics on the token 13, works otherwise.
struct Fragile;

impl Backend for Fragile {
    fn task(&self) -> Task {
        Task::Embed
    }
    fn max_context(&self) -> usize {
        8
    }
    fn prefill(&mut self, _: &[u32], _: &dyn Fn() -> bool) -> Result<Vec<f32>, BackendError> {
        Err(BackendError::WrongTask)
    }
    fn decode(&mut self, _: u32) -> Result<Vec<f32>, BackendError> {
        Err(BackendError::WrongTask)
    }
    fn embed(&mut self, tokens: &[u32]) -> Result<Vec<f32>, BackendError> {
        assert!(!tokens.contains(&13), "as planned");
        Ok(vec![tokens.len() as f32])
    }
}

#[test]
fn a_panic_costs_one_request() {
    let metrics = Arc::new(Metrics::new("test"));
    let queue = Queue::start(Box::new(Fragile), Arc::new(byte_tokenizer()), 4, metrics).unwrap();
    let run = |work: Work| {
        let (events, receiver) = unbounded_channel();
        queue.submit(vec![Job { work, events }]).unwrap();
        drain(receiver)
    };
    assert_eq!(run(Work::Embed(vec![vec![13]])), [Event::Failed]);
    let vectors = vec![vec![2.0], vec![1.0]];
    assert_eq!(run(Work::Embed(vec![vec![1, 2], vec![3]])), [Event::Embedded { vectors }]);
    let (generation, receiver) = job(&[1], 1);
    queue.submit(vec![generation]).unwrap();
    assert_eq!(drain(receiver), [Event::Failed]);
}
