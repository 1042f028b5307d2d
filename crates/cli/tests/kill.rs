//! Scripted agents are killed at random instants and resumed to the end; and one runs on a disk that fills up. Nothing is
//! lost, nothing is doubled, and no tool call is done twice without the agent being told.
//!
//! `MIRRORCODE_KILLED_RUNS` says how many runs are killed; `make test-crash` does it to a thousand.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{Done, Place, small, walk};
use serde_json::{Value, json};

/// Answers of a run before it submits.
const TURNS: usize = 16;
/// Most kills of one run.
const KILLS: u64 = 3;
/// Runs at the same time.
const PARALLEL: usize = 2;
/// Longest time that a run is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// Numbers that look random and are the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most.max(1)
    }
}

/// Each call leaves a line of its own in the workspace; contexts grow full on the way, and some outputs are blobs.
fn script() -> Value {
    let usage = |input: usize| json!({ "input": input, "cache_read": 0, "cache_write": 0, "output": 9, "reasoning": 0 });
    let mut turns = Vec::new();
    for number in 1..=TURNS {
        let mut command = format!("echo bash-{number} >> log; sleep 0.005");
        if number % 4 == 0 {
            command += &format!("; seq {number} 2000");
        }
        let mut calls = vec![json!({ "name": "bash", "input": { "command": command } })];
        if number % 5 == 0 {
            let text = format!("edit-{number}\n");
            calls.push(json!({ "name": "edit", "input": { "action": "create", "path": format!("files/{number}"), "text": text } }));
        }
        turns.push(json!({ "text": format!("turn {number}"), "calls": calls, "usage": usage(1_000 + number % 7 * 1_500) }));
    }
    // One that is told that its submission was cut off submits again.
    for _ in 0..=KILLS {
        turns.push(json!({ "calls": [{ "name": "submit", "input": {} }], "usage": usage(1_000) }));
    }
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

/// Longer than the path of a socket may be.
fn temporary(place: &Place) -> PathBuf {
    place.path(&"long".repeat(30))
}

fn start(place: &Place, words: &[&str]) -> Child {
    place
        .process()
        .args(arguments(words))
        .env("TMPDIR", temporary(place))
        .stdout(Stdio::null())
        .stderr(fs::File::create(place.path("stderr")).unwrap())
        .spawn()
        .unwrap()
}

/// The journal of the only run of a place, if it has its beginning on disk: before that there is nothing to go on with.
fn journal(place: &Place) -> Option<PathBuf> {
    let mut runs = fs::read_dir(place.path("runs")).ok()?;
    let journal = runs.next()?.ok()?.path().join("journal.jsonl");
    let begun = fs::read(&journal).is_ok_and(|text| text.contains(&b'\n'));
    begun.then_some(journal)
}

fn length(journal: Option<&PathBuf>) -> u64 {
    journal
        .and_then(|path| fs::metadata(path).ok())
        .map_or(0, |data| data.len())
}

/// The whole lines of a journal.
fn whole_lines(journal: &Path) -> Vec<u8> {
    let mut text = fs::read(journal).unwrap_or_default();
    let end = text.iter().rposition(|byte| *byte == b'\n');
    text.truncate(end.map_or(0, |end| end + 1));
    text
}

/// What happened in runs.
#[derive(Clone, Copy, Default)]
struct Tally {
    runs: u64,
    kills: u64,
    /// Kills before the run had its beginning on disk.
    unborn: u64,
    /// Ends of journals that were cut off in the middle of an event.
    torn: usize,
    /// Tool calls under way, of which the agent was told.
    cut_off: usize,
    /// Calls of the model under way, which count as possible spend.
    unanswered: usize,
    events: usize,
    tool_calls: usize,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.runs += other.runs;
        self.kills += other.kills;
        self.unborn += other.unborn;
        self.torn += other.torn;
        self.cut_off += other.cut_off;
        self.unanswered += other.unanswered;
        self.events += other.events;
        self.tool_calls += other.tool_calls;
    }

    fn say(&self, begun: Instant) {
        let _ = writeln!(
            std::io::stderr(),
            "{} runs, {} kills ({} before the run was on disk), {} torn tails, {} events, {} tool calls, of which {} were under \
             way and the agent was told, {} calls of the model marked unanswered; 0 lost, 0 doubled; {} s",
            self.runs,
            self.kills,
            self.unborn,
            self.torn,
            self.events,
            self.tool_calls,
            self.cut_off,
            self.unanswered,
            begun.elapsed().as_secs()
        );
    }
}

/// Checks the journal of a run that came to its end, however often it was killed on the way.
#[track_caller]
fn check(run: &Path) -> Tally {
    let text = fs::read_to_string(run.join("journal.jsonl")).unwrap();
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut results: BTreeMap<String, usize> = BTreeMap::new();
    let mut began: BTreeMap<String, usize> = BTreeMap::new();
    let mut told_cut_off = BTreeSet::new();
    let mut answers = 0;
    let mut unanswered = 0;
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
            "unanswered" => {
                unanswered += 1;
                assert!(
                    answered.insert(event["call"].as_u64().unwrap()),
                    "a call has an answer and has none"
                );
            }
            "command" | "edit" => *began.entry(tool).or_default() += 1,
            "tool-result" => {
                *results.entry(tool.clone()).or_default() += 1;
                if event["pieces"].to_string().contains("was not done again") {
                    told_cut_off.insert(tool);
                }
            }
            _ => {}
        }
        each_blob(event, &mut |sha256| {
            let blob = run.join("blobs").join(&sha256[..2]).join(&sha256[2..]);
            assert!(blob.is_file(), "{sha256} is lost");
        });
    }
    let again = (TURNS + 1..)
        .take_while(|number| told_cut_off.contains(&format!("call-{number}-1")))
        .count();
    assert_eq!(answers, TURNS + 1 + again, "an answer is lost or doubled");
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
    let torn = fs::read_dir(run).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("journal.torn")
    });
    Tally {
        torn: torn.count(),
        cut_off: told_cut_off.len(),
        unanswered,
        events: events.len(),
        tool_calls: results.len(),
        ..Tally::default()
    }
}

/// Hands over the hash of each content that an event refers to.
fn each_blob(value: &Value, each: &mut dyn FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            if let (Some(Value::String(sha256)), Some(_)) =
                (fields.get("sha256"), fields.get("bytes"))
            {
                each(sha256);
            }
            fields.values().for_each(|value| each_blob(value, each));
        }
        Value::Array(values) => values.iter().for_each(|value| each_blob(value, each)),
        _ => {}
    }
}

/// How a run goes that nobody kills.
struct Usual {
    /// Until its beginning is on disk.
    start: Duration,
    /// Length of its journal, in bytes.
    bytes: u64,
}

fn begin_words(model: &str, how: u64) -> Vec<&str> {
    let compaction = if how.is_multiple_of(2) {
        "clear"
    } else {
        "trim"
    };
    vec![
        "run",
        "small/python",
        "--model",
        model,
        "--compaction",
        compaction,
        "--compact-at",
        "8k",
    ]
}

fn prepare() -> (Place, String) {
    let place = Place::new();
    fs::create_dir_all(temporary(&place)).unwrap();
    let script = place.write("script.json", script().to_string());
    let model = format!("scripted:{}", script.display());
    (place, model)
}

fn usual() -> Usual {
    let (place, model) = prepare();
    let begun = Instant::now();
    let mut child = start(&place, &begin_words(&model, 0));
    while journal(&place).is_none() {
        assert!(begun.elapsed() < PATIENCE && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(1));
    }
    let start = begun.elapsed();
    assert!(child.wait().unwrap().success());
    Usual {
        start,
        bytes: length(journal(&place).as_ref()),
    }
}

/// Waits for an instant: a length of the journal, somewhere from what it is now to what it will be, and a little more
/// time; or some time after the start. Ends early when the program does.
fn wait_for_instant(place: &Place, child: &mut Child, usual: &Usual, chance: &mut Chance) {
    let begun = Instant::now();
    let mut goes_on =
        |begun: Instant| begun.elapsed() < PATIENCE && child.try_wait().unwrap().is_none();
    if chance.below(6) == 0 {
        let until = Duration::from_micros(chance.below(usual.start.as_micros() as u64));
        while begun.elapsed() < until && goes_on(begun) {
            std::thread::sleep(Duration::from_micros(200));
        }
        return;
    }
    let mut found = journal(place);
    let from = length(found.as_ref());
    let until = from + 1 + chance.below(usual.bytes.saturating_sub(from));
    while length(found.as_ref()) < until && goes_on(begun) {
        if found.is_none() {
            found = journal(place);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    std::thread::sleep(Duration::from_micros(chance.below(8_000)));
}

/// One run: killed up to three times, at least once, and resumed to the end.
fn kill_and_resume(seed: u64, usual: &Usual) -> Tally {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ seed.wrapping_mul(0xd134_2543_de82_ef95));
    loop {
        let (place, model) = prepare();
        let wanted = 1 + chance.below(KILLS);
        let (mut kills, mut unborn) = (0, 0);
        // What was on disk when the run was killed is there at the end.
        let mut kept: Vec<Vec<u8>> = Vec::new();
        let run = loop {
            let found = journal(&place);
            let id = found.as_ref().map(|path| {
                let run = path.parent().unwrap().file_name().unwrap();
                run.to_string_lossy().into_owned()
            });
            let words = match &id {
                None => {
                    let _ = fs::remove_dir_all(place.path("runs"));
                    begin_words(&model, seed)
                }
                Some(id) => vec!["resume", id],
            };
            let mut child = start(&place, &words);
            if kills < wanted {
                wait_for_instant(&place, &mut child, usual, &mut chance);
            }
            if kills < wanted && child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
                match journal(&place) {
                    None => unborn += 1,
                    Some(path) => kept.push(whole_lines(&path)),
                }
                continue;
            }
            let status = child.wait().unwrap();
            let said = fs::read_to_string(place.path("stderr")).unwrap();
            assert!(status.success(), "{words:?} ended with {status}: {said}");
            break journal(&place).unwrap().parent().unwrap().to_owned();
        };
        if kills == 0 {
            // It was over before its instant had come.
            continue;
        }
        let end = fs::read(run.join("journal.jsonl")).unwrap();
        for kept in kept {
            assert!(end.starts_with(&kept), "what was on disk is lost");
        }
        // One that had no lock yet when its process was killed stays, with nothing in it.
        let left = fs::read_dir(temporary(&place)).unwrap();
        let held: Vec<PathBuf> = left
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.join("lock").exists())
            .collect();
        assert!(held.is_empty(), "left in TMPDIR: {held:?}");
        let mut tally = check(&run);
        tally.runs = 1;
        tally.kills = kills;
        tally.unborn = unborn;
        return tally;
    }
}

#[test]
fn killed_at_random_instants_and_resumed_to_the_end() {
    let runs: u64 = std::env::var("MIRRORCODE_KILLED_RUNS").map_or(8, |text| text.parse().unwrap());
    let begun = Instant::now();
    let usual = usual();
    let next = AtomicU64::new(0);
    let all = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= runs {
                        return;
                    }
                    let tally = kill_and_resume(seed, &usual);
                    let mut all = all.lock().unwrap();
                    all.add(tally);
                    if all.runs.is_multiple_of(50) && all.runs < runs {
                        all.say(begun);
                    }
                }
            });
        }
    });
    let all = all.into_inner().unwrap();
    all.say(begun);
    assert_eq!(all.runs, runs);
    assert!(
        all.kills > all.unborn,
        "no run was killed while it was under way"
    );
}

#[test]
fn a_disk_that_fills_up_ends_the_run_with_an_error_and_loses_nothing() {
    let place = Place::new();
    let mut turns: Vec<Value> = (1..=20)
        .map(|number| {
            let command = format!("echo {number} >> log; head -c 60000 /dev/urandom | base64");
            json!({ "calls": [{ "name": "bash", "input": { "command": command } }] })
        })
        .collect();
    turns.push(json!({ "calls": [{ "name": "submit", "input": {} }] }));
    let script = place.write("script.json", json!({ "turns": turns }).to_string());
    fs::create_dir_all(place.path("runs")).unwrap();
    fs::create_dir_all(place.path("copy")).unwrap();
    // A file system of the test's own: as root, or as somebody who may mount in a namespace of their own.
    let wrapper: &[&str] = if rustix::process::geteuid().is_root() {
        &["unshare", "--mount"]
    } else {
        &[
            "unshare",
            "--user",
            "--map-current-user",
            "--keep-caps",
            "--mount",
        ]
    };
    let targets = small().display().to_string();
    let script = format!(
        "mount -t tmpfs -o size=1500k none runs
         status=0; \"$MIRRORCODE\" run small/python --model scripted:{} --no-score --targets {targets} || status=$?
         cp -a runs/. copy
         mount -o remount,size=64m none runs
         echo \"full: $status\"
         \"$MIRRORCODE\" resume \"$(ls runs)\" --no-score --targets {targets}
         rm -rf copy.end; mkdir copy.end; cp -a runs/. copy.end",
        script.display()
    );
    let done = Done::of(&place.script(wrapper, &script).output().unwrap());
    done.expect(0, &["the disk fills up"]);
    assert!(done.stderr.contains("No space left on device"), "{done:?}");
    assert!(done.stdout.contains("full: 3"), "{done:?}");
    assert!(done.stdout.contains("submitted after 21 turns"), "{done:?}");
    let mut journals = Vec::new();
    for copy in ["copy", "copy.end"] {
        walk(&place.path(copy), &mut |path| {
            if path.ends_with("journal.jsonl") {
                journals.push(whole_lines(path));
            }
        });
    }
    assert!(
        journals[1].starts_with(&journals[0]),
        "what was on disk is lost"
    );
    let events = String::from_utf8(journals.remove(1)).unwrap();
    for (line, seq) in events.lines().zip(1..) {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["seq"], seq, "an event is lost or doubled");
    }
}
