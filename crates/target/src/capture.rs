//! Expected output: what the reference does, as long as it does it every time.

use std::sync::atomic::{AtomicBool, Ordering};

use sandbox::{Conditions, Worker};

use crate::case::{Drawn, Ending, Expect};
use crate::execute::{Observed, Program, observe_inputs};
use crate::spec::Spec;
use crate::{Bytes, Case, parallel};

/// Circumstances under which each case is captured. Between the first and the last lie seconds of time,
/// other process numbers, another number of processors, other addresses, and another order of files.
pub const CONDITIONS: [Conditions; 3] = [
    Conditions {
        one_processor: false,
        fixed_addresses: false,
        skip_process_ids: 0,
        reverse_files: false,
    },
    Conditions {
        one_processor: true,
        fixed_addresses: true,
        skip_process_ids: 700,
        reverse_files: true,
    },
    Conditions {
        one_processor: true,
        fixed_addresses: false,
        skip_process_ids: 31,
        reverse_files: false,
    },
];

/// How every message of a guard begins.
pub(crate) const GUARD_SPEAKS: &[u8] = b"oracle: the guard";

/// A drawn case that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The case.
    pub case: Drawn,
    /// Why.
    pub reason: String,
}

/// What capturing gave.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    /// Cases with their expected output, in the order of the drawn ones.
    pub cases: Vec<Case>,
    /// Cases that vary, or that hit a limit.
    pub dropped: Vec<Dropped>,
}

/// Why capturing stopped.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The sandbox failed.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// The reference cannot be executed.
    #[error("the reference does not start (case {case}): {error}")]
    NotStarted {
        /// The case.
        case: String,
        /// The system's answer.
        error: std::io::Error,
    },
    /// The guard could not be put in force, so that what was seen is not the reference's doing.
    #[error("the reference was not started, because its guard failed (case {case}): {message}")]
    Guard {
        /// The case.
        case: String,
        /// What the guard said.
        message: String,
    },
    /// The caller asked for the end.
    #[error("interrupted; nothing was changed")]
    Interrupted,
}

/// What an observation is as an expectation, or why it cannot be one.
fn expectation(id: &str, observed: &Observed) -> Result<Result<Expect, String>, CaptureError> {
    let ending = match observed.ending {
        sandbox::Ending::Exited(status) => Ending::Exit(status),
        sandbox::Ending::Signaled(signal) => Ending::Signal(signal),
        sandbox::Ending::Limited(limit) => {
            return Ok(Err(format!("the reference hit a limit: {limit:?}")));
        }
        sandbox::Ending::NotStarted(code) => {
            let error = std::io::Error::from_raw_os_error(code);
            return Err(CaptureError::NotStarted {
                case: id.to_owned(),
                error,
            });
        }
        sandbox::Ending::Stopped => return Err(CaptureError::Interrupted),
    };
    Ok(Ok(Expect {
        ending,
        stdout: Bytes(observed.stdout.clone()),
        stderr: Bytes(observed.stderr.clone()),
        files: observed
            .files
            .iter()
            .map(|(path, bytes)| (path.clone(), Bytes(bytes.clone())))
            .collect(),
    }))
}

/// What differs between two expectations of one case.
fn difference(a: &Expect, b: &Expect) -> Option<&'static str> {
    if a.stdout != b.stdout {
        Some("standard output varies")
    } else if a.stderr != b.stderr {
        Some("standard error varies")
    } else if a.ending != b.ending {
        Some("the exit status varies")
    } else if a.files != b.files {
        Some("a file varies")
    } else {
        None
    }
}

/// Runs the reference on every case under every one of [`CONDITIONS`].
///
/// # Errors
/// [`CaptureError`]: nothing of what was captured is returned then.
pub fn capture(
    drawn: Vec<Drawn>,
    sandbox: &sandbox::Spec,
    program: &Program,
    target: &Spec,
    jobs: usize,
    interrupted: &AtomicBool,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Captured, CaptureError> {
    let total = (drawn.len() * CONDITIONS.len()) as u64;
    let mut expectations: Vec<Result<Expect, String>> = Vec::new();
    for (round, conditions) in CONDITIONS.iter().enumerate() {
        let before = (round * drawn.len()) as u64;
        let seen = round_of(
            &drawn,
            conditions,
            sandbox,
            program,
            target,
            jobs,
            interrupted,
            &|done| {
                progress(before + done, total);
            },
        )?;
        if round == 0 {
            expectations = seen;
            continue;
        }
        for (kept, seen) in expectations.iter_mut().zip(seen) {
            let reason = match (&*kept, &seen) {
                (Ok(first), Ok(again)) => difference(first, again).map(str::to_owned),
                (Ok(_), Err(reason)) => Some(reason.clone()),
                (Err(_), _) => None,
            };
            if let Some(reason) = reason {
                *kept = Err(reason);
            }
        }
    }
    let mut captured = Captured::default();
    for (case, expectation) in drawn.into_iter().zip(expectations) {
        match expectation {
            Ok(expect) => captured.cases.push(case.expecting(expect)),
            Err(reason) => captured.dropped.push(Dropped { case, reason }),
        }
    }
    Ok(captured)
}

#[expect(
    clippy::too_many_arguments,
    reason = "one caller, which has all of them at hand"
)]
fn round_of(
    drawn: &[Drawn],
    conditions: &Conditions,
    sandbox: &sandbox::Spec,
    program: &Program,
    target: &Spec,
    jobs: usize,
    interrupted: &AtomicBool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Result<Expect, String>>, CaptureError> {
    let start = |_| Worker::start(sandbox).map_err(CaptureError::from);
    let run = |worker: &mut Worker, index: usize| {
        if interrupted.load(Ordering::Relaxed) {
            return Err(CaptureError::Interrupted);
        }
        let case = &drawn[index];
        let observed = observe_inputs(worker, program, target, &case.inputs, conditions.clone())?;
        if observed.stderr.starts_with(GUARD_SPEAKS) {
            let message = String::from_utf8_lossy(&observed.stderr).trim().to_owned();
            return Err(CaptureError::Guard {
                case: case.id.clone(),
                message,
            });
        }
        expectation(&case.id, &observed)
    };
    parallel::in_order(jobs, drawn.len(), progress, start, run)
}
