//! How far one attempt is: `outcome.json` in its run's directory, written when a worker leaves it.
//!
//! What happened is in the run's journal; this says in short what a campaign has to know of it.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::error::{Error, io, write_whole};

const NAME: &str = "outcome.json";

/// How a worker left a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The agent submitted.
    Submitted,
    /// It stopped without submitting.
    Left,
    /// A limit of the run is reached.
    Budget,
    /// The model would not go on: it refused, or its context is full for good.
    Failed,
    /// It was stopped from outside, and goes on when somebody wants it to.
    Stopped,
    /// Something failed that is not the model's fault.
    Broken,
}

impl End {
    /// Whether the attempt is over for good.
    pub fn is_final(self) -> bool {
        !matches!(self, End::Stopped | End::Broken)
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            End::Submitted => "submitted",
            End::Left => "left",
            End::Budget => "budget",
            End::Failed => "failed",
            End::Stopped => "stopped",
            End::Broken => "broken",
        }
    }
}

/// Whose fault it is that a run broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The provider's, or the network's: it may work later.
    Provider,
    /// This machine's.
    Machine,
    /// Another agent's program broke down.
    Agent,
    /// The campaign's: a wrong key, a model that does not exist. Trying again changes nothing.
    Setup,
    /// A limit of all runs together is used up.
    Limits,
}

impl Fault {
    /// Whether trying again may help without anybody changing anything.
    pub fn is_passing(self) -> bool {
        !matches!(self, Fault::Setup | Fault::Limits)
    }
}

/// How far an attempt is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The attempt, and its run.
    pub id: String,
    /// Task, as in `gron/python`.
    pub task: String,
    /// How a worker left it.
    pub end: End,
    /// Whose fault that is, for [`End::Broken`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// More about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How often it broke.
    #[serde(default)]
    pub breaks: u32,
    /// Answers.
    pub turns: u64,
    /// Tokens of all calls.
    pub tokens: u64,
    /// Price of all calls, in millionths of a dollar.
    pub microdollars: u64,
    /// What scoring says, once it has.
    #[serde(default)]
    pub solved: Option<bool>,
}

impl Outcome {
    /// Reads the outcome of the run in `dir`; `None` when no worker has left it yet.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(NAME);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(io("read", &path))?,
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| Error::Damaged {
                path,
                reason: format!("{error}; remove it, and start the campaign again"),
            })
    }

    /// Writes it.
    ///
    /// # Errors
    /// When that fails.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(self).expect("an outcome is always JSON");
        write_whole(&dir.join(NAME), &text)
    }

    /// When the outcome of the run in `dir` was written.
    pub(crate) fn time(dir: &Path) -> Option<SystemTime> {
        fs::metadata(dir.join(NAME)).ok()?.modified().ok()
    }
}

/// What is to be seen of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing.
    Missing,
    /// A worker is at it.
    Working,
    /// A worker was at it and is gone without a word.
    Cut,
    /// A worker left it.
    Left(Outcome),
}

/// Looks how far the attempt of this id is.
///
/// # Errors
/// When its outcome cannot be read.
pub fn progress(runs: &Path, id: &str) -> Result<Progress, Error> {
    let dir = runs.join(id);
    if !dir.join("epochs").is_dir() {
        return Ok(Progress::Missing);
    }
    let left = Outcome::read(&dir)?;
    Ok(match left {
        Some(outcome) if outcome.end.is_final() => Progress::Left(outcome),
        _ if run::is_open(&dir) => Progress::Working,
        Some(outcome) => Progress::Left(outcome),
        None => Progress::Cut,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_as_far_as_its_directory_says() {
        let runs = tempfile::tempdir().unwrap();
        assert_eq!(progress(runs.path(), "a").unwrap(), Progress::Missing);
        let dir = runs.path().join("a");
        fs::create_dir_all(dir.join("epochs")).unwrap();
        assert_eq!(progress(runs.path(), "a").unwrap(), Progress::Cut);
        let outcome = Outcome {
            id: "a".to_owned(),
            task: "gron/c".to_owned(),
            end: End::Broken,
            fault: Some(Fault::Provider),
            message: "overloaded".to_owned(),
            breaks: 1,
            turns: 2,
            tokens: 3,
            microdollars: 4,
            solved: None,
        };
        outcome.write(&dir).unwrap();
        assert!(Outcome::time(&dir).is_some());
        let left = progress(runs.path(), "a").unwrap();
        assert_eq!(left, Progress::Left(outcome));
        fs::write(dir.join(NAME), "{").unwrap();
        let error = progress(runs.path(), "a").unwrap_err().to_string();
        assert!(error.contains("outcome.json is damaged"), "{error}");
    }
}
