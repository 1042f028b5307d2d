//! Bundles that are whole, and every way of changing one.

mod support;

use std::fs;
use std::path::Path;

use bundle::{Checked, Error, Fault, Limits, PublicKey, check, differences, open};
use support::{RIGHT, entries, id, judge, keys, make, pack, repack, tamper};

fn take(bytes: &[u8], key: &PublicKey, limits: &Limits) -> Result<Checked, Error> {
    let place = tempfile::tempdir().unwrap();
    let manifest = open(bytes, limits)?.verify(key)?.unpack(place.path())?;
    let checked = check(place.path(), &manifest, limits);
    // Nothing of it lies anywhere else, and nothing but files.
    for entry in walk(place.path()) {
        assert!(entry.symlink_metadata().unwrap().is_file());
    }
    checked
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[track_caller]
fn refused(bytes: &[u8], key: &PublicKey, fault: Fault, words: &str) {
    let error = take(bytes, key, &Limits::RUN).unwrap_err();
    assert_eq!(error.fault(), Some(fault), "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_bundle_is_taken_and_is_the_same_each_time() {
    let place = tempfile::tempdir().unwrap();
    let run = make(place.path(), &id(1), RIGHT);
    let (secret, public) = keys(place.path());
    let public = PublicKey::parse(&public).unwrap();
    let bytes = pack(&run, &secret);
    let checked = take(&bytes, &public, &Limits::RUN).unwrap();
    assert_eq!(checked.header.id, id(1));
    assert_eq!(checked.events, 18);
    assert!(checked.verdict.solved);
    assert!(differences(&checked.verdict, &judge(&run)).is_empty());

    let names: Vec<_> = entries(&bytes).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[..2], ["manifest.json", "manifest.json.minisig"]);
    for name in ["journal.jsonl", "run.toml", "verdict.json"] {
        assert!(names.iter().any(|entry| entry == name));
    }
    // Three outputs, three lists of files, and main.py and part.py in two and three versions.
    let blobs = names.iter().filter(|name| name.starts_with("blobs/"));
    assert_eq!(blobs.count(), 11);

    let without_signature = |bytes: &[u8]| {
        let mut entries = entries(bytes);
        entries.remove(1);
        entries
    };
    assert_eq!(
        without_signature(&bytes),
        without_signature(&pack(&run, &secret))
    );
    // What belongs to nobody's journal stays at home.
    fs::create_dir_all(run.join("blobs/ab")).unwrap();
    fs::write(run.join("blobs/ab").join("c".repeat(62)), "stray").unwrap();
    fs::write(run.join("control.json"), "{}").unwrap();
    assert_eq!(
        without_signature(&bytes),
        without_signature(&pack(&run, &secret))
    );
}

#[test]
fn a_changed_bundle_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let run = make(place.path(), &id(1), "print('wrong')\n");
    let (secret, public) = keys(place.path());
    let key = PublicKey::parse(&public).unwrap();
    let bytes = pack(&run, &secret);
    let lie = |text: &str| text.replacen("\"outcome\": \"stdout\"", "\"outcome\": \"pass\"", 1);
    refused(
        &tamper(&bytes, "verdict.json", lie),
        &key,
        Fault::Form,
        "where verdict.json should stand",
    );
    // Of the same length, so that only the hash tells.
    let same_length = |text: &str| text.replacen("\"microdollars\":7", "\"microdollars\":1", 1);
    refused(
        &tamper(&bytes, "journal.jsonl", same_length),
        &key,
        Fault::Content,
        "journal.jsonl is not the file that was signed",
    );
    let other = |text: &str| text.replacen("20261124", "20261125", 1);
    refused(
        &tamper(&bytes, "manifest.json", other),
        &key,
        Fault::Signature,
        "changed after it was signed",
    );
    // The code of another run, under the first one's list.
    let mut swapped = entries(&bytes);
    let place_of = |entries: &[(String, Vec<u8>)], n: usize| {
        entries
            .iter()
            .enumerate()
            .filter(|(_, (name, _))| name.starts_with("blobs/"))
            .nth(n)
            .unwrap()
            .0
    };
    let (one, other) = (place_of(&swapped, 0), place_of(&swapped, 1));
    let content = swapped[other].1.clone();
    swapped[one].1 = content;
    let error = take(&repack(&swapped), &key, &Limits::RUN).unwrap_err();
    assert!(matches!(error.fault(), Some(Fault::Form | Fault::Content)));
    // Another key.
    let elsewhere = tempfile::tempdir().unwrap();
    let (_, stranger) = keys(elsewhere.path());
    refused(
        &bytes,
        &PublicKey::parse(&stranger).unwrap(),
        Fault::Signature,
        "another key",
    );
    // More than is named, less than is named, something behind it.
    let mut more = entries(&bytes);
    more.push(("zebra".to_owned(), b"x".to_vec()));
    refused(&repack(&more), &key, Fault::Form, "more files");
    let mut fewer = entries(&bytes);
    fewer.pop();
    refused(&repack(&fewer), &key, Fault::Form, "verdict.json");
    for cut in [0, 1, 100, bytes.len() / 2, bytes.len() - 1] {
        refused(&bytes[..cut], &key, Fault::Form, "");
    }
    refused(
        &[&bytes[..], b"more"].concat(),
        &key,
        Fault::Form,
        "after the end",
    );
}

#[test]
fn whoever_signs_what_contradicts_itself_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (secret, _) = keys(place.path());
    let write = |run: &Path| {
        let mut bytes = Vec::new();
        let name = Path::new("the bundle");
        bundle::write(run, &secret, &Limits::RUN, &mut bytes, name).unwrap_err()
    };
    for (number, (file, from, to, fault, words)) in [
        (
            "journal.jsonl",
            "\"seq\":4,",
            "\"seq\":5,",
            Fault::Journal,
            "line 4",
        ),
        (
            "journal.jsonl",
            "\"task\":\"gron/python\"",
            "\"task\":\"gron/rust\"",
            Fault::Journal,
            "run.toml says gron/python",
        ),
        (
            "journal.jsonl",
            "\"input\":100",
            "\"input\":10",
            Fault::Journal,
            "answers before come to 50",
        ),
        (
            "journal.jsonl",
            "\"type\":\"reply\",\"call\":2",
            "\"type\":\"reply\",\"call\":1",
            Fault::Journal,
            "answered already",
        ),
        (
            "verdict.json",
            "\"outcome\": \"stdout\"",
            "\"outcome\": \"pass\"",
            Fault::Verdict,
            "it says that 3/6 visible cases pass, and lists 4/6",
        ),
        (
            "verdict.json",
            "\"solved\": false",
            "\"solved\": true",
            Fault::Verdict,
            "whether it is solved",
        ),
        (
            "verdict.json",
            "\"task\": \"gron/python\"",
            "\"task\": \"gron/c\"",
            Fault::Verdict,
            "the run is of gron/python",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let run = make(place.path(), &id(number as u32), "print('wrong')\n");
        let path = run.join(file);
        let text = fs::read_to_string(&path).unwrap();
        let changed = text.replacen(from, to, 1);
        assert_ne!(text, changed, "{from} has to be there");
        fs::write(&path, changed).unwrap();
        let error = write(&run);
        assert_eq!(error.fault(), Some(fault), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    // Code that is not what its name says.
    let run = make(place.path(), &id(99), "print('wrong')\n");
    let digest = run::digest(b"print('wrong')\n").to_string();
    let blob = run.join("blobs").join(&digest[..2]).join(&digest[2..]);
    fs::write(&blob, zstd::encode_all(RIGHT.as_bytes(), 3).unwrap()).unwrap();
    let error = write(&run);
    assert_eq!(error.fault(), Some(Fault::Content), "{error}");
    // Not scored.
    fs::remove_file(run.join("verdict.json")).unwrap();
    assert!(matches!(write(&run), Error::NotReady { .. }));
}

#[test]
fn what_grows_without_end_is_refused_early() {
    let place = tempfile::tempdir().unwrap();
    let run = make(place.path(), &id(1), RIGHT);
    let (secret, public) = keys(place.path());
    let key = PublicKey::parse(&public).unwrap();
    // A gigabyte of zeros that is to be a manifest.
    let mut bomb = Vec::new();
    let mut encoder = zstd::stream::write::Encoder::new(&mut bomb, 3).unwrap();
    std::io::Write::write_all(
        &mut encoder,
        support::header("manifest.json", 1 << 30).as_bytes(),
    )
    .unwrap();
    std::io::copy(
        &mut std::io::Read::take(std::io::repeat(0), 64 << 20),
        &mut encoder,
    )
    .unwrap();
    encoder.finish().unwrap();
    refused(&bomb, &key, Fault::TooLarge, "manifest.json has more than");
    // A manifest that announces more than is taken, and one content that unpacks to more.
    let bytes = pack(&run, &secret);
    let small = Limits {
        unpacked: 5000,
        ..Limits::RUN
    };
    let error = take(&bytes, &key, &small).unwrap_err();
    assert_eq!(error.fault(), Some(Fault::TooLarge), "{error}");
    let few = Limits {
        files: 5,
        ..Limits::RUN
    };
    let error = take(&bytes, &key, &few).unwrap_err();
    assert!(error.to_string().contains("14 files"), "{error}");
    let shallow = Limits {
        contents: 20_000,
        ..Limits::RUN
    };
    let error = take(&bytes, &key, &shallow).unwrap_err();
    assert!(
        error.to_string().contains("contents unpack to more"),
        "{error}"
    );
}

#[test]
fn links_devices_and_sparse_files_are_none_of_it() {
    let place = tempfile::tempdir().unwrap();
    let run = make(place.path(), &id(1), RIGHT);
    let (secret, public) = keys(place.path());
    let key = PublicKey::parse(&public).unwrap();
    let plain = zstd::decode_all(pack(&run, &secret).as_slice()).unwrap();
    let at = plain
        .windows(13)
        .position(|bytes| bytes == b"journal.jsonl")
        .unwrap();
    // The name stands in the manifest first; the header is the one at a block's beginning.
    let at = (at..plain.len())
        .find(|at| at % 512 == 0 && plain[*at..].starts_with(b"journal.jsonl"))
        .unwrap();
    for kind in *b"123456xgLKSV" {
        let mut changed = plain.clone();
        let mut header = tar::Header::from_byte_slice(&changed[at..at + 512]).clone();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_link_name("/etc/passwd").unwrap();
        header.set_cksum();
        changed[at..at + 512].copy_from_slice(header.as_bytes());
        let bytes = zstd::encode_all(changed.as_slice(), 3).unwrap();
        refused(
            &bytes,
            &key,
            Fault::Form,
            "where journal.jsonl should stand",
        );
    }
}

#[test]
fn a_verdict_is_held_against_another() {
    let place = tempfile::tempdir().unwrap();
    let wrong = judge(&make(place.path(), &id(1), "print('wrong')\n"));
    let right = judge(&make(place.path(), &id(2), RIGHT));
    let found = differences(&right, &wrong);
    let expected = [
        "submission: 2 files",
        "visible cases that pass: 6/6 claimed, 3/6 here",
        "hidden cases that pass: 4/4 claimed, 2/4 here",
        "visible case gron/arrays/001: pass claimed, stdout here",
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
    assert_eq!(found.len(), 3 + 5);
}
