//! Exit codes, and errors that know theirs.

use std::fmt;
use std::process::ExitCode;

/// The work is done.
pub(crate) const DONE: u8 = 0;
/// The work is done and the answer is no.
pub(crate) const NO: u8 = 1;
/// Wrong use or bad input.
pub(crate) const USAGE: u8 = 2;
/// The machine lacks something or failed.
pub(crate) const MACHINE: u8 = 3;
/// An outside service failed.
pub(crate) const OUTSIDE: u8 = 4;
/// Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// An error for the person who meets it, with the status to leave with.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
    /// Whether the run is in another process's hands.
    pub(crate) elsewhere: bool,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl fmt::Display) -> Self {
        Failure {
            code,
            message: message.to_string(),
            elsewhere: false,
        }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Failure::new(USAGE, message)
    }

    pub(crate) fn machine(message: impl fmt::Display) -> Self {
        Failure::new(MACHINE, message)
    }

    /// A failed call to the system on a file.
    pub(crate) fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => USAGE,
            _ => MACHINE,
        };
        let hint = match error.kind() {
            std::io::ErrorKind::StorageFull => "; free some space and give the same command again",
            _ => "",
        };
        Failure::new(code, format!("{}: {error}{hint}", path.display()))
    }
}

impl From<sandbox::Error> for Failure {
    fn from(error: sandbox::Error) -> Self {
        Failure::machine(error)
    }
}

/// What is wrong with a record.
impl From<String> for Failure {
    fn from(error: String) -> Self {
        Failure::usage(error)
    }
}

/// What a command that did its work answers.
pub(crate) type Answer = Result<u8, Failure>;

pub(crate) fn leave(answer: Answer) -> ExitCode {
    match answer {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            crate::terminal::error(&failure.message);
            ExitCode::from(failure.code)
        }
    }
}
