//! Campaigns end to end: many runs from one file, stopped and started at will; and two workers on one run.

mod common;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Done, Place, small};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Longest time that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

fn bash(command: &str) -> Value {
    json!({ "calls": [{ "name": "bash", "input": { "command": command } }],
            "usage": { "input": 1000, "cache_read": 0, "cache_write": 0, "output": 20, "reasoning": 0 } })
}

fn submit() -> Value {
    json!({ "calls": [{ "name": "submit", "input": {} }] })
}

fn script(place: &Place, name: &str, turns: &[Value]) {
    place.write(name, json!({ "turns": turns }).to_string());
}

/// The program's words with the small target, as a process.
fn start(place: &Place, words: &[&str], errors: &str) -> Child {
    place
        .process()
        .args(words)
        .args(["--targets", &small().display().to_string()])
        .stdout(Stdio::piped())
        .stderr(fs::File::create(place.path(errors)).unwrap())
        .spawn()
        .unwrap()
}

fn run(place: &Place, words: &[&str]) -> Done {
    let targets = small().display().to_string();
    let all: Vec<&str> = words
        .iter()
        .copied()
        .chain(["--targets", &targets])
        .collect();
    place.run(&all)
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ended(mut child: Child) -> (Option<i32>, String) {
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut said = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    (status.code(), said)
}

fn events(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("journal.jsonl")).unwrap();
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
    events
        .iter()
        .filter(|event| event["type"] == kind)
        .collect()
}

#[test]
fn a_campaign_is_stopped_and_goes_on_and_runs_nothing_twice() {
    let place = Place::new();
    script(&place, "quick.json", &[bash("echo 1 > a"), submit()]);
    let slow = [
        bash("echo one >> log; sleep 600"),
        bash("echo two >> log"),
        submit(),
    ];
    script(&place, "slow.json", &slow);
    place.write(
        "pilot.toml",
        "[[set]]\ntasks = 'small/python'\nattempts = 2\n[[model]]\nname = 'scripted:quick.json'\npriority = 1\n\
         [[model]]\nname = 'scripted:slow.json'\n\
         [limits.scripted]\nrequests-per-minute = 100\ntokens = '10M'\n\
         [resources]\nparallel = 4\nmemory = '1M'\n",
    );
    let driver = start(
        &place,
        &["campaign", "run", "pilot.toml", "--json"],
        "errors",
    );
    let slow = |number: u32| place.path(&format!("runs/pilot.small-python.slow.{number}"));
    until("both slow runs are in their long command", || {
        [1, 2]
            .iter()
            .all(|number| slow(*number).join("workspace/log").is_file())
    });
    let quick = place.path("runs/pilot.small-python.quick.1/outcome.json");
    until("a quick run is scored", || quick.is_file());
    let second = run(&place, &["campaign", "run", "pilot.toml"]);
    second.expect(2, &["a second driver"]);
    assert!(second.stderr.contains("is in use by process"), "{second:?}");
    kill_process(Pid::from_child(&driver), Signal::INT).unwrap();
    let (status, said) = ended(driver);
    assert_eq!(status, Some(130));
    assert!(
        said.lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "{said}"
    );

    let status = run(&place, &["campaign", "status", "pilot", "--json"]).json();
    let counts = &status["counts"];
    assert_eq!(
        (&counts["attempts"], &counts["working"]),
        (&json!(4), &json!(0)),
        "{status}"
    );
    assert_eq!(counts["begun"], 2, "{status}");
    let before = fs::read(&quick).unwrap();

    // The long command was ended; it is not done again.
    let done = run(&place, &["campaign", "run", "pilot.toml"]);
    done.expect(0, &["campaign run"]);
    assert!(done.stdout.starts_with("4/4 done, 0 solved"), "{done:?}");
    assert_eq!(fs::read(&quick).unwrap(), before);
    for number in [1, 2] {
        let log = fs::read_to_string(slow(number).join("workspace/log")).unwrap();
        assert_eq!(log, "one\ntwo\n");
        let events = events(&slow(number));
        assert_eq!(
            (of(&events, "start").len(), of(&events, "submit").len()),
            (1, 1)
        );
        assert!(slow(number).join("verdict.json").is_file());
    }
    let status = run(&place, &["campaign", "status", "pilot.toml", "--json"]).json();
    let account = &status["providers"][0];
    // Two answers of each quick run and three of each slow one; one that was under way may have been asked for again.
    assert!(account["requests"].as_u64().unwrap() >= 10, "{account}");
    assert_eq!(account["limits"]["requests_per_minute"], 100);
    let table = run(&place, &["campaign", "status", "pilot"]).stdout;
    assert!(
        table.contains("quick") && table.contains("4/4 done"),
        "{table}"
    );
    let length = fs::metadata(slow(1).join("journal.jsonl")).unwrap().len();
    run(&place, &["campaign", "run", "pilot.toml"]).expect(0, &["nothing to do"]);
    assert_eq!(
        fs::metadata(slow(1).join("journal.jsonl")).unwrap().len(),
        length
    );
}

/// What a scheduler does that gave a node up whose worker goes on.
#[test]
fn of_two_workers_on_one_run_the_older_stops() {
    let place = Place::new();
    let turns: Vec<Value> = (1..=40)
        .map(|turn| bash(&format!("echo {turn} >> log; sleep 0.3")))
        .chain([submit(), submit(), submit()])
        .collect();
    script(&place, "long.json", &turns);
    place.write(
        "pair.toml",
        "[[set]]\ntasks = 'small/python'\n[[model]]\nname = 'scripted:long.json'\n[resources]\nmemory = '1M'\n",
    );
    // A driver lays the campaign out, begins the run, and is stopped.
    let driver = start(&place, &["campaign", "run", "pair.toml"], "errors");
    let id = "pair.small-python.long.1";
    let dir = place.path("runs").join(id);
    let log = dir.join("workspace/log");
    let lines = || fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    until("the run is at work", || lines() > 0);
    kill_process(Pid::from_child(&driver), Signal::INT).unwrap();
    assert_eq!(ended(driver).0, Some(130));

    let campaign = place.path("runs/pair.campaign").display().to_string();
    let words = ["campaign", "work", "--take", &campaign, id];
    let runs: Vec<PathBuf> = vec![place.path("one"), place.path("two")];
    let older = start(&place, &words, "one");
    let before = lines();
    until("the older works", || lines() > before + 1);
    let newer = start(&place, &words, "two");
    let (status, _) = ended(older);
    let said = fs::read_to_string(&runs[0]).unwrap();
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains("was taken over by process"), "{said}");
    let (status, out) = ended(newer);
    assert_eq!(status, Some(0), "{}", fs::read_to_string(&runs[1]).unwrap());
    assert_eq!(out.trim(), format!("{id}: submitted"));

    let events = events(&dir);
    let epochs: Vec<u64> = of(&events, "attach")
        .iter()
        .map(|attach| attach["epoch"].as_u64().unwrap())
        .collect();
    assert_eq!(epochs.len(), 3);
    assert!(
        epochs.windows(2).all(|pair| pair[0] < pair[1]),
        "{epochs:?}"
    );
    assert_eq!(of(&events, "submit").len(), 1);
    // No command was done twice: each of them left its line once at most.
    let text = fs::read_to_string(&log).unwrap();
    let mut numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    let all = numbers.len();
    numbers.dedup();
    assert_eq!(numbers.len(), all);
    assert!(numbers.is_sorted() && all >= 37, "{numbers:?}");
    // A worker that comes late finds everything done.
    let late = start(&place, &words, "two");
    assert_eq!(ended(late).0, Some(0));
}

#[test]
fn what_is_wrong_with_a_file_is_named_before_anything_is_started() {
    let place = Place::new();
    let begin = "[[set]]\ntasks = 'small/python'\n";
    for (text, says) in [
        (
            "[[set]]\ntask = 'a'\n",
            "wrong.toml:2:1: unknown field `task`",
        ),
        (begin, "wrong.toml:1:1: no [[model]]"),
        (
            &format!("{begin}[[model]]\nname = 'scripted:none.json'\n"),
            "wrong.toml:3: ",
        ),
        (
            "[[set]]\ntasks = 'nothing/python'\n[[model]]\nname = 'scripted:quick.json'\n",
            "`tasks`: ",
        ),
        (
            &format!(
                "{begin}budget = {{ dollars = 1 }}\n[[model]]\nname = 'compatible/x'\nbase-url = 'http://127.0.0.1:1'\n"
            ),
            "wrong.toml:4: ",
        ),
    ] {
        script(&place, "quick.json", &[submit()]);
        place.write("wrong.toml", text);
        let done = run(&place, &["campaign", "run", "wrong.toml"]);
        done.expect(2, &[text]);
        assert!(done.stderr.contains(says), "{text}: {}", done.stderr);
        assert!(!place.path("runs").exists());
    }
    let done = run(&place, &["campaign", "status", "nobody"]);
    done.expect(2, &["status"]);
    assert!(done.stderr.contains("neither a file"), "{}", done.stderr);
}
