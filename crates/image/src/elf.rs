//! Which files are ELF programs, and which are libraries or objects.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const EXECUTABLE: u16 = 2;
const SHARED: u16 = 3;
const SEGMENT_DYNAMIC: u64 = 2;
const SEGMENT_INTERPRETER: u64 = 3;
const TAG_SONAME: u64 = 14;
const TAG_FLAGS_1: u64 = 0x6fff_fffb;
const FLAG_PIE: u64 = 0x0800_0000;

/// Whether the file is a program for this or another machine: what the kernel would start.
///
/// A shared library is not one, even where it can be started as `libc.so.6` can: a library has a name of its own
/// (`DT_SONAME`), a position-independent program has an interpreter or says that it is one. The loader is a library
/// in this sense. A file too short or damaged to tell is not one, since the kernel would not start it either.
pub(crate) fn is_program(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    match read(&file) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        other => other,
    }
}

/// Fills a buffer from a place in the file, which may lie where no file has any.
fn fill(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    let end = at.saturating_add(buffer.len() as u64);
    if i64::try_from(end).is_err() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    file.read_exact_at(buffer, at)
}

fn read(file: &File) -> io::Result<bool> {
    let mut head = [0; 64];
    let wide = {
        fill(file, &mut head[..52], 0)?;
        if head[..4] != *b"\x7fELF" {
            return Ok(false);
        }
        if head[5] != 1 {
            // Big-endian: no machine that this runs on starts it, so only its declared type counts.
            return Ok(u16::from_be_bytes([head[16], head[17]]) == EXECUTABLE);
        }
        head[4] == 2
    };
    if wide {
        fill(file, &mut head, 0)?;
    }
    match number(&head, 16, 2) as u16 {
        EXECUTABLE => return Ok(true),
        SHARED => (),
        _ => return Ok(false),
    }
    let (table, size, count) = if wide {
        (
            number(&head, 32, 8),
            number(&head, 54, 2),
            number(&head, 56, 2),
        )
    } else {
        (
            number(&head, 28, 4),
            number(&head, 42, 2),
            number(&head, 44, 2),
        )
    };
    let (mut interpreter, mut named, mut pie) = (false, false, false);
    let mut dynamic = false;
    for index in 0..count {
        let mut entry = [0; 56];
        let entry = &mut entry[..if wide { 56 } else { 32 }];
        fill(file, entry, table.saturating_add(index * size))?;
        match number(entry, 0, 4) {
            SEGMENT_INTERPRETER => interpreter = true,
            // A file has one. A damaged header that says otherwise, up to 65,535 times, is not worth the time.
            SEGMENT_DYNAMIC if !std::mem::replace(&mut dynamic, true) => {
                let (at, length) = if wide {
                    (number(entry, 8, 8), number(entry, 32, 8))
                } else {
                    (number(entry, 4, 4), number(entry, 16, 4))
                };
                // A dynamic section is a few hundred bytes; the bound keeps a damaged header from costing memory.
                let mut section = vec![0; length.min(1 << 16) as usize];
                fill(file, &mut section, at)?;
                let word = if wide { 8 } else { 4 };
                for pair in section.chunks_exact(2 * word) {
                    match number(pair, 0, word) {
                        TAG_SONAME => named = true,
                        TAG_FLAGS_1 if number(pair, word, word) & FLAG_PIE != 0 => pie = true,
                        _ => (),
                    }
                }
            }
            _ => (),
        }
    }
    Ok(pie || (interpreter && !named))
}

/// The little-endian number of `size` bytes at `at`.
fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes[at..at + size]
        .iter()
        .rev()
        .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// Just enough of ELF files for the tests of this crate.
#[cfg(test)]
pub(crate) mod fake {
    use super::*;

    /// A 64-bit file of that type with an interpreter, a library name or the flag of a program.
    pub(crate) fn elf(kind: u16, interpreter: bool, named: bool, pie: bool) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[16..18].copy_from_slice(&kind.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 2;
        let mut segment = |kind: u64, at: u64, length: u64| {
            let mut entry = [0; 56];
            entry[..4].copy_from_slice(&(kind as u32).to_le_bytes());
            entry[8..16].copy_from_slice(&at.to_le_bytes());
            entry[32..40].copy_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&entry);
        };
        segment(if interpreter { SEGMENT_INTERPRETER } else { 1 }, 0, 0);
        segment(SEGMENT_DYNAMIC, 64 + 2 * 56, 32);
        for (tag, value) in [
            (if named { TAG_SONAME } else { 1 }, 1),
            (TAG_FLAGS_1, if pie { FLAG_PIE } else { 0 }),
        ] {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&u64::to_le_bytes(value));
        }
        bytes
    }

    /// A position-independent program.
    pub(crate) fn program() -> Vec<u8> {
        elf(SHARED, true, false, true)
    }

    /// A shared library.
    pub(crate) fn library() -> Vec<u8> {
        elf(SHARED, false, true, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_libraries_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let check = |bytes: &[u8], expected: bool, what: &str| {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(is_program(&path).unwrap(), expected, "{what}");
        };
        check(
            &fake::elf(EXECUTABLE, false, false, false),
            true,
            "static program",
        );
        check(
            &fake::elf(SHARED, true, false, true),
            true,
            "position-independent program",
        );
        check(
            &fake::elf(SHARED, true, false, false),
            true,
            "the same, by an old linker",
        );
        check(
            &fake::elf(SHARED, false, false, true),
            true,
            "static position-independent program",
        );
        check(
            &fake::elf(SHARED, true, true, false),
            false,
            "library with an interpreter, as libc.so.6",
        );
        check(&fake::library(), false, "library");
        check(
            &fake::elf(SHARED, false, false, false),
            false,
            "plugin without a name",
        );
        check(&fake::elf(1, false, false, false), false, "object");
        check(&fake::program()[..100], false, "cut off");
        check(b"#!/bin/sh\n", false, "script");
        check(b"", false, "empty");
    }

    #[test]
    fn places_that_no_file_has_are_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        // The table of segments, and where the dynamic section is.
        for at in [32, 64 + 56 + 8] {
            for place in [u64::MAX, 1 << 63, i64::MAX as u64] {
                let mut bytes = fake::program();
                bytes[at..at + 8].copy_from_slice(&place.to_le_bytes());
                std::fs::write(&path, &bytes).unwrap();
                assert!(!is_program(&path).unwrap(), "{place:#x} at {at}");
            }
        }
    }

    #[test]
    fn a_header_that_repeats_itself_costs_no_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut bytes = fake::elf(SHARED, false, false, false);
        // 65,535 segments, each the same: a dynamic section of 64 KiB.
        bytes[54..58].copy_from_slice(&[0, 0, 0xff, 0xff]);
        bytes[64..68].copy_from_slice(&(SEGMENT_DYNAMIC as u32).to_le_bytes());
        bytes[64 + 32..64 + 40].copy_from_slice(&(1_u64 << 16).to_le_bytes());
        bytes.resize(1 << 17, 0);
        std::fs::write(&path, &bytes).unwrap();
        let begun = std::time::Instant::now();
        assert!(!is_program(&path).unwrap());
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    }

    #[test]
    fn this_test_is_a_program() {
        assert!(is_program(&std::env::current_exe().unwrap()).unwrap());
    }
}
