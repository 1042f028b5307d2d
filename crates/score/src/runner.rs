//! Runs every case, two or more at a time, and keeps each result as it comes.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use sandbox::{Conditions, Worker};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use target::{Case, Observed, Spec};

use crate::compare::compare;
use crate::stages::TestStage;
use crate::verdict::{CaseResult, Split};

/// How often a case is tried on a fresh worker when the sandbox failed under it.
const MOST_FAILURES: usize = 3;
/// Longest time for which a result is only in the system's memory, and not yet durable.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The sandbox failed again and again under one case.
    #[error("infrastructure error, not a verdict: case {case} could not be run: {error}")]
    Infrastructure {
        /// The case.
        case: String,
        /// The sandbox's last error.
        error: sandbox::Error,
    },
    /// Results cannot be kept.
    #[error(
        "{path}: {error}; free some space or choose another place with --out, then give the same command again"
    )]
    Results {
        /// The file.
        path: std::path::PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// Results that belong to something else, or that are damaged.
    #[error("{path}:{line}: {what}; give --again to score from the beginning")]
    Damaged {
        /// The file.
        path: std::path::PathBuf,
        /// The line.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The caller asked for the end.
    #[error("interrupted; the results so far are kept, and the same command goes on from there")]
    Interrupted,
}

/// First line of `results.jsonl`: what the results below belong to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Heading {
    key: String,
}

/// How long a case took, beside the verdict because it is never twice the same.
#[derive(Debug, Serialize)]
struct Timing<'a> {
    id: &'a str,
    wall_ms: f64,
    cpu_ms: f64,
    peak_memory: u64,
}

/// Results of one score, kept as they come.
pub struct Results {
    path: std::path::PathBuf,
    file: File,
    times: File,
    done: BTreeMap<String, CaseResult>,
    synced: Instant,
}

impl Results {
    /// Opens the results in a directory; those of an interrupted score with the same `key` count.
    ///
    /// # Errors
    /// When they are damaged before their last line, or cannot be written.
    pub fn open(directory: &Path, key: &str) -> Result<Self, RunError> {
        let path = directory.join("results.jsonl");
        let failed = |error| RunError::Results {
            path: path.clone(),
            error,
        };
        let (done, keep) = read_results(&path, key)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        file.set_len(keep).map_err(failed)?;
        io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(failed)?;
        if keep == 0 {
            let heading = serde_json::to_string(&Heading {
                key: key.to_owned(),
            })
            .expect("a string");
            writeln!(file, "{heading}").map_err(failed)?;
        }
        let times = OpenOptions::new()
            .create(true)
            .append(keep > 0)
            .truncate(keep == 0)
            .write(true)
            .open(directory.join("times.jsonl"))
            .map_err(failed)?;
        Ok(Results {
            path,
            file,
            times,
            done,
            synced: Instant::now(),
        })
    }

    fn keep(&mut self, result: CaseResult, observed: &Observed) -> Result<(), RunError> {
        let line = serde_json::to_string(&for_file(&result))
            .expect("a result holds only text and numbers");
        let timing = serde_json::to_string(&Timing {
            id: &result.id,
            wall_ms: observed.usage.wall.as_secs_f64() * 1e3,
            cpu_ms: observed.usage.cpu.as_secs_f64() * 1e3,
            peak_memory: observed.usage.peak_memory,
        })
        .expect("a timing holds only text and numbers");
        let written = writeln!(self.file, "{line}").and_then(|()| writeln!(self.times, "{timing}"));
        written.map_err(|error| RunError::Results {
            path: self.path.clone(),
            error,
        })?;
        self.done.insert(result.id.clone(), result);
        if self.synced.elapsed() > SYNC_INTERVAL {
            self.sync()
        } else {
            Ok(())
        }
    }

    fn sync(&mut self) -> Result<(), RunError> {
        self.synced = Instant::now();
        self.file.sync_data().map_err(|error| RunError::Results {
            path: self.path.clone(),
            error,
        })
    }
}

/// A result without what would show a hidden case.
fn for_file(result: &CaseResult) -> CaseResult {
    let mut result = result.clone();
    if let (Split::Hidden, Some(difference)) = (result.split, &mut result.difference) {
        difference.context = None;
    }
    result
}

/// Reads results up to the last whole line; returns them and how many bytes are good.
fn read_results(path: &Path, key: &str) -> Result<(BTreeMap<String, CaseResult>, u64), RunError> {
    let mut done = BTreeMap::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((done, 0)),
        Err(error) => {
            return Err(RunError::Results {
                path: path.to_owned(),
                error,
            });
        }
    };
    let mut reader = BufReader::new(file);
    let mut good = 0;
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let count = reader
            .read_until(b'\n', &mut text)
            .map_err(|error| RunError::Results {
                path: path.to_owned(),
                error,
            })?;
        if count == 0 || text.last() != Some(&b'\n') {
            break;
        }
        let damaged = |what: String| RunError::Damaged {
            path: path.to_owned(),
            line,
            what,
        };
        if line == 1 {
            match serde_json::from_slice::<Heading>(&text) {
                Ok(heading) if heading.key == key => {}
                // Another submission, target or version: nothing here counts.
                _ => return Ok((done, 0)),
            }
        } else {
            let result: CaseResult =
                serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
            if done.contains_key(&result.id) {
                return Err(damaged(format!("a second result for case {}", result.id)));
            }
            done.insert(result.id.clone(), result);
        }
        good += count as u64;
    }
    Ok((done, good))
}

/// A case and its split.
pub type Drawn<'a> = (&'a Case, Split);

/// The order in which cases run: by hash, so that position tells a program nothing about family or split.
fn order(cases: &[Drawn<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cases.len()).collect();
    order.sort_by_key(|&index| Sha256::digest(cases[index].0.id.as_bytes()));
    order
}

/// Runs all cases that have no result yet.
///
/// # Errors
/// [`RunError`]; results so far are kept.
pub fn run_all(
    stage: &TestStage,
    target: &Spec,
    cases: &[Drawn<'_>],
    jobs: usize,
    mut results: Results,
    interrupted: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<CaseResult>, RunError> {
    let waiting: Vec<usize> = order(cases)
        .into_iter()
        .filter(|&index| !results.done.contains_key(&cases[index].0.id))
        .collect();
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let total = cases.len() as u64;
    let outcome = std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..jobs.clamp(1, waiting.len().max(1)) {
            let sender = sender.clone();
            let (waiting, next, failed) = (&waiting, &next, &failed);
            scope.spawn(move || {
                let mut worker = None;
                while let Some(&index) = waiting.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if failed.load(Ordering::Relaxed) || interrupted.load(Ordering::Relaxed) {
                        return;
                    }
                    let observed = observe(&mut worker, stage, target, cases[index].0);
                    if sender.send((index, observed)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (index, observed) in receiver {
            let (case, split) = cases[index];
            let kept = match observed {
                Ok(observed) => results.keep(compare(case, split, &observed), &observed),
                Err(error) => Err(RunError::Infrastructure {
                    case: case.id.clone(),
                    error,
                }),
            };
            if let Err(error) = kept {
                failed.store(true, Ordering::Relaxed);
                return Err(error);
            }
            progress(results.done.len() as u64, total);
        }
        Ok(())
    });
    results.sync()?;
    outcome?;
    if results.done.len() < cases.len() && interrupted.load(Ordering::Relaxed) {
        return Err(RunError::Interrupted);
    }
    Ok(results.done.into_values().collect())
}

/// Runs a case once. Only when the sandbox failed, so that nothing was observed, is it tried again.
fn observe(
    worker: &mut Option<Worker>,
    stage: &TestStage,
    target: &Spec,
    case: &Case,
) -> Result<Observed, sandbox::Error> {
    let mut failures = 0;
    loop {
        let attempt = (|| {
            let worker = match worker {
                Some(worker) => worker,
                None => worker.insert(Worker::start(&stage.sandbox)?),
            };
            target::observe(worker, &stage.program, target, case, Conditions::default())
        })();
        match attempt {
            Ok(observed) => return Ok(observed),
            Err(error) => {
                *worker = None;
                failures += 1;
                if failures == MOST_FAILURES {
                    return Err(error);
                }
            }
        }
    }
}
