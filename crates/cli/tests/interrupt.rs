//! Ctrl-C in each stage: status 130, nothing half-written, and the same command goes on or starts over.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::{Place, repository, small};
use rustix::process::{Pid, Signal, kill_process_group};

const PATIENCE: Duration = Duration::from_secs(120);

/// The program at work, in a process group of its own, as a terminal's foreground job is.
struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: String,
}

fn start(place: &Place, arguments: &[&str]) -> Running {
    let scratch = place.path("tmp");
    fs::create_dir_all(&scratch).unwrap();
    let mut child = place
        .process()
        .args(arguments)
        .env("TMPDIR", &scratch)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (send, lines) = channel();
    let streams: [Box<dyn Read + Send>; 2] = [
        Box::new(child.stdout.take().unwrap()),
        Box::new(child.stderr.take().unwrap()),
    ];
    for stream in streams {
        let send = send.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
    }
    Running {
        child,
        lines,
        seen: String::new(),
    }
}

impl Running {
    /// Waits for a line that holds this text.
    fn until_it_says(&mut self, text: &str) {
        let line_with_text = |seen: &str| seen.lines().any(|line| line.contains(text));
        while !line_with_text(&self.seen) {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("it never said {text}: {}", self.seen));
            self.seen.push_str(&line);
            self.seen.push('\n');
        }
    }

    /// Presses Ctrl-C; gives what was printed.
    fn interrupt(mut self, place: &Place) -> String {
        let group = Pid::from_child(&self.child);
        kill_process_group(group, Signal::INT).unwrap();
        let pressed = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if pressed.elapsed() > Duration::from_secs(30) {
                let _ = kill_process_group(group, Signal::KILL);
                panic!("it did not end: {}", self.seen);
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(5)) {
            self.seen.push_str(&line);
            self.seen.push('\n');
        }
        assert_eq!(status.code(), Some(130), "{}", self.seen);
        assert!(
            self.seen.contains("mirrorcode: "),
            "no last word: {}",
            self.seen
        );
        let left: Vec<PathBuf> = fs::read_dir(place.path("tmp"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(left.is_empty(), "left in TMPDIR: {left:?}");
        assert!(place.half_written(place.dir.path()).is_empty());
        self.seen
    }
}

#[test]
fn while_an_image_is_built() {
    let place = Place::new();
    let cache = place.path("cache").display().to_string();
    let mut running = start(
        &place,
        &["target", "build", "gron", "--no-draw", "--cache", &cache],
    );
    running.until_it_says("building image");
    std::thread::sleep(Duration::from_millis(700));
    running.interrupt(&place);
    let images = place.expect(0, &["image", "list", "--json", "--cache", &cache]);
    assert_eq!(images.json(), serde_json::json!([]));
    assert_eq!(fs::read_dir(place.path("cache/images")).unwrap().count(), 0);
}

#[test]
fn while_expected_output_is_captured() {
    let place = Place::new();
    place.copy_targets();
    let mut running = start(
        &place,
        &[
            "target",
            "build",
            "gron",
            "--seed",
            "5",
            "--targets",
            "targets",
            "--languages",
            "languages",
        ],
    );
    running.until_it_says("runs of the reference");
    running.interrupt(&place);
    for file in ["target.lock", "tests/visible.jsonl", "tests/hidden.jsonl"] {
        let now = fs::read(place.path("targets/gron").join(file)).unwrap();
        let was = fs::read(repository().join("targets/gron").join(file)).unwrap();
        assert!(now == was, "{file} has changed");
    }
}

#[test]
fn while_cases_run_and_the_score_goes_on_from_there() {
    let place = Place::new();
    place.write("sub/main.py", "import time\ntime.sleep(0.1)\nprint(1)\n");
    let targets = small().display().to_string();
    let arguments = [
        "score",
        "small/python",
        "sub",
        "--targets",
        &targets,
        "--jobs",
        "4",
        "--out",
    ];
    let first = [&arguments[..], &["out"]].concat();
    let running = start(&place, &first);
    let results = || fs::read_to_string(place.path("out/results.jsonl")).unwrap_or_default();
    let begun = Instant::now();
    while results().lines().count() < 12 {
        assert!(begun.elapsed() < PATIENCE, "{}", results());
        std::thread::sleep(Duration::from_millis(10));
    }
    running.interrupt(&place);
    assert!(!place.path("out/verdict.json").exists());
    assert!(!place.path("out/infrastructure.json").exists());
    let before = results();
    assert!(before.ends_with('\n') && before.lines().count() < 90);

    place.expect(1, &first);
    let after = results();
    assert!(after.starts_with(&before), "earlier results were not kept");
    let mut ids: Vec<_> = after.lines().skip(1).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "a case ran twice");
    let times = fs::read_to_string(place.path("out/times.jsonl")).unwrap();
    assert_eq!(times.lines().count(), all, "a case ran twice");

    place.expect(1, &[&arguments[..], &["whole"]].concat());
    let verdict = |out: &str| fs::read(place.path(out).join("verdict.json")).unwrap();
    assert!(
        verdict("out") == verdict("whole"),
        "interrupted and whole scores differ"
    );
}

#[test]
fn while_a_command_of_a_session_runs() {
    let place = Place::new();
    let targets = small().display().to_string();
    let with = |arguments: &[&str]| [arguments, &["--targets", &targets]].concat().join("\n");
    let arguments = with(&[
        "shell",
        "small/python",
        "-c",
        "echo kept > a; echo begun; sleep 100",
    ]);
    let mut running = start(&place, &arguments.split('\n').collect::<Vec<_>>());
    running.until_it_says("begun");
    let said = running.interrupt(&place);
    let id = said
        .lines()
        .find_map(|line| line.strip_prefix("run "))
        .unwrap();
    let run = place.expect(0, &["runs", id, "--json"]).json();
    assert_ne!(run["state"], "submitted");
    let resume = with(&["shell", "--resume", id, "-c", "cat a"]);
    let done = place.expect(0, &resume.split('\n').collect::<Vec<_>>());
    assert_eq!(done.stdout, "kept\n");
}

#[test]
fn while_a_run_is_replayed() {
    let place = Place::new();
    let targets = small().display().to_string();
    let done = place.expect(
        0,
        &[
            "shell",
            "small/python",
            "--targets",
            &targets,
            "-c",
            "echo 1",
            "-c",
            "sleep 2",
            "-c",
            "echo 3",
        ],
    );
    let id = done
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("run "))
        .unwrap();
    let mut running = start(&place, &["replay", id, "--targets", &targets]);
    running.until_it_says("commands 2/3");
    running.interrupt(&place);
    assert_eq!(fs::read_dir(place.path("runs")).unwrap().count(), 1);
}
