//! The guard in real programs: with its rules they read what the rules name, without them they do not start.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use landlock::{
    ABI, Access, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr,
};
use oracle::{GUARD, GUARD_FAILED, GUARD_FD};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

/// A library that every dynamic program here has mapped.
const LIBRARY: &str = "/lib/x86_64-linux-gnu/libc.so.6";

fn cat(guard: &Path, file: &Path) -> Output {
    #[expect(
        clippy::disallowed_methods,
        reason = "the guard is under test without a sandbox around it"
    )]
    Command::new("/bin/cat")
        .arg(file)
        .env("LD_PRELOAD", guard)
        .output()
        .unwrap()
}

/// Rules under which only `directory` can be read.
fn rules(directory: &Path) -> OwnedFd {
    let all = AccessFs::from_all(ABI::V5);
    let created: RulesetCreated = Ruleset::default()
        .handle_access(all)
        .unwrap()
        .create()
        .unwrap();
    let rule = PathBeneath::new(
        PathFd::new(directory).unwrap(),
        AccessFs::from_read(ABI::V5),
    );
    let ruleset: Option<OwnedFd> = created.add_rule(rule).unwrap().into();
    ruleset.expect("this kernel has no Landlock, and no guard can work on it")
}

// One test: descriptor GUARD_FD belongs to the whole process.
#[test]
fn a_program_reads_what_the_rules_name_or_does_not_start() {
    let place = tempfile::tempdir().unwrap();
    let (guard, open): (PathBuf, PathBuf) =
        (place.path().join("guard.so"), place.path().join("open"));
    fs::write(&guard, GUARD).unwrap();
    fs::create_dir(&open).unwrap();
    fs::write(open.join("file"), "content").unwrap();
    // An ordinary user may restrict itself only so; it is inherited by what this thread starts.
    rustix::thread::set_no_new_privs(true).unwrap();

    let output = cat(&guard, &open.join("file"));
    assert_eq!(
        output.status.code(),
        Some(GUARD_FAILED),
        "no descriptor, no start"
    );
    assert_eq!(output.stdout, b"");
    assert!(
        output.stderr.starts_with(b"oracle: the guard "),
        "{output:?}"
    );

    let something_else = fs::File::open("/dev/null").unwrap();
    let descriptor = inheritable(something_else.into());
    assert_eq!(
        cat(&guard, &open.join("file")).status.code(),
        Some(GUARD_FAILED),
        "not a set of rules"
    );
    drop(descriptor);

    let descriptor = inheritable(rules(&open));
    let output = cat(&guard, &open.join("file"));
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(0), &b"content"[..]),
        "{output:?}"
    );
    for closed in [
        Path::new(LIBRARY),
        &guard,
        Path::new("/bin/cat"),
        Path::new("/proc/self/maps"),
        place.path(),
    ] {
        let output = cat(&guard, closed);
        assert_eq!(
            (output.status.code(), &output.stdout[..]),
            (Some(1), &b""[..]),
            "{closed:?}"
        );
        assert!(
            output.stderr.ends_with(b": Permission denied\n"),
            "{output:?}"
        );
    }
    // The rules themselves are not left behind.
    let own = format!("/proc/self/fd/{GUARD_FD}");
    #[expect(
        clippy::disallowed_methods,
        reason = "the guard is under test without a sandbox around it"
    )]
    let output = Command::new("/bin/bash")
        .args(["-c", &format!("true >&{GUARD_FD} || kill -USR1 $$")])
        .env("LD_PRELOAD", &guard)
        .output()
        .unwrap();
    assert_eq!(
        output.status.signal(),
        Some(10),
        "{own} is open: {output:?}"
    );
    drop(descriptor);

    // Without the guard the same reads succeed: it is the guard that stops them.
    assert!(cat(Path::new(""), Path::new(LIBRARY)).status.success());
}

/// Puts a descriptor where the guard looks, open across exec.
fn inheritable(descriptor: OwnedFd) -> OwnedFd {
    let copy = fcntl_dupfd_cloexec(descriptor, GUARD_FD).unwrap();
    assert_eq!(copy.as_raw_fd(), GUARD_FD);
    fcntl_setfd(&copy, FdFlags::empty()).unwrap();
    copy
}

const PT_DYNAMIC: u32 = 2;
const PT_GNU_STACK: u32 = 0x6474_e551;
const DT_NEEDED: u64 = 1;
const DT_TEXTREL: u64 = 22;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_1_INITFIRST: u64 = 0x20;
const SHT_DYNSYM: u32 = 11;

fn number<const N: usize>(at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes[..N].copy_from_slice(&GUARD[at..at + N]);
    u64::from_le_bytes(bytes)
}

#[test]
fn it_needs_nothing_and_gives_nothing() {
    assert_eq!(&GUARD[..6], b"\x7fELF\x02\x01");
    assert_eq!(number::<2>(16), 3, "a shared object");
    let (headers, count) = (number::<8>(32) as usize, number::<2>(56) as usize);
    let segments: Vec<_> = (0..count).map(|index| headers + index * 56).collect();
    let find = |kind: u32| {
        segments
            .iter()
            .copied()
            .find(|&at| number::<4>(at) == u64::from(kind))
            .unwrap()
    };

    let (offset, size) = (
        number::<8>(find(PT_DYNAMIC) + 8) as usize,
        number::<8>(find(PT_DYNAMIC) + 32) as usize,
    );
    let dynamic: Vec<_> = (offset..offset + size)
        .step_by(16)
        .map(|at| (number::<8>(at), number::<8>(at + 8)))
        .collect();
    assert!(
        !dynamic.iter().any(|&(tag, _)| tag == DT_NEEDED),
        "it needs a library"
    );
    assert!(
        !dynamic.iter().any(|&(tag, _)| tag == DT_TEXTREL),
        "its text is not position independent"
    );
    let flags = dynamic
        .iter()
        .find(|&&(tag, _)| tag == DT_FLAGS_1)
        .map_or(0, |&(_, value)| value);
    assert_ne!(
        flags & DF_1_INITFIRST,
        0,
        "constructors of others could run before it"
    );
    assert_eq!(
        number::<4>(find(PT_GNU_STACK) + 4) & 1,
        0,
        "it makes the stack executable"
    );

    let (sections, count) = (number::<8>(40) as usize, number::<2>(60) as usize);
    let symbols: Vec<_> = (0..count)
        .map(|index| sections + index * 64)
        .filter(|&at| number::<4>(at + 4) == u64::from(SHT_DYNSYM))
        .map(|at| number::<8>(at + 32) / number::<8>(at + 56))
        .collect();
    // The first symbol of every table is none.
    assert_eq!(symbols, [1], "it exports or wants a symbol");
}
