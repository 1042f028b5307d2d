//! Wrong use and wrong files: exit status 2, and a message that names the place and the way out. No images needed.

mod common;

use std::fs;

use common::{Place, repository};

/// Runs the program on copied targets; gives the status and the message, without what differs between machines.
fn refused(place: &Place, arguments: &[&str]) -> String {
    let here = ["--targets", "targets", "--languages", "languages"];
    let done = place.run(&[arguments, &here].concat());
    assert_eq!(done.status, Some(2), "{arguments:?}: {done:?}");
    assert!(done.stdout.is_empty(), "{arguments:?}: {done:?}");
    for word in ["panicked", "RUST_BACKTRACE"] {
        assert!(!done.stderr.contains(word), "{done:?}");
    }
    format!(
        "$ mirrorcode {}\n{}\n",
        arguments.join(" "),
        place.redact(&done.stderr)
    )
}

fn all(place: &Place, commands: &[&str]) -> String {
    commands
        .iter()
        .map(|command| refused(place, &command.split(' ').collect::<Vec<_>>()))
        .collect()
}

fn place() -> Place {
    let place = Place::new();
    place.copy_targets();
    place.write("sub/main.py", "print(1)\n");
    place
}

/// Changes one text in a copied file.
fn change(place: &Place, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(place.path(file)).unwrap();
    assert!(text.contains(from), "{file} holds no {from}");
    fs::write(place.path(file), text.replacen(from, to, 1)).unwrap();
}

#[test]
fn names_that_are_not_there() {
    let place = place();
    insta::assert_snapshot!(all(
        &place,
        &[
            "score gorn/python sub",
            "score gron/pyton sub",
            "score gron/cobol sub",
            "score gron sub",
            "score gron/python/x sub",
            "score gron/python nowhere",
            "score gron/python sub/main.py",
            "score gron --prebuilt package:gojq",
            "score gron --prebuilt nowhere",
            "target show gorn",
            "target build jq",
            "target check gorn",
            "target strength gorn",
            "target fairness gorn",
            "shell gorn/python -c true",
            "shell --resume 20200101T000000-gron-python-0000",
            "replay 20200101T000000-gron-python-0000",
            "runs 20200101T000000-gron-python-0000",
            "image remove 0000",
        ]
    ));
    assert!(!place.path("scores").exists() && !place.path("runs").exists());
}

#[test]
fn nonsense_on_the_command_line() {
    insta::assert_snapshot!(all(
        &place(),
        &[
            "frobnicate",
            "target",
            "target biuld gron",
            "target build",
            "target build gron --seed x",
            "target build gron --no-draw --seed 3",
            "target strength gron --sample 0",
            "score gron/python",
            "score gron/python sub --prebuilt reference",
            "score gron/python sub --jobs 0",
            "score gron/python sub --jobs many",
            "shell",
            "shell gron/python --resume x",
            "shell gron/python --command-limit 0",
            "replay",
            "image remove",
        ]
    ));
}

#[test]
fn a_place_without_targets() {
    let place = Place::new();
    let done = Place::run(&place, &["target", "list", "--targets", "nowhere"]);
    assert_eq!(done.status, Some(2), "{done:?}");
    let output = place
        .command()
        .args(["target", "list"])
        .env_remove("MIRRORCODE_TARGETS")
        .env_remove("MIRRORCODE_LANGUAGES")
        .output()
        .unwrap();
    let message = place.redact(&String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(format!("{}{message}", place.redact(&done.stderr)));
}

#[test]
fn files_with_a_mistake_in_them() {
    let arrays = "targets/gron/families/arrays.toml";
    let visible = "targets/gron/tests/visible.jsonl";
    let lines = fs::read_to_string(repository().join(visible)).unwrap();
    let second = lines.lines().nth(1).unwrap();
    let mut seen = String::new();
    let mut check = |what: &str, command: &str, damage: &dyn Fn(&Place)| {
        let place = place();
        damage(&place);
        seen.push_str(&format!("# {what}\n{}", all(&place, &[command])));
        assert!(!place.path("scores").exists());
    };
    check("a typo in a key", "target build gron", &|place| {
        change(place, arrays, "stdin = ", "stdn = ");
    });
    check("a pool that is not there", "target build gron", &|place| {
        change(place, arrays, "${doc}", "${dog}");
    });
    check("TOML that does not end", "target show gron", &|place| {
        change(place, arrays, "cases = 16", "cases = [16");
    });
    check("a word for a number", "target show gron", &|place| {
        change(place, arrays, "cases = 16", "cases = \"many\"");
    });
    check("an unknown size", "target list", &|place| {
        change(place, "targets/gron/target.toml", "\"S\"", "\"XS\"");
    });
    check("a language's typo", "score gron/python sub", &|place| {
        change(place, "languages/python.toml", "artifacts", "artefacts");
    });
    check("cut off in a line", "score gron/python sub", &|place| {
        place.write(visible, &lines[..lines.len() / 2]);
    });
    check(
        "a line that is no JSON",
        "score gron/python sub",
        &|place| {
            change(place, visible, second, &second[1..]);
        },
    );
    check("a key too many", "score gron/python sub", &|place| {
        change(place, visible, "\"argv\"", "\"argw\"");
    });
    check("an id twice", "score gron/python sub", &|place| {
        place.write(visible, format!("{lines}{second}\n"));
    });
    check("a case less", "score gron/python sub", &|place| {
        place.write(visible, lines.split_once('\n').unwrap().1);
    });
    check("another output", "shell gron/python -c true", &|place| {
        change(place, visible, "\"stdout\":\"json", "\"stdout\":\"jsom");
    });
    check(
        "a visible case, hidden",
        "score gron/python sub",
        &|place| {
            let hidden = "targets/gron/tests/hidden.jsonl";
            let text = fs::read_to_string(place.path(hidden)).unwrap();
            place.write(hidden, format!("{text}{second}\n"));
        },
    );
    check("no lock", "score gron/python sub", &|place| {
        fs::remove_file(place.path("targets/gron/target.lock")).unwrap();
    });
    insta::assert_snapshot!(seen);
}
