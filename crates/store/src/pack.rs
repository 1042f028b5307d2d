//! Files into objects: small ones together, large ones in pieces.
//!
//! Where a row of small files is cut depends on their content alone, so that directories that share most of their files
//! (the task of all runs of one target, images that differ in one program) share most of their objects.

use std::io::{ErrorKind, Read};
use std::sync::Arc;

use md5::{Digest as _, Md5};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result, io};
use crate::hash::{Hash, hex};
use crate::listing::{LeftOut, Listing, MAX_OBJECT, Node, Object, Part};
use crate::scan::{Found, Scan, Source, open, path};

/// Files of at least so many bytes have objects of their own.
const LARGE: u64 = 1 << 20;
/// Their pieces have so many bytes; little in tests, which are not optimized.
const PIECE: u64 = if cfg!(test) {
    256 << 10
} else {
    MAX_OBJECT as u64
};
/// A row of small files is cut at the latest when it has so many bytes.
const ROW: usize = 8 << 20;
/// A row is cut after one file of so many.
const CUT: u8 = 64;
const LEVEL: i32 = 3;

/// What is stored of an object.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) object: Object,
    /// Compressed.
    pub(crate) stored: Arc<[u8]>,
    /// As servers say it.
    pub(crate) md5: String,
}

/// Compresses and names the bytes of an object.
pub(crate) fn pack(raw: &[u8]) -> std::io::Result<Packed> {
    let stored: Arc<[u8]> = zstd::bulk::compress(raw, LEVEL)?.into();
    Ok(Packed {
        object: Object {
            sha256: Hash::of(&stored),
            bytes: stored.len() as u64,
            raw: raw.len() as u64,
        },
        md5: hex(&Md5::digest(&stored)),
        stored,
    })
}

/// The bytes of an object, as large as it says.
pub(crate) fn unpack(object: &Object, stored: &[u8]) -> std::result::Result<Vec<u8>, String> {
    if stored.len() as u64 != object.bytes {
        return Err(format!(
            "it has {} bytes instead of {}",
            stored.len(),
            object.bytes
        ));
    }
    let found = Hash::of(stored);
    if found != object.sha256 {
        return Err(format!("its SHA-256 is {found}"));
    }
    // One byte more, so that one that is too large is found out and not cut off.
    let room = usize::try_from(object.raw).map_err(|error| error.to_string())? + 1;
    let raw = zstd::bulk::decompress(stored, room).map_err(|error| error.to_string())?;
    if raw.len() as u64 != object.raw {
        return Err(format!(
            "{} bytes come out of it instead of {}",
            raw.len(),
            object.raw
        ));
    }
    Ok(raw)
}

/// Cuts the files of a directory into objects, which are handed to `take` in order; the listing's own list of objects is
/// left empty.
pub(crate) fn cut(
    source: Source<'_>,
    scan: &Scan,
    take: &mut dyn FnMut(Vec<u8>) -> Result<()>,
) -> Result<(Listing, Vec<LeftOut>)> {
    let mut cutter = Cutter {
        take,
        number: 0,
        row: Vec::new(),
    };
    let mut listing = Listing::default();
    let mut left_out = scan.left_out.clone();
    for (below, found) in &scan.found {
        let node = match found {
            Found::Directory { mode } => Node::Directory { mode: *mode },
            Found::Link { to } => Node::Link { to: to.clone() },
            Found::File { mode, stamp } => match cutter.file(source, below, stamp.bytes)? {
                Some((bytes, sha256, parts)) => Node::File {
                    mode: *mode,
                    bytes,
                    sha256,
                    parts,
                },
                None => {
                    left_out.push(LeftOut {
                        path: String::from_utf8_lossy(below).into_owned(),
                        why: "it may not be read".to_owned(),
                    });
                    continue;
                }
            },
        };
        listing.entries.insert(below.clone(), node);
    }
    cutter.end_row()?;
    Ok((listing, left_out))
}

struct Cutter<'a> {
    take: &'a mut dyn FnMut(Vec<u8>) -> Result<()>,
    /// Of the object that is being filled.
    number: u32,
    row: Vec<u8>,
}

impl Cutter<'_> {
    fn give(&mut self, raw: Vec<u8>) -> Result<()> {
        (self.take)(raw)?;
        self.number += 1;
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        let row = std::mem::take(&mut self.row);
        if row.is_empty() {
            return Ok(());
        }
        self.give(row)
    }

    fn file(
        &mut self,
        source: Source<'_>,
        below: &[u8],
        expected: u64,
    ) -> Result<Option<(u64, Hash, Vec<Part>)>> {
        let host = path(source.dir, below);
        let Some(file) = open(&host)? else {
            return Ok(None);
        };
        // A byte more than it should have shows that it grows; what a directory holds is compared again at the end.
        let mut file = file.take(expected + 1);
        let mut hasher = Sha256::new();
        let mut parts = Vec::new();
        let mut bytes = 0;
        if expected >= LARGE {
            self.end_row()?;
        }
        loop {
            let mut piece = Vec::new();
            let most = PIECE.min(expected + 1);
            match file.by_ref().take(most).read_to_end(&mut piece) {
                Ok(0) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.map_err(io("read", &host))?,
            };
            hasher.update(&piece);
            bytes += piece.len() as u64;
            if bytes > expected {
                return Err(Error::Local {
                    path: host,
                    reason: "it is being written".to_owned(),
                });
            }
            let length = piece.len() as u64;
            if expected >= LARGE {
                parts.push((self.number, 0, length));
                self.give(piece)?;
            } else {
                if self.row.len() + piece.len() > ROW {
                    self.end_row()?;
                }
                parts.push((self.number, self.row.len() as u64, length));
                self.row.extend_from_slice(&piece);
            }
        }
        let sha256 = Hash(hasher.finalize().into());
        if sha256.0[0].is_multiple_of(CUT) && expected < LARGE && bytes > 0 {
            self.end_row()?;
        }
        Ok(Some((bytes, sha256, parts)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::listing::Kind;
    use crate::scan::scan;

    fn objects(dir: &Path) -> (Vec<Vec<u8>>, Listing) {
        let source = Source {
            kind: Kind::Run,
            id: "a",
            dir,
        };
        let mut all = Vec::new();
        let found = scan(source).unwrap();
        let (listing, left_out) = cut(source, &found, &mut |raw| {
            all.push(raw);
            Ok(())
        })
        .unwrap();
        assert!(left_out.is_empty(), "{left_out:?}");
        (all, listing)
    }

    #[test]
    fn every_file_is_where_its_pieces_say() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("blobs/aa")).unwrap();
        fs::create_dir(dir.path().join("tmp")).unwrap();
        fs::write(dir.path().join("tmp/scratch"), "x").unwrap();
        for number in 0..300u32 {
            let content = number.to_le_bytes().repeat(number as usize);
            fs::write(dir.path().join(format!("blobs/aa/{number}")), content).unwrap();
        }
        let large: Vec<u8> = (0..400_000u32).flat_map(u32::to_le_bytes).collect();
        fs::write(dir.path().join("journal.jsonl"), &large).unwrap();
        let (all, listing) = objects(dir.path());
        assert_eq!(listing.files(), 301);
        assert!(all.len() > 3 && all.len() < 60, "{}", all.len());
        for (below, node) in &listing.entries {
            let Node::File { parts, sha256, .. } = node else {
                continue;
            };
            let content: Vec<u8> = parts
                .iter()
                .flat_map(|(object, offset, length)| {
                    let raw = &all[*object as usize];
                    raw[*offset as usize..(*offset + *length) as usize].to_vec()
                })
                .collect();
            assert_eq!(content, fs::read(path(dir.path(), below)).unwrap());
            assert_eq!(*sha256, Hash::of(&content));
        }
    }

    #[test]
    fn a_change_of_one_file_changes_few_objects() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("task")).unwrap();
        for number in 0..1500 {
            let name = format!("task/{number:04}");
            fs::write(dir.path().join(name), format!("{number}\n")).unwrap();
        }
        let (before, _) = objects(dir.path());
        fs::remove_file(dir.path().join("task/1000")).unwrap();
        let (after, _) = objects(dir.path());
        let new = after.iter().filter(|raw| !before.contains(raw)).count();
        assert!(before.len() > 10 && new <= 2, "{new} of {}", before.len());
    }

    #[test]
    fn a_damaged_object_is_not_unpacked() {
        let packed = pack(&b"content ".repeat(1000)).unwrap();
        let object = packed.object;
        assert_eq!(unpack(&object, &packed.stored).unwrap().len(), 8000);
        let mut wrong = packed.stored.to_vec();
        wrong[10] ^= 1;
        let said = unpack(&object, &wrong).unwrap_err();
        assert!(said.contains("SHA-256"), "{said}");
        let said = unpack(&object, &wrong[1..]).unwrap_err();
        assert!(said.contains("instead of"), "{said}");
        // Named for what it holds, but larger or smaller than it says.
        for raw in [7999, 100, 9000] {
            let lying = Object { raw, ..object };
            assert!(unpack(&lying, &packed.stored).is_err());
        }
    }
}
