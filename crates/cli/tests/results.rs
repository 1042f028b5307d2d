//! Results over runs, their site and their logs: what is written, what does not count, what is refused.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::Place;
use serde_json::{Value, json};

const EVIL: &str =
    "</title><script>alert(1)</script><img src=x onerror=alert(1)> \u{202e}\" onload='x'";

/// A run made by hand: what it is called, what it is of, how it ended, and hidden cases that pass of ten, if it was scored.
struct Made<'a> {
    id: &'a str,
    task: &'a str,
    model: &'a str,
    end: Value,
    hidden: Option<u64>,
}

fn make(place: &Place, made: &Made<'_>) {
    let (id, task) = (made.id, made.task);
    let header = format!(
        "id = \"{id}\"\ntask = \"{task}\"\ncreated = \"2026-01-01T00:00:00.000Z\"\nformat = 3\nmirrorcode = \"0.1.0\"\n"
    );
    place.write(&format!("runs/{id}/run.toml"), header);
    let events = [
        json!({"type": "start", "format": 3, "task": task, "agent": "model", "versions": {}, "digests": {}, "limits": {},
            "options": {"model": made.model, "thinking": "off"}}),
        json!({"type": "call", "number": 1, "turn": 1, "purpose": "turn", "context": 1,
            "estimate": {"input-tokens": 10, "output-tokens": 20, "microdollars": 30},
            "spent": {"tokens": 0, "microdollars": 0, "turns": 0, "wall-milliseconds": 7_200_000, "tool-milliseconds": 500}}),
        json!({"type": "reply", "call": 1, "message": json!([{"text": {"text": "Done."}}]).to_string(), "stop": "end",
            "usage": {"input": 900, "cache_read": 100, "cache_write": 0, "output": 50, "reasoning": 0}, "microdollars": 1_500_000, "milliseconds": 900}),
        json!({"type": "end", "reason": made.end}),
    ];
    let mut journal = String::new();
    for (number, event) in events.into_iter().enumerate() {
        let mut event = event;
        event["seq"] = json!(number + 1);
        event["time"] = json!("2026-01-01T00:00:00.000Z");
        journal.push_str(&format!("{event}\n"));
    }
    place.write(&format!("runs/{id}/journal.jsonl"), journal);
    if let Some(passed) = made.hidden {
        let count = |passed: u64| json!({"passed": passed, "total": 10});
        let verdict = json!({
            "format": 1, "task": task, "solved": passed == 10, "summary": "", "build": "done", "visible": count(10), "hidden": count(passed),
            "families": {"f": {"visible": count(10), "hidden": count(passed)}}, "cases": [],
            "submission": {"kind": "source", "digest": "ab", "files": 1, "bytes": 1}, "versions": {"target-lock": "cd"},
        });
        place.write(&format!("runs/{id}/verdict.json"), verdict.to_string());
    }
}

/// Two models on two targets; one run that failed on our side, one of a target that nobody knows.
fn campaign() -> Place {
    let place = Place::new();
    let submitted = || json!("submitted");
    let mut number = 0;
    let mut add = |task: &str, model: &str, end: Value, hidden: Option<u64>| {
        number += 1;
        let id = format!("20260101T00000{number}-x");
        make(
            &place,
            &Made {
                id: &id,
                task,
                model,
                end,
                hidden,
            },
        );
    };
    add("gron/python", "example/good", submitted(), Some(10));
    add("gron/rust", "example/good", submitted(), Some(10));
    add(
        "bc/python",
        "example/good",
        json!({"budget": "cost"}),
        Some(9),
    );
    add("gron/python", EVIL, submitted(), Some(3));
    add(
        "bc/python",
        EVIL,
        json!({"failed": "the machine is gone"}),
        None,
    );
    add("unheard/python", EVIL, submitted(), Some(0));
    place
}

fn rows(place: &Place) -> BTreeMap<String, Vec<Value>> {
    let output = place
        .command()
        .args(["results", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tables = all["tables"].as_object().unwrap();
    tables
        .iter()
        .map(|(name, rows)| (name.clone(), rows.as_array().unwrap().clone()))
        .collect()
}

#[test]
fn figures_are_made_of_runs_that_count() {
    let place = campaign();
    let tables = rows(&place);
    assert_eq!(tables["runs"].len(), 6);
    let system = tables["systems"][0].clone();
    assert_eq!(system["system"], "example/good");
    // Half of two targets: both tasks of one, none of the other.
    assert_eq!(
        (&system["runs"], &system["solved"], &system["mean"]),
        (&json!(3), &json!(2), &json!(0.5))
    );
    assert_eq!(
        (&system["dollars"], &system["hours"]),
        (&json!(4.5), &json!(6.0))
    );
    let failed = tables["runs"]
        .iter()
        .find(|row| row["state"] == "failed")
        .unwrap();
    assert_eq!(
        (&failed["counted"], &failed["excluded"]),
        (&json!(false), &json!("failed, not scored"))
    );
    let ends: Vec<&Value> = tables["runs"].iter().map(|row| &row["end"]).collect();
    assert!(ends.contains(&&json!("censored")) && ends.contains(&&json!("wrong")));
    let unknown = tables["runs"]
        .iter()
        .find(|row| row["target"] == "unheard")
        .unwrap();
    assert_eq!(unknown["size"], Value::Null);
    let reach = tables["reach"]
        .iter()
        .find(|row| row["system"].is_null())
        .unwrap();
    assert_eq!(reach["never_solved"], "bc unheard");
}

#[test]
fn people_see_a_table() {
    let place = campaign();
    let output = place.command().arg("results").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("example/good") && text.contains("never solved: bc unheard"),
        "{text}"
    );
    // What a model is called cannot move the cursor or turn the line.
    assert!(!text.contains('\u{202e}'));
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(
        notes.contains("1 run not counted: failed, not scored"),
        "{notes}"
    );
    assert!(
        notes.contains("size and domain are not known here of: unheard"),
        "{notes}"
    );
    for form in ["csv", "parquet"] {
        let output = place
            .command()
            .args(["results", &format!("--{form}"), form])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(
            fs::read_dir(place.path(form)).unwrap().count(),
            rows(&place).len()
        );
    }
    assert!(
        fs::read(place.path("parquet/runs.parquet"))
            .unwrap()
            .starts_with(b"PAR1")
    );
}

fn refused(place: &Place, arguments: &[&str], expected: &str) {
    let output = place.command().args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    assert!(text.contains(expected), "{arguments:?}: {text}");
}

#[test]
fn what_would_count_twice_is_refused() {
    let place = campaign();
    let copy = |from: &str, to: &str| {
        fs::create_dir_all(place.path(to)).unwrap();
        for name in ["run.toml", "journal.jsonl"] {
            fs::copy(place.path(from).join(name), place.path(to).join(name)).unwrap();
        }
    };
    copy("runs/20260101T000001-x", "other/copy");
    refused(&place, &["results", "runs", "other"], "would count twice");
    refused(
        &place,
        &["report", "runs", "other", "-o", "site"],
        "would count twice",
    );
    // The same directory by two names is one run.
    let output = place
        .command()
        .args(["results", "--json", "runs", "20260101T000001-x"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    refused(&place, &["results", "nothing"], "there is no run nothing");
    let empty = Place::new();
    refused(&empty, &["results"], "there are no runs in");
}

fn pages(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "html")
        {
            found.push((
                path.display().to_string(),
                fs::read_to_string(&path).unwrap(),
            ));
        }
    }
}

#[test]
fn a_site_is_there_whole_and_holds_nobodys_markup() {
    let place = campaign();
    let write = |more: &[&str]| {
        let mut command = place.command();
        command
            .args(["report", "-o", "site", "--no-docs"])
            .args(more)
            .output()
            .unwrap()
    };
    let output = write(&[]);
    assert!(output.status.success(), "{output:?}");
    let mut found = Vec::new();
    pages(&place.path("site"), &mut found);
    let places = [
        "index.html",
        "tasks.html",
        "method.html",
        "targets/unheard.html",
        "runs/20260101T000004-x.html",
        "models/example-good.html",
    ];
    for name in places {
        assert!(found.iter().any(|(path, _)| path.ends_with(name)), "{name}");
    }
    for (path, text) in &found {
        assert!(
            !text.contains("<script>alert") && !text.contains("<img") && !text.contains('\u{202e}'),
            "{path}"
        );
        let own = path.contains("/runs/");
        assert!(own || !text.contains("<script"), "{path} has a script");
        assert!(text.contains("default-src 'none'"), "{path}");
    }
    assert!(place.path("site/data/results.json").is_file());

    let again = write(&[]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--force"));
    assert!(write(&["--force"]).status.success());
    place.write("precious/file", "kept");
    refused(
        &place,
        &["report", "-o", "precious", "--force"],
        "no site of mirrorcode",
    );
    assert!(place.path("precious/file").is_file());
    let left = fs::read_dir(place.dir.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn a_log_for_inspect_is_an_archive() {
    let place = campaign();
    let run = "20260101T000001-x";
    let output = place
        .command()
        .args(["export", run, "-o", "x.eval"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let bytes = fs::read(place.path("x.eval")).unwrap();
    assert!(bytes.starts_with(b"PK\x03\x04"));
    let names = [
        "_journal/start.json",
        "samples/gron/python_epoch_1.json",
        "summaries.json",
        "header.json",
    ];
    for name in names {
        // In the entry's own head and in the directory.
        assert!(
            bytes
                .windows(name.len())
                .filter(|window| *window == name.as_bytes())
                .count()
                >= 2,
            "{name}"
        );
    }
    refused(&place, &["export", run, "-o", "x.eval"], "exists");
    refused(&place, &["export", run, "-o", "x.zip"], ".eval");
    let other = place
        .command()
        .args(["export", run, "-o", "y.eval"])
        .output()
        .unwrap();
    assert!(other.status.success());
    assert_eq!(fs::read(place.path("y.eval")).unwrap(), bytes);
}

/// What `mirrorcode screen` writes, of a model that knows one of two targets by heart.
fn screened(model: &str) -> Value {
    let target = |name: &str, mean: f64, flagged: bool| {
        json!({"target": name, "functions": 40, "refused": 1, "found": 38, "files": 4, "mean": mean, "low": mean - 0.05, "high": mean + 0.05,
            "t": 3.0, "p": 0.01, "p_corrected": if flagged { 0.02 } else { 0.4 }, "p_files": 0.03, "flagged": flagged})
    };
    let program = json!({"target": "b", "functions": 40, "refused": 0, "found": 40, "files": 4, "mean": 0.3, "low": 0.2, "high": 0.4});
    json!({"format": 1, "model": model, "alpha": 0.05, "correction": "holm", "missing": [],
        "baseline": {"mean": 0.3, "programs": [program, program]}, "targets": [target("gron", 0.8, true), target("bc", 0.3, false)]})
}

#[test]
fn solved_rates_stand_beside_what_is_known_by_heart() {
    let place = campaign();
    place.write("screen.json", screened("example/good").to_string());
    let with = ["results", "--screen", "screen.json"];
    let tables = place.expect(0, &[&with[..], &["--json"]].concat()).json()["tables"].clone();
    let rows = tables["screen"].as_array().unwrap();
    let gron = rows.iter().find(|row| row["target"] == "gron").unwrap();
    assert_eq!(
        (
            &gron["system"],
            &gron["flagged"],
            &gron["solved"],
            &gron["runs"]
        ),
        (&json!("example/good"), &json!(true), &json!(2), &json!(2))
    );
    let rates = tables["memorization"].as_array().unwrap();
    let mean = |kept: &str| {
        let row = |row: &&Value| row["by"] == "all" && row["kept"] == kept;
        rates.iter().find(row).unwrap()["mean"].clone()
    };
    // The target that is known by heart is the one that was solved.
    assert_eq!(
        (mean("all"), mean("flagged"), mean("not flagged")),
        (json!(0.5), json!(1.0), json!(0.0))
    );
    let shown = place.expect(0, &with).stdout;
    assert!(shown.contains("not flagged"), "{shown}");

    place.expect(0, &["report", "-o", "site", "--screen", "screen.json"]);
    let page = fs::read_to_string(place.path("site/memorization.html")).unwrap();
    assert!(
        page.contains("example/good") && page.contains("flagged"),
        "{page}"
    );
    let page = fs::read_to_string(place.path("site/targets/gron.html")).unwrap();
    assert!(page.contains("What models know of it by heart"));
    place.expect(0, &["report", "-o", "plain"]);
    let page = fs::read_to_string(place.path("plain/memorization.html")).unwrap();
    assert!(page.contains("No screen was given"));

    // A model's name is somebody else's text, too.
    place.write("evil.json", screened(EVIL).to_string());
    place.expect(0, &["report", "-o", "evil", "--screen", "evil.json"]);
    let page = fs::read_to_string(place.path("evil/memorization.html")).unwrap();
    assert!(!page.contains("<script>alert") && !page.contains('\u{202e}'));
    let twice = place.run(&[&with[..], &["--screen", "screen.json"]].concat());
    twice.expect(2, &["twice"]);
    place.write("wrong.json", "{}");
    let wrong = place.run(&["results", "--screen", "wrong.json"]);
    wrong.expect(2, &["wrong"]);
    assert!(
        wrong.stderr.contains("wrong.json: no screen"),
        "{}",
        wrong.stderr
    );
}
