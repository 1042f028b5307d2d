//! The workspace's history: kept exactly, and read only where it changed.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use agent::event::{RecordError, Recorder};
use proptest::prelude::*;
use run::{Error, Known, Limits, Run, restore};
use rustix::fs::{CWD, FileType, Mode};

mod common;
use common::place::{Place, contents};

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
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
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
