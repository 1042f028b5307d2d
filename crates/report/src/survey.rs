//! The first reading of a journal: what stands at the top of the page, and how much of each content fits.

use std::collections::BTreeMap;
use std::path::Path;

use agent::event::{
    Agent, Budget, Bytes, Content, DescriptorKind, Ending, Entry, Event, Reason, Spent, Time,
    TreeHash, Why,
};
use model::Usage;
use run::{Error, Header};

use crate::clock::{Clock, Progress};
use crate::visible::short;

/// Evaluations that are remembered at most; of more, every second is dropped again and again.
const EVALUATIONS: usize = 4000;
/// Calls of the reference that are listed.
const CALLS: usize = 100;
/// Compactions and changes of the budget that are listed.
const LISTED: usize = 500;
/// Characters of a call's arguments.
const ARGUMENTS: usize = 160;

/// Bytes of all contents that a page carries.
const ROOM: u64 = 64 << 20;
/// Most and least bytes that are shown of one content.
const MOST: u64 = 64 << 10;
const LEAST: u64 = 1 << 10;

/// What a run comes to.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) header: Header,
    pub(crate) start: Start,
    pub(crate) began: Option<Time>,
    pub(crate) ended: Option<Time>,
    pub(crate) events: u64,
    pub(crate) unfinished: usize,
    pub(crate) damage: Option<Error>,
    pub(crate) state: State,
    pub(crate) has_turns: bool,
    pub(crate) end: Progress,
    pub(crate) spent: Spent,
    pub(crate) usage: Usage,
    pub(crate) commands: u64,
    pub(crate) edits: u64,
    pub(crate) replies: u64,
    pub(crate) failures: u64,
    pub(crate) sessions: u64,
    pub(crate) budgets: Vec<(u64, Progress, Budget)>,
    pub(crate) evaluations: Evaluations,
    pub(crate) calls: Calls,
    /// The last client that introduced itself.
    pub(crate) client: Option<String>,
    pub(crate) contexts: u64,
    pub(crate) compactions: Vec<Compaction>,
    /// Event with which each turn begins.
    pub(crate) turns: Vec<(u64, u64)>,
    /// The workspace as it was last recorded, and the event that says so.
    pub(crate) tree: Option<(u64, TreeHash)>,
    pub(crate) submitted: Option<u64>,
    /// Most bytes that are shown of one content.
    pub(crate) most: u64,
    /// Bytes of contents that are shown.
    pub(crate) shown: u64,
}

/// What the first event says.
#[derive(Debug, Default)]
pub(crate) struct Start {
    pub(crate) agent: Option<Agent>,
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) digests: BTreeMap<String, String>,
    pub(crate) limits: BTreeMap<String, u64>,
    pub(crate) options: BTreeMap<String, String>,
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Somebody is at work on it.
    Open,
    /// Its last session ended without a word.
    CutOff,
    Submitted,
    Ended(Reason),
}

/// The evaluations that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Evaluations {
    pub(crate) total: u64,
    pub(crate) points: Vec<Evaluation>,
    pub(crate) best: Option<Evaluation>,
    stride: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Evaluation {
    pub(crate) seq: u64,
    pub(crate) at: Progress,
    pub(crate) built: bool,
    pub(crate) passed: u64,
    pub(crate) total: u64,
    /// Whether all visible cases were asked for.
    pub(crate) whole: bool,
}

/// The calls of the reference.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) total: u64,
    pub(crate) milliseconds: u64,
    pub(crate) endings: BTreeMap<String, u64>,
    pub(crate) first: Vec<Call>,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) seq: u64,
    pub(crate) step: u64,
    pub(crate) arguments: String,
    pub(crate) input: String,
    pub(crate) ending: Ending,
    pub(crate) printed: Option<u64>,
    pub(crate) milliseconds: u64,
}

#[derive(Debug)]
pub(crate) struct Compaction {
    pub(crate) seq: u64,
    pub(crate) at: Progress,
    pub(crate) number: u64,
    pub(crate) why: Why,
    pub(crate) before: u64,
    pub(crate) after: u64,
    pub(crate) dropped: Vec<(u64, u64)>,
    pub(crate) cleared: usize,
    pub(crate) summary: Option<Content>,
}

/// How a command ended, in words.
pub(crate) fn ending(ending: Ending) -> String {
    match ending {
        Ending::Exit(status) => format!("exit {status}"),
        Ending::Signal(signal) => format!("signal {signal}"),
        Ending::Limit(limit) => {
            let name = match limit {
                agent::event::Limit::WallTime => "time",
                agent::event::Limit::CpuTime => "processor time",
                agent::event::Limit::Memory => "memory",
                agent::event::Limit::Processes => "processes",
                agent::event::Limit::Output => "output",
                agent::event::Limit::Disk => "disk",
            };
            format!("limit: {name}")
        }
        Ending::NotStarted(error) => format!("not started: error {error}"),
        Ending::Stopped => "stopped".to_owned(),
    }
}

/// Arguments as a shell would take them.
pub(crate) fn arguments(argv: &[Bytes], most: usize) -> String {
    let mut text = Vec::new();
    for argument in argv {
        if text.len() > 4 * most {
            break;
        }
        if !text.is_empty() {
            text.push(b' ');
        }
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(byte);
        if !argument.0.is_empty() && argument.0.iter().all(plain) {
            text.extend_from_slice(&argument.0);
        } else {
            text.push(b'\'');
            for byte in argument.0.iter().take(4 * most) {
                match byte {
                    b'\'' => text.extend_from_slice(b"'\\''"),
                    b'\n' => text.extend_from_slice("␊".as_bytes()),
                    byte => text.push(*byte),
                }
            }
            text.push(b'\'');
        }
    }
    short(&text, most)
}

/// What a call was given on standard input.
pub(crate) fn input(kind: DescriptorKind) -> &'static str {
    match kind {
        DescriptorKind::Closed => "closed",
        DescriptorKind::Null => "none",
        DescriptorKind::File => "file",
        DescriptorKind::Pipe => "pipe",
        DescriptorKind::Socket => "socket",
        DescriptorKind::Terminal => "terminal",
        DescriptorKind::Other => "other",
    }
}

/// How many contents there are of each length, by powers of two: from it follows how much of each fits.
#[derive(Debug)]
struct Sizes([(u64, u64); 65]);

impl Sizes {
    fn add(&mut self, bytes: u64) {
        let (count, sum) = &mut self.0[(64 - bytes.leading_zeros()) as usize];
        *count += 1;
        *sum = sum.saturating_add(bytes);
    }

    /// Bytes that are shown when each content is cut at `most`, a power of two.
    fn shown(&self, most: u64) -> u64 {
        let below = most.trailing_zeros() as usize + 1;
        let whole = self.0[..below]
            .iter()
            .fold(0_u64, |all, (_, sum)| all.saturating_add(*sum));
        let cut = self.0[below..]
            .iter()
            .fold(0_u64, |all, (count, _)| all.saturating_add(*count));
        whole.saturating_add(cut.saturating_mul(most))
    }

    fn most(&self) -> u64 {
        let mut most = MOST;
        while most > LEAST && self.shown(most) > ROOM {
            most /= 2;
        }
        most
    }
}

/// Reads the journal of the run in `dir` once.
pub(crate) fn take(dir: &Path) -> Result<Survey, Error> {
    let mut reader = run::read(dir)?;
    let header = reader.header().clone();
    let mut survey = Survey::new(header);
    let mut clock = Clock::default();
    let mut sizes = Sizes([(0, 0); 65]);
    for entry in &mut reader {
        match entry {
            Ok(entry) => {
                clock.see(&entry);
                survey.see(entry, &clock, &mut sizes);
            }
            Err(damage) => {
                survey.damage = Some(damage);
                break;
            }
        }
    }
    survey.unfinished = reader.unfinished();
    if survey.state == State::Open && !run::is_open(dir) {
        survey.state = State::CutOff;
        clock.unanswered();
    }
    survey.has_turns = clock.has_turns;
    survey.end = clock.progress();
    survey.spent = clock.spent();
    survey.most = sizes.most();
    survey.shown = sizes.shown(survey.most);
    Ok(survey)
}

impl Survey {
    fn new(header: Header) -> Self {
        Survey {
            header,
            start: Start::default(),
            began: None,
            ended: None,
            events: 0,
            unfinished: 0,
            damage: None,
            state: State::Open,
            has_turns: false,
            end: Progress::default(),
            spent: Spent::default(),
            usage: Usage::default(),
            commands: 0,
            edits: 0,
            replies: 0,
            failures: 0,
            sessions: 0,
            budgets: Vec::new(),
            evaluations: Evaluations::default(),
            calls: Calls::default(),
            client: None,
            contexts: 0,
            compactions: Vec::new(),
            turns: Vec::new(),
            tree: None,
            submitted: None,
            most: MOST,
            shown: 0,
        }
    }

    /// The turn that an event belongs to.
    pub(crate) fn turn_of(&self, seq: u64) -> Option<u64> {
        let after = self.turns.partition_point(|(first, _)| *first <= seq);
        Some(self.turns[after.checked_sub(1)?].1)
    }

    /// What a step of the run is called.
    pub(crate) fn step_name(&self) -> &'static str {
        if self.has_turns { "turn" } else { "command" }
    }

    fn see(&mut self, Entry { seq, time, event }: Entry, clock: &Clock, sizes: &mut Sizes) {
        self.events += 1;
        self.began.get_or_insert(time);
        self.ended = Some(time);
        let at = clock.progress();
        match event {
            Event::Start {
                agent,
                versions,
                digests,
                limits,
                options,
                ..
            } => {
                self.start = Start {
                    agent: Some(agent),
                    versions,
                    digests,
                    limits,
                    options,
                };
            }
            Event::Attach { .. } => {
                self.sessions += 1;
                self.state = State::Open;
            }
            Event::Command { .. } => self.commands += 1,
            Event::Edit { .. } => self.edits += 1,
            Event::Result { stdout, stderr, .. } => {
                sizes.add(stdout.bytes());
                sizes.add(stderr.bytes());
            }
            Event::Workspace { tree, .. } => self.tree = Some((seq, tree)),
            Event::Submit { tree } => {
                self.state = State::Submitted;
                self.tree = Some((seq, tree));
                self.submitted = Some(seq);
            }
            Event::Oracle {
                argv,
                descriptors,
                ending: how,
                milliseconds,
                ..
            } => {
                let calls = &mut self.calls;
                calls.total += 1;
                calls.milliseconds += milliseconds;
                *calls.endings.entry(ending(how)).or_default() += 1;
                if calls.first.len() < CALLS {
                    calls.first.push(Call {
                        seq,
                        step: at.step,
                        arguments: arguments(&argv, ARGUMENTS),
                        input: input(descriptors[0].kind).to_owned(),
                        ending: how,
                        printed: descriptors[1].bytes,
                        milliseconds,
                    });
                }
            }
            Event::Evaluate {
                cases,
                built,
                cases_passed,
                cases_total,
                report,
                ..
            } => {
                sizes.add(report.bytes());
                self.evaluations.add(Evaluation {
                    seq,
                    at,
                    built,
                    passed: cases_passed,
                    total: cases_total,
                    whole: cases.is_empty(),
                });
            }
            Event::Context {
                number,
                why,
                summary,
                cleared,
                dropped,
                before_tokens,
                after_tokens,
                system,
                ..
            } => {
                self.contexts += 1;
                sizes.add(system.bytes());
                if number > 1 && self.compactions.len() < LISTED {
                    self.compactions.push(Compaction {
                        seq,
                        at,
                        number,
                        why,
                        before: before_tokens,
                        after: after_tokens,
                        dropped,
                        cleared: cleared.len(),
                        summary,
                    });
                }
            }
            Event::Message { text, .. } => sizes.add(text.bytes()),
            Event::Call {
                turn,
                purpose: agent::event::Purpose::Turn,
                ..
            } => self.turns.push((seq, turn)),
            Event::ToolCall {
                number, arguments, ..
            } => {
                self.turns.push((seq, number));
                sizes.add(arguments.bytes());
            }
            Event::Client { name, version, .. } => {
                self.client = Some(format!("{name} {version}"));
            }
            Event::Note { text } => sizes.add(text.bytes()),
            Event::Reply { message, usage, .. } => {
                self.replies += 1;
                self.usage += usage;
                sizes.add(message.bytes());
            }
            Event::CallFailed { .. } | Event::Unanswered { .. } => self.failures += 1,
            Event::ToolResult { pieces, .. } => {
                for piece in &pieces {
                    if let agent::event::Piece::Text(text) = piece {
                        sizes.add(text.bytes());
                    }
                }
            }
            Event::Budget { limits } if self.budgets.len() < LISTED => {
                self.budgets.push((seq, at, limits));
            }
            Event::End { reason } if self.state != State::Submitted => {
                self.state = match reason {
                    Reason::Submitted => State::Submitted,
                    reason => State::Ended(reason),
                };
            }
            _ => {}
        }
    }
}

impl Evaluations {
    fn add(&mut self, point: Evaluation) {
        let better = |best: &Evaluation| point.passed > best.passed;
        if point.whole && self.best.as_ref().is_none_or(better) {
            self.best = Some(point);
        }
        let stride = self.stride.max(1);
        if self.total.is_multiple_of(stride) {
            self.points.push(point);
        }
        self.total += 1;
        if self.points.len() > EVALUATIONS {
            let mut place = 0;
            self.points.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.stride = stride * 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_follows_from_the_lengths() {
        let mut sizes = Sizes([(0, 0); 65]);
        assert_eq!(sizes.most(), MOST);
        for _ in 0..2000 {
            sizes.add(1 << 30);
        }
        assert_eq!(sizes.most(), 32 << 10);
        assert_eq!(sizes.shown(32 << 10), 2000 * (32 << 10));
        for _ in 0..200_000 {
            sizes.add(2000);
        }
        assert_eq!(sizes.most(), LEAST);
        sizes.add(0);
        sizes.add(u64::MAX);
    }

    #[test]
    fn many_evaluations_are_thinned_evenly() {
        let mut evaluations = Evaluations::default();
        for seq in 0..50_000 {
            evaluations.add(Evaluation {
                seq,
                at: Progress::default(),
                built: true,
                passed: seq.min(30_000),
                total: 50_000,
                whole: true,
            });
        }
        assert!((2000..=EVALUATIONS).contains(&evaluations.points.len()));
        let step = evaluations.points[1].seq;
        assert!(
            evaluations
                .points
                .windows(2)
                .all(|pair| pair[1].seq - pair[0].seq == step)
        );
        assert_eq!(evaluations.best.unwrap().seq, 30_000);
    }

    #[test]
    fn arguments_are_written_as_a_shell_takes_them() {
        let argv = [
            "-u".into(),
            "a b".into(),
            "".into(),
            "it's".into(),
            Bytes(vec![0xff, b'\n']),
        ];
        assert_eq!(arguments(&argv, 100), r"-u 'a b' '' 'it'\''s' '\xFF␊'");
        let long = vec!["x".repeat(1000).into(); 1000];
        assert_eq!(arguments(&long, 10), "xxxxxxxxxx…");
    }
}
