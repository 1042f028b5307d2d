//! What is in a directory of this machine.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result, io};
use crate::hash::Hash;
use crate::listing::{Kind, LeftOut, Listing, Node};

/// A directory of this machine that is, or may be, in a store.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its name in the store.
    pub id: &'a str,
    /// Where it is.
    pub dir: &'a Path,
}

/// What stands at a path on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Directory { mode: u32 },
    File { mode: u32, stamp: Stamp },
    Link { to: Vec<u8> },
}

/// What changes whenever a file's content does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) bytes: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(data: &Metadata) -> Self {
        Stamp {
            bytes: data.len(),
            inode: data.ino(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        }
    }
}

/// Everything in a directory, sorted by path, and what cannot be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) found: Vec<(Vec<u8>, Found)>,
    pub(crate) left_out: Vec<LeftOut>,
}

impl Scan {
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = |(_, found): &(Vec<u8>, Found)| match found {
            Found::File { stamp, .. } => stamp.bytes,
            _ => 0,
        };
        self.found.iter().map(bytes).sum()
    }
}

/// A path as bytes.
pub(crate) fn path(dir: &Path, below: &[u8]) -> PathBuf {
    dir.join(Path::new(std::ffi::OsStr::from_bytes(below)))
}

fn left_out(path: &[u8], why: impl ToString) -> LeftOut {
    LeftOut {
        path: String::from_utf8_lossy(path).into_owned(),
        why: why.to_string(),
    }
}

/// What of a workspace an agent has made unreadable, on purpose or not: no reason to lose the rest.
fn is_unreadable(error: &io::Error) -> bool {
    error.kind() == ErrorKind::PermissionDenied
        || error.raw_os_error() == Some(rustix::io::Errno::NAMETOOLONG.raw_os_error())
}

/// Lists a directory. No link is followed.
pub(crate) fn scan(source: Source<'_>) -> Result<Scan> {
    let mut scan = Scan::default();
    let mut waiting = vec![Vec::new()];
    while let Some(below) = waiting.pop() {
        let host = path(source.dir, &below);
        let entries = match fs::read_dir(&host) {
            Err(error) if is_unreadable(&error) && !below.is_empty() => {
                scan.left_out.push(left_out(&below, error));
                continue;
            }
            entries => entries.map_err(io("read", &host))?,
        };
        for entry in entries {
            let name = entry.map_err(io("read", &host))?.file_name();
            let mut path = below.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
            if source.kind.is_scratch(&path) {
                continue;
            }
            if let Some(found) = look(source, &path, &mut scan.left_out)? {
                if matches!(found, Found::Directory { .. }) {
                    waiting.push(path.clone());
                }
                scan.found.push((path, found));
            }
        }
    }
    scan.found.sort_by(|one, other| one.0.cmp(&other.0));
    scan.left_out
        .sort_by(|one, other| one.path.cmp(&other.path));
    Ok(scan)
}

fn look(source: Source<'_>, below: &[u8], out: &mut Vec<LeftOut>) -> Result<Option<Found>> {
    let host = path(source.dir, below);
    let data = match fs::symlink_metadata(&host) {
        Err(error) if is_unreadable(&error) => {
            out.push(left_out(below, error));
            return Ok(None);
        }
        data => data.map_err(io("look at", &host))?,
    };
    let mode = data.mode() & 0o777;
    if data.is_dir() {
        return Ok(Some(Found::Directory { mode }));
    }
    if data.is_symlink() {
        let refused = |reason: &str| Error::Local {
            path: host.clone(),
            reason: reason.to_owned(),
        };
        if !source.kind.may_link(below) {
            return Err(refused("a link is not stored where it could lead out"));
        }
        let to = fs::read_link(&host).map_err(io("read", &host))?;
        let to = to.into_os_string().into_vec();
        return Ok(Some(Found::Link { to }));
    }
    if data.is_file() {
        let stamp = Stamp::of(&data);
        return Ok(Some(Found::File { mode, stamp }));
    }
    out.push(left_out(below, "neither a file, a directory nor a link"));
    Ok(None)
}

/// Opens a file to read it; `None` when it may not be read.
pub(crate) fn open(host: &Path) -> Result<Option<File>> {
    // A pipe that took a file's place would be waited for, a link be followed.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(host);
    match opened {
        Err(error) if is_unreadable(&error) => Ok(None),
        opened => opened.map(Some).map_err(io("open", host)),
    }
}

/// SHA-256 of a file's content.
pub(crate) fn hash(host: &Path) -> Result<Option<Hash>> {
    let Some(mut file) = open(host)? else {
        return Ok(None);
    };
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 1 << 17];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(Some(Hash(hasher.finalize().into()))),
            Ok(count) => hasher.update(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(io("read", host)(error)),
        }
    }
}

/// The first path at which a directory is not what a listing says.
pub(crate) fn difference(source: Source<'_>, listing: &Listing) -> Result<Option<String>> {
    let found: std::collections::BTreeMap<_, _> = scan(source)?.found.into_iter().collect();
    let paths = found.keys().chain(listing.entries.keys());
    let mut paths: Vec<_> = paths.collect();
    paths.sort();
    paths.dedup();
    for below in paths {
        let same = match (found.get(below), listing.entries.get(below)) {
            (Some(Found::Directory { mode }), Some(Node::Directory { mode: stored })) => {
                mode == stored
            }
            (Some(Found::Link { to }), Some(Node::Link { to: stored })) => to == stored,
            (
                Some(Found::File { mode, stamp }),
                Some(Node::File {
                    mode: stored,
                    bytes,
                    sha256,
                    ..
                }),
            ) => {
                mode == stored
                    && stamp.bytes == *bytes
                    && hash(&path(source.dir, below))? == Some(*sha256)
            }
            _ => false,
        };
        if !same {
            return Ok(Some(String::from_utf8_lossy(below).into_owned()));
        }
    }
    Ok(None)
}
