//! Temporary directories that do not outlive their owner, even one that is killed.

use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

/// Held by whoever has the directory, so that others know it for an orphan when he died.
const LOCK: &str = "lock";
/// The lock before it is held.
const UNHELD: &str = "lock.new";
/// What the owner may use: a lock beside it cannot be reached from where this is mounted.
const FILES: &str = "files";

/// A directory for its owner alone. Dropping it removes it; one whose process was killed is removed by the next that
/// makes one of the same kind in the same place on the same machine.
#[derive(Debug)]
pub struct TemporaryDirectory {
    path: PathBuf,
    // The lock goes after the directory: nobody takes it for an orphan while it is being removed.
    _dir: TempDir,
    _lock: File,
}

impl TemporaryDirectory {
    /// Makes one in the system's directory for temporary files. Its name holds `kind`.
    ///
    /// # Errors
    /// What the system says, and where.
    pub fn new(kind: &str) -> io::Result<Self> {
        Self::new_in(&std::env::temp_dir(), kind)
    }

    /// Makes one in a directory.
    ///
    /// # Errors
    /// What the system says.
    pub fn new_in(place: &Path, kind: &str) -> io::Result<Self> {
        let prefix = prefix(kind);
        remove_orphans(place, &prefix);
        let dir = tempfile::Builder::new()
            .prefix(&prefix)
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in(place)?;
        let unheld = dir.path().join(UNHELD);
        let lock = File::create(&unheld)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        fs::rename(unheld, dir.path().join(LOCK))?;
        let path = dir.path().join(FILES);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(TemporaryDirectory {
            path,
            _dir: dir,
            _lock: lock,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // First, so that whoever is killed now leaves a lock beside what is left.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// What the names of directories of a kind begin with. The machine is a part: where a file system is shared, a lock may be
/// seen by one machine only. As a number, since paths of sockets have 107 bytes.
fn prefix(kind: &str) -> String {
    let mut hasher = DefaultHasher::new();
    rustix::system::uname().nodename().hash(&mut hasher);
    format!("mirrorcode-{kind}-{:08x}-", hasher.finish() as u32)
}

/// Removes this user's directories that nobody holds any more. One without a lock may be about to get it.
fn remove_orphans(place: &Path, prefix: &str) {
    let Ok(listing) = fs::read_dir(place) else {
        return;
    };
    let user = rustix::process::getuid().as_raw();
    for entry in listing.flatten() {
        let named = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(prefix));
        let ours = || {
            entry
                .metadata()
                .is_ok_and(|data| data.is_dir() && data.uid() == user)
        };
        if !(named && ours()) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(entry.path().join(FILES));
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{FILES, LOCK, TemporaryDirectory, UNHELD, prefix};

    #[test]
    fn it_is_its_owners_alone_and_goes_when_dropped() {
        let place = tempfile::tempdir().unwrap();
        let directory = TemporaryDirectory::new_in(place.path(), "one").unwrap();
        let path = directory.path().to_owned();
        fs::write(path.join("secret"), "x").unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(directory);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_orphan_is_removed_and_a_held_one_is_not() {
        let place = tempfile::tempdir().unwrap();
        let make = |name: String, lock: &str| {
            let path = place.path().join(name);
            fs::create_dir_all(path.join(FILES)).unwrap();
            fs::write(path.join(FILES).join("left"), "").unwrap();
            fs::write(path.join(lock), "").unwrap();
            path
        };
        let orphan = make(prefix("one") + "orphan", LOCK);
        let begun = make(prefix("one") + "begun", UNHELD);
        let other = make(prefix("other"), LOCK);
        let elsewhere = make("mirrorcode-one-0-elsewhere".to_owned(), LOCK);
        let first = TemporaryDirectory::new_in(place.path(), "one").unwrap();
        let second = TemporaryDirectory::new_in(place.path(), "one").unwrap();
        assert!(!orphan.exists());
        assert!(begun.exists() && other.exists() && elsewhere.exists());
        assert!(first.path().exists() && second.path().exists());
    }
}
