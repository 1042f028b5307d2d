//! Directories to a store in a directory, and back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use store::{Access, Error, Fetched, Inbox, Kind, Place, Source, Store, Stored, Upload};

fn opened(dir: &Path) -> Store {
    let place = Place::parse(&format!("file://{}", dir.display())).unwrap();
    Store::open(&place, &Access::default(), true).unwrap()
}

/// A directory that looks like a run.
fn run(dir: &Path, seed: u32) {
    for below in [
        "workspace/src",
        "workspace/empty",
        "blobs/aa",
        "tmp",
        "task",
    ] {
        fs::create_dir_all(dir.join(below)).unwrap();
    }
    fs::write(dir.join("run.toml"), format!("seed = {seed}\n")).unwrap();
    let journal: String = (0..20_000)
        .map(|line| format!("{{\"seq\":{line},\"seed\":{seed}}}\n"))
        .collect();
    fs::write(dir.join("journal.jsonl"), journal.repeat(2)).unwrap();
    for number in 0..200u32 {
        let content = number.to_le_bytes().repeat(number as usize);
        fs::write(dir.join(format!("task/{number}")), content).unwrap();
    }
    let random: Vec<u8> = (0..80_000u32)
        .flat_map(|n| (n ^ seed).wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    fs::write(dir.join("blobs/aa/large"), random).unwrap();
    fs::write(dir.join("workspace/src/main.py"), "print()\n").unwrap();
    let program = dir.join("workspace/run.sh");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/etc/passwd", dir.join("workspace/link")).unwrap();
    fs::write(dir.join("tmp/scratch"), "x").unwrap();
}

type Contents = BTreeMap<PathBuf, (u32, Vec<u8>)>;

/// Everything below a directory, but scratch.
fn contents(dir: &Path) -> Contents {
    let mut all = BTreeMap::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(dir).unwrap().to_owned();
            if below.starts_with("tmp/scratch") {
                continue;
            }
            let data = fs::symlink_metadata(&path).unwrap();
            let content = if data.is_symlink() {
                let to = fs::read_link(&path).unwrap();
                to.to_string_lossy().into_owned().into_bytes()
            } else if data.is_dir() {
                waiting.push(path.clone());
                Vec::new()
            } else {
                fs::read(&path).unwrap()
            };
            all.insert(below, (data.mode(), content));
        }
    }
    all
}

fn source<'a>(id: &'a str, dir: &'a Path) -> Source<'a> {
    Source {
        kind: Kind::Run,
        id,
        dir,
    }
}

fn put(upload: &mut Upload<'_>, id: &str, dir: &Path) -> Result<Stored, Error> {
    let never = AtomicBool::new(false);
    upload.store(source(id, dir), &never, &mut |_, _| {}, &|| Ok(()))
}

fn get(store: &Store, into: &Path, id: &str) -> Result<Fetched, Error> {
    let never = AtomicBool::new(false);
    let inbox = Inbox::open(into)?;
    let fetched = inbox.fetch(store, Kind::Run, id, &never, &mut |_, _| {});
    fetched.map(|(_, fetched)| fetched)
}

struct Places {
    _dir: tempfile::TempDir,
    run: PathBuf,
    bucket: PathBuf,
    back: PathBuf,
}

fn places() -> Places {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (run_dir, bucket, back) = (at("one"), at("bucket"), at("back"));
    run(&run_dir, 1);
    Places {
        run: run_dir,
        bucket,
        back,
        _dir: dir,
    }
}

fn objects(bucket: &Path) -> Vec<PathBuf> {
    let all = contents(&bucket.join("objects"));
    let file = |(path, (mode, _)): (PathBuf, (u32, Vec<u8>))| (mode & 0o40000 == 0).then_some(path);
    let mut paths: Vec<_> = all.into_iter().filter_map(file).collect();
    paths.sort();
    paths
}

#[test]
fn a_run_comes_back_as_it_was_and_is_uploaded_once() {
    let places = places();
    let store = opened(&places.bucket);
    let first = put(&mut Upload::new(&store, false), "one", &places.run).unwrap();
    assert!(!first.was_there && first.uploaded == first.objects && first.objects > 2);
    assert_eq!(first.uploaded as usize, objects(&places.bucket).len());
    let again = put(&mut Upload::new(&store, false), "one", &places.run).unwrap();
    assert!(again.was_there && again.uploaded == 0, "{again:?}");

    assert_eq!(get(&store, &places.back, "one").unwrap(), Fetched::New);
    assert_eq!(contents(&places.back.join("one")), contents(&places.run));
    assert_eq!(get(&store, &places.back, "one").unwrap(), Fetched::WasThere);
    // Nothing but the run is left.
    assert_eq!(fs::read_dir(&places.back).unwrap().count(), 1);
    fs::write(places.back.join("one/journal.jsonl"), "other").unwrap();
    let differs = Fetched::Differs("journal.jsonl".to_owned());
    assert_eq!(get(&store, &places.back, "one").unwrap(), differs);
    let never = AtomicBool::new(false);
    assert_eq!(store.list(Kind::Run, &never).unwrap(), ["one"]);
    assert!(store.list(Kind::Image, &never).unwrap().is_empty());
}

#[test]
fn what_runs_have_in_common_is_stored_once() {
    let places = places();
    let two = places.run.with_file_name("two");
    run(&two, 2);
    let store = opened(&places.bucket);
    let mut upload = Upload::new(&store, false);
    let one = put(&mut upload, "one", &places.run).unwrap();
    let two = put(&mut upload, "two", &two).unwrap();
    assert!(two.uploaded < one.uploaded, "{one:?} {two:?}");
}

#[test]
fn a_dry_run_writes_nothing_and_counts_the_same() {
    let places = places();
    let store = opened(&places.bucket);
    let dry = put(&mut Upload::new(&store, true), "one", &places.run).unwrap();
    assert_eq!(contents(&places.bucket).len(), 0);
    let real = put(&mut Upload::new(&store, false), "one", &places.run).unwrap();
    assert_eq!(dry, real);
}

#[test]
fn an_upload_that_ended_early_is_not_a_run_and_goes_on() {
    let places = places();
    let store = opened(&places.bucket);
    let cancel = AtomicBool::new(false);
    let mut upload = Upload::new(&store, false);
    let ended = upload.store(
        source("one", &places.run),
        &cancel,
        // After the first object.
        &mut |_, _| cancel.store(true, Ordering::Relaxed),
        &|| Ok(()),
    );
    let sent = objects(&places.bucket).len() as u64;
    // A fast disk may have taken everything before anybody looked.
    if ended.is_err() {
        assert!(matches!(ended, Err(Error::Interrupted)), "{ended:?}");
        let never = AtomicBool::new(false);
        assert!(store.list(Kind::Run, &never).unwrap().is_empty());
        let said = get(&store, &places.back, "one").unwrap_err().to_string();
        assert!(said.contains("not whole"), "{said}");
        let rest = put(&mut Upload::new(&store, false), "one", &places.run).unwrap();
        // What was on its way when it ended may have arrived after the count, and is not sent again.
        assert!(
            rest.uploaded <= rest.objects - sent,
            "{rest:?}, {sent} before"
        );
        assert_eq!(rest.objects as usize, objects(&places.bucket).len());
    }
    assert_eq!(get(&store, &places.back, "one").unwrap(), Fetched::New);
}

#[test]
fn a_run_that_is_not_settled_or_changes_has_no_head() {
    let places = places();
    let store = opened(&places.bucket);
    let never = AtomicBool::new(false);
    let journal = places.run.join("journal.jsonl");
    let held = || Err("held by somebody".to_owned());
    let changed = || {
        fs::write(&journal, "more").unwrap();
        Ok(())
    };
    let refused = |settled: &dyn Fn() -> Result<(), String>, expected: &str| {
        let error = Upload::new(&store, false)
            .store(source("one", &places.run), &never, &mut |_, _| {}, settled)
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(store.list(Kind::Run, &never).unwrap().is_empty());
    };
    refused(&held, "held by somebody");
    refused(&changed, "changed while it was read");
}

#[test]
fn a_damaged_object_is_named_refused_and_replaced() {
    let places = places();
    let store = opened(&places.bucket);
    put(&mut Upload::new(&store, false), "one", &places.run).unwrap();
    for (number, object) in objects(&places.bucket).into_iter().enumerate() {
        let path = places.bucket.join("objects").join(&object);
        let right = fs::read(&path).unwrap();
        let mut wrong = right.clone();
        let middle = wrong.len() / 2;
        wrong[middle] ^= 1;
        let content = match number % 3 {
            0 => Some(wrong),
            1 => Some(right[1..].to_vec()),
            _ => None,
        };
        match &content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let error = get(&store, &places.back, "one").unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        let name = object.file_name().unwrap().to_str().unwrap();
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(fs::read_dir(&places.back).unwrap().count(), 0);
        let again = put(&mut Upload::new(&store, false), "one", &places.run).unwrap();
        let expected = if content.is_some() { (0, 1) } else { (1, 0) };
        assert_eq!((again.uploaded, again.replaced), expected);
        assert_eq!(fs::read(&path).unwrap(), right);
    }
    // And the head.
    let head = places.bucket.join("runs/one.json");
    let right = fs::read_to_string(&head).unwrap();
    let files = right.replace("\"files\": 2", "\"files\": 3");
    assert_ne!(files, right);
    for wrong in ["", "{}", "{\"format\": 7}", &files] {
        fs::write(&head, wrong).unwrap();
        let error = get(&store, &places.back, "one").unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("runs/one.json"), "{error}");
    }
    put(&mut Upload::new(&store, false), "one", &places.run).unwrap();
    assert_eq!(fs::read_to_string(&head).unwrap(), right);
}

#[test]
fn another_run_of_the_same_name_is_left_alone() {
    let places = places();
    let store = opened(&places.bucket);
    put(&mut Upload::new(&store, false), "one", &places.run).unwrap();
    // More of the same run takes the place of less.
    fs::write(places.run.join("verdict.json"), "{}").unwrap();
    let more = put(&mut Upload::new(&store, false), "one", &places.run).unwrap();
    assert!(!more.was_there);
    fs::write(places.run.join("run.toml"), "seed = 9\n").unwrap();
    let error = put(&mut Upload::new(&store, false), "one", &places.run).unwrap_err();
    assert!(
        error.to_string().contains("another run of this name"),
        "{error}"
    );
}

#[test]
fn links_that_could_lead_out_are_not_stored() {
    let places = places();
    symlink("/etc", places.run.join("blobs/bb")).unwrap();
    let store = opened(&places.bucket);
    let error = put(&mut Upload::new(&store, false), "one", &places.run).unwrap_err();
    assert!(error.to_string().contains("blobs/bb"), "{error}");
}

#[test]
fn two_downloads_do_not_meet_and_what_was_left_is_removed() {
    let places = places();
    let store = opened(&places.bucket);
    put(&mut Upload::new(&store, false), "one", &places.run).unwrap();
    let inbox = Inbox::open(&places.back).unwrap();
    let error = Inbox::open(&places.back).unwrap_err();
    assert!(error.to_string().contains("another"), "{error}");
    // As a download leaves it that is killed.
    let half = places.back.join(".sync/half/below");
    fs::create_dir_all(&half).unwrap();
    fs::set_permissions(&half, fs::Permissions::from_mode(0o000)).unwrap();
    drop(inbox);
    assert_eq!(get(&store, &places.back, "one").unwrap(), Fetched::New);
    assert_eq!(fs::read_dir(&places.back).unwrap().count(), 1);
}
