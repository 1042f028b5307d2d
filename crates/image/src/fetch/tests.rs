use std::cell::Cell;

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;

fn archive(dir: &Path, entries: &[(&str, EntryType, &[u8])]) -> PathBuf {
    let path = dir.join("archive.tgz");
    let mut builder = tar::Builder::new(GzEncoder::new(
        File::create(&path).unwrap(),
        Compression::fast(),
    ));
    for (name, kind, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        // Not by the builder's own means, which refuse bad paths.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap();
    path
}

#[test]
fn an_archive_loses_its_one_directory() {
    let dir = tempfile::tempdir().unwrap();
    let made = archive(
        dir.path(),
        &[
            ("x-1/Cargo.toml", EntryType::Regular, b"a"),
            ("x-1/src", EntryType::Directory, b""),
            ("x-1/src/main.rs", EntryType::Regular, b"b"),
        ],
    );
    let to = dir.path().join("to");
    unpack(&made, &to).unwrap();
    assert_eq!(fs::read(to.join("Cargo.toml")).unwrap(), b"a");
    assert_eq!(fs::read(to.join("src/main.rs")).unwrap(), b"b");
}

#[test]
fn an_archive_cannot_write_elsewhere() {
    for entry in [
        ("x-1/../../up", EntryType::Regular, &b"a"[..]),
        ("/tmp/absolute", EntryType::Regular, b"a"),
        ("x-1/link", EntryType::Symlink, b""),
        ("x-1/hard", EntryType::Link, b""),
        ("x-1/pipe", EntryType::Fifo, b""),
        ("alone", EntryType::Regular, b"a"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let made = archive(dir.path(), &[entry]);
        let found = unpack(&made, &dir.path().join("to"));
        assert!(
            matches!(found, Err(Error::Refused { .. })),
            "{}: {found:?}",
            entry.0
        );
    }
}

fn client<'a>(
    origin: &'a Origin,
    cancel: &'a AtomicBool,
    progress: &'a mut dyn FnMut(Progress),
) -> Client<'a> {
    Client {
        origin,
        cancel,
        progress: std::cell::RefCell::new(progress),
    }
}

fn origin() -> Origin {
    Origin {
        registry: Registry::Crate,
        name: "choose".into(),
        version: "1.3.7".into(),
        checksum: "a".repeat(64),
    }
}

#[test]
fn a_client_that_fails_is_quoted_and_its_lines_are_shown() {
    let (origin, cancel, lines) = (origin(), AtomicBool::new(false), Cell::new(0));
    let mut progress = |step: Progress| {
        lines.set(lines.get() + usize::from(matches!(step, Progress::Output(_))));
    };
    let client = client(&origin, &cancel, &mut progress);
    let mut command = program("sh");
    command.args([
        "-c",
        "echo out; echo first >&2; echo last words >&2; exit 7",
    ]);
    let message = client.run(&mut command, "").unwrap_err().to_string();
    assert!(
        message.starts_with("crate choose 1.3.7 cannot be fetched: `sh -c"),
        "{message}"
    );
    assert!(message.ends_with("first\nlast words"), "{message}");
    assert!(message.contains("exit status: 7"), "{message}");
    let mut missing = program("no-such-client");
    let message = client.run(&mut missing, "get it").unwrap_err().to_string();
    assert!(message.contains("no-such-client") && message.contains("get it"));
    cancel.store(true, Ordering::Relaxed);
    assert!(matches!(
        client.run(&mut command, ""),
        Err(Error::Interrupted)
    ));
    assert_eq!(lines.get(), 2);
}

#[test]
fn another_checksum_than_the_pinned_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("choose-1.3.7.crate");
    fs::write(&path, "something else").unwrap();
    let (origin, cancel) = (origin(), AtomicBool::new(false));
    let mut nothing = |_: Progress| ();
    let client = client(&origin, &cancel, &mut nothing);
    let message = client.verify(&path).unwrap_err().to_string();
    assert!(
        message.contains("crate choose 1.3.7") && message.contains(&origin.checksum),
        "{message}"
    );
}

#[test]
fn an_origin_that_is_not_exact_never_reaches_a_client() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(Some(dir.path())).unwrap();
    let cancel = AtomicBool::new(false);
    for registry in Registry::ALL.map(|(_, registry)| registry) {
        let origin = Origin {
            registry,
            version: "*".into(),
            ..origin()
        };
        let found = cache.fetch(&origin, "trixie", &cancel, &mut |_| ());
        assert!(matches!(found, Err(Error::BadRecipe(_))), "{found:?}");
    }
    assert_eq!(fs::read_dir(dir.path().join("images")).unwrap().count(), 0);
}

#[test]
fn archives_are_found_in_any_registry_that_cargo_knows() {
    let home = tempfile::tempdir().unwrap();
    for registry in ["one", "two"] {
        fs::create_dir_all(home.path().join("registry/cache").join(registry)).unwrap();
    }
    let path = home.path().join("registry/cache/two/choose-1.3.7.crate");
    fs::write(&path, "x").unwrap();
    assert_eq!(
        cargo_archives(home.path(), "choose-1.3.7.crate").unwrap(),
        [path]
    );
}

#[test]
fn what_stops_a_source_package_is_told_apart() {
    let origin = Origin {
        registry: Registry::Debian,
        name: "util-linux".into(),
        version: "2.41-5".into(),
        checksum: "a".repeat(64),
    };
    let error = |tail: &str| {
        let error = Error::Builder {
            command: "mmdebstrap".into(),
            status: "exit status: 25".into(),
            tail: tail.into(),
        };
        debian_error(&origin, error).to_string()
    };
    assert_eq!(
        error(&format!("{FOUND}bbb\nE: setup failed: x")),
        format!(
            "Debian source package util-linux 2.41-5 has the checksum bbb, but {} is pinned: nothing of it was used",
            origin.checksum
        )
    );
    assert_eq!(
        error(
            "E: Can not find version '2.41-5'\nE: setup failed: E: x\nI: removing\nE: mmdebstrap failed to run"
        ),
        "Debian source package util-linux 2.41-5 cannot be fetched: `apt-get source util-linux=2.41-5` ended with exit \
         status: 25, and its last lines were\nE: Can not find version '2.41-5'"
    );
}

#[test]
fn a_cache_may_lie_below_somebodys_workspace() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("Cargo.toml"), "[workspace]\n").unwrap();
    let (source, vendor) = (
        dir.path().join("cache/source"),
        dir.path().join("cache/vendor"),
    );
    fs::create_dir_all(source.join("src")).unwrap();
    fs::write(source.join("src/lib.rs"), "").unwrap();
    fs::write(
        source.join("Cargo.toml"),
        "[package]\nname = \"x\"\nversion = \"1.0.0\"\n",
    )
    .unwrap();
    fs::write(
        source.join("Cargo.lock"),
        "version = 4\n\n[[package]]\nname = \"x\"\nversion = \"1.0.0\"\n",
    )
    .unwrap();
    let mut silent = |_| {};
    let client = Client {
        origin: &Origin {
            registry: Registry::Crate,
            name: "x".into(),
            version: "1.0.0".into(),
            checksum: String::new(),
        },
        cancel: &AtomicBool::new(false),
        progress: std::cell::RefCell::new(&mut silent),
    };
    client.dependencies_of_a_crate(&source, &vendor).unwrap();
    assert!(vendor.is_dir());
}
