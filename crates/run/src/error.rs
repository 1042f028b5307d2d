//! What can go wrong, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use agent::event::{Digest, FORMAT, TreeHash};

/// Why a run could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A run cannot be made where something is.
    #[error("{} exists: a run needs a directory of its own", dir.display())]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// No run stands there.
    #[error("{} is not a run: it has no run.toml", dir.display())]
    NotARun {
        /// The directory.
        dir: PathBuf,
    },
    /// Another process writes this run.
    #[error("run {} is in use by {holder}: wait for it, or stop it", dir.display())]
    Held {
        /// The run.
        dir: PathBuf,
        /// Process and machine, as far as known.
        holder: String,
    },
    /// Another process has taken it over.
    #[error("{} was taken over by {to}: this process stops", dir.display())]
    Lost {
        /// The run.
        dir: PathBuf,
        /// Process and machine, as far as known.
        to: String,
    },
    /// The run was written by a newer program.
    #[error("{}: format {found} is newer than {FORMAT}, the newest that this mirrorcode reads: use a newer one", path.display())]
    TooNew {
        /// The file that says so.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// `run.toml` is not what it should be.
    #[error("{} is damaged", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A task's name cannot be part of a run's name.
    #[error(
        "task `{task}` is not of the form target/language, in letters, digits, `-`, `_` and `.`"
    )]
    TaskName {
        /// The task.
        task: String,
    },
    /// A line of the journal, before its end, is not what it should be.
    #[error("{}: line {line} is damaged: {reason}; restore the file from a copy", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// An event that this program does not know.
    #[error("{}: line {line}: no event `{kind}` in format {format} as this mirrorcode knows it: use a newer one", path.display())]
    UnknownEvent {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: u64,
        /// The event's type.
        kind: String,
        /// Format that the run claims.
        format: u32,
    },
    /// An event too long for a line.
    #[error(
        "an event of {bytes} bytes is too long for the journal, which takes {}",
        crate::MAX_LINE
    )]
    EventTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Something could not be recorded before, so nothing is recorded any more.
    #[error("{} takes no more events since a write failed ({reason}): open the run again", path.display())]
    Refused {
        /// The journal.
        path: PathBuf,
        /// The first failure.
        reason: String,
    },
    /// A content is nowhere.
    #[error("content {sha256} is neither in {} nor among the files that the task provides: build the target again", blobs.display())]
    NoContent {
        /// The content.
        sha256: Digest,
        /// The run's blobs.
        blobs: PathBuf,
    },
    /// A content is not what its name says.
    #[error("{} is damaged: {reason}", path.display())]
    DamagedContent {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A content larger than any that is kept.
    #[error("content of more than {} bytes is not kept", crate::MAX_BLOB)]
    ContentTooLarge,
    /// The workspace has too many files.
    #[error("the workspace has more than {limit} files and directories: remove some")]
    TooManyFiles {
        /// Most that are allowed.
        limit: u64,
    },
    /// The workspace is too large.
    #[error("the files of the workspace have more than {limit} bytes: remove some")]
    TooLarge {
        /// Most that are allowed.
        limit: u64,
    },
    /// Directories are nested too deeply.
    #[error("{} is nested deeper than {limit} directories: move or remove it", path.display())]
    TooDeep {
        /// The directory, inside the workspace.
        path: PathBuf,
        /// Most that are allowed.
        limit: usize,
    },
    /// A list of files is not what it should be.
    #[error("tree {tree}: line {line}: {reason}")]
    Tree {
        /// The tree.
        tree: TreeHash,
        /// The line's number, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A tree is restored into an empty directory only.
    #[error("{} is not empty: a workspace is restored into an empty directory", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
}

impl Error {
    /// Whether it is the state of the workspace that cannot be kept, which its owner can change.
    pub fn is_about_workspace(&self) -> bool {
        matches!(
            self,
            Error::TooManyFiles { .. } | Error::TooLarge { .. } | Error::TooDeep { .. }
        )
    }
}

/// Names the file in errors of the system: `.map_err(io("open", path))`.
pub(crate) fn io<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Error {
    move |source| Error::Io {
        action,
        path: path.to_owned(),
        source: source.into(),
    }
}
