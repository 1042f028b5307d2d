//! Makes a tree usable as a root, and the same whoever built it, when and where.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::builder::MOMENT;
use crate::error::Context;
use crate::root::Root;
use crate::unpack::MERGED;
use crate::{ExtraFile, Result};

/// Empty directories for the sandbox to mount on.
const MOUNT_POINTS: [&str; 9] = [
    "proc",
    "dev",
    "tmp",
    "run",
    "workspace",
    "task",
    "oracle",
    "case",
    "submission",
];

/// What differs between builds or machines, or only takes space.
const DROPPED: [&str; 21] = [
    "etc/apt/sources.list",
    "etc/apt/sources.list.d",
    "etc/resolv.conf",
    "etc/machine-id",
    "etc/.pwd.lock",
    "etc/passwd-",
    "etc/group-",
    "etc/shadow",
    "etc/shadow-",
    "etc/gshadow",
    "etc/gshadow-",
    "etc/subuid-",
    "etc/subgid-",
    "var/backups",
    "var/cache",
    "var/log",
    "var/lib/apt",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/available-old",
    "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/status-old",
];

/// Documentation, which a place that only runs programs does not need.
const DOCS: [&str; 4] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
];

/// Files that every image has, and what they hold.
const FILES: [(&str, &str); 5] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nagent:x:1000:1000:agent:/workspace:/bin/bash\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n"),
    ("etc/hostname", "mirrorcode\n"),
    (
        "etc/hosts",
        "127.0.0.1 localhost mirrorcode\n::1 localhost\n",
    ),
    (
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nshadow: files\nhosts: files\nnetworks: files\nprotocols: files\n\
         services: files\nethers: files\nrpc: files\n",
    ),
];

/// Gives the tree what every image has, and takes what none should have.
pub(crate) fn normalise(root: &Root, keep_docs: bool) -> Result<()> {
    for name in MERGED {
        let needed = ["bin", "sbin", "lib", "lib64"].contains(&name);
        let (link, target) = (root.host(Path::new(name)), format!("usr/{name}"));
        if needed || root.host(Path::new(&target)).is_dir() {
            root.directory(Path::new(&target))?;
            symlink(&target, &link).context("create", &link)?;
        }
    }
    for path in MOUNT_POINTS.iter().chain(&["sys"]) {
        root.remove(Path::new(path))?;
        root.directory(Path::new(path))?;
    }
    for path in DROPPED
        .iter()
        .chain(if keep_docs { &[][..] } else { &DOCS[..] })
    {
        root.remove(Path::new(path))?;
    }
    for path in ["root", "home", "var/cache", "var/log", "var/tmp"] {
        root.directory(Path::new(path))?;
    }
    for (path, text) in FILES {
        write(root, Path::new(path), text.as_bytes(), 0o644)?;
    }
    drop_compiled_python(root)
}

/// Adds the recipe's own files and links.
pub(crate) fn add(root: &Root, files: &[ExtraFile], links: &[(String, String)]) -> Result<()> {
    for file in files {
        write(root, Path::new(&file.path), &file.bytes, file.mode)?;
    }
    for (path, target) in links {
        let host = root.place(Path::new(path))?;
        symlink(target, &host).context("create", &host)?;
    }
    Ok(())
}

/// Sets every time in the tree to the same moment: times differ between builds, and a program could show them.
pub(crate) fn settle_times(root: &Root) -> Result<()> {
    let moment = Timespec {
        tv_sec: MOMENT,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: moment,
        last_modification: moment,
    };
    let settle = |path: &Path| {
        let host = root.host(path);
        utimensat(CWD, &host, &times, AtFlags::SYMLINK_NOFOLLOW).context("set the time of", &host)
    };
    for entry in root.walk()? {
        settle(&entry.path)?;
    }
    settle(Path::new(""))
}

fn write(root: &Root, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let host = root.place(path)?;
    let mut file = File::create_new(&host).context("create", &host)?;
    std::io::Write::write_all(&mut file, bytes).context("write", &host)?;
    file.set_permissions(Permissions::from_mode(mode))
        .context("set the mode of", &host)
}

/// Removes compiled Python modules that carry the time of their source, since that differs between builds and
/// would no longer match. Those that carry a hash stay.
fn drop_compiled_python(root: &Root) -> Result<()> {
    let mut dirs = Vec::new();
    for entry in root.walk()? {
        if entry.metadata.is_dir() && entry.path.ends_with("__pycache__") {
            dirs.push(entry.path);
        } else if entry.metadata.is_file()
            && entry
                .path
                .extension()
                .is_some_and(|extension| extension == "pyc")
        {
            let host = root.host(&entry.path);
            let mut head = [0; 8];
            let whole = File::open(&host).and_then(|mut file| file.read_exact(&mut head));
            // Bit 0 of the flags after the magic number says that a hash follows, not a time.
            if whole.is_err() || head[4] & 1 == 0 {
                root.remove(&entry.path)?;
            }
        }
    }
    for dir in dirs {
        let host = root.host(&dir);
        match fs::remove_dir(&host) {
            Err(error) if error.kind() != ErrorKind::DirectoryNotEmpty => {
                Err(error).context("remove", &host)?
            }
            _ => (),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_becomes_a_root_without_traces() {
        let dir = tempfile::tempdir().unwrap();
        let host = dir.path();
        for path in [
            "usr/lib/python3/__pycache__",
            "usr/share/doc/x",
            "var/cache/ldconfig",
            "etc",
            "usr/lib32",
        ] {
            fs::create_dir_all(host.join(path)).unwrap();
        }
        let pycache = host.join("usr/lib/python3/__pycache__");
        fs::write(pycache.join("timed.pyc"), b"\xf3\x0d\x0d\x0a\0\0\0\0").unwrap();
        fs::write(pycache.join("hashed.pyc"), b"\xf3\x0d\x0d\x0a\x01\0\0\0").unwrap();
        fs::write(host.join("var/cache/ldconfig/aux-cache"), "x").unwrap();
        let victim = tempfile::NamedTempFile::new().unwrap();
        symlink(victim.path(), host.join("etc/passwd")).unwrap();
        symlink(victim.path(), host.join("etc/resolv.conf")).unwrap();
        let root = Root::new(host);
        normalise(&root, false).unwrap();
        settle_times(&root).unwrap();

        assert_eq!(
            fs::read(victim.path()).unwrap(),
            b"",
            "nothing is written through a link"
        );
        assert!(
            fs::read_to_string(host.join("etc/passwd"))
                .unwrap()
                .contains("agent:x:1000")
        );
        assert!(fs::symlink_metadata(host.join("etc/resolv.conf")).is_err());
        assert_eq!(
            fs::read_link(host.join("lib32")).unwrap(),
            Path::new("usr/lib32")
        );
        assert_eq!(
            fs::read_link(host.join("bin")).unwrap(),
            Path::new("usr/bin")
        );
        assert!(!host.join("libx32").exists());
        assert!(pycache.join("hashed.pyc").exists() && !pycache.join("timed.pyc").exists());
        assert!(!host.join("usr/share/doc").exists());
        assert_eq!(fs::read_dir(host.join("var/cache")).unwrap().count(), 0);
        for path in MOUNT_POINTS {
            assert_eq!(fs::read_dir(host.join(path)).unwrap().count(), 0, "{path}");
        }
        let time = fs::metadata(host.join("etc/hosts"))
            .unwrap()
            .modified()
            .unwrap();
        assert_eq!(
            time.duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_secs() as i64,
            MOMENT
        );
    }

    #[test]
    fn extra_files_keep_their_mode_and_replace_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        normalise(&root, true).unwrap();
        let file = ExtraFile {
            path: "/bin/prog".into(),
            mode: 0o111,
            bytes: b"x".to_vec(),
        };
        add(
            &root,
            std::slice::from_ref(&file),
            &[("/etc/hosts".into(), "/a".into())],
        )
        .unwrap();
        add(&root, &[file], &[]).unwrap();
        let mode = fs::metadata(dir.path().join("usr/bin/prog"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o111);
        assert_eq!(
            fs::read_link(dir.path().join("etc/hosts")).unwrap(),
            Path::new("/a")
        );
    }
}
