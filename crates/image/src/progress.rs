//! What happens while an image is made, in words for a person.

use std::fmt;

use crate::Package;

/// One thing worth showing while an image is made. `Display` gives one line without a line end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Another process makes the same image; this one waits and then uses it.
    Waiting {
        /// The recipe's digest.
        digest: String,
        /// The process that is waited for, where it is known.
        holder: Option<u32>,
    },
    /// A new stage begins.
    Stage(String),
    /// A line of the package manager's own output.
    Output(String),
    /// A package's archive was put in the cache.
    Package(Package),
    /// How much of the tree has been unpacked so far; repeated as it grows.
    Unpacking {
        /// Bytes read from the package manager.
        bytes: u64,
    },
    /// The image is complete.
    Done {
        /// The recipe's digest.
        digest: String,
        /// Bytes of its files.
        bytes: u64,
        /// Wall time, in milliseconds.
        milliseconds: u64,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting {
                digest,
                holder: Some(pid),
            } => {
                write!(
                    f,
                    "waiting for process {pid}, which is making image {}",
                    short(digest)
                )
            }
            Self::Waiting {
                digest,
                holder: None,
            } => {
                write!(
                    f,
                    "waiting for another process, which is making image {}",
                    short(digest)
                )
            }
            Self::Stage(stage) => f.write_str(stage),
            Self::Output(line) => write!(f, "  {line}"),
            Self::Package(package) => write!(f, "package {} {}", package.name, package.version),
            Self::Unpacking { bytes } => write!(f, "unpacking: {} MB", bytes / 1_000_000),
            Self::Done {
                digest,
                bytes,
                milliseconds,
            } => write!(
                f,
                "image {} is ready: {} MB in {}.{} s",
                short(digest),
                bytes / 1_000_000,
                milliseconds / 1000,
                milliseconds % 1000 / 100
            ),
        }
    }
}

/// Enough of a digest for a person to tell images apart.
pub(crate) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
