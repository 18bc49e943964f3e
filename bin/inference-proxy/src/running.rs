//! Answers that are under way, so that the gateway can end one whose caller has left (protocol.md §9).
//!
//! Ended so, an answer still has its trailer, and what it cost until then is billed. A gateway that hangs up instead gets
//! none. Names are the gateway's own request IDs; only gateways can reach this at all.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::oneshot;

/// The running answers of one worker; as many entries as there are answers. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Inner>);

#[derive(Default)]
struct Inner {
    answers: Mutex<HashMap<Box<str>, Entry>>,
    next: AtomicU64,
}

struct Entry {
    /// Tells two answers of one name apart.
    number: u64,
    end: oneshot::Sender<()>,
}

/// One answer's entry, until this is dropped.
pub(crate) struct Entered {
    running: Running,
    name: Box<str>,
    number: u64,
    /// Ready when the answer is to end; an error when it cannot be told so any more.
    pub(crate) told: oneshot::Receiver<()>,
}

impl Running {
    /// An answer begins. Of two with one name the later one can be ended.
    pub(crate) fn enter(&self, name: &str) -> Entered {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (end, told) = oneshot::channel();
        let name: Box<str> = name.into();
        self.answers(|answers| answers.insert(name.clone(), Entry { number, end }));
        Entered { running: self.clone(), name, number, told }
    }

    /// Ends an answer; whether there was one.
    pub(crate) fn end(&self, name: &str) -> bool {
        self.answers(|answers| answers.remove(name)).is_some_and(|entry| entry.end.send(()).is_ok())
    }

    fn answers<T>(&self, change: impl FnOnce(&mut HashMap<Box<str>, Entry>) -> T) -> T {
        change(&mut self.0.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.running.answers(|answers| {
            if answers.get(&self.name).is_some_and(|entry| entry.number == self.number) {
                answers.remove(&self.name);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_ends_once_and_leaves_nothing() {
        let running = Running::default();
        let mut one = running.enter("one");
        let two = running.enter("two");
        assert!(running.end("one") && !running.end("one") && !running.end("other"));
        assert_eq!(one.told.try_recv(), Ok(()));
        let mut again = running.enter("two");
        drop(two);
        assert!(running.end("two"), "the entry is the later one's");
        assert_eq!(again.told.try_recv(), Ok(()));
        drop((one, again));
        let left = running.enter("left");
        drop(left);
        assert!(!running.end("left"));
        assert!(running.answers(|answers| answers.is_empty()));
    }
}
