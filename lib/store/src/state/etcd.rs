//! The state in etcd: entries below a prefix of the caller's, `contrast-store/<folder>/<name>`.
//!
//! A swap is one transaction that compares the value; etcd decides which of two comes first. A swap is sent once: whether one
//! without an answer was done, the caller finds out by reading. Knows nothing of endpoints and certificates: [`Etcd`] does.

use std::time::Duration;

use tokio::time::sleep;

use super::{MAX_ENTRY, StateError, StateKey, StateStore, SwapError, check_length};
use crate::{
    StoreFuture,
    etcd::{
        Etcd, EtcdError, Watch,
        messages::{Compare, EventType, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest},
    },
};

/// Before every entry, behind the caller's prefix.
const FOLDER: &str = "contrast-store/";
/// Pause before what was watched is read again.
const PAUSE: Duration = Duration::from_secs(1);
/// Watches that fail one after the other before [`EtcdState::changed`] gives up.
const MAX_FAILURES: u32 = 5;

/// Entries in etcd.
pub struct EtcdState {
    etcd: Etcd,
    prefix: String,
}

/// What was read, and when.
struct Read {
    value: Option<Vec<u8>>,
    /// The whole store's, not the key's: whatever comes later is a change.
    revision: i64,
}

impl EtcdState {
    /// The entries below `prefix`, which may be empty. Asks nobody yet.
    #[must_use]
    pub fn new(etcd: Etcd, prefix: &str) -> Self {
        Self { etcd, prefix: format!("{prefix}{FOLDER}") }
    }

    fn key(&self, key: &StateKey) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn read(&self, key: &StateKey) -> Result<Read, StateError> {
        let mut range = self.etcd.range(&RangeRequest::one(self.key(key))).await.map_err(unavailable)?;
        let no_header = || unavailable(EtcdError::Protocol("a range without a header"));
        let revision = range.header.ok_or_else(no_header)?.revision;
        let value = range.kvs.first_mut().map(|found| std::mem::take(&mut found.value));
        if let Some(value) = &value {
            check_length(key, value, MAX_ENTRY)?;
        }
        Ok(Read { value, revision })
    }

    /// Writes under a condition.
    fn write_if(&self, condition: Compare, key: &StateKey, value: &[u8]) -> TxnRequest {
        let put = PutRequest { key: self.key(key).into(), value: value.to_vec(), lease: 0 };
        TxnRequest { compare: vec![condition], success: vec![RequestOp::from(put)], failure: Vec::new() }
    }

    /// Waits until the latest transition is another than `seen`; none: the watch is over, read again.
    async fn watched(&self, after: i64, seen: Option<&[u8]>) -> Result<Option<Option<Vec<u8>>>, EtcdError> {
        let create = WatchCreateRequest {
            key: self.key(&StateKey::Latest).into(),
            start_revision: after.saturating_add(1),
            ..WatchCreateRequest::default()
        };
        let mut watch: Watch = self.etcd.watch(create).await?;
        loop {
            // the last one counts: what was replaced in between may be missed
            let Some(event) = watch.next().await?.events.pop() else { continue };
            let kind = event.r#type();
            let Some(mut found) = event.kv else { return Ok(None) };
            let value = (kind != EventType::Delete).then(|| std::mem::take(&mut found.value));
            if value.as_deref() != seen {
                return Ok(Some(value));
            }
        }
    }
}

impl StateStore for EtcdState {
    fn get<'a>(&'a self, key: &'a StateKey) -> StoreFuture<'a, Option<Vec<u8>>, StateError> {
        Box::pin(async move { Ok(self.read(key).await?.value) })
    }

    fn put<'a>(&'a self, key: &'a StateKey, value: &'a [u8]) -> StoreFuture<'a, (), StateError> {
        Box::pin(async move {
            check_length(key, value, MAX_ENTRY)?;
            let txn = self.write_if(Compare::absent(self.key(key)), key, value);
            // done twice is done once: the second one finds the entry
            self.etcd.txn_repeatable(&txn).await.map_err(unavailable)?;
            Ok(())
        })
    }

    fn swap<'a>(&'a self, expected: Option<&'a [u8]>, new: &'a [u8]) -> StoreFuture<'a, (), SwapError> {
        const KEY: StateKey = StateKey::Latest;
        Box::pin(async move {
            check_length(&KEY, new, MAX_ENTRY)?;
            let condition = match expected {
                None => Compare::absent(self.key(&KEY)),
                Some(expected) => Compare::value(self.key(&KEY), expected),
            };
            let done = self.etcd.txn(&self.write_if(condition, &KEY, new)).await.map_err(unavailable)?;
            if done.succeeded { Ok(()) } else { Err(SwapError::Lost) }
        })
    }

    fn changed<'a>(&'a self, seen: Option<&'a [u8]>) -> StoreFuture<'a, Option<Vec<u8>>, StateError> {
        Box::pin(async move {
            let mut failures = 0;
            loop {
                // a watch that ended is begun again behind what is read now, so that nothing falls between
                let Read { value, revision } = self.read(&StateKey::Latest).await?;
                if value.as_deref() != seen {
                    return Ok(value);
                }
                match self.watched(revision, seen).await {
                    Ok(Some(value)) => {
                        if let Some(value) = &value {
                            check_length(&StateKey::Latest, value, MAX_ENTRY)?;
                        }
                        return Ok(value);
                    }
                    Ok(None) => {}
                    // what was to be watched is gone from the past, or the past is another one: reading helps
                    Err(EtcdError::Compacted { .. } | EtcdError::RolledBack { .. }) => {}
                    Err(error) if error.is_unavailable() && failures < MAX_FAILURES => failures += 1,
                    Err(error) => return Err(unavailable(error)),
                }
                sleep(PAUSE).await;
            }
        })
    }
}

fn unavailable(error: EtcdError) -> StateError {
    StateError::Unavailable(error.into())
}
