//! Reading a workspace that belongs to somebody who may change it meanwhile.
//!
//! Every step goes from an open directory to a name in it and follows no link, so whatever is exchanged
//! under way, nothing outside the workspace is read. What vanishes while it is looked for was not there.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use agent::event::{Bytes, Digest, TreeHash};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat,
};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::blobs::Store;
use crate::error::{Error, io};
use crate::tree::{Limits, Node, Tree};

/// A file that changed less than this before it was read could change again without a new time of
/// change, since the kernel's clock for files is coarse. In nanoseconds.
const SETTLED: i128 = 100_000_000;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// Without NONBLOCK, opening a pipe that took a file's place would wait for ever.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// What was read before and need not be read again while the file stays the same.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    files: HashMap<Vec<u8>, (Stamp, Digest)>,
}

/// What changes whenever a file's content does. The time of change cannot be set by a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: i128,
    changed: i128,
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Stamp {
            device: stat.st_dev,
            inode: stat.st_ino,
            bytes: stat.st_size as u64,
            modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }
}

fn nanoseconds(seconds: i64, rest: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(rest)
}

struct Walk<'a> {
    store: &'a mut Store,
    limits: Limits,
    before: &'a Memory,
    now: Memory,
    nodes: Vec<Node>,
    names: u64,
    bytes: u64,
    /// The workspace, for messages.
    root: &'a Path,
}

/// Keeps the workspace as it is. Special files and whatever is called `.git` are passed over.
pub(crate) fn snapshot(
    store: &mut Store,
    memory: &mut Memory,
    workspace: &Path,
    limits: Limits,
) -> Result<TreeHash, Error> {
    let top = openat(CWD, workspace, DIRECTORY, Mode::empty()).map_err(io("open", workspace))?;
    let mut walk = Walk {
        store,
        limits,
        before: memory,
        now: Memory::default(),
        nodes: Vec::new(),
        names: 0,
        bytes: 0,
        root: workspace,
    };
    walk.directory(top, &mut Vec::new(), 0)?;
    let Walk { mut nodes, now, .. } = walk;
    nodes.sort_by(|one, other| one.path().cmp(other.path()));
    let tree = Tree { nodes }.stage(store)?;
    store.flush()?;
    *memory = now;
    Ok(tree)
}

impl Walk<'_> {
    /// Lists what is in a directory; says whether that is anything.
    fn directory(&mut self, dir: OwnedFd, path: &mut Vec<u8>, depth: usize) -> Result<(), Error> {
        if depth > self.limits.depth {
            return Err(Error::TooDeep {
                path: Bytes(path.clone()).to_path(),
                limit: self.limits.depth,
            });
        }
        let before = self.nodes.len();
        let names = match self.names(dir.as_fd()) {
            Ok(names) => names?,
            Err(Errno::ACCESS) => {
                self.nodes.push(Node::Unreadable {
                    path: Bytes(path.clone()),
                });
                return Ok(());
            }
            Err(errno) => return Err(io("read", &self.name(path))(errno)),
        };
        let parent = path.len();
        for name in names {
            if parent > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
            match self.entry(dir.as_fd(), &name, path, depth)? {
                // It was exchanged or removed since its name was read.
                Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NXIO | Errno::STALE) => {}
                // WOULDBLOCK: somebody holds a lease on it, which opening without waiting does not break.
                Err(Errno::ACCESS | Errno::PERM | Errno::WOULDBLOCK) => {
                    self.nodes.push(Node::Unreadable {
                        path: Bytes(path.clone()),
                    })
                }
                Err(errno) => return Err(io("read", &self.name(path))(errno)),
                Ok(()) => {}
            }
            path.truncate(parent);
        }
        if parent > 0 && self.nodes.len() == before {
            self.nodes.push(Node::Directory {
                path: Bytes(path.clone()),
            });
        }
        Ok(())
    }

    /// The names in a directory, counted as they come so that a huge one ends at the limit.
    fn names(&mut self, dir: BorrowedFd<'_>) -> Result<Result<Vec<CString>, Error>, Errno> {
        let mut names = Vec::new();
        for entry in Dir::read_from(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b".." | b".git") {
                continue;
            }
            self.names += 1;
            if self.names > self.limits.files {
                return Ok(Err(Error::TooManyFiles {
                    limit: self.limits.files,
                }));
            }
            names.push(name.to_owned());
        }
        // A directory that changes while it is read may name a file twice.
        names.sort();
        names.dedup();
        Ok(Ok(names))
    }

    /// Lists one name. The inner error is of the name, the outer one of the snapshot.
    fn entry(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CString,
        path: &mut Vec<u8>,
        depth: usize,
    ) -> Result<Result<(), Errno>, Error> {
        let stat = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(errno) => return Ok(Err(errno)),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => match openat(dir, name, DIRECTORY, Mode::empty()) {
                Ok(below) => self.directory(below, path, depth + 1).map(Ok),
                Err(errno) => Ok(Err(errno)),
            },
            FileType::Symlink => match readlinkat(dir, name, Vec::new()) {
                Ok(to) => {
                    self.nodes.push(Node::Link {
                        path: Bytes(path.clone()),
                        to: Bytes(to.into_bytes()),
                    });
                    Ok(Ok(()))
                }
                // No link any more.
                Err(Errno::INVAL) => Ok(Ok(())),
                Err(errno) => Ok(Err(errno)),
            },
            FileType::RegularFile => self.file(dir, name, path, &stat),
            _ => Ok(Ok(())),
        }
    }

    fn file(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CString,
        path: &[u8],
        stat: &Stat,
    ) -> Result<Result<(), Errno>, Error> {
        let stamp = Stamp::of(stat);
        if let Some((_, digest)) = self
            .before
            .files
            .get(path)
            .filter(|(before, _)| *before == stamp)
        {
            let digest = *digest;
            self.now.files.insert(path.to_owned(), (stamp, digest));
            return self.add(path, digest, stamp.bytes, stat).map(Ok);
        }
        let started = clock_gettime(ClockId::Realtime);
        let file = match openat(dir, name, FILE, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(errno) => return Ok(Err(errno)),
        };
        let opened = match fstat(&file) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => stat,
            Ok(_) => return Ok(Ok(())),
            Err(errno) => return Ok(Err(errno)),
        };
        let room = self.limits.bytes - self.bytes;
        let too_large = Error::TooLarge {
            limit: self.limits.bytes,
        };
        if opened.st_size as u64 > room {
            return Err(too_large);
        }
        let Some((digest, bytes)) = self.store.stage_file(&file, room, &self.name(path))? else {
            return Err(too_large);
        };
        let stamp = Stamp::of(&opened);
        let still =
            fstat(&file).is_ok_and(|after| Stamp::of(&after) == stamp) && bytes == stamp.bytes;
        if still && stamp.changed + SETTLED < nanoseconds(started.tv_sec, started.tv_nsec) {
            self.now.files.insert(path.to_owned(), (stamp, digest));
        }
        self.add(path, digest, bytes, &opened).map(Ok)
    }

    fn add(&mut self, path: &[u8], sha256: Digest, bytes: u64, stat: &Stat) -> Result<(), Error> {
        if bytes > self.limits.bytes - self.bytes {
            return Err(Error::TooLarge {
                limit: self.limits.bytes,
            });
        }
        self.bytes += bytes;
        let executable = Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR);
        self.nodes.push(Node::File {
            path: Bytes(path.to_owned()),
            sha256,
            bytes,
            executable,
        });
        Ok(())
    }

    fn name(&self, path: &[u8]) -> PathBuf {
        self.root.join(Bytes(path.to_owned()).to_path())
    }
}
