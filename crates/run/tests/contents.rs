//! Contents: stored once, checked when read, and not stored when the task provides them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use agent::event::{Content, INLINE, Recorder};
use run::{Error, Known, Limits, Run, Store, digest};

mod common;
use common::header;

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut rest = vec![dir.to_owned()];
    while let Some(dir) = rest.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rest.push(path)
            } else {
                found.push(path)
            }
        }
    }
    found
}

#[test]
fn each_content_is_stored_once_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), Known::nothing());
    for bytes in [vec![], b"a".repeat(100_000), (0..=255).collect()] {
        let name = store.put(&bytes).unwrap();
        assert_eq!(name, digest(&bytes));
        assert_eq!(store.put(&bytes).unwrap(), name);
        assert!(store.contains(&name));
        assert_eq!(store.get(&name).unwrap(), bytes);
    }
    let stored = files(&dir.path().join("blobs"));
    assert_eq!(stored.len(), 3);
    assert!(
        stored
            .iter()
            .all(|path| fs::metadata(path).unwrap().len() < 1_000)
    );
    let name = digest(b"").to_string();
    assert!(
        dir.path()
            .join("blobs")
            .join(&name[..2])
            .join(&name[2..])
            .exists()
    );
}

#[test]
fn what_is_not_what_its_name_says_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), Known::nothing());
    let (one, other) = (store.put(b"one").unwrap(), store.put(b"other").unwrap());
    let path = |name: &str| dir.path().join("blobs").join(&name[..2]).join(&name[2..]);
    fs::copy(path(&one.to_string()), path(&other.to_string())).unwrap();
    let error = store.get(&other).unwrap_err();
    assert!(matches!(&error, Error::DamagedContent { .. }), "{error}");
    assert!(
        error.to_string().contains(&other.to_string()[2..]),
        "{error}"
    );
    fs::write(path(&one.to_string()), "junk").unwrap();
    assert!(matches!(store.get(&one), Err(Error::DamagedContent { .. })));
    fs::remove_file(path(&one.to_string())).unwrap();
    symlink("/etc/passwd", path(&one.to_string())).unwrap();
    assert!(matches!(store.get(&one), Err(Error::Io { .. })));
    assert!(matches!(
        store.get(&digest(b"never")),
        Err(Error::NoContent { .. })
    ));
}

#[test]
fn what_the_task_provides_is_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let docs = dir.path().join("docs");
    fs::create_dir_all(docs.join("deep")).unwrap();
    let manual = b"all rights reserved ".repeat(500);
    fs::write(docs.join("deep/manual.txt"), &manual).unwrap();
    symlink("/etc/passwd", docs.join("link")).unwrap();
    let mut known = Known::scan(&[&docs]).unwrap();
    known.provide(b"case ".repeat(500));
    let mut store = Store::open(dir.path(), known);

    let name = store.put(&manual).unwrap();
    let case = store.put(&b"case ".repeat(500)).unwrap();
    assert!(files(&dir.path().join("blobs")).is_empty());
    assert_eq!(store.get(&name).unwrap(), manual);
    assert_eq!(store.get(&case).unwrap(), b"case ".repeat(500));
    assert!(!store.contains(&digest(&fs::read("/etc/passwd").unwrap())));

    fs::write(docs.join("deep/manual.txt"), "second edition").unwrap();
    assert!(matches!(store.get(&name), Err(Error::NoContent { .. })));
    assert!(matches!(
        Known::scan(&[dir.path().join("none")]),
        Err(Error::Io { .. })
    ));
}

#[test]
fn a_run_keeps_long_content_and_clears_what_was_half_made() {
    let runs = tempfile::tempdir().unwrap();
    let dir = runs.path().join("run");
    let mut run = Run::create(&dir, &header(), Known::nothing(), Limits::WORKSPACE).unwrap();
    assert_eq!(
        run.content(b"short\n").unwrap(),
        Content::Inline("short\n".into())
    );
    let long = vec![b'x'; INLINE + 1];
    let Content::Blob { sha256, bytes } = run.content(&long).unwrap() else {
        panic!("not a blob")
    };
    assert_eq!((sha256, bytes), (digest(&long), long.len() as u64));
    assert!(matches!(
        run.content(b"\xff").unwrap(),
        Content::Blob { bytes: 1, .. }
    ));
    drop(run);

    fs::write(dir.join("blobs/new-77-1"), "half").unwrap();
    let opened = Run::open(&dir, Known::nothing(), Limits::WORKSPACE).unwrap();
    assert_eq!(opened.run.store().get(&sha256).unwrap(), long);
    assert_eq!(files(&dir.join("blobs")).len(), 2);
}
