//! What can go wrong with a bundle.

use std::io;
use std::path::{Path, PathBuf};

/// What is wrong with a bundle that somebody handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not written as bundles are.
    Form,
    /// It is larger than what is taken.
    TooLarge,
    /// It is signed by nobody, or by somebody else.
    Signature,
    /// A file is not the one that was signed.
    Content,
    /// The journal contradicts itself or what stands beside it.
    Journal,
    /// The verdict contradicts itself or what stands beside it.
    Verdict,
}

impl Fault {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Form => "form",
            Fault::TooLarge => "too-large",
            Fault::Signature => "signature",
            Fault::Content => "content",
            Fault::Journal => "journal",
            Fault::Verdict => "verdict",
        }
    }
}

/// Why a bundle was not written, or not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What somebody handed over is wrong.
    #[error("{message}")]
    Fault {
        /// In which way.
        fault: Fault,
        /// In words.
        message: String,
    },
    /// A key cannot be used.
    #[error("{}: {reason}", path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The run cannot be read.
    #[error(transparent)]
    Run(#[from] run::Error),
    /// The run is not one to be handed over yet.
    #[error("{}: {reason}", dir.display())]
    NotReady {
        /// Its directory.
        dir: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl Error {
    /// What is wrong with what was handed over; `None` where the trouble is on this side.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Error::Fault { fault, .. } => Some(*fault),
            _ => None,
        }
    }
}

/// A fault in words.
pub(crate) fn fault(fault: Fault, message: impl Into<String>) -> Error {
    Error::Fault {
        fault,
        message: message.into(),
    }
}

/// Names the file in errors of the system: `.map_err(io("open", path))`.
pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
