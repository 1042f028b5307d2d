//! A finished root filesystem, and the note beside it that says what it is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::digest::{self, Content};
use crate::error::Context;
use crate::root::Root;
use crate::{Error, Package, Result};

/// The note's name, beside the tree's directory.
pub(crate) const MANIFEST: &str = "manifest.json";

/// The tree's directory inside an image's directory.
pub(crate) const TREE: &str = "root";

/// A root filesystem that can be used. While a value of this type lives, [`Cache::remove`](crate::Cache::remove)
/// refuses to remove what it stands for.
#[derive(Debug, Clone)]
pub struct Image {
    /// The tree, to be mounted read-only.
    pub root: PathBuf,
    /// Names the image in the cache: the digest of the recipe, or of another image and what was taken from it. For a
    /// directory that the user supplied, the same as `content_digest`.
    pub digest: String,
    /// SHA-256 over path, type, mode and content of everything in the tree, in hex. Equal trees have equal
    /// digests, whoever built them and when.
    pub content_digest: String,
    /// The packages that it was made from, sorted; empty for a directory that the user supplied.
    pub packages: Vec<Package>,
    /// Bytes of all files.
    pub bytes: u64,
    pub(crate) sealed: BTreeMap<String, String>,
    /// Shared by all clones, and released with the last of them.
    #[expect(
        dead_code,
        reason = "held for its lock, which ends when the file is closed"
    )]
    pub(crate) in_use: Option<Arc<File>>,
}

impl Image {
    /// Takes a directory as a root filesystem, after a look at whether it is one.
    ///
    /// # Errors
    ///
    /// [`Error::NotARoot`] when `dir` has no `usr` directory, or holds none of the directories that programs and
    /// libraries live in. [`Error::Io`] when a part of it cannot be listed.
    pub fn from_rootfs(dir: &Path) -> Result<Self> {
        let not = |reason: &str| Error::NotARoot {
            path: dir.to_owned(),
            reason: reason.to_owned(),
        };
        let path = fs::canonicalize(dir).map_err(|error| not(&error.to_string()))?;
        if !path.is_dir() {
            return Err(not("it is not a directory"));
        }
        if path == Path::new("/") {
            return Err(not(
                "it is this machine's own root, which changes and holds private files",
            ));
        }
        let root = Root::new(&path);
        let has = |name: &str| {
            root.resolve(Path::new(name))
                .is_some_and(|found| root.host(&found.path).is_dir())
        };
        if !["usr", "etc"].iter().all(|name| has(name)) {
            return Err(not("it has no usr and etc directories"));
        }
        if !["bin", "lib", "lib64", "usr/bin", "usr/lib"]
            .iter()
            .any(|name| has(name))
        {
            return Err(not("it has no directory of programs or libraries"));
        }
        let Content { digest, bytes } = digest::of_tree(&root, &BTreeMap::new())?;
        Ok(Self {
            root: path,
            digest: digest.clone(),
            content_digest: digest,
            packages: Vec::new(),
            bytes,
            sealed: BTreeMap::new(),
            in_use: None,
        })
    }

    /// Hashes the tree again, and says whether it is still what it was when the image was made.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when it is not, [`Error::Io`] when it cannot be read.
    pub fn verify(&self) -> Result<()> {
        let found = digest::of_tree(&Root::new(&self.root), &self.sealed)?.digest;
        if found == self.content_digest {
            return Ok(());
        }
        let reason = format!(
            "its content digest is {found} and was {}",
            self.content_digest
        );
        Err(Error::Damaged {
            path: self.root.clone(),
            reason,
        })
    }
}

/// What stands in the note.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) digest: String,
    pub(crate) content_digest: String,
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// What the image is, for a person: suite and requested packages, or the image it was taken from.
    pub(crate) about: String,
    /// The image that this one shares its files with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<String>,
    pub(crate) packages: Vec<Package>,
    /// Hashes of files that their owner may not read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) sealed: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads the note of the image in `dir`; `None` when there is no such image.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(MANIFEST);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.context("read", &path)?,
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| Error::Damaged {
                path,
                reason: error.to_string(),
            })
    }

    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(MANIFEST);
        let text = serde_json::to_vec_pretty(self).context("describe", &path)?;
        fs::write(&path, text).context("write", &path)
    }

    pub(crate) fn into_image(self, dir: &Path, in_use: Option<File>) -> Image {
        Image {
            root: dir.join(TREE),
            digest: self.digest,
            content_digest: self.content_digest,
            packages: self.packages,
            bytes: self.bytes,
            sealed: self.sealed,
            in_use: in_use.map(Arc::new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_must_look_like_a_root() {
        let dir = tempfile::tempdir().unwrap();
        let check = |path: &Path, reason: &str| {
            let message = Image::from_rootfs(path).unwrap_err().to_string();
            assert!(message.contains(reason), "{message}");
        };
        check(dir.path(), "no usr");
        check(Path::new("/"), "own root");
        check(Path::new("/nonexistent"), "No such file");
        fs::create_dir_all(dir.path().join("usr")).unwrap();
        fs::create_dir_all(dir.path().join("etc")).unwrap();
        check(dir.path(), "no directory of programs");
        fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
        let image = Image::from_rootfs(dir.path()).unwrap();
        image.verify().unwrap();
        fs::write(dir.path().join("usr/bin/new"), "x").unwrap();
        assert!(matches!(image.verify(), Err(Error::Damaged { .. })));
    }
}
