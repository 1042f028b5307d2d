//! Hashes of files and of whole trees.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::Result;
use crate::error::Context;
use crate::root::Root;

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Whether this is a SHA-256 as [`hex`] writes it, and so also harmless as the name of a file.
pub(crate) fn is_hex(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// SHA-256 of everything that can be read, in hex.
pub(crate) fn of_reader(reader: &mut impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
}

/// What a tree holds, in one hash and one number.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// SHA-256 over path, type, mode and content of every entry, in the order of paths. Owners and times do not count.
    pub(crate) digest: String,
    /// Bytes of all files; what is linked twice counts twice.
    pub(crate) bytes: u64,
}

/// Hashes a tree. `sealed` gives the hashes of files that not even their owner may read, by path without the
/// leading slash; any other unreadable file counts by its size alone.
pub(crate) fn of_tree(root: &Root, sealed: &BTreeMap<String, String>) -> Result<Content> {
    let mut hash = Sha256::new();
    let mut total = 0;
    let part = |hash: &mut Sha256, bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for entry in root.walk()? {
        let (host, metadata) = (root.host(&entry.path), &entry.metadata);
        let (kind, content) = if metadata.is_dir() {
            ("directory", String::new())
        } else if metadata.is_symlink() {
            let target = std::fs::read_link(&host).context("read link", &host)?;
            ("link", hex(target.as_os_str().as_bytes()))
        } else if metadata.is_file() {
            total += metadata.len();
            match entry.path.to_str().and_then(|path| sealed.get(path)) {
                Some(content) => ("file", content.clone()),
                None => of_file(&host, metadata.len())?,
            }
        } else {
            let device =
                metadata.file_type().is_char_device() || metadata.file_type().is_block_device();
            (
                "special",
                if device {
                    metadata.rdev().to_string()
                } else {
                    String::new()
                },
            )
        };
        // The kernel gives every link the same mode, but not every filesystem agrees.
        let mode = if metadata.is_symlink() {
            0
        } else {
            metadata.mode()
        };
        part(&mut hash, entry.path.as_os_str().as_bytes());
        part(&mut hash, kind.as_bytes());
        part(&mut hash, &mode.to_le_bytes());
        part(&mut hash, content.as_bytes());
    }
    Ok(Content {
        digest: hex(&hash.finalize()),
        bytes: total,
    })
}

fn of_file(host: &Path, length: u64) -> Result<(&'static str, String)> {
    match File::open(host) {
        Ok(mut file) => Ok(("file", of_reader(&mut file).context("read", host)?)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Ok(("unreadable", length.to_string()))
        }
        Err(error) => Err(error).context("read", host),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn tree(change: impl FnOnce(&Path)) -> String {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/b"), "text").unwrap();
        symlink("b", dir.path().join("a/c")).unwrap();
        change(dir.path());
        of_tree(&Root::new(dir.path()), &BTreeMap::new())
            .unwrap()
            .digest
    }

    #[test]
    fn everything_but_time_and_owner_counts() {
        let plain = tree(|_| ());
        assert_eq!(plain, tree(|_| ()));
        let old = std::time::SystemTime::UNIX_EPOCH;
        assert_eq!(
            plain,
            tree(|dir| File::options()
                .append(true)
                .open(dir.join("a/b"))
                .unwrap()
                .set_modified(old)
                .unwrap())
        );
        let changes: [fn(&Path); 6] = [
            |dir| fs::write(dir.join("a/b"), "next").unwrap(),
            |dir| fs::set_permissions(dir.join("a/b"), fs::Permissions::from_mode(0o755)).unwrap(),
            |dir| fs::rename(dir.join("a/b"), dir.join("b")).unwrap(),
            |dir| fs::write(dir.join("d"), "").unwrap(),
            |dir| fs::create_dir(dir.join("d")).unwrap(),
            |dir| {
                fs::remove_file(dir.join("a/c")).unwrap();
                symlink("/b", dir.join("a/c")).unwrap();
            },
        ];
        let mut all: Vec<_> = changes.iter().map(tree).collect();
        all.push(plain);
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn a_sealed_file_counts_by_the_hash_that_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "text").unwrap();
        let open = of_tree(&Root::new(dir.path()), &BTreeMap::new()).unwrap();
        let hash = of_reader(&mut &b"text"[..]).unwrap();
        let sealed = of_tree(
            &Root::new(dir.path()),
            &BTreeMap::from([("a".into(), hash)]),
        )
        .unwrap();
        assert_eq!(open, sealed);
    }
}
