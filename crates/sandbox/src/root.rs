//! The root that commands see: a read-only directory in memory on which the image's top-level
//! directories, the wanted files of the host and the devices are mounted.
//!
//! Nothing is mounted inside the image, so an image needs no empty directories prepared for this.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};

use crate::spec::{Mount, Source, Spec, Syscalls};
use crate::sys;

/// Devices without state.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Top-level names of an image that the sandbox provides itself.
const PROVIDED: [&str; 6] = ["proc", "sys", "dev", "tmp", "run", "lost+found"];
/// Where the new root stands until it becomes the root. Any directory that every system has would do.
const STAGE: &str = "/tmp";

/// Files of the host, opened while the caller's own identity could still reach them.
pub(crate) struct Trees {
    image: Vec<Top>,
    mounts: Vec<Option<OwnedFd>>,
    devices: Vec<(&'static str, OwnedFd)>,
}

enum Top {
    Empty {
        name: PathBuf,
    },
    Link {
        name: PathBuf,
        to: PathBuf,
    },
    Tree {
        name: PathBuf,
        tree: OwnedFd,
        directory: bool,
    },
}

fn at(path: &Path, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(CWD, path, flags).map_err(|error| at(path, error))
}

/// Whether a directory can be read and holds nothing.
fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Opens everything that [`build`] will mount.
pub(crate) fn open_trees(spec: &Spec) -> io::Result<Trees> {
    rustix::mount::mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    let mut taken: Vec<PathBuf> = PROVIDED.iter().map(PathBuf::from).collect();
    let named = spec
        .mounts
        .iter()
        .map(|mount| &mount.at)
        .chain(spec.scratch.iter().map(|s| &s.at));
    // A mount at the top level replaces what the image has there.
    taken.extend(named.filter_map(|path| {
        let mut parts = path
            .components()
            .filter(|part| matches!(part, Component::Normal(_)));
        let first = parts.next()?;
        parts
            .next()
            .is_none()
            .then(|| PathBuf::from(first.as_os_str()))
    }));
    let mut image = Vec::new();
    for entry in fs::read_dir(&spec.rootfs).map_err(|error| at(&spec.rootfs, error))? {
        let entry = entry?;
        let name = PathBuf::from(entry.file_name());
        if taken.contains(&name) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            image.push(Top::Link {
                to: fs::read_link(entry.path())?,
                name,
            });
        } else if kind.is_dir() && is_empty(&entry.path()) {
            // A plain directory of the new root, in which mounts can be placed.
            image.push(Top::Empty { name });
        } else if kind.is_dir() || kind.is_file() {
            let tree = open(&entry.path())?;
            sys::set_mount_flags(
                &tree,
                sys::MOUNT_READ_ONLY | sys::MOUNT_NO_SUID | sys::MOUNT_NO_DEVICES,
            )?;
            image.push(Top::Tree {
                name,
                tree,
                directory: kind.is_dir(),
            });
        }
    }
    let mounts = spec
        .mounts
        .iter()
        .map(|mount| match &mount.source {
            Source::Path(path) => {
                let tree = open(path)?;
                let mut flags = sys::MOUNT_NO_SUID | sys::MOUNT_NO_DEVICES;
                if !mount.writable {
                    flags |= sys::MOUNT_READ_ONLY;
                }
                sys::set_mount_flags(&tree, flags)?;
                Ok(Some(tree))
            }
            Source::Bytes { .. } => Ok(None),
        })
        .collect::<io::Result<_>>()?;
    let devices = DEVICES
        .iter()
        .map(|&name| {
            let tree = open(&Path::new("/dev").join(name))?;
            // The nodes are the host's own: on a writable mount, `touch /dev/null` would leave a time there
            // for whoever comes next. Devices themselves stay writable on a read-only mount.
            sys::set_mount_flags(
                &tree,
                sys::MOUNT_READ_ONLY | sys::MOUNT_NO_SUID | sys::MOUNT_NO_EXEC,
            )?;
            Ok((name, tree))
        })
        .collect::<io::Result<_>>()?;
    Ok(Trees {
        image,
        mounts,
        devices,
    })
}

fn new_filesystem(
    name: &str,
    options: &[(&str, &str)],
    flags: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let named = |error: rustix::io::Errno| {
        io::Error::new(
            error.kind(),
            format!("cannot make a {name} file system: {error}"),
        )
    };
    let context = rustix::mount::fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC).map_err(named)?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(context.as_fd(), *key, *value).map_err(named)?;
    }
    rustix::mount::fsconfig_create(context.as_fd()).map_err(named)?;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags).map_err(named)
}

/// A process file system of this process namespace, mounted nowhere.
pub(crate) fn processes() -> io::Result<OwnedFd> {
    let flags = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    new_filesystem("proc", &[("subset", "pid")], flags)
}

fn attach(tree: impl AsFd, to: impl AsRef<Path>) -> io::Result<()> {
    let to = to.as_ref();
    rustix::mount::move_mount(tree, "", CWD, to, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|error| at(to, error))
}

/// A path inside, seen from the directory that will be the root.
fn below(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect()
}

fn make_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, bytes)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Builds the root and makes it this mount namespace's only one.
pub(crate) fn build(spec: &Spec, trees: Trees) -> io::Result<()> {
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let root = new_filesystem("tmpfs", &[("mode", "0755"), ("size", "16m")], flags)?;
    attach(&root, STAGE)?;
    // The path, unlike the current directory, now leads onto the new mount.
    std::env::set_current_dir(STAGE)?;

    for top in trees.image {
        match top {
            Top::Empty { name } => fs::create_dir(name)?,
            Top::Link { name, to } => std::os::unix::fs::symlink(to, name)?,
            Top::Tree {
                name,
                tree,
                directory,
            } => {
                if directory {
                    fs::create_dir(&name)?
                } else {
                    fs::write(&name, "")?
                }
                attach(&tree, &name)?;
            }
        }
    }
    for (mount, tree) in spec.mounts.iter().zip(trees.mounts) {
        place_mount(mount, tree).map_err(|error| at(&mount.at, error))?;
    }
    for scratch in &spec.scratch {
        fs::create_dir_all(below(&scratch.at)).map_err(|error| at(&scratch.at, error))?;
    }
    if !Path::new("tmp").exists() {
        fs::create_dir("tmp")?;
    }
    build_dev(spec, trees.devices)?;
    if spec.proc {
        fs::create_dir("proc")?;
        let mut flags = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let options: &[(&str, &str)] = match spec.syscalls {
            Syscalls::Program => {
                flags |= MountAttrFlags::MOUNT_ATTR_RDONLY;
                // The init's start time and usage would tell a command how much ran before it.
                &[("subset", "pid"), ("hidepid", "ptraceable")]
            }
            Syscalls::Tools => &[],
        };
        attach(new_filesystem("proc", options, flags)?, "proc")?;
    }

    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")?;
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    sys::set_one_mount_flags(&root, sys::MOUNT_READ_ONLY)?;
    Ok(())
}

fn place_mount(mount: &Mount, tree: Option<OwnedFd>) -> io::Result<()> {
    let path = below(&mount.at);
    match (&mount.source, tree) {
        (Source::Bytes { bytes, mode }, _) => make_file(&path, bytes, *mode),
        (Source::Path(_), Some(tree)) => {
            let stat = rustix::fs::fstat(&tree)?;
            if !path.exists() {
                if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() {
                    fs::create_dir_all(&path)?;
                } else {
                    make_file(&path, b"", 0o444)?;
                }
            }
            attach(tree, &path)
        }
        (Source::Path(_), None) => Err(io::ErrorKind::NotFound.into()),
    }
}

fn build_dev(spec: &Spec, devices: Vec<(&'static str, OwnedFd)>) -> io::Result<()> {
    fs::create_dir("dev")?;
    for (name, tree) in devices {
        let path = Path::new("dev").join(name);
        fs::write(&path, "")?;
        attach(tree, &path)?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        std::os::unix::fs::symlink(to, Path::new("dev").join(name))?;
    }
    if spec.terminals {
        fs::create_dir("dev/pts")?;
        let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let options = [("ptmxmode", "0666"), ("mode", "0620")];
        attach(new_filesystem("devpts", &options, flags)?, "dev/pts")?;
        std::os::unix::fs::symlink("pts/ptmx", "dev/ptmx")?;
    }
    if spec.syscalls == Syscalls::Tools {
        fs::create_dir("dev/shm")?;
        let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let shm = new_filesystem("tmpfs", &[("mode", "1777"), ("size", "64m")], flags)?;
        attach(shm, "dev/shm")?;
    }
    Ok(())
}
