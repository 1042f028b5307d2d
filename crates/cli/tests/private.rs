//! Sealed sample targets as their owner has them, and as others meet them. `make test-private` does more: it starts from an
//! empty cache, with three targets and an agent, and looks through the disk.

mod common;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Done, Place, repository};
use serde_json::Value;

/// Lines that are shorter may stand anywhere by chance.
const SHORTEST: usize = 24;
/// Longest time that something is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where the sealed targets are, with a key for tests that has no secrecy.
fn samples() -> PathBuf {
    repository().join("tests/private")
}

fn identity() -> String {
    samples().join("key.txt").display().to_string()
}

/// Runs the program on the samples, with or without their identity.
fn run(place: &Place, identity: Option<&str>, arguments: &[&str]) -> Done {
    let targets = samples().display().to_string();
    let mut all = [arguments, &["--targets", &targets]].concat();
    all.extend(identity.iter().flat_map(|file| ["--identity", *file]));
    place.run(&all)
}

/// Where a process has its plain forms, as the lock says that it holds there.
fn plain_forms(process: u32) -> Vec<PathBuf> {
    let open = fs::read_dir(format!("/proc/{process}/fd"));
    let files = open
        .into_iter()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    files
        .filter(|file| file.ends_with("lock"))
        .filter_map(|file| Some(file.parent()?.join("files")))
        .filter(|dir| dir.to_string_lossy().contains("/mirrorcode-open-"))
        .collect()
}

/// Lines of a target's hidden cases that no visible case has, and that are written alike as text and in JSON; and the
/// inputs of each as its file has them.
fn hidden_lines(plain: &Path) -> Vec<String> {
    fn texts(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::String(text) => into.push(text.clone()),
            Value::Array(values) => values.iter().for_each(|value| texts(value, into)),
            Value::Object(values) => values.values().for_each(|value| texts(value, into)),
            _ => {}
        }
    }
    let read = |name: &str| {
        let mut found = Vec::new();
        for line in fs::read_to_string(plain.join(name)).unwrap().lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            for key in ["argv", "stdin", "files", "expect"] {
                texts(&case[key], &mut found);
            }
        }
        found
    };
    let visible = read("tests/visible.jsonl").join("\n");
    let whole = |name: &str| {
        let text = fs::read_to_string(plain.join(name)).unwrap();
        let inputs = text.lines().filter_map(|line| {
            let (_, rest) = line.split_once("\"argv\":")?;
            Some(rest.split_once("\"expect\":")?.0.to_owned())
        });
        inputs
            .filter(|inputs| inputs.len() >= SHORTEST)
            .collect::<std::collections::BTreeSet<String>>()
    };
    let inputs = &whole("tests/hidden.jsonl") - &whole("tests/visible.jsonl");
    let mut lines: Vec<String> = read("tests/hidden.jsonl")
        .iter()
        .flat_map(|text| text.split(['\n', '"', '\\']))
        .filter(|line| {
            line.len() >= SHORTEST && line.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        })
        .filter(|line| !visible.contains(line))
        .map(str::to_owned)
        .chain(inputs)
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

/// The files below some directories that hold one of these lines.
fn holding(dirs: &[PathBuf], lines: &[String]) -> Vec<String> {
    let mut patterns = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    patterns.write_all(lines.join("\n").as_bytes()).unwrap();
    let output = assert_cmd::Command::new("grep")
        .args(["-rlaF", "-f"])
        .arg(patterns.path())
        .args(dirs)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let status = output.status.code();
    assert!(matches!(status, Some(0 | 1)), "{output:?}");
    let found = String::from_utf8_lossy(&output.stdout);
    found.lines().map(str::to_owned).collect()
}

/// The plain form of the small sample, in memory for as long as the test is at it.
fn small(place: &Place) -> (tempfile::TempDir, PathBuf) {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let sealed = samples().join("s.age").display().to_string();
    let into = memory.path().display().to_string();
    let key = identity();
    place.expect(
        0,
        &[
            "target",
            "open",
            &sealed,
            "--identity",
            &key,
            "--output",
            &into,
        ],
    );
    let plain = memory.path().join("private_jo");
    (memory, plain)
}

#[test]
fn three_targets_are_there_for_who_has_the_key() {
    let place = Place::new();
    let listed = run(&place, Some(&identity()), &["target", "list", "--json"]).json();
    let rows = listed.as_array().unwrap();
    let sizes: Vec<_> = rows
        .iter()
        .map(|row| row["size"].as_str().unwrap())
        .collect();
    let names: Vec<_> = rows
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["private_jo", "private_mawk", "private_miller"]);
    assert_eq!(sizes, ["S", "M", "L"]);
    for row in rows {
        let count = |key: &str| row[key].as_f64().unwrap();
        let share = 100.0 * count("hidden") / (count("hidden") + count("visible"));
        assert!((30.0..=38.0).contains(&share), "{row}");
    }
}

#[test]
fn without_the_key_they_are_not() {
    let place = Place::new();
    let stranger = samples().join("stranger.txt").display().to_string();
    for identity in [None, Some(stranger.as_str())] {
        let listed = run(&place, identity, &["target", "list", "--json"]).json();
        assert_eq!(listed, serde_json::json!([]));
        for arguments in [
            &["target", "show", "private_jo"][..],
            &["target", "build", "private_jo", "--no-draw"],
            &["target", "check", "private_jo"],
            &["target", "strength", "private_jo"],
            &["run", "private_jo/python", "--model", "scripted:/dev/null"],
            &["shell", "private_jo/python", "-c", "true"],
            &["score", "private_jo", "--prebuilt", "reference"],
        ] {
            let done = run(&place, identity, arguments);
            done.expect(2, arguments);
            let told = "3 sealed targets are there that no identity opens: name a file with yours by --identity or MIRRORCODE_IDENTITY";
            assert!(done.stderr.contains(told), "{done:?}");
        }
    }
    assert!(!place.path("runs").exists() && !place.path("scores").exists());
}

#[test]
fn plain_forms_are_no_part_of_the_repository() {
    let place = Place::new();
    let (_memory, plain) = small(&place);
    let lines = hidden_lines(&plain);
    assert!(lines.len() > 10, "{} lines", lines.len());
    let below = ["crates", "docs", "targets", "tests", "demo"];
    let found = holding(&below.map(|name| repository().join(name)), &lines);
    assert!(found.is_empty(), "{found:?}");
}

/// Kills a score in the middle, and gives back where its plain forms were; nothing if it was over before.
fn killed(place: &Place, arguments: &[&str]) -> Option<Vec<PathBuf>> {
    let _ = fs::remove_dir_all(place.path("score"));
    let mut child = place
        .process()
        .args(arguments)
        .env("TMPDIR", place.path("tmp"))
        .stdout(Stdio::null())
        .stderr(fs::File::create(place.path("stderr")).unwrap())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let results = place.path("score/results.jsonl");
    while fs::read_to_string(&results).map_or(0, |text| text.lines().count()) < 20
        && child.try_wait().unwrap().is_none()
    {
        assert!(begin.elapsed() < PATIENCE, "no results");
        std::thread::sleep(Duration::from_millis(5));
    }
    let opened = plain_forms(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    let is_over = place.path("score/verdict.json").exists();
    (opened.len() == 1 && !is_over).then_some(opened)
}

#[test]
fn a_score_leaves_nothing_hidden_behind_even_when_it_is_killed() {
    let place = Place::new();
    let (memory, plain) = small(&place);
    let lines = hidden_lines(&plain);
    drop(memory);
    let (key, targets) = (identity(), samples().display().to_string());
    run(
        &place,
        Some(&key),
        &["target", "build", "private_jo", "--no-draw"],
    )
    .expect(0, &["build"]);
    fs::create_dir(place.path("tmp")).unwrap();
    let words = [
        "score",
        "private_jo",
        "--prebuilt",
        "reference",
        "--again",
        "--out",
        "score",
    ];
    // On a machine that is busy elsewhere, a score may be over before it is looked at again.
    let opened = (0..20)
        .find_map(|_| {
            killed(
                &place,
                &[
                    &words[..],
                    &["--jobs", "1", "--targets", &targets, "--identity", &key],
                ]
                .concat(),
            )
        })
        .expect("a score that is killed in the middle");
    let found = holding(&[place.path("")], &lines);
    assert!(found.is_empty(), "{found:?}");

    // Whoever opens something next clears what was left in memory.
    let whole = run(&place, Some(&key), &words);
    whole.expect(0, &words);
    assert!(!opened[0].exists(), "{opened:?}");
    let verdict: Value =
        serde_json::from_slice(&fs::read(place.path("score/verdict.json")).unwrap()).unwrap();
    assert_eq!(verdict["solved"], true, "{}", verdict["summary"]);
    let found = holding(&[place.path("")], &lines);
    assert!(found.is_empty(), "{found:?}");
}
