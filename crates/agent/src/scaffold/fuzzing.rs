//! Ways in for the fuzz targets, to what otherwise needs a sandbox around it.

use std::path::Path;
use std::time::Duration;

use super::files::{self, Change, Place};
use super::told;
use super::workbench::{Bash, Evaluate};

/// Does what a call of the `edit` tool asks, in a workspace on the host; gives what the model is told.
///
/// # Errors
/// What it is told when that went wrong.
pub fn edit(workspace: &Path, arguments: &str) -> Result<String, String> {
    let change = serde_json::from_str::<Change>(arguments).map_err(|error| error.to_string())?;
    let places = [Place {
        inside: crate::WORKSPACE,
        host: workspace.to_owned(),
        writable: true,
    }];
    files::apply(&places, &change)
}

/// The time that a call of `bash` with these arguments gets, of this much at most.
///
/// # Errors
/// What is wrong with the arguments.
pub fn bash(arguments: &str, most: Duration) -> Result<Duration, String> {
    let bash = serde_json::from_str::<Bash>(arguments).map_err(|error| error.to_string())?;
    Ok(bash.time(most))
}

/// What a call of `evaluate` with these arguments runs in a shell.
///
/// # Errors
/// What is wrong with the arguments.
pub fn evaluate(arguments: &str) -> Result<String, String> {
    let evaluate =
        serde_json::from_str::<Evaluate>(arguments).map_err(|error| error.to_string())?;
    Ok(evaluate.script())
}

/// How many bytes of an output a model is told.
pub fn told(printed: &[u8]) -> usize {
    let (head, tail) = told::stretches(printed);
    let tail = tail.map_or(&[][..], |tail| &printed[tail]);
    printed[head].len() + tail.len()
}
