//! Holding a run against itself: whether its journal, its contents and its verdict can be those of one run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use agent::event::{Agent, Digest, Entry, Estimate, Event, FORMAT, Spent, TreeHash};
use agent::scaffold::{add_answer, add_failure, add_unanswered};
use run::Header;
use score::{Build, CaseOutcome, Count, Split, Verdict};

use crate::contents;
use crate::error::{Error, Fault, fault, io};
use crate::limits::Limits;
use crate::manifest::{self, Manifest, VERDICT};

/// Largest verdict that is read, in bytes.
const LARGEST_VERDICT: u64 = 64 << 20;

/// A run that does not contradict itself.
#[derive(Debug)]
pub struct Checked {
    /// Its header.
    pub header: Header,
    /// Its verdict: what somebody says that scoring gave.
    pub verdict: Verdict,
    /// Events in its journal.
    pub events: u64,
    /// Bytes of all contents, unpacked.
    pub contents: u64,
}

/// Holds the run in `dir`, which [`crate::Verified::unpack`] wrote, against its manifest and itself.
///
/// # Errors
/// [`Error::Fault`] names the first thing that cannot be.
pub fn check(dir: &Path, manifest: &Manifest, limits: &Limits) -> Result<Checked, Error> {
    let record = Record::read(dir)?;
    if record.header.id != manifest.run || record.header.task != manifest.task {
        return Err(fault(
            Fault::Journal,
            format!(
                "run.toml is of run {} of {}, and the bundle is of run {} of {}",
                record.header.id, record.header.task, manifest.run, manifest.task
            ),
        ));
    }
    if record.unfinished > 0 {
        return Err(fault(
            Fault::Journal,
            "journal.jsonl ends in the middle of an event",
        ));
    }
    let submission = record.submission()?;
    if submission != manifest.submission {
        return Err(fault(
            Fault::Journal,
            format!(
                "the journal ends with the workspace {submission}, and the bundle is of {}",
                manifest.submission
            ),
        ));
    }
    let blobs: BTreeSet<Digest> = manifest.blobs().collect();
    let found = contents::read(dir, &record, &blobs, limits)?;
    if let Some(stray) = blobs.difference(&found.referred).next() {
        return Err(fault(
            Fault::Content,
            format!("content {stray} belongs to nothing that the journal tells"),
        ));
    }
    let verdict = read_verdict(dir, &record.header)?;
    if verdict.versions != manifest.versions {
        return Err(fault(
            Fault::Verdict,
            "verdict.json names other versions than the bundle",
        ));
    }
    Ok(Checked {
        header: record.header,
        verdict,
        events: record.events,
        contents: found.bytes,
    })
}

/// Reads `verdict.json` in `dir` and holds it against itself.
pub(crate) fn read_verdict(dir: &Path, header: &Header) -> Result<Verdict, Error> {
    let path = dir.join(VERDICT);
    let wrong = |message: String| Err(fault(Fault::Verdict, format!("verdict.json: {message}")));
    let mut text = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(LARGEST_VERDICT + 1).read_to_end(&mut text))
        .map_err(io("read", &path))?;
    if text.len() as u64 > LARGEST_VERDICT {
        return wrong(format!("it has more than {LARGEST_VERDICT} bytes"));
    }
    let verdict: Verdict = match serde_json::from_slice(&text) {
        Ok(verdict) => verdict,
        Err(error) => return wrong(error.to_string()),
    };
    if verdict.task != header.task {
        return wrong(format!(
            "it is of {}, and the run is of {}",
            verdict.task, header.task
        ));
    }
    if verdict.submission.kind != "source" {
        return wrong("it is not of a submission's source".into());
    }
    let mut counts = BTreeMap::from([
        (Split::Visible, Count::default()),
        (Split::Hidden, Count::default()),
    ]);
    for case in &verdict.cases {
        let count = counts.entry(case.split).or_default();
        count.total += 1;
        count.passed += u64::from(case.outcome == CaseOutcome::Pass);
    }
    for (split, said) in [
        (Split::Visible, verdict.visible),
        (Split::Hidden, verdict.hidden),
    ] {
        let counted = counts[&split];
        if counted != said {
            return wrong(format!(
                "it says that {}/{} {} cases pass, and lists {}/{}",
                said.passed,
                said.total,
                split_name(split),
                counted.passed,
                counted.total
            ));
        }
    }
    let all = |count: Count| count.passed == count.total;
    let solved = matches!(verdict.build, Build::None | Build::Done)
        && all(verdict.visible)
        && all(verdict.hidden)
        && !verdict.cases.is_empty();
    if solved != verdict.solved {
        return wrong("whether it is solved is not what its cases say".into());
    }
    Ok(verdict)
}

/// The word for a split.
pub(crate) fn split_name(split: Split) -> &'static str {
    match split {
        Split::Visible => "visible",
        Split::Hidden => "hidden",
    }
}

/// What a journal comes to, where it does not contradict itself.
pub(crate) struct Record {
    pub(crate) header: Header,
    pub(crate) events: u64,
    pub(crate) unfinished: usize,
    /// Contents that events name.
    pub(crate) referred: BTreeSet<Digest>,
    /// States of the workspace.
    pub(crate) trees: BTreeSet<TreeHash>,
    tree: Option<TreeHash>,
}

impl Record {
    /// Reads the journal of the run in `dir`.
    pub(crate) fn read(dir: &Path) -> Result<Self, Error> {
        let damaged = |error: run::Error| match error {
            run::Error::Io { .. } => Error::Run(error),
            // Where it lies on this machine is nobody's business.
            error => {
                let here = format!("{}/", dir.display());
                fault(Fault::Journal, error.to_string().replace(&here, ""))
            }
        };
        let mut reader = run::read(dir).map_err(damaged)?;
        let mut record = Record {
            header: reader.header().clone(),
            events: 0,
            unfinished: 0,
            referred: BTreeSet::new(),
            trees: BTreeSet::new(),
            tree: None,
        };
        if !manifest::is_id(&record.header.id) {
            return Err(fault(
                Fault::Journal,
                format!("run.toml: {:?} is no id of a run", record.header.id),
            ));
        }
        let mut sums = Sums::default();
        for entry in &mut reader {
            let entry = entry.map_err(damaged)?;
            record.events += 1;
            record
                .see(&entry)
                .and_then(|()| sums.see(&entry.event))
                .map_err(|message| {
                    fault(
                        Fault::Journal,
                        format!("journal.jsonl: line {}: {message}", entry.seq),
                    )
                })?;
        }
        record.unfinished = reader.unfinished();
        if record.events == 0 {
            return Err(fault(Fault::Journal, "journal.jsonl: it holds no event"));
        }
        Ok(record)
    }

    /// The workspace that is scored: the last one.
    pub(crate) fn submission(&self) -> Result<TreeHash, Error> {
        self.tree.ok_or_else(|| {
            fault(
                Fault::Journal,
                "journal.jsonl: it never tells of a workspace, so there is nothing to score",
            )
        })
    }

    fn see(&mut self, entry: &Entry) -> Result<(), String> {
        match &entry.event {
            Event::Start { format, task, .. } => {
                if entry.seq != 1 {
                    return Err("the run begins a second time".into());
                }
                if *task != self.header.task {
                    return Err(format!(
                        "the run is of {task}, and run.toml says {}",
                        self.header.task
                    ));
                }
                if *format > FORMAT || *format != self.header.format {
                    return Err(format!("format {format} is not that of run.toml"));
                }
            }
            _ if entry.seq == 1 => return Err("the first event is not the start of a run".into()),
            Event::Workspace { tree, .. } => {
                self.trees.insert(*tree);
                self.tree = Some(*tree);
            }
            Event::Submit { tree } => {
                if self.tree.is_some_and(|last| last != *tree) {
                    return Err(format!(
                        "{tree} is submitted, which is not the workspace as it was last recorded"
                    ));
                }
                self.trees.insert(*tree);
                self.tree = Some(*tree);
            }
            _ => {}
        }
        let value = serde_json::to_value(entry).map_err(|error| error.to_string())?;
        contents::refer(&value, &mut self.referred);
        Ok(())
    }
}

/// What events say of earlier events.
#[derive(Default)]
struct Sums {
    agent: Option<Agent>,
    call: u64,
    /// Calls without an answer, with what they can cost.
    calls: BTreeMap<u64, Estimate>,
    number: u64,
    /// Commands without a result.
    commands: BTreeSet<u64>,
    /// What answers came to.
    spent: Spent,
    /// What the last call says was spent before it.
    said: Spent,
}

impl Sums {
    fn see(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Start { agent, .. } => self.agent = Some(*agent),
            Event::Command { number, .. } => {
                self.next_number(*number)?;
                self.commands.insert(*number);
            }
            Event::Edit { number, .. } => self.next_number(*number)?,
            Event::Result { number, .. } if !self.commands.remove(number) => {
                return Err(format!(
                    "command {number} ends, which did not begin or has ended already"
                ));
            }
            Event::Call {
                number,
                estimate,
                spent,
                ..
            } => {
                if *number <= self.call {
                    return Err(format!("call {number} comes after call {}", self.call));
                }
                self.call = *number;
                self.calls.insert(*number, *estimate);
                self.spent_before(spent)?;
            }
            Event::ToolCall { spent, .. } => self.spent_before(spent)?,
            Event::Reply {
                call,
                usage,
                attempts,
                microdollars,
                ..
            } => {
                let estimate = self.answered(*call)?;
                add_answer(&mut self.spent, usage, attempts, *microdollars, &estimate);
            }
            Event::CallFailed {
                call,
                failure,
                microdollars,
                ..
            } => {
                let estimate = self.answered(*call)?;
                add_failure(&mut self.spent, failure, *microdollars, &estimate);
            }
            Event::Unanswered { call } => {
                let estimate = self.answered(*call)?;
                add_unanswered(&mut self.spent, &estimate);
            }
            _ => {}
        }
        Ok(())
    }

    fn next_number(&mut self, number: u64) -> Result<(), String> {
        if number <= self.number {
            return Err(format!("command {number} comes after {}", self.number));
        }
        self.number = number;
        Ok(())
    }

    fn answered(&mut self, call: u64) -> Result<Estimate, String> {
        self.calls.remove(&call).ok_or_else(|| {
            format!("call {call} is answered, which was not made or was answered already")
        })
    }

    /// Nothing that was spent becomes less, and a model of this program's spends what its answers cost.
    fn spent_before(&mut self, said: &Spent) -> Result<(), String> {
        let falls = said.tokens < self.said.tokens
            || said.microdollars < self.said.microdollars
            || said.turns < self.said.turns;
        if falls {
            return Err("less is spent than before".into());
        }
        let own = self.agent == Some(Agent::Model);
        if own && (said.tokens, said.microdollars) != (self.spent.tokens, self.spent.microdollars) {
            return Err(format!(
                "{} tokens and {} millionths of a dollar are said to be spent, and the answers before come to {} and {}",
                said.tokens, said.microdollars, self.spent.tokens, self.spent.microdollars
            ));
        }
        self.said = *said;
        Ok(())
    }
}
