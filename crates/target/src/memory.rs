//! Directories that stand in memory and are gone when they are dropped, for what must not reach a disk.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

/// What the names of these directories begin with.
const PREFIX: &str = "mirrorcode-open-";
/// Held by whoever has the directory open, so that others know it for an orphan when he died.
const LOCK: &str = ".lock";

/// A directory in memory, for its owner alone. Dropping it removes it; one whose process was killed is removed by the
/// next that makes one.
#[derive(Debug)]
pub(crate) struct MemoryDirectory {
    // The lock goes after the directory: nobody takes it for an orphan while it is being removed.
    dir: TempDir,
    _lock: File,
}

impl MemoryDirectory {
    /// Makes one.
    ///
    /// # Errors
    /// The machine has no file system in memory that this user may write to, or it is full.
    pub(crate) fn new() -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let places = [Some(PathBuf::from("/dev/shm")), runtime];
        let places = places.into_iter().flatten();
        let in_memory = places.filter(|place| in_memory(&mounts, place));
        let mut refused = None;
        for place in in_memory {
            match Self::new_in(&place) {
                Err(error) => refused = Some(error),
                made => return made,
            }
        }
        Err(refused.unwrap_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "there is no file system in memory, at /dev/shm or XDG_RUNTIME_DIR; mount a tmpfs at one of them",
            )
        }))
    }

    /// Makes one in a directory that stands in memory.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn new_in(place: &Path) -> io::Result<Self> {
        remove_orphans(place);
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(place)?;
        let lock = File::create(dir.path().join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(MemoryDirectory { dir, _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Removes this user's directories that nobody holds any more. One without a lock may be about to get it.
fn remove_orphans(place: &Path) {
    let Ok(listing) = fs::read_dir(place) else {
        return;
    };
    let user = rustix::process::getuid().as_raw();
    for entry in listing.flatten() {
        let named = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX));
        let ours = entry
            .metadata()
            .is_ok_and(|data| data.is_dir() && data.uid() == user);
        if !(named && ours) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether a path lies in a file system that has no disk behind it, by the text of `/proc/self/mountinfo`.
fn in_memory(mounts: &str, path: &Path) -> bool {
    let Ok(path) = fs::canonicalize(path) else {
        return false;
    };
    let kind = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let point = PathBuf::from(before.split(' ').nth(4)?);
        let kind = after.split(' ').next()?;
        path.starts_with(&point)
            .then(|| (point.components().count(), kind.to_owned()))
    };
    // Of two mounts at one place, the later one is seen.
    let nearest = mounts
        .lines()
        .filter_map(kind)
        .max_by_key(|(depth, _)| *depth);
    nearest.is_some_and(|(_, kind)| kind == "tmpfs" || kind == "ramfs")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{LOCK, MemoryDirectory, PREFIX, in_memory};

    #[test]
    fn it_is_its_owners_alone_and_goes_when_dropped() {
        let place = tempfile::tempdir().unwrap();
        let directory = MemoryDirectory::new_in(place.path()).unwrap();
        let path = directory.path().to_owned();
        fs::write(path.join("secret"), "x").unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn an_orphan_is_removed_and_a_held_one_is_not() {
        let place = tempfile::tempdir().unwrap();
        let orphan = place.path().join(format!("{PREFIX}orphan"));
        let foreign = place.path().join("mirrorcode-other");
        for path in [&orphan, &foreign] {
            fs::create_dir(path).unwrap();
            fs::write(path.join(LOCK), "").unwrap();
        }
        let first = MemoryDirectory::new_in(place.path()).unwrap();
        let second = MemoryDirectory::new_in(place.path()).unwrap();
        assert!(!orphan.exists());
        assert!(foreign.exists() && first.path().exists() && second.path().exists());
    }

    #[test]
    fn what_is_in_memory_stands_in_the_table_of_mounts() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:5 / /dev rw - devtmpfs d rw\n\
                      3 2 0:6 / /dev/shm rw,nosuid shared:2 - tmpfs tmpfs rw\n4 1 0:7 / /proc rw - proc proc rw\n";
        assert!(in_memory(mounts, Path::new("/dev/shm")));
        assert!(!in_memory(mounts, Path::new("/dev")));
        assert!(!in_memory(mounts, Path::new("/")));
        assert!(!in_memory(mounts, Path::new("/nowhere")));
    }
}
