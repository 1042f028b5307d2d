//! Putting a workspace back as it was.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use agent::event::TreeHash;
use rustix::fs::{CWD, Mode, OFlags, fchmod, mkdirat, openat, symlinkat};
use rustix::io::Errno;

use crate::blobs::Store;
use crate::error::{Error, io};
use crate::tree::{Limits, Node, Tree};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Writes a state of the workspace into the directory `dir`, which must be empty. Nothing is followed and nothing is written
/// outside it, whatever the tree says. After an error the directory holds a part of the tree. Times of files are not kept.
pub fn restore(store: &Store, tree: TreeHash, dir: &Path, limits: Limits) -> Result<(), Error> {
    let top = openat(CWD, dir, DIRECTORY, Mode::empty()).map_err(io("open", dir))?;
    if fs::read_dir(dir).map_err(io("read", dir))?.next().is_some() {
        return Err(Error::NotEmpty {
            dir: dir.to_owned(),
        });
    }
    let nodes = Tree::load(store, tree)?.nodes;
    if nodes.len() as u64 > limits.files {
        return Err(Error::TooManyFiles {
            limit: limits.files,
        });
    }
    let mut room = limits.bytes;
    for node in &nodes {
        if let Node::File { bytes, .. } = node {
            room = room.checked_sub(*bytes).ok_or(Error::TooLarge {
                limit: limits.bytes,
            })?;
        }
    }
    for (index, node) in nodes.iter().enumerate() {
        let wrong = |reason: String| Error::Tree {
            tree,
            line: index + 1,
            reason,
        };
        let path = dir.join(node.path().to_path());
        let parts: Vec<&[u8]> = node.path().0.split(|byte| *byte == b'/').collect();
        let (name, parents) = parts
            .split_last()
            .expect("splitting gives at least one part");
        if parts.len() > limits.depth + 1 {
            return Err(Error::TooDeep {
                path: node.path().to_path(),
                limit: limits.depth,
            });
        }
        let failed = |errno: Errno| match errno {
            // Lists of ours have no file where a directory must be.
            Errno::EXIST | Errno::LOOP | Errno::NOTDIR => {
                wrong(format!("{:?} is below or in place of another", node.path()))
            }
            errno => io("write", &path)(errno),
        };
        let parent = descend(&top, parents).map_err(failed)?;
        match node {
            Node::File {
                sha256,
                bytes,
                executable,
                ..
            } => {
                let mut file = File::from(
                    openat(&parent, *name, FILE, Mode::RUSR | Mode::WUSR).map_err(failed)?,
                );
                if store.copy(sha256, &mut file)? != *bytes {
                    return Err(wrong(format!("{sha256} has not {bytes} bytes")));
                }
                let mode = if *executable { 0o755 } else { 0o644 };
                fchmod(&file, Mode::from_raw_mode(mode)).map_err(failed)?;
            }
            Node::Link { to, .. } => {
                if to.0.is_empty() || to.0.contains(&0) {
                    return Err(wrong(format!("{to:?} cannot be in a link")));
                }
                symlinkat(to.0.as_slice(), &parent, *name).map_err(failed)?;
            }
            Node::Directory { .. } => drop(descend(&parent, &[name]).map_err(failed)?),
            Node::Unreadable { .. } => {}
        }
    }
    Ok(())
}

/// Opens a directory below another one, and makes what is missing.
fn descend(top: &OwnedFd, parts: &[&[u8]]) -> Result<OwnedFd, Errno> {
    let mut dir = top.try_clone().map_err(|_| Errno::MFILE)?;
    for part in parts {
        match mkdirat(dir.as_fd(), *part, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        dir = openat(dir.as_fd(), *part, DIRECTORY, Mode::empty())?;
    }
    Ok(dir)
}
