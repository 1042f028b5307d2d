//! `mirrorcode score RUN --curve`: how a run came along, instant by instant.

use std::path::Path;

use agent::event::{Event, Purpose, Spent, TreeHash};
use agent::scaffold::{count, dollars};
use score::Count;
use serde_json::json;

use crate::args::ScoreArgs;
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::{score as scoring, terminal};

/// A state of the workspace, and when it was so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant {
    /// Turn that left it so; in a run without turns, command.
    pub(crate) turn: u64,
    /// Last turn of the run, as far as it is known.
    pub(crate) end: u64,
    /// What was spent before the turn.
    spent: Spent,
    pub(crate) tree: TreeHash,
}

/// Every state that the workspace was in after a turn, oldest first.
pub(crate) fn instants(run: &Path) -> Result<Vec<Instant>, Failure> {
    let mut instants: Vec<Instant> = Vec::new();
    let (mut turn, mut spent, mut turns) = (0, Spent::default(), false);
    for entry in run::read(run)? {
        match entry?.event {
            Event::Call {
                turn: of,
                purpose: Purpose::Turn,
                spent: before,
                ..
            } => {
                turns = true;
                turn = of;
                spent = before;
            }
            Event::ToolCall {
                number,
                spent: before,
                ..
            } => {
                turns = true;
                turn = number;
                spent = before;
            }
            Event::Command { number, .. } if !turns => turn = number,
            Event::Workspace { tree, .. } | Event::Submit { tree } => {
                let instant = Instant {
                    turn,
                    end: 0,
                    spent,
                    tree,
                };
                match instants.last_mut() {
                    Some(last) if last.tree == tree => {}
                    // Several commands of one turn.
                    Some(last) if last.turn == turn => *last = instant,
                    _ => instants.push(instant),
                }
            }
            _ => {}
        }
    }
    for instant in &mut instants {
        instant.end = turn;
    }
    Ok(instants)
}

/// Up to `most` of them, evenly, the last among them.
fn thin(instants: &[Instant], most: usize) -> Vec<Instant> {
    let all = instants.len();
    if all <= most {
        return instants.to_vec();
    }
    (1..=most)
        .map(|point| instants[point * all / most - 1])
        .collect()
}

fn rate(count: Count) -> String {
    format!("{}/{}", count.passed, count.total)
}

pub(crate) fn run(context: &Context, arguments: &ScoreArgs, points: u16) -> Answer {
    let given = arguments.submission.as_deref().unwrap_or(Path::new(""));
    let directory = context.run_directory(&given.to_string_lossy())?;
    let instants = thin(&instants(&directory)?, points.into());
    if instants.is_empty() {
        return Err(Failure::usage(format!(
            "{}: the run has no workspace to score yet",
            directory.display()
        )));
    }
    let mut rows = Vec::new();
    let mut table = terminal::table(&["turn", "tokens", "cost", "visible", "hidden"]);
    let mut solved = false;
    for instant in &instants {
        let scored = scoring::score(
            context,
            &ScoreArgs {
                at: Some(instant.turn),
                submission: Some(directory.clone()),
                curve: None,
                ..arguments.clone()
            },
        )?;
        let verdict = &scored.verdict;
        solved = verdict.solved;
        rows.push(json!({
            "turn": instant.turn,
            "tokens": instant.spent.tokens,
            "dollars": instant.spent.microdollars as f64 / 1e6,
            "seconds": instant.spent.wall_milliseconds as f64 / 1e3,
            "visible": { "passed": verdict.visible.passed, "total": verdict.visible.total },
            "hidden": { "passed": verdict.hidden.passed, "total": verdict.hidden.total },
            "solved": solved,
        }));
        table.add_row([
            instant.turn.to_string(),
            count(instant.spent.tokens),
            dollars(instant.spent.microdollars),
            rate(verdict.visible),
            rate(verdict.hidden),
        ]);
    }
    if arguments.json {
        terminal::json(&rows);
    } else {
        terminal::print_table(&table);
    }
    Ok(if solved { exit::DONE } else { exit::NO })
}
