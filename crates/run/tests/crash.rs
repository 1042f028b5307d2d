//! Killed at any instant, or out of space: what was acknowledged is there.
//!
//! The writer is this test program itself, started again to run [`writer`] alone.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use agent::event::{Content, Ending, Event, RecordError, Recorder};
use run::{Error, Known, Limits, Run, read, restore};

mod common;
use common::header;

const DIR: &str = "RUN_TEST_DIRECTORY";

/// What the writer says on standard output before a number, so that the test harness's own lines are not taken for one.
const ACKNOWLEDGED: &str = "acknowledged ";

/// Bytes that grow with the number, so that there are inline texts and blobs.
fn output(number: u64) -> Vec<u8> {
    format!("{number} ")
        .repeat(1 + (number as usize * 37) % 1_000)
        .into_bytes()
}

/// Does what a session does, until it is killed or fails, and tells which commands are recorded.
#[test]
fn writer() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else {
        return;
    };
    let mut out = std::io::stdout();
    match write(&dir, &mut out) {
        Ok(()) => {}
        Err(RecordError::Journal(error)) => {
            let source = error.source().map(ToString::to_string).unwrap_or_default();
            writeln!(out, "failed {error}: {source}").unwrap();
        }
        Err(error) => panic!("{error}"),
    }
}

fn write(dir: &Path, out: &mut impl Write) -> Result<(), RecordError> {
    let mut run = Run::open(dir, Known::nothing(), Limits::WORKSPACE)
        .unwrap()
        .run;
    let workspace = dir.parent().unwrap().join("workspace");
    run.record(Event::Attach {
        process: std::process::id(),
        epoch: None,
        boot: None,
    })?;
    let mut failure = None;
    for number in run.journal().next_seq().. {
        let mut step = || -> Result<(), RecordError> {
            // The workspace stands on another file system, so that only recording fails.
            fs::write(workspace.join("file"), number.to_string()).unwrap();
            let stdout = run.content(&output(number))?;
            run.record(Event::Result {
                number,
                ending: Ending::Exit(0),
                stdout,
                stderr: Content::Inline(String::new()),
                directory: "/workspace".into(),
                interactive: false,
                milliseconds: 1,
            })?;
            if let Some(tree) = run.snapshot(&workspace)? {
                run.record(Event::Workspace { number, tree })?;
            }
            writeln!(out, "{ACKNOWLEDGED}{number}").unwrap();
            out.flush().unwrap();
            Ok(())
        };
        match step() {
            Ok(()) => {}
            Err(error) if failure.is_none() => failure = Some(error),
            Err(_) => break,
        }
        if failure.is_some() {
            let refused = run.record(Event::Attach {
                process: 0,
                epoch: None,
                boot: None,
            });
            let Err(RecordError::Journal(error)) = refused else {
                panic!("an event was taken after a failure")
            };
            assert!(
                matches!(error.downcast_ref(), Some(Error::Refused { .. })),
                "{error}"
            );
            break;
        }
    }
    failure.map_or(Ok(()), Err)
}

/// A run, and a workspace beside it.
fn place(within: &Path) -> PathBuf {
    fs::create_dir_all(within.join("workspace")).unwrap();
    let dir = within.join("run");
    drop(Run::create(&dir, &header(), Known::nothing(), Limits::WORKSPACE).unwrap());
    dir
}

fn start(dir: &Path, wrapper: &[&str]) -> std::process::Child {
    let program = std::env::current_exe().unwrap();
    let mut words: Vec<&std::ffi::OsStr> = wrapper.iter().map(std::ffi::OsStr::new).collect();
    words.extend([
        program.as_os_str(),
        "--exact".as_ref(),
        "writer".as_ref(),
        "--nocapture".as_ref(),
    ]);
    #[expect(
        clippy::disallowed_methods,
        reason = "the test's own program, to be killed"
    )]
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Everything that the writer acknowledged is in the run, once and right, and every reference leads somewhere.
#[track_caller]
fn check(dir: &Path, acknowledged: &[u64]) {
    let opened = Run::open(dir, Known::nothing(), Limits::WORKSPACE).unwrap();
    let store = opened.run.store();
    let mut numbers = Vec::new();
    let mut trees = Vec::new();
    for entry in read(dir).unwrap() {
        match entry.unwrap().event {
            Event::Result { number, stdout, .. } => {
                let bytes = match stdout {
                    Content::Inline(text) => text.into_bytes(),
                    Content::Blob { sha256, .. } => store.get(&sha256).unwrap(),
                };
                assert_eq!(bytes, output(number));
                numbers.push(number);
            }
            Event::Workspace { number, tree } => trees.push((number, tree)),
            _ => {}
        }
    }
    assert!(
        numbers.is_sorted_by(|one, other| one < other),
        "an event stands twice"
    );
    for number in acknowledged {
        assert!(
            numbers.binary_search(number).is_ok(),
            "event {number} is lost"
        );
        assert!(
            trees.iter().any(|(of, _)| of == number),
            "workspace {number} is lost"
        );
    }
    let Some((number, tree)) = trees.last() else {
        return;
    };
    let to = tempfile::tempdir().unwrap();
    restore(store, *tree, to.path(), Limits::WORKSPACE).unwrap();
    assert_eq!(
        fs::read_to_string(to.path().join("file")).unwrap(),
        number.to_string()
    );
}

fn acknowledged(output: &str) -> Vec<u64> {
    // The last line may be cut off by the kill, so only whole ones count.
    let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let after = |line: &str| Some(line.split_once(ACKNOWLEDGED)?.1.parse().unwrap());
    whole.lines().filter_map(after).collect()
}

#[test]
fn killed_fifty_times_nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let run = place(dir.path());
    let mut all = Vec::new();
    for round in 0..50_u64 {
        let mut child = start(&run, &[]);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        if round % 2 == 0 {
            // Spread over the start of the program.
            std::thread::sleep(Duration::from_millis(3 + round * 7919 % 60));
        } else {
            // In the middle of a later command, however slow the machine is.
            while acknowledged(&said).len() < 1 + round as usize % 7 {
                assert!(out.read_line(&mut said).unwrap() > 0, "it ended: {said}");
            }
            std::thread::sleep(Duration::from_micros(round * 7919 % 5_000));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        out.read_to_string(&mut said).unwrap();
        all.extend(acknowledged(&said));
        check(&run, &all);
    }
    assert!(
        all.len() > 50,
        "too few events to show anything: {}",
        all.len()
    );
}

#[track_caller]
fn check_full(wrapper: &[&str], words: &str) {
    let dir = tempfile::tempdir().unwrap();
    let run = place(dir.path());
    let path = run.to_str().unwrap();
    let wrapper: Vec<String> = wrapper
        .iter()
        .map(|word| word.replace("RUN", path))
        .collect();
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let mut child = start(&run, &wrapper);
    let mut said = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    let failed = said
        .lines()
        .find(|line| line.contains("failed "))
        .unwrap_or_default();
    assert!(
        failed.contains("cannot ") && failed.contains(words),
        "{said}"
    );
    assert!(acknowledged(&said).len() > 3, "{said}");
    check(&run, &acknowledged(&said));
}

#[test]
fn a_file_that_may_not_grow_stops_the_run_and_loses_nothing() {
    check_full(
        &["sh", "-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"],
        "File too large",
    );
}

#[test]
fn a_full_disk_stops_the_run_and_loses_nothing() {
    // What is left on the small disk is copied out for the check, since the mount ends with the program.
    let script = "mount -t tmpfs -o size=200k none RUN && cp -a RUN.copy/. RUN && \"$@\"; status=$?; \
                  cp -a RUN/. RUN.copy && umount RUN && cp -a RUN.copy/. RUN; exit $status";
    let script = format!("cp -a RUN RUN.copy && {script}");
    check_full(
        &[
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            &script,
            "sh",
        ],
        "No space left",
    );
}
