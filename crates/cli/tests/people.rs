//! A person at work at a terminal: timed, with pauses and notes, recorded, within limits, to the verdict.

mod common;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Place, small};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;

/// A terminal with somebody before it.
struct Person {
    program: Child,
    keyboard: File,
    seen: Arc<Mutex<String>>,
    /// What was looked at already.
    read: usize,
}

impl Person {
    fn sit_down(place: &Place, arguments: &[&str]) -> Self {
        let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&main).unwrap();
        unlockpt(&main).unwrap();
        let size = Winsize {
            ws_col: 100,
            ws_row: 30,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&main, size).unwrap();
        let name = ptsname(&main, Vec::new()).unwrap();
        let inner = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let inner = File::from(inner);
        let mut command = place.process();
        command
            .args(arguments)
            .env("MIRRORCODE_TARGETS", small())
            .stdin(Stdio::from(inner.try_clone().unwrap()))
            .stdout(Stdio::from(inner.try_clone().unwrap()))
            .stderr(Stdio::from(inner));
        let program = command.spawn().unwrap();
        drop(command);
        let keyboard = File::from(main);
        let seen = Arc::new(Mutex::new(String::new()));
        let (mut screen, shown) = (keyboard.try_clone().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The terminal fails when its last program has gone.
            while let Ok(count) = screen.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                shown.lock().unwrap().push_str(&text);
            }
        });
        Person {
            program,
            keyboard,
            seen,
            read: 0,
        }
    }

    /// Waits until this is shown; gives what was shown since the last time.
    fn sees(&mut self, text: &str) -> String {
        let since = Instant::now();
        loop {
            let seen = self.seen.lock().unwrap().clone();
            if let Some(place) = seen[self.read..].find(text) {
                let from = self.read;
                self.read += place + text.len();
                return seen[from..self.read].to_owned();
            }
            assert!(
                since.elapsed() < Duration::from_secs(120),
                "{text:?} is not in {:?}",
                &seen[self.read..]
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn types(&mut self, line: &str) {
        self.keyboard
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// Types a command and gives what it shows until the next prompt.
    fn does(&mut self, line: &str) -> String {
        self.types(line);
        self.sees("\r\n");
        self.sees("$ ")
    }

    fn leaves(mut self) -> i32 {
        self.program.wait().unwrap().code().unwrap_or(-1)
    }
}

fn on_small(place: &Place, status: i32, arguments: &[&str]) -> common::Done {
    let targets = small().display().to_string();
    place.expect(status, &[arguments, &["--targets", &targets]].concat())
}

fn run_of(place: &Place) -> String {
    let mut runs = fs::read_dir(place.path("runs")).unwrap();
    let id = runs.next().unwrap().unwrap().file_name();
    id.into_string().unwrap()
}

/// What a recording shows, and its marks; panics where it is not as the format says.
fn played(path: &std::path::Path) -> (String, Vec<String>) {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let header = lines.next().unwrap();
    assert_eq!(
        (&header["version"], &header["width"], &header["height"]),
        (&2.into(), &100.into(), &30.into())
    );
    let (mut shown, mut marks, mut last) = (String::new(), Vec::new(), 0.0);
    for event in lines {
        let time = event[0].as_f64().unwrap();
        assert!(time >= last);
        last = time;
        let text = event[2].as_str().unwrap();
        match event[1].as_str().unwrap() {
            "o" => shown.push_str(text),
            "m" => marks.push(text.to_owned()),
            kind => panic!("{kind}"),
        }
    }
    (shown, marks)
}

#[test]
fn a_person_works_takes_a_rest_and_comes_back() {
    let place = Place::new();
    let mut person = Person::sit_down(
        &place,
        &[
            "shell",
            "small/python",
            "--who",
            "Ada",
            "--active-limit",
            "1h",
            "--turn-limit",
            "8",
        ],
    );
    let welcome = person.sees("/workspace$ ");
    assert!(
        welcome.contains("- 60 min of working time\r\n- 8 commands\r\n")
            || welcome.contains("60 min"),
        "{welcome}"
    );
    assert!(
        person
            .does("echo '[1]' | gron | cat")
            .contains("json[0] = 1;\r\n")
    );
    person.does("note wie größer?");
    person.types("read word; echo \"got $word\"");
    person.types("typed");
    person.sees("got typed\r\n");
    person.sees("$ ");
    let stands = person.does("pause");
    assert!(stands.contains("[the clock stands"), "{stands}");
    assert!(
        person
            .does("echo no")
            .contains("[nothing is done while the clock stands]")
    );
    std::thread::sleep(Duration::from_millis(1500));
    person.does("resume");
    let used = person.does("clock");
    assert!(
        used.contains("of 60 min of working time") && used.contains("2 of 8 turns"),
        "{used}"
    );
    person.does("cd /tmp; echo 'print(1)' >/workspace/main.py");
    person.types("evaluate arrays");
    person.sees("visible cases pass");
    person.sees("/tmp$ ");
    person.types("exit");
    assert_eq!(person.leaves(), 1);

    let id = run_of(&place);
    let shown = on_small(&place, 0, &["run", "show", &id, "--json"]).json();
    assert_eq!(
        (&shown["state"], &shown["commands"], &shown["who"]),
        (&"left".into(), &4.into(), &"Ada (a person)".into())
    );
    let own = &shown["runs_of_task"][0];
    let paused = own["hours"].as_f64().unwrap() - own["hours_without_pauses"].as_f64().unwrap();
    assert!(paused * 3600.0 >= 1.4, "{own}");
    assert_eq!(
        (&own["tokens"], &own["solved"]),
        (&Value::Null, &Value::Null)
    );
    let listed = on_small(&place, 0, &["run", "show", &id]).stdout;
    assert!(
        listed.contains("note: wie größer?") && listed.contains("       pause\n       goes on\n"),
        "{listed}"
    );

    let watched = on_small(&place, 0, &["watch", &id, "--once", "--json"]).json();
    assert_eq!(
        (&watched["turn"], &watched["state"]),
        (&4.into(), &"left".into())
    );
    assert!(watched["seconds"].as_u64().unwrap() >= 1, "{watched}");

    // Another day: the directory, the clock and the limits are as they were.
    let mut person = Person::sit_down(&place, &["shell", "--resume", &id, "--score"]);
    person.sees("/tmp$ ");
    assert!(person.does("clock").contains("4 of 8 turns"));
    assert!(person.does("cat /workspace/main.py").contains("print(1)"));
    person.types("submit");
    person.sees("[the work is submitted]");
    assert_eq!(person.leaves(), 1);
    let directory = place.path("runs").join(&id);
    assert!(directory.join("verdict.json").is_file());
    let (shown, marks) = played(&directory.join("terminal/001.cast"));
    assert!(
        shown.contains("$ note wie größer?\r\n") && shown.contains("got typed\r\n"),
        "{shown}"
    );
    assert_eq!(marks, ["wie größer?", "pause", "resume"]);
    let (shown, _) = played(&directory.join("terminal/002.cast"));
    assert!(shown.contains("submitted; the session ends"), "{shown}");
    on_small(&place, 0, &["view", &id, "-o", "page.html"]);
    let page = fs::read_to_string(place.path("page.html")).unwrap();
    assert!(page.contains("Ada, at a shell") && page.contains("wie größer?"));

    // An agent's run beside the person's.
    let turns = r#"{"turns": [{"calls": [
        {"name": "bash", "input": {"command": "echo 'print(1)' >main.py"}}, {"name": "submit", "input": {}}]}]}"#;
    place.write("turns.json", turns);
    let model = ["--model", "scripted:turns.json"];
    on_small(&place, 1, &[&["run", "small/python"], &model[..]].concat());
    let listed = on_small(&place, 0, &["run", "show", &id]).stdout;
    let (_, table) = listed.split_once("All runs of small/python:").unwrap();
    let row = |who: &str| table.lines().find(|line| line.contains(who)).unwrap();
    let own = row("Ada (a person)");
    assert!(
        own.trim_start().starts_with('>') && own.contains("not solved"),
        "{table}"
    );
    let other = row("scripted:");
    assert!(
        other.contains("not solved") && other.contains("$0.00"),
        "{table}"
    );
}

#[test]
fn a_persons_time_ends_also_when_nothing_is_typed() {
    let place = Place::new();
    let mut person = Person::sit_down(&place, &["shell", "small/python", "--time-limit", "4s"]);
    person.sees("/workspace$ ");
    person.sees("[the budget (wall-time) is used up]");
    assert_eq!(person.leaves(), 0);
    // A command under way is ended, and more time can be given.
    let id = run_of(&place);
    let done = on_small(&place, 0, &["shell", "--resume", &id, "-c", "true"]);
    assert!(
        done.stderr.contains("out of budget (wall-time)"),
        "{done:?}"
    );
    let mut person = Person::sit_down(&place, &["resume", &id, "--time-limit", "9s"]);
    person.sees("/workspace$ ");
    person.types("echo half >half; sleep 100");
    person.sees("the command was ended: limit WallTime");
    person.sees("[the budget (wall-time) is used up]");
    person.leaves();
    let listed = on_small(&place, 0, &["runs", "--json"]).json();
    assert_eq!(
        (&listed[0]["state"], &listed[0]["commands"]),
        (&"budget".into(), &1.into())
    );
    assert!(
        place
            .path("runs")
            .join(&id)
            .join("workspace/half")
            .is_file()
    );
}
