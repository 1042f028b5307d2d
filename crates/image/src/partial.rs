//! A directory that is being made: it becomes visible whole, or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::syncfs;

use crate::Result;
use crate::error::Context;
use crate::lock::Lock;
use crate::root::make_directory;

/// What the names of unfinished directories start with, followed by the digest of what they become.
const PREFIX: &str = ".partial-";

/// An unfinished directory, removed when dropped before it is published.
#[derive(Debug)]
pub(crate) struct Partial {
    path: PathBuf,
    published: bool,
}

impl Partial {
    /// Makes one beside where it will be. The caller holds the lock of `digest`, so it is the only one.
    pub(crate) fn make(images: &Path, digest: &str) -> Result<Self> {
        let path = images.join(format!("{PREFIX}{digest}"));
        if path.exists() {
            // Left by a process that was killed: its lock was free.
            fs::remove_dir_all(&path).context("remove", &path)?;
        }
        make_directory(&path)?;
        Ok(Self {
            path,
            published: false,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes everything to the disk, and only then gives the directory its name.
    pub(crate) fn publish(mut self, to: &Path) -> Result<()> {
        let dir = File::open(&self.path).context("open", &self.path)?;
        // One call for the whole filesystem: thousands of single ones take longer.
        syncfs(&dir).context("sync", &self.path)?;
        fs::rename(&self.path, to).context("rename", &self.path)?;
        self.published = true;
        let parent = to.parent().unwrap_or(Path::new("/"));
        File::open(parent)
            .and_then(|parent| parent.sync_all())
            .context("sync", parent)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is removed at the next start.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Takes an image out of sight in one step, so that it can then be removed in many.
pub(crate) fn withdraw(images: &Path, digest: &str) -> Result<Partial> {
    let path = images.join(format!("{PREFIX}{digest}"));
    if path.exists() {
        fs::remove_dir_all(&path).context("remove", &path)?;
    }
    let from = images.join(digest);
    fs::rename(&from, &path).context("remove", &from)?;
    Ok(Partial {
        path,
        published: false,
    })
}

/// Removes unfinished directories whose makers are gone: nobody holds the lock of what they were to become.
pub(crate) fn clean(images: &Path, lock: impl Fn(&str) -> PathBuf) -> Result<()> {
    for entry in fs::read_dir(images).context("read directory", images)? {
        let entry = entry.context("read directory", images)?;
        let name = entry.file_name();
        let Some(digest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        // In a cache that this user may only read, cleaning is for its owner.
        if let Ok(Some(_lock)) = Lock::try_take(&lock(digest)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_published_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let partial = Partial::make(dir.path(), "a").unwrap();
        fs::write(partial.path().join("x"), "x").unwrap();
        drop(partial);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        Partial::make(dir.path(), "a")
            .unwrap()
            .publish(&dir.path().join("a"))
            .unwrap();
        assert!(dir.path().join("a").is_dir());
        drop(withdraw(dir.path(), "a").unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_directories_without_a_maker_are_cleaned() {
        let dir = tempfile::tempdir().unwrap();
        let lock = |digest: &str| dir.path().join(format!("{digest}.lock"));
        for name in [".partial-stale", ".partial-live", "done"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let _live = Lock::try_take(&lock("live")).unwrap().unwrap();
        clean(dir.path(), lock).unwrap();
        assert!(!dir.path().join(".partial-stale").exists());
        assert!(dir.path().join(".partial-live").exists());
        assert!(dir.path().join("done").exists());
    }
}
