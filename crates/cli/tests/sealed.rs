//! `mirrorcode target pack` and `target open`, and commands on sealed targets.

mod common;

use std::fs;

use common::{Place, repository};

// A key of these tests alone.
const IDENTITY: &str = "AGE-SECRET-KEY-13HTUK8L3RJ2AGXDX8DPTPSRNUQNGERLT977NZW6UZJ69L93QTJYQTDHKLL";
const RECIPIENT: &str = "age1yddma7ht9e2fqt8zjn2n0sjh6vrcmrjtkc29kduqgcvvgx8fkcnqly5q8r";

/// A place with one sealed target, and the identity for it.
fn sealed() -> Place {
    let place = Place::new();
    place.write("key.txt", format!("# test\n{IDENTITY}\n"));
    fs::create_dir(place.path("targets")).unwrap();
    let plain = repository().join("targets/uuidparse");
    let output = place
        .command()
        .args(["target", "pack", plain.to_str().unwrap()])
        .args(["--recipient", RECIPIENT, "-o", "targets/private.age"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("uuidparse: "));
    place
}

/// Status, standard output and standard error of a command in a place that has the sealed target alone.
fn run(place: &Place, arguments: &[&str]) -> (i32, String, String) {
    let output = place
        .command()
        .args(arguments)
        .env("MIRRORCODE_TARGETS", place.path("targets"))
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn with_an_identity_a_sealed_target_is_as_any_other() {
    let place = sealed();
    let identity = ["--identity", "key.txt"];
    let (status, listed, _) = run(&place, &[&["target", "list"], &identity[..]].concat());
    assert!(status == 0 && listed.contains("uuidparse"), "{listed}");
    let (status, shown, _) = run(
        &place,
        &[&["target", "show", "uuidparse"], &identity[..]].concat(),
    );
    let plain = place
        .command()
        .args(["target", "show", "uuidparse"])
        .output()
        .unwrap();
    assert_eq!((status, shown.as_bytes()), (0, plain.stdout.as_slice()));
}

#[test]
fn without_one_it_is_not_there() {
    let place = sealed();
    let (status, listed, _) = run(&place, &["target", "list"]);
    assert!(status == 0 && !listed.contains("uuidparse"));
    let (status, _, error) = run(&place, &["target", "show", "uuidparse"]);
    assert_eq!(status, 2);
    assert!(error.contains("--identity"), "{error}");
}

#[test]
fn what_would_be_written_into_it_is_refused() {
    let place = sealed();
    for command in ["build", "strength"] {
        let (status, _, error) = run(
            &place,
            &["target", command, "uuidparse", "--identity", "key.txt"],
        );
        assert_eq!(status, 2);
        assert!(error.contains("target open"), "{error}");
    }
}

#[test]
fn the_plain_form_is_written_only_where_it_is_asked_for() {
    let place = sealed();
    let file = "targets/private.age";
    let open = ["target", "open", file, "--identity", "key.txt"];
    let (status, said, _) = run(&place, &open);
    assert!(status == 0 && said.starts_with("uuidparse: ") && said.contains("hidden cases"));
    assert_eq!(fs::read_dir(place.path("targets")).unwrap().count(), 1);

    let (status, _, error) = run(&place, &[&open[..], &["-o", "plain"]].concat());
    assert_eq!(status, 0, "{error}");
    let written = place.path("plain/uuidparse");
    for name in ["target.toml", "target.lock", "tests/hidden.jsonl"] {
        let original = repository().join("targets/uuidparse").join(name);
        assert_eq!(
            fs::read(written.join(name)).unwrap(),
            fs::read(original).unwrap()
        );
    }
    let (status, _, error) = run(&place, &[&open[..], &["-o", "plain"]].concat());
    assert_eq!(status, 2);
    assert!(error.contains("is there already"), "{error}");
}

#[test]
fn keys_that_do_not_fit_are_named() {
    let place = sealed();
    let file = "targets/private.age";
    let (status, _, error) = run(&place, &["target", "open", file]);
    assert!(
        status == 2 && error.contains("MIRRORCODE_IDENTITY"),
        "{error}"
    );
    place.write("empty.txt", "# nothing\n");
    let (status, _, error) = run(&place, &["target", "open", file, "--identity", "empty.txt"]);
    assert!(status == 2 && error.contains("no identity"), "{error}");
    let plain = repository().join("targets/uuidparse");
    let (status, _, error) = run(
        &place,
        &[
            "target",
            "pack",
            plain.to_str().unwrap(),
            "--recipient",
            "bob",
        ],
    );
    assert!(status == 2 && error.contains("no recipient"), "{error}");
}
