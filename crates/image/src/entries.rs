//! The entries of an archive, one after the other, with a bound on what stands between them.

use std::cell::Cell;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use tar::{Archive, Entry};

use crate::Result;
use crate::error::Context;

/// Most bytes of the headers of one entry. Long names and attributes stand in headers of any length, which are read into
/// memory before anybody sees them: compressed, a few kilobytes could become gigabytes. The kernel takes paths of 4 KiB.
const MOST_HEADERS: u64 = 1 << 20;

/// A reader that gives no more than is left.
pub(crate) struct Bounded<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the headers of an entry have more than {MOST_HEADERS} bytes"),
            ));
        }
        let room = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.inner.read(&mut buffer[..room])?;
        self.left.set(left - count as u64);
        Ok(count)
    }
}

/// Hands over each entry of an archive; `place` is named when it cannot be read.
pub(crate) fn each<R: Read>(
    input: R,
    place: &Path,
    mut take: impl FnMut(&mut Entry<'_, Bounded<R>>) -> Result<()>,
) -> Result<()> {
    let left = Rc::new(Cell::new(MOST_HEADERS));
    let mut archive = Archive::new(Bounded {
        inner: input,
        left: Rc::clone(&left),
    });
    let entries = archive.entries().context("read the archive for", place)?;
    for entry in entries {
        let mut entry = entry.context("read the archive for", place)?;
        left.set(u64::MAX);
        take(&mut entry)?;
        let header = entry.header();
        if header.entry_type().is_gnu_sparse() {
            // Its content may be any length of zeros, and what is stored of it is passed over on the way on.
            let stored = header.entry_size().unwrap_or_default();
            left.set(MOST_HEADERS.saturating_add(stored));
        } else {
            io::copy(&mut entry, &mut io::sink()).context("read the archive for", place)?;
            left.set(MOST_HEADERS);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive with a name of so many bytes, and one more entry.
    fn archive(length: u64, kind: tar::EntryType) -> impl Read {
        let header = |kind, size| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(size);
            header.set_path("name").unwrap();
            header.set_mode(0o644);
            header.set_cksum();
            io::Cursor::new(header.as_bytes().to_vec())
        };
        let padded = length.div_ceil(512) * 512;
        header(kind, length)
            .chain(io::repeat(b'a').take(padded))
            .chain(header(tar::EntryType::Regular, 1))
            .chain(io::repeat(b'a').take(512))
            .chain(io::repeat(0).take(1024))
    }

    fn names(archive: impl Read) -> Result<Vec<usize>> {
        let mut names = Vec::new();
        each(archive, Path::new("there"), |entry| {
            names.push(entry.path_bytes().len());
            Ok(())
        })?;
        Ok(names)
    }

    #[test]
    fn long_names_are_read_and_endless_ones_are_not() {
        let long = tar::EntryType::GNULongName;
        assert_eq!(names(archive(3000, long)).unwrap(), [3000]);
        for kind in [long, tar::EntryType::XHeader, tar::EntryType::GNULongLink] {
            let error = names(archive(1 << 40, kind)).unwrap_err();
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let text = format!("{error} {source:?}");
            assert!(text.contains("headers of an entry"), "{text}");
        }
    }

    #[test]
    fn content_may_be_longer_than_headers() {
        let kind = tar::EntryType::Regular;
        assert_eq!(names(archive(3 << 20, kind)).unwrap(), [4, 4]);
    }
}
