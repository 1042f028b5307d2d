//! A short scored run, made without a model or a sandbox: test support.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use agent::event::{
    Agent, Content, Ending, Estimate, Event, Purpose, Reason, Recorder, Spent, TreeHash,
};
use model::{Stop, Usage};
use run::{Header, Known, Limits, Run};
use score::{
    Build, CaseOutcome, CaseResult, Split, Submission, SubmissionFacts, Verdict, first_difference,
};

/// Visible and hidden cases of every verdict here.
pub const CASES: (u64, u64) = (6, 4);
/// What a submission has to say to be solved.
pub const RIGHT: &str = "print('right')\n";

/// The name of the run that [`make`] makes.
pub fn id(number: u32) -> String {
    format!("20261124T021000-gron-python-{number:04x}")
}

/// Makes a run below `runs` whose workspace holds `code`, with the verdict that scoring would give.
pub fn make(runs: &Path, id: &str, code: &str) -> PathBuf {
    let dir = runs.join(id);
    let mut header = Header::new("gron/python", "0.1.0", BTreeMap::new()).unwrap();
    header.id = id.to_owned();
    let mut run = Run::create(&dir, &header, Known::nothing(), Limits::WORKSPACE).unwrap();
    let text = |text: &str| Content::Inline(text.to_owned());
    run.note(Event::Start {
        format: agent::event::FORMAT,
        task: header.task.clone(),
        agent: Agent::Model,
        versions: BTreeMap::new(),
        digests: BTreeMap::new(),
        limits: BTreeMap::new(),
        options: [("model".to_owned(), "example/small-1".to_owned())].into(),
    })
    .unwrap();
    let workspace = tempfile::tempdir().unwrap();
    fs::create_dir(workspace.path().join("src")).unwrap();
    let mut last: Option<TreeHash> = None;
    for turn in 1..=3 {
        run.note(Event::Call {
            number: turn,
            turn,
            purpose: Purpose::Turn,
            context: 1,
            estimate: Estimate {
                input_tokens: 1000,
                output_tokens: 1000,
                microdollars: 2000,
            },
            spent: Spent {
                tokens: 140 * (turn - 1),
                microdollars: 7 * (turn - 1),
                turns: turn - 1,
                wall_milliseconds: 60_000 * turn,
                ..Spent::default()
            },
        })
        .unwrap();
        run.note(Event::Reply {
            call: turn,
            message: text("[]"),
            stop: Stop::ToolUse,
            usage: Usage {
                input: 100,
                output: 40,
                ..Usage::default()
            },
            attempts: Default::default(),
            microdollars: 7,
            milliseconds: 10,
        })
        .unwrap();
        run.note(Event::Command {
            number: turn,
            script: "cat main.py".into(),
            directory: "/workspace".into(),
            terminal: false,
            tool: None,
            background: false,
            limit_milliseconds: None,
        })
        .unwrap();
        let long = run.content("0123456789\n".repeat(1000 * turn as usize).as_bytes());
        run.note(Event::Result {
            number: turn,
            ending: Ending::Exit(0),
            stdout: long.unwrap(),
            stderr: text(""),
            directory: "/workspace".into(),
            interactive: false,
            milliseconds: 3,
        })
        .unwrap();
        let written = if turn == 3 { code } else { "pass\n" };
        fs::write(workspace.path().join("main.py"), written).unwrap();
        fs::write(
            workspace.path().join("src/part.py"),
            format!("x = {turn}\n"),
        )
        .unwrap();
        if let Some(tree) = run.snapshot(workspace.path()).unwrap() {
            run.note(Event::Workspace { number: turn, tree }).unwrap();
            last = Some(tree);
        }
    }
    run.note(Event::Submit {
        tree: last.unwrap(),
    })
    .unwrap();
    run.note(Event::End {
        reason: Reason::Submitted,
    })
    .unwrap();
    run.flush().unwrap();
    drop(run);
    judge(&dir).write(&dir.join("verdict.json")).unwrap();
    dir
}

/// What scoring says of the run in `dir`: the submission itself says which cases pass.
pub fn judge(dir: &Path) -> Verdict {
    let mut tree = None;
    for entry in run::read(dir).unwrap() {
        if let Event::Workspace { tree: found, .. } = entry.unwrap().event {
            tree = Some(found);
        }
    }
    let place = tempfile::tempdir().unwrap();
    let store = run::Store::open(dir, Known::nothing());
    run::restore(&store, tree.unwrap(), place.path(), Limits::WORKSPACE).unwrap();
    let submission = Submission::read(place.path(), &[]).unwrap();
    let solved = fs::read_to_string(place.path().join("main.py")).unwrap() == RIGHT;
    let mut cases = BTreeMap::new();
    let mut results = Vec::new();
    for number in 0..CASES.0 + CASES.1 {
        let split = if number < CASES.0 {
            Split::Visible
        } else {
            Split::Hidden
        };
        let id = format!("gron/arrays/{number:03}");
        let passes = solved || number % 2 == 0;
        cases.insert(id.clone(), (split, "arrays".to_owned()));
        results.push(CaseResult {
            id,
            split,
            outcome: if passes {
                CaseOutcome::Pass
            } else {
                CaseOutcome::Stdout
            },
            difference: first_difference("stdout", b"a", b"b").filter(|_| !passes),
        });
    }
    let header = score::Header {
        task: "gron/python".to_owned(),
        build: Build::None,
        submission: SubmissionFacts {
            kind: "source".to_owned(),
            digest: submission.digest(),
            files: submission.files.len() as u64,
            bytes: submission.bytes(),
        },
        versions: [("target-lock".to_owned(), "ab".repeat(32))].into(),
    };
    Verdict::new(header, &cases, results).unwrap()
}

/// A new pair of keys: the secret one, and the public one's text.
pub fn keys(dir: &Path) -> (bundle::SecretKey, String) {
    let path = dir.join("key");
    let public = bundle::create_key(&path).unwrap();
    (bundle::SecretKey::read(&path, None).unwrap(), public)
}

/// The bundle of a run.
pub fn pack(dir: &Path, key: &bundle::SecretKey) -> Vec<u8> {
    let mut bytes = Vec::new();
    bundle::write(
        dir,
        key,
        &bundle::Limits::RUN,
        &mut bytes,
        Path::new("the bundle"),
    )
    .unwrap();
    bytes
}

/// What is in a bundle: names and contents, in order.
pub fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let plain = zstd::decode_all(bytes).unwrap();
    tar::Archive::new(plain.as_slice())
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            (name, content)
        })
        .collect()
}

/// A header as bundles have it.
pub fn header(name: &str, bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).unwrap();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes);
    header.set_cksum();
    header
}

/// A bundle of these entries.
pub fn repack(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut plain = Vec::new();
    for (name, content) in entries {
        plain.extend_from_slice(header(name, content.len() as u64).as_bytes());
        plain.extend_from_slice(content);
        plain.resize(plain.len().next_multiple_of(512), 0);
    }
    plain.resize(plain.len() + 1024, 0);
    zstd::encode_all(plain.as_slice(), 3).unwrap()
}

/// Changes one file of a bundle and leaves everything else as it was signed.
pub fn tamper(bytes: &[u8], name: &str, change: impl Fn(&str) -> String) -> Vec<u8> {
    let mut entries = entries(bytes);
    let (_, content) = entries.iter_mut().find(|(entry, _)| entry == name).unwrap();
    let text = change(std::str::from_utf8(content).unwrap());
    assert_ne!(text.as_bytes(), content, "something has to be changed");
    *content = text.into_bytes();
    repack(&entries)
}
