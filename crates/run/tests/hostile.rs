//! Workspaces and trees that were made to deceive.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use agent::event::TreeHash;
use run::{Known, Limits, Node, Store, restore};
use rustix::fs::{CWD, FileType, Mode, RenameFlags};

mod common;
use common::place::{Place, contents};

/// A tree that nobody's snapshot would give.
#[track_caller]
fn check_hostile(lines: &[&str], words: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), Known::nothing());
    let content = store.put(b"evil").unwrap();
    let list: String = lines
        .iter()
        .map(|line| line.replace("EVIL", &content.to_string()) + "\n")
        .collect();
    let tree = TreeHash(store.put(list.as_bytes()).unwrap());
    let to = dir.path().join("inner/to");
    fs::create_dir_all(&to).unwrap();
    let error = restore(
        &store,
        tree,
        &to,
        Limits {
            files: 9,
            bytes: 99,
            depth: 5,
        },
    )
    .unwrap_err()
    .to_string();
    assert!(error.contains(words), "{error}");
    let outside: Vec<_> = fs::read_dir(dir.path().join("inner")).unwrap().collect();
    assert_eq!(outside.len(), 1, "something was written outside");
}

#[test]
fn a_hostile_tree_writes_nothing_outside() {
    let file = |path: &str| {
        format!(r#"{{"kind":"file","path":"{path}","sha256":"EVIL","bytes":4,"executable":false}}"#)
    };
    for path in [
        "../x",
        "/x",
        "a/../../x",
        "",
        ".",
        "a//b",
        "a/",
        ".git/hooks/x",
        "a/.git",
        "x\\u0000",
    ] {
        check_hostile(&[&file(path)], "cannot be in a workspace");
    }
    check_hostile(
        &[r#"{"kind":"link","path":"a","to":".."}"#, &file("a/x")],
        "line 2: b\"a/x\" is below",
    );
    check_hostile(&[&file("a"), &file("a/x")], "line 2: b\"a/x\" is below");
    check_hostile(
        &[&file("a"), r#"{"kind":"link","path":"a","to":".."}"#],
        "line 2: path b\"a\" is out of order",
    );
    check_hostile(&[&file("b"), &file("a")], "out of order");
    check_hostile(&[&file("a").replace(":4", ":5")], "has not 5 bytes");
    check_hostile(&[&file("a").replace(":4", ":100")], "more than 99 bytes");
    check_hostile(&[&file("1/2/3/4/5/6/a")], "nested deeper than 5");
    check_hostile(
        &[r#"{"kind":"device","path":"a"}"#],
        "line 1: unknown variant",
    );
    check_hostile(
        &[r#"{"kind":"link","path":"a","to":""}"#],
        "cannot be in a link",
    );
}

/// Somebody exchanges a file, a link and a pipe, and a directory and a link, as fast as possible.
#[test]
fn a_workspace_that_changes_meanwhile_leads_nowhere_else() {
    let mut place = Place::new(Limits::WORKSPACE);
    let secret = place.runs.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("x"), "the secret").unwrap();
    place.write("file", "mine");
    place.write("dir/x", "mine");
    symlink(&secret, place.at("dir-link")).unwrap();
    symlink(secret.join("x"), place.at("file-link")).unwrap();
    rustix::fs::mknodat(
        CWD,
        place.at("pipe"),
        FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )
    .unwrap();
    let (top, stop) = (place.at(""), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let exchange = |one: &str, other: &str| {
                let (one, other) = (top.join(one), top.join(other));
                rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
            };
            while !stop.load(Ordering::Relaxed) {
                exchange("file", "file-link");
                exchange("dir", "dir-link");
                exchange("file", "pipe");
            }
        });
        for _ in 0..1_000 {
            place.snapshot().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(!place.run.store().contains(&run::digest(b"the secret")));
}

/// The part of the next test that needs a process without privileges.
#[test]
fn unreadable() {
    if std::env::var_os("RUN_TEST_UNPRIVILEGED").is_none() {
        return;
    }
    let mut place = Place::new(Limits::WORKSPACE);
    place.write("a", "1");
    place.write("b/c", "2");
    place.write("d", "3");
    for (path, mode) in [("a", 0o000), ("b", 0o000)] {
        fs::set_permissions(place.at(path), Permissions::from_mode(mode)).unwrap();
    }
    place.snapshot().unwrap();
    let kinds: Vec<_> = place
        .nodes()
        .iter()
        .map(|node| matches!(node, Node::Unreadable { .. }))
        .collect();
    assert_eq!(
        (place.names(), kinds),
        (
            vec!["a".into(), "b".into(), "d".into()],
            vec![true, true, false]
        )
    );
    assert_eq!(contents(place.restored().path()).len(), 1);
    fs::set_permissions(place.at("b"), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_may_not_be_read_is_listed_as_such() {
    // In a user namespace of its own, also root is bound by the modes of its files.
    #[expect(
        clippy::disallowed_methods,
        reason = "the test's own program, without privileges"
    )]
    let mut command = std::process::Command::new("unshare");
    let program = std::env::current_exe().unwrap();
    command
        .arg("--user")
        .arg(program)
        .args(["--exact", "unreadable"])
        .env("RUN_TEST_UNPRIVILEGED", "1");
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}
