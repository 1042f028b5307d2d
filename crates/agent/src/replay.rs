//! A recorded run's commands, executed again in a fresh sandbox, and what came out differently.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use model::Block;

use crate::event::{Content, Ending, Entry, Event, TreeHash};
use crate::scaffold::{self, Told};
use crate::session::{Error, Request, Session};

/// A recorded command with its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Number in the run.
    pub number: u64,
    /// What was done.
    pub deed: Deed,
    /// Whether it had a terminal.
    pub terminal: bool,
    /// How it ended; `None` when the run was cut off before that.
    pub result: Option<RecordedResult>,
    /// The workspace afterwards, when the command changed it.
    pub tree: Option<TreeHash>,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A shell was given a script.
    Command {
        /// The script.
        script: Vec<u8>,
        /// Whether a model's tool call asked for it.
        of_a_tool: bool,
        /// Whether it was started as a job.
        background: bool,
        /// Time that it was given, if that was not the session's limit.
        limit: Option<Duration>,
    },
    /// A model changed a file.
    Edit {
        /// What the tool was called with.
        arguments: String,
        /// What the model was told.
        told: Option<String>,
    },
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

/// Collects the commands and edits of a journal, in order.
///
/// # Errors
/// The first error of the entries, and what the archive says.
pub fn recorded<E: From<String>>(
    entries: impl IntoIterator<Item = Result<Entry, E>>,
    archive: &dyn Archive,
) -> Result<Vec<Recorded>, E> {
    let mut deeds: Vec<Recorded> = Vec::new();
    let mut calls: HashMap<String, String> = HashMap::new();
    let mut edits: HashMap<String, usize> = HashMap::new();
    for entry in entries {
        match entry?.event {
            Event::Reply { message, .. } => {
                let blocks: Vec<Block> = serde_json::from_slice(&archive.bytes(&message)?)
                    .map_err(|error| error.to_string())?;
                calls.clear();
                for block in blocks {
                    if let Block::ToolCall { id, arguments, .. } = block {
                        calls.insert(id, arguments);
                    }
                }
            }
            Event::ToolCall {
                tool, arguments, ..
            } => {
                let arguments = archive.bytes(&arguments)?;
                calls.clear();
                calls.insert(tool, String::from_utf8_lossy(&arguments).into_owned());
            }
            Event::Command {
                number,
                script,
                terminal,
                tool,
                background,
                limit_milliseconds,
                ..
            } => deeds.push(Recorded {
                number,
                deed: Deed::Command {
                    script: script.0,
                    of_a_tool: tool.is_some(),
                    background,
                    limit: limit_milliseconds.map(Duration::from_millis),
                },
                terminal,
                result: None,
                tree: None,
            }),
            Event::Edit { number, tool } => {
                edits.insert(tool.clone(), deeds.len());
                deeds.push(Recorded {
                    number,
                    deed: Deed::Edit {
                        arguments: calls.get(&tool).cloned().unwrap_or_default(),
                        told: None,
                    },
                    terminal: false,
                    result: None,
                    tree: None,
                });
            }
            Event::ToolResult { tool, pieces, .. } => {
                if let Some(index) = edits.remove(&tool)
                    && let Deed::Edit { told, .. } = &mut deeds[index].deed
                {
                    let text = Told::again(
                        // What is told of the budget is not of the edit.
                        &pieces[..pieces.len().min(1)],
                        |content| archive.bytes(content),
                        |_| Ok::<_, String>(Vec::new()),
                    )?;
                    *told = Some(text);
                }
            }
            Event::Result {
                number,
                ending,
                stdout,
                stderr,
                interactive,
                ..
            } => {
                if let Some(deed) = find(&mut deeds, number) {
                    deed.result = Some(RecordedResult {
                        ending,
                        stdout,
                        stderr,
                        interactive,
                        terminal: deed.terminal,
                    });
                }
            }
            Event::Workspace { number, tree } => {
                if let Some(deed) = find(&mut deeds, number) {
                    deed.tree = Some(tree);
                }
            }
            _ => {}
        }
    }
    Ok(deeds)
}

fn find(deeds: &mut [Recorded], number: u64) -> Option<&mut Recorded> {
    deeds.iter_mut().rev().find(|deed| deed.number == number)
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
    let request = match &command.deed {
        Deed::Edit { arguments, told } => {
            let Some(told) = told else {
                return Ok(Step::CutOff);
            };
            let now = scaffold::edit_again(session, arguments)?;
            // The record's piece may go on with a line about the budget.
            if !told.starts_with(&now) {
                compare("answer", told.clone().into_bytes(), now.into_bytes());
            }
            if let Some(tree) = command.tree {
                compare("workspace", tree.to_string().into_bytes(), now_at(session));
            }
            return Ok(Step::Ran(deviations));
        }
        Deed::Command {
            script,
            of_a_tool,
            background,
            limit,
        } => Request {
            script,
            tool: None,
            wall: *limit,
            merged: *of_a_tool,
            background: *background,
        },
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
    let outcome = session.run(&request, b"", &mut |_, _| {})?;
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
        compare("workspace", tree.to_string().into_bytes(), now_at(session));
    }
    Ok(Step::Ran(deviations))
}

fn now_at(session: &Session) -> Vec<u8> {
    let tree = session.tree().map(|tree| tree.to_string());
    tree.unwrap_or_default().into_bytes()
}

fn describe(ending: Ending) -> Vec<u8> {
    match ending {
        Ending::Exit(status) => format!("exit {status}"),
        Ending::Signal(signal) => format!("signal {signal}"),
        other => format!("{other:?}"),
    }
    .into_bytes()
}
