//! Runs that somebody else has recorded, or that a crash has cut off.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use agent::event::{Budget, Content, Entry, TreeHash};
use agent::scaffold::{History, Past};
use run::{Control, Header, Index, Known, Limits, Opened, Store, Tree};

use super::one_in;
use crate::plant::{self, Outside};

const HEADER: &str = "id = \"20261124T021000-a-b-0000\"\ntask = \"a/b\"\ncreated = \"2026-11-24T02:10:00.123Z\"\nformat = 2\nmirrorcode = \"0\"\n";

pub(super) fn entry(input: &[u8], _: &Path) {
    if let Ok(entry) = serde_json::from_slice::<Entry>(input) {
        let text = serde_json::to_string(&entry).expect("an event is always JSON");
        assert!(!text.contains('\n'), "it stands on one line");
        assert_eq!(
            serde_json::from_str::<Entry>(&text).ok(),
            Some(entry),
            "{text}"
        );
    }
}

/// Lines in order, whatever number they had.
fn renumbered(input: &[u8]) -> Vec<u8> {
    let mut journal = Vec::new();
    for (number, line) in (1..).zip(input.split_inclusive(|&byte| byte == b'\n')) {
        let rest = line.strip_prefix(b"{\"seq\":");
        let rest = rest.map(|rest| rest.trim_ascii_start());
        let digits = rest.map_or(0, |rest| {
            rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
        });
        match rest {
            Some(rest) if digits > 0 => {
                journal.extend(format!("{{\"seq\":{number}").bytes());
                journal.extend_from_slice(&rest[digits..]);
            }
            _ => journal.extend_from_slice(line),
        }
    }
    journal
}

/// The first byte says whether lines get their numbers.
fn lines(input: &[u8]) -> Vec<u8> {
    match input.split_first() {
        Some((&how, rest)) if how & 3 == 0 => rest.to_vec(),
        Some((_, rest)) => renumbered(rest),
        None => Vec::new(),
    }
}

/// Opens a run as if it was claimed: a claim begins a thread, which takes longer than all the rest.
fn open(dir: &Path, scratch: &Path) -> Result<Opened, run::Error> {
    static EPOCH: AtomicU64 = AtomicU64::new(1);
    let claims = scratch.join("claims");
    let epoch = EPOCH.fetch_add(1, Ordering::Relaxed);
    if epoch == 1 {
        fs::create_dir_all(claims.join("epochs")).expect("the scratch directory is empty");
    }
    run::fuzzing::open(dir, &claims, epoch)
}

pub(super) fn journal(input: &[u8], scratch: &Path) {
    let dir = scratch.join("run");
    fs::create_dir(&dir).expect("the scratch directory is empty");
    fs::write(dir.join("run.toml"), HEADER).expect("it can be written to");
    let path = dir.join("journal.jsonl");
    let journal = lines(input);
    fs::write(&path, &journal).expect("it can be written to");
    let read = || run::read(&dir).expect("the header is right");
    let before = read().take_while(Result::is_ok).count();
    if let Ok(index) = Index::of(&dir) {
        for first in [0, before as u64] {
            drop(index.each(first, u64::MAX, &mut |entry| entry.seq < u64::MAX));
        }
    }
    let opened = open(&dir, scratch);
    let after = fs::read(&path).expect("it is there");
    assert!(
        journal.starts_with(&after),
        "nothing but the end is cut off"
    );
    match opened {
        Ok(mut opened) => {
            let torn = opened.recovered.as_ref();
            let kept = torn.map_or(Vec::new(), |torn| fs::read(&torn.kept).expect("it is kept"));
            assert_eq!(
                [after.clone(), kept].concat(),
                journal,
                "what is cut off is kept"
            );
            assert!(after.is_empty() || after.ends_with(b"\n"));
            // What is reserved ahead takes a file system in memory as long as all the rest.
            if one_in(64, input) {
                let event = agent::event::Event::Budget {
                    limits: Budget::default(),
                };
                let seq = opened.journal.append(&event).expect("a journal can go on");
                assert_eq!(seq as usize, after.split(|&byte| byte == b'\n').count());
            }
        }
        // What is damaged stays as it was, for whoever wants to look.
        Err(_) => assert_eq!(after, journal),
    }
    plant::clear(&dir);
}

/// A journal in memory.
struct Lines(Vec<Entry>);

impl History for Lines {
    fn last(&self, kind: &str) -> Option<u64> {
        let last = self.0.iter().rev().find(|entry| kind_of(entry) == kind);
        last.map(|entry| entry.seq)
    }

    fn count(&self, kind: &str) -> u64 {
        self.0.iter().filter(|entry| kind_of(entry) == kind).count() as u64
    }

    fn each(
        &self,
        first: u64,
        last: u64,
        each: &mut dyn FnMut(Entry) -> Result<(), String>,
    ) -> Result<(), String> {
        let within = self
            .0
            .iter()
            .filter(|entry| (first..=last).contains(&entry.seq));
        within.cloned().try_for_each(each)
    }

    fn bytes(&self, content: &Content) -> Result<Vec<u8>, String> {
        match content {
            Content::Inline(text) => Ok(text.clone().into_bytes()),
            Content::Blob { .. } => Err("there are no blobs".to_owned()),
        }
    }
}

fn kind_of(entry: &Entry) -> String {
    let value = serde_json::to_value(entry).expect("an event is always JSON");
    value["type"].as_str().unwrap_or_default().to_owned()
}

/// Lines that are no events are left out.
pub(super) fn resume(input: &[u8], _: &Path) {
    let mut entries = Vec::new();
    for line in lines(input).split(|&byte| byte == b'\n') {
        if let Ok(mut entry) = serde_json::from_slice::<Entry>(line) {
            entry.seq = entries.len() as u64 + 1;
            entries.push(entry);
        }
    }
    let history = Lines(entries);
    if let Ok(past) = Past::read(&history) {
        let _ = (
            past.number(),
            past.directory(),
            past.is_submitted(),
            past.replies(),
        );
        let _ = (past.messages().len(), past.limits(), past.spent());
    }
    drop(agent::Standing::read(&history));
    drop(agent::recorded::<String>(
        history.0.into_iter().map(Ok),
        &Nothing,
    ));
}

/// An archive without blobs.
struct Nothing;

impl agent::Archive for Nothing {
    fn bytes(&self, content: &Content) -> Result<Vec<u8>, String> {
        Lines(Vec::new()).bytes(content)
    }

    fn restore(&self, _: TreeHash, _: &Path) -> Result<(), String> {
        Err("there are no trees".to_owned())
    }
}

pub(super) fn header(input: &[u8], scratch: &Path) {
    fs::write(scratch.join("run.toml"), input).expect("it can be written to");
    drop(Header::read(scratch));
    fs::remove_file(scratch.join("run.toml")).expect("it was there");
}

pub(super) fn control(input: &[u8], scratch: &Path) {
    fs::write(scratch.join("control.json"), input).expect("it can be written to");
    if let Ok(control) = Control::read(scratch) {
        control.write(scratch).expect("it can be written to");
        assert_eq!(Control::read(scratch).ok(), Some(control));
    }
    fs::remove_file(scratch.join("control.json")).expect("it was there");
}

const LIMITS: Limits = Limits {
    files: 100,
    bytes: 1 << 20,
    depth: 64,
};

thread_local! {
    /// The contents that lists are put among, and how many lists: a new store costs more than what is done with it.
    static STORE: RefCell<Option<(Store, u32)>> = const { RefCell::new(None) };
}

/// A list of files whose hash is right, since whoever makes up the list makes up the hash.
pub(super) fn tree(input: &[u8], scratch: &Path) {
    let outside = Outside::new(scratch);
    let (dir, into) = (scratch.join("run"), scratch.join("into"));
    fs::create_dir(&into).expect("the scratch directory is empty");
    STORE.with_borrow_mut(|kept| {
        if kept.as_ref().is_none_or(|(_, lists)| *lists == 1000) {
            plant::clear(&dir);
            fs::create_dir(&dir).expect("it was cleared");
            let mut store = Store::open(&dir, Known::nothing());
            store.put(b"print(1)\n").expect("it can be written to");
            *kept = Some((store, 0));
        }
        let (store, lists) = kept.as_mut().expect("it was just made");
        *lists += 1;
        let hash = TreeHash(store.put(input).expect("it can be written to"));
        if let Ok(tree) = Tree::load(store, hash) {
            assert!(tree.nodes.is_sorted_by(|a, b| a.path() < b.path()));
        }
        drop(run::restore(store, hash, &into, LIMITS));
    });
    plant::clear(&into);
    outside.check();
}
