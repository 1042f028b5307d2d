//! The audit log: who did what, and when. Nothing in it is ever changed.

use rusqlite::{Connection, params};
use serde::Serialize;

use super::{Store, StoreError, now};

/// Longest text in the log, in bytes.
const LONGEST: usize = 1000;

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    /// Its number, from 1.
    pub(crate) number: i64,
    /// When.
    pub(crate) time: String,
    /// Name of the token; `operator`, `server` and `visitor` where there is none.
    pub(crate) who: String,
    /// What was done.
    pub(crate) action: String,
    /// To what.
    pub(crate) subject: String,
    /// What else is to be known.
    pub(crate) detail: String,
}

pub(super) fn note(
    connection: &Connection,
    who: &str,
    action: &str,
    subject: &str,
    detail: &str,
) -> rusqlite::Result<()> {
    let mut end = detail.len().min(LONGEST);
    while !detail.is_char_boundary(end) {
        end -= 1;
    }
    connection.execute(
        "INSERT INTO audit (time, who, action, subject, detail) VALUES (?, ?, ?, ?, ?)",
        params![now(), who, action, subject, &detail[..end]],
    )?;
    Ok(())
}

impl Store {
    /// Adds a line to the log.
    pub(crate) fn note(
        &self,
        who: &str,
        action: &str,
        subject: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        self.change(|connection| note(connection, who, action, subject, detail))
    }

    /// Lines after number `after`, oldest first.
    pub(crate) fn audit(&self, after: i64, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let connection = self.lock();
        let read = || {
            let mut statement = connection.prepare_cached(
                "SELECT number, time, who, action, subject, detail FROM audit WHERE number > ? ORDER BY number LIMIT ?",
            )?;
            let rows = statement.query_map(params![after, limit], |row| {
                Ok(Entry {
                    number: row.get(0)?,
                    time: row.get(1)?,
                    who: row.get(2)?,
                    action: row.get(3)?,
                    subject: row.get(4)?,
                    detail: row.get(5)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| self.failed(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_append_only() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store
            .note("visitor", "looked", "log", &"é".repeat(600))
            .unwrap();
        let entries = store.audit(0, 10).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].detail.len(), 1000);
        for statement in ["UPDATE audit SET who = 'me'", "DELETE FROM audit"] {
            let error = store.lock().execute(statement, []).unwrap_err();
            assert!(error.to_string().contains("append-only"), "{error}");
        }
        assert_eq!(store.audit(0, 10).unwrap(), entries);
    }
}
