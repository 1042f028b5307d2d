//! Entries of an archive, in the one form in which they are written and read.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Fault, fault};

/// The unit that archives are made of, in bytes.
pub(crate) const BLOCK: usize = 512;
const CHUNK: usize = 128 << 10;

/// The header of a file: there is one for each name and length.
pub(crate) fn header(name: &str, bytes: u64) -> [u8; BLOCK] {
    let mut header = tar::Header::new_ustar();
    header
        .set_path(name)
        .expect("names are shorter than a header takes");
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes);
    header.set_cksum();
    *header.as_bytes()
}

/// Bytes that fill the last block.
fn padding(bytes: u64) -> usize {
    (BLOCK - (bytes % BLOCK as u64) as usize) % BLOCK
}

/// Writes a file that stands in memory.
pub(crate) fn put(out: &mut dyn Write, name: &str, bytes: &[u8]) -> io::Result<()> {
    out.write_all(&header(name, bytes.len() as u64))?;
    out.write_all(bytes)?;
    out.write_all(&[0; BLOCK][..padding(bytes.len() as u64)])
}

/// Writes a file of `bytes` bytes and gives its hash. One that has become shorter is an error.
pub(crate) fn put_file(
    out: &mut dyn Write,
    name: &str,
    bytes: u64,
    from: &mut dyn Read,
) -> io::Result<[u8; 32]> {
    out.write_all(&header(name, bytes))?;
    let mut hasher = Sha256::new();
    let mut left = bytes;
    let mut chunk = vec![0; CHUNK];
    while left > 0 {
        let most = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match from.read(&mut chunk[..most])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                hasher.update(&chunk[..read]);
                out.write_all(&chunk[..read])?;
                left -= read as u64;
            }
        }
    }
    out.write_all(&[0; BLOCK][..padding(bytes)])?;
    Ok(hasher.finalize().into())
}

/// Ends an archive.
pub(crate) fn end(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK])
}

/// What is left of an archive.
pub(crate) struct Rest<R> {
    from: R,
    /// Bytes that may still come.
    room: u64,
    limit: u64,
}

impl<R: Read> Rest<R> {
    pub(crate) fn new(from: R, limit: u64) -> Self {
        Rest {
            from,
            room: limit,
            limit,
        }
    }

    pub(crate) fn into_inner(self) -> R {
        self.from
    }

    fn failed(&self, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => fault(Fault::Form, "the bundle ends in the middle"),
            _ => fault(
                Fault::Form,
                format!("this is no bundle, or a damaged one: {error}"),
            ),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.room = self
            .room
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| too_large(self.limit))?;
        let read = self.from.read_exact(bytes);
        read.map_err(|error| self.failed(&error))
    }

    fn block(&mut self) -> Result<[u8; BLOCK], Error> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        Ok(block)
    }

    /// Reads the file `name`, whose length only its header tells, into memory.
    pub(crate) fn small(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let block = self.block()?;
        let bytes = tar::Header::from_byte_slice(&block)
            .entry_size()
            .map_err(|_| not(name))?;
        if bytes > limit {
            return Err(fault(
                Fault::TooLarge,
                format!("{name} has more than {limit} bytes"),
            ));
        }
        if block != header(name, bytes) {
            return Err(not(name));
        }
        let mut content = vec![0; bytes as usize];
        self.fill(&mut content)?;
        self.pad(bytes)?;
        Ok(content)
    }

    /// Copies the file `name`, which has `bytes` bytes, and gives its hash.
    pub(crate) fn file(
        &mut self,
        name: &str,
        bytes: u64,
        mut out: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<[u8; 32], Error> {
        if self.block()? != header(name, bytes) {
            return Err(not(name));
        }
        let mut hasher = Sha256::new();
        let mut left = bytes;
        let mut chunk = vec![0; CHUNK.min(bytes as usize)];
        while left > 0 {
            let most = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.fill(&mut chunk[..most])?;
            hasher.update(&chunk[..most]);
            out(&chunk[..most])?;
            left -= most as u64;
        }
        self.pad(bytes)?;
        Ok(hasher.finalize().into())
    }

    fn pad(&mut self, bytes: u64) -> Result<(), Error> {
        let mut rest = [0; BLOCK];
        let rest = &mut rest[..padding(bytes)];
        self.fill(rest)?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(fault(Fault::Form, "something stands between two files"));
        }
        Ok(())
    }

    /// There has to be the end of the archive, and nothing after it.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        if self.block()? != [0; BLOCK] || self.block()? != [0; BLOCK] {
            return Err(fault(
                Fault::Form,
                "the bundle holds more files than its manifest names",
            ));
        }
        match self.from.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(trailing()),
            Err(error) => Err(self.failed(&error)),
        }
    }
}

/// Something stands after the end.
pub(crate) fn trailing() -> Error {
    fault(Fault::Form, "something stands after the end of the bundle")
}

fn too_large(limit: u64) -> Error {
    fault(
        Fault::TooLarge,
        format!("the bundle unpacks to more than {limit} bytes"),
    )
}

fn not(name: &str) -> Error {
    fault(
        Fault::Form,
        format!("where {name} should stand is something else, or it is not written as bundles are"),
    )
}
