//! API keys: making, listing, revoking, and what each has used.
//!
//! Works on the database file and on nothing else, so that `privatemode keys` uses it from another process while the
//! gateway runs; a running gateway notices within a second (`keyring`). It serves no requests. A key is shown once: the
//! database holds SHA-256 of the pepper and the key. product.md G1.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use sqlx::{Row, query};
use uuid::Uuid;

use crate::database::{Database, DatabaseError, Pepper, now};

mod api_key;
#[cfg(test)]
mod tests;

pub use api_key::{ApiKey, MalformedKey};

const MAX_NAME_CHARS: usize = 100;

/// The identifier of a stored key: a UUIDv7, not secret, safe in logs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Arc<str>);

impl KeyId {
    pub(crate) fn from_database(text: String) -> KeyId {
        KeyId(text.into())
    }

    /// The UUID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key that was just made. The only moment at which its text can be had.
#[derive(Debug)]
pub struct NewKey {
    /// Names the key from now on.
    pub id: KeyId,
    /// What its owner calls it.
    pub name: String,
    /// The key itself; print `key.reveal()` once.
    pub key: ApiKey,
}

/// A stored key, without anything that could be used to call the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Names the key.
    pub id: KeyId,
    /// What its owner calls it.
    pub name: String,
    /// The key's first characters, for telling keys apart.
    pub prefix: String,
    /// Seconds since 1970.
    pub created_at: i64,
    /// Seconds since 1970; written in batches, so some seconds late.
    pub last_used_at: Option<i64>,
    /// Seconds since 1970; `None` while the key is valid.
    pub revoked_at: Option<i64>,
}

/// What one key has used of one model since it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUsage {
    /// The key.
    pub key_id: KeyId,
    /// The model as the worker names it.
    pub model: String,
    /// Requests answered by a worker, whatever their status, and those that were given up while one was at work.
    pub requests: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// Those of the prompt tokens that came from a cache.
    pub cached_tokens: u64,
    /// Seconds of audio heard.
    pub audio_seconds: u64,
    /// Bytes of audio heard.
    pub audio_bytes: u64,
    /// Seconds since 1970.
    pub last_used_at: i64,
}

/// What [`Accounts::ensure_key`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// The database had the key, and it is valid.
    Present,
    /// The database did not have the key; now it has.
    Added,
    /// The key is known and was revoked: make another one.
    Revoked,
}

/// Why an operation on the accounts failed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The name is empty or too long.
    #[error("a key's name has 1 to {MAX_NAME_CHARS} characters, none of them a control character")]
    Name,
    /// The system's source of randomness failed.
    #[error("the system gave no random bytes")]
    Randomness(#[source] getrandom::Error),
    /// No key has this id or prefix.
    #[error("no key has the id or prefix `{0}`: `privatemode keys list` shows all keys")]
    Unknown(String),
    /// Several keys have this prefix.
    #[error("{count} keys begin with `{selector}`: give the whole id")]
    Ambiguous {
        /// What was asked for.
        selector: String,
        /// How many keys it fits.
        count: usize,
    },
}

/// The accounts in one database file.
pub struct Accounts {
    database: Database,
    pepper: Pepper,
}

impl Accounts {
    /// Opens (or makes) the database at `path`.
    pub async fn open(path: impl AsRef<Path>) -> Result<Accounts, AccountError> {
        let database = Database::open(path.as_ref()).await?;
        let pepper = database.pepper().await?;
        Ok(Accounts { database, pepper })
    }

    /// Makes a new key. Its text is in the answer and nowhere else.
    pub async fn create_key(&self, name: &str) -> Result<NewKey, AccountError> {
        let key = ApiKey::generate().map_err(AccountError::Randomness)?;
        let id = self.insert(name, &key).await?;
        Ok(NewKey { id, name: name.trim().to_owned(), key })
    }

    /// Makes sure that a key whose text the caller already holds is known: for a process that keeps its own key.
    pub async fn ensure_key(&self, name: &str, key: &ApiKey) -> Result<Ensured, AccountError> {
        let row = query("SELECT revoked_at FROM api_keys WHERE hash = ?")
            .bind(key_hash(&self.pepper, key.reveal()).to_vec())
            .fetch_optional(self.database.pool())
            .await
            .map_err(DatabaseError::statement("look a key up"))?;
        match row {
            Some(row) if row.get::<Option<i64>, _>(0).is_some() => Ok(Ensured::Revoked),
            Some(_) => Ok(Ensured::Present),
            None => self.insert(name, key).await.map(|_| Ensured::Added),
        }
    }

    /// All keys, revoked ones too, oldest first.
    pub async fn list_keys(&self) -> Result<Vec<KeyInfo>, AccountError> {
        let rows = query(
            "SELECT id, name, prefix, created_at, last_used_at, revoked_at FROM api_keys ORDER BY created_at, id",
        )
        .fetch_all(self.database.pool())
        .await
        .map_err(DatabaseError::statement("list the keys"))?;
        Ok(rows.iter().map(key_info).collect())
    }

    /// Revokes the key with this id, or the only key whose id or shown prefix begins so. Revoking twice changes nothing.
    pub async fn revoke_key(&self, selector: &str) -> Result<KeyInfo, AccountError> {
        let mut key = self.select(selector).await?;
        if key.revoked_at.is_none() {
            let at = now();
            query("UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL")
                .bind(at)
                .bind(key.id.as_str())
                .execute(self.database.pool())
                .await
                .map_err(DatabaseError::statement("revoke a key"))?;
            key.revoked_at = Some(at);
        }
        Ok(key)
    }

    /// What each key has used of each model. A running gateway writes this some seconds late.
    pub async fn usage(&self) -> Result<Vec<KeyUsage>, AccountError> {
        let rows = query(
            "SELECT key_id, model, requests, prompt_tokens, completion_tokens, cached_tokens, audio_seconds, audio_bytes, \
             last_used_at \
             FROM usage_totals ORDER BY key_id, model",
        )
        .fetch_all(self.database.pool())
        .await
        .map_err(DatabaseError::statement("read the usage"))?;
        Ok(rows.iter().map(key_usage).collect())
    }

    /// Closes the file; dropping does so too, but without waiting.
    pub async fn close(self) {
        self.database.close().await;
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    async fn insert(&self, name: &str, key: &ApiKey) -> Result<KeyId, AccountError> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
            return Err(AccountError::Name);
        }
        let id = Uuid::now_v7().to_string();
        query("INSERT INTO api_keys (id, name, prefix, hash, created_at) VALUES (?, ?, ?, ?, ?)")
            .bind(&id)
            .bind(name)
            .bind(key.shown_prefix())
            .bind(key_hash(&self.pepper, key.reveal()).to_vec())
            .bind(now())
            .execute(self.database.pool())
            .await
            .map_err(DatabaseError::statement("store a key"))?;
        Ok(KeyId(id.into()))
    }

    async fn select(&self, selector: &str) -> Result<KeyInfo, AccountError> {
        let selector = selector.trim();
        let fits = |key: &KeyInfo| key.id.as_str().starts_with(selector) || key.prefix.starts_with(selector);
        let mut keys: Vec<KeyInfo> = self.list_keys().await?.into_iter().filter(fits).collect();
        if let Some(exact) = keys.iter().position(|key| key.id.as_str() == selector) {
            return Ok(keys.swap_remove(exact));
        }
        match keys.len() {
            // A bare `pm-` or nothing at all fits whatever there is: not what anybody means.
            1 if selector.len() > "pm-".len() => Ok(keys.swap_remove(0)),
            0 | 1 => Err(AccountError::Unknown(selector.to_owned())),
            count => Err(AccountError::Ambiguous { selector: selector.to_owned(), count }),
        }
    }
}

/// The text under which a key is stored. The pepper has a fixed length, so that no other pair gives the same input.
pub(crate) fn key_hash(pepper: &Pepper, key: &str) -> [u8; 32] {
    Sha256::new().chain_update(pepper.as_bytes()).chain_update(key.as_bytes()).finalize().into()
}

fn key_info(row: &sqlx::sqlite::SqliteRow) -> KeyInfo {
    KeyInfo {
        id: KeyId::from_database(row.get(0)),
        name: row.get(1),
        prefix: row.get(2),
        created_at: row.get(3),
        last_used_at: row.get(4),
        revoked_at: row.get(5),
    }
}

fn key_usage(row: &sqlx::sqlite::SqliteRow) -> KeyUsage {
    let count = |column: usize| u64::try_from(row.get::<i64, _>(column)).unwrap_or(0);
    KeyUsage {
        key_id: KeyId::from_database(row.get(0)),
        model: row.get(1),
        requests: count(2),
        prompt_tokens: count(3),
        completion_tokens: count(4),
        cached_tokens: count(5),
        audio_seconds: count(6),
        audio_bytes: count(7),
        last_used_at: row.get(8),
    }
}
