//! The directory in which images live, shared by every process of a user.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use crate::builder;
use crate::digest::{self, Content};
use crate::error::Context;
use crate::image::{Image, Manifest, TREE};
use crate::lock::{self, Lock};
use crate::normalise;
use crate::packages::Store;
use crate::partial::{self, Partial};
use crate::progress::short;
use crate::prune;
use crate::root::Root;
use crate::{Error, Package, Progress, Recipe, Result, Variant};

const IMAGES: &str = "images";
const PACKAGES: &str = "packages";
const LOCKS: &str = "locks";

/// The cache: `images/<digest>/` with a tree and a note, `packages/<sha256>.deb`, and `locks/`.
///
/// It holds nothing that cannot be made again, except archives of versions that have left the mirror; `rm -rf`
/// removes it.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    store: Store,
}

/// An image in the cache, as [`Cache::list`] shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedImage {
    /// What [`Cache::remove`] takes.
    pub digest: String,
    /// Hash of its content.
    pub content_digest: String,
    /// Suite, variant and requested packages, or what was taken from which image.
    pub about: String,
    /// Bytes of its files. Images derived from one another share most of them.
    pub bytes: u64,
    /// How many packages it was made from.
    pub packages: usize,
}

impl Cache {
    /// Opens the cache in `dir`, by default `$XDG_CACHE_HOME/mirrorcode` or `~/.cache/mirrorcode`, makes it where it
    /// is missing, and removes what processes that were killed left half-made.
    ///
    /// # Errors
    ///
    /// [`Error::NoCacheDirectory`] without `dir`, `XDG_CACHE_HOME` and `HOME`; [`Error::Io`] when it cannot be made.
    pub fn open(dir: Option<&Path>) -> Result<Self> {
        // The convention says that a relative XDG_CACHE_HOME is to be ignored.
        let variable = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let dir = match dir {
            Some(dir) => std::path::absolute(dir).context("find", dir)?,
            None => variable("XDG_CACHE_HOME")
                .or_else(|| Some(variable("HOME")?.join(".cache")))
                .ok_or(Error::NoCacheDirectory)?
                .join("mirrorcode"),
        };
        for part in [IMAGES, PACKAGES, LOCKS] {
            let path = dir.join(part);
            fs::create_dir_all(&path).context("create", &path)?;
        }
        // Tells backup programs to pass over it; that it is there is not worth an error.
        let tag = dir.join("CACHEDIR.TAG");
        if !tag.exists() {
            let _ = fs::write(&tag, "Signature: 8a477f597d28d172789f06886806bc55\n");
        }
        let cache = Self {
            store: Store::new(dir.join(PACKAGES)),
            dir,
        };
        partial::clean(&cache.images(), |digest| cache.lock(digest))?;
        Ok(cache)
    }

    /// The image of this recipe: from the cache, or built now.
    ///
    /// When another process builds the same one, this one waits for it. Raising `cancel` ends waiting and
    /// building within a moment. Calls to `progress` come from this thread.
    ///
    /// # Errors
    ///
    /// See [`Error`]. After an error nothing half-made is left, except where the machine stopped; that is removed
    /// when the cache is next opened.
    pub fn ensure(
        &self,
        recipe: &Recipe,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Image> {
        recipe.check()?;
        let digest = recipe.digest();
        self.obtain(&digest, cancel, progress, |partial, progress| {
            progress(Progress::Stage(format!(
                "building image {} ({})",
                short(&digest),
                about(recipe)
            )));
            let packages = builder::build(recipe, partial, &self.store, cancel, progress)?;
            let root = Root::new(partial.join(TREE));
            progress(Progress::Stage("preparing the tree".into()));
            normalise::normalise(&root, recipe.keep_docs)?;
            if let Some(allowed) = &recipe.executables {
                remove_all(&root, prune::all_but(&root, allowed)?)?;
            }
            remove_all(&root, prune::named(&root, &recipe.remove)?)?;
            normalise::add(&root, &recipe.files, &recipe.links)?;
            normalise::settle_times(&root)?;
            let sealed = sealed(recipe, &root)?;
            let Content {
                digest: content_digest,
                bytes,
            } = digest::of_tree(&root, &sealed)?;
            let arrivals = partial.join(PACKAGES);
            self.store.publish(&arrivals, &packages)?;
            fs::remove_dir_all(&arrivals).context("remove", &arrivals)?;
            let (digest, about) = (digest.clone(), about(recipe));
            Ok(Manifest {
                digest,
                content_digest,
                bytes,
                about,
                base: None,
                packages,
                sealed,
            })
        })
    }

    /// Every complete image, sorted by digest.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the cache cannot be read, [`Error::Damaged`] when an image's note cannot.
    pub fn list(&self) -> Result<Vec<CachedImage>> {
        let images = self.images();
        let mut list = Vec::new();
        for entry in fs::read_dir(&images).context("read directory", &images)? {
            let entry = entry.context("read directory", &images)?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if let Some(Manifest {
                digest,
                content_digest,
                bytes,
                about,
                packages,
                ..
            }) = Manifest::read(&entry.path())?
            {
                list.push(CachedImage {
                    digest,
                    content_digest,
                    about,
                    bytes,
                    packages: packages.len(),
                });
            }
        }
        list.sort_by(|a, b| a.digest.cmp(&b.digest));
        Ok(list)
    }

    /// Removes an image. The archives of its packages stay.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchImage`], or [`Error::InUse`] while a process builds it or holds it as an [`Image`].
    pub fn remove(&self, digest: &str) -> Result<()> {
        let missing = || Error::NoSuchImage(digest.to_owned());
        if !digest::is_hex(digest) {
            return Err(missing());
        }
        let in_use = |holder| Error::InUse {
            digest: digest.to_owned(),
            holder,
        };
        let path = self.lock(digest);
        let lock = Lock::try_take(&path)?.ok_or_else(|| in_use(lock::holder(&path)))?;
        if !self.images().join(digest).exists() {
            return Err(missing());
        }
        let using = Lock::try_take(&self.use_lock(digest))?.ok_or_else(|| in_use(None))?;
        let withdrawn = partial::withdraw(&self.images(), digest)?;
        drop(using);
        drop(withdrawn);
        drop(lock);
        Ok(())
    }

    /// The archive of the package with this SHA-256 (hex), if it is kept.
    #[must_use]
    pub fn package(&self, sha256: &str) -> Option<PathBuf> {
        self.store.path(sha256)
    }

    /// Every package whose archive is kept, sorted by name and version.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the cache cannot be read.
    pub fn packages(&self) -> Result<Vec<Package>> {
        self.store.list()
    }

    /// A directory for other things kept beside images, made where it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it cannot be made, or `name` is not one plain name or is one that the cache uses itself.
    pub fn dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        if name.is_empty()
            || name.contains('/')
            || name.starts_with('.')
            || [IMAGES, PACKAGES, LOCKS].contains(&name)
        {
            return Err(std::io::Error::from(ErrorKind::InvalidInput)).context("create", &path);
        }
        fs::create_dir_all(&path).context("create", &path)?;
        Ok(path)
    }

    /// The image named `digest`: from the cache, or made by `make` in the directory that it gets.
    pub(crate) fn obtain<E: From<Error>>(
        &self,
        digest: &str,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
        make: impl FnOnce(&Path, &mut dyn FnMut(Progress)) -> Result<Manifest, E>,
    ) -> Result<Image, E> {
        if let Some(image) = self.find(digest)? {
            return Ok(image);
        }
        let start = Instant::now();
        let _lock = Lock::take(&self.lock(digest), cancel, |holder| {
            progress(Progress::Waiting {
                digest: digest.to_owned(),
                holder,
            });
        })?;
        if let Some(image) = self.find(digest)? {
            return Ok(image);
        }
        let partial = Partial::make(&self.images(), digest)?;
        let manifest = make(partial.path(), progress)?;
        manifest.write(partial.path())?;
        partial.publish(&self.images().join(digest))?;
        let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        progress(Progress::Done {
            digest: digest.to_owned(),
            bytes: manifest.bytes,
            milliseconds,
        });
        self.find(digest)?
            .ok_or_else(|| Error::NoSuchImage(digest.to_owned()).into())
    }

    pub(crate) fn find(&self, digest: &str) -> Result<Option<Image>> {
        let dir = self.images().join(digest);
        if Manifest::read(&dir)?.is_none() {
            return Ok(None);
        }
        let in_use = lock::share(&self.use_lock(digest))?;
        // Read again: until the lock was held, the image could be removed.
        Ok(Manifest::read(&dir)?.map(|manifest| manifest.into_image(&dir, in_use)))
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.dir.join(IMAGES)
    }

    fn lock(&self, digest: &str) -> PathBuf {
        self.dir.join(LOCKS).join(format!("{digest}.lock"))
    }

    fn use_lock(&self, digest: &str) -> PathBuf {
        self.dir.join(LOCKS).join(format!("{digest}.use"))
    }
}

fn about(recipe: &Recipe) -> String {
    let variant = match recipe.variant {
        Variant::Extract => "extract",
        Variant::Minimal => "minimal",
    };
    format!("{} {variant}: {}", recipe.suite, recipe.packages.join(" "))
}

fn remove_all(root: &Root, paths: impl IntoIterator<Item = PathBuf>) -> Result<()> {
    paths.into_iter().try_for_each(|path| root.remove(&path))
}

/// Hashes of the recipe's files that their owner may not read, by their place in the tree.
fn sealed(recipe: &Recipe, root: &Root) -> Result<BTreeMap<String, String>> {
    let mut sealed = BTreeMap::new();
    for file in recipe.files.iter().filter(|file| file.mode & 0o400 == 0) {
        let place = root.resolve(Path::new(&file.path)).map(|found| found.path);
        if let Some(place) = place.as_deref().and_then(Path::to_str) {
            let hash = digest::of_reader(&mut file.bytes.as_slice())
                .context("hash", Path::new(&file.path))?;
            sealed.insert(place.to_owned(), hash);
        }
    }
    Ok(sealed)
}

#[cfg(test)]
mod tests;
