//! Where in a journal things stand: found once, while it is checked, so that little of a long one is read again.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use agent::event::{Content, Entry};
use agent::scaffold::History;

use crate::blobs::Store;
use crate::error::{Error, io};
use crate::files;
use crate::header::Header;
use crate::lines::{self, Found, Lines};
use crate::read::{Reader, explain, too_long};

/// Every so many lines the place in the file is remembered.
const STRIDE: u64 = 256;

/// The places of a journal's events.
#[derive(Clone, Debug, Default)]
pub struct Index {
    path: PathBuf,
    /// Where lines 1, 1 + STRIDE, 1 + 2 * STRIDE, ... begin.
    places: Vec<u64>,
    /// Last event and number of events of each type.
    kinds: BTreeMap<String, (u64, u64)>,
    format: u32,
}

impl Index {
    pub(crate) fn new(path: &Path, format: u32) -> Self {
        Index {
            path: path.to_owned(),
            format,
            ..Index::default()
        }
    }

    /// Goes through the journal of the run in `dir`, also while it is written.
    pub fn of(dir: &Path) -> Result<Self, Error> {
        let header = Header::read(dir)?;
        let path = dir.join(crate::journal::NAME);
        let mut index = Index::new(&path, header.format);
        let mut lines = Lines::new(files::open(&path).map_err(io("open", &path))?);
        while lines.advance().map_err(io("read", &path))? == Found::Line {
            let head = lines::head(&lines.line, lines.number)
                .map_err(|fault| explain(fault, &path, lines.number, header.format))?;
            index.add(head.seq, lines.start, &head.kind);
        }
        Ok(index)
    }

    pub(crate) fn add(&mut self, seq: u64, start: u64, kind: &str) {
        if seq % STRIDE == 1 {
            self.places.push(start);
        }
        match self.kinds.get_mut(kind) {
            Some((last, count)) => {
                *last = seq;
                *count += 1;
            }
            None => {
                self.kinds.insert(kind.to_owned(), (seq, 1));
            }
        }
    }

    /// Sequence number of the last event of this type.
    pub fn last(&self, kind: &str) -> Option<u64> {
        self.kinds.get(kind).map(|(last, _)| *last)
    }

    /// Number of events of this type.
    pub fn count(&self, kind: &str) -> u64 {
        self.kinds.get(kind).map_or(0, |(_, count)| *count)
    }

    /// Number of events.
    pub fn events(&self) -> u64 {
        self.kinds.values().map(|(_, count)| count).sum()
    }

    /// Reads on from the event `first`, also those that are recorded later.
    pub fn reader(&self, dir: &Path, first: u64) -> Result<Reader, Error> {
        let mut reader = crate::read::read(dir)?;
        let stride = (first.max(1) - 1) / STRIDE;
        let stride = stride.min((self.places.len() as u64).saturating_sub(1));
        if let Some(&start) = self.places.get(stride as usize) {
            reader.go_to(stride * STRIDE + 1, start, first)?;
        }
        Ok(reader)
    }

    /// Hands over the events from `first` to `last`, as far as they exist, until `each` says that it has enough.
    pub fn each(
        &self,
        first: u64,
        last: u64,
        each: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<(), Error> {
        let first = first.max(1);
        let stride = (first - 1) / STRIDE;
        let Some(&start) = self.places.get(stride as usize) else {
            return Ok(());
        };
        let mut file = files::open(&self.path).map_err(io("open", &self.path))?;
        file.seek(SeekFrom::Start(start))
            .map_err(io("read", &self.path))?;
        let mut lines = Lines::at(file, stride * STRIDE + 1, start);
        loop {
            match lines.advance().map_err(io("read", &self.path))? {
                Found::Line if lines.number < first => continue,
                Found::Line if lines.number <= last => {}
                Found::TooLong => return Err(too_long(&self.path, lines.number)),
                _ => return Ok(()),
            }
            let entry = lines::entry(&lines.line, lines.number)
                .map_err(|fault| explain(fault, &self.path, lines.number, self.format))?;
            if !each(entry) {
                return Ok(());
            }
        }
    }
}

/// A run's record as a scaffold reads it.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    /// Where events stand.
    pub index: &'a Index,
    /// The contents.
    pub store: &'a Store,
}

fn whole(error: &dyn std::error::Error) -> String {
    error.source().map_or(error.to_string(), |source| {
        format!("{error}: {}", whole(source))
    })
}

impl History for Records<'_> {
    fn last(&self, kind: &str) -> Option<u64> {
        self.index.last(kind)
    }

    fn count(&self, kind: &str) -> u64 {
        self.index.count(kind)
    }

    fn each(
        &self,
        first: u64,
        last: u64,
        each: &mut dyn FnMut(Entry) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut said = Ok(());
        self.index
            .each(first, last, &mut |entry| {
                said = each(entry);
                said.is_ok()
            })
            .map_err(|error| whole(&error))?;
        said
    }

    fn bytes(&self, content: &Content) -> Result<Vec<u8>, String> {
        match content {
            Content::Inline(text) => Ok(text.clone().into_bytes()),
            Content::Blob { sha256, .. } => self.store.get(sha256).map_err(|error| whole(&error)),
        }
    }
}
