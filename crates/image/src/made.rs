//! Trees that a caller fills, kept in the cache like images.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};

use crate::digest::{self, Content, hex};
use crate::error::Context;
use crate::image::{Manifest, TREE};
use crate::normalise;
use crate::root::{Root, make_directory};
use crate::{Cache, Error, Image, Progress, Result};

/// Changes whenever the same parts would give a different tree.
const FORMAT: &[u8] = b"mirrorcode tree 1";

impl Cache {
    /// The tree that `parts` name: from the cache, or filled now by `fill`, which gets an empty directory.
    ///
    /// `parts` must hold everything that decides what `fill` makes. Its directories and files get the modes 0755,
    /// 0644 and, where their owner may execute them, 0755; times are settled. Unlike an image from a [`Recipe`]
    /// (crate::Recipe), the tree gets nothing of what a root filesystem needs. `about` is for a person.
    ///
    /// # Errors
    ///
    /// What `fill` says, and as for [`Cache::ensure`]; nothing half-made is left after either.
    pub fn made<E: From<Error>>(
        &self,
        parts: &[&[u8]],
        about: &str,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
        fill: impl FnOnce(&Path, &mut dyn FnMut(Progress)) -> Result<(), E>,
    ) -> Result<Image, E> {
        let mut hash = Sha256::new();
        for part in [FORMAT].iter().chain(parts) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest = hex(&hash.finalize());
        self.obtain(&digest, cancel, progress, |partial, progress| {
            let tree = partial.join(TREE);
            make_directory(&tree)?;
            fill(&tree, progress)?;
            let root = Root::new(tree);
            settle_modes(&root)?;
            normalise::settle_times(&root)?;
            let Content {
                digest: content_digest,
                bytes,
            } = digest::of_tree(&root, &std::collections::BTreeMap::new())?;
            Ok(Manifest {
                digest: digest.clone(),
                content_digest,
                bytes,
                about: about.to_owned(),
                base: None,
                packages: Vec::new(),
                sealed: std::collections::BTreeMap::new(),
            })
        })
    }
}

fn settle_modes(root: &Root) -> Result<()> {
    for entry in root.walk()? {
        let kind = &entry.metadata;
        if kind.is_symlink() {
            continue;
        }
        let host = root.host(&entry.path);
        if !kind.is_dir() && !kind.is_file() {
            return Err(Error::Refused {
                entry: entry.path.display().to_string(),
                reason: "it is neither a file, a directory nor a link".into(),
            });
        }
        let mode = if kind.is_dir() || kind.mode() & 0o100 != 0 {
            0o755
        } else {
            0o644
        };
        fs::set_permissions(&host, Permissions::from_mode(mode))
            .context("set the mode of", &host)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never(_: Progress) {}

    #[test]
    fn a_tree_is_filled_once_and_a_failure_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path())).unwrap();
        let cancel = AtomicBool::new(false);
        let count = |dir: &Path| fs::read_dir(dir.join("images")).unwrap().count();
        let failed: Result<Image> =
            cache.made(&[b"a", b"b"], "x", &cancel, &mut never, |tree, _| {
                fs::write(tree.join("half"), "x").unwrap();
                Err(Error::BadRecipe("no".into()))
            });
        assert!(matches!(failed, Err(Error::BadRecipe(_))));
        assert_eq!(count(dir.path()), 0);

        let fill = |tree: &Path, _: &mut dyn FnMut(Progress)| -> Result<()> {
            fs::create_dir(tree.join("d")).unwrap();
            fs::write(tree.join("d/file"), "x").unwrap();
            fs::set_permissions(tree.join("d/file"), Permissions::from_mode(0o4501)).unwrap();
            Ok(())
        };
        let made = cache
            .made(&[b"a", b"b"], "x", &cancel, &mut never, fill)
            .unwrap();
        let mode = fs::metadata(made.root.join("d/file")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o755);
        made.verify().unwrap();
        let again: Result<Image> = cache.made(&[b"a", b"b"], "x", &cancel, &mut never, |_, _| {
            panic!("it is there")
        });
        assert_eq!(again.unwrap().digest, made.digest);
        let other = cache
            .made(&[b"ab"], "x", &cancel, &mut never, fill)
            .unwrap();
        assert_ne!(other.digest, made.digest, "parts do not run together");
        assert_eq!(other.content_digest, made.content_digest);
    }
}
