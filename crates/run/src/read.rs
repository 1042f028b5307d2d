//! Reading a journal, also while another process writes it.

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
    })
}

/// The events of a run. At the end of the journal the iterator yields `None`, and events that were
/// recorded since when it is asked again. After an error it yields nothing more.
pub struct Reader {
    header: Header,
    path: PathBuf,
    lines: Lines,
    failed: bool,
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

    fn advance(&mut self) -> Result<Option<Entry>, Error> {
        match self.lines.advance().map_err(io("read", &self.path))? {
            Found::Tail => Ok(None),
            Found::TooLong => Err(too_long(&self.path, self.lines.number)),
            Found::Line => lines::entry(&self.lines.line, self.lines.number)
                .map(Some)
                .map_err(|fault| explain(fault, &self.path, self.lines.number, self.header.format)),
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
