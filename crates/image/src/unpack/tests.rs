use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;

use tar::{Builder, Header};

use super::*;

/// An archive made entry by entry, with names that the `tar` crate itself would refuse to write.
struct Hostile(Builder<Vec<u8>>);

impl Hostile {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn header(name: &[u8], kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_mode(0o6755);
        header.set_size(size);
        header.set_cksum();
        header
    }

    fn file(mut self, name: &[u8], content: &[u8]) -> Self {
        self.0
            .append(
                &Self::header(name, EntryType::Regular, content.len() as u64),
                content,
            )
            .unwrap();
        self
    }

    fn link(mut self, name: &[u8], kind: EntryType, target: &[u8]) -> Self {
        let mut header = Self::header(name, kind, 0);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
        header.set_cksum();
        self.0.append(&header, &b""[..]).unwrap();
        self
    }

    fn entry(mut self, name: &[u8], kind: EntryType) -> Self {
        self.0
            .append(&Self::header(name, kind, 0), &b""[..])
            .unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    /// Unpacks into a fresh directory two levels down, so that what escapes can be seen.
    fn unpack(self) -> (tempfile::TempDir, PathBuf, Result<()>) {
        run(&self.bytes(), Limits::USUAL)
    }
}

fn run(archive: &[u8], limits: Limits) -> (tempfile::TempDir, PathBuf, Result<()>) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    let result = unpack(archive, &root, limits, &mut |_, reader| {
        io::copy(reader, &mut io::sink()).unwrap();
        Ok(())
    });
    (dir, root, result)
}

#[track_caller]
fn refused(archive: Hostile, reason: &str) {
    let (dir, _, result) = archive.unpack();
    let Err(Error::Refused { reason: found, .. }) = &result else {
        panic!("{result:?}")
    };
    assert!(found.contains(reason), "{found}");
    let outside: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(outside, ["root"]);
}

#[test]
fn nothing_leaves_the_root() {
    refused(Hostile::new().file(b"../evil", b"x"), "`..`");
    refused(Hostile::new().file(b"a/../../evil", b"x"), "`..`");
    refused(Hostile::new().file(b"/etc/evil", b"x"), "absolute");
    refused(Hostile::new().entry(b"..", EntryType::Directory), "`..`");
    refused(
        Hostile::new()
            .link(b"a", EntryType::Symlink, b"..")
            .file(b"a/evil", b"x"),
        "is a link",
    );
    refused(
        Hostile::new()
            .link(b"a", EntryType::Symlink, b"..")
            .entry(b"a/evil", EntryType::Directory),
        "is a link",
    );
    refused(
        Hostile::new()
            .link(b"a", EntryType::Symlink, b"..")
            .entry(b"a", EntryType::Directory),
        "is a link",
    );
    refused(
        Hostile::new()
            .link(b"a", EntryType::Symlink, b"../evil")
            .file(b"a", b"x"),
        "twice",
    );
    refused(
        Hostile::new().link(b"a", EntryType::Link, b"../../../../etc/passwd"),
        "`..`",
    );
    refused(
        Hostile::new().link(b"a", EntryType::Link, b"/etc/passwd"),
        "absolute",
    );
    refused(
        Hostile::new().link(b"a", EntryType::Link, b"etc/passwd"),
        "not a file unpacked",
    );
    let through = Hostile::new().link(b"a", EntryType::Symlink, b"/etc").link(
        b"b",
        EntryType::Link,
        b"a/passwd",
    );
    refused(through, "not a file unpacked");
    let to_link = Hostile::new()
        .link(b"a", EntryType::Symlink, b"/etc/passwd")
        .link(b"b", EntryType::Link, b"a");
    refused(to_link, "not a file unpacked");
}

#[test]
fn nothing_is_written_twice() {
    refused(Hostile::new().file(b"a", b"x").file(b"a", b"y"), "twice");
    refused(
        Hostile::new().file(b"bin/a", b"x").file(b"usr/bin/a", b"y"),
        "twice",
    );
    refused(
        Hostile::new().file(b"a", b"x").file(b"a/b", b"y"),
        "not a directory",
    );
    refused(Hostile::new().file(b"", b"x"), "replace the root");
}

#[test]
fn odd_links_and_types_are_refused() {
    refused(Hostile::new().entry(b"a", EntryType::Symlink), "link");
    refused(Hostile::new().entry(b"a", EntryType::new(b'Z')), "type 'Z'");
}

#[test]
fn devices_and_pipes_are_left_out() {
    let archive = Hostile::new()
        .entry(b"a", EntryType::Char)
        .entry(b"b", EntryType::Block)
        .entry(b"c", EntryType::Fifo)
        .file(b"dev/null", b"x")
        .file(b"var/log/dpkg.log", b"today");
    let (_dir, root, result) = archive.unpack();
    result.unwrap();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
}

#[test]
fn modes_let_everyone_read_and_nobody_else_write() {
    let mut archive = Hostile::new();
    let mut header = Hostile::header(b"secret", EntryType::Regular, 1);
    header.set_mode(0o620);
    header.set_cksum();
    archive.0.append(&header, &b"x"[..]).unwrap();
    let (_dir, root, result) = archive.file(b"dir/setuid", b"x").unpack();
    result.unwrap();
    let mode = |path: &str| fs::metadata(root.join(path)).unwrap().mode() & 0o7777;
    assert_eq!(
        (mode("secret"), mode("dir/setuid"), mode("dir")),
        (0o644, 0o755, 0o755)
    );
}

#[test]
fn merged_directories_meet_under_usr() {
    let archive = Hostile::new()
        .entry(b"./lib", EntryType::Directory)
        .file(b"./lib/a", b"x")
        .file(b"./usr/lib/b", b"x")
        .link(b"./bin", EntryType::Symlink, b"usr/bin")
        .link(b"./usr/lib/c", EntryType::Link, b"./lib/a");
    let (_dir, root, result) = archive.unpack();
    result.unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(fs::read(root.join("usr/lib").join(name)).unwrap(), b"x");
    }
    assert!(fs::symlink_metadata(root.join("lib")).is_err());
    assert!(fs::symlink_metadata(root.join("bin")).is_err());
    assert_eq!(fs::metadata(root.join("usr/lib/c")).unwrap().nlink(), 2);
}

#[test]
fn names_need_not_be_unicode() {
    let (_dir, root, result) = Hostile::new().file(b"\xff\xfe", b"x").unpack();
    result.unwrap();
    assert_eq!(
        fs::read(root.join(std::ffi::OsString::from_vec(b"\xff\xfe".to_vec()))).unwrap(),
        b"x"
    );
}

#[test]
fn sizes_are_bounded_before_anything_is_written() {
    let mut huge = Hostile::header(b"huge", EntryType::Regular, 0);
    huge.set_size(1 << 40);
    huge.set_cksum();
    let (_dir, root, result) = run(huge.as_bytes(), Limits::USUAL);
    assert!(result.unwrap_err().to_string().contains("too many bytes"));
    assert!(!root.join("huge").exists());

    // A sparse file: 512 bytes in the archive that stand for a terabyte.
    let mut sparse = Hostile::header(b"sparse", EntryType::GNUSparse, 512);
    {
        let gnu = sparse.as_gnu_mut().unwrap();
        gnu.set_real_size(1 << 40);
        gnu.sparse[0].set_offset((1 << 40) - 512);
        gnu.sparse[0].set_length(512);
    }
    sparse.set_cksum();
    let archive = [sparse.as_bytes(), &[0; 512][..]].concat();
    let (_dir, root, result) = run(&archive, Limits::USUAL);
    assert!(result.unwrap_err().to_string().contains("too many bytes"));
    assert!(!root.join("sparse").exists());

    let many = Hostile::new()
        .file(b"a", b"")
        .file(b"b", b"")
        .file(b"c", b"")
        .bytes();
    let (_dir, _, result) = run(
        &many,
        Limits {
            entries: 2,
            ..Limits::USUAL
        },
    );
    assert!(result.unwrap_err().to_string().contains("too many entries"));
}

#[test]
fn an_archive_that_ends_early_is_an_error() {
    let whole = Hostile::new().file(b"a", &[7; 5000]).bytes();
    let (_dir, _, result) = run(&whole[..2000], Limits::USUAL);
    assert!(result.is_err());
    let whole = Hostile::new()
        .file(b"var/cache/apt/archives/a_1_all.deb", &[7; 5000])
        .bytes();
    let (_dir, _, result) = run(&whole[..2000], Limits::USUAL);
    assert!(result.is_err());
}

#[test]
fn packages_are_handed_on_and_not_unpacked() {
    let archive = Hostile::new()
        .file(b"./var/cache/apt/archives/gron_1_amd64.deb", b"content")
        .file(b"./var/cache/apt/archives/partial/no.deb", b"x")
        .bytes();
    let dir = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    unpack(
        &archive[..],
        dir.path(),
        Limits::USUAL,
        &mut |name, reader| {
            let mut content = String::new();
            reader.read_to_string(&mut content).unwrap();
            seen.push((name.to_owned(), content));
            Ok(())
        },
    )
    .unwrap();
    assert_eq!(
        seen,
        [("gron_1_amd64.deb".to_owned(), "content".to_owned())]
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
