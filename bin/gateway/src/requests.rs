//! Single requests on record: what a bill is made of, and what is held against receipts.
//!
//! Rows hold the exchange's name, the model and figures; no content, and nothing that the access log does not say. The
//! ledger writes them; [`UsageFile`] reads them, from another process and without a change to the file. protocol.md, section 9.

use std::path::Path;

use futures_util::TryStreamExt;
use privatemode_wire::stream::outer::ExchangeId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, query, query_scalar};

use crate::accounts::KeyId;
use crate::database::{Database, DatabaseError};
use crate::ledger::Amounts;

/// A request that a worker answered, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BilledRequest {
    /// The gateway's `X-Request-ID`.
    pub id: String,
    /// Who pays.
    pub key_id: KeyId,
    /// What a receipt calls the exchange; `None` where the body was not sealed as a whole.
    pub exchange: Option<ExchangeId>,
    /// The model as the worker names it.
    pub model: String,
    /// The answer's HTTP status.
    pub status: u16,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// Those of the prompt tokens that came from a cache.
    pub cached_tokens: u64,
    /// Seconds of audio heard.
    pub audio_seconds: u64,
    /// Bytes of audio sent, in units of 16 KiB.
    pub audio_bytes: u64,
    /// Seconds since 1970.
    pub ended_at: i64,
}

impl BilledRequest {
    pub(crate) fn with_amounts(self, amounts: Amounts) -> BilledRequest {
        let Amounts {
            requests: _,
            prompt_tokens,
            completion_tokens,
            cached_tokens,
            audio_seconds,
            audio_bytes,
        } = amounts;
        BilledRequest { prompt_tokens, completion_tokens, cached_tokens, audio_seconds, audio_bytes, ..self }
    }

    /// Puts the row there. A key that somebody deleted by hand must not hold up everybody else's batch.
    pub(crate) async fn insert(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let signed = |count| i64::try_from(count).unwrap_or(i64::MAX);
        query(
            "INSERT INTO requests SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 \
             WHERE EXISTS (SELECT 1 FROM api_keys WHERE id = ?2) ON CONFLICT (id) DO NOTHING",
        )
        .bind(&self.id)
        .bind(self.key_id.as_str())
        .bind(self.exchange.map(|exchange| exchange.as_bytes().to_vec()))
        .bind(&self.model)
        .bind(i64::from(self.status))
        .bind(signed(self.prompt_tokens))
        .bind(signed(self.completion_tokens))
        .bind(signed(self.cached_tokens))
        .bind(signed(self.audio_seconds))
        .bind(signed(self.audio_bytes))
        .bind(self.ended_at)
        .execute(connection)
        .await
        .map(drop)
    }

    fn from_row(row: &SqliteRow) -> BilledRequest {
        let count = |column: usize| u64::try_from(row.get::<i64, _>(column)).unwrap_or(0);
        let exchange: Option<Vec<u8>> = row.get(2);
        BilledRequest {
            id: row.get(0),
            key_id: KeyId::from_database(row.get(1)),
            exchange: exchange.and_then(|bytes| bytes.try_into().ok()).map(ExchangeId::from_bytes),
            model: row.get(3),
            status: u16::try_from(row.get::<i64, _>(4)).unwrap_or(0),
            prompt_tokens: count(5),
            completion_tokens: count(6),
            cached_tokens: count(7),
            audio_seconds: count(8),
            audio_bytes: count(9),
            ended_at: row.get(10),
        }
    }
}

/// Removes what ended before `time` (seconds since 1970).
pub(crate) async fn prune(database: &Database, time: i64) -> Result<(), DatabaseError> {
    let pruned = query("DELETE FROM requests WHERE ended_at < ?").bind(time).execute(database.pool()).await;
    pruned.map(drop).map_err(DatabaseError::statement("remove old requests"))
}

/// A gateway's database, opened for reading only, also beside a running gateway.
pub struct UsageFile(Database);

impl UsageFile {
    /// Opens the file. It must be there, and of this version.
    ///
    /// # Errors
    /// [`DatabaseError`] if it is not, or cannot be read.
    pub async fn open(path: impl AsRef<Path>) -> Result<UsageFile, DatabaseError> {
        let path = path.as_ref();
        let database = Database::open_read_only(path).await?;
        let table = "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = 'requests'";
        let tables: i64 = query_scalar(table)
            .fetch_one(database.pool())
            .await
            .map_err(|source| DatabaseError::Open { path: path.into(), source })?;
        if tables == 0 {
            return Err(DatabaseError::NoRequests { path: path.into() });
        }
        Ok(UsageFile(database))
    }

    /// Gives each request to `take`, oldest first; of one key only where one is given. A running gateway writes some seconds
    /// late.
    ///
    /// # Errors
    /// [`DatabaseError`] if the file cannot be read.
    pub async fn each(
        &self,
        key: Option<&str>,
        mut take: impl FnMut(BilledRequest),
    ) -> Result<(), DatabaseError> {
        let failed = || DatabaseError::statement("read the requests");
        let mut rows = query(
            "SELECT id, key_id, exchange, model, status, prompt_tokens, completion_tokens, cached_tokens, audio_seconds, \
             audio_bytes, ended_at FROM requests WHERE ?1 IS NULL OR key_id = ?1 ORDER BY id",
        )
        .bind(key)
        .fetch(self.0.pool());
        while let Some(row) = rows.try_next().await.map_err(failed())? {
            take(BilledRequest::from_row(&row));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Accounts;

    fn request(id: &str, key: &KeyId) -> BilledRequest {
        BilledRequest {
            id: id.to_owned(),
            key_id: key.clone(),
            exchange: Some(ExchangeId::from_bytes([7; 32])),
            model: "demo".to_owned(),
            status: 200,
            prompt_tokens: 1,
            completion_tokens: 2,
            cached_tokens: 3,
            audio_seconds: 4,
            audio_bytes: 5,
            ended_at: 1_800_000_000,
        }
    }

    async fn all(file: &UsageFile, key: Option<&str>) -> Vec<BilledRequest> {
        let mut all = Vec::new();
        file.each(key, |request| all.push(request)).await.unwrap();
        all
    }

    #[tokio::test]
    async fn rows_come_back_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.db");
        let accounts = Accounts::open(&path).await.unwrap();
        let key = accounts.create_key("a").await.unwrap().id;
        let other = accounts.create_key("b").await.unwrap().id;
        let plain = BilledRequest { exchange: None, status: 503, ended_at: 1, ..request("1", &other) };
        let gone = request("3", &KeyId::from_database("gone".to_owned()));
        let mut connection = accounts.database().pool().acquire().await.unwrap();
        for row in [&request("2", &key), &plain, &gone, &request("2", &other)] {
            row.insert(&mut connection).await.unwrap();
        }
        drop(connection);

        let file = UsageFile::open(&path).await.unwrap();
        assert_eq!(all(&file, None).await, [plain.clone(), request("2", &key)]);
        assert_eq!(all(&file, Some(other.as_str())).await, [plain]);
        assert!(query("DELETE FROM requests").execute(file.0.pool()).await.is_err(), "it is read only");

        prune(accounts.database(), 2).await.unwrap();
        assert_eq!(all(&file, None).await, [request("2", &key)]);
    }

    #[tokio::test]
    async fn what_is_no_database_of_a_gateway_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("none.db");
        assert!(matches!(UsageFile::open(&missing).await, Err(DatabaseError::Open { .. })));
        assert!(!missing.exists(), "reading makes no file");
        let text = dir.path().join("text.db");
        std::fs::write(&text, "no database, but long enough to be looked at as one ".repeat(40)).unwrap();
        assert!(matches!(UsageFile::open(&text).await, Err(DatabaseError::Open { .. })));

        let old = dir.path().join("old.db");
        let accounts = Accounts::open(&old).await.unwrap();
        query("DROP TABLE requests").execute(accounts.database().pool()).await.unwrap();
        accounts.close().await;
        assert!(matches!(UsageFile::open(&old).await, Err(DatabaseError::NoRequests { .. })));
    }
}
