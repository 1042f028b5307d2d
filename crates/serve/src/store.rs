//! What is durable: tokens, submissions and the audit log, in one SQLite database.

mod audit;
mod submissions;
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent::event::Time;
use rusqlite::{Connection, TransactionBehavior};

pub(crate) use submissions::{Added, New, State, Submission};
pub use tokens::{Created, Role, Token};

/// Version of the tables.
const VERSION: i64 = 1;
/// Time that a statement waits for another process, such as `serve token add`.
const PATIENCE: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
    CREATE TABLE tokens (
        name TEXT PRIMARY KEY,
        role TEXT NOT NULL,
        hash BLOB NOT NULL UNIQUE,
        key TEXT,
        created TEXT NOT NULL,
        revoked TEXT
    ) STRICT;
    CREATE TABLE submissions (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        token TEXT NOT NULL REFERENCES tokens(name),
        key TEXT NOT NULL,
        file TEXT NOT NULL,
        digest TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        run TEXT NOT NULL,
        slug TEXT NOT NULL,
        task TEXT NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        message TEXT,
        differences TEXT NOT NULL DEFAULT '[]',
        verdict TEXT,
        received TEXT NOT NULL,
        changed TEXT NOT NULL
    ) STRICT;
    CREATE INDEX submissions_by_state ON submissions(state, number);
    CREATE UNIQUE INDEX submissions_one_of_a_run ON submissions(slug) WHERE state IN ('queued', 'scoring', 'published');
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        time TEXT NOT NULL,
        who TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT;
    CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
    CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
";

/// Why something is not in the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("{}: {source}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// The directory cannot be made.
    #[error("{}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A newer program made the database.
    #[error("{}: it is of version {found}, and this mirrorcode knows {VERSION}: use a newer one", path.display())]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// There is such a token already, or was.
    #[error("there is a token {0} already, or was one; choose another name")]
    TokenExists(String),
    /// There is no such token.
    #[error("there is no token {0} that is in force")]
    NoToken(String),
    /// A name that cannot be one.
    #[error("{0:?} cannot be the name of a token: take up to 64 letters, digits, `-`, `_` and `.`")]
    TokenName(String),
    /// Somebody who submits needs a key.
    #[error("a token that submits needs the public key that its bundles are signed with: --key")]
    NoKey,
    /// A key that is none.
    #[error("{0}")]
    BadKey(String),
}

/// The database.
pub struct Store {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens the database in the data directory `dir`, and makes both where they are missing.
    ///
    /// # Errors
    /// When it cannot be opened, or a newer program made it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|source| StoreError::Io {
            path: dir.to_owned(),
            source,
        })?;
        let path = dir.join("serve.sqlite");
        let failed = |source| StoreError::Database {
            path: path.clone(),
            source,
        };
        let mut connection = Connection::open(&path).map_err(failed)?;
        let set = |connection: &Connection| -> rusqlite::Result<()> {
            connection.busy_timeout(PATIENCE)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // A commit outlasts a power failure.
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", true)
        };
        set(&connection).map_err(failed)?;
        let found = transact(&mut connection, |change| {
            let found: i64 = change.pragma_query_value(None, "user_version", |row| row.get(0))?;
            if found == 0 {
                change.execute_batch(SCHEMA)?;
                change.pragma_update(None, "user_version", VERSION)?;
            }
            Ok(found)
        })
        .map_err(failed)?;
        if found > VERSION {
            return Err(StoreError::TooNew { path, found });
        }
        Ok(Store {
            path,
            connection: Mutex::new(connection),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A statement that panicked has changed nothing: changes are transactions.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database {
            path: self.path.clone(),
            source,
        }
    }

    /// Does something in one transaction.
    fn change<T>(
        &self,
        what: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        transact(&mut self.lock(), what).map_err(|error| self.failed(error))
    }
}

fn transact<T>(
    connection: &mut Connection,
    what: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = what(&change)?;
    change.commit()?;
    Ok(done)
}

/// Now, as it is written.
pub(crate) fn now() -> String {
    Time::now().to_string()
}
