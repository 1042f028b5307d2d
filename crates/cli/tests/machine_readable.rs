//! What programs read: `--json` gives the documented keys, and every record on disk can be read.

mod common;

use common::{Place, repository, small};
use serde_json::Value;

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap_or_else(|| panic!("{value}"))
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn targets() {
    let place = Place::new();
    let list = place.expect(0, &["target", "list", "--json"]).json();
    let names: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|target| &target["name"])
        .collect();
    for name in ["gron", "jq_simple", "uuidparse"] {
        assert!(names.contains(&&Value::from(name)), "{names:?}");
    }
    for target in list.as_array().unwrap() {
        assert_eq!(
            keys(target),
            [
                "name",
                "domain",
                "size",
                "languages",
                "visible",
                "hidden",
                "families"
            ]
        );
        let name = target["name"].as_str().unwrap();
        let shown = place.expect(0, &["target", "show", name, "--json"]).json();
        let families = shown["families"].as_array().unwrap();
        assert_eq!(target["families"], families.len());
        let sum = |split: &str| {
            families
                .iter()
                .map(|family| family[split].as_u64().unwrap())
                .sum::<u64>()
        };
        assert_eq!(target["visible"], sum("visible"));
        assert_eq!(target["hidden"], sum("hidden"));
        assert!(
            shown["reference"]["packages"][0]["sha256"]
                .as_str()
                .unwrap()
                .len()
                == 64
        );
    }
}

#[test]
fn doctor() {
    let place = Place::new();
    let done = place.run(&["doctor", "--json"]);
    let report = done.json();
    assert_eq!(keys(&report), ["ready", "findings"]);
    assert_eq!(
        done.status,
        Some(if report["ready"] == true { 0 } else { 3 })
    );
    for finding in report["findings"].as_array().unwrap() {
        for key in ["name", "need", "present", "detail", "remedy"] {
            assert!(finding.get(key).is_some(), "{finding}");
        }
    }
}

#[test]
fn runs_and_images() {
    let place = Place::new();
    assert_eq!(
        place.expect(0, &["runs", "--json"]).json(),
        Value::Array(Vec::new())
    );
    let empty = place.path("cache").display().to_string();
    let images = place
        .expect(0, &["image", "list", "--json", "--cache", &empty])
        .json();
    assert_eq!(images, Value::Array(Vec::new()));
    // The recorded rebuild of the demo is a run as well.
    let demo = repository().join("demo/gron-python").display().to_string();
    let run = place.expect(0, &["runs", &demo, "--json"]).json();
    assert_eq!(
        keys(&run),
        [
            "id",
            "task",
            "state",
            "commands",
            "oracle_calls",
            "evaluations",
            "best",
            "command_seconds",
            "model",
            "turns",
            "contexts",
            "tokens",
            "dollars",
            "possible_dollars",
            "who",
            "seconds",
            "runs_of_task",
        ]
    );
    assert_eq!(run["runs_of_task"][0]["id"], run["id"]);
    assert_eq!(run["task"], "gron/python");
    assert_eq!(run["state"], "submitted");
}

#[test]
fn verdicts() {
    let place = Place::new();
    place.write("sub/main.py", "import sys\nsys.exit(1)\n");
    let targets = small().display().to_string();
    let arguments = [
        "score",
        "small/python",
        "sub",
        "--targets",
        &targets,
        "--json",
        "--out",
        "out",
    ];
    let verdict = place.expect(1, &arguments).json();
    let file = std::fs::read_to_string(place.path("out/verdict.json")).unwrap();
    assert_eq!(verdict, serde_json::from_str::<Value>(&file).unwrap());
    let documented = std::fs::read_to_string(repository().join("docs/src/scoring.md")).unwrap();
    for key in keys(&verdict) {
        assert!(
            documented.contains(&format!("`{key}`")),
            "{key} is not in docs/src/scoring.md"
        );
    }
    for key in [
        "task", "solved", "visible", "hidden", "families", "cases", "versions",
    ] {
        assert!(verdict.get(key).is_some(), "{key}");
    }
    let outcomes = documented.split("`outcome` is one of").nth(1).unwrap();
    for case in verdict["cases"].as_array().unwrap() {
        let outcome = case["outcome"].as_str().unwrap();
        assert!(outcomes.contains(&format!("`{outcome}`")), "{outcome}");
        assert!(["visible", "hidden"].contains(&case["split"].as_str().unwrap()));
        if case["split"] == "hidden" {
            assert!(case["difference"]["context"].is_null(), "{case}");
        }
    }
    let passed = |split: &str| {
        let cases = verdict["cases"].as_array().unwrap().iter();
        cases
            .filter(|case| case["split"] == split && case["outcome"] == "pass")
            .count()
    };
    assert_eq!(verdict["visible"]["passed"], passed("visible"));
    assert_eq!(verdict["hidden"]["passed"], passed("hidden"));
}
