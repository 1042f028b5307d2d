//! The screen as a whole: real source code, a model that has one program by heart and one that writes something likely.

mod common;

use std::fs;

use common::{Place, repository};
use serde_json::{Value, json};

/// Programs that nobody can know by heart, and the sources that stand for them.
const BASELINE: [(&str, &str); 5] = [
    ("b1", "crates/oracle/src"),
    ("b2", "crates/target/src"),
    ("b3", "crates/model/src"),
    ("b4", "crates/run/src"),
    ("b5", "crates/score/src"),
];
/// What is screened: the first is recited.
const SCREENED: [(&str, &str); 2] = [("known", "crates/sandbox/src"), ("new", "crates/image/src")];
const FUNCTIONS: &str = "12";

fn sources(place: &Place, of: &[(&str, &str)]) -> Vec<String> {
    let mut words = Vec::new();
    for (name, dir) in of {
        let copy = place.path(name);
        if !copy.exists() {
            common::copy(&repository().join(dir), &copy);
        }
        words.extend(["--source".to_owned(), format!("{name}={}", copy.display())]);
    }
    words
}

fn screen(place: &Place, of: &[(&str, &str)], more: &[&str]) -> common::Done {
    let mut words = vec![
        "screen".to_owned(),
        "--functions".to_owned(),
        FUNCTIONS.to_owned(),
    ];
    words.extend(sources(place, of));
    words.extend(more.iter().map(|word| (*word).to_owned()));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    place.run(&words)
}

fn listed(place: &Place, of: &[(&str, &str)]) -> Vec<Value> {
    let done = screen(
        place,
        of,
        &["--model", "scripted:nowhere", "--list", "--json"],
    );
    done.expect(0, &["--list"]);
    done.json().as_array().unwrap().clone()
}

/// What is written of the new program: less like it than other functions of a program are like each other, so that no
/// change of the sources that stand in for programs decides what is flagged.
const LIKELY: &str = "{\n    let value = self.value.clone();\n    Ok(value)\n}";

/// A script with an answer to each question: the function itself for what is recited, something likely for the new program,
/// and the body of another function of the same program below the right signature for the baseline.
fn answers(listed: &[Value]) -> Vec<Value> {
    listed
        .iter()
        .enumerate()
        .map(|(place, function)| {
            let text = function["text"].as_str().unwrap();
            let written = if function["target"] == "known" {
                text.to_owned()
            } else {
                let same: Vec<&Value> = listed
                    .iter()
                    .filter(|other| other["target"] == function["target"])
                    .collect();
                let other = same[(place + 1) % same.len()]["text"].as_str().unwrap();
                let body = |text: &str| text.find("{\n").unwrap_or(text.len());
                let likely = match function["target"] == "new" {
                    true => LIKELY,
                    false => &other[body(other)..],
                };
                format!("{}{likely}", &text[..body(text)])
            };
            json!({"text": format!("```rust\n{written}\n```")})
        })
        .collect()
}

fn script(place: &Place, name: &str, turns: &[Value]) -> String {
    let path = place.write(name, json!({"turns": turns}).to_string());
    format!("scripted:{}", path.display())
}

/// A place with the rows of a baseline, and with the answers to what is to be screened.
fn prepared() -> (Place, Vec<Value>) {
    let place = Place::new();
    let model = script(&place, "b.json", &answers(&listed(&place, &BASELINE)));
    let done = screen(&place, &BASELINE, &["--model", &model, "--out", "baseline"]);
    done.expect(0, &["baseline"]);
    assert!(done.stdout.contains("not tested"), "{}", done.stdout);
    let turns = answers(&listed(&place, &SCREENED));
    (place, turns)
}

const WITH: [&str; 4] = ["--baseline", "baseline/rows.jsonl", "--out", "screen"];

#[test]
fn what_is_recited_is_flagged_and_what_is_likely_is_not() {
    let (place, turns) = prepared();
    let model = script(&place, "t.json", &turns);
    let done = screen(
        &place,
        &SCREENED,
        &[&["--model", &model, "--json"], &WITH[..]].concat(),
    );
    done.expect(0, &["screen"]);
    let result = done.json();
    let of = |name: &str| -> Value {
        let targets = result["targets"].as_array().unwrap();
        targets
            .iter()
            .find(|target| target["target"] == name)
            .unwrap()
            .clone()
    };
    let (known, new) = (of("known"), of("new"));
    assert_eq!(
        (&known["mean"], &known["flagged"]),
        (&json!(1.0), &json!(true)),
        "{result:#}"
    );
    assert_eq!(new["flagged"], json!(false), "{result:#}");
    let mean = new["mean"].as_f64().unwrap();
    assert!(mean > 0.05 && mean < 0.7, "{mean}");
    assert!(known["p_corrected"].as_f64().unwrap() >= known["p"].as_f64().unwrap());

    // Rows can be published: they hold no code. The result is what was printed.
    let rows = fs::read_to_string(place.path("screen/rows.jsonl")).unwrap();
    assert!(!rows.contains("let ") && !rows.contains("fn "), "{rows}");
    assert_eq!(rows.lines().count(), turns.len());
    let written: Value =
        serde_json::from_slice(&fs::read(place.path("screen/screen.json")).unwrap()).unwrap();
    assert_eq!(written, result);

    // The same answers again, by themselves and from another directory, are worth the same; nothing is asked.
    let empty = script(&place, "empty.json", &[]);
    let replay = "replay:screen/answers.jsonl";
    for (model, out) in [(empty.as_str(), "screen"), (replay, "again")] {
        let more = ["--model", model, "--json", WITH[0], WITH[1], "--out", out];
        let done = screen(&place, &SCREENED, &more);
        done.expect(0, &more);
        assert_eq!(done.json(), result);
    }
    let done = screen(
        &place,
        &SCREENED,
        &["--model", replay, "--seed", "2", "--out", "again"],
    );
    done.expect(2, &["--seed"]);
    assert!(done.stderr.contains("has no answer to"), "{}", done.stderr);
}

#[test]
fn a_screen_that_breaks_off_goes_on_and_asks_nothing_twice() {
    let (place, turns) = prepared();
    let mut first = turns[..5].to_vec();
    first.push(json!({"failure": "authentication"}));
    let model = script(&place, "first.json", &first);
    let done = screen(
        &place,
        &SCREENED,
        &[&["--model", &model], &WITH[..]].concat(),
    );
    done.expect(4, &["first"]);
    assert!(
        done.stderr.contains("the same command goes on"),
        "{}",
        done.stderr
    );
    // The script has an answer for each question that is left, and would run out if another were asked.
    let model = script(&place, "rest.json", &turns[5..]);
    let done = screen(
        &place,
        &SCREENED,
        &[&["--model", &model], &WITH[..]].concat(),
    );
    done.expect(0, &["rest"]);
    assert!(done.stdout.contains("flagged"), "{}", done.stdout);
    let answers = fs::read_to_string(place.path("screen/answers.jsonl")).unwrap();
    assert_eq!(answers.lines().count(), turns.len());
}

#[test]
fn wrong_use_is_explained() {
    let place = Place::new();
    let known = &SCREENED[..1];
    for (more, expected) in [
        (&["--model", "example/x"][..], "names no model"),
        (&["--model", "scripted:lost.json"], "lost.json"),
        (&["--model", "replay:lost.jsonl"], "lost.jsonl"),
        (
            &[
                "--model",
                "compatible/x",
                "--base-url",
                "http://127.0.0.1:9/v1",
                "--cost-limit",
                "1",
            ],
            "no price is known",
        ),
        (
            &["--model", "scripted:x", "--baseline", "lost.jsonl"],
            "lost.jsonl",
        ),
    ] {
        let done = screen(&place, known, more);
        done.expect(2, more);
        assert!(done.stderr.contains(expected), "{}", done.stderr);
    }
    let done = place.run(&["screen", "--model", "scripted:x"]);
    done.expect(2, &["screen"]);
    let done = place.run(&["screen", "pkl", "--model", "scripted:x"]);
    done.expect(2, &["pkl"]);
    assert!(
        done.stderr
            .contains("pkl: not screened: it is in no registry"),
        "{}",
        done.stderr
    );
    let done = place.run(&["screen", "gorn", "--model", "scripted:x"]);
    done.expect(2, &["gorn"]);
    assert!(done.stderr.contains("gron"), "{}", done.stderr);
}

/// Fetches the source of real references: a Go program of Debian's, and a crate.
#[test]
#[ignore = "needs the package mirrors; `make test-screen`"]
fn real_references_are_screened() {
    let place = Place::new();
    let list = |targets: &[&str]| -> Vec<Value> {
        let words = [
            &["screen"],
            targets,
            &["--model", "scripted:x", "--list", "--json"],
        ]
        .concat();
        let done = place.run(&words);
        done.expect(0, &words);
        done.json().as_array().unwrap().clone()
    };
    let baseline = listed(&place, &BASELINE);
    let model = script(&place, "b.json", &answers(&baseline));
    screen(&place, &BASELINE, &["--model", &model, "--out", "baseline"]).expect(0, &["baseline"]);
    let found = list(&["gron", "choose"]);
    let turns: Vec<Value> = found
        .iter()
        .map(|function| {
            let text = function["text"].as_str().unwrap();
            match function["target"].as_str().unwrap() {
                "gron" => json!({"text": format!("```go\n{text}\n```")}),
                _ => json!({"text": format!("```rust\n{} {{\n    todo!()\n}}\n```", text.split('{').next().unwrap())}),
            }
        })
        .collect();
    let model = script(&place, "t.json", &turns);
    let done = place.run(&[
        "screen",
        "gron",
        "choose",
        "--model",
        &model,
        "--baseline",
        "baseline/rows.jsonl",
        "--json",
    ]);
    done.expect(0, &["screen"]);
    let flags: Vec<Value> = done.json()["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| json!([target["target"], target["flagged"]]))
        .collect();
    assert_eq!(json!(flags), json!([["choose", false], ["gron", true]]));
}
