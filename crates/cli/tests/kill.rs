//! A scripted agent is killed again and again at random instants and resumed to the end. Nothing is lost, nothing is
//! doubled, and no tool call is done twice without the agent being told.
//!
//! `MIRRORCODE_KILLS` says how often; `make test-crash` does it a thousand times.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Place, small};
use serde_json::{Value, json};

const TURNS: usize = 120;

/// Numbers that look random and are the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// Each call leaves a line of its own in the workspace; contexts grow full on the way.
fn script() -> Value {
    let usage = |input: usize| json!({ "input": input, "cache_read": 0, "cache_write": 0, "output": 9, "reasoning": 0 });
    let mut turns = Vec::new();
    for number in 1..=TURNS {
        let mut calls = vec![
            json!({ "name": "bash", "input": { "command": format!("echo bash-{number} >> log; sleep 0.005") } }),
        ];
        if number % 5 == 0 {
            let text = format!("edit-{number}\n");
            calls.push(json!({ "name": "edit", "input": { "action": "create", "path": format!("files/{number}"), "text": text } }));
        }
        turns.push(json!({ "text": format!("turn {number}"), "calls": calls, "usage": usage(1_000 + number % 20 * 500) }));
    }
    turns.push(json!({ "calls": [{ "name": "submit", "input": {} }], "usage": usage(1_000) }));
    json!({ "turns": turns })
}

fn arguments(words: &[&str]) -> Vec<String> {
    let targets = small().display().to_string();
    let all = words
        .iter()
        .copied()
        .chain(["--no-score", "--targets", &targets]);
    all.map(str::to_owned).collect()
}

fn start(place: &Place, words: &[&str]) -> Child {
    place
        .process()
        .args(arguments(words))
        .env("TMPDIR", place.path("tmp"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn only_run(place: &Place) -> Option<String> {
    let runs = fs::read_dir(place.path("runs")).ok()?;
    let names = runs.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.max()
}

/// What a whole journal says of a run that was killed on the way.
struct Facts {
    cut_off: usize,
    kills_seen: usize,
}

#[track_caller]
fn check(run: &Path) -> Facts {
    let text = fs::read_to_string(run.join("journal.jsonl")).unwrap();
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut results: BTreeMap<String, usize> = BTreeMap::new();
    let mut began: BTreeMap<String, usize> = BTreeMap::new();
    let mut told_cut_off = BTreeSet::new();
    let mut answers = 0;
    let mut calls = BTreeSet::new();
    let mut answered = BTreeSet::new();
    for (event, seq) in events.iter().zip(1..) {
        assert_eq!(event["seq"], seq, "an event is lost or doubled");
        let tool = event["tool"].as_str().unwrap_or_default().to_owned();
        match event["type"].as_str().unwrap() {
            "reply" => {
                answers += 1;
                assert!(
                    answered.insert(event["call"].as_u64().unwrap()),
                    "a call has two answers"
                );
            }
            "call" => assert!(
                calls.insert(event["number"].as_u64().unwrap()),
                "a call has its number twice"
            ),
            "unanswered" => assert!(
                answered.insert(event["call"].as_u64().unwrap()),
                "a call has an answer and has none"
            ),
            "command" | "edit" => *began.entry(tool).or_default() += 1,
            "tool-result" => {
                *results.entry(tool.clone()).or_default() += 1;
                if event["pieces"].to_string().contains("was not done again") {
                    told_cut_off.insert(tool);
                }
            }
            _ => {}
        }
    }
    assert_eq!(answers, TURNS + 1, "an answer is lost or doubled");
    assert_eq!(calls, answered, "a call is neither answered nor marked");
    assert!(
        began.values().all(|count| *count == 1),
        "a tool call began twice"
    );
    assert!(
        results.values().all(|count| *count == 1),
        "a tool call was answered twice"
    );
    let log = fs::read_to_string(run.join("workspace/log")).unwrap();
    let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
    for line in log.lines() {
        *lines.entry(line).or_default() += 1;
    }
    for number in 1..=TURNS {
        let id = format!("call-{number}-1");
        let times = lines.remove(format!("bash-{number}").as_str()).unwrap_or(0);
        let told = told_cut_off.contains(&id);
        assert!(
            times == 1 || (told && times == 0),
            "{id} took effect {times} times, told: {told}"
        );
        assert_eq!(results.get(&id), Some(&1), "{id} has no answer");
        if number % 5 == 0 {
            let id = format!("call-{number}-2");
            let there = run
                .join("workspace/files")
                .join(number.to_string())
                .exists();
            assert!(there || told_cut_off.contains(&id), "{id} had no effect");
            assert_eq!(results.get(&id), Some(&1), "{id} has no answer");
        }
    }
    assert!(lines.is_empty(), "{lines:?}");
    Facts {
        cut_off: told_cut_off.len(),
        kills_seen: events
            .iter()
            .filter(|event| event["type"] == "attach")
            .count()
            - 1,
    }
}

#[test]
fn killed_again_and_again_and_resumed_to_the_end() {
    let kills: u64 = std::env::var("MIRRORCODE_KILLS").map_or(20, |text| text.parse().unwrap());
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut killed, mut runs, mut cut_off, mut seen) = (0, 0, 0, 0);
    while killed < kills {
        let place = Place::new();
        fs::create_dir_all(place.path("tmp")).unwrap();
        let script = place.write("script.json", script().to_string());
        let model = format!("scripted:{}", script.display());
        let begin = [
            "run",
            "small/python",
            "--model",
            &model,
            "--compaction",
            "clear",
            "--compact-at",
            "8k",
        ];
        runs += 1;
        let run = loop {
            let id = only_run(&place).filter(|id| {
                // Before the run has its beginning on disk there is none to go on with.
                let journal = place.path("runs").join(id).join("journal.jsonl");
                fs::read(journal).is_ok_and(|text| text.contains(&b'\n'))
            });
            let words: Vec<&str> = match &id {
                None => begin.to_vec(),
                Some(id) => vec!["resume", id],
            };
            if id.is_none() {
                let _ = fs::remove_dir_all(place.path("runs"));
            }
            let journal = id
                .as_ref()
                .map(|id| place.path("runs").join(id).join("journal.jsonl"));
            let length = || {
                journal
                    .as_ref()
                    .and_then(|path| fs::metadata(path).ok())
                    .map_or(0, |data| data.len())
            };
            let before = length();
            let mut child = start(&place, &words);
            // Most kills come while the agent is at work, some while it still starts.
            let begun = Instant::now();
            let early = chance.below(8) == 0;
            while !early
                && journal.is_some()
                && length() == before
                && begun.elapsed() < Duration::from_secs(60)
            {
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            let pause = match journal {
                None => 400 + chance.below(800),
                Some(_) => chance.below(250),
            };
            std::thread::sleep(Duration::from_micros(pause * 1000 + chance.below(1000)));
            if killed < kills {
                match child.try_wait().unwrap() {
                    None => {
                        child.kill().unwrap();
                        killed += 1;
                    }
                    Some(status) if status.success() => break only_run(&place).unwrap(),
                    Some(status) => panic!("{words:?} ended with {status}"),
                }
                child.wait().unwrap();
            } else {
                assert!(child.wait().unwrap().success());
                break only_run(&place).unwrap();
            }
        };
        let facts = check(&place.path("runs").join(run));
        cut_off += facts.cut_off;
        seen += facts.kills_seen;
    }
    let _ = writeln!(
        std::io::stderr(),
        "{killed} kills in {runs} runs, {seen} of them after the run had begun; {cut_off} tool calls were under way, and the agent was told"
    );
    assert!(seen > 0);
}
