//! Paths inside a tree, resolved as they would be with the tree as root directory, whatever its links hold.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use crate::error::Context;
use crate::{Error, Result};

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// A directory that is, or becomes, a root filesystem.
#[derive(Debug, Clone)]
pub(crate) struct Root(PathBuf);

/// One thing in the tree.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Relative to the root.
    pub(crate) path: PathBuf,
    /// Of the thing itself, not of what it points to.
    pub(crate) metadata: Metadata,
}

/// Where a path leads.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// Relative to the root, and without links.
    pub(crate) path: PathBuf,
    /// The links that were followed on the way.
    pub(crate) links: Vec<PathBuf>,
}

impl Root {
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// The path on the host of something whose parents are known not to be links.
    pub(crate) fn host(&self, path: &Path) -> PathBuf {
        self.0.join(path)
    }

    /// Everything below the root, sorted by the bytes of the path; links are listed, not followed.
    pub(crate) fn walk(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut dirs = vec![PathBuf::new()];
        while let Some(dir) = dirs.pop() {
            let host = self.host(&dir);
            for entry in fs::read_dir(&host).context("read directory", &host)? {
                let entry = entry.context("read directory", &host)?;
                let path = dir.join(entry.file_name());
                let metadata = entry.metadata().context("look at", &entry.path())?;
                if metadata.is_dir() {
                    dirs.push(path.clone());
                }
                entries.push(Entry { path, metadata });
            }
        }
        entries.sort_by(|a, b| {
            a.path
                .as_os_str()
                .as_bytes()
                .cmp(b.path.as_os_str().as_bytes())
        });
        Ok(entries)
    }

    /// Follows `path`, its last part included, inside the tree. `None` when it leads nowhere.
    pub(crate) fn resolve(&self, path: &Path) -> Option<Resolved> {
        let (resolved, rest) = self.follow(path)?;
        rest.is_empty().then_some(resolved)
    }

    /// Prepares the place of a new entry: parents are made, what stands there (unless it is a directory) goes.
    pub(crate) fn place(&self, path: &Path) -> Result<PathBuf> {
        let name = path
            .file_name()
            .ok_or_else(|| Error::BadRecipe(format!("{} names no file", path.display())))?;
        let host = self
            .directory(path.parent().unwrap_or(Path::new("")))?
            .join(name);
        match fs::remove_file(&host) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(host),
            other => other.context("replace", &host).map(|()| host),
        }
    }

    /// Makes sure that a directory exists, and returns its path on the host.
    pub(crate) fn directory(&self, path: &Path) -> Result<PathBuf> {
        let (resolved, rest) = self.follow(path).ok_or_else(|| Error::Refused {
            entry: path.display().to_string(),
            reason: "its links lead nowhere".into(),
        })?;
        let mut host = self.host(&resolved.path);
        for part in rest {
            host.push(part);
            make_directory(&host)?;
        }
        Ok(host)
    }

    /// Removes a file, a link or a whole directory; it may be missing. Its parents must not be links.
    pub(crate) fn remove(&self, path: &Path) -> Result<()> {
        let host = self.host(path);
        let removed = match fs::symlink_metadata(&host) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&host),
            Ok(_) => fs::remove_file(&host),
            Err(error) => Err(error),
        };
        match removed {
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(())
            }
            other => other.context("remove", &host),
        }
    }

    /// Follows as much of `path` as exists, and returns the rest of its parts.
    fn follow(&self, path: &Path) -> Option<(Resolved, VecDeque<OsString>)> {
        let mut todo = parts(path);
        let mut resolved = Resolved {
            path: PathBuf::new(),
            links: Vec::new(),
        };
        while let Some(part) = todo.pop_front() {
            if part == ".." {
                resolved.path.pop();
                continue;
            }
            let next = resolved.path.join(&part);
            match fs::symlink_metadata(self.host(&next)) {
                Ok(metadata) if metadata.is_symlink() => {
                    if resolved.links.len() == MOST_LINKS {
                        return None;
                    }
                    let target = fs::read_link(self.host(&next)).ok()?;
                    resolved.links.push(next);
                    if target.is_absolute() {
                        resolved.path = PathBuf::new();
                    }
                    let mut first = parts(&target);
                    first.append(&mut todo);
                    todo = first;
                }
                Ok(metadata) if !metadata.is_dir() && !todo.is_empty() => return None,
                Ok(_) => resolved.path = next,
                Err(_) => {
                    todo.push_front(part);
                    return (!todo.iter().any(|part| part == "..")).then_some((resolved, todo));
                }
            }
        }
        Some((resolved, todo))
    }
}

/// Makes one directory that everyone may read, whatever the umask.
pub(crate) fn make_directory(host: &Path) -> Result<()> {
    fs::create_dir(host).context("create", host)?;
    fs::set_permissions(host, Permissions::from_mode(0o755)).context("set the mode of", host)
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(part) => Some(part.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_lead_to_places_inside() {
        let outside = tempfile::tempdir().unwrap();
        let dir = outside.path().join("root");
        fs::create_dir_all(dir.join("usr/bin")).unwrap();
        fs::write(dir.join("usr/bin/a"), "").unwrap();
        fs::write(outside.path().join("secret"), "").unwrap();
        for (target, link) in [
            ("usr/bin", "bin"),
            ("/bin/a", "usr/bin/absolute"),
            ("../../../../../bin/absolute", "usr/bin/up"),
            ("loop", "loop"),
            ("../secret", "out"),
            ("/nowhere", "dangling"),
        ] {
            symlink(target, dir.join(link)).unwrap();
        }
        let root = Root::new(&dir);
        for (path, expected) in [
            ("/bin/a", Some("usr/bin/a")),
            ("/usr/bin/up", Some("usr/bin/a")),
            ("/", Some("")),
            ("/loop", None),
            ("/out", None),
            ("/dangling", None),
            ("/usr/bin/a/b", None),
        ] {
            let found = root.resolve(Path::new(path)).map(|resolved| resolved.path);
            assert_eq!(found.as_deref(), expected.map(Path::new), "{path}");
        }
        assert_eq!(
            root.resolve(Path::new("/usr/bin/up")).unwrap().links.len(),
            4
        );
        assert_eq!(
            root.place(Path::new("/bin/new/b")).unwrap(),
            dir.join("usr/bin/new/b")
        );
        assert_eq!(
            root.place(Path::new("/dangling/b")).unwrap(),
            dir.join("nowhere/b")
        );
        assert!(root.place(Path::new("/loop/b")).is_err());
    }
}
