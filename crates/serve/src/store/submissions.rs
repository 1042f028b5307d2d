//! Submissions: the durable queue, and what became of each.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::audit::note;
use super::{Store, StoreError, now};

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// It waits to be scored.
    Queued,
    /// It is being unpacked, checked and scored.
    Scoring,
    /// It was scored here, with the same verdict, and is shown.
    Published,
    /// It was scored here, with another verdict.
    Mismatch,
    /// It contradicts itself, or cannot be scored.
    Refused,
    /// This machine could not score it; an admin can have it tried again.
    Failed,
    /// An admin took it back.
    Withdrawn,
}

impl State {
    pub(crate) const ALL: [State; 7] = [
        State::Queued,
        State::Scoring,
        State::Published,
        State::Mismatch,
        State::Refused,
        State::Failed,
        State::Withdrawn,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Scoring => "scoring",
            State::Published => "published",
            State::Mismatch => "mismatch",
            State::Refused => "refused",
            State::Failed => "failed",
            State::Withdrawn => "withdrawn",
        }
    }
}

/// A bundle that is to be queued.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub(crate) token: String,
    /// The key that it was verified with.
    pub(crate) key: String,
    /// Its file among those that came in.
    pub(crate) file: String,
    /// Hash of its manifest.
    pub(crate) digest: String,
    pub(crate) bytes: u64,
    pub(crate) run: String,
    /// What stands for the run in names of files.
    pub(crate) slug: String,
    pub(crate) task: String,
}

/// What came of queueing.
#[derive(Clone, Debug)]
pub(crate) enum Added {
    /// It is queued.
    Queued(Submission),
    /// The same bundle of the same sender is there already.
    Again(Submission),
    /// Another bundle of that run is there.
    Taken,
    /// So many of this sender's, or of all, wait already.
    Full,
}

/// A submission.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Submission {
    pub(crate) number: i64,
    /// Name of the token that sent it.
    pub(crate) token: String,
    pub(crate) run: String,
    pub(crate) task: String,
    /// SHA-256 of the bundle's manifest.
    pub(crate) digest: String,
    /// Length of the bundle.
    pub(crate) bytes: i64,
    pub(crate) state: State,
    /// Times that scoring it was begun.
    pub(crate) attempts: i64,
    /// Why it stands as it does.
    pub(crate) message: Option<String>,
    /// The first differences between the verdict in the bundle and the one that was seen.
    pub(crate) differences: Vec<String>,
    /// The verdict that was seen, in one line.
    pub(crate) verdict: Option<String>,
    pub(crate) received: String,
    pub(crate) changed: String,
    #[serde(skip)]
    pub(crate) file: String,
    #[serde(skip)]
    pub(crate) key: String,
}

const COLUMNS: &str = "number, token, run, task, digest, bytes, state, attempts, message, differences, verdict, received, \
                       changed, file, key";

fn read(row: &Row<'_>) -> rusqlite::Result<Submission> {
    let state: String = row.get(6)?;
    let differences: String = row.get(9)?;
    Ok(Submission {
        number: row.get(0)?,
        token: row.get(1)?,
        run: row.get(2)?,
        task: row.get(3)?,
        digest: row.get(4)?,
        bytes: row.get(5)?,
        state: State::ALL
            .into_iter()
            .find(|known| known.name() == state)
            .unwrap_or(State::Failed),
        attempts: row.get(7)?,
        message: row.get(8)?,
        differences: serde_json::from_str(&differences).unwrap_or_default(),
        verdict: row.get(10)?,
        received: row.get(11)?,
        changed: row.get(12)?,
        file: row.get(13)?,
        key: row.get(14)?,
    })
}

fn find(connection: &Connection, number: i64) -> rusqlite::Result<Option<Submission>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM submissions WHERE number = ?"
        ))?
        .query_row(params![number], read)
        .optional()
}

fn count(connection: &Connection, token: Option<&str>) -> rusqlite::Result<i64> {
    connection.query_row(
        "SELECT count(*) FROM submissions WHERE state IN ('queued', 'scoring') AND (?1 IS NULL OR token = ?1)",
        params![token],
        |row| row.get(0),
    )
}

impl Store {
    /// How many wait: of this token, and of all.
    pub(crate) fn waiting(&self, token: &str) -> Result<(usize, usize), StoreError> {
        let connection = self.lock();
        let both = || Ok((count(&connection, Some(token))?, count(&connection, None)?));
        let (own, all) = both().map_err(|error| self.failed(error))?;
        Ok((own as usize, all as usize))
    }

    /// Queues a bundle, unless so many of its sender's or of all wait already. Durable when this returns.
    pub(crate) fn add(&self, new: &New, own: usize, all: usize) -> Result<Added, StoreError> {
        self.change(|connection| {
            let there: Option<Submission> = connection
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM submissions WHERE slug = ? AND state IN ('queued', 'scoring', 'published')"
                ))?
                .query_row(params![new.slug], read)
                .optional()?;
            if let Some(there) = there {
                let same = there.digest == new.digest && there.token == new.token;
                return Ok(if same { Added::Again(there) } else { Added::Taken });
            }
            if count(connection, Some(&new.token))? >= own as i64
                || count(connection, None)? >= all as i64
            {
                return Ok(Added::Full);
            }
            connection.execute(
                "INSERT INTO submissions (token, key, file, digest, bytes, run, slug, task, state, received, changed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'queued', ?9, ?9)",
                params![
                    new.token,
                    new.key,
                    new.file,
                    new.digest,
                    i64::try_from(new.bytes).unwrap_or(i64::MAX),
                    new.run,
                    new.slug,
                    new.task,
                    now()
                ],
            )?;
            let number = connection.last_insert_rowid();
            note(connection, &new.token, "submitted", &subject(number), &new.run)?;
            let added = find(connection, number)?;
            Ok(Added::Queued(added.expect("it was just inserted")))
        })
    }

    /// What was being scored when the last server ended is scored again.
    pub(crate) fn requeue(&self) -> Result<usize, StoreError> {
        self.change(|connection| {
            let again = connection.execute(
                "UPDATE submissions SET state = 'queued', changed = ? WHERE state = 'scoring'",
                params![now()],
            )?;
            if again > 0 {
                let detail = format!("{again} were being scored when the last server ended");
                note(connection, "server", "requeued", "queue", &detail)?;
            }
            Ok(again)
        })
    }

    /// Takes the one that waits longest, to be scored.
    pub(crate) fn take(&self) -> Result<Option<Submission>, StoreError> {
        self.change(|connection| {
            let number: Option<i64> = connection
                .query_row(
                    "SELECT number FROM submissions WHERE state = 'queued' ORDER BY number LIMIT 1",
                    [],
                    |row| row.get(0),
                )
                .optional()?;
            let Some(number) = number else {
                return Ok(None);
            };
            connection.execute(
                "UPDATE submissions SET state = 'scoring', attempts = attempts + 1, changed = ? WHERE number = ?",
                params![now(), number],
            )?;
            find(connection, number)
        })
    }

    /// Says what became of one that is being scored.
    pub(crate) fn finish(
        &self,
        number: i64,
        state: State,
        message: Option<&str>,
        differences: &[String],
        verdict: Option<&str>,
    ) -> Result<(), StoreError> {
        let differences =
            serde_json::to_string(differences).expect("a list of texts is always JSON");
        self.change(|connection| {
            connection.execute(
                "UPDATE submissions SET state = ?, message = ?, differences = ?, verdict = coalesce(?, verdict), changed = ? \
                 WHERE number = ?",
                params![state.name(), message, differences, verdict, now(), number],
            )?;
            note(
                connection,
                "server",
                state.name(),
                &subject(number),
                message.unwrap_or_default(),
            )
        })
    }

    /// Moves one from a state to another, for an admin; `false` when it is not in that state, or its run is there again.
    pub(crate) fn order(
        &self,
        who: &str,
        number: i64,
        from: &[State],
        to: State,
    ) -> Result<bool, StoreError> {
        self.change(|connection| {
            let there = find(connection, number)?.filter(|there| from.contains(&there.state));
            let Some(there) = there else {
                return Ok(false);
            };
            let changed = connection.execute(
                "UPDATE OR IGNORE submissions SET state = ?, changed = ? WHERE number = ?",
                params![to.name(), now(), number],
            )?;
            if changed > 0 {
                note(connection, who, to.name(), &subject(number), &there.run)?;
            }
            Ok(changed > 0)
        })
    }

    /// One submission.
    pub(crate) fn submission(&self, number: i64) -> Result<Option<Submission>, StoreError> {
        find(&self.lock(), number).map_err(|error| self.failed(error))
    }

    /// Submissions after number `after`, oldest first; of one token, or of all.
    pub(crate) fn submissions(
        &self,
        token: Option<&str>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Submission>, StoreError> {
        let connection = self.lock();
        let list = || {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM submissions WHERE number > ?1 AND (?2 IS NULL OR token = ?2) ORDER BY number LIMIT ?3"
            ))?;
            let rows = statement.query_map(params![after, token, limit], read)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        list().map_err(|error| self.failed(error))
    }

    /// Those in one of these states.
    pub(crate) fn in_states(&self, states: &[State]) -> Result<Vec<Submission>, StoreError> {
        let all = self.submissions(None, 0, u32::MAX)?;
        Ok(all
            .into_iter()
            .filter(|submission| states.contains(&submission.state))
            .collect())
    }
}

fn subject(number: i64) -> String {
    format!("submission {number}")
}
