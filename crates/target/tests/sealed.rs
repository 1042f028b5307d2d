//! Sealed targets: the way there and back, who can open them, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use target::sealed::{open, open_all, pack, sealed_in};
use target::{Catalog, Error, Identities, Recipient, Target};

// Keys of these tests alone.
const OURS: &str = "AGE-SECRET-KEY-13HTUK8L3RJ2AGXDX8DPTPSRNUQNGERLT977NZW6UZJ69L93QTJYQTDHKLL";

const SPEC: &str = r#"
name = "secret"
about = "keeps what it is told to itself"
domain = "Unix utilities"
size = "S"
absent = []

[reference]
package = "hello"
program = "/usr/bin/hello"
kind = "dynamic"

[docs]
help = [["--help"]]

[languages]
all = ["python"]

[environment]

[limits]
wall-seconds = 10
cpu-seconds = 10
memory-mib = 512
output-mib = 4
"#;
const FAMILY: &str =
    "about = \"x\"\ncases = 2\n[[template]]\nargv = [\"${n}\"]\n[values]\nn = { int = [1, 99] }\n";

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A key pair: the file with the identity, and the recipient.
fn key(dir: &Path, name: &str) -> (PathBuf, Recipient) {
    let identity = age::x25519::Identity::generate();
    let path = dir.join(name);
    let secret = age::secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
    fs::write(&path, format!("# a key\n\n{secret}\n")).unwrap();
    (path, identity.to_public().to_string().parse().unwrap())
}

struct Lab {
    root: tempfile::TempDir,
    plain: PathBuf,
    targets: PathBuf,
}

fn lab() -> Lab {
    let root = tempfile::tempdir().unwrap();
    let plain = root.path().join("plain/secret");
    write(&plain.join("target.toml"), SPEC);
    write(&plain.join("families/numbers.toml"), FAMILY);
    write(&plain.join("fixtures/deep/data.txt"), "one\ntwo\n");
    write(&plain.join("families/.numbers.toml.swp"), "left out");
    let targets = root.path().join("targets");
    fs::create_dir_all(&targets).unwrap();
    write(
        &root.path().join("languages/python.toml"),
        "not read by these tests",
    );
    Lab {
        root,
        plain,
        targets,
    }
}

fn message(result: Result<impl Sized, Error>) -> String {
    result.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn what_was_sealed_comes_back_and_is_gone_afterwards() {
    let lab = lab();
    let (identity, recipient) = key(lab.root.path(), "key");
    let sealed = lab.targets.join("x.age");
    pack(&lab.plain, &[recipient], &sealed).unwrap();
    let bytes = fs::read(&sealed).unwrap();
    let shows = |word: &[u8]| bytes.windows(word.len()).any(|part| part == word);
    assert!(!shows(b"secret") && !shows(b"numbers"));

    let opened = open(&sealed, &Identities::read(&identity).unwrap()).unwrap();
    assert_eq!(opened.names(), ["secret"]);
    let inside = opened.path().join("secret");
    let target = Target::load(&inside).unwrap();
    assert_eq!(target.families().unwrap().len(), 1);
    assert_eq!(
        fs::read(inside.join("fixtures/deep/data.txt")).unwrap(),
        b"one\ntwo\n"
    );
    assert!(!inside.join("families/.numbers.toml.swp").exists());
    drop(opened);
    assert!(!inside.exists());
}

#[test]
fn every_recipient_opens_it_and_nobody_else() {
    let lab = lab();
    let (first, for_first) = key(lab.root.path(), "first");
    let (second, for_second) = key(lab.root.path(), "second");
    let (stranger, _) = key(lab.root.path(), "stranger");
    let sealed = lab.targets.join("secret.age");
    pack(&lab.plain, &[for_first, for_second], &sealed).unwrap();
    for identity in [&first, &second] {
        open(&sealed, &Identities::read(identity).unwrap()).unwrap();
    }
    let stranger = Identities::read(&stranger).unwrap();
    assert!(
        message(open(&sealed, &stranger))
            .ends_with("none of the identities is one that it was sealed for")
    );
    assert!(open_all(&lab.targets, &stranger).unwrap().is_none());
}

#[test]
fn a_catalog_has_opened_targets_among_the_others() {
    let lab = lab();
    let (identity, recipient) = key(lab.root.path(), "key");
    pack(&lab.plain, &[recipient], &lab.targets.join("any-name.age")).unwrap();
    write(
        &lab.targets.join("plain/target.toml"),
        &SPEC.replace("\"secret\"", "\"plain\""),
    );
    write(&lab.targets.join("plain/families/numbers.toml"), FAMILY);

    let mut catalog = Catalog::find(Some(&lab.targets), None, lab.root.path()).unwrap();
    assert_eq!(catalog.target_names().unwrap(), ["plain"]);
    assert!(message(catalog.target("secret")).contains("--identity"));

    let opened = open_all(&lab.targets, &Identities::read(&identity).unwrap());
    let opened = opened.unwrap().unwrap();
    catalog.opened = Some(opened.path().to_owned());
    assert_eq!(catalog.target_names().unwrap(), ["plain", "secret"]);
    let names: Vec<_> = catalog
        .list()
        .unwrap()
        .into_iter()
        .map(|one| one.name)
        .collect();
    assert_eq!(names, ["plain", "secret"]);
    assert!(catalog.is_sealed(&catalog.target("secret").unwrap()));
    assert!(!catalog.is_sealed(&catalog.target("plain").unwrap()));
}

#[test]
fn a_target_in_the_open_must_not_have_the_same_name() {
    let lab = lab();
    let (identity, recipient) = key(lab.root.path(), "key");
    pack(&lab.plain, &[recipient], &lab.targets.join("secret.age")).unwrap();
    write(&lab.targets.join("secret/target.toml"), SPEC);
    let identities = Identities::read(&identity).unwrap();
    assert!(message(open_all(&lab.targets, &identities)).contains("in the open beside it"));
}

#[test]
fn damage_is_noticed_wherever_it_is() {
    let lab = lab();
    let (identity, recipient) = key(lab.root.path(), "key");
    let sealed = lab.targets.join("secret.age");
    pack(&lab.plain, &[recipient], &sealed).unwrap();
    let identities = Identities::read(&identity).unwrap();
    let bytes = fs::read(&sealed).unwrap();
    let step = (bytes.len() / 40).max(1);
    for at in (0..bytes.len()).step_by(step) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        fs::write(&sealed, &damaged).unwrap();
        assert!(open(&sealed, &identities).is_err(), "byte {at}");
        fs::write(&sealed, &bytes[..at]).unwrap();
        assert!(open(&sealed, &identities).is_err(), "cut at {at}");
    }
}

#[test]
fn what_cannot_be_sealed_is_refused_with_the_reason() {
    let lab = lab();
    let (_, recipient) = key(lab.root.path(), "key");
    let to = lab.targets.join("secret.age");
    let recipients = [recipient];
    std::os::unix::fs::symlink("/etc/passwd", lab.plain.join("fixtures/link")).unwrap();
    assert!(pack(&lab.plain, &recipients, &to).is_err());
    fs::remove_file(lab.plain.join("fixtures/link")).unwrap();

    assert!(message(pack(&lab.plain, &[], &to)).contains("secret.age"));
    fs::remove_dir_all(lab.plain.join("families")).unwrap();
    assert!(message(pack(&lab.plain, &recipients, &to)).contains("no families"));
    assert!(!to.exists());
    assert!(pack(&lab.root.path().join("none"), &recipients, &to).is_err());
}

#[test]
fn files_with_identities_are_read_as_age_keygen_writes_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    for (text, expected) in [
        ("# only a comment\n", "there is no identity in this file"),
        ("AGE-SECRET-KEY-1NONSENSE\n", "line 1 is no identity"),
        ("\n\nage1qqq\n", "line 3 is no identity"),
    ] {
        fs::write(&path, text).unwrap();
        let said = message(Identities::read(&path));
        assert!(
            said.contains(expected) && !said.contains("NONSENSE"),
            "{said}"
        );
    }
    assert!(
        "age1nonsense"
            .parse::<Recipient>()
            .unwrap_err()
            .contains("is no recipient")
    );
    assert!(OURS.parse::<Recipient>().is_err());
}

#[test]
fn sealed_targets_are_known_by_their_ending() {
    let lab = lab();
    for name in ["b.age", "a.age", "c.txt", ".d.age"] {
        fs::write(lab.targets.join(name), "").unwrap();
    }
    let names: Vec<_> = sealed_in(&lab.targets).unwrap();
    assert_eq!(
        names,
        [lab.targets.join("a.age"), lab.targets.join("b.age")]
    );
    let (identity, _) = key(lab.root.path(), "key");
    let identities = Identities::read(&identity).unwrap();
    assert!(message(open_all(&lab.targets, &identities)).contains("no age file"));
}

/// An age file for a recipient with a compressed archive of these entries, which nobody checked.
fn hostile(key: &str, entries: &[(&str, tar::EntryType)], to: &Path) {
    let recipient: age::x25519::Recipient = key.parse().unwrap();
    let encryptor =
        age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient));
    let file = fs::File::create(to).unwrap();
    let sealed = encryptor.unwrap().wrap_output(file).unwrap();
    let gzip = flate2::write::GzEncoder::new(sealed, flate2::Compression::fast());
    let mut archive = tar::Builder::new(gzip);
    for (name, kind) in entries {
        let mut header = tar::Header::new_old();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(0);
        header.set_mode(0o644);
        if kind.is_symlink() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        archive.append(&header, std::io::empty()).unwrap();
    }
    let sealed = archive.into_inner().unwrap().finish().unwrap();
    sealed.finish().unwrap();
}

#[test]
fn an_archive_that_reaches_elsewhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (identity, recipient) = key(dir.path(), "key");
    let identities = Identities::read(&identity).unwrap();
    let recipient = format!("{recipient:?}");
    let file = dir.path().join("x.age");
    let plain = tar::EntryType::Regular;
    for (entries, expected) in [
        (&[("a/../../evil", plain)][..], "has a \"..\""),
        (&[("/etc/evil", plain)], "is absolute"),
        (&[("a/x", plain), ("b/x", plain)], "one directory"),
        (&[("target.toml", plain)], "one directory"),
        (&[("A b/x", plain)], "one directory"),
        (&[("a/x", tar::EntryType::Symlink)], "is no file"),
        (&[("a/x", tar::EntryType::Fifo)], "is no file"),
        (&[("a/x", plain), ("a/x", plain)], "exists"),
        (&[("a/x", plain)], "target.toml"),
        (&[], "it is empty"),
    ] {
        hostile(&recipient, entries, &file);
        let said = message(open(&file, &identities));
        assert!(said.contains(expected), "{entries:?}: {said}");
    }
}
