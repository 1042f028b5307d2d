//! What can go wrong with a campaign, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a campaign could not be read or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file is not TOML, or has a key that it cannot have.
    #[error("{}:{line}:{column}: {reason}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong, with the key.
        reason: String,
    },
    /// A file that this program writes is not what it should be.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another process drives the campaign, or a run is in other hands.
    #[error(transparent)]
    Run(#[from] run::Error),
    /// An executor lacks something that the campaign's file has to say.
    #[error("{reason}")]
    Executor {
        /// What, and under which key.
        reason: String,
    },
    /// A scheduler's program failed.
    #[error("{program}: {reason}")]
    Scheduler {
        /// The program.
        program: String,
        /// What it said.
        reason: String,
    },
}

/// Names the file in errors of the system: `.map_err(io("open", path))`.
pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Writes a file whole: it is there with all of this, or as it was.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Several processes may do this at once.
    let new = path.with_file_name(format!(".{name}-{}-{}", host(), std::process::id()));
    let written = (|| {
        let mut file = std::fs::File::create(&new)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    })();
    written.map_err(|error| {
        let _ = std::fs::remove_file(&new);
        io("write", path)(error)
    })
}

/// This machine's name.
pub(crate) fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}
