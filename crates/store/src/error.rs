//! What can go wrong, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a directory did not get to a store, or back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine's own files.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as in "read".
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An address that names no store.
    #[error("{address}: {reason}")]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Keys are missing or cannot be read.
    #[error("{0}")]
    Credentials(String),
    /// The store does not do what it is asked.
    #[error("{place}: cannot {doing}: {reason}; {advice}")]
    Service {
        /// Which bucket or directory, at which server.
        place: String,
        /// What was asked.
        doing: String,
        /// What came of it.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// The store gave other bytes than were stored.
    #[error("{place}: {object} is damaged: {reason}; {advice}")]
    Corrupt {
        /// Which bucket or directory, at which server.
        place: String,
        /// Name of the object.
        object: String,
        /// How that is known.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// A directory that cannot be stored, or is in the way.
    #[error("{}: {reason}", path.display())]
    Local {
        /// Which one.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Somebody wanted it to end.
    #[error("interrupted; the same command goes on")]
    Interrupted,
}

/// What this crate's functions answer.
pub type Result<T> = std::result::Result<T, Error>;

/// Names what was done, and with what, when the system refused it.
pub(crate) fn io<E: Into<io::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        doing,
        path,
        source: source.into(),
    }
}
