//! Answers, kept as they come.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use model::{Stop, Usage};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The format of entries.
const FORMAT: u32 = 1;

/// What a model answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answered {
    /// It answered.
    Text {
        /// In these words.
        text: String,
        /// And ended so.
        stop: Stop,
    },
    /// It would not, or its provider would not let it.
    Refused(String),
}

/// One entry: a question, its answer, and what that cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Version of the format.
    pub format: u32,
    /// Digest of what was asked.
    pub question: String,
    /// Which model.
    pub model: String,
    /// Name of the target, or of other sources.
    pub target: String,
    /// The file.
    pub path: String,
    /// The function.
    pub function: String,
    /// The answer.
    pub answer: Answered,
    /// Tokens of the answer.
    pub usage: Usage,
    /// What everything may have cost that led to it, failed attempts among it, in nanodollars; `None` where no price is
    /// known.
    pub nanodollars: Option<u64>,
}

impl Kept {
    /// An entry of this program's format.
    pub fn new(question: String, model: &str, target: &str, path: &str, function: &str) -> Self {
        Kept {
            format: FORMAT,
            question,
            model: model.to_owned(),
            target: target.to_owned(),
            path: path.to_owned(),
            function: function.to_owned(),
            answer: Answered::Refused(String::new()),
            usage: Usage::default(),
            nanodollars: None,
        }
    }
}

/// The answers of a screen. While it is open no other process opens it for writing.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Option<File>,
    entries: HashMap<String, Kept>,
    /// Bytes at the end that were no whole entry, and were cut off.
    pub torn: u64,
}

impl Journal {
    /// Opens a journal for writing, or begins one.
    ///
    /// # Errors
    /// [`Error::Held`] while another process has it, [`Error::Line`] for a line that is no entry: all but the last,
    /// which may have been cut off while it was written.
    pub fn open(path: &Path) -> Result<Journal, Error> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(Error::at(path))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            match std::io::Error::from(error) {
                error if error.kind() == ErrorKind::WouldBlock => Error::Held {
                    path: path.to_owned(),
                },
                error => Error::at(path)(error),
            }
        })?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(Error::at(path))?;
        let whole = text
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |end| end + 1);
        let entries = parse(path, &text[..whole])?;
        file.set_len(whole as u64).map_err(Error::at(path))?;
        file.seek(SeekFrom::End(0)).map_err(Error::at(path))?;
        Ok(Journal {
            path: path.to_owned(),
            file: Some(file),
            entries,
            torn: (text.len() - whole) as u64,
        })
    }

    /// Reads a journal that somebody else wrote.
    ///
    /// # Errors
    /// As [`Journal::open`], but that nobody has to let go of it.
    pub fn read(path: &Path) -> Result<Journal, Error> {
        let text = std::fs::read(path).map_err(Error::at(path))?;
        let whole = text
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |end| end + 1);
        Ok(Journal {
            path: path.to_owned(),
            file: None,
            entries: parse(path, &text[..whole])?,
            torn: (text.len() - whole) as u64,
        })
    }

    /// The answer to a question.
    pub fn get(&self, question: &str) -> Option<&Kept> {
        self.entries.get(question)
    }

    /// All entries, in no order.
    pub fn entries(&self) -> impl Iterator<Item = &Kept> {
        self.entries.values()
    }

    /// Adds an answer. It is on disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, kept: Kept) -> Result<(), Error> {
        if let Some(file) = &mut self.file {
            let mut line = serde_json::to_vec(&kept)
                .map_err(|error| Error::at(&self.path)(std::io::Error::other(error)))?;
            line.push(b'\n');
            file.write_all(&line)
                .and_then(|()| file.sync_data())
                .map_err(Error::at(&self.path))?;
        }
        self.entries.insert(kept.question.clone(), kept);
        Ok(())
    }
}

fn parse(path: &Path, text: &[u8]) -> Result<HashMap<String, Kept>, Error> {
    let mut entries = HashMap::new();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let wrong = |what: String| Error::Line {
            path: path.to_owned(),
            line: index + 1,
            what,
        };
        let kept: Kept = serde_json::from_slice(line).map_err(|error| wrong(error.to_string()))?;
        if kept.format != FORMAT {
            return Err(wrong(format!(
                "an answer of format {}, of which this program knows {FORMAT} alone",
                kept.format
            )));
        }
        entries.insert(kept.question.clone(), kept);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(question: &str) -> Kept {
        Kept {
            answer: Answered::Text {
                text: "```c\nint f;\n```".to_owned(),
                stop: Stop::End,
            },
            nanodollars: Some(7),
            ..Kept::new(question.to_owned(), "a/m", "gron", "a.c", "f")
        }
    }

    #[test]
    fn answers_are_there_after_a_crash_and_half_of_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("answers.jsonl");
        let mut journal = Journal::open(&path).unwrap();
        journal.push(kept("one")).unwrap();
        assert!(matches!(Journal::open(&path), Err(Error::Held { .. })));
        drop(journal);
        let mut text = std::fs::read(&path).unwrap();
        let whole = text.len();
        text.extend_from_slice(b"{\"format\":1,\"quest");
        std::fs::write(&path, &text).unwrap();
        assert_eq!(Journal::read(&path).unwrap().torn, 18);
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.torn, 18);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), whole as u64);
        assert_eq!(journal.get("one"), Some(&kept("one")));
        journal.push(kept("two")).unwrap();
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.entries().count(), 2);
        drop(journal);
        std::fs::write(&path, "{}\n").unwrap();
        let error = Journal::open(&path).unwrap_err().to_string();
        assert!(error.contains(":1: missing field"), "{error}");
    }
}
