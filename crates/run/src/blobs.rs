//! Contents by hash: each stored once, compressed, whole or not at all, and checked when it is read.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use agent::event::Digest;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, io as naming};
use crate::files;
use crate::known::Known;

/// Largest content that is kept, in bytes. It also bounds what a damaged or hostile blob unpacks to.
pub const MAX_BLOB: u64 = 1 << 30;

/// Contents up to this size are looked up before they are compressed.
const SMALL: usize = 1 << 20;

const LEVEL: i32 = 3;
const CHUNK: usize = 128 << 10;
const NEW: &str = "new-";

/// The SHA-256 of some bytes.
pub fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// The contents of a run, in `blobs/ab/cdef...`, and those that its task provides.
#[derive(Debug)]
pub struct Store {
    blobs: PathBuf,
    known: Known,
    /// Directories with names that may not be durable yet.
    unsynced: BTreeSet<PathBuf>,
    /// Directories in which all names that were found are durable.
    synced: BTreeSet<PathBuf>,
    temporaries: u64,
}

impl Store {
    /// The contents of the run in `dir`. Any number of processes may read them, and one may write.
    pub fn open(dir: &Path, known: Known) -> Self {
        Store {
            blobs: dir.join("blobs"),
            known,
            unsynced: BTreeSet::new(),
            synced: BTreeSet::new(),
            temporaries: 0,
        }
    }

    /// Keeps a content. It is durable when this returns.
    pub fn put(&mut self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = self.stage(bytes)?;
        self.flush()?;
        Ok(digest)
    }

    /// Whether the content is stored or provided by the task.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.known.contains(digest) || self.path(digest).exists()
    }

    /// The content.
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.copy(digest, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes the content to `out` and gives its length. Only when this succeeds is what was written right.
    pub fn copy(&self, digest: &Digest, out: &mut dyn Write) -> Result<u64, Error> {
        let path = self.path(digest);
        match files::open(&path) {
            Ok(file) => {
                let damaged = |reason: String| Error::DamagedContent {
                    path: path.clone(),
                    reason,
                };
                let decoder = zstd::stream::read::Decoder::new(file)
                    .map_err(|error| damaged(error.to_string()))?;
                match verify(decoder, digest, out) {
                    Ok(bytes) => Ok(bytes),
                    Err(Broken::Read(error)) => Err(damaged(error.to_string())),
                    Err(Broken::Hash) => Err(damaged("its content has another hash".into())),
                    Err(Broken::Write(error)) => Err(naming("copy", &path)(error)),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // What the task provides may have changed since: that is as good as absent.
                match self.known.open(digest) {
                    Some(Ok(from)) => match verify(from, digest, out) {
                        Ok(bytes) => Ok(bytes),
                        Err(Broken::Write(error)) => Err(naming("copy", &path)(error)),
                        Err(_) => Err(self.absent(digest)),
                    },
                    _ => Err(self.absent(digest)),
                }
            }
            Err(error) => Err(naming("open", &path)(error)),
        }
    }

    /// Keeps a content; it is durable after [`Store::flush`].
    pub(crate) fn stage(&mut self, bytes: &[u8]) -> Result<Digest, Error> {
        if bytes.len() as u64 > MAX_BLOB {
            return Err(Error::ContentTooLarge);
        }
        let digest = digest(bytes);
        if !self.has(&digest) {
            let (temporary, file) = self.temporary()?;
            let written =
                zstd::stream::copy_encode(bytes, &file, LEVEL).and_then(|()| file.sync_all());
            self.publish(&temporary, written, &digest)?;
        }
        Ok(digest)
    }

    /// Keeps what a file holds, up to `limit` bytes; `None` when it holds more. Durable after [`Store::flush`].
    pub(crate) fn stage_file(
        &mut self,
        file: &File,
        limit: u64,
        name: &Path,
    ) -> Result<Option<(Digest, u64)>, Error> {
        let mut start = Vec::new();
        let limit = limit.min(MAX_BLOB);
        let mut rest = file.take(limit.saturating_add(1));
        (&mut rest)
            .take(SMALL as u64)
            .read_to_end(&mut start)
            .map_err(naming("read", name))?;
        if start.len() as u64 > limit {
            return Ok(None);
        }
        if start.len() < SMALL {
            return Ok(Some((self.stage(&start)?, start.len() as u64)));
        }
        let (temporary, out) = self.temporary()?;
        let mut hasher = Sha256::new();
        let mut bytes = 0_u64;
        let written = zstd::stream::write::Encoder::new(&out, LEVEL).and_then(|mut encoder| {
            let mut from = start.as_slice().chain(rest);
            let mut chunk = vec![0; CHUNK];
            loop {
                match from.read(&mut chunk)? {
                    0 => break,
                    read => {
                        hasher.update(&chunk[..read]);
                        encoder.write_all(&chunk[..read])?;
                        bytes += read as u64;
                    }
                }
            }
            encoder.finish()?;
            out.sync_all()
        });
        let digest = Digest(hasher.finalize().into());
        if written.is_ok() && (bytes > limit || self.has(&digest)) {
            fs::remove_file(&temporary).map_err(naming("remove", &temporary))?;
        } else {
            self.publish(&temporary, written, &digest)?;
        }
        Ok((bytes <= limit).then_some((digest, bytes)))
    }

    /// Makes all that was kept durable.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        while let Some(dir) = self.unsynced.pop_first() {
            if let Err(error) = files::sync_dir(&dir) {
                self.unsynced.insert(dir);
                return Err(error);
            }
            self.synced.insert(dir);
        }
        Ok(())
    }

    /// Removes what a writer that was killed left half-made. Only for the one writer.
    pub(crate) fn clean(&self) -> Result<(), Error> {
        let entries = match fs::read_dir(&self.blobs) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(naming("read", &self.blobs))?,
        };
        for entry in entries {
            let entry = entry.map_err(naming("read", &self.blobs))?;
            if entry.file_name().to_string_lossy().starts_with(NEW) {
                fs::remove_file(entry.path()).map_err(naming("remove", &entry.path()))?;
            }
        }
        Ok(())
    }

    /// Whether the content need not be written.
    fn has(&mut self, digest: &Digest) -> bool {
        if self.known.contains(digest) {
            return true;
        }
        let path = self.path(digest);
        let there = path.exists();
        if there {
            // An earlier process may have been killed before it made the name durable.
            let dir = path.parent().expect("blobs have directories").to_owned();
            if !self.synced.contains(&dir) {
                self.unsynced.insert(dir);
            }
        }
        there
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.blobs.join(&name[..2]).join(&name[2..])
    }

    fn temporary(&mut self) -> Result<(PathBuf, File), Error> {
        files::make_dirs(&self.blobs)?;
        self.temporaries += 1;
        let path = self
            .blobs
            .join(format!("{NEW}{}-{}", std::process::id(), self.temporaries));
        let file = files::create_new(&path).map_err(naming("make", &path))?;
        Ok((path, file))
    }

    /// Gives a file that was written its name, or removes what could not be written.
    fn publish(
        &mut self,
        temporary: &Path,
        written: io::Result<()>,
        digest: &Digest,
    ) -> Result<(), Error> {
        let path = self.path(digest);
        let dir = path.parent().expect("blobs have directories");
        let published = written.map_err(naming("write", temporary)).and_then(|()| {
            files::make_dirs(dir)?;
            fs::rename(temporary, &path).map_err(naming("write", &path))
        });
        if published.is_err() {
            let _ = fs::remove_file(temporary);
        }
        self.unsynced.insert(dir.to_owned());
        published
    }

    fn absent(&self, digest: &Digest) -> Error {
        Error::NoContent {
            sha256: *digest,
            blobs: self.blobs.clone(),
        }
    }
}

enum Broken {
    Read(io::Error),
    Write(io::Error),
    Hash,
}

/// Copies what has this hash, and at most [`MAX_BLOB`] of what does not.
fn verify(mut from: impl Read, digest: &Digest, out: &mut dyn Write) -> Result<u64, Broken> {
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => {
                bytes += read as u64;
                if bytes > MAX_BLOB {
                    return Err(Broken::Hash);
                }
                hasher.update(&chunk[..read]);
                out.write_all(&chunk[..read]).map_err(Broken::Write)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Broken::Read(error)),
        }
    }
    if hasher.finalize()[..] == digest.0 {
        Ok(bytes)
    } else {
        Err(Broken::Hash)
    }
}
