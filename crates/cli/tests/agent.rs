//! A scripted model at work, end to end: the program's own commands, a real sandbox, a real reference, a real verdict.

mod common;

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Done, Place, small};
use serde_json::{Value, json};

fn with(arguments: &[&str]) -> Vec<String> {
    let targets = small().display().to_string();
    let all = arguments.iter().copied().chain(["--targets", &targets]);
    all.map(str::to_owned).collect()
}

#[track_caller]
fn expect(place: &Place, status: i32, arguments: &[&str]) -> Done {
    let arguments = with(arguments);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    place.expect(status, &arguments)
}

fn call(name: &str, input: Value) -> Value {
    json!({ "name": name, "input": input })
}

fn bash(command: &str) -> Value {
    call("bash", json!({ "command": command }))
}

/// A turn that the provider counts as so many tokens.
fn turn(tokens: u64, calls: &[Value]) -> Value {
    json!({
        "text": "next",
        "calls": calls,
        "usage": { "input": tokens, "cache_read": 0, "cache_write": 0, "output": 20, "reasoning": 0 },
    })
}

fn script(place: &Place, name: &str, turns: &[Value]) -> String {
    let path = place.write(name, json!({ "turns": turns }).to_string());
    format!("scripted:{}", path.display())
}

fn id(place: &Place) -> String {
    let mut runs = fs::read_dir(place.path("runs")).unwrap();
    let id = runs.next().unwrap().unwrap().file_name();
    assert!(runs.next().is_none());
    id.into_string().unwrap()
}

fn events(place: &Place, id: &str) -> Vec<Value> {
    let journal = place.path("runs").join(id).join("journal.jsonl");
    let text = fs::read_to_string(journal).unwrap();
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (event, seq) in events.iter().zip(1..) {
        assert_eq!(event["seq"], seq, "an event is lost or doubled");
    }
    events
}

fn of<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let of = events.iter().filter(|event| event["type"] == kind);
    of.collect()
}

/// What the model was told, as text pieces; output is looked at elsewhere.
fn told(events: &[Value], tool: &str) -> String {
    let result = of(events, "tool-result")
        .into_iter()
        .find(|event| event["tool"] == tool)
        .unwrap_or_else(|| panic!("{tool} has no answer"));
    result["pieces"].to_string()
}

const KEY: &str = "key-of-the-caller-0123456789";

#[test]
fn a_whole_run_from_the_first_question_to_the_verdict() {
    let place = Place::new();
    let edit = |input: Value| call("edit", input);
    let model = script(
        &place,
        "script.json",
        &[
            turn(
                2_000,
                &[bash("echo '[1]' | gron; gron /nowhere; seq 1 9000; false")],
            ),
            turn(
                2_500,
                &[
                    edit(
                        json!({"action": "create", "path": "main.py", "text": "import sys\nprint('one')\n"}),
                    ),
                    edit(
                        json!({"action": "replace", "path": "/workspace/main.py", "old": "'one'", "new": "'json = [];'"}),
                    ),
                    call("dance", json!({})),
                ],
            ),
            turn(
                3_000,
                &[call(
                    "bash",
                    json!({"command": "sleep 0.2; echo in the background", "background": true}),
                )],
            ),
            // So many tokens that the context is full: what comes next is the summary.
            turn(9_000, &[call("evaluate", json!({"cases": ["arrays"]}))]),
            json!({ "text": format!("What was done. {KEY}") }),
            turn(
                2_200,
                &[bash(
                    "until [ -s /tmp/jobs/4.status ]; do sleep 0.05; done; cat /tmp/jobs/*.txt; echo notes > NOTES.md",
                )],
            ),
            json!({ "text": "I think that I am done." }),
            turn(
                2_400,
                &[call(
                    "bash",
                    json!({"command": "timeout 60 sleep 61 & sleep 62", "timeout": 0.5}),
                )],
            ),
            turn(2_500, &[call("submit", json!({}))]),
        ],
    );
    let mut arguments = with(&[
        "run",
        "small/python",
        "--model",
        &model,
        "--compact-at",
        "8k",
    ]);
    arguments.extend(["--token-limit", "1M", "--turn-limit", "100"].map(str::to_owned));
    let output = place
        .command()
        .args(&arguments)
        .env("MY_API_KEY", KEY)
        .output()
        .unwrap();
    let done = Done::of(&output);
    done.expect(1, &["run"]);
    assert!(done.stdout.contains("submitted after 8 turns"), "{done:?}");
    assert!(done.stdout.contains("not solved"), "{done:?}");

    let id = id(&place);
    let run = place.path("runs").join(&id);
    let events = events(&place, &id);
    assert_eq!(of(&events, "oracle").len(), 2);
    let contexts = of(&events, "context");
    assert_eq!(contexts.len(), 2);
    assert_eq!(contexts[1]["why"], "summary");
    assert!(!contexts[1]["dropped"].as_array().unwrap().is_empty());
    assert!(told(&events, "call-1-1").contains("/tmp/outputs/1.txt"));
    assert!(told(&events, "call-1-1").contains("[exit status 1]"));
    assert!(told(&events, "call-2-3").contains("there is no tool `dance`"));
    assert!(told(&events, "call-3-1").contains("job 4 goes on in the background"));
    // It may have ended while the evaluation went on.
    let ended = ["call-4-1", "call-6-1"]
        .iter()
        .filter(|call| told(&events, call).contains("[job 4 has ended with status 0]"));
    assert_eq!(ended.count(), 1);
    assert!(told(&events, "call-8-1").contains("it took too long"));
    let evaluation = of(&events, "evaluate")[0];
    assert!(evaluation["cases_total"].as_u64().unwrap() > 0);
    assert_eq!(
        of(&events, "message")
            .iter()
            .filter(|event| event["kind"] == "go-on")
            .count(),
        1
    );
    let everything = fs::read_to_string(run.join("journal.jsonl")).unwrap();
    assert!(!everything.contains(KEY) && everything.contains("[redacted]"));
    let verdict: Value =
        serde_json::from_slice(&fs::read(run.join("verdict.json")).unwrap()).unwrap();
    assert_eq!(verdict["solved"], false);

    let facts = expect(&place, 0, &["runs", &id, "--json"]).json();
    assert_eq!(
        (&facts["state"], &facts["turns"], &facts["contexts"]),
        (&json!("submitted"), &json!(8), &json!(2))
    );
    assert!(
        expect(&place, 0, &["run", "show", &id])
            .stdout
            .contains("context 2 (Summary)")
    );
    let standing = expect(&place, 0, &["watch", &id, "--once", "--json"]).json();
    assert_eq!(
        (&standing["turn"], &standing["state"]),
        (&json!(8), &json!("submitted"))
    );

    history_can_be_opened(&place, &run);

    // Before turn 2 there was nothing.
    let at = expect(&place, 1, &["score", &id, "--at", "1", "--json"]).json();
    assert_eq!(at["submission"]["files"], 0);
    let at = expect(&place, 1, &["score", &id, "--at", "2", "--json"]).json();
    assert_eq!(at["submission"]["files"], 1);
    assert!(
        expect(&place, 2, &["score", &id, "--at", "99"])
            .stderr
            .contains("has 8 turns")
    );
    let curve = expect(&place, 1, &["score", &id, "--curve", "--json"]).json();
    let turns: Vec<&Value> = curve
        .as_array()
        .unwrap()
        .iter()
        .map(|point| &point["turn"])
        .collect();
    assert_eq!(turns, [&json!(0), &json!(2), &json!(5)]);

    // The same answers to a new run lead to the same workspace; and the old one's commands do the same again.
    let again = Place::new();
    let replay = format!("replay:{}", run.display());
    let done = expect(
        &again,
        0,
        &["run", "small/python", "--model", &replay, "--no-score"],
    );
    assert!(done.stdout.contains("after 8 turns"), "{done:?}");
    let submitted = |events: &[Value]| of(events, "submit")[0]["tree"].clone();
    assert_eq!(
        submitted(&crate::events(&again, &crate::id(&again))),
        submitted(&events)
    );
}

/// With `git`, where it is there.
fn history_can_be_opened(place: &Place, run: &std::path::Path) {
    let git = run.join("workspace.git").display().to_string();
    let script = format!(
        "command -v git >/dev/null || exit 0; g='git -c safe.directory=* --git-dir {git}'; $g fsck --strict && $g log --format=%s && $g show main:main.py"
    );
    let output = place.script(&["env"], &script).output().unwrap();
    let done = Done::of(&output);
    assert!(output.status.success(), "{done:?}");
    if !done.stdout.is_empty() {
        assert!(done.stdout.contains("turn 2: edit\n"), "{done:?}");
        assert!(done.stdout.contains("print('json = [];')"), "{done:?}");
    }
}

#[test]
fn a_run_out_of_budget_is_scored_and_goes_on_with_more() {
    let place = Place::new();
    let turns: Vec<Value> = (1..=5)
        .map(|number| turn(2_000, &[bash(&format!("echo {number} >> log"))]))
        .chain([turn(2_000, &[call("submit", json!({}))])])
        .collect();
    let model = script(&place, "script.json", &turns);
    let done = expect(
        &place,
        1,
        &[
            "run",
            "small/python",
            "--model",
            &model,
            "--turn-limit",
            "2",
        ],
    );
    assert!(
        done.stdout.contains("out of budget (turns) after 2 turns"),
        "{done:?}"
    );
    let id = id(&place);
    assert!(place.path("runs").join(&id).join("verdict.json").exists());
    expect(&place, 0, &["run", "limit", &id, "--turn-limit", "4"]);
    let done = expect(&place, 0, &["resume", &id, "--no-score"]);
    assert!(done.stdout.contains("after 4 turns"), "{done:?}");
    let done = expect(
        &place,
        0,
        &["resume", &id, "--turn-limit", "100", "--no-score"],
    );
    assert!(done.stdout.contains("submitted after 6 turns"), "{done:?}");
    let log = fs::read_to_string(place.path("runs").join(&id).join("workspace/log")).unwrap();
    assert_eq!(log, "1\n2\n3\n4\n5\n");
    events(&place, &id);
    // What is submitted is scored, and nothing is done again.
    let done = expect(&place, 1, &["resume", &id]);
    assert!(done.stdout.contains("not solved"), "{done:?}");
    let done = expect(&place, 0, &["replay", &id]);
    assert!(
        done.stdout.contains("6 of 6 commands did the same again"),
        "{done:?}"
    );
}

fn start(place: &Place, arguments: &[&str]) -> Child {
    place
        .process()
        .args(with(arguments))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(300), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_run_is_paused_stopped_and_resumed_from_outside() {
    let place = Place::new();
    let mut turns: Vec<Value> = (1..=200)
        .map(|number| turn(2_000, &[bash(&format!("echo {number} >> log; sleep 0.02"))]))
        .collect();
    turns.push(turn(
        2_000,
        &[bash("echo last >> log; sleep 50; echo never >> log")],
    ));
    turns.push(turn(2_000, &[call("submit", json!({}))]));
    let model = script(&place, "script.json", &turns);
    let child = start(
        &place,
        &["run", "small/python", "--model", &model, "--no-score"],
    );
    let runs = place.path("runs");
    wait_for("a run", || {
        fs::read_dir(&runs).is_ok_and(|runs| runs.count() == 1)
    });
    let id = id(&place);
    let log = runs.join(&id).join("workspace/log");
    let lines = || fs::read_to_string(&log).unwrap_or_default().lines().count();
    wait_for("three turns", || lines() > 3);
    expect(&place, 0, &["run", "pause", &id]);
    let journal = || fs::read_to_string(runs.join(&id).join("journal.jsonl")).unwrap();
    wait_for("a pause", || journal().contains("\"type\":\"pause\""));
    let paused = lines();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(lines(), paused);
    expect(&place, 0, &["run", "continue", &id]);
    wait_for("the last command", || {
        fs::read_to_string(&log).unwrap().contains("last")
    });
    let done = expect(&place, 0, &["stop", &id]);
    assert!(
        done.stdout.contains(&format!("mirrorcode resume {id}")),
        "{done:?}"
    );
    let output = child.wait_with_output().unwrap();
    let done = Done::of(&output);
    done.expect(130, &["run"]);
    assert!(
        done.stderr.contains(&format!("`mirrorcode resume {id}`")),
        "{done:?}"
    );
    let done = expect(&place, 0, &["resume", &id, "--no-score"]);
    assert!(done.stdout.contains("submitted"), "{done:?}");
    let events = events(&place, &id);
    assert!(told(&events, "call-201-1").contains("stopped by whoever runs this"));
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 201);
    assert_eq!(
        expect(&place, 0, &["stop", &id]).stdout.trim(),
        format!("{id} is not under way")
    );
}

#[test]
fn what_is_wrong_is_said_before_anything_is_built() {
    let place = Place::new();
    for (arguments, words) in [
        (&["run", "small/python", "--model", "none"][..], "none"),
        (
            &["run", "small/python", "--model", "scripted:/nowhere"],
            "/nowhere",
        ),
        (
            &["run", "small/python", "--model", "replay:nothing"],
            "there is no run nothing",
        ),
        (
            &["run", "small", "--model", "scripted:/dev/null"],
            "names no language",
        ),
        (
            &[
                "run",
                "size:XL",
                "--language",
                "all",
                "--model",
                "scripted:/dev/null",
            ],
            "no target is size:XL",
        ),
        (
            &["run", "small/cobol", "--model", "scripted:/dev/null"],
            "cobol",
        ),
        (
            &[
                "run",
                "small/python",
                "--model",
                "compatible/x",
                "--base-url",
                "http://127.0.0.1:9/v1",
                "--cost-limit",
                "5",
            ],
            "no price is known",
        ),
        (&["resume", "nothing"], "there is no run nothing"),
        (&["run", "limit", "nothing"], "name a limit"),
    ] {
        let done = expect(&place, 2, arguments);
        assert!(done.stderr.contains(words), "{arguments:?}: {done:?}");
    }
    assert!(!place.path("runs").exists());
}

#[test]
fn several_runs_at_the_same_time() {
    let place = Place::new();
    let model = script(
        &place,
        "script.json",
        &[
            turn(2_000, &[bash("echo 1 > main.py")]),
            turn(2_000, &[call("submit", json!({}))]),
        ],
    );
    let done = expect(
        &place,
        0,
        &[
            "run",
            "sm*",
            "--language",
            "python",
            "--model",
            &model,
            "--attempts",
            "3",
            "--parallel",
            "2",
            "--no-score",
            "--json",
        ],
    );
    let rows = done.json();
    assert_eq!(rows.as_array().unwrap().len(), 3);
    for row in rows.as_array().unwrap() {
        assert_eq!(
            (&row["end"], &row["task"]),
            (&json!("submitted"), &json!("small/python"))
        );
        events(&place, row["id"].as_str().unwrap());
    }
}
