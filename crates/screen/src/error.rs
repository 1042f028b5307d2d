//! What can go wrong.

use std::path::PathBuf;

/// Why a screen cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory cannot be read or written.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A line of a file is not what this program writes there.
    #[error("{path}:{line}: {what}", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// Another process is at work in the same directory.
    #[error("{path}: another screen is at work there; wait for it, or give another --out", path = path.display())]
    Held {
        /// The journal.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn at(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |error| Error::Io { path, error }
    }
}
