//! Keeps the cache in step with etcd: all secrets once, then every change.
//!
//! ```text
//! read all, page by page, at one revision ──▶ watch from the next revision ──┐
//!       ▲                                          ▲                         │
//!       └── compacted, rolled back, another etcd ──┴── stream broken ────────┘
//! ```
//!
//! While etcd cannot be watched the cache serves what it has, until each secret's own time is over, and looks up the rest.
//! Nothing depends on the watch: a secret that it missed is looked up when it is needed. protocol.md, section 4.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use privatemode_service::{Chain, Shutdown};
use privatemode_store::{
    EtcdSecrets, SECRETS_PREFIX,
    etcd::{
        Etcd, EtcdError,
        messages::{Event, EventType, KeyValue, RangeRequest, WatchCreateRequest},
        prefix_end,
    },
};
use privatemode_wire::{Secret, SecretId};

use super::{Found, SecretCache};
use crate::metrics::Metrics;

/// Secrets in one answer: some 150 KB.
const PAGE: i64 = 1000;
/// Leases that are asked about at a time.
const LEASES_AT_ONCE: usize = 16;
/// Between two attempts: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Watches all secrets for a cache.
pub struct SecretWatch {
    etcd: Etcd,
    /// Knows when leases end.
    store: Arc<EtcdSecrets>,
    cache: SecretCache,
    metrics: Metrics,
}

/// How far the cache is in step.
#[derive(Debug, Clone, Copy)]
struct Position {
    cluster: u64,
    /// The first revision that the cache does not know.
    next: i64,
}

impl SecretWatch {
    /// A watch of `etcd` for `cache`. `store` is over the same etcd.
    #[must_use]
    pub fn new(etcd: Etcd, store: Arc<EtcdSecrets>, cache: SecretCache, metrics: Metrics) -> Self {
        Self { etcd, store, cache, metrics }
    }

    /// Watches until `shutdown`.
    pub async fn run(self, shutdown: Shutdown) {
        let mut position = None;
        let mut pause = PAUSE.0;
        loop {
            let error = tokio::select! {
                () = shutdown.triggered() => return,
                error = self.follow(&mut position, &mut pause) => error,
            };
            self.metrics.secrets_watched.set(0);
            match error {
                EtcdError::Compacted { .. } | EtcdError::RolledBack { .. } => {
                    tracing::info!(error = %Chain(&error), "all secrets are read anew");
                    position = None;
                }
                error => tracing::warn!(error = %Chain(&error), "secrets are not watched at present"),
            }
            tokio::select! {
                () = shutdown.triggered() => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
            }
        }
    }

    /// Returns only when the watch is broken.
    async fn follow(&self, position: &mut Option<Position>, pause: &mut Duration) -> EtcdError {
        let from = match position {
            Some(position) => *position,
            None => match self.read_all().await {
                Ok(read) => *position.insert(read),
                Err(error) => return error,
            },
        };
        let prefix = SECRETS_PREFIX.as_bytes();
        let request = WatchCreateRequest {
            key: prefix.to_vec(),
            range_end: prefix_end(prefix),
            start_revision: from.next,
            ..WatchCreateRequest::default()
        };
        let mut watch = match self.etcd.watch(request).await {
            Ok(watch) => watch,
            Err(error) => return error,
        };
        if watch.cluster_id() != from.cluster {
            // its revisions say nothing about ours
            return EtcdError::RolledBack { had: from.next, now: watch.next_revision() };
        }
        *pause = PAUSE.0;
        self.metrics.secrets_watched.set(1);
        loop {
            match watch.next().await {
                Ok(batch) => self.apply(batch.events).await,
                Err(error) => return error,
            }
            *position = Some(Position { next: watch.next_revision(), ..from });
        }
    }

    /// Every secret as of one revision. What the cache had and etcd has not is wiped at the end.
    async fn read_all(&self) -> Result<Position, EtcdError> {
        self.cache.begin_reading();
        let mut request = RangeRequest { limit: PAGE, ..RangeRequest::prefix(SECRETS_PREFIX.as_bytes()) };
        let mut read = 0;
        loop {
            let page = self.etcd.range(&request).await?;
            let header = page.header.ok_or(EtcdError::Protocol("a range without a header"))?;
            if request.revision == 0 {
                request.revision = header.revision;
            }
            let last = page.kvs.last().map(|kv| kv.key.clone());
            read += page.kvs.len();
            self.insert(page.kvs).await;
            match last {
                Some(last) if page.more => {
                    request.key = last;
                    request.key.push(0);
                }
                _ => {
                    self.cache.end_reading();
                    tracing::info!(secrets = read, "all secrets were read");
                    let next = request.revision.saturating_add(1);
                    return Ok(Position { cluster: header.cluster_id, next });
                }
            }
        }
    }

    async fn apply(&self, events: Vec<Event>) {
        // in their order: an ID may go and come back within one batch
        let mut written = Vec::new();
        for event in events {
            let deleted = event.r#type() == EventType::Delete;
            let Some(kv) = event.kv else { continue };
            if !deleted {
                written.push(kv);
            } else if let Some(id) = id_of(&kv) {
                self.insert(std::mem::take(&mut written)).await;
                self.cache.remove(&id);
            }
        }
        self.insert(written).await;
    }

    async fn insert(&self, kvs: Vec<KeyValue>) {
        if kvs.is_empty() {
            return;
        }
        // each lease is asked about once; what it said is remembered by the store
        let leases: HashSet<i64> = kvs.iter().map(|kv| kv.lease).collect();
        stream::iter(leases)
            .for_each_concurrent(LEASES_AT_ONCE, async |lease| drop(self.store.left(lease).await))
            .await;
        for kv in &kvs {
            let Some(id) = id_of(kv) else { continue };
            match (Secret::from_slice(&kv.value), self.store.left(kv.lease).await) {
                (Ok(secret), Ok(Some(expires_in))) => self.cache.insert(id, Found { secret, expires_in }),
                // Not a secret, over, or nobody can tell for how long: what was there before is not there any more, and
                // who needs it looks it up.
                (Err(_), _) | (_, Ok(None) | Err(_)) => self.cache.remove(&id),
            }
        }
    }
}

/// None: no ID that a request could name.
fn id_of(kv: &KeyValue) -> Option<SecretId> {
    let id = kv.key.strip_prefix(SECRETS_PREFIX.as_bytes())?;
    SecretId::parse(str::from_utf8(id).ok()?).ok()
}

#[cfg(test)]
mod tests;
