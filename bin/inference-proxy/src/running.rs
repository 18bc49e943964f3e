//! Answers under way, so that the gateway can end one before its time and it still says so in its trailer and receipt
//! (protocol.md §9). Names are the gateway's request IDs; only gateways can reach this, and they could as well hang up.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// The answers of one worker. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>);

/// One answer, in the list until this is dropped.
pub(crate) struct Entered {
    running: Running,
    name: String,
    /// Ready when the answer is to end; an error when nobody can say so any more.
    pub(crate) told: oneshot::Receiver<()>,
}

impl Running {
    /// An answer begins. Of two with one name the later can be ended.
    pub(crate) fn enter(&self, name: &str) -> Entered {
        let (end, told) = oneshot::channel();
        self.lock().insert(name.to_owned(), end);
        Entered { running: self.clone(), name: name.to_owned(), told }
    }

    /// Ends an answer; `false` if there is none.
    pub(crate) fn end(&self, name: &str) -> bool {
        self.lock().remove(name).is_some_and(|end| end.send(()).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Closes this answer's ear; what is closed in the list is this one's.
        self.told.close();
        let mut running = self.running.lock();
        if running.get(&self.name).is_some_and(oneshot::Sender::is_closed) {
            running.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_ended_once_and_leaves_the_list() {
        let running = Running::default();
        let mut one = running.enter("one");
        assert!(!running.end("two") && running.end("one") && !running.end("one"));
        assert_eq!(one.told.try_recv(), Ok(()));
        // The end of an earlier one under the same name takes nothing from the later.
        let earlier = running.enter("two");
        let mut later = running.enter("two");
        drop(earlier);
        assert!(running.end("two"));
        assert_eq!(later.told.try_recv(), Ok(()));
        drop(running.enter("one"));
        assert!(!running.end("one") && running.lock().is_empty());
    }
}
