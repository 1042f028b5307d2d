//! What can go wrong with targets and languages on disk.

use std::io;
use std::path::{Path, PathBuf};

use crate::problem::{Problem, Problems};

/// What can go wrong with targets and languages on disk. Each message says what to do next where that is known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that a person wrote has something wrong with it.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// Several such files.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// No directory of targets was found.
    #[error(
        "there is no \"targets\" directory in {from} or above it; go to a checkout of mirrorcode, or name one with \
         --targets or MIRRORCODE_TARGETS"
    )]
    NoTargets {
        /// Where the search began.
        from: PathBuf,
    },
    /// No directory of languages was found.
    #[error("there is no \"languages\" directory beside {targets}")]
    NoLanguages {
        /// The directory of targets.
        targets: PathBuf,
    },
    /// No such target.
    #[error("there is no target \"{name}\" in {dir}{near}")]
    UnknownTarget {
        /// The name asked for.
        name: String,
        /// The directory of targets.
        dir: PathBuf,
        /// Names that may have been meant.
        near: String,
    },
    /// No such language.
    #[error("there is no language \"{name}\" in {dir}{near}")]
    UnknownLanguage {
        /// The name asked for.
        name: String,
        /// The directory of languages.
        dir: PathBuf,
        /// Names that may have been meant.
        near: String,
    },
    /// The target is not to be rebuilt in this language.
    #[error("target \"{target}\" is not offered in {language}: {reason}")]
    NotOffered {
        /// The target.
        target: String,
        /// The language.
        language: String,
        /// Why, or which languages there are.
        reason: String,
    },
    /// Not the name of a task.
    #[error("\"{0}\" is no task; write <target>/<language>, for instance gron/python")]
    NoTask(String),
    /// The target has no cases yet.
    #[error("target \"{0}\" has no cases yet; run `mirrorcode target build {0}`")]
    NotBuilt(String),
    /// Cases and lock do not belong together.
    #[error(
        "{path} is not the file that target.lock was written for; restore both, or run `mirrorcode target build {target}`"
    )]
    Changed {
        /// The file of cases.
        path: PathBuf,
        /// The target.
        target: String,
    },
    /// A sealed target, or a file with identities, has something wrong with it.
    #[error("{path}: {what}")]
    Sealed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
}

impl Error {
    /// For `map_err` on what touches a path.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |error| Error::Io { path, error }
    }
}
