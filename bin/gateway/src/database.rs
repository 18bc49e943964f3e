//! The SQLite file behind accounts and usage: opening, migrations, the pepper.
//!
//! Knows no keys and counts nothing; `accounts` and `ledger` do. The file is shared with other processes (the command
//! line creates and revokes keys while the gateway runs): WAL, short transactions, a busy timeout.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{SqlSafeStr, query, query_scalar};
use zeroize::Zeroizing;

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Two processes that open a new file at the same moment both try to migrate it; the loser looks again.
const OPEN_ATTEMPTS: u32 = 5;
const PEPPER_BYTES: usize = 32;

/// Why the database could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file or its folder cannot be made.
    #[error("cannot create the database `{path}`: check that the folder exists and may be written to")]
    Create {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not a SQLite file, or not to be opened.
    #[error("cannot open the database `{path}`")]
    Open {
        /// The file asked for.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// The schema is newer than this program, or a migration failed.
    #[error("cannot bring the database `{path}` up to date: was it made by a newer version of this program?")]
    Migrate {
        /// The file asked for.
        path: PathBuf,
        /// What the migration said.
        source: sqlx::migrate::MigrateError,
    },
    /// An older program's file, or another program's.
    #[error(
        "the database `{path}` has no requests on record: start the gateway on it once, which brings it up to date"
    )]
    NoRequests {
        /// The file asked for.
        path: PathBuf,
    },
    /// The system's source of randomness failed.
    #[error("the system gave no random bytes")]
    Randomness(#[source] getrandom::Error),
    /// `meta.pepper` is not 32 bytes.
    #[error("the database's pepper is damaged: no stored key can be checked against it")]
    Pepper,
    /// A statement failed.
    #[error("cannot {action} in the database")]
    Statement {
        /// What was being done.
        action: &'static str,
        /// What SQLite said.
        source: sqlx::Error,
    },
}

impl DatabaseError {
    pub(crate) fn statement(action: &'static str) -> impl FnOnce(sqlx::Error) -> DatabaseError {
        move |source| DatabaseError::Statement { action, source }
    }
}

/// Mixed into every key hash, so that a copy of one database's hashes cannot be looked for in another's.
pub(crate) struct Pepper(Zeroizing<Box<[u8]>>);

impl Pepper {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Clone)]
pub(crate) struct Database {
    pool: SqlitePool,
}

impl Database {
    /// Opens the file, makes it (readable by its owner only) when it is not there, and migrates it.
    pub(crate) async fn open(path: &Path) -> Result<Database, DatabaseError> {
        create_private(path).map_err(|source| DatabaseError::Create { path: path.into(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode NORMAL cannot corrupt the file; a power cut may lose the last commits, a crash may not.
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let mut attempt = 0;
        loop {
            attempt += 1;
            match Self::open_once(path, options.clone()).await {
                Ok(database) => return Ok(database),
                Err(error) if attempt == OPEN_ATTEMPTS => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(20 << attempt)).await,
            }
        }
    }

    /// Opens a file that is there, for reading only: nothing is made, migrated or locked.
    pub(crate) async fn open_read_only(path: &Path) -> Result<Database, DatabaseError> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await
            .map_err(|source| DatabaseError::Open { path: path.into(), source })?;
        Ok(Database { pool })
    }

    async fn open_once(path: &Path, options: SqliteConnectOptions) -> Result<Database, DatabaseError> {
        // One connection each for the writer, the poll for revocations and a person's question.
        let pool = SqlitePoolOptions::new()
            .max_connections(3)
            .connect_with(options)
            .await
            .map_err(|source| DatabaseError::Open { path: path.into(), source })?;
        migrations()
            .run(&pool)
            .await
            .map_err(|source| DatabaseError::Migrate { path: path.into(), source })?;
        Ok(Database { pool })
    }

    pub(crate) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// The database's pepper, made at its first use. Of two processes that make one, the first wins.
    pub(crate) async fn pepper(&self) -> Result<Pepper, DatabaseError> {
        let mut fresh = Zeroizing::new([0_u8; PEPPER_BYTES]);
        getrandom::fill(fresh.as_mut_slice()).map_err(DatabaseError::Randomness)?;
        query("INSERT INTO meta (name, value) VALUES ('pepper', ?) ON CONFLICT DO NOTHING")
            .bind(fresh.as_slice())
            .execute(&self.pool)
            .await
            .map_err(DatabaseError::statement("store the pepper"))?;
        let stored: Vec<u8> = query_scalar("SELECT value FROM meta WHERE name = 'pepper'")
            .fetch_one(&self.pool)
            .await
            .map_err(DatabaseError::statement("read the pepper"))?;
        let stored = Zeroizing::new(stored.into_boxed_slice());
        if stored.len() != PEPPER_BYTES {
            return Err(DatabaseError::Pepper);
        }
        Ok(Pepper(stored))
    }

    /// Folds the write-ahead log back into the file and closes every connection.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

fn migrations() -> Migrator {
    let steps = [
        ("accounts", include_str!("../migrations/0001_accounts.sql")),
        ("audio bytes", include_str!("../migrations/0002_audio_bytes.sql")),
        ("requests", include_str!("../migrations/0003_requests.sql")),
    ];
    let step = |(number, (name, sql)): (i64, (&'static str, &'static str))| {
        Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations((1..).zip(steps).map(step).collect())
}

/// SQLite gives its journal files the mode of the database, so that setting it here covers all of them.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Seconds since 1970, as the database keeps them.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
