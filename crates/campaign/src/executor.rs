//! Somewhere to run attempts: one interface, whatever starts the workers.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;

/// Where an executor has an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Accepted, not begun.
    Waiting,
    /// Begun.
    Running,
}

/// An attempt that an executor has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The attempt.
    pub id: String,
    /// Where it is.
    pub place: Place,
}

/// What a worker is started with; the attempt's id follows.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// Starts attempts somewhere. It says what it has, not what came of it: that is in the runs' directories.
pub trait Executor {
    /// How many more it takes now.
    ///
    /// # Errors
    /// When it cannot be reached.
    fn room(&mut self) -> Result<usize, Error>;

    /// Starts these, which it has room for.
    ///
    /// # Errors
    /// When it cannot be reached, or refuses. Some of them may have been accepted all the same.
    fn start(&mut self, ids: &[&str]) -> Result<(), Error>;

    /// What it has now.
    ///
    /// # Errors
    /// When it cannot be reached.
    fn queued(&mut self) -> Result<Vec<Queued>, Error>;

    /// Whoever drives the campaign leaves. Says whether workers go on without it.
    ///
    /// # Errors
    /// When workers that should end cannot be told so.
    fn leave(&mut self) -> Result<bool, Error>;

    /// How often to look.
    fn pace(&self) -> Duration;
}

/// Where the output of an attempt's workers goes.
pub(crate) fn log(directory: &Path) -> PathBuf {
    directory.join("logs")
}

/// A word for a shell.
pub(crate) fn quoted(text: &[u8]) -> String {
    format!("'{}'", String::from_utf8_lossy(text).replace('\'', r"'\''"))
}

/// Runs a scheduler's own program; `hint` says what its absence may mean.
pub(crate) fn scheduler(program: &str, hint: &str, arguments: &[String]) -> Result<String, Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the scheduler's own programs, which have no other interface"
    )]
    let output = std::process::Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output();
    let failed = |reason: String| Error::Scheduler {
        program: program.to_owned(),
        reason,
    };
    let output = output.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed(format!("not found: {hint}")),
        _ => failed(error.to_string()),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    Err(failed(if said.is_empty() {
        output.status.to_string()
    } else {
        said.lines().next().unwrap_or_default().to_owned()
    }))
}
