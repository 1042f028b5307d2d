//! Contents that a task provides, so that no run has to carry them.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use agent::event::Digest;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, io as naming};
use crate::files;

/// Contents that are referred to by hash and not stored: a target's documentation and its visible
/// cases. This keeps the documentation of others out of runs that are published.
#[derive(Clone, Debug, Default)]
pub struct Known {
    places: HashMap<Digest, Place>,
}

#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    Memory(Vec<u8>),
}

impl Known {
    /// Nothing is provided.
    pub fn nothing() -> Self {
        Known::default()
    }

    /// The files named, and all those below the directories named. Links are not followed.
    pub fn scan<P: AsRef<Path>>(paths: &[P]) -> Result<Self, Error> {
        let mut known = Known::nothing();
        let mut rest: Vec<PathBuf> = paths.iter().map(|path| path.as_ref().to_owned()).collect();
        while let Some(path) = rest.pop() {
            let kind = fs::symlink_metadata(&path)
                .map_err(naming("look at", &path))?
                .file_type();
            if kind.is_dir() {
                for entry in fs::read_dir(&path).map_err(naming("read", &path))? {
                    rest.push(entry.map_err(naming("read", &path))?.path());
                }
            } else if kind.is_file() {
                let file = files::open(&path).map_err(naming("open", &path))?;
                let digest = hash(file).map_err(naming("read", &path))?;
                known.places.insert(digest, Place::File(path));
            }
        }
        Ok(known)
    }

    /// Adds a content that the task makes on the spot.
    pub fn provide(&mut self, bytes: Vec<u8>) {
        self.places
            .insert(crate::digest(&bytes), Place::Memory(bytes));
    }

    /// Whether the task provides this content.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.places.contains_key(digest)
    }

    /// The content, if it is still there; the caller checks its hash.
    pub(crate) fn open(&self, digest: &Digest) -> Option<io::Result<Box<dyn Read + '_>>> {
        Some(match self.places.get(digest)? {
            Place::File(path) => files::open(path).map(|file| Box::new(file) as Box<dyn Read>),
            Place::Memory(bytes) => Ok(Box::new(bytes.as_slice())),
        })
    }
}

fn hash(mut from: impl Read) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(Digest(hasher.finalize().into())),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
