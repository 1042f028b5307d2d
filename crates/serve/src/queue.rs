//! The queue: each submission is unpacked, checked, scored again and compared, and only then shown.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use bundle::{Fault, PublicKey, VERDICT};
use score::Verdict;

use crate::app::App;
use crate::server::{Wake, tell};
use crate::store::{State, StoreError, Submission};

/// Time after which the queue is looked at without a word from anybody.
const LOOK: Duration = Duration::from_secs(1);
/// Time that is waited after this machine failed.
const REST: Duration = Duration::from_secs(5);

/// Scores a run.
pub trait Scorer: Send + Sync {
    /// Scores the last workspace of the run in `dir`, a stranger's, and puts what it keeps into `out`. `stop` becomes
    /// true when the server ends.
    ///
    /// # Errors
    /// [`Unscored`] says whose fault it is that there is no verdict.
    fn score(&self, dir: &Path, out: &Path, stop: &AtomicBool) -> Result<Verdict, Unscored>;
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unscored {
    /// The run cannot be scored, as of an unknown target.
    Refused(String),
    /// This machine, or a service that it needs, failed.
    Machine(String),
    /// The server ends.
    Stopped,
}

/// What came of one.
enum Outcome {
    Finished {
        state: State,
        message: Option<String>,
        differences: Vec<String>,
        verdict: Option<String>,
    },
    /// It is left as it stands, for the next server.
    Left,
}

impl Outcome {
    fn refused(message: impl Into<String>) -> Self {
        Outcome::Finished {
            state: State::Refused,
            message: Some(message.into()),
            differences: Vec::new(),
            verdict: None,
        }
    }

    fn again(app: &App, submission: &Submission, message: &str) -> Self {
        let spent = submission.attempts >= i64::from(app.config.limits.attempts);
        Outcome::Finished {
            state: if spent { State::Failed } else { State::Queued },
            message: Some(format!(
                "attempt {}: the server could not score it: {message}",
                submission.attempts
            )),
            differences: Vec::new(),
            verdict: None,
        }
    }
}

/// Scores what is in the queue until it is told to stop.
pub(crate) fn run(app: &Arc<App>, wake: &Receiver<()>, pages: &Wake, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match app.store.take() {
            Ok(Some(submission)) => match finish(app, &submission, stop) {
                Ok(State::Published) => pages.now(),
                Ok(State::Queued) => rest(stop),
                Ok(_) => {}
                Err(error) => {
                    tell(&format!("submission {}: {error}", submission.number));
                    rest(stop);
                }
            },
            Ok(None) => match wake.recv_timeout(LOOK) {
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            },
            Err(error) => {
                tell(&format!("the queue: {error}"));
                rest(stop);
            }
        }
    }
}

fn rest(stop: &AtomicBool) {
    let mut left = REST;
    while !left.is_zero() && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
        left = left.saturating_sub(Duration::from_millis(100));
    }
}

fn finish(app: &App, submission: &Submission, stop: &AtomicBool) -> Result<State, StoreError> {
    let number = submission.number;
    // What an earlier server began may still be at work in its own place.
    let work = app.work().join(format!("{number}-{}", submission.attempts));
    let outcome =
        std::panic::catch_unwind(AssertUnwindSafe(|| judge(app, submission, &work, stop)))
            .unwrap_or_else(|_| {
                Ok(Outcome::refused(
                    "it made the server fail; its operator was told",
                ))
            })
            .unwrap_or_else(|error| Outcome::again(app, submission, &error.to_string()));
    let Outcome::Finished {
        state,
        message,
        differences,
        verdict,
    } = outcome
    else {
        return Ok(State::Scoring);
    };
    app.store.finish(
        number,
        state,
        message.as_deref(),
        &differences,
        verdict.as_deref(),
    )?;
    let _ = fs::remove_dir_all(&work);
    if matches!(state, State::Refused | State::Mismatch) {
        let _ = fs::remove_file(app.incoming().join(&submission.file));
    }
    if let Some(message) = &message {
        tell(&format!("submission {number}: {}: {message}", state.name()));
    }
    Ok(state)
}

/// Everything that is found out about a submission. An error of the system is this machine's.
fn judge(
    app: &App,
    submission: &Submission,
    work: &Path,
    stop: &AtomicBool,
) -> io::Result<Outcome> {
    let limits = &app.config.limits.bundle;
    let (run, out) = (work.join("run"), work.join("score"));
    match fs::remove_dir_all(work) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(&run)?;
    fs::create_dir_all(&out)?;
    let file = File::open(app.incoming().join(&submission.file))?;
    let checked = PublicKey::parse(&submission.key)
        .and_then(|key| bundle::open(BufReader::new(file), limits)?.verify(&key))
        .and_then(|verified| verified.unpack(&run))
        .and_then(|manifest| bundle::check(&run, &manifest, limits));
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => {
            return match error.fault() {
                Some(fault) => Ok(Outcome::refused(refusal(fault, &error))),
                None => Err(io::Error::other(error.to_string())),
            };
        }
    };
    // What is claimed does not lie where what is seen will stand.
    fs::rename(run.join(VERDICT), work.join("claimed.json"))?;
    let seen = match app.config.scorer.score(&run, &out, stop) {
        Ok(seen) => seen,
        Err(Unscored::Stopped) => return Ok(Outcome::Left),
        Err(Unscored::Refused(message)) => {
            return Ok(Outcome::refused(format!(
                "it cannot be scored here: {message}"
            )));
        }
        Err(Unscored::Machine(message)) => return Ok(Outcome::again(app, submission, &message)),
    };
    let differences = bundle::differences(&checked.verdict, &seen);
    if !differences.is_empty() {
        return Ok(Outcome::Finished {
            state: State::Mismatch,
            message: Some(
                "the verdict that scoring gives here is not the one in the bundle; nothing is published".into(),
            ),
            differences,
            verdict: Some(seen.summary),
        });
    }
    seen.write(&run.join(VERDICT))?;
    publish(app, submission.number, &run)?;
    Ok(Outcome::Finished {
        state: State::Published,
        message: None,
        differences,
        verdict: Some(seen.summary),
    })
}

fn refusal(fault: Fault, error: &bundle::Error) -> String {
    format!("{}: {error}", fault.name())
}

/// Puts a run where published ones are. It is shown once the database says so; what lies there without that is removed
/// when a server begins.
fn publish(app: &App, number: i64, run: &Path) -> io::Result<()> {
    let place = app.published().join(number.to_string());
    match fs::remove_dir_all(&place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    sync(run)?;
    fs::rename(run, &place)?;
    File::open(app.published())?.sync_all()
}

/// Makes a tree durable.
fn sync(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(dir)?.sync_all()
}
