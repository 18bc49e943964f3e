//! What each key has used of each model, and when it was last used: added up in memory, written in batches.
//!
//! Single requests are kept, too, for some weeks ([`crate::requests`]): bills are made of them. A crash loses what came after the last batch; a normal end loses nothing. Knows token counts, never bodies.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use privatemode_service::{Chain, Shutdown};
use sqlx::query;

use crate::accounts::{Accounts, KeyId};
use crate::database::{DatabaseError, now};
use crate::keyring::pause;
use crate::requests::{BilledRequest, prune};

const FLUSH_EVERY: Duration = Duration::from_secs(1);
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
const DAY: i64 = 24 * 3600;
/// While the database cannot be written: some minutes of a busy gateway, in tens of megabytes.
const MAX_PENDING: usize = 100_000;

/// Counts of one request, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub(crate) requests: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    pub(crate) cached_tokens: u64,
    pub(crate) audio_seconds: u64,
    pub(crate) audio_bytes: u64,
}

impl Amounts {
    fn add(&mut self, other: Amounts) {
        let Amounts { requests, prompt_tokens, completion_tokens, cached_tokens, audio_seconds, audio_bytes } =
            other;
        self.requests = self.requests.saturating_add(requests);
        self.prompt_tokens = self.prompt_tokens.saturating_add(prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(completion_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(cached_tokens);
        self.audio_seconds = self.audio_seconds.saturating_add(audio_seconds);
        self.audio_bytes = self.audio_bytes.saturating_add(audio_bytes);
    }
}

pub(crate) struct Ledger {
    accounts: Arc<Accounts>,
    /// For how long single requests stay; 0 keeps none.
    days: u32,
    /// Bounded by keys × models, where only known ones get here, and by [`MAX_PENDING`].
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    amounts: HashMap<(KeyId, Arc<str>), Amounts>,
    seen: HashMap<KeyId, i64>,
    requests: Vec<BilledRequest>,
    lost: u64,
}

impl Ledger {
    pub(crate) fn new(accounts: Arc<Accounts>) -> Ledger {
        Ledger { accounts, days: 35, pending: Mutex::default() }
    }

    /// Single requests stay on record for so many days.
    pub(crate) fn keeping(self, days: u32) -> Ledger {
        Ledger { days, ..self }
    }

    /// The key was used, for whatever it was.
    pub(crate) fn seen(&self, key: &KeyId) {
        self.lock().seen.insert(key.clone(), now());
    }

    /// The key used this much of the model.
    pub(crate) fn used(&self, key: &KeyId, model: &Arc<str>, amounts: Amounts) {
        self.lock().amounts.entry((key.clone(), Arc::clone(model))).or_default().add(amounts);
    }

    /// This very request, for the record.
    pub(crate) fn billed(&self, request: BilledRequest) {
        if self.days > 0 {
            self.lock().push(request);
        }
    }

    /// Writes batches until shutdown. The caller flushes once more, after the last request.
    pub(crate) async fn run(&self, shutdown: Shutdown) {
        let mut failing = false;
        let mut pruned = None;
        while pause(FLUSH_EVERY, &shutdown).await {
            match self.flush().await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(error = %Chain(&error), "cannot write usage, keeping it in memory");
                }
                Err(_) => {}
            }
            if pruned.is_none_or(|at: Instant| at.elapsed() >= PRUNE_EVERY) {
                pruned = Some(Instant::now());
                let before = now().saturating_sub(DAY.saturating_mul(self.days.into()));
                if let Err(error) = prune(self.accounts.database(), before).await {
                    tracing::warn!(error = %Chain(&error), "cannot remove old requests");
                }
            }
        }
    }

    /// Writes what is pending in one transaction; what could not be written stays pending.
    pub(crate) async fn flush(&self) -> Result<(), DatabaseError> {
        let pending = mem::take(&mut *self.lock());
        if pending.lost > 0 {
            tracing::warn!(
                requests = pending.lost,
                "too many requests waited for the database: they are in the totals, but not on record one by one"
            );
        }
        if pending.amounts.is_empty() && pending.seen.is_empty() && pending.requests.is_empty() {
            return Ok(());
        }
        let written = self.write(&pending).await;
        if written.is_err() {
            self.put_back(pending);
        }
        written.map_err(DatabaseError::statement("write usage"))
    }

    async fn write(&self, pending: &Pending) -> Result<(), sqlx::Error> {
        // IMMEDIATE: the write lock is taken (and waited for) at once, not in the middle.
        let mut transaction = self.accounts.database().pool().begin_with("BEGIN IMMEDIATE").await?;
        for (key, at) in &pending.seen {
            query("UPDATE api_keys SET last_used_at = MAX(?, COALESCE(last_used_at, 0)) WHERE id = ?")
                .bind(at)
                .bind(key.as_str())
                .execute(&mut *transaction)
                .await?;
        }
        for ((key, model), amounts) in &pending.amounts {
            let Amounts {
                requests,
                prompt_tokens,
                completion_tokens,
                cached_tokens,
                audio_seconds,
                audio_bytes,
            } = *amounts;
            // A key that somebody deleted by hand must not hold up everybody else's batch.
            query(
                "INSERT INTO usage_totals (key_id, model, requests, prompt_tokens, completion_tokens, cached_tokens, \
                 audio_seconds, last_used_at, audio_bytes) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 \
                 WHERE EXISTS (SELECT 1 FROM api_keys WHERE id = ?1) \
                 ON CONFLICT (key_id, model) DO UPDATE SET requests = requests + excluded.requests, \
                 prompt_tokens = prompt_tokens + excluded.prompt_tokens, \
                 completion_tokens = completion_tokens + excluded.completion_tokens, \
                 cached_tokens = cached_tokens + excluded.cached_tokens, \
                 audio_seconds = audio_seconds + excluded.audio_seconds, \
                 audio_bytes = audio_bytes + excluded.audio_bytes, last_used_at = excluded.last_used_at",
            )
            .bind(key.as_str())
            .bind(&**model)
            .bind(signed(requests))
            .bind(signed(prompt_tokens))
            .bind(signed(completion_tokens))
            .bind(signed(cached_tokens))
            .bind(signed(audio_seconds))
            .bind(now())
            .bind(signed(audio_bytes))
            .execute(&mut *transaction)
            .await?;
        }
        for request in &pending.requests {
            request.insert(&mut transaction).await?;
        }
        transaction.commit().await
    }

    fn put_back(&self, pending: Pending) {
        let mut current = self.lock();
        for (key, amounts) in pending.amounts {
            current.amounts.entry(key).or_default().add(amounts);
        }
        for (key, at) in pending.seen {
            current.seen.entry(key).or_insert(at);
        }
        for request in pending.requests {
            current.push(request);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn push(&mut self, request: BilledRequest) {
        if self.requests.len() < MAX_PENDING {
            self.requests.push(request);
        } else {
            self.lost += 1;
        }
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn batches_add_up_and_mark_the_key_as_used() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = Arc::new(Accounts::open(dir.path().join("gateway.db")).await.unwrap());
        let key = accounts.create_key("a").await.unwrap().id;
        let ledger = Ledger::new(Arc::clone(&accounts));
        let model: Arc<str> = "demo".into();
        let once = Amounts {
            requests: 1,
            prompt_tokens: 3,
            completion_tokens: 5,
            audio_bytes: 7,
            ..Amounts::default()
        };
        for _ in 0..2 {
            ledger.seen(&key);
            ledger.used(&key, &model, once);
            ledger.used(&key, &model, once);
            ledger.flush().await.unwrap();
        }
        // Of a key that does not exist: dropped, and nothing else with it.
        ledger.used(&KeyId::from_database("gone".to_owned()), &model, once);
        ledger.used(&key, &"other".into(), once);
        ledger.flush().await.unwrap();
        let usage = accounts.usage().await.unwrap();
        assert_eq!(usage.len(), 2);
        assert_eq!((usage[0].model.as_str(), usage[0].requests, usage[0].prompt_tokens), ("demo", 4, 12));
        assert_eq!(usage[0].audio_bytes, 28);
        assert_eq!((usage[1].model.as_str(), usage[1].completion_tokens), ("other", 5));
        assert!(accounts.list_keys().await.unwrap()[0].last_used_at.is_some());
    }

    fn billed(number: usize, key: &KeyId) -> BilledRequest {
        BilledRequest {
            id: number.to_string(),
            key_id: key.clone(),
            exchange: None,
            model: "demo".to_owned(),
            status: 200,
            prompt_tokens: 3,
            completion_tokens: 5,
            cached_tokens: 0,
            audio_seconds: 0,
            audio_bytes: 0,
            ended_at: 1,
        }
    }

    async fn on_record(accounts: &Accounts) -> i64 {
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM requests");
        count.fetch_one(accounts.database().pool()).await.unwrap()
    }

    #[tokio::test]
    async fn single_requests_wait_for_the_database_and_only_so_many() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = Arc::new(Accounts::open(dir.path().join("gateway.db")).await.unwrap());
        let key = accounts.create_key("a").await.unwrap().id;
        let ledger = Ledger::new(Arc::clone(&accounts));
        query("ALTER TABLE requests RENAME TO away").execute(accounts.database().pool()).await.unwrap();
        ledger.billed(billed(0, &key));
        assert!(matches!(ledger.flush().await, Err(DatabaseError::Statement { action: "write usage", .. })));
        query("ALTER TABLE away RENAME TO requests").execute(accounts.database().pool()).await.unwrap();
        ledger.flush().await.unwrap();
        assert_eq!(on_record(&accounts).await, 1);
        ledger.flush().await.unwrap();
        assert_eq!(on_record(&accounts).await, 1, "each once");

        (0..MAX_PENDING + 2).for_each(|number| ledger.billed(billed(number, &key)));
        let pending = ledger.lock();
        assert_eq!((pending.requests.len(), pending.lost), (MAX_PENDING, 2));
    }

    #[tokio::test]
    async fn who_wants_no_record_of_single_requests_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = Arc::new(Accounts::open(dir.path().join("gateway.db")).await.unwrap());
        let key = accounts.create_key("a").await.unwrap().id;
        let ledger = Ledger::new(Arc::clone(&accounts)).keeping(0);
        ledger.billed(billed(0, &key));
        ledger.flush().await.unwrap();
        assert_eq!(on_record(&accounts).await, 0);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = Arc::new(Accounts::open(dir.path().join("gateway.db")).await.unwrap());
        let key = accounts.create_key("a").await.unwrap().id;
        let ledger = Ledger::new(Arc::clone(&accounts));
        query("ALTER TABLE usage_totals RENAME TO away").execute(accounts.database().pool()).await.unwrap();
        ledger.used(&key, &"demo".into(), Amounts { requests: 1, ..Amounts::default() });
        assert!(matches!(ledger.flush().await, Err(DatabaseError::Statement { action: "write usage", .. })));
        query("ALTER TABLE away RENAME TO usage_totals").execute(accounts.database().pool()).await.unwrap();
        ledger.flush().await.unwrap();
        assert_eq!(accounts.usage().await.unwrap()[0].requests, 1);
    }
}
