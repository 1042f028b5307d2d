//! Images from one cache to another, whatever carries them.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::cache::Cache;
use crate::digest;
use crate::image::{Manifest, TREE};
use crate::normalise;
use crate::root::Root;
use crate::{Error, Image, Progress, Result};

/// An image as it is in the cache: a note and a tree. It stays there while a value of this type lives.
#[derive(Debug)]
pub struct Held {
    /// The directory that holds both.
    pub dir: PathBuf,
    /// Whether it holds files that nobody may read, who therefore cannot be carried either.
    pub is_sealed: bool,
    _image: Image,
}

impl Cache {
    /// Holds an image, to read it; `None` when it is not in the cache.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Damaged`] when its note cannot be read.
    pub fn hold(&self, digest: &str) -> Result<Option<Held>> {
        if !digest::is_hex(digest) {
            return Ok(None);
        }
        Ok(self.find(digest)?.map(|image| Held {
            dir: self.images().join(digest),
            is_sealed: !image.sealed.is_empty(),
            _image: image,
        }))
    }

    /// Takes an image from elsewhere, unless it is there: `fill` gets an empty directory for the note and the tree. It
    /// becomes an image when its tree is what the note says. Whether the note is what the recipe gives, only building
    /// can tell: the digest of the content stands in every verdict.
    ///
    /// # Errors
    ///
    /// What `fill` says; [`Error::Damaged`] when what it brought is another image or not whole; and as for
    /// [`Cache::ensure`]. Nothing half-made is left after any of them.
    pub fn import<E: From<Error>>(
        &self,
        digest: &str,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
        fill: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<Image, E> {
        if !digest::is_hex(digest) {
            return Err(Error::NoSuchImage(digest.to_owned()).into());
        }
        self.obtain(digest, cancel, progress, |partial, _| {
            fill(partial)?;
            Ok(checked(digest, partial)?)
        })
    }
}

/// The note of what was brought, when it is of this image and says what the tree is.
fn checked(digest: &str, partial: &Path) -> Result<Manifest> {
    let damaged = |reason: String| Error::Damaged {
        path: partial.to_owned(),
        reason,
    };
    let manifest =
        Manifest::read(partial)?.ok_or_else(|| damaged("it has no manifest.json".to_owned()))?;
    if manifest.digest != digest || !manifest.sealed.is_empty() {
        return Err(damaged(format!(
            "it says that it is the image {}",
            manifest.digest
        )));
    }
    let tree = partial.join(TREE);
    if !std::fs::symlink_metadata(&tree).is_ok_and(|data| data.is_dir()) {
        return Err(damaged("it has no tree".to_owned()));
    }
    let root = Root::new(tree);
    normalise::settle_times(&root)?;
    let found = digest::of_tree(&root, &manifest.sealed)?;
    if (&found.digest, found.bytes) != (&manifest.content_digest, manifest.bytes) {
        return Err(damaged(format!(
            "its content digest is {} and should be {}",
            found.digest, manifest.content_digest
        )));
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn never(_: Progress) {}

    fn copy(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                fs::create_dir(&to).unwrap();
                copy(&from, &to);
                let mode = fs::metadata(&from).unwrap().permissions();
                fs::set_permissions(&to, mode).unwrap();
            } else if kind.is_symlink() {
                symlink(fs::read_link(&from).unwrap(), &to).unwrap();
            } else {
                fs::copy(&from, &to).unwrap();
            }
        }
    }

    #[test]
    fn an_image_is_carried_to_another_cache_whole_or_not_at_all() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let from = Cache::open(Some(one.path())).unwrap();
        let to = Cache::open(Some(two.path())).unwrap();
        let cancel = AtomicBool::new(false);
        let made: Result<Image> = from.made(&[b"a"], "x", &cancel, &mut never, |tree, _| {
            fs::create_dir(tree.join("d")).unwrap();
            fs::write(tree.join("d/file"), "x").unwrap();
            symlink("/d/file", tree.join("link")).unwrap();
            Ok(())
        });
        let made = made.unwrap();
        let held = from.hold(&made.digest).unwrap().unwrap();
        assert!(!held.is_sealed);
        assert!(from.hold(&"0".repeat(64)).unwrap().is_none());
        assert!(from.hold("../images").unwrap().is_none());

        let import = |digest: &str, change: &dyn Fn(&Path)| -> Result<Image> {
            to.import(digest, &cancel, &mut never, |partial| {
                copy(&held.dir, partial);
                change(partial);
                Ok(())
            })
        };
        let changes: [&dyn Fn(&Path); 4] = [
            &|partial| fs::write(partial.join("root/d/more"), "").unwrap(),
            &|partial| fs::write(partial.join("root/d/file"), "y").unwrap(),
            &|partial| fs::remove_file(partial.join("manifest.json")).unwrap(),
            &|partial| fs::remove_dir_all(partial.join("root")).unwrap(),
        ];
        for change in changes {
            let error = import(&made.digest, change).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
        }
        let other = "0".repeat(64);
        assert!(import(&other, &|_| ()).is_err());
        assert!(to.list().unwrap().is_empty());
        let image = import(&made.digest, &|_| ()).unwrap();
        assert_eq!(image.content_digest, made.content_digest);
        image.verify().unwrap();
        assert_eq!(to.list().unwrap(), from.list().unwrap());
    }
}
