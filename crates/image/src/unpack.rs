//! Unpacks an archive into an empty directory, trusting nothing that it says.

use std::collections::HashSet;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use tar::EntryType;

use crate::entries;
use crate::error::Context;
use crate::root::make_directory;
use crate::{Error, Result};

/// Directories that Debian merged into `/usr`; what packages put there goes to the place the links lead to.
pub(crate) const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// What is not worth unpacking: it is a mount point, or a cache, or differs from build to build.
const SKIPPED: [&str; 8] = [
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "var/cache",
    "var/log",
    "var/lib/apt/lists",
];

/// Where the package manager leaves the packages' own archives.
const ARCHIVES: &str = "var/cache/apt/archives";

/// What an archive may cost before it is refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of all files together.
    pub(crate) bytes: u64,
    /// Entries of any kind.
    pub(crate) entries: u64,
}

impl Limits {
    /// Far above any image that makes sense, and below what would hurt.
    pub(crate) const USUAL: Self = Self {
        bytes: 32 << 30,
        entries: 4_000_000,
    };
}

/// Unpacks a root filesystem into `root`, a directory that nobody else writes to.
///
/// Everything ends up readable by all and writable by the owner alone; set-id bits, owners and times are dropped;
/// devices, sockets and pipes are left out. A name that is absolute or holds `..`, a path through a link, and a
/// path that occurs twice are refused. `package` gets the name and content of each `.deb` in the package cache.
pub(crate) fn unpack(
    input: impl Read,
    root: &Path,
    limits: Limits,
    package: &mut dyn FnMut(&str, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let mut place = Place {
        root,
        parents: HashSet::new(),
    };
    let (mut bytes, mut count) = (0_u64, 0_u64);
    entries::each(input, root, |entry| {
        let raw = entry.path_bytes().into_owned();
        let refused = |reason: &str| refuse(&raw, reason);
        count += 1;
        if count > limits.entries {
            return Err(refused("the archive has too many entries"));
        }
        let size = entry.size();
        bytes = bytes.saturating_add(size);
        if bytes > limits.bytes {
            return Err(refused("the archive holds too many bytes"));
        }
        let named = plain(&raw)?;
        if let Some(name) = named.strip_prefix(ARCHIVES).ok().and_then(Path::to_str)
            && entry.header().entry_type().is_file()
            && name.ends_with(".deb")
            && !name.contains('/')
        {
            let mut counted = Counted {
                inner: entry,
                count: 0,
            };
            package(name, &mut counted)?;
            if counted.count != size {
                return Err(refused("the archive is cut off in it"));
            }
        }
        if SKIPPED.iter().any(|skipped| named.starts_with(skipped)) {
            return Ok(());
        }
        let path = merge(&named);
        match entry.header().entry_type() {
            EntryType::Directory => place.directory(&path, &raw)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let host = place.fresh(&path, &raw)?;
                let mode = entry
                    .header()
                    .mode()
                    .map_err(|error| refused(&error.to_string()))?;
                let file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&host);
                let mut file = created(file, &host, &raw)?;
                let copied = io::copy(entry, &mut file).context("write", &host)?;
                if copied != size {
                    return Err(refused("the archive is cut off in it"));
                }
                let mode = (mode & 0o777 | 0o444) & !0o022;
                file.set_permissions(Permissions::from_mode(mode))
                    .context("set the mode of", &host)?;
            }
            EntryType::Symlink => {
                let target = entry
                    .link_name_bytes()
                    .ok_or_else(|| refused("it is a link without a target"))?;
                if target.is_empty() || target.contains(&0) {
                    return Err(refused("it is a link to no possible path"));
                }
                // Whether the link leads out does not matter: nothing here follows it.
                let link_to_merged = MERGED.iter().any(|merged| named == Path::new(merged));
                if !link_to_merged {
                    let host = place.fresh(&path, &raw)?;
                    created(
                        symlink(std::ffi::OsStr::from_bytes(&target), &host),
                        &host,
                        &raw,
                    )?;
                }
            }
            EntryType::Link => {
                let target = entry
                    .link_name_bytes()
                    .ok_or_else(|| refused("it is a link without a target"))?;
                let target = merge(&plain(&target)?);
                let source = place.existing_file(&target).ok_or_else(|| {
                    refused("it is a hard link to something that is not a file unpacked before it")
                })?;
                let host = place.fresh(&path, &raw)?;
                created(fs::hard_link(&source, &host), &host, &raw)?;
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo | EntryType::XGlobalHeader => (),
            other => {
                return Err(refused(&format!(
                    "its type {:?} is not known here",
                    other.as_byte() as char
                )));
            }
        }
        Ok(())
    })
}

/// Keeps track of the directories that are known to be real ones.
struct Place<'a> {
    root: &'a Path,
    parents: HashSet<PathBuf>,
}

impl Place<'_> {
    /// Makes a directory and those above it; one that exists is fine, a link in its place is not.
    fn directory(&mut self, path: &Path, raw: &[u8]) -> Result<()> {
        let mut sofar = PathBuf::new();
        for part in path {
            sofar.push(part);
            if self.parents.contains(&sofar) {
                continue;
            }
            let host = self.root.join(&sofar);
            match fs::symlink_metadata(&host) {
                Ok(metadata) if metadata.is_dir() => (),
                Ok(metadata) if metadata.is_symlink() => {
                    return Err(refuse(
                        raw,
                        &format!("`{}` on its way is a link", sofar.display()),
                    ));
                }
                Ok(_) => {
                    return Err(refuse(
                        raw,
                        &format!("`{}` on its way is not a directory", sofar.display()),
                    ));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => make_directory(&host)?,
                Err(error) => return Err(error).context("look at", &host),
            }
            self.parents.insert(sofar.clone());
        }
        Ok(())
    }

    /// The path on the host of an entry that is still to be made.
    fn fresh(&mut self, path: &Path, raw: &[u8]) -> Result<PathBuf> {
        let parent = path
            .parent()
            .ok_or_else(|| refuse(raw, "it would replace the root"))?;
        self.directory(parent, raw)?;
        Ok(self.root.join(path))
    }

    /// The path on the host of a file that was unpacked before, if that is what `path` names.
    fn existing_file(&self, path: &Path) -> Option<PathBuf> {
        let parent = path.parent()?;
        let known = parent == Path::new("") || self.parents.contains(parent);
        let host = self.root.join(path);
        (known && fs::symlink_metadata(&host).is_ok_and(|metadata| metadata.is_file()))
            .then_some(host)
    }
}

/// A reader that counts, since an archive that ends early reads as a short file and not as an error.
struct Counted<'a, R> {
    inner: &'a mut R,
    count: u64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

/// The path of an entry relative to the root, refused if it could lead out of it.
fn plain(raw: &[u8]) -> Result<PathBuf> {
    if raw.contains(&0) {
        return Err(refuse(raw, "its name holds a zero byte"));
    }
    let mut path = PathBuf::new();
    for part in Path::new(std::ffi::OsStr::from_bytes(raw)).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => (),
            Component::RootDir | Component::Prefix(_) => {
                return Err(refuse(raw, "its name is absolute"));
            }
            Component::ParentDir => return Err(refuse(raw, "its name holds `..`")),
        }
    }
    Ok(path)
}

/// Moves what belongs to a merged directory to where that directory's link will lead.
fn merge(path: &Path) -> PathBuf {
    let merged = path
        .iter()
        .next()
        .is_some_and(|first| MERGED.iter().any(|merged| first == *merged));
    if merged {
        Path::new("usr").join(path)
    } else {
        path.to_owned()
    }
}

fn refuse(raw: &[u8], reason: &str) -> Error {
    Error::Refused {
        entry: String::from_utf8_lossy(raw).into_owned(),
        reason: reason.to_owned(),
    }
}

/// Tells an entry that occurs twice from other failures to create it.
fn created<T>(result: io::Result<T>, host: &Path, raw: &[u8]) -> Result<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(refuse(raw, "its path occurs twice"))
        }
        other => other.context("create", host),
    }
}

#[cfg(test)]
mod tests;
