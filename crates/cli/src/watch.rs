//! `mirrorcode watch`: a run while it is under way.

use std::io::IsTerminal;
use std::time::Duration;

use agent::event::{Content, Estimate, Event, Reason, Spent};
use agent::scaffold::{add_answer, add_failure, add_unanswered, count, dollars, duration};
use model::Block;
use run::{Index, Known, Store};
use serde_json::json;

use crate::args::WatchArgs;
use crate::compare::Work;
use crate::context::Context;
use crate::exit::{self, Answer};
use crate::terminal;

/// How often the journal is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Longest part of a tool call that is shown, in characters.
const SHOWN: usize = 60;

/// Where a run stands.
#[derive(Default, PartialEq, Clone)]
struct Standing {
    state: String,
    turn: u64,
    spent: Spent,
    /// What the call under way costs at most.
    waiting: Option<Estimate>,
    context: u64,
    tests: Option<(u64, u64)>,
    tool: String,
    /// Whether a client calls the tools.
    by_client: bool,
    /// Who works, as far as the record was read from its beginning: a person's is.
    work: Work,
}

fn read(store: &Store, content: &Content) -> Vec<u8> {
    match content {
        Content::Inline(text) => text.clone().into_bytes(),
        Content::Blob { sha256, .. } => store.get(sha256).unwrap_or_default(),
    }
}

impl Standing {
    fn take(&mut self, store: &Store, event: &Event) {
        match event {
            Event::Attach { .. } | Event::Continue => self.state = "working".to_owned(),
            Event::Pause => self.state = "paused".to_owned(),
            Event::Call {
                spent, estimate, ..
            } => {
                self.state = "asking the model".to_owned();
                self.turn = spent.turns;
                self.spent = *spent;
                self.waiting = Some(*estimate);
            }
            Event::ToolCall {
                number,
                name,
                arguments,
                spent,
                ..
            } => {
                self.state = "working".to_owned();
                self.by_client = true;
                self.turn = *number;
                self.spent = *spent;
                let arguments = read(store, arguments);
                let arguments = String::from_utf8_lossy(&arguments);
                self.tool = format!("{name} {arguments}").chars().take(SHOWN).collect();
            }
            Event::ToolResult { .. } if self.by_client => {
                self.state = "waiting for a call".to_owned();
            }
            Event::Command { number, script, .. } if self.work.is_person() => {
                self.state = "working".to_owned();
                self.turn = *number;
                let script = String::from_utf8_lossy(&script.0);
                self.tool = script.chars().take(SHOWN).collect();
            }
            Event::CallFailed {
                failure,
                microdollars,
                ..
            } => {
                let estimate = self.waiting.take().unwrap_or_default();
                add_failure(&mut self.spent, failure, *microdollars, &estimate);
            }
            Event::Unanswered { .. } => {
                if let Some(estimate) = self.waiting.take() {
                    add_unanswered(&mut self.spent, &estimate);
                }
            }
            Event::Reply {
                usage,
                attempts,
                microdollars,
                message,
                ..
            } => {
                self.state = "working".to_owned();
                self.turn += 1;
                let estimate = self.waiting.take().unwrap_or_default();
                add_answer(&mut self.spent, usage, attempts, *microdollars, &estimate);
                self.context = usage.total();
                let blocks: Vec<Block> =
                    serde_json::from_slice(&read(store, message)).unwrap_or_default();
                let last = blocks.iter().rev().find_map(|block| match block {
                    Block::ToolCall {
                        name, arguments, ..
                    } => Some(format!("{name} {arguments}")),
                    _ => None,
                });
                if let Some(last) = last {
                    self.tool = last.chars().take(SHOWN).collect();
                }
            }
            Event::Evaluate {
                cases_passed,
                cases_total,
                ..
            } => self.tests = Some((*cases_passed, *cases_total)),
            Event::Submit { .. } => self.state = "submitted".to_owned(),
            Event::End { reason } => {
                self.state = match reason {
                    Reason::Submitted => "submitted".to_owned(),
                    Reason::Left => "left".to_owned(),
                    Reason::Stopped => "stopped".to_owned(),
                    Reason::Budget(name) => format!("out of budget ({name})"),
                    Reason::Failed(error) => format!("failed: {error}"),
                }
            }
            _ => {}
        }
    }

    fn line(&self) -> String {
        let tests = match self.tests {
            Some((passed, total)) => format!("{passed}/{total} tests"),
            None => "no tests yet".to_owned(),
        };
        format!(
            "turn {}, {} tokens, {}, {}, {tests}, context {}; {}; last: {}",
            self.turn,
            count(self.spent.tokens),
            dollars(self.spent.microdollars),
            duration(self.spent.wall_milliseconds / 1000),
            count(self.context),
            self.state,
            if self.tool.is_empty() {
                "-"
            } else {
                &self.tool
            },
        )
    }

    fn json(&self) -> String {
        json!({
            "state": self.state,
            "turn": self.turn,
            "tokens": self.spent.tokens,
            "dollars": self.spent.microdollars as f64 / 1e6,
            "possible_dollars": self.spent.possible_microdollars as f64 / 1e6,
            "seconds": self.spent.wall_milliseconds / 1000,
            "context": self.context,
            "passed": self.tests.map(|(passed, _)| passed),
            "total": self.tests.map(|(_, total)| total),
            "tool": self.tool,
        })
        .to_string()
    }
}

pub(crate) fn run(context: &Context, arguments: &WatchArgs) -> Answer {
    let directory = context.run_directory(&arguments.run)?;
    let store = Store::open(&directory, Known::nothing());
    let index = Index::of(&directory)?;
    let mut standing = Standing::default();
    // What was before the last call is in its sums.
    let from = index
        .last("call")
        .or_else(|| index.last("tool-call"))
        .unwrap_or(1);
    for kind in ["evaluate", "reply"] {
        if let Some(seq) = index.last(kind).filter(|seq| *seq < from) {
            index.each(seq, seq, &mut |entry| {
                standing.take(&store, &entry.event);
                false
            })?;
        }
    }
    let mut reader = index.reader(&directory, from)?;
    let in_place = std::io::stderr().is_terminal() && !arguments.json && !arguments.once;
    let mut shown = None;
    let mut ended = false;
    loop {
        for entry in &mut reader {
            let entry = entry?;
            standing.work.see(&entry);
            standing.take(&store, &entry.event);
            if standing.work.is_person() {
                standing.spent.wall_milliseconds = standing.work.milliseconds;
            }
        }
        if shown.as_ref() != Some(&standing) && !arguments.once {
            if arguments.json {
                terminal::line(&standing.json());
            } else if in_place {
                terminal::in_place(&standing.line());
            } else {
                terminal::line(&standing.line());
            }
            shown = Some(standing.clone());
        }
        // What was written between the last look at the journal and the end is read before this ends.
        if arguments.once || context.is_interrupted() || ended {
            break;
        }
        std::thread::sleep(LOOK);
        ended = !run::is_open(&directory);
    }
    if in_place {
        terminal::note("");
    }
    if arguments.once {
        terminal::line(&if arguments.json {
            standing.json()
        } else {
            standing.line()
        });
    }
    if context.is_interrupted() {
        return Ok(exit::INTERRUPTED);
    }
    Ok(exit::DONE)
}
