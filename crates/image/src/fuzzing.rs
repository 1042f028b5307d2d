//! Ways in for the fuzz targets, to what otherwise only reads what clients of registries have fetched.

use std::io::{self, Read};
use std::path::Path;

use crate::Result;
use crate::unpack::Limits;

/// Unpacks the archive of a root filesystem into an empty directory, within limits on bytes and entries.
///
/// # Errors
/// What is wrong with it.
pub fn unpack_root(archive: impl Read, root: &Path, bytes: u64, entries: u64) -> Result<()> {
    let limits = Limits { bytes, entries };
    crate::unpack::unpack(archive, root, limits, &mut |_, package| {
        drop(io::copy(package, &mut io::sink()));
        Ok(())
    })
}

/// Unpacks the compressed archive of a source package.
///
/// # Errors
/// What is wrong with it.
pub fn unpack_source(archive: &Path, to: &Path) -> Result<()> {
    crate::fetch::unpack(archive, to)
}

/// Whether a file is an ELF program.
///
/// # Errors
/// When it cannot be read.
pub fn is_program(path: &Path) -> io::Result<bool> {
    crate::elf::is_program(path)
}
