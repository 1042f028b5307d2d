//! Trees of files out of bytes: what an agent or the author of a submission could leave behind.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
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

/// Files and directories that a tree has at most, but for deep ones.
const STEPS: usize = 12;

/// A tree that was made.
pub(crate) struct Planted {
    root: PathBuf,
    /// What was made below it, directories before what is in them.
    made: Vec<PathBuf>,
}

/// Makes a tree at `root`, where nothing is, as the bytes say. Whatever the system refuses is not made.
pub(crate) fn plant(plan: &[u8], root: &Path) -> Planted {
    fs::create_dir(root).expect("the scratch directory is empty");
    let mut tree = Planted {
        root: root.to_owned(),
        made: Vec::new(),
    };
    let mut here = root.to_owned();
    for step in plan.chunks(2).take(STEPS) {
        let [what, which] = [step[0], step.get(1).copied().unwrap_or_default()];
        let at = here.join(name(which));
        // Never through a link that stands there already.
        let new = || OpenOptions::new().write(true).create_new(true).open(&at);
        let made = match what % 12 {
            0 | 1 => new().is_ok_and(|mut file| {
                let content = CONTENTS[usize::from(what / 12) % CONTENTS.len()];
                file.write_all(content).is_ok()
            }),
            2 => {
                tree.directory(&at);
                false
            }
            3 => {
                if at.symlink_metadata().is_ok_and(|data| data.is_dir()) || tree.directory(&at) {
                    here.clone_from(&at);
                }
                false
            }
            4 if here != root => {
                here.pop();
                false
            }
            5 => symlink(target(what / 12), &at).is_ok(),
            6 => mknodat(CWD, &at, FileType::Fifo, Mode::RUSR, 0).is_ok(),
            7 => mknodat(CWD, &at, FileType::Socket, Mode::RUSR, 0).is_ok(),
            8 if at.symlink_metadata().is_ok_and(|data| !data.is_symlink()) => {
                let mode = [0, 0o111, 0o444, 0o755, 0o4755][usize::from(what / 12) % 5];
                drop(fs::set_permissions(&at, Permissions::from_mode(mode)));
                false
            }
            9 => fs::hard_link(here.join(name(what / 12)), &at).is_ok(),
            // Larger than anything that is read whole, and takes no space.
            10 => new().is_ok_and(|file: File| {
                let length = 1 << [10, 13, 30, 41][usize::from(what / 12) % 4];
                file.set_len(length).is_ok()
            }),
            11 => {
                // Deeper than anything may be, or a little: every level takes time.
                let levels = if which >= 0xfc { which } else { which % 8 };
                let mut deep = here.clone();
                for _ in 0..levels {
                    deep.push("d");
                    tree.directory(&deep);
                }
                false
            }
            _ => false,
        };
        if made {
            tree.made.push(at);
        }
    }
    tree
}

impl Planted {
    /// Makes a directory; says whether it is new.
    fn directory(&mut self, at: &Path) -> bool {
        let made = fs::create_dir(at).is_ok();
        if made {
            self.made.push(at.to_owned());
        }
        made
    }

    /// Takes the tree away, and what else has come into it.
    pub(crate) fn clear(self) {
        // To look for what is there costs more than all of this.
        for path in self.made.iter().rev() {
            drop(fs::remove_file(path).or_else(|_| fs::remove_dir(path)));
        }
        if fs::remove_dir(&self.root).is_err() {
            clear(&self.root);
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
pub(crate) struct Outside {
    dir: PathBuf,
    before: [Stamp; 2],
}

/// What changes with a file, or with the names in a directory: when it was changed, which nobody can set, and its size.
type Stamp = (i64, i64, u64);

impl Outside {
    pub(crate) fn new(scratch: &Path) -> Self {
        let dir = scratch.join("outside");
        if !dir.exists() {
            fs::create_dir(&dir).expect("the scratch directory can be written to");
            fs::write(dir.join("canary"), CANARY).expect("so can this");
        }
        let before = Outside::stamps(&dir);
        Outside { dir, before }
    }

    fn stamps(dir: &Path) -> [Stamp; 2] {
        [dir, &dir.join("canary")].map(|path| {
            let data = fs::symlink_metadata(path).expect("nothing outside was taken away");
            (data.ctime(), data.ctime_nsec(), data.size())
        })
    }

    pub(crate) fn check(&self) {
        assert_eq!(
            Outside::stamps(&self.dir),
            self.before,
            "something outside was changed"
        );
    }
}

/// What stands outside, and must never be read either.
pub(crate) const CANARY: &[u8] = b"the bird sings outside";
