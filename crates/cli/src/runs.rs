//! `mirrorcode runs`: what runs there are, and what happened in one.

use std::collections::BTreeMap;
use std::path::Path;

use agent::event::{Content, Estimate, Event, Reason, Spent};
use agent::scaffold::{add_answer, add_failure, add_unanswered, count, dollars};
use serde_json::json;

use crate::args::RunsArgs;
use crate::compare::{self, Work};
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::terminal;

/// What a journal comes to.
#[derive(Default)]
pub(crate) struct Facts {
    commands: u64,
    oracle_calls: u64,
    evaluations: u64,
    best: Option<(u64, u64)>,
    milliseconds: u64,
    pub(crate) state: &'static str,
    model: Option<String>,
    turns: u64,
    contexts: u64,
    pub(crate) spent: Spent,
    waiting: Option<Estimate>,
    pub(crate) work: Work,
}

pub(crate) fn facts(directory: &Path) -> Result<Facts, Failure> {
    let mut facts = Facts {
        state: "open",
        ..Facts::default()
    };
    for entry in run::read(directory)? {
        let entry = entry?;
        facts.work.see(&entry);
        match entry.event {
            Event::Command { .. } => facts.commands += 1,
            Event::ToolCall { number, .. } => facts.turns = number,
            Event::Result { milliseconds, .. } => {
                facts.milliseconds = facts.milliseconds.saturating_add(milliseconds);
            }
            Event::Oracle { .. } => facts.oracle_calls += 1,
            Event::Evaluate {
                cases_passed,
                cases_total,
                ..
            } => {
                facts.evaluations += 1;
                if facts.best.is_none_or(|(passed, _)| cases_passed > passed) {
                    facts.best = Some((cases_passed, cases_total));
                }
            }
            Event::Submit { .. } => facts.state = "submitted",
            Event::End { reason } if facts.state != "submitted" => {
                facts.state = match reason {
                    Reason::Submitted => "submitted",
                    Reason::Left => "left",
                    Reason::Stopped => "stopped",
                    Reason::Failed(_) => "failed",
                    Reason::Budget(_) => "budget",
                }
            }
            Event::Attach { .. } => facts.state = "open",
            Event::Start { options, .. } => facts.model = options.get("model").cloned(),
            Event::Context { .. } => facts.contexts += 1,
            Event::Call {
                spent, estimate, ..
            } => {
                facts.turns = spent.turns;
                facts.spent = spent;
                facts.waiting = Some(estimate);
            }
            Event::Reply {
                usage,
                attempts,
                microdollars,
                ..
            } => {
                facts.turns = facts.turns.saturating_add(1);
                let estimate = facts.waiting.take().unwrap_or_default();
                add_answer(&mut facts.spent, &usage, &attempts, microdollars, &estimate);
            }
            Event::CallFailed {
                failure,
                microdollars,
                ..
            } => {
                let estimate = facts.waiting.take().unwrap_or_default();
                add_failure(&mut facts.spent, &failure, microdollars, &estimate);
            }
            Event::Unanswered { .. } => facts.unanswered(),
            _ => {}
        }
    }
    if facts.state == "open" && !run::is_open(directory) {
        facts.state = "cut-off";
        facts.unanswered();
    }
    Ok(facts)
}

impl Facts {
    /// The answer to the last call never came: it may have cost what was estimated.
    fn unanswered(&mut self) {
        if let Some(estimate) = self.waiting.take() {
            add_unanswered(&mut self.spent, &estimate);
        }
    }
}

/// The options that a run was begun with.
pub(crate) fn options(directory: &Path) -> Result<BTreeMap<String, String>, Failure> {
    for entry in run::read(directory)? {
        if let Event::Start { options, .. } = entry?.event {
            return Ok(options);
        }
    }
    Err(Failure::usage(format!(
        "{}: the run was cut off before it began, and holds nothing; begin it again with `mirrorcode run`",
        directory.display()
    )))
}

fn row(id: &str, task: &str, facts: &Facts) -> serde_json::Value {
    json!({
        "id": id,
        "task": task,
        "state": facts.state,
        "commands": facts.commands,
        "oracle_calls": facts.oracle_calls,
        "evaluations": facts.evaluations,
        "best": facts.best.map(|(passed, total)| json!({ "passed": passed, "total": total })),
        "command_seconds": facts.milliseconds as f64 / 1000.0,
        "model": facts.model,
        "turns": facts.turns,
        "contexts": facts.contexts,
        "tokens": facts.spent.tokens,
        "dollars": facts.spent.microdollars as f64 / 1e6,
        "possible_dollars": facts.spent.possible_microdollars as f64 / 1e6,
        "who": facts.work.who(),
        "seconds": facts.work.milliseconds as f64 / 1000.0,
    })
}

pub(crate) fn run(context: &Context, arguments: &RunsArgs) -> Answer {
    if let Some(run) = &arguments.run {
        return show(context, run, arguments.json);
    }
    let listed = run::list(context.runs())?;
    let mut rows = Vec::new();
    for listed in &listed {
        match &listed.header {
            Ok(header) => rows.push((header.id.clone(), header.task.clone(), facts(&listed.dir)?)),
            Err(error) => terminal::note(&format!("{error}")),
        }
    }
    if arguments.json {
        terminal::json(
            &rows
                .iter()
                .map(|(id, task, facts)| row(id, task, facts))
                .collect::<Vec<_>>(),
        );
        return Ok(exit::DONE);
    }
    let mut table = terminal::table(&[
        "run",
        "task",
        "state",
        "commands",
        "turns",
        "dollars",
        "oracle calls",
        "best evaluation",
    ]);
    for (id, task, facts) in &rows {
        table.add_row([
            id.clone(),
            task.clone(),
            facts.state.to_owned(),
            facts.commands.to_string(),
            if facts.turns > 0 {
                facts.turns.to_string()
            } else {
                "-".to_owned()
            },
            if facts.model.is_some() {
                dollars(facts.spent.microdollars)
            } else {
                "-".to_owned()
            },
            facts.oracle_calls.to_string(),
            facts.best.map_or_else(
                || "-".to_owned(),
                |(passed, total)| format!("{passed}/{total}"),
            ),
        ]);
    }
    terminal::print_table(&table);
    Ok(exit::DONE)
}

/// What happened in one run.
pub(crate) fn show(context: &Context, run: &str, as_json: bool) -> Answer {
    let directory = &context.run_directory(run)?;
    let entries = run::read(directory)?;
    let (id, task) = (entries.header().id.clone(), entries.header().task.clone());
    if as_json {
        let mut row = row(&id, &task, &facts(directory)?);
        row["runs_of_task"] = compare::json(context, &task, directory)?;
        terminal::json(&row);
        return Ok(exit::DONE);
    }
    let mut turn = 0;
    for entry in entries {
        let entry = entry?;
        let text = match &entry.event {
            Event::Command { number, script, .. } => {
                format!(
                    "{number:>4} $ {}",
                    String::from_utf8_lossy(&script.0)
                        .lines()
                        .next()
                        .unwrap_or_default()
                )
            }
            Event::Result {
                ending,
                milliseconds,
                stdout,
                stderr,
                ..
            } => {
                format!(
                    "       {ending:?} in {milliseconds} ms, {} bytes out, {} bytes error",
                    stdout.bytes(),
                    stderr.bytes()
                )
            }
            Event::Evaluate {
                cases_passed,
                cases_total,
                ..
            } => format!("       evaluate: {cases_passed}/{cases_total}"),
            Event::Submit { tree } => format!("     submit {tree}"),
            Event::Reply {
                usage,
                microdollars,
                ..
            } => {
                turn += 1;
                format!(
                    "answer {turn}: {} tokens sent, {} answered, {}",
                    usage.request(),
                    usage.output,
                    dollars(*microdollars)
                )
            }
            Event::CallFailed { failure, .. } => format!("       no answer: {failure}"),
            Event::Refused {
                place,
                reason,
                what,
            } => format!("       refused ({reason}): {place}: {what}"),
            Event::Unanswered { call } => {
                format!("       call {call} was cut off; it counts as possible spend")
            }
            Event::Context {
                number,
                why,
                dropped,
                cleared,
                before_tokens,
                after_tokens,
                ..
            } if *number > 1 => format!(
                "       context {number} ({why:?}): {before_tokens} tokens become {after_tokens}; {} stretches dropped, {} results \
                 cleared",
                dropped.len(),
                cleared.len()
            ),
            Event::Edit { number, .. } => format!("{number:>4} edit"),
            Event::Client {
                name,
                version,
                transport,
            } => format!("       {name} {version} over {transport}"),
            Event::ToolCall { number, name, .. } => format!("call {number}: {name}"),
            Event::Note {
                text: Content::Inline(text),
            } => format!("       note: {text}"),
            Event::Pause => "       pause".to_owned(),
            Event::Continue => "       goes on".to_owned(),
            Event::Attach { process, .. } => format!("       attached by process {process}"),
            Event::End { reason } => format!("       end: {reason:?}"),
            _ => continue,
        };
        terminal::line(&text);
    }
    let facts = facts(directory)?;
    terminal::line(&format!(
        "\n{id}: {task}, {}, {} commands, {} oracle calls, {} evaluations",
        facts.state, facts.commands, facts.oracle_calls, facts.evaluations
    ));
    if let Some(model) = &facts.model {
        terminal::line(&format!(
            "{model}: {} answers, {} contexts, {} tokens, {}, possibly {} more",
            facts.turns,
            facts.contexts,
            count(facts.spent.tokens),
            dollars(facts.spent.microdollars),
            dollars(facts.spent.possible_microdollars)
        ));
    }
    compare::show(context, &task, directory, &id)?;
    Ok(exit::DONE)
}
