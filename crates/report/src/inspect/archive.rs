//! A ZIP archive of deflated entries, written in one pass (APPNOTE 6.3.10, without ZIP64).

use std::io::{self, Seek, SeekFrom, Write};

use flate2::write::DeflateEncoder;
use flate2::{Compression, CrcWriter};

/// Entries are named in UTF-8 and deflated.
const VERSION: u16 = 20;
const UTF8: u16 = 1 << 11;
const DEFLATED: u16 = 8;
/// 1 January 1980, midnight: the same content is the same bytes.
const DATE: u16 = (1 << 5) | 1;

struct Entry {
    name: String,
    crc: u32,
    packed: u32,
    size: u32,
    at: u32,
}

/// An archive that is being written.
pub(super) struct Archive<W: Write + Seek> {
    out: W,
    entries: Vec<Entry>,
}

fn number(value: u64) -> io::Result<u32> {
    u32::try_from(value)
        .ok()
        .filter(|value| *value < u32::MAX)
        .ok_or_else(|| {
            io::Error::other("the run is longer than 4 GiB, which this format does not hold")
        })
}

impl<W: Write + Seek> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Archive {
            out,
            entries: Vec::new(),
        }
    }

    /// Adds an entry of what `write` writes.
    pub(super) fn add<E: From<io::Error>>(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let at = self.out.stream_position()?;
        let mut entry = Entry {
            name: name.to_owned(),
            crc: 0,
            packed: 0,
            size: 0,
            at: number(at)?,
        };
        // Its checksum and lengths are known afterwards.
        self.head(&entry)?;
        let begin = self.out.stream_position()?;
        let mut counted =
            CrcWriter::new(DeflateEncoder::new(&mut self.out, Compression::default()));
        write(&mut counted)?;
        entry.crc = counted.crc().sum();
        let deflater = counted.into_inner();
        entry.size = number(deflater.total_in())?;
        deflater.finish()?;
        let end = self.out.stream_position()?;
        entry.packed = number(end - begin)?;
        self.out.seek(SeekFrom::Start(at))?;
        self.head(&entry)?;
        self.out.seek(SeekFrom::Start(end))?;
        self.entries.push(entry);
        Ok(())
    }

    fn head(&mut self, entry: &Entry) -> io::Result<()> {
        let mut head = b"PK\x03\x04".to_vec();
        entry.facts(&mut head);
        head.extend_from_slice(&0_u16.to_le_bytes());
        head.extend_from_slice(entry.name.as_bytes());
        self.out.write_all(&head)
    }

    /// Writes the directory of entries.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let begin = self.out.stream_position()?;
        let mut directory = Vec::new();
        for entry in &self.entries {
            directory.extend_from_slice(b"PK\x01\x02");
            directory.extend_from_slice(&VERSION.to_le_bytes());
            entry.facts(&mut directory);
            // No extra field, no comment, first disk, no attributes.
            directory.extend_from_slice(&[0; 12]);
            directory.extend_from_slice(&entry.at.to_le_bytes());
            directory.extend_from_slice(entry.name.as_bytes());
        }
        let (count, length) = (self.entries.len() as u16, directory.len() as u64);
        directory.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        directory.extend_from_slice(&count.to_le_bytes());
        directory.extend_from_slice(&count.to_le_bytes());
        directory.extend_from_slice(&number(length)?.to_le_bytes());
        directory.extend_from_slice(&number(begin)?.to_le_bytes());
        directory.extend_from_slice(&0_u16.to_le_bytes());
        self.out.write_all(&directory)?;
        self.out.flush()
    }
}

impl Entry {
    /// What both heads of an entry say, up to the length of its name.
    fn facts(&self, head: &mut Vec<u8>) {
        for word in [VERSION, UTF8, DEFLATED, 0, DATE] {
            head.extend_from_slice(&word.to_le_bytes());
        }
        for word in [self.crc, self.packed, self.size] {
            head.extend_from_slice(&word.to_le_bytes());
        }
        head.extend_from_slice(&(self.name.len() as u16).to_le_bytes());
    }
}
