//! The workspace's history: kept exactly, read only where it changed, and never by way of a link.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent::event::{Event, RecordError, Recorder, TreeHash};
use proptest::prelude::*;
use run::{Error, Known, Limits, Node, Run, Store, Tree, restore};

mod common;
use common::header;

struct Place {
    runs: tempfile::TempDir,
    run: Run,
}

impl Place {
    fn new(limits: Limits) -> Self {
        let runs = tempfile::tempdir().unwrap();
        let run = Run::create(
            &runs.path().join("run"),
            &header(),
            Known::nothing(),
            limits,
        )
        .unwrap();
        fs::create_dir(runs.path().join("workspace")).unwrap();
        Place { runs, run }
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.runs.path().join("workspace").join(path)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    fn snapshot(&mut self) -> Result<Option<TreeHash>, RecordError> {
        let tree = self.run.snapshot(&self.at(""))?;
        if let Some(tree) = tree {
            self.run.record(Event::Workspace { number: 1, tree })?;
        }
        Ok(tree)
    }

    fn nodes(&self) -> Vec<Node> {
        Tree::load(self.run.store(), self.run.tree().unwrap())
            .unwrap()
            .nodes
    }

    fn names(&self) -> Vec<String> {
        self.nodes()
            .iter()
            .map(|node| String::from_utf8_lossy(&node.path().0).into_owned())
            .collect()
    }

    fn restored(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        restore(
            self.run.store(),
            self.run.tree().unwrap(),
            dir.path(),
            Limits::WORKSPACE,
        )
        .unwrap();
        dir
    }
}

/// Everything below a directory, by path: what it is and what it holds.
fn contents(dir: &Path) -> BTreeMap<Vec<u8>, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut rest = vec![dir.to_owned()];
    while let Some(at) = rest.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let holds = if meta.is_symlink() {
                (
                    1,
                    fs::read_link(&path)
                        .unwrap()
                        .into_os_string()
                        .as_bytes()
                        .to_vec(),
                )
            } else if meta.is_dir() {
                rest.push(path.clone());
                (2, Vec::new())
            } else {
                (meta.permissions().mode() & 0o100, fs::read(&path).unwrap())
            };
            all.insert(
                path.strip_prefix(dir)
                    .unwrap()
                    .as_os_str()
                    .as_bytes()
                    .to_vec(),
                holds,
            );
        }
    }
    all
}

#[test]
fn a_workspace_comes_back_as_it_was() {
    let mut place = Place::new(Limits::WORKSPACE);
    place.write("a/b.py", "print(1)\n");
    place.write("a-b", "");
    place.write("big", vec![7; 3 << 20]);
    place.write("run.sh", "#!/bin/sh\n");
    fs::set_permissions(place.at("run.sh"), Permissions::from_mode(0o700)).unwrap();
    fs::create_dir_all(place.at("empty/deep")).unwrap();
    symlink("../../etc/passwd", place.at("out")).unwrap();
    symlink("nowhere", place.at("dangling")).unwrap();
    File::create(place.at("").join(OsStr::from_bytes(b"caf\xe9"))).unwrap();
    let before = contents(&place.at(""));
    let tree = place.snapshot().unwrap().unwrap();
    let dir = place.restored();
    assert_eq!(contents(dir.path()), before);
    assert_eq!(
        place.names(),
        [
            "a-b",
            "a/b.py",
            "big",
            "caf\u{fffd}",
            "dangling",
            "empty/deep",
            "out",
            "run.sh"
        ]
    );
    let list = place.run.store().get(&tree.0).unwrap();
    let list = String::from_utf8(list).unwrap();
    assert!(
        list.contains(r#"{"kind":"directory","path":"empty/deep"}"#),
        "{list}"
    );
    assert!(
        list.contains(r#"{"kind":"link","path":"out","to":"../../etc/passwd"}"#),
        "{list}"
    );
    assert!(
        list.contains(r#"{"kind":"file","path":{"base64":"Y2Fm6Q=="},"#),
        "{list}"
    );
    let error = restore(place.run.store(), tree, dir.path(), Limits::WORKSPACE).unwrap_err();
    assert!(matches!(error, Error::NotEmpty { .. }));
}

#[test]
fn special_files_and_git_are_passed_over() {
    let mut place = Place::new(Limits::WORKSPACE);
    place.write("sub/.git/config", "[core]");
    place.write(".git", "gitdir: /etc");
    place.write("keep", "1");
    let pipe = place.at("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    std::os::unix::net::UnixListener::bind(place.at("socket")).unwrap();
    place.snapshot().unwrap();
    assert_eq!(place.names(), ["keep", "sub"]);
}

#[test]
fn only_what_changed_is_new() {
    let mut place = Place::new(Limits::WORKSPACE);
    assert!(
        place.snapshot().unwrap().is_some(),
        "an empty workspace is a state too"
    );
    assert!(place.snapshot().unwrap().is_none());
    place.write("a", "1");
    let first = place.snapshot().unwrap().unwrap();
    // The same length, at once: a time of change alone might not tell.
    for round in 0..50 {
        place.write("a", if round % 2 == 0 { "2" } else { "1" });
        assert!(place.snapshot().unwrap().is_some(), "round {round}");
    }
    assert_eq!(place.run.tree(), Some(first));
    fs::set_permissions(place.at("a"), Permissions::from_mode(0o755)).unwrap();
    assert!(place.snapshot().unwrap().is_some());
    fs::remove_file(place.at("a")).unwrap();
    assert!(place.snapshot().unwrap().is_some());
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn what_did_not_change_is_not_read_again() {
    let mut place = Place::new(Limits::WORKSPACE);
    place.write("a", "content");
    std::thread::sleep(Duration::from_millis(150));
    place.snapshot().unwrap();
    // Were the file read again, its content would be stored again.
    let blobs = place.runs.path().join("run/blobs");
    fs::remove_dir_all(&blobs).unwrap();
    assert!(place.snapshot().unwrap().is_none());
    assert!(!place.run.store().contains(&run::digest(b"content")));
    // Setting the times back does not hide a change.
    let times = fs::metadata(place.at("a")).unwrap().modified().unwrap();
    place.write("a", "CONTENT");
    File::options()
        .write(true)
        .open(place.at("a"))
        .unwrap()
        .set_modified(times)
        .unwrap();
    assert!(place.snapshot().unwrap().is_some());
}

#[test]
fn an_opened_run_knows_the_last_state() {
    let mut place = Place::new(Limits::WORKSPACE);
    place.write("a", "1");
    let tree = place.snapshot().unwrap();
    let dir = place.runs.path().join("run");
    let Place { runs, run } = place;
    drop(run);
    let mut run = Run::open(&dir, Known::nothing(), Limits::WORKSPACE)
        .unwrap()
        .run;
    assert_eq!(run.tree(), tree);
    assert_eq!(run.snapshot(&runs.path().join("workspace")).unwrap(), None);
}

#[test]
fn a_workspace_beyond_a_limit_is_refused_and_the_run_goes_on() {
    let limits = Limits {
        files: 5,
        bytes: 100,
        depth: 3,
    };
    let mut place = Place::new(limits);
    let mut check = |make: &dyn Fn(&Place), words: &str| {
        make(&place);
        let error = place.snapshot().unwrap_err();
        let RecordError::Workspace(error) = error else {
            panic!("{error}")
        };
        assert!(error.to_string().contains(words), "{error}");
        fs::remove_dir_all(place.at("")).unwrap();
        fs::create_dir(place.at("")).unwrap();
        place.write("a", "fits");
        place.snapshot().unwrap();
    };
    check(
        &|place| (0..6).for_each(|name| place.write(&name.to_string(), "")),
        "more than 5 files",
    );
    check(&|place| place.write("a", [0; 101]), "more than 100 bytes");
    check(
        &|place| {
            ["a", "b", "c"]
                .iter()
                .for_each(|name| place.write(name, [0; 40]))
        },
        "more than 100 bytes",
    );
    check(
        &|place| place.write("1/2/3/4/file", ""),
        "1/2/3/4 is nested deeper than 3",
    );
}

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

/// Somebody exchanges files, directories, links and pipes as fast as possible.
#[test]
fn a_workspace_that_changes_meanwhile_leads_nowhere_else() {
    let mut place = Place::new(Limits::WORKSPACE);
    let secret = place.runs.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("file"), "the secret").unwrap();
    fs::write(secret.join("x"), "the secret").unwrap();
    let (top, stop) = (place.at(""), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (dir, file) = (top.join("dir"), top.join("file"));
            while !stop.load(Ordering::Relaxed) {
                let _ = fs::create_dir(&dir);
                let _ = fs::write(dir.join("x"), "mine");
                let _ = fs::write(&file, "mine");
                let _ = fs::remove_dir_all(&dir);
                let _ = fs::remove_file(&file);
                let _ = symlink(&secret, &dir);
                let _ = symlink(secret.join("file"), &file);
                let _ = fs::remove_file(&dir);
                let _ = fs::remove_file(&file);
                let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
                let _ = rustix::fs::mknodat(
                    rustix::fs::CWD,
                    &file,
                    rustix::fs::FileType::Fifo,
                    mode,
                    0,
                );
                let _ = fs::remove_file(&file);
            }
        });
        for _ in 0..500 {
            place.snapshot().unwrap();
            for node in place.nodes() {
                assert!(
                    matches!(node.path().0.as_slice(), b"dir" | b"dir/x" | b"file"),
                    "{node:?}"
                );
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(!place.run.store().contains(&run::digest(b"the secret")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 50, ..ProptestConfig::default() })]
    #[test]
    fn any_tree_comes_back(made in proptest::collection::vec(
        (proptest::collection::vec("[ab.\\-é]{1,3}", 1..4), 0..4_u8, proptest::collection::vec(any::<u8>(), 0..5)), 0..12,
    )) {
        let mut place = Place::new(Limits::WORKSPACE);
        for (parts, kind, bytes) in made {
            let path = place.at(&parts.join("/"));
            if parts.iter().any(|part| part == "." || part == "..") || fs::create_dir_all(path.parent().unwrap()).is_err() {
                continue;
            }
            // Where something is already, this fails, and that is as good a tree.
            match kind {
                0 => drop(fs::create_dir(&path)),
                1 => drop(symlink("a/b", &path)),
                _ => if let Ok(mut file) = File::options().write(true).create_new(true).open(&path) {
                    file.write_all(&bytes).unwrap();
                    file.set_permissions(Permissions::from_mode(if kind == 2 { 0o600 } else { 0o711 })).unwrap();
                },
            }
        }
        let tree = place.snapshot().unwrap();
        let dir = place.restored();
        prop_assert_eq!(contents(dir.path()), contents(&place.at("")));
        let mut other = Place::new(Limits::WORKSPACE);
        prop_assert_eq!(other.run.snapshot(dir.path()).unwrap(), tree);
    }
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
