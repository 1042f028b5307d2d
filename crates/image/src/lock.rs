//! Advisory locks on files, which end with the process that holds them.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::error::Context;
use crate::{Error, Result};

/// How often a waiting process looks again: long against the cost of a look, short against a build.
const LOOK: Duration = Duration::from_millis(100);

/// An exclusive lock, held until it is dropped. The file holds the owner's process id, and is never removed:
/// removing it would let two processes lock two files of one name.
#[derive(Debug)]
pub(crate) struct Lock(
    #[expect(
        dead_code,
        reason = "held for its lock, which ends when the file is closed"
    )]
    File,
);

impl Lock {
    /// Takes the lock if it is free.
    pub(crate) fn try_take(path: &Path) -> Result<Option<Self>> {
        let mut file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // The id is for messages only, so a full disk does not matter here.
                let _ = file
                    .set_len(0)
                    .and_then(|()| file.rewind())
                    .and_then(|()| write!(file, "{}", std::process::id()));
                Ok(Some(Self(file)))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).context("lock", path),
        }
    }

    /// Takes the lock, waiting for whoever holds it; `waiting` is told once who that is.
    pub(crate) fn take(
        path: &Path,
        cancel: &AtomicBool,
        waiting: impl FnOnce(Option<u32>),
    ) -> Result<Self> {
        let mut waiting = Some(waiting);
        loop {
            if let Some(lock) = Self::try_take(path)? {
                return Ok(lock);
            }
            if let Some(waiting) = waiting.take() {
                waiting(holder(path));
            }
            if cancel.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// A shared lock, which says that something is being used.
///
/// In a cache that this user may not write to there is none, and nobody who could remove what it protects asks.
pub(crate) fn share(path: &Path) -> Result<Option<File>> {
    let file = match open(path) {
        Ok(file) => file,
        Err(Error::Io { source, .. })
            if matches!(
                source.kind(),
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            match File::open(path) {
                Ok(file) => file,
                Err(_) => return Ok(None),
            }
        }
        Err(error) => return Err(error),
    };
    flock(&file, FlockOperation::LockShared).context("lock", path)?;
    Ok(Some(file))
}

/// The process whose id stands in a lock file, where one does.
pub(crate) fn holder(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path)
        .ok()?
        .take(32)
        .read_to_string(&mut text)
        .ok()?;
    text.trim().parse().ok()
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .context("open", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_waits_for_the_first_and_knows_who_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::try_take(&path).unwrap().unwrap();
        assert!(Lock::try_take(&path).unwrap().is_none());
        let (told, who) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                let cancel = AtomicBool::new(false);
                Lock::take(&path, &cancel, |holder| told.send(holder).unwrap()).unwrap();
            });
            assert_eq!(who.recv().unwrap(), Some(std::process::id()));
            assert!(!second.is_finished());
            drop(first);
            second.join().unwrap();
        });
    }

    #[test]
    fn waiting_can_be_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let _first = Lock::try_take(&path).unwrap().unwrap();
        let cancel = AtomicBool::new(true);
        assert!(matches!(
            Lock::take(&path, &cancel, |_| ()),
            Err(Error::Interrupted)
        ));
    }

    #[test]
    fn use_is_shared_and_excludes_removal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = share(&path).unwrap();
        let second = share(&path).unwrap();
        assert!(Lock::try_take(&path).unwrap().is_none());
        drop((first, second));
        assert!(Lock::try_take(&path).unwrap().is_some());
    }
}
