//! One renewal at a time: whoever needs one boards the one under way, or starts it.

use std::sync::{Arc, PoisonError};

use privatemode_wire::secret::SecretId;
use tokio::{sync::watch, time::Instant};

use super::{Outcome, REST, RenewError, Session};
use crate::{Credential, Manifests, Transport};

#[derive(Default)]
pub(super) struct Flight {
    running: Option<watch::Receiver<Option<Outcome>>>,
    /// The last failure, and until when it is the answer.
    rest: Option<(Instant, Arc<RenewError>)>,
}

pub(super) enum Boarded {
    /// Somebody renewed while we came.
    Arrived(Arc<Credential>),
    /// The last renewal failed a moment ago.
    Resting(Arc<RenewError>),
    /// Under way.
    Waiting(watch::Receiver<Option<Outcome>>),
}

impl<T: Transport, M: Manifests> Session<T, M> {
    pub(super) async fn renew(self: &Arc<Self>, lost: Option<&SecretId>) -> Outcome {
        match self.board(lost) {
            Boarded::Arrived(credential) => Ok(credential),
            Boarded::Resting(error) => Err(error),
            Boarded::Waiting(mut outcome) => match outcome.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(Arc::new(RenewError::Aborted))),
                // the sender went without a word: the task panicked, or the runtime ends
                Err(_) => Err(Arc::new(RenewError::Aborted)),
            },
        }
    }

    /// `lost` is a credential that is known to be of no use.
    pub(super) fn board(self: &Arc<Self>, lost: Option<&SecretId>) -> Boarded {
        let mut flight = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at under the lock: a renewal that ended since the caller looked has stored its credential by now.
        let now = self.settings.clock.now();
        let fresh = self.status.load().credential.clone().filter(|credential| match lost {
            Some(lost) => credential.id() != lost,
            None => !credential.is_due(now),
        });
        if let Some(credential) = fresh {
            return Boarded::Arrived(credential);
        }
        if let Some(running) = &flight.running
            && running.has_changed().is_ok()
        {
            return Boarded::Waiting(running.clone());
        }
        if let Some((until, error)) = &flight.rest
            && Instant::now() < *until
        {
            return Boarded::Resting(Arc::clone(error));
        }
        let (sender, receiver) = watch::channel(None);
        flight.running = Some(receiver.clone());
        let session = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = session.run().await;
            let mut flight = session.flight.lock().unwrap_or_else(PoisonError::into_inner);
            flight.running = None;
            // A key that was refused or is missing is the caller's own affair: the next caller may bring another.
            flight.rest = outcome
                .as_ref()
                .err()
                .filter(|error| !error.is_about_key())
                .map(|error| (Instant::now() + REST, Arc::clone(error)));
            let _ = sender.send(Some(outcome)); // nobody may be waiting
        });
        Boarded::Waiting(receiver)
    }
}
