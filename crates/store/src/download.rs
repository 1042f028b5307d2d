//! Out of a store: into a directory that is not there yet, checked, and only then given its name.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::error::{Error, Result, io};
use crate::hash::Hash;
use crate::listing::{Head, Kind, Listing, Node};
use crate::remote::{AT_ONCE, Store, random};
use crate::scan::{Source, difference, hash, path};

/// Where directories are made, beside where they will be.
const PARTIAL: &str = ".sync";

/// What became of a directory on its way out of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It is there now.
    New,
    /// It was there, and is the same.
    WasThere,
    /// Something else of its name is there, and is left alone: the first path at which they differ.
    Differs(String),
}

/// Where downloads go: a directory, of which one process at a time is in charge.
#[derive(Debug)]
pub struct Inbox {
    dir: PathBuf,
    partial: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl Inbox {
    /// Prepares a directory, which is made where it is missing, and removes what an earlier download left half-made.
    ///
    /// # Errors
    /// When another process downloads into it, or it cannot be made.
    pub fn open(dir: &Path) -> Result<Self> {
        let partial = dir.join(PARTIAL);
        fs::create_dir_all(&partial).map_err(io("make", &partial))?;
        let lock = File::open(&partial).map_err(io("open", &partial))?;
        let operation = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        match rustix::fs::flock(&lock, operation) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::Local {
                    path: dir.to_owned(),
                    reason: "another `mirrorcode sync` downloads into it".to_owned(),
                });
            }
            locked => locked.map_err(io("lock", &partial))?,
        }
        for entry in fs::read_dir(&partial).map_err(io("read", &partial))? {
            let path = entry.map_err(io("read", &partial))?.path();
            remove(&path)?;
        }
        Ok(Inbox {
            dir: dir.to_owned(),
            partial,
            _lock: lock,
        })
    }

    /// Gets a directory.
    ///
    /// # Errors
    /// When the service fails, something is damaged, or the directory cannot be written.
    pub fn fetch(
        &self,
        store: &Store,
        kind: Kind,
        id: &str,
        cancel: &AtomicBool,
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<(Head, Fetched)> {
        let (head, listing) = store.read(kind, id, cancel)?;
        let dir = self.dir.join(id);
        if dir.symlink_metadata().is_ok() {
            let source = Source {
                kind,
                id,
                dir: &dir,
            };
            let fetched = match difference(source, &listing)? {
                None => Fetched::WasThere,
                Some(path) => Fetched::Differs(path),
            };
            return Ok((head, fetched));
        }
        let partial = self.partial.join(random());
        let made = store.write(&listing, &partial, cancel, tell);
        if let Err(error) = made {
            let _ = remove(&partial);
            return Err(error);
        }
        publish(&partial, &dir)?;
        Ok((head, Fetched::New))
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.partial);
    }
}

/// Removes a directory, also where modes forbid it.
fn remove(dir: &Path) -> Result<()> {
    let open = Permissions::from_mode(0o700);
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        let is_dir = fs::symlink_metadata(&dir).is_ok_and(|data| data.is_dir());
        if !is_dir {
            continue;
        }
        let _ = fs::set_permissions(&dir, open.clone());
        for entry in fs::read_dir(&dir).map_err(io("read", &dir))? {
            let entry = entry.map_err(io("read", &dir))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(entry.path());
            }
        }
    }
    match fs::symlink_metadata(dir) {
        Ok(data) if data.is_dir() => fs::remove_dir_all(dir),
        Ok(_) => fs::remove_file(dir),
        Err(_) => Ok(()),
    }
    .map_err(io("remove", dir))
}

/// Writes everything to the disk, and only then gives the directory its name.
fn publish(partial: &Path, to: &Path) -> Result<()> {
    let dir = File::open(partial).map_err(io("open", partial))?;
    rustix::fs::syncfs(&dir).map_err(io("sync", partial))?;
    let parent = to.parent().unwrap_or(Path::new("."));
    // A directory of this name that appeared meanwhile is not replaced, unless it is empty.
    fs::rename(partial, to).map_err(io("rename", partial))?;
    File::open(parent)
        .and_then(|parent| parent.sync_all())
        .map_err(io("sync", parent))
}

/// A piece of a file that an object holds.
struct Piece<'a> {
    path: &'a [u8],
    /// Where in the file.
    at: u64,
    /// Where in the object.
    from: usize,
    length: usize,
}

impl Store {
    /// What a directory in the store holds.
    ///
    /// # Errors
    /// When it is not there whole, is damaged, or the service fails.
    pub(crate) fn read(
        &self,
        kind: Kind,
        id: &str,
        cancel: &AtomicBool,
    ) -> Result<(Head, Listing)> {
        self.run(cancel, async {
            let below = format!("{}/{id}.json", kind.directory());
            let missing = || Error::Local {
                path: self.name().into(),
                reason: format!("it has no {below}, so {id} is not in it, or not whole"),
            };
            let head = self.head(kind, id).await?.ok_or_else(missing)?;
            let mut text = Vec::new();
            for object in &head.objects {
                text.extend(self.object(object).await?);
            }
            let damaged = |reason: String| self.corrupt(&below, reason);
            if Hash::of(&text) != head.listing {
                return Err(damaged("it is not of the listing that it names".to_owned()));
            }
            let listing = Listing::parse(&text, kind).map_err(damaged)?;
            let same = listing.identity(kind) == Some(head.identity)
                && (listing.files(), listing.bytes()) == (head.files, head.bytes);
            if !same {
                return Err(damaged(
                    "it says something else than its listing".to_owned(),
                ));
            }
            Ok((head, listing))
        })
    }

    /// The head of a directory in the store, with everything that it holds written to `dir`, which is made.
    ///
    /// # Errors
    /// When it is not there whole, is damaged, cannot be written, or the service fails.
    pub fn fetch_into(
        &self,
        kind: Kind,
        id: &str,
        dir: &Path,
        cancel: &AtomicBool,
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<Head> {
        let (head, listing) = self.read(kind, id, cancel)?;
        self.write(&listing, dir, cancel, tell)?;
        Ok(head)
    }

    fn write(
        &self,
        listing: &Listing,
        dir: &Path,
        cancel: &AtomicBool,
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        if !dir.is_dir() {
            builder.create(dir).map_err(io("make", dir))?;
        }
        // Parents come before what is in them. Links come last, so nothing is written through one.
        for (below, node) in &listing.entries {
            let host = path(dir, below);
            match node {
                Node::Directory { .. } => builder.create(&host).map_err(io("make", &host))?,
                Node::File { .. } => {
                    OpenOptions::new()
                        .write(true)
                        .create_new(true)
                        .mode(0o600)
                        .open(&host)
                        .map_err(io("make", &host))?;
                }
                Node::Link { .. } => {}
            }
        }
        self.run(cancel, self.contents(listing, dir, tell))?;
        for (below, node) in &listing.entries {
            let host = path(dir, below);
            let Node::File { sha256, .. } = node else {
                continue;
            };
            if hash(&host)? != Some(*sha256) {
                let name = String::from_utf8_lossy(below).into_owned();
                return Err(self.corrupt(&name, "its SHA-256 is another one".to_owned()));
            }
        }
        settle(listing, dir)
    }

    /// Gets all objects and writes their pieces.
    async fn contents(
        &self,
        listing: &Listing,
        dir: &Path,
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<()> {
        let mut pieces: Vec<Vec<Piece<'_>>> = Vec::new();
        pieces.resize_with(listing.objects.len(), Vec::new);
        for (below, node) in &listing.entries {
            let Node::File { parts, .. } = node else {
                continue;
            };
            let mut at = 0;
            for (object, from, length) in parts {
                pieces[*object as usize].push(Piece {
                    path: below,
                    at,
                    from: usize::try_from(*from).unwrap_or(usize::MAX),
                    length: usize::try_from(*length).unwrap_or(usize::MAX),
                });
                at += length;
            }
        }
        let (mut done, total) = (0, listing.bytes());
        let mut wanted = listing.objects.iter().zip(&pieces);
        let mut coming = FuturesUnordered::new();
        loop {
            while coming.len() < AT_ONCE
                && let Some((object, pieces)) = wanted.next()
            {
                // Nothing is asked for that no file needs.
                if !pieces.is_empty() {
                    coming
                        .push(async move { Ok::<_, Error>((pieces, self.object(object).await?)) });
                }
            }
            let Some(come) = coming.next().await else {
                return Ok(());
            };
            let (pieces, raw) = come?;
            for piece in pieces {
                let host = path(dir, piece.path);
                let bytes = &raw[piece.from..piece.from + piece.length];
                OpenOptions::new()
                    .write(true)
                    .open(&host)
                    .and_then(|file| file.write_all_at(bytes, piece.at))
                    .map_err(io("write", &host))?;
                done += piece.length as u64;
            }
            tell(done, total);
        }
    }
}

/// Makes links, and gives everything its mode: what is below a directory before the directory.
fn settle(listing: &Listing, dir: &Path) -> Result<()> {
    for (below, node) in listing.entries.iter().rev() {
        let host = path(dir, below);
        match node {
            Node::Link { to } => {
                let to = Path::new(std::ffi::OsStr::from_bytes(to));
                symlink(to, &host).map_err(io("make", &host))?;
            }
            Node::Directory { mode } | Node::File { mode, .. } => {
                fs::set_permissions(&host, Permissions::from_mode(*mode))
                    .map_err(io("set the mode of", &host))?;
            }
        }
    }
    fs::set_permissions(dir, Permissions::from_mode(0o755)).map_err(io("set the mode of", dir))
}
