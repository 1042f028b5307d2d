//! Directories that stand in memory and are gone when they are dropped, for what must not reach a disk.

use std::path::{Path, PathBuf};
use std::{fs, io};

use sandbox::TemporaryDirectory;

/// A directory in memory, for its owner alone. Dropping it removes it; one whose process was killed is removed by the
/// next that makes one.
#[derive(Debug)]
pub(crate) struct MemoryDirectory(TemporaryDirectory);

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
            match TemporaryDirectory::new_in(&place, "open") {
                Err(error) => refused = Some(error),
                Ok(made) => return Ok(MemoryDirectory(made)),
            }
        }
        Err(refused.unwrap_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "there is no file system in memory, at /dev/shm or XDG_RUNTIME_DIR; mount a tmpfs at one of them",
            )
        }))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
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
    use std::path::Path;

    use super::in_memory;

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
