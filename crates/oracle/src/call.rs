//! The record of one oracle call.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};
use sandbox::Ending;
use sha2::{Digest, Sha256};

use crate::broker::Shared;

/// Largest range that is hashed for the record, and most bytes of all files that a call names.
const MOST_HASHED: u64 = 64 << 20;

/// One call of the reference.
#[derive(Clone, Debug)]
pub struct Call {
    /// Arguments after the program's name.
    pub argv: Vec<Vec<u8>>,
    /// Working directory.
    pub directory: Vec<u8>,
    /// Standard input, output and error.
    pub descriptors: [Descriptor; 3],
    /// Arguments that name regular files in shared directories.
    pub files: Vec<Hashed>,
    /// How it ended.
    pub ending: Ending,
    /// From the request to the end.
    pub wall: Duration,
    /// Processor time.
    pub cpu: Duration,
}

/// What a descriptor was, and what is known of the bytes that went through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// `pipe`, `file`, `terminal`, `null`, `socket` or `other`.
    pub kind: &'static str,
    /// Number of bytes and their SHA-256, where they could be seen without standing in their way.
    pub content: Option<(u64, Option<[u8; 32]>)>,
}

/// A file and its content's hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// Path as it was given.
    pub path: Vec<u8>,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256; `None` for files over 64 MiB, and for those that come when so much of a call's files is hashed.
    pub sha256: Option<[u8; 32]>,
}

/// What kind of thing a descriptor is.
pub(crate) fn kind(fd: impl AsFd) -> &'static str {
    if rustix::termios::isatty(&fd) {
        return "terminal";
    }
    let Ok(stat) = rustix::fs::fstat(&fd) else {
        return "other";
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => "pipe",
        FileType::RegularFile => "file",
        FileType::Socket => "socket",
        // Major 1, minor 3, on every Linux.
        FileType::CharacterDevice
            if (
                rustix::fs::major(stat.st_rdev),
                rustix::fs::minor(stat.st_rdev),
            ) == (1, 3) =>
        {
            "null"
        }
        _ => "other",
    }
}

/// Length and hash of a regular file's bytes from `start` to `end`, read without moving its offset.
pub(crate) fn hash_range(
    fd: impl AsFd,
    start: u64,
    end: Option<u64>,
) -> Option<(u64, Option<[u8; 32]>)> {
    let file = File::from(fd.as_fd().try_clone_to_owned().ok()?);
    let end = end.map_or_else(|| file.metadata().ok().map(|meta| meta.len()), Some)?;
    let length = end.saturating_sub(start);
    if length > MOST_HASHED {
        return Some((length, None));
    }
    let mut hash = Sha256::new();
    let mut buffer = [0; 64 << 10];
    let mut at = start;
    while at < end {
        let want = buffer.len().min((end - at) as usize);
        match file.read_at(&mut buffer[..want], at) {
            Ok(0) => break,
            Ok(count) => {
                hash.update(&buffer[..count]);
                at += count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some((at - start, Some(hash.finalize().into())))
}

/// Hashes the regular files below shared directories that arguments name, following no link. A call may name half a
/// million, so what all of them together may cost is bounded, not each by itself.
pub(crate) fn describe_files(argv: &[Vec<u8>], directory: &Path, shared: &[Shared]) -> Vec<Hashed> {
    describe_within(MOST_HASHED, argv, directory, shared)
}

fn describe_within(
    most: u64,
    argv: &[Vec<u8>],
    directory: &Path,
    shared: &[Shared],
) -> Vec<Hashed> {
    let mut left = most;
    argv.iter()
        .filter(|argument| !argument.is_empty() && argument.len() < 4096)
        .filter_map(|argument| {
            let path = directory.join(std::ffi::OsStr::from_bytes(argument));
            let file = open_shared(&path, shared)?;
            let bytes = file
                .metadata()
                .ok()
                .filter(std::fs::Metadata::is_file)?
                .len();
            let (bytes, sha256) = match left.checked_sub(bytes) {
                None => (bytes, None),
                Some(rest) => {
                    left = rest;
                    hash_range(&file, 0, Some(bytes))?
                }
            };
            Some(Hashed {
                path: argument.clone(),
                bytes,
                sha256,
            })
        })
        .collect()
}

/// Opens a path as the sandboxes see it, on the host. The directory belongs to an agent, who may put a
/// link anywhere at any time: no link is followed.
fn open_shared(path: &Path, shared: &[Shared]) -> Option<File> {
    if path.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    let (dir, rest) = shared
        .iter()
        .find_map(|dir| Some((dir, path.strip_prefix(&dir.at).ok()?)))?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let parts: Vec<PathBuf> = rest
        .components()
        .map(|part| PathBuf::from(part.as_os_str()))
        .collect();
    let (name, parents) = parts.split_last()?;
    let mut at = rustix::fs::open(&dir.source, flags | OFlags::DIRECTORY, Mode::empty()).ok()?;
    for parent in parents {
        at = rustix::fs::openat(&at, parent, flags | OFlags::DIRECTORY, Mode::empty()).ok()?;
    }
    rustix::fs::openat(&at, name, flags, Mode::empty())
        .ok()
        .map(File::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_of_a_call_together_are_hashed_within_a_bound() {
        const MOST: u64 = 1 << 20;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("small"), "x").unwrap();
        // Takes no space, and would take long for each time that it is named.
        let large = File::create(dir.path().join("large")).unwrap();
        large.set_len(MOST - 1).unwrap();
        let shared = [Shared {
            source: dir.path().to_owned(),
            at: "/w".into(),
            writable: true,
        }];
        let mut argv = vec![b"small".to_vec(), b"none".to_vec()];
        argv.extend(vec![b"/w/large".to_vec(); 10_000]);
        argv.push(b"small".to_vec());
        let files = describe_within(MOST, &argv, Path::new("/w"), &shared);
        let hashed = |file: &Hashed| (file.bytes, file.sha256.is_some());
        assert_eq!(files.len(), 10_002);
        assert_eq!(hashed(&files[0]), (1, true));
        assert_eq!(hashed(&files[1]), (MOST - 1, true));
        assert_eq!(hashed(&files[2]), (MOST - 1, false));
        assert_eq!(hashed(&files[10_001]), (1, false));
    }
}
