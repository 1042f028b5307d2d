//! Trees that are no submissions, and what the harness itself could be started with.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use score::Submission;

use crate::table::{Act, Attack, Twin, attack};

const BY: &str = "a tree that is submitted";

/// Reads a tree that holds `main.py` and, unless this is the twin, what `spoil` puts there.
fn accepted(twin: bool, spoil: fn(&Path)) -> bool {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("main.py"), "print(1)\n").unwrap();
    if !twin {
        spoil(directory.path());
    }
    Submission::read(directory.path(), &[]).is_ok()
}

fn pipe(at: &Path) {
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
}

pub(crate) fn attacks() -> Vec<Attack> {
    let act = |name, tries, act: fn(bool) -> bool| {
        let twin = Twin::Host("the same tree without it is accepted");
        let wall =
            "regular files within limits; nothing is followed, everything else is refused by name";
        attack(BY, (name, tries, wall), Act::Host(act), twin)
    };
    vec![
        act("link-out", "a link to a file of the host", |twin| {
            accepted(twin, |dir| {
                std::os::unix::fs::symlink("/etc/shadow", dir.join("a.py")).unwrap()
            })
        }),
        act(
            "directory-link",
            "a link to a directory of the host",
            |twin| {
                accepted(twin, |dir| {
                    std::os::unix::fs::symlink("/etc", dir.join("a")).unwrap()
                })
            },
        ),
        act(
            "named-pipe",
            "a named pipe, which would block its reader",
            |twin| accepted(twin, |dir| pipe(&dir.join("a.py"))),
        ),
        act("socket", "a socket", |twin| {
            accepted(twin, |dir| {
                drop(std::os::unix::net::UnixListener::bind(dir.join("s")).unwrap())
            })
        }),
        act("sparse-giant", "a sparse file of a terabyte", |twin| {
            accepted(twin, |dir| {
                fs::File::create(dir.join("g"))
                    .unwrap()
                    .set_len(1 << 40)
                    .unwrap()
            })
        }),
        act("many-files", "more files than anybody writes", |twin| {
            accepted(twin, |dir| {
                (0..10_001).for_each(|n| fs::write(dir.join(n.to_string()), "").unwrap())
            })
        }),
        act("deep-directories", "directories 200 deep", |twin| {
            accepted(twin, |dir| {
                fs::create_dir_all(dir.join("d/".repeat(200))).unwrap()
            })
        }),
        act("bad-name", "a name that is not UTF-8", |twin| {
            accepted(twin, |dir| {
                fs::write(dir.join(std::ffi::OsStr::from_bytes(b"\xff.py")), "").unwrap()
            })
        }),
        act(
            "elf-inside",
            "a compiled program under a source's name",
            |twin| {
                let language = crate::lab::catalog().language("python").unwrap();
                let bytes: &[u8] = if twin {
                    b"print(1)\n"
                } else {
                    b"\x7fELF\x02\x01\x01"
                };
                target::conformity::check(&[("main.py", bytes)], &language).is_empty()
            },
        ),
    ]
}
