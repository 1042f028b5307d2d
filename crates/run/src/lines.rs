//! The lines of a journal, in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use agent::event::{Entry, Event};
use serde::Deserialize;

/// Longest line of a journal, in bytes.
pub const MAX_LINE: usize = 16 << 20;

/// A journal's lines, also while it grows.
pub(crate) struct Lines {
    reader: BufReader<File>,
    /// The line, or as much of it as there is.
    pub(crate) line: Vec<u8>,
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Where it begins.
    pub(crate) start: u64,
}

/// What [`Lines::advance`] came upon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A line that is complete.
    Line,
    /// The end of the file; what stands in [`Lines::line`] has no end yet.
    Tail,
    /// A line that is longer than any line may be.
    TooLong,
}

impl Lines {
    pub(crate) fn new(file: File) -> Self {
        Lines {
            reader: BufReader::with_capacity(128 << 10, file),
            line: Vec::new(),
            number: 1,
            start: 0,
        }
    }

    /// The lines of a file that stands at `start`, where line `number` begins.
    pub(crate) fn at(file: File, number: u64, start: u64) -> Self {
        Lines {
            number,
            start,
            ..Lines::new(file)
        }
    }

    /// Goes on to the next line, or further into one that was not complete.
    pub(crate) fn advance(&mut self) -> io::Result<Found> {
        if self.line.ends_with(b"\n") {
            self.start += self.line.len() as u64;
            self.number += 1;
            self.line.clear();
            self.line.shrink_to(1 << 20);
        }
        let room = (MAX_LINE + 1).saturating_sub(self.line.len());
        (&mut self.reader)
            .take(room as u64)
            .read_until(b'\n', &mut self.line)?;
        Ok(match self.line.last() {
            Some(b'\n') => Found::Line,
            _ if self.line.len() > MAX_LINE => Found::TooLong,
            _ => Found::Tail,
        })
    }
}

/// The part of a line that every event has.
#[derive(Deserialize)]
pub(crate) struct Head<'a> {
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) batch: Option<u64>,
    #[serde(rename = "type", borrow)]
    pub(crate) kind: std::borrow::Cow<'a, str>,
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not JSON: what a write that was cut off may leave.
    NotJson(String),
    /// It is JSON and not an event.
    NotEvent(String),
    /// It is an event of a type that is not known.
    Unknown(String),
}

impl Fault {
    fn of(error: &serde_json::Error) -> Self {
        if error.is_data() {
            Fault::NotEvent(error.to_string())
        } else {
            Fault::NotJson(error.to_string())
        }
    }
}

/// Checks what can be checked at the speed of the disk: that the line is JSON, in its place, and of a known type.
pub(crate) fn head(line: &[u8], number: u64) -> Result<Head<'_>, Fault> {
    let text = std::str::from_utf8(line).map_err(|error| Fault::NotJson(error.to_string()))?;
    let head: Head = serde_json::from_str(text).map_err(|error| Fault::of(&error))?;
    if head.seq != number {
        return Err(Fault::NotEvent(format!(
            "its sequence number is {}, not {number}",
            head.seq
        )));
    }
    if !Event::TYPES.contains(&head.kind.as_ref()) {
        return Err(Fault::Unknown(head.kind.into_owned()));
    }
    Ok(head)
}

/// The same of a line that may stand anywhere.
pub(crate) fn any_head(line: &[u8]) -> Result<Head<'_>, Fault> {
    let text = std::str::from_utf8(line).map_err(|error| Fault::NotJson(error.to_string()))?;
    serde_json::from_str(text).map_err(|error| Fault::of(&error))
}

/// Reads a line whole.
pub(crate) fn entry(line: &[u8], number: u64) -> Result<Entry, Fault> {
    match serde_json::from_slice::<Entry>(line) {
        Ok(entry) if entry.seq == number => Ok(entry),
        // A look at the head tells the more exact reason.
        Ok(entry) => Err(head(line, number)
            .err()
            .unwrap_or(Fault::NotEvent(format!("{} again", entry.seq)))),
        Err(error) => Err(head(line, number).err().unwrap_or(Fault::of(&error))),
    }
}
