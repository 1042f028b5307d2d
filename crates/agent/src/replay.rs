//! A recorded run's commands, executed again in a fresh sandbox, and what came out differently.

use std::path::Path;

use crate::event::{Content, Ending, Entry, Event, TreeHash};
use crate::session::{Error, Session};

/// A recorded command with its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Number in the run.
    pub number: u64,
    /// What the shell was given.
    pub script: Vec<u8>,
    /// How it ended; `None` when the run was cut off before that.
    pub result: Option<RecordedResult>,
    /// The workspace afterwards, when the command changed it.
    pub tree: Option<TreeHash>,
}

/// How a recorded command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedResult {
    /// How it ended.
    pub ending: Ending,
    /// Standard output.
    pub stdout: Content,
    /// Standard error.
    pub stderr: Content,
    /// Whether somebody typed into it.
    pub interactive: bool,
    /// Whether it ran on a terminal.
    pub terminal: bool,
}

/// Collects the commands of a journal, in order.
///
/// # Errors
/// The first error of the entries.
pub fn recorded<E>(
    entries: impl IntoIterator<Item = Result<Entry, E>>,
) -> Result<Vec<Recorded>, E> {
    let mut commands: Vec<(Recorded, bool)> = Vec::new();
    for entry in entries {
        match entry?.event {
            Event::Command {
                number,
                script,
                terminal,
                ..
            } => commands.push((
                Recorded {
                    number,
                    script: script.0,
                    result: None,
                    tree: None,
                },
                terminal,
            )),
            Event::Result {
                number,
                ending,
                stdout,
                stderr,
                interactive,
                ..
            } => {
                if let Some((command, terminal)) = commands
                    .iter_mut()
                    .rev()
                    .find(|(command, _)| command.number == number)
                {
                    command.result = Some(RecordedResult {
                        ending,
                        stdout,
                        stderr,
                        interactive,
                        terminal: *terminal,
                    });
                }
            }
            Event::Workspace { number, tree } => {
                if let Some((command, _)) = commands
                    .iter_mut()
                    .rev()
                    .find(|(command, _)| command.number == number)
                {
                    command.tree = Some(tree);
                }
            }
            _ => {}
        }
    }
    Ok(commands.into_iter().map(|(command, _)| command).collect())
}

/// Where a replay differs from the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// Number of the command.
    pub number: u64,
    /// What differs: `status`, `stdout`, `stderr`, `workspace`.
    pub what: &'static str,
    /// What was recorded.
    pub recorded: Vec<u8>,
    /// What came out.
    pub replayed: Vec<u8>,
}

/// What happened to one command of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was run again; every difference.
    Ran(Vec<Deviation>),
    /// Somebody typed into it: its workspace was restored from the record.
    Restored,
    /// The record does not say how it ended, so it was not run.
    CutOff,
}

/// What a replay needs of the record.
pub trait Archive {
    /// The bytes behind a content.
    ///
    /// # Errors
    /// When they are missing or damaged.
    fn bytes(&self, content: &Content) -> Result<Vec<u8>, String>;

    /// Makes a directory hold exactly a recorded workspace.
    ///
    /// # Errors
    /// When it cannot.
    fn restore(&self, tree: TreeHash, into: &Path) -> Result<(), String>;
}

/// Why a replay could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] Error),
    /// The record is incomplete.
    #[error("command {number}: {error}")]
    Archive {
        /// Number of the command.
        number: u64,
        /// What is wrong.
        error: String,
    },
}

/// Does one recorded command again.
///
/// # Errors
/// When the session fails or the record is incomplete.
pub fn repeat(
    session: &mut Session,
    workspace: &Path,
    archive: &dyn Archive,
    command: &Recorded,
) -> Result<Step, ReplayError> {
    let archived = |error| ReplayError::Archive {
        number: command.number,
        error,
    };
    let Some(result) = &command.result else {
        return Ok(Step::CutOff);
    };
    // Where it was stopped cannot be met again.
    let stopped = result.ending == Ending::Stopped;
    if result.interactive || stopped {
        if let Some(tree) = command.tree {
            archive.restore(tree, workspace).map_err(archived)?;
            session.record_workspace()?;
        }
        return Ok(if stopped {
            Step::CutOff
        } else {
            Step::Restored
        });
    }
    let outcome = session.command(&command.script, b"", &mut |_, _| {})?;
    let mut deviations = Vec::new();
    let mut compare = |what, recorded: Vec<u8>, replayed: Vec<u8>| {
        if recorded != replayed {
            deviations.push(Deviation {
                number: command.number,
                what,
                recorded,
                replayed,
            });
        }
    };
    compare("status", describe(result.ending), describe(outcome.ending));
    // A terminal's single stream depends on its size and on echo: only what it left is compared.
    if !result.terminal {
        compare(
            "stdout",
            archive.bytes(&result.stdout).map_err(archived)?,
            outcome.stdout,
        );
        compare(
            "stderr",
            archive.bytes(&result.stderr).map_err(archived)?,
            outcome.stderr,
        );
    }
    if let Some(tree) = command.tree {
        let now = session
            .tree()
            .map(|tree| tree.to_string())
            .unwrap_or_default();
        compare("workspace", tree.to_string().into_bytes(), now.into_bytes());
    }
    Ok(Step::Ran(deviations))
}

fn describe(ending: Ending) -> Vec<u8> {
    match ending {
        Ending::Exit(status) => format!("exit {status}"),
        Ending::Signal(signal) => format!("signal {signal}"),
        other => format!("{other:?}"),
    }
    .into_bytes()
}
