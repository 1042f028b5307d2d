//! Trees of files out of bytes: what an agent or the author of a submission could leave behind.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};

/// Names that somebody could stumble over.
const NAMES: [&[u8]; 20] = [
    b"a",
    b"b",
    b"main.py",
    b"x.o",
    b".git",
    b".GIT",
    b"target",
    b"\xff\xfe",
    b"\xc3\xa9",
    b"new\nline",
    b"-rf",
    b" ",
    b"\\",
    b"a\"b",
    b"...",
    b"\x1b[2J",
    b"dune",
    b"build.rs",
    b"%s",
    b".partial",
];

/// What files hold; a small number of contents, so that what stores them need not grow.
const CONTENTS: [&[u8]; 5] = [
    b"",
    b"x",
    b"print(1)\n",
    b"\x7fELF\x02\x01\x01",
    &[0xff; 5000],
];

/// Makes a tree below `root`, which exists, as the bytes say. Whatever the system refuses is not made.
pub(crate) fn plant(plan: &[u8], root: &Path) {
    let mut here = root.to_owned();
    for step in plan.chunks(2).take(64) {
        let [what, which] = [step[0], step.get(1).copied().unwrap_or_default()];
        let at = here.join(name(which));
        match what % 12 {
            0 | 1 => {
                // Never through a link that stands there already.
                let file = OpenOptions::new().write(true).create_new(true).open(&at);
                let content = CONTENTS[usize::from(what / 12) % CONTENTS.len()];
                drop(file.and_then(|mut file| file.write_all(content)));
            }
            2 => drop(fs::create_dir(&at)),
            3 if at.symlink_metadata().is_ok_and(|data| data.is_dir()) => here = at,
            3 if fs::create_dir(&at).is_ok() => here = at,
            4 if here != root => drop(here.pop()),
            5 => drop(symlink(target(what / 12), &at)),
            6 => drop(mknodat(CWD, &at, FileType::Fifo, Mode::RUSR, 0)),
            7 => drop(mknodat(CWD, &at, FileType::Socket, Mode::RUSR, 0)),
            8 if at.symlink_metadata().is_ok_and(|data| !data.is_symlink()) => {
                let mode = [0, 0o111, 0o444, 0o755, 0o4755][usize::from(what / 12) % 5];
                drop(fs::set_permissions(&at, Permissions::from_mode(mode)));
            }
            9 => drop(fs::hard_link(here.join(name(what / 12)), &at)),
            10 => {
                // Larger than anything that is read whole, and takes no space.
                let file = OpenOptions::new().write(true).create_new(true).open(&at);
                drop(file.and_then(|file: File| file.set_len(1 << (10 + what / 8))));
            }
            11 => {
                let deep: PathBuf = std::iter::repeat_n("d", usize::from(which)).collect();
                drop(fs::create_dir_all(here.join(deep)));
            }
            _ => {}
        }
    }
}

fn name(which: u8) -> &'static OsStr {
    OsStr::from_bytes(NAMES[usize::from(which) % NAMES.len()])
}

fn target(which: u8) -> &'static OsStr {
    let targets: [&[u8]; 6] = [
        b"a",
        b"..",
        b"../outside",
        b".",
        b"../outside/canary",
        b"\xff",
    ];
    OsStr::from_bytes(targets[usize::from(which) % targets.len()])
}

/// Takes a tree away, whatever modes it has.
pub(crate) fn clear(root: &Path) {
    if fs::remove_dir_all(root).is_err() {
        open(root);
        drop(fs::remove_dir_all(root));
    }
}

fn open(dir: &Path) {
    drop(fs::set_permissions(dir, Permissions::from_mode(0o700)));
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open(&entry.path());
        }
    }
}

/// A directory beside a tree, to which its links lead; nothing in it may ever change.
pub(crate) struct Outside(PathBuf);

impl Outside {
    pub(crate) fn new(scratch: &Path) -> Self {
        let dir = scratch.join("outside");
        if !dir.exists() {
            fs::create_dir(&dir).expect("the scratch directory can be written to");
            fs::write(dir.join("canary"), CANARY).expect("so can this");
        }
        Outside(dir)
    }

    pub(crate) fn check(&self) {
        let names = fs::read_dir(&self.0).map_or(0, Iterator::count);
        let canary = fs::read(self.0.join("canary")).unwrap_or_default();
        assert!(
            names == 1 && canary == CANARY,
            "something outside was changed"
        );
    }
}

/// What stands outside, and must never be read either.
pub(crate) const CANARY: &[u8] = b"the bird sings outside";
