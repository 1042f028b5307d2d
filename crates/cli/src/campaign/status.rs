//! `mirrorcode campaign status`: how far a campaign is.

use std::collections::BTreeMap;

use agent::scaffold::{count, dollars};
use campaign::{Account, Attempt, Counts, Limits, Plan, Progress};
use serde_json::{Value, json};

use super::StatusArgs;
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::terminal;

/// What the attempts of one model and agent came to.
#[derive(Default)]
struct Row {
    attempts: usize,
    done: usize,
    solved: usize,
    working: usize,
    tokens: u64,
    microdollars: u64,
}

/// The middle of an attempt's name: what the model and the agent are called.
fn label(attempt: &Attempt) -> &str {
    let mut parts = attempt.id.rsplit('.');
    parts.next();
    parts.next().unwrap_or_default()
}

fn word(progress: &Progress) -> &'static str {
    match progress {
        Progress::Missing => "missing",
        Progress::Working => "working",
        Progress::Cut => "cut-off",
        Progress::Left(outcome) => outcome.end.word(),
    }
}

fn account(
    context: &Context,
    plan: &Plan,
    provider: &str,
    limits: &Limits,
) -> Result<Value, Failure> {
    let path = Plan::account(&Plan::directory(context.runs(), &plan.name), provider);
    let state = match path.is_dir() {
        true => Account::open(&path, *limits, "status")?.state()?,
        false => Default::default(),
    };
    Ok(json!({
        "provider": provider,
        "requests": state.requests,
        "tokens": state.tokens,
        "dollars": state.microdollars as f64 / 1e6,
        "limits": {
            "requests_per_minute": limits.requests_per_minute,
            "tokens_per_minute": limits.tokens_per_minute,
            "tokens": limits.tokens,
            "dollars": limits.microdollars.map(|limit| limit as f64 / 1e6),
        },
    }))
}

pub(super) fn show(context: &Context, arguments: &StatusArgs) -> Answer {
    let plan = super::plan_of(context, &arguments.campaign)?;
    let (counts, all) = Counts::of(&plan, context.runs())?;
    let accounts = plan
        .limits
        .iter()
        .map(|(provider, limits)| account(context, &plan, provider, limits))
        .collect::<Result<Vec<_>, _>>()?;
    if arguments.json {
        let attempts: Vec<Value> = plan
            .attempts
            .iter()
            .zip(&all)
            .map(|(attempt, progress)| {
                let outcome = match progress {
                    Progress::Left(outcome) => Some(outcome),
                    _ => None,
                };
                json!({ "id": attempt.id, "task": attempt.task, "state": word(progress), "outcome": outcome })
            })
            .collect();
        terminal::json(&json!({
            "campaign": plan.name,
            "counts": counts,
            "providers": accounts,
            "attempts": attempts,
        }));
        return Ok(exit::DONE);
    }
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for (attempt, progress) in plan.attempts.iter().zip(&all) {
        let row = rows.entry(label(attempt)).or_default();
        row.attempts += 1;
        row.working += usize::from(*progress == Progress::Working);
        if let Progress::Left(outcome) = progress {
            row.done += usize::from(outcome.end.is_final());
            row.solved += usize::from(outcome.solved == Some(true));
            row.tokens += outcome.tokens;
            row.microdollars += outcome.microdollars;
        }
    }
    let mut table = terminal::table(&[
        "model", "attempts", "done", "solved", "working", "tokens", "dollars",
    ]);
    for (label, row) in rows {
        table.add_row([
            label.to_owned(),
            row.attempts.to_string(),
            row.done.to_string(),
            row.solved.to_string(),
            row.working.to_string(),
            count(row.tokens),
            dollars(row.microdollars),
        ]);
    }
    terminal::print_table(&table);
    for account in &accounts {
        let limit = |name: &str| match &account["limits"][name] {
            Value::Null => "no limit".to_owned(),
            limit => limit.to_string(),
        };
        terminal::line(&format!(
            "{}: {} requests, {} tokens of {}, ${:.2} of {}, spent or reserved",
            account["provider"].as_str().unwrap_or_default(),
            account["requests"],
            account["tokens"],
            limit("tokens"),
            account["dollars"].as_f64().unwrap_or_default(),
            limit("dollars"),
        ));
    }
    for (attempt, progress) in plan.attempts.iter().zip(&all) {
        if let Progress::Left(outcome) = progress
            && !outcome.message.is_empty()
            && !outcome.end.is_final()
        {
            terminal::line(&format!(
                "{}: {}: {}",
                attempt.id,
                outcome.end.word(),
                outcome.message
            ));
        }
    }
    terminal::line(&super::line(&counts));
    Ok(exit::DONE)
}
