//! Directories in memory: made for a command, filled, read and thrown away.

use std::ffi::CString;
use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount};

use crate::spec::{Collect, File, Scratch};
use crate::sys;

/// Deepest directory that is collected.
const MOST_DEPTH: usize = 64;
/// Most files that are collected in one command.
const MOST_FILES: usize = 100_000;

/// Most directories that lie over one another before all are thrown away.
///
/// The kernel waits for all processors when something is unmounted, which costs a short command as much as all else
/// that is done for it; what lies on a mount goes with it for nothing.
const MOST_PILED: usize = 8;

/// The directories that were made at each place, each over the one before. Commands see the uppermost alone: a path
/// leads down to it, and one that leads up passes by all that lie under it.
pub(crate) struct Piles<'a> {
    places: &'a [Scratch],
    /// The undermost of each place; none when there is nothing.
    lowest: Vec<OwnedFd>,
    height: usize,
}

impl<'a> Piles<'a> {
    /// None yet.
    pub(crate) fn new(places: &'a [Scratch]) -> Self {
        Piles {
            places,
            lowest: Vec::new(),
            height: 0,
        }
    }

    /// Puts a fresh, empty directory at each place. What was written to earlier ones is given back. Nothing may run that
    /// looks at the places.
    pub(crate) fn renew(&mut self) -> io::Result<()> {
        if self.height == MOST_PILED || self.height > 0 && self.holds_memory()? {
            self.throw_away()?;
        }
        self.places.iter().try_for_each(mount)?;
        if self.height == 0 {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let open = |place: &Scratch| rustix::fs::open(&place.at, flags, Mode::empty());
            self.lowest = self.places.iter().map(open).collect::<Result<_, _>>()?;
        }
        self.height += 1;
        Ok(())
    }

    /// Whether anything takes room in the uppermost directories beside themselves.
    fn holds_memory(&self) -> io::Result<bool> {
        for place in self.places {
            let room = rustix::fs::statvfs(&place.at)?;
            if room.f_bfree < room.f_blocks || room.f_ffree + 1 < room.f_files {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes all away. A path would lead to the uppermost, which has to go before the next can: so each pile is moved
    /// into a directory over the next pile, the last into one at the first place, and that one is unmounted.
    fn throw_away(&mut self) -> io::Result<()> {
        let [_, others @ ..] = self.places else {
            return Ok(());
        };
        if others.is_empty() {
            (0..self.height).try_for_each(|_| unmount(&self.places[0]))?;
        } else {
            for (pile, over) in self
                .lowest
                .iter()
                .zip(others.iter().chain(&self.places[..1]))
            {
                mount(over)?;
                let inside = over.at.join("pile");
                rustix::fs::mkdir(&inside, Mode::RWXU)?;
                move_mount(
                    pile,
                    "",
                    CWD,
                    &inside,
                    MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
                )?;
            }
            unmount(&self.places[0])?;
        }
        self.lowest.clear();
        self.height = 0;
        Ok(())
    }
}

fn unmount(scratch: &Scratch) -> io::Result<()> {
    rustix::mount::unmount(&scratch.at, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .map_err(Into::into)
}

/// Mounts a fresh, empty directory.
fn mount(scratch: &Scratch) -> io::Result<()> {
    let at = CString::new(scratch.at.as_os_str().as_bytes())?;
    let data = CString::new(format!(
        "mode=0755,size={},nr_inodes={}",
        scratch.bytes, scratch.inodes
    ))?;
    let mut flags = libc::MS_NOSUID | libc::MS_NODEV;
    if !scratch.executable {
        flags |= libc::MS_NOEXEC;
    }
    sys::mount_tmpfs(&at, flags, &data)
}

/// Whether the directory has no room left.
pub(crate) fn is_full(scratch: &Scratch) -> bool {
    rustix::fs::statvfs(&scratch.at).is_ok_and(|fs| fs.f_bavail == 0 || fs.f_favail == 0)
}

/// Writes files at absolute paths inside. Nothing else runs here, so no path can change meanwhile.
pub(crate) fn place(files: &[File], reverse: bool) -> io::Result<()> {
    let write = |file: &File| -> io::Result<()> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", file.path.display()))
        };
        if !file.path.is_absolute()
            || file
                .path
                .components()
                .any(|part| part == Component::ParentDir)
        {
            return Err(named(io::Error::from(io::ErrorKind::InvalidInput)));
        }
        if let Some(parent) = file.path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(parent)
                .map_err(named)?;
        }
        let mode = if file.executable { 0o755 } else { 0o644 };
        let mut options = fs::OpenOptions::new();
        options
            .write(true)
            .create_new(true)
            .mode(mode)
            .custom_flags(libc::O_NOFOLLOW);
        options
            .open(&file.path)
            .and_then(|mut out| out.write_all(&file.bytes))
            .map_err(named)
    };
    if reverse {
        files.iter().rev().try_for_each(write)
    } else {
        files.iter().try_for_each(write)
    }
}

/// Why files could not be collected.
pub(crate) enum CollectError {
    /// More bytes, files or depth than allowed.
    TooMuch,
    /// The system refused.
    Io(io::Error),
}

impl From<rustix::io::Errno> for CollectError {
    fn from(error: rustix::io::Errno) -> Self {
        CollectError::Io(error.into())
    }
}

impl From<io::Error> for CollectError {
    fn from(error: io::Error) -> Self {
        CollectError::Io(error)
    }
}

/// Reads regular files without following a link anywhere; what is missing is left out.
pub(crate) fn collect(wanted: &[Collect]) -> Result<Vec<File>, CollectError> {
    let mut files = Vec::new();
    for wish in wanted {
        let mut budget = wish.bytes;
        let Some(parent) = wish.path.parent() else {
            continue;
        };
        let Some(name) = wish.path.file_name() else {
            continue;
        };
        let Some(dir) = open_below_root(parent)? else {
            continue;
        };
        read_entry(
            dir.as_fd(),
            name.as_bytes(),
            &wish.path,
            0,
            &mut budget,
            &mut files,
        )?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}

fn open_below_root(path: &Path) -> Result<Option<OwnedFd>, CollectError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut dir = rustix::fs::open("/", flags, Mode::empty())?;
    for part in path.components() {
        let Component::Normal(name) = part else {
            continue;
        };
        match rustix::fs::openat(&dir, name, flags, Mode::empty()) {
            Ok(next) => dir = next,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(dir))
}

fn read_entry(
    dir: impl AsFd,
    name: &[u8],
    path: &Path,
    depth: usize,
    budget: &mut u64,
    files: &mut Vec<File>,
) -> Result<(), CollectError> {
    use rustix::io::Errno;
    let stat = match rustix::fs::statat(dir.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let open = |flags: OFlags| {
        rustix::fs::openat(
            dir.as_fd(),
            name,
            flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        )
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            if files.len() >= MOST_FILES || stat.st_size as u64 > *budget {
                return Err(CollectError::TooMuch);
            }
            let mut bytes = Vec::new();
            match open(OFlags::empty()) {
                Ok(fd) => fs::File::from(fd)
                    .take(*budget + 1)
                    .read_to_end(&mut bytes)?,
                // The command took its own right to read away: there is nothing to collect.
                Err(Errno::ACCESS) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let length = bytes.len() as u64;
            *budget = budget.checked_sub(length).ok_or(CollectError::TooMuch)?;
            let executable = stat.st_mode & 0o111 != 0;
            files.push(File {
                path: path.to_owned(),
                bytes,
                executable,
            });
        }
        FileType::Directory => {
            if depth >= MOST_DEPTH {
                return Err(CollectError::TooMuch);
            }
            let fd = match open(OFlags::DIRECTORY) {
                Ok(fd) => fd,
                Err(Errno::ACCESS) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            for entry in Dir::read_from(&fd)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    let below: PathBuf = path.join(std::ffi::OsString::from_vec(name.to_vec()));
                    read_entry(fd.as_fd(), name, &below, depth + 1, budget, files)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}
