//! An image minus some programs, sharing all other files with it.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};

use crate::digest::{self, Content, hex};
use crate::error::Context;
use crate::image::{Manifest, TREE};
use crate::progress::short;
use crate::root::{Root, make_directory};
use crate::{Cache, Error, Image, Result, normalise, prune};

/// The image without programs of these names and without the links to them, by the rule of
/// [`Recipe::remove`](crate::Recipe::remove).
///
/// The result is an image of the cache with a digest of its own. Its files are hard links to those of `image`,
/// so it costs directories only; from a directory on another filesystem they are copied. Where the image has none
/// of the programs, it is returned as it is.
///
/// # Errors
///
/// [`Error::BadRecipe`] for a name that is empty or holds a slash; otherwise as for [`Cache::ensure`].
pub fn without(cache: &Cache, image: &Image, names: &[String]) -> Result<Image> {
    if let Some(name) = names
        .iter()
        .find(|name| name.is_empty() || name.contains(['/', '\0']))
    {
        return Err(Error::BadRecipe(format!(
            "`{name}` is not the name of a program"
        )));
    }
    let source = Root::new(&image.root);
    let goes = prune::named(&source, names)?;
    if goes.is_empty() {
        return Ok(image.clone());
    }
    let names: BTreeSet<_> = names.iter().map(String::as_str).collect();
    let names: Vec<_> = names.into_iter().collect();
    let digest = derived(&image.digest, &names);
    // Takes a moment at most, so there is nothing to cancel and nothing to report.
    cache.obtain(
        &digest,
        &AtomicBool::new(false),
        &mut |_| (),
        |partial, _| {
            let dir = partial.join(TREE);
            make_directory(&dir)?;
            let root = Root::new(&dir);
            copy(&source, &root, &goes)?;
            normalise::settle_times(&root)?;
            let mut sealed = image.sealed.clone();
            sealed.retain(|path, _| !goes.contains(Path::new(path)));
            let Content {
                digest: content_digest,
                bytes,
            } = digest::of_tree(&root, &sealed)?;
            Ok(Manifest {
                digest: digest.clone(),
                content_digest,
                bytes,
                about: format!("{} without {}", short(&image.digest), names.join(" ")),
                base: Some(image.digest.clone()),
                packages: image.packages.clone(),
                sealed,
            })
        },
    )
}

fn derived(base: &str, names: &[&str]) -> String {
    let mut hash = Sha256::new();
    hash.update(b"mirrorcode image 1 without");
    for part in std::iter::once(&base).chain(names) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

fn copy(from: &Root, to: &Root, goes: &HashSet<PathBuf>) -> Result<()> {
    // Sorted by path, so every directory comes before what it holds.
    for entry in from.walk()? {
        if goes.contains(&entry.path) {
            continue;
        }
        let (source, target) = (from.host(&entry.path), to.host(&entry.path));
        let kind = entry.metadata.file_type();
        if kind.is_dir() {
            make_directory(&target)?;
        } else if kind.is_symlink() {
            let leads = fs::read_link(&source).context("read link", &source)?;
            symlink(leads, &target).context("create", &target)?;
        } else if kind.is_file() {
            match fs::hard_link(&source, &target) {
                // Another filesystem, another owner, or more links than one file can have.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::CrossesDevices
                            | ErrorKind::PermissionDenied
                            | ErrorKind::TooManyLinks
                    ) =>
                {
                    fs::copy(&source, &target).context("copy", &source)?;
                }
                other => other.context("link", &source)?,
            }
        }
    }
    Ok(())
}
