//! A worker: takes up one attempt, brings it as far as it can, and leaves word of how far that was.

use std::path::Path;

use agent::scaffold::Finish;
use campaign::{Account, Attempt, End, Fault, Outcome, Plan};
use model::Kind;
use run::Manner;

use crate::attempt;
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::gates::{Closed, Gates, Terms};
use crate::run::{Ended, judge, judge_left};
use crate::terminal;

/// What came of an attempt.
struct Result {
    end: End,
    fault: Option<Fault>,
    message: String,
    ended: Option<Ended>,
}

impl Result {
    fn of(ended: Ended, closed: Option<Closed>) -> Self {
        let (end, fault, message) = match (&ended.finish, closed) {
            (Finish::Submitted, _) => (End::Submitted, None, String::new()),
            (Finish::Left, _) => (End::Left, None, String::new()),
            (Finish::Budget(name), _) => (End::Budget, None, (*name).to_owned()),
            (Finish::Stopped, Some(Closed::Limits(why))) => (End::Broken, Some(Fault::Limits), why),
            (Finish::Stopped, Some(Closed::Machine(why))) => {
                (End::Broken, Some(Fault::Machine), why)
            }
            (Finish::Stopped, _) => (End::Stopped, None, String::new()),
            (Finish::Failed(failure), _) => {
                let (end, fault) = match failure.kind {
                    Kind::Filtered | Kind::ContextOverflow => (End::Failed, None),
                    Kind::Authentication
                    | Kind::OutOfQuota
                    | Kind::NotFound
                    | Kind::BadRequest
                    | Kind::Exhausted
                    | Kind::Diverged => (End::Broken, Some(Fault::Setup)),
                    _ => (End::Broken, Some(Fault::Provider)),
                };
                (end, fault, failure.to_string())
            }
            (Finish::Crashed(what), _) => (End::Broken, Some(Fault::Agent), what.clone()),
        };
        Result {
            end,
            fault,
            message,
            ended: Some(ended),
        }
    }

    fn failed(failure: Failure, ended: Option<Ended>) -> Self {
        let (end, fault) = match failure.code {
            exit::INTERRUPTED => (End::Stopped, None),
            exit::OUTSIDE => (End::Broken, Some(Fault::Provider)),
            exit::USAGE => (End::Broken, Some(Fault::Setup)),
            _ => (End::Broken, Some(Fault::Machine)),
        };
        Result {
            end,
            fault,
            message: failure.message,
            ended,
        }
    }
}

/// Works on an attempt of the campaign in `directory`; `take`s it from whoever has it.
pub(super) fn work(context: &Context, directory: &Path, id: &str, take: bool) -> Answer {
    let plan = Plan::read(directory)?;
    let attempt = plan
        .attempt(id)
        .ok_or_else(|| Failure::usage(format!("{} has no attempt {id}", directory.display())))?;
    if directory.join(super::STOP).exists() {
        return Err(Failure::new(exit::INTERRUPTED, "the campaign is stopped"));
    }
    let run = context.runs().join(id);
    let before = Outcome::read(&run)?;
    if before.as_ref().is_some_and(|left| left.end.is_final()) {
        return Ok(exit::DONE);
    }
    let provider = plan.provider(attempt);
    let gates = match plan.limits.get(provider) {
        Some(limits) => {
            let path = Plan::account(directory, provider);
            Gates::limited(Account::open(&path, *limits, id)?)
        }
        None => Gates::open(),
    };
    let manner = if take { Manner::Take } else { Manner::Polite };
    let terms = Terms {
        jobs: plan.resources.cores.into(),
        gates: &gates,
    };
    let way = super::way(&plan, attempt)?;
    let taken_up = attempt::take_up(
        context,
        (id, &attempt.task),
        &way,
        attempt.budget,
        manner,
        terms,
    );
    // Whoever lost the run says nothing about it: another one has it now.
    if let Some(why) = gates.lost() {
        return Err(Failure::new(exit::MACHINE, why));
    }
    let result = match taken_up {
        Ok(ended) => judged(context, &plan, Result::of(ended, gates.closed())),
        Err(failure) if failure.elsewhere => return Err(failure),
        Err(failure) => Result::failed(failure, None),
    };
    leave(&run, attempt, before, result)
}

/// Scores what is over.
fn judged(context: &Context, plan: &Plan, result: Result) -> Result {
    let jobs = Some(plan.resources.cores);
    let Some(ended) = result.ended else {
        return result;
    };
    let (finish, spent) = (ended.finish.clone(), ended.spent);
    let (run, task) = (ended.directory.clone(), ended.task.clone());
    let judged = match result.end {
        // A model that would not go on is held to what it left.
        End::Failed => judge_left(context, ended, false, jobs),
        _ => judge(context, ended, false, false, jobs),
    };
    match judged {
        Ok(ended) => Result {
            ended: Some(ended),
            ..result
        },
        Err(failure) => {
            let ended = Ended {
                directory: run,
                task,
                finish,
                spent,
                solved: None,
            };
            let message = format!("scoring: {}", failure.message);
            Result::failed(Failure::new(failure.code, message), Some(ended))
        }
    }
}

/// Leaves word of an attempt.
fn leave(run: &Path, attempt: &Attempt, before: Option<Outcome>, result: Result) -> Answer {
    let spent = result.ended.as_ref().map(|ended| ended.spent);
    let of = |new: fn(&agent::event::Spent) -> u64, old: fn(&Outcome) -> u64| {
        let old = before.as_ref().map_or(0, old);
        spent.as_ref().map_or(old, new)
    };
    let outcome = Outcome {
        id: attempt.id.clone(),
        task: attempt.task.clone(),
        end: result.end,
        fault: result.fault,
        message: result.message,
        breaks: before.as_ref().map_or(0, |left| left.breaks)
            + u32::from(result.end == End::Broken),
        turns: of(|spent| spent.turns, |left| left.turns),
        tokens: of(|spent| spent.tokens, |left| left.tokens),
        microdollars: of(|spent| spent.microdollars, |left| left.microdollars),
        solved: result.ended.as_ref().and_then(|ended| ended.solved),
    };
    if run.is_dir() {
        outcome.write(run)?;
    }
    let text = format!("{}: {}", outcome.id, outcome.end.word());
    match outcome.end {
        End::Stopped => Err(Failure::new(exit::INTERRUPTED, text)),
        End::Broken => Err(Failure::new(
            exit::OUTSIDE,
            format!("{text}: {}", outcome.message),
        )),
        _ => {
            terminal::line(&text);
            Ok(exit::DONE)
        }
    }
}
