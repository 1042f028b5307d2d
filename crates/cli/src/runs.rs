//! `mirrorcode runs`: what runs there are, and what happened in one.

use agent::event::{Event, Reason};
use serde_json::json;

use crate::args::RunsArgs;
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::terminal;

/// What a journal comes to.
#[derive(Default)]
struct Facts {
    commands: u64,
    oracle_calls: u64,
    evaluations: u64,
    best: Option<(u64, u64)>,
    milliseconds: u64,
    state: &'static str,
}

fn facts(directory: &std::path::Path) -> Result<Facts, Failure> {
    let mut facts = Facts {
        state: "open",
        ..Facts::default()
    };
    for entry in run::read(directory)? {
        match entry?.event {
            Event::Command { .. } => facts.commands += 1,
            Event::Result { milliseconds, .. } => facts.milliseconds += milliseconds,
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
                }
            }
            Event::Attach { .. } => facts.state = "open",
            _ => {}
        }
    }
    Ok(facts)
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
    })
}

pub(crate) fn run(context: &Context, arguments: &RunsArgs) -> Answer {
    if let Some(run) = &arguments.run {
        let directory = context.run_directory(run)?;
        return one(&directory, arguments.json);
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
        "oracle calls",
        "best evaluation",
    ]);
    for (id, task, facts) in &rows {
        table.add_row([
            id.clone(),
            task.clone(),
            facts.state.to_owned(),
            facts.commands.to_string(),
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

fn one(directory: &std::path::Path, as_json: bool) -> Answer {
    let entries = run::read(directory)?;
    let (id, task) = (entries.header().id.clone(), entries.header().task.clone());
    if as_json {
        terminal::json(&row(&id, &task, &facts(directory)?));
        return Ok(exit::DONE);
    }
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
            _ => continue,
        };
        terminal::line(&text);
    }
    let facts = facts(directory)?;
    terminal::line(&format!(
        "\n{id}: {task}, {}, {} commands, {} oracle calls, {} evaluations",
        facts.state, facts.commands, facts.oracle_calls, facts.evaluations
    ));
    Ok(exit::DONE)
}
