//! Everything that can go wrong with an image, told apart by what a person does next.

use std::io;
use std::path::{Path, PathBuf};

/// The result of an operation on images.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an image could not be made, read or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program that builds images is not installed.
    #[error("`{tool}` is not installed, and images cannot be built without it: {install}")]
    MissingTool {
        /// The program that was looked for.
        tool: String,
        /// The command that installs it.
        install: String,
    },
    /// The kernel or its settings refuse user namespaces, or the user has no subordinate ids.
    #[error("this user cannot make user namespaces ({detail}): {advice}")]
    NoUserNamespaces {
        /// What was refused, in the words of the tool that tried.
        detail: String,
        /// What to do about it.
        advice: String,
    },
    /// The mirror has no such package, or not in that version.
    #[error(
        "package `{package}` is not on the mirror of suite `{suite}`, and no copy of it is in the cache: \
         check its name, or pin a version that exists"
    )]
    PackageNotFound {
        /// The package as the recipe names it: `gron` or `gron=0.7.1-2+b8`.
        package: String,
        /// The suite that was asked.
        suite: String,
    },
    /// The package mirror could not be reached.
    #[error(
        "the package mirror cannot be reached; check the network, or set MIRRORCODE_DEBIAN_MIRROR\n{tail}"
    )]
    MirrorUnreachable {
        /// The last lines of the package manager's output.
        tail: String,
    },
    /// A filesystem is full.
    #[error("no space is left on the device that holds {}: free some, or choose another cache directory or TMPDIR", .path.display())]
    NoSpace {
        /// What was being written.
        path: PathBuf,
    },
    /// The package manager failed in a way that has no entry of its own here.
    #[error(
        "building the image failed ({status}); the command was\n  {command}\nand its last lines were\n{tail}"
    )]
    Builder {
        /// The command, as a shell would take it.
        command: String,
        /// How it ended.
        status: String,
        /// The last lines of its output.
        tail: String,
    },
    /// A registry's client did not give what was asked for.
    #[error(
        "{origin} cannot be fetched: `{command}` ended with {status}, and its last lines were\n{tail}"
    )]
    Fetch {
        /// What was asked for.
        origin: String,
        /// The client's command, as a shell would take it.
        command: String,
        /// How it ended.
        status: String,
        /// The last lines of its output.
        tail: String,
    },
    /// A registry gave something else than what is pinned.
    #[error("{origin} has the checksum {found}, but {pinned} is pinned: nothing of it was used")]
    Checksum {
        /// What was asked for.
        origin: String,
        /// What was found.
        found: String,
        /// What is pinned.
        pinned: String,
    },
    /// The caller's cancellation flag was raised.
    #[error("interrupted while building an image; nothing half-made was left behind")]
    Interrupted,
    /// An archive holds an entry that must not be unpacked.
    #[error("refused archive entry `{entry}`: {reason}")]
    Refused {
        /// The entry's name, with bytes that are not UTF-8 replaced.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A recipe is not one that can be built.
    #[error("bad recipe: {0}")]
    BadRecipe(String),
    /// A directory given as a root filesystem does not look like one.
    #[error("{} is not a root filesystem: {reason}", .path.display())]
    NotARoot {
        /// The directory.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// No image of that digest is in the cache.
    #[error("no image `{0}` is in the cache")]
    NoSuchImage(String),
    /// The image is being used or built by a process, so it cannot be removed.
    #[error("image `{digest}` is in use{}: try again when that has ended", .holder.map_or(String::new(), |pid| format!(" by process {pid}")))]
    InUse {
        /// The image's digest.
        digest: String,
        /// A process that holds it, where that is known.
        holder: Option<u32>,
    },
    /// What is in the cache is not what was put there.
    #[error("{} is damaged ({reason}): remove the image, and it will be built again", .path.display())]
    Damaged {
        /// The damaged file or directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither a cache directory was given nor does the environment name one.
    #[error("no place for the cache: set HOME or XDG_CACHE_HOME, or name a directory")]
    NoCacheDirectory,
    /// The operating system refused something.
    #[error("cannot {what} {}: {source}", .path.display())]
    Io {
        /// What was attempted, as a verb: `read`, `create`.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Names the path and the attempt in an I/O error, and tells a full disk apart.
pub(crate) trait Context<T> {
    /// `what` is a verb, as in "cannot `create` /path".
    fn context(self, what: &'static str, path: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, what: &'static str, path: &Path) -> Result<T> {
        self.map_err(|error| {
            let (source, path) = (error.into(), path.to_owned());
            if matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ) {
                Error::NoSpace { path }
            } else {
                Error::Io { what, path, source }
            }
        })
    }
}
