//! Which programs of a tree have to go.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::elf;
use crate::root::{Entry, Root};
use crate::{Error, Result};

/// Every executable but the allowed ones (absolute paths), and every link that leads to one that goes.
///
/// What an allowed path leads to stays as well, with the links on the way. An allowed path that leads nowhere is an
/// error, since whoever wrote it meant something to be there.
pub(crate) fn all_but(root: &Root, allowed: &[String]) -> Result<HashSet<PathBuf>> {
    let mut stays = HashSet::new();
    for path in allowed {
        let found = root
            .resolve(Path::new(path))
            .filter(|found| root.host(&found.path).is_file())
            .ok_or_else(|| {
                Error::BadRecipe(format!(
                    "`{path}` is to stay executable, but no package of the recipe has it"
                ))
            })?;
        stays.extend(found.links);
        stays.insert(found.path);
    }
    let entries = root.walk()?;
    let mut goes = HashSet::new();
    for entry in &entries {
        if stays.contains(&entry.path) {
            continue;
        }
        let kind = &entry.metadata;
        let in_place =
            in_program_directory(&entry.path) && (kind.is_symlink() || executable(entry));
        if in_place || (kind.is_file() && is_program(root, entry)) {
            goes.insert(entry.path.clone());
        }
    }
    add_links(root, &entries, &mut goes);
    Ok(goes)
}

/// Every program of one of these names, and every link that leads to one, hard links included.
pub(crate) fn named(root: &Root, names: &[String]) -> Result<HashSet<PathBuf>> {
    let mut goes = HashSet::new();
    if names.is_empty() {
        return Ok(goes);
    }
    let entries = root.walk()?;
    let mut inodes = HashSet::new();
    for entry in &entries {
        let kind = &entry.metadata;
        let name = entry.path.file_name().unwrap_or_default();
        if kind.is_dir()
            || !names
                .iter()
                .any(|wanted| wanted.as_bytes() == name.as_bytes())
        {
            continue;
        }
        if in_program_directory(&entry.path) || (kind.is_file() && is_program(root, entry)) {
            goes.insert(entry.path.clone());
            if kind.is_file() {
                inodes.insert((kind.dev(), kind.ino()));
            }
        }
    }
    let linked = |entry: &&Entry| {
        entry.metadata.is_file() && inodes.contains(&(entry.metadata.dev(), entry.metadata.ino()))
    };
    goes.extend(
        entries
            .iter()
            .filter(linked)
            .map(|entry| entry.path.clone()),
    );
    add_links(root, &entries, &mut goes);
    Ok(goes)
}

/// Adds every symbolic link whose way leads over something that goes.
fn add_links(root: &Root, entries: &[Entry], goes: &mut HashSet<PathBuf>) {
    let links: Vec<_> = entries
        .iter()
        .filter(|entry| entry.metadata.is_symlink())
        .filter_map(|entry| Some((&entry.path, root.resolve(&entry.path)?)))
        .filter(|(_, found)| {
            goes.contains(&found.path) || found.links.iter().any(|link| goes.contains(link))
        })
        .map(|(path, _)| path.clone())
        .collect();
    goes.extend(links);
}

/// Whether things in this place are there to be run.
fn in_program_directory(path: &Path) -> bool {
    let Some(parent) = path.parent() else {
        return false;
    };
    parent.ends_with("bin")
        || parent.ends_with("sbin")
        || parent.ends_with("games")
        || parent.iter().any(|part| part == "libexec")
}

fn executable(entry: &Entry) -> bool {
    entry.metadata.is_file() && entry.metadata.mode() & 0o111 != 0
}

/// A file that may not be read is taken for a program: that is why such files are made.
fn is_program(root: &Root, entry: &Entry) -> bool {
    elf::is_program(&root.host(&entry.path)).unwrap_or_else(|_| executable(entry))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::elf::fake;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let file = |path: &str, bytes: &[u8], mode: u32| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let program = fake::program();
        file("usr/bin/python3.13", &program, 0o755);
        file("usr/bin/sed", &program, 0o755);
        file("usr/bin/script", b"#!/bin/sh\n", 0o755);
        file("usr/bin/notes", b"text", 0o644);
        file("usr/bin/hidden-elf", &program, 0o644);
        file("usr/sbin/tool", &program, 0o755);
        file("usr/games/rogue", &program, 0o755);
        file("usr/libexec/deep/er/helper", b"#!/bin/sh\n", 0o755);
        file("usr/lib/git-core/git", &program, 0o755);
        file("usr/lib/libc.so.6", &fake::elf(3, true, true, false), 0o755);
        file("usr/lib64/ld-linux.so.2", &fake::library(), 0o755);
        file("usr/lib/hook.sh", b"#!/bin/sh\n", 0o755);
        file("usr/share/sed/readme", b"text", 0o644);
        fs::create_dir_all(dir.path().join("etc/alternatives")).unwrap();
        for (target, link) in [
            ("usr/bin", "bin"),
            ("python3.13", "usr/bin/python3"),
            ("sed", "usr/bin/gsed"),
            ("/etc/alternatives/stream", "usr/bin/stream"),
            ("/usr/bin/sed", "etc/alternatives/stream"),
            ("../bin/gsed", "usr/lib/editor"),
            ("libc.so.6", "usr/lib/libc.so"),
            ("nowhere", "usr/lib/dangling"),
        ] {
            symlink(target, dir.path().join(link)).unwrap();
        }
        fs::hard_link(
            dir.path().join("usr/bin/sed"),
            dir.path().join("usr/bin/edit"),
        )
        .unwrap();
        dir
    }

    fn sorted(goes: HashSet<PathBuf>) -> Vec<String> {
        let mut goes: Vec<_> = goes
            .into_iter()
            .map(|path| path.to_str().unwrap().to_owned())
            .collect();
        goes.sort();
        goes
    }

    const ALL: [&str; 14] = [
        "etc/alternatives/stream",
        "usr/bin/edit",
        "usr/bin/gsed",
        "usr/bin/hidden-elf",
        "usr/bin/python3",
        "usr/bin/script",
        "usr/bin/sed",
        "usr/bin/stream",
        "usr/games/rogue",
        "usr/lib/editor",
        "usr/lib/git-core/git",
        "usr/libexec/deep/er/helper",
        "usr/sbin/tool",
        "usr/bin/python3.13",
    ];

    #[test]
    fn only_the_allowed_program_and_the_libraries_stay() {
        let dir = tree();
        let root = Root::new(dir.path());
        let mut expected = ALL[..13].to_vec();
        expected.sort_unstable();
        assert_eq!(
            sorted(all_but(&root, &["/usr/bin/python3.13".into()]).unwrap()),
            expected
        );
    }

    #[test]
    fn an_allowed_link_keeps_what_it_leads_to() {
        let dir = tree();
        let goes = all_but(&Root::new(dir.path()), &["/bin/stream".into()]).unwrap();
        for path in [
            "usr/bin/stream",
            "etc/alternatives/stream",
            "usr/bin/sed",
            "bin",
        ] {
            assert!(!goes.contains(Path::new(path)), "{path}");
        }
        assert!(
            goes.contains(Path::new("usr/bin/edit")),
            "the other name of the same file"
        );
    }

    #[test]
    fn no_program_at_all_can_stay() {
        let dir = tree();
        let mut expected = ALL.to_vec();
        expected.sort_unstable();
        assert_eq!(
            sorted(all_but(&Root::new(dir.path()), &[]).unwrap()),
            expected
        );
    }

    #[test]
    fn an_allowed_program_that_is_missing_is_an_error() {
        let dir = tree();
        let error = all_but(&Root::new(dir.path()), &["/usr/bin/python4".into()]).unwrap_err();
        assert!(error.to_string().contains("`/usr/bin/python4`"), "{error}");
    }

    #[test]
    fn a_named_program_goes_with_every_link_to_it() {
        let dir = tree();
        let root = Root::new(dir.path());
        let expected = [
            "etc/alternatives/stream",
            "usr/bin/edit",
            "usr/bin/gsed",
            "usr/bin/sed",
            "usr/bin/stream",
            "usr/lib/editor",
        ];
        assert_eq!(sorted(named(&root, &["sed".into()]).unwrap()), expected);
        assert_eq!(
            sorted(named(&root, &["git".into()]).unwrap()),
            ["usr/lib/git-core/git"]
        );
        assert_eq!(
            sorted(named(&root, &["python3".into()]).unwrap()),
            ["usr/bin/python3"]
        );
        assert!(
            named(&root, &["readme".into(), "libc.so.6".into()])
                .unwrap()
                .is_empty()
        );
    }
}
