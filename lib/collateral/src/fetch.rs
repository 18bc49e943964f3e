//! Attempts, the pauses between them, and leaving a vendor alone that asks for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use privatemode_attest::UnixTime;

use crate::{
    error::FetchError,
    http::{Answer, AttemptError, Http},
    key::Key,
    progress::{Event, Progress},
    timing::Timing,
};

/// How often and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, at least one.
    pub attempts: u32,
    /// Pause before the second attempt; doubled for each further one. Half of it is random.
    pub pause: Duration,
    /// Longest pause; a vendor that asks for a longer one is not asked again before it has passed.
    pub longest_pause: Duration,
}

impl Default for Retry {
    /// Up to half a minute in all: AMD answers about one request in ten seconds from one address.
    fn default() -> Self {
        Self { attempts: 6, pause: Duration::from_secs(1), longest_pause: Duration::from_secs(20) }
    }
}

/// Longest time for which a vendor is left alone, whatever it asks for: one answer must not end verification for good.
const LONGEST_HOLD: Duration = Duration::from_secs(3600);

pub(crate) struct Fetcher {
    http: Http,
    retry: Retry,
    timing: Arc<dyn Timing>,
    progress: Option<Progress>,
    /// Hosts that want to be left alone, and until when.
    held: Mutex<HashMap<String, UnixTime>>,
}

impl Fetcher {
    pub(crate) fn new(http: Http, retry: Retry, timing: Arc<dyn Timing>, progress: Option<Progress>) -> Self {
        Self { http, retry, timing, progress, held: Mutex::default() }
    }

    pub(crate) fn host(&self, key: &Key) -> String {
        self.http.endpoints.host(key)
    }

    /// Asks the vendor until there is an answer, or asking is no use.
    pub(crate) async fn fetch(
        &self,
        key: &Key,
        body: &[u8],
        etag: Option<&str>,
    ) -> Result<Answer, FetchError> {
        let host = self.host(key);
        let attempts = self.retry.attempts.max(1);
        let mut attempt = 1;
        loop {
            if let Some(wait) = self.held_for(&host) {
                return Err(FetchError::RateLimited { key: key.clone(), host, wait });
            }
            self.tell(&Event::Fetching { key: key.clone(), host: host.clone(), attempt });
            let error = match self.http.attempt(key, body, etag, self.timing.now()).await {
                Ok(answer) => {
                    tracing::debug!(%key, host, attempt, "collateral fetched");
                    return Ok(answer);
                }
                Err(error) => error,
            };
            tracing::info!(%key, host, attempt, %error, "an attempt to fetch collateral failed");
            if let Some(wait) = error.retry_after().filter(|wait| *wait > self.retry.longest_pause) {
                let wait = wait.min(LONGEST_HOLD);
                self.hold(&host, wait);
                return Err(FetchError::RateLimited { key: key.clone(), host, wait });
            }
            if !error.is_transient() || attempt >= attempts {
                return Err(failure(key, host, attempt, error));
            }
            let delay = self.delay(attempt, error.retry_after());
            self.tell(&Event::Waiting { key: key.clone(), host: host.clone(), delay });
            self.timing.pause(delay).await;
            attempt += 1;
        }
    }

    /// Jitter keeps a fleet that lost its network from coming back as one.
    fn delay(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.retry.pause.saturating_mul(1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX));
        let own = doubled.min(self.retry.longest_pause);
        match asked {
            Some(asked) => asked + self.timing.jitter(self.retry.pause),
            None => own / 2 + self.timing.jitter(own / 2),
        }
    }

    fn held_for(&self, host: &str) -> Option<Duration> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = held.get(host)?.0.checked_sub(self.timing.now().0)?;
        (wait > 0).then(|| Duration::from_secs(wait))
    }

    fn hold(&self, host: &str, wait: Duration) {
        let until = self.timing.now().saturating_add(wait.as_secs());
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), until);
    }

    pub(crate) fn tell(&self, event: &Event) {
        if let Some(progress) = &self.progress {
            progress(event);
        }
    }
}

fn failure(key: &Key, host: String, attempts: u32, error: AttemptError) -> FetchError {
    let key = key.clone();
    match error {
        AttemptError::Status { status: 404 | 410, .. } => FetchError::NotFound { key, host },
        error if error.is_transient() => {
            FetchError::Unavailable { key, host, attempts, source: Arc::new(error) }
        }
        error => FetchError::Refused { key, host, source: Arc::new(error) },
    }
}
