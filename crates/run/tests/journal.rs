//! What the journal promises, and what it refuses.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use agent::event::{Entry, Event, FORMAT, Reason};
use proptest::prelude::*;
use run::{Error, Journal, read};

mod common;
use common::{event, header};

fn events(dir: &Path) -> Vec<Event> {
    read(dir)
        .unwrap()
        .map(|entry| entry.unwrap().event)
        .collect()
}

/// A place without a disk where there is one, since thousands of writes are synced below.
fn fast_place() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn attach(process: u32) -> Event {
    Event::Attach {
        process,
        boot: None,
        epoch: None,
    }
}

fn make(runs: &Path, events: &[Event]) -> PathBuf {
    let dir = runs.join("run");
    let mut journal = Journal::create(&dir, &header()).unwrap();
    for (index, event) in events.iter().enumerate() {
        assert_eq!(journal.append(event).unwrap(), index as u64 + 1);
    }
    dir
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
    #[test]
    fn every_event_reads_back_as_written(event in event()) {
        let text = serde_json::to_string(&event).unwrap();
        prop_assert!(!text.contains('\n'));
        prop_assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 20, ..ProptestConfig::default() })]
    #[test]
    fn a_cut_at_any_byte_loses_nothing_before_it(all in proptest::collection::vec(event(), 1..6)) {
        let runs = fast_place();
        let dir = make(runs.path(), &all);
        let path = dir.join("journal.jsonl");
        let whole = fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let kept = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            let rest = cut - whole[..cut].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let mut opened = Journal::open(&dir).unwrap();
            match &opened.recovered {
                None => prop_assert_eq!(rest, 0),
                Some(torn) => {
                    prop_assert_eq!((torn.seq, torn.bytes), (kept as u64 + 1, rest as u64));
                    prop_assert_eq!(fs::read(&torn.kept).unwrap(), &whole[cut - rest..cut]);
                    fs::remove_file(&torn.kept).unwrap();
                }
            }
            let tree = all[..kept].iter().rev().find_map(|event| match event {
                Event::Workspace { tree, .. } => Some(*tree),
                _ => None,
            });
            prop_assert_eq!(opened.tree, tree);
            prop_assert_eq!(opened.journal.append(&attach(7)).unwrap(), kept as u64 + 1);
            let mut expected = all[..kept].to_vec();
            expected.push(attach(7));
            prop_assert_eq!(events(&dir), expected);
        }
    }
}

#[test]
fn a_last_line_that_is_not_json_is_cut_and_kept() {
    let runs = tempfile::tempdir().unwrap();
    let dir = make(runs.path(), &[attach(1)]);
    for (round, junk) in ["{\"seq\":2,\"time\":\n", "\0\0\0\0\0\0", "\u{fffd}\n"]
        .iter()
        .enumerate()
    {
        let mut file = OpenOptions::new()
            .append(true)
            .open(dir.join("journal.jsonl"))
            .unwrap();
        file.write_all(junk.as_bytes()).unwrap();
        let torn = Journal::open(&dir).unwrap().recovered.unwrap();
        let name = if round == 0 {
            "journal.torn-2".into()
        } else {
            format!("journal.torn-2-{}", round + 1)
        };
        assert_eq!(torn.kept, dir.join(name));
        assert_eq!(fs::read_to_string(&torn.kept).unwrap(), *junk);
        assert_eq!(events(&dir), [attach(1)]);
    }
}

#[track_caller]
fn check_damage(from: &str, to: &str, line: &str) {
    let runs = tempfile::tempdir().unwrap();
    let dir = make(runs.path(), &[attach(11), attach(22), attach(33)]);
    let path = dir.join("journal.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    let damaged = fs::read(&path).unwrap();
    let error = Journal::open(&dir).unwrap_err().to_string();
    assert!(
        error.contains(line) && error.contains("journal.jsonl"),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), damaged, "nothing is cut");
    let read: Vec<_> = read(&dir).unwrap().collect();
    assert_eq!(
        read.last().unwrap().as_ref().unwrap_err().to_string(),
        error
    );
}

#[test]
fn damage_before_the_end_is_named_and_left_alone() {
    check_damage("22}", "22", "line 2");
    check_damage("11}\n", "11}", "line 1");
    check_damage(
        "\"seq\":2",
        "\"seq\":5",
        "line 2 is damaged: its sequence number is 5, not 2",
    );
    check_damage("\"seq\":3", "\"seq\":2", "line 3");
    check_damage(
        "\"type\":\"attach\",\"process\":22",
        "\"type\":\"dance\"",
        &format!("line 2: no event `dance` in format {FORMAT}"),
    );
    check_damage(
        "\"type\":\"attach\",\"process\":33",
        "\"type\":\"dance\"",
        &format!("line 3: no event `dance` in format {FORMAT}"),
    );
    check_damage("{\"seq\":1", "\n{\"seq\":1", "line 1");
}

#[test]
fn fields_of_a_later_program_are_passed_over() {
    let line = r#"{"seq":2,"time":"2026-11-24T02:10:00.123Z","type":"attach","process":77,"mood":{"a":[1]}}"#;
    let entry: Entry = serde_json::from_str(line).unwrap();
    assert_eq!(entry.event, attach(77));
}

#[test]
fn a_newer_format_is_refused() {
    let runs = tempfile::tempdir().unwrap();
    let dir = make(runs.path(), &[attach(1)]);
    let path = dir.join("run.toml");
    fs::write(
        &path,
        fs::read_to_string(&path)
            .unwrap()
            .replace(&format!("format = {FORMAT}"), "format = 99"),
    )
    .unwrap();
    assert!(matches!(
        Journal::open(&dir),
        Err(Error::TooNew { found: 99, .. })
    ));
    assert!(matches!(read(&dir), Err(Error::TooNew { found: 99, .. })));
}

#[test]
fn asking_whether_a_run_is_open_keeps_nobody_from_it() {
    let runs = tempfile::tempdir().unwrap();
    let dir = runs.path().join("run");
    drop(Journal::create(&dir, &header()).unwrap());
    let done = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(order) {
                run::is_open(&dir);
            }
        });
        let opened: Vec<_> = (0..200).map(|_| Journal::open(&dir).err()).collect();
        done.store(true, order);
        assert!(opened.iter().all(Option::is_none), "{opened:?}");
    });
}

#[test]
fn one_writer_at_a_time() {
    let runs = tempfile::tempdir().unwrap();
    let dir = runs.path().join("deep/er/run");
    let mut journal = Journal::create(&dir, &header()).unwrap();
    assert!(matches!(
        Journal::create(&dir, &header()),
        Err(Error::Exists { .. })
    ));
    let error = Journal::open(&dir).unwrap_err();
    assert!(matches!(&error, Error::Held { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains(&format!("process {} on", std::process::id())),
        "{error}"
    );
    journal.append(&attach(1)).unwrap();
    drop(journal);
    assert!(!run::is_open(&dir));
    assert!(Journal::open(&dir).unwrap().recovered.is_none());
    assert!(matches!(
        Journal::open(runs.path()),
        Err(Error::NotARun { .. })
    ));
}

#[test]
fn readers_follow_a_writer() {
    let runs = tempfile::tempdir().unwrap();
    let dir = runs.path().join("run");
    let mut journal = Journal::create(&dir, &header()).unwrap();
    let mut reader = read(&dir).unwrap();
    assert!(reader.next().is_none());
    journal.append(&attach(1)).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().event, attach(1));
    assert!(reader.next().is_none());
    let mut file = OpenOptions::new()
        .append(true)
        .open(dir.join("journal.jsonl"))
        .unwrap();
    let line = r#"{"seq":2,"time":"2026-11-24T02:10:00.123Z","type":"attach","process":77}"#;
    file.write_all(&line.as_bytes()[..20]).unwrap();
    assert!(reader.next().is_none());
    assert_eq!(reader.unfinished(), 20);
    file.write_all(&line.as_bytes()[20..]).unwrap();
    file.write_all(b"\n").unwrap();
    assert_eq!(reader.next().unwrap().unwrap().event, attach(77));
    assert_eq!(reader.unfinished(), 0);
}

#[test]
fn an_event_too_long_leaves_the_journal_whole() {
    let runs = tempfile::tempdir().unwrap();
    let dir = runs.path().join("run");
    let mut journal = Journal::create(&dir, &header()).unwrap();
    let long = Event::End {
        reason: Reason::Failed("x".repeat(run::MAX_LINE)),
    };
    assert!(matches!(
        journal.append(&long),
        Err(Error::EventTooLong { .. })
    ));
    assert_eq!(journal.append(&attach(1)).unwrap(), 1);
    assert_eq!(events(&dir), [attach(1)]);
}

#[test]
fn what_is_written_together_may_be_damaged_anywhere_and_is_cut_together() {
    let runs = tempfile::tempdir().unwrap();
    let dir = make(runs.path(), &[attach(1)]);
    let mut journal = Journal::open(&dir).unwrap().journal;
    for process in [22, 33, 44] {
        journal.note(&attach(process)).unwrap();
    }
    assert_eq!(events(&dir), [attach(1)], "noted is not written");
    journal.flush().unwrap();
    drop(journal);
    let path = dir.join("journal.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    // The middle of the write never reached the disk, its end did.
    let holes = text.replacen("\"process\":33}\n", "\0\0\0\0", 1);
    fs::write(&path, &holes).unwrap();
    let opened = Journal::open(&dir).unwrap();
    assert_eq!(opened.recovered.unwrap().seq, 3);
    drop(opened.journal);
    assert_eq!(events(&dir), [attach(1), attach(22)]);
    // With a later write behind it, it was durable, and is damaged.
    let later = text.replacen("\"process\":33}\n", "\"process\":33\n", 1);
    let later = format!(
        "{later}{}\n",
        r#"{"seq":5,"time":"2026-11-24T02:10:00.123Z","type":"attach","process":55}"#
    );
    fs::write(&path, &later).unwrap();
    let error = Journal::open(&dir).unwrap_err().to_string();
    assert!(error.contains("line 3"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), later);
}

#[test]
fn secrets_are_not_written() {
    let runs = tempfile::tempdir().unwrap();
    let dir = make(runs.path(), &[]);
    let mut journal = Journal::open(&dir).unwrap().journal;
    journal.hide(run::Redactor::new(["key-0123456789"]));
    let failed = |text: &str| Event::End {
        reason: Reason::Failed(text.to_owned()),
    };
    journal.append(&failed("bad key-0123456789!")).unwrap();
    assert_eq!(events(&dir), [failed("bad [redacted]!")]);
}
