//! What events refer to, as much of it as is shown: in bounded memory, however long it is.

use std::io::{self, Write};

use agent::event::{Content, Digest};
use run::{Error, Store};

/// Of a longer content the beginning alone is read, in bytes.
const LONGEST_READ: u64 = 64 << 20;

/// The beginning and the end of a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// The beginning, or all of it.
    pub(crate) head: Vec<u8>,
    /// The end, when something between is left out.
    pub(crate) tail: Vec<u8>,
    /// Length of the whole.
    pub(crate) bytes: u64,
    /// Bytes that are left out.
    pub(crate) left_out: u64,
    /// Hash of the whole, where it is kept as a blob.
    pub(crate) sha256: Option<Digest>,
    /// Why nothing of it can be shown.
    pub(crate) missing: Option<String>,
}

impl Excerpt {
    fn absent(bytes: u64, sha256: Digest, why: String) -> Self {
        Excerpt {
            head: Vec::new(),
            tail: Vec::new(),
            bytes,
            left_out: bytes,
            sha256: Some(sha256),
            missing: Some(why),
        }
    }

    /// At most `most` bytes of a text that is there.
    pub(crate) fn of(bytes: &[u8], most: u64) -> Self {
        let mut ends = Ends::new(most);
        ends.take(bytes);
        ends.finish(None)
    }

    /// All of it, where nothing is left out.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        (self.missing.is_none() && self.left_out == 0).then_some(&self.head[..])
    }
}

/// At most `most` bytes of a content.
pub(crate) fn excerpt(store: &Store, content: &Content, most: u64) -> Excerpt {
    match content {
        Content::Inline(text) => Excerpt::of(text.as_bytes(), most),
        Content::Blob { sha256, bytes } => blob(store, sha256, *bytes, most),
    }
}

/// At most `most` bytes of a blob that is said to have `bytes`.
pub(crate) fn blob(store: &Store, sha256: &Digest, bytes: u64, most: u64) -> Excerpt {
    let mut ends = Ends::new(most);
    match store.copy(sha256, &mut ends) {
        Ok(_) => ends.finish(Some(*sha256)),
        Err(_) if ends.read > LONGEST_READ => {
            ends.tail.clear();
            let mut excerpt = ends.finish(Some(*sha256));
            excerpt.bytes = bytes.max(excerpt.bytes);
            excerpt.left_out = excerpt.bytes.saturating_sub(excerpt.head.len() as u64);
            excerpt
        }
        Err(Error::NoContent { .. }) => Excerpt::absent(
            bytes,
            *sha256,
            "not stored with the run, as files that the task provides are not".to_owned(),
        ),
        Err(error) => Excerpt::absent(bytes, *sha256, damage(&error)),
    }
}

/// What is wrong with a stored content, without the path of a machine that the reader does not know.
fn damage(error: &Error) -> String {
    match error {
        Error::DamagedContent { reason, .. } => format!("damaged: {reason}"),
        Error::Io { source, .. } => format!("cannot be read: {source}"),
        _ => "cannot be read".to_owned(),
    }
}

/// Keeps the beginning and the end of what is written to it.
struct Ends {
    most: usize,
    head: Vec<u8>,
    /// At most twice as much as is kept of the end.
    tail: Vec<u8>,
    read: u64,
}

impl Ends {
    fn new(most: u64) -> Self {
        Ends {
            most: most as usize,
            head: Vec::new(),
            tail: Vec::new(),
            read: 0,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.read += bytes.len() as u64;
        let room = self.most - self.head.len();
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(head);
        self.tail.extend_from_slice(rest);
        let kept = self.most / 2;
        if self.tail.len() > 2 * kept + 4096 {
            self.tail.drain(..self.tail.len() - kept);
        }
    }

    fn finish(mut self, sha256: Option<Digest>) -> Excerpt {
        if self.read > self.most as u64 {
            let kept = self.most / 2;
            self.tail = [&self.head[kept..], &self.tail].concat();
            self.tail.drain(..self.tail.len() - kept);
            self.head.truncate(kept);
            trim(&mut self.head, &mut self.tail);
        }
        let left_out = self.read - (self.head.len() + self.tail.len()) as u64;
        Excerpt {
            head: self.head,
            tail: self.tail,
            bytes: self.read,
            left_out,
            sha256,
            missing: None,
        }
    }
}

impl Write for Ends {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.read > LONGEST_READ {
            return Err(io::Error::other("long enough"));
        }
        self.take(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Leaves out the halves of characters at a cut.
fn trim(head: &mut Vec<u8>, tail: &mut Vec<u8>) {
    if let Some(last) = head.utf8_chunks().last()
        && !last.invalid().is_empty()
        && last.invalid().len() < 4
    {
        head.truncate(head.len() - last.invalid().len());
    }
    let inner = tail
        .iter()
        .take(3)
        .take_while(|byte| **byte & 0xc0 == 0x80)
        .count();
    tail.drain(..inner);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &[u8], most: u64, step: usize) -> Excerpt {
        let mut ends = Ends::new(most);
        for chunk in text.chunks(step) {
            ends.take(chunk);
        }
        ends.finish(None)
    }

    #[test]
    fn both_ends_stay() {
        let text: Vec<u8> = (0..20_000_u32).flat_map(|n| n.to_be_bytes()).collect();
        for step in [1, 7, 4096, 100_000] {
            for most in [0, 10, 1000, 79_999, 80_000] {
                let excerpt = ends(&text, most, step);
                assert!(text.starts_with(&excerpt.head) && text.ends_with(&excerpt.tail));
                assert_eq!(excerpt.bytes, 80_000);
                let shown = (excerpt.head.len() + excerpt.tail.len()) as u64;
                assert_eq!(shown + excerpt.left_out, 80_000);
                assert!(shown <= most && shown + 8 >= most, "{shown} of {most}");
            }
        }
        assert_eq!(ends(b"abc", 3, 1).whole(), Some(&b"abc"[..]));
        assert_eq!(ends(b"abcd", 3, 1).whole(), None);
    }

    #[test]
    fn characters_are_not_cut_in_half() {
        let excerpt = ends("é".repeat(100).as_bytes(), 11, 3);
        assert_eq!((excerpt.head.len(), excerpt.tail.len()), (4, 4));
        assert!(String::from_utf8(excerpt.head).is_ok() && String::from_utf8(excerpt.tail).is_ok());
    }
}
