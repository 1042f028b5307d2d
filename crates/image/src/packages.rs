//! The packages' own archives, kept by content so that a pinned version outlives the mirror's copy.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::digest::{hex, is_hex, of_reader};
use crate::error::Context;
use crate::{Error, Result};

/// One Debian package that an image was made from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Name: `gron`.
    pub name: String,
    /// Full version, with epoch and revision where it has them: `1:2.5.2-3`.
    pub version: String,
    /// `amd64`, or `all`.
    pub architecture: String,
    /// SHA-256 of the `.deb` archive, in hex.
    pub sha256: String,
}

/// Directory of `<sha256>.deb`, each with a `<sha256>.json` that says which package it is.
#[derive(Debug)]
pub(crate) struct Store(PathBuf);

impl Store {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self(dir)
    }

    /// Where the archive of that hash is, if it is kept.
    pub(crate) fn path(&self, sha256: &str) -> Option<PathBuf> {
        let path = self.0.join(format!("{sha256}.deb"));
        (is_hex(sha256) && path.is_file()).then_some(path)
    }

    /// Writes one archive to `dir`, from where [`publish`](Self::publish) takes it once the image is complete.
    pub(crate) fn receive(dir: &Path, file_name: &str, reader: &mut dyn Read) -> Result<Package> {
        let (name, version, architecture) = parse(file_name).ok_or_else(|| Error::Refused {
            entry: file_name.to_owned(),
            reason: "it is not named as packages in the package cache are: name_version_architecture.deb".into(),
        })?;
        let path = dir.join(file_name);
        let mut hashing = Hashing {
            file: File::create_new(&path).context("create", &path)?,
            hash: Sha256::new(),
        };
        io::copy(reader, &mut hashing).context("write", &path)?;
        let package = Package {
            name,
            version,
            architecture,
            sha256: hex(&hashing.hash.finalize()),
        };
        let kept = dir.join(format!("{}.deb", package.sha256));
        fs::rename(&path, &kept).context("rename", &path)?;
        Ok(package)
    }

    /// Moves the archives of these packages from `dir` to the store. Those that are there already stay.
    pub(crate) fn publish(&self, dir: &Path, packages: &[Package]) -> Result<()> {
        for package in packages {
            let from = dir.join(format!("{}.deb", package.sha256));
            let note = dir.join(format!("{}.json", package.sha256));
            let text = serde_json::to_vec_pretty(package).context("describe", &note)?;
            fs::write(&note, text).context("write", &note)?;
            // The note last: an archive without one is only not found by name, and the next build adds it.
            for from in [from, note] {
                if let Some(name) = from.file_name() {
                    fs::rename(&from, self.0.join(name)).context("keep", &from)?;
                }
            }
        }
        Ok(())
    }

    /// Every kept package, sorted. Notes that cannot be read are passed over: they only help to find archives.
    pub(crate) fn list(&self) -> Result<Vec<Package>> {
        let mut packages = Vec::new();
        for entry in fs::read_dir(&self.0).context("read directory", &self.0)? {
            let path = entry.context("read directory", &self.0)?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let package = fs::read(&path)
                    .ok()
                    .and_then(|text| serde_json::from_slice::<Package>(&text).ok());
                packages.extend(package.filter(|package| self.path(&package.sha256).is_some()));
            }
        }
        packages.sort();
        Ok(packages)
    }

    /// Copies an archive to `to`, and refuses it when its content is no longer what its name says.
    pub(crate) fn copy(&self, package: &Package, to: &Path) -> Result<()> {
        let from = self.path(&package.sha256).ok_or_else(|| Error::Damaged {
            path: self.0.join(&package.sha256),
            reason: "the archive is missing".into(),
        })?;
        fs::copy(&from, to).context("copy", &from)?;
        let found = File::open(to)
            .and_then(|mut file| of_reader(&mut file))
            .context("read", to)?;
        if found != package.sha256 {
            return Err(Error::Damaged {
                path: from,
                reason: format!("its SHA-256 is {found}"),
            });
        }
        Ok(())
    }
}

/// Writes to a file and hashes what was written.
struct Hashing {
    file: File,
    hash: Sha256,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Name, version and architecture from the file name that apt gives an archive: it writes `:` as `%3a`.
fn parse(file_name: &str) -> Option<(String, String, String)> {
    let mut parts = file_name.strip_suffix(".deb")?.split('_');
    let (name, version, architecture) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some()
        || [name, version, architecture].contains(&"")
        || file_name.contains('/')
    {
        return None;
    }
    let mut decoded = String::new();
    let mut rest = version;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let code = u8::from_str_radix(after.get(..2)?, 16)
            .ok()
            .filter(u8::is_ascii_graphic)?;
        decoded.push(char::from(code));
        rest = &after[2..];
    }
    decoded.push_str(rest);
    Some((name.to_owned(), decoded, architecture.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_give_name_version_architecture() {
        for (file, expected) in [
            (
                "gron_0.7.1-2+b8_amd64.deb",
                Some(("gron", "0.7.1-2+b8", "amd64")),
            ),
            (
                "libattr1_1%3a2.5.2-3_amd64.deb",
                Some(("libattr1", "1:2.5.2-3", "amd64")),
            ),
            ("a_1%_all.deb", None),
            ("a_1%00_all.deb", None),
            ("a_1.deb", None),
            ("a__all.deb", None),
            ("a_1_all_x.deb", None),
            ("a_1_all.tar", None),
        ] {
            let found = parse(file);
            let found = found
                .as_ref()
                .map(|(name, version, arch)| (name.as_str(), version.as_str(), arch.as_str()));
            assert_eq!(found, expected, "{file}");
        }
    }

    #[test]
    fn archives_are_kept_by_content_and_checked_when_used() {
        let dir = tempfile::tempdir().unwrap();
        let (arrivals, kept) = (dir.path().join("arrivals"), dir.path().join("kept"));
        fs::create_dir(&kept).unwrap();
        let store = Store::new(kept);
        for _ in 0..2 {
            fs::create_dir(&arrivals).unwrap();
            let package =
                Store::receive(&arrivals, "gron_1%3a2_amd64.deb", &mut &b"content"[..]).unwrap();
            store
                .publish(&arrivals, std::slice::from_ref(&package))
                .unwrap();
            assert_eq!(store.list().unwrap(), [package]);
            assert_eq!(fs::read_dir(&arrivals).unwrap().count(), 0);
            fs::remove_dir(&arrivals).unwrap();
        }
        let package = &store.list().unwrap()[0];
        let path = store.path(&package.sha256).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"content");
        store.copy(package, &dir.path().join("copy")).unwrap();
        fs::write(path, "changed").unwrap();
        assert!(matches!(
            store.copy(package, &dir.path().join("copy")),
            Err(Error::Damaged { .. })
        ));
        assert_eq!(store.path("../kept"), None);
    }
}
