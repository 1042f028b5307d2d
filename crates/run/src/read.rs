//! Reading a journal, also while another process writes it.

use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use agent::event::Entry;

use crate::error::{Error, io};
use crate::files;
use crate::header::Header;
use crate::lines::{self, Fault, Found, Lines, MAX_LINE};

/// Reads the journal of the run in `dir`, an event at a time. Memory is bounded by [`MAX_LINE`].
pub fn read(dir: &Path) -> Result<Reader, Error> {
    let header = Header::read(dir)?;
    let path = dir.join(crate::journal::NAME);
    let file = files::open(&path).map_err(io("open", &path))?;
    Ok(Reader {
        header,
        path,
        lines: Lines::new(file),
        failed: false,
        first: 1,
    })
}

/// The events of a run. At the end of the journal the iterator yields `None`, and events that were
/// recorded since when it is asked again. After an error it yields nothing more.
pub struct Reader {
    header: Header,
    path: PathBuf,
    lines: Lines,
    failed: bool,
    /// Events before this one are passed over.
    first: u64,
}

impl Reader {
    /// The run's header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes after the last event that are not an event yet: a write that goes on or was cut off.
    pub fn unfinished(&self) -> usize {
        if self.lines.line.ends_with(b"\n") {
            0
        } else {
            self.lines.line.len()
        }
    }

    /// Goes to line `number`, which begins at `start`, and passes over events before `first`.
    pub(crate) fn go_to(&mut self, number: u64, start: u64, first: u64) -> Result<(), Error> {
        let mut file = files::open(&self.path).map_err(io("open", &self.path))?;
        file.seek(SeekFrom::Start(start))
            .map_err(io("read", &self.path))?;
        self.lines = Lines::at(file, number, start);
        self.first = first;
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            match self.lines.advance().map_err(io("read", &self.path))? {
                Found::Tail => return Ok(None),
                Found::TooLong => return Err(too_long(&self.path, self.lines.number)),
                Found::Line if self.lines.number < self.first => {}
                Found::Line => {
                    return lines::entry(&self.lines.line, self.lines.number)
                        .map(Some)
                        .map_err(|fault| {
                            explain(fault, &self.path, self.lines.number, self.header.format)
                        });
                }
            }
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.advance();
        self.failed = next.is_err();
        next.transpose()
    }
}

/// The error for a line that is too long.
pub(crate) fn too_long(path: &Path, line: u64) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        line,
        reason: format!("it is longer than {MAX_LINE} bytes"),
    }
}

/// The error for a line that is wrong.
pub(crate) fn explain(fault: Fault, path: &Path, line: u64, format: u32) -> Error {
    let path = path.to_owned();
    match fault {
        Fault::NotJson(reason) | Fault::NotEvent(reason) => Error::Damaged { path, line, reason },
        Fault::Unknown(kind) => Error::UnknownEvent {
            path,
            line,
            kind,
            format,
        },
    }
}
