//! Who may call: the keys of the database, held in memory.
//!
//! A request costs one hash and one look-up, never a query. The database's key generation is polled, so that a key that
//! another process revoked is refused well within a second. Writes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, header};
use privatemode_service::{ApiError, Chain, Shutdown};
use sqlx::{Row, query, query_scalar};
use subtle::ConstantTimeEq;

use crate::accounts::{Accounts, KeyId, key_hash};
use crate::database::DatabaseError;

/// A revocation has to take effect within a second, whoever made it.
const POLL: Duration = Duration::from_millis(250);
/// After so many failed polls in a row the gateway says that it is not ready.
const FAILURES_TOLERATED: u32 = 8;
/// Longer than any key: more is not hashed.
const MAX_PRESENTED: usize = 256;

pub(crate) struct Keyring {
    accounts: Arc<Accounts>,
    keys: ArcSwap<Snapshot>,
    failures: AtomicU32,
    /// Number of the last look for a new key that has ended.
    refreshing: tokio::sync::Mutex<u64>,
    /// Number of the last one that has begun.
    looks: AtomicU64,
}

struct Snapshot {
    generation: i64,
    by_hash: HashMap<[u8; 32], Key>,
}

struct Key {
    hash: [u8; 32],
    id: KeyId,
    revoked: bool,
}

/// Why a caller was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    Missing,
    Unknown,
    Revoked,
}

impl Keyring {
    pub(crate) async fn load(accounts: Arc<Accounts>) -> Result<Keyring, DatabaseError> {
        let snapshot = read(&accounts).await?;
        Ok(Keyring {
            accounts,
            keys: ArcSwap::from_pointee(snapshot),
            failures: AtomicU32::new(0),
            refreshing: tokio::sync::Mutex::default(),
            looks: AtomicU64::new(0),
        })
    }

    /// The key that a request shows in `Authorization: Bearer`, or as Anthropic's tools do in `x-api-key`.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<KeyId, Denied> {
        let presented = presented(headers).ok_or(Denied::Missing)?;
        if presented.len() > MAX_PRESENTED {
            return Err(Denied::Unknown);
        }
        // The table is indexed by a keyed hash: how long a look-up takes says nothing about any stored key.
        let hash = key_hash(self.accounts.pepper(), presented);
        let keys = self.keys.load();
        match keys.by_hash.get(&hash) {
            Some(key) if !bool::from(key.hash.ct_eq(&hash)) => Err(Denied::Unknown),
            Some(key) if key.revoked => Err(Denied::Revoked),
            Some(key) => Ok(key.id.clone()),
            None => Err(Denied::Unknown),
        }
    }

    /// As [`Keyring::authenticate`], but asks the database once more before it turns an unknown key away: a key is good
    /// from the moment at which it was made.
    pub(crate) async fn authenticate_fresh(&self, headers: &HeaderMap) -> Result<KeyId, Denied> {
        match self.authenticate(headers) {
            // One at a time, and one for all who wait: a flood of wrong keys costs few queries, and never the pool.
            Err(Denied::Unknown) => {
                let begun = self.looks.load(Ordering::Acquire);
                let mut ended = self.refreshing.lock().await;
                // A look that began after we came, and has ended, is as good as our own.
                if *ended <= begun {
                    let look = self.looks.fetch_add(1, Ordering::AcqRel) + 1;
                    if let Err(error) = self.refresh().await {
                        tracing::warn!(error = %Chain(&error), "cannot check for a new key");
                    }
                    *ended = look;
                }
                drop(ended);
                self.authenticate(headers)
            }
            known => known,
        }
    }

    /// Reads the keys again if any process has changed them.
    pub(crate) async fn refresh(&self) -> Result<(), DatabaseError> {
        let generation = generation(&self.accounts).await?;
        if generation != self.keys.load().generation {
            self.keys.store(Arc::new(read(&self.accounts).await?));
        }
        Ok(())
    }

    /// Polls until shutdown.
    pub(crate) async fn watch(&self, shutdown: Shutdown) {
        while pause(POLL, &shutdown).await {
            match self.refresh().await {
                Ok(()) => self.failures.store(0, Ordering::Relaxed),
                Err(error) => {
                    if self.failures.fetch_add(1, Ordering::Relaxed) == 0 {
                        tracing::warn!(error = %Chain(&error), "cannot check for revoked keys, trying again");
                    }
                }
            }
        }
    }

    /// Whether revocations are noticed at present.
    pub(crate) fn is_current(&self) -> bool {
        self.failures.load(Ordering::Relaxed) < FAILURES_TOLERATED
    }
}

/// Waits; `false` when it is time to end.
pub(crate) async fn pause(time: Duration, shutdown: &Shutdown) -> bool {
    tokio::select! {
        () = shutdown.triggered() => false,
        () = tokio::time::sleep(time) => true,
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> ApiError {
        match denied {
            Denied::Missing => ApiError::unauthorized(
                "missing_api_key",
                "No API key was sent. Send `Authorization: Bearer pm-…`; `privatemode keys create` makes a key.",
            ),
            Denied::Unknown => ApiError::unauthorized(
                "invalid_api_key",
                "This API key is not known here. Check that it was copied whole and belongs to this service; \
                 `privatemode keys list` shows the keys that exist, `privatemode keys create` makes a new one.",
            ),
            Denied::Revoked => ApiError::unauthorized(
                "revoked_api_key",
                "This API key was revoked. Ask for a new one; `privatemode keys create` makes it.",
            ),
        }
        .with_header(header::WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"))
    }
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, key) = value.to_str().ok()?.trim().split_once(' ')?;
        return Some(key.trim()).filter(|key| scheme.eq_ignore_ascii_case("bearer") && !key.is_empty());
    }
    headers.get("x-api-key")?.to_str().ok().map(str::trim).filter(|key| !key.is_empty())
}

async fn generation(accounts: &Accounts) -> Result<i64, DatabaseError> {
    query_scalar("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'key_generation'")
        .fetch_one(accounts.database().pool())
        .await
        .map_err(DatabaseError::statement("read the key generation"))
}

async fn read(accounts: &Accounts) -> Result<Snapshot, DatabaseError> {
    // The generation first: a change between the two statements is then seen again at the next poll, never missed.
    let generation = generation(accounts).await?;
    let rows = query("SELECT id, hash, revoked_at IS NOT NULL FROM api_keys")
        .fetch_all(accounts.database().pool())
        .await
        .map_err(DatabaseError::statement("read the keys"))?;
    let keys = rows.iter().filter_map(|row| {
        let hash = <[u8; 32]>::try_from(row.get::<Vec<u8>, _>(1)).ok()?;
        Some((hash, Key { hash, id: KeyId::from_database(row.get(0)), revoked: row.get(2) }))
    });
    Ok(Snapshot { generation, by_hash: keys.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(key: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Bearer {key}").parse().unwrap());
        headers
    }

    #[tokio::test]
    async fn a_key_is_known_by_either_header_until_another_handle_revokes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.db");
        let accounts = Arc::new(Accounts::open(&path).await.unwrap());
        let keyring = Keyring::load(Arc::clone(&accounts)).await.unwrap();
        let other = Accounts::open(&path).await.unwrap();

        let new = other.create_key("cli").await.unwrap();
        assert_eq!(keyring.authenticate(&bearer(new.key.reveal())), Err(Denied::Unknown));
        keyring.refresh().await.unwrap();
        assert_eq!(keyring.authenticate(&bearer(new.key.reveal())), Ok(new.id.clone()));
        let mut anthropic = HeaderMap::new();
        anthropic.insert("x-api-key", new.key.reveal().parse().unwrap());
        assert_eq!(keyring.authenticate(&anthropic), Ok(new.id.clone()));

        other.revoke_key(new.id.as_str()).await.unwrap();
        keyring.refresh().await.unwrap();
        assert_eq!(keyring.authenticate(&bearer(new.key.reveal())), Err(Denied::Revoked));
    }

    #[tokio::test]
    async fn a_key_is_good_from_the_moment_at_which_it_was_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.db");
        let keyring = Keyring::load(Arc::new(Accounts::open(&path).await.unwrap())).await.unwrap();
        let new = Accounts::open(&path).await.unwrap().create_key("another process").await.unwrap();
        assert_eq!(keyring.authenticate_fresh(&bearer(new.key.reveal())).await, Ok(new.id));
        assert_eq!(keyring.authenticate_fresh(&bearer("pm-wrong")).await, Err(Denied::Unknown));
    }

    #[tokio::test]
    async fn a_flood_of_wrong_keys_shares_one_query() {
        use futures_util::FutureExt;

        let dir = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(dir.path().join("gateway.db")).await.unwrap();
        let keyring = Keyring::load(Arc::new(accounts)).await.unwrap();
        let wrong = bearer("pm-no");
        let turn = keyring.refreshing.lock().await;
        let mut flood =
            futures_util::future::join_all((0..100).map(|_| Box::pin(keyring.authenticate_fresh(&wrong))));
        // All of them wait for their turn before the first one gets it; a poll reaches some of them only.
        for _ in 0..100 {
            assert!((&mut flood).now_or_never().is_none());
        }
        drop(turn);
        assert!(flood.await.iter().all(Result::is_err));
        assert_eq!(keyring.looks.load(Ordering::Acquire), 1);
    }

    #[tokio::test]
    async fn the_watch_notices_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.db");
        let accounts = Arc::new(Accounts::open(&path).await.unwrap());
        let new = accounts.create_key("a").await.unwrap();
        let keyring = Arc::new(Keyring::load(accounts).await.unwrap());
        let shutdown = Shutdown::new();
        let watch = tokio::spawn({
            let (keyring, shutdown) = (Arc::clone(&keyring), shutdown.clone());
            async move { keyring.watch(shutdown).await }
        });
        Accounts::open(&path).await.unwrap().revoke_key(new.id.as_str()).await.unwrap();
        while keyring.authenticate(&bearer(new.key.reveal())) != Err(Denied::Revoked) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        shutdown.trigger();
        watch.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = Arc::new(Accounts::open(dir.path().join("gateway.db")).await.unwrap());
        let keyring = Keyring::load(accounts).await.unwrap();
        assert_eq!(keyring.authenticate(&HeaderMap::new()), Err(Denied::Missing));
        let mut basic = HeaderMap::new();
        basic.insert(header::AUTHORIZATION, "Basic abc".parse().unwrap());
        assert_eq!(keyring.authenticate(&basic), Err(Denied::Missing));
        assert_eq!(keyring.authenticate(&bearer("pm-wrong")), Err(Denied::Unknown));
        assert_eq!(keyring.authenticate(&bearer(&"x".repeat(5000))), Err(Denied::Unknown));
    }
}
