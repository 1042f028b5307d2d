//! `mirrorcode run` and `mirrorcode resume`: models at work on tasks.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent::event::{Agent, Budget, Reason, Spent};
use agent::gate;
use agent::scaffold::{self, Brief, Finish, Parts, Progress as Step, Start, Steering, Workbench};
use model::Kind;
use run::{Control, OpenedRun, Wish};
use serde_json::json;

use crate::args::{ResumeArgs, RunArgs, RunCommand, ScoreArgs};
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::external::External;
use crate::gates::{Gates, Terms};
use crate::plan::{self, Plan};
use crate::ready::{Place, Ready};
use crate::{agents, attempt, choose, mcp, models, orders, outside, runs, score, shell, terminal};

/// How often what is said to a run is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How often a run says on standard error where it stands.
pub(crate) const SAY: Duration = Duration::from_secs(20);

/// What a session of a run came to.
pub(crate) struct Ended {
    pub(crate) directory: PathBuf,
    pub(crate) task: String,
    pub(crate) finish: Finish,
    pub(crate) spent: Spent,
    pub(crate) solved: Option<bool>,
}

pub(crate) fn run(context: &Context, arguments: &RunArgs) -> Answer {
    match &arguments.command {
        None => begin_all(context, arguments),
        Some(RunCommand::Show(show)) => runs::show(context, &show.run, show.json),
        Some(RunCommand::Resume(resume)) => self::resume(context, resume),
        Some(RunCommand::Stop { run }) => orders::stop(context, run),
        Some(RunCommand::Pause { run }) => orders::pause(context, run, true),
        Some(RunCommand::Continue { run }) => orders::pause(context, run, false),
        Some(RunCommand::Limit { run, limits }) => orders::limit(context, run, limits),
    }
}

fn begin_all(context: &Context, arguments: &RunArgs) -> Answer {
    let tasks = choose::tasks(context, &arguments.tasks, &arguments.language)?;
    let name = arguments.model.as_deref().unwrap_or_default();
    let mut plan = match name.strip_prefix("replay:") {
        // Answers fit the questions only if contexts are cut as they were.
        Some(run) => {
            let options = runs::options(&context.run_directory(run)?)?;
            Plan::read(&options)?
        }
        None => Plan::new(String::new()),
    };
    plan.model = models::absolute(context, name)?;
    plan.rootfs = match &arguments.rootfs {
        None => None,
        Some(dir) => {
            let dir = std::fs::canonicalize(dir).map_err(|error| Failure::io(dir, &error))?;
            Some(dir.display().to_string())
        }
    };
    plan.change(&arguments.how)?;
    plan.agent = arguments
        .agent
        .as_deref()
        .map(agents::absolute)
        .transpose()?;
    plan.agent_command.clone_from(&arguments.agent_command);
    plan.aliases.clone_from(&arguments.alias);
    let limits = plan::limits(Budget::default(), &arguments.limits);
    // Whatever is wrong with the model's name is found before anything is built.
    match External::read(&plan)? {
        Some(external) => external.check(&plan, &limits)?,
        None => check_price(
            &models::open(context, &plan, 0, Arc::new(gate::Open))?,
            &limits,
        )?,
    }
    let queue: VecDeque<String> = tasks
        .iter()
        .flat_map(|task| std::iter::repeat_n(task.clone(), arguments.attempts as usize))
        .collect();
    let single = queue.len() == 1;
    let parallel = usize::from(arguments.parallel).min(queue.len()).max(1);
    let jobs = (context.jobs() / parallel).max(1);
    let gates = Gates::open();
    let terms = Terms {
        jobs,
        gates: &gates,
    };
    let queue = Mutex::new(queue);
    let ended = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..parallel {
            scope.spawn(|| {
                loop {
                    let next = lock(&queue).pop_front();
                    let Some(task) = next.filter(|_| !context.is_interrupted()) else {
                        return;
                    };
                    let began =
                        attempt::begin(context, &task, &plan, limits, terms).and_then(|ended| {
                            judge(
                                context,
                                ended,
                                arguments.no_score,
                                single && !arguments.json,
                                None,
                            )
                        });
                    if let Err(failure) = &began
                        && !single
                    {
                        terminal::note(&format!("{task}: {}", failure.message));
                    }
                    lock(&ended).push((task, began));
                }
            });
        }
    });
    let ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
    report(context, ended, arguments.json, single)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn check_price(opened: &models::Opened, limits: &Budget) -> Result<(), Failure> {
    match &opened.unpriced {
        Some(reason) if limits.microdollars.is_some() => Err(Failure::usage(format!(
            "{reason}: see --prices and --token-limit"
        ))),
        _ => Ok(()),
    }
}

pub(crate) fn resume(context: &Context, arguments: &ResumeArgs) -> Answer {
    let directory = context.run_directory(&arguments.run)?;
    let beginning = outside::beginning(&directory)?;
    match beginning.agent {
        Agent::Client => {
            return mcp::resume(context, &directory, &arguments.limits, !arguments.no_score);
        }
        Agent::Person => return shell::resume(context, &directory, &arguments.limits),
        Agent::Model | Agent::Program | Agent::Replay => {}
    }
    let mut plan = Plan::read(&beginning.options)?;
    if let Some(name) = &arguments.model {
        plan.model = models::absolute(context, name)?;
    }
    plan.change(&arguments.how)?;
    let gates = Gates::open();
    let terms = Terms {
        jobs: context.jobs(),
        gates: &gates,
    };
    let ended = attempt::go_on(context, &directory, &plan, &arguments.limits, terms)
        .and_then(|ended| judge(context, ended, arguments.no_score, !arguments.json, None))?;
    let task = ended.task.clone();
    report(context, vec![(task, Ok(ended))], arguments.json, true)
}

/// Works on a run until it ends, and records why.
pub(crate) fn work(
    context: &Context,
    ready: &Ready,
    directory: &Path,
    mut opened: OpenedRun,
    start: Start,
    plan: &Plan,
    terms: Terms<'_>,
) -> Result<Ended, Failure> {
    let said = Control::read(directory)?;
    let (replies, number, cwd, mut spent, held) = match &start {
        Start::New(limits) => (
            0,
            0,
            PathBuf::from(agent::WORKSPACE),
            Spent::default(),
            *limits,
        ),
        Start::Again { past, .. } => (
            past.replies(),
            past.number(),
            past.directory().to_owned(),
            past.spent(),
            past.limits(),
        ),
    };
    let limits = said.limits.unwrap_or(held);
    let steering = Arc::new(Steering::default());
    let right = opened.run.right();
    let gate = terms.gates.gate(&right, &steering);
    let model = models::open(context, plan, replies, gate)?;
    check_price(&model, &limits)?;
    let id = opened.run.journal().header().id.clone();
    opened.run.hide(models::secrets(plan));
    opened.run.keep_history(&opened.index);
    obey(&steering, said);
    let stop = steering.stop_flag();
    let place = Place {
        directory,
        number,
        cwd,
        command_limit: plan.command_limit,
        jobs: terms.jobs,
        stop: &stop,
        port: None,
        program: None,
    };
    let (ledger, mut session) = ready.attach(&place, opened.run)?;
    let readme = directory.join("task/README.md");
    let readme = std::fs::read_to_string(&readme).map_err(|error| Failure::io(&readme, &error))?;
    let brief = Brief {
        command: &ready.target.spec.reference.command,
        language: &ready.language.name,
        readme: &readme,
        budget: &plan::words(&limits),
        command_seconds: plan.command_limit,
    };
    let mut shown = Instant::now();
    let over = AtomicBool::new(false);
    let finish = std::thread::scope(|scope| {
        scope.spawn(|| follow(context, directory, (&steering, &right), said, &over));
        let limit = Duration::from_secs(plan.command_limit);
        let evaluated = ledger.clone();
        let finish = scaffold::work(
            Parts {
                options: plan.options(&id, brief.system(), model.window),
                model: model.model,
                tariff: model.tariff,
                ledger: ledger.clone(),
                steering: Arc::clone(&steering),
                tools: &mut Workbench::new(&mut session, limit),
                progress: &mut |step: &Step<'_>| {
                    spent = step.spent;
                    if shown.elapsed() > SAY {
                        shown = Instant::now();
                        let line = standing(&step.spent, evaluated.evaluated());
                        let tools = match step.tools.join(", ") {
                            tools if tools.is_empty() => "no tool".to_owned(),
                            tools => tools,
                        };
                        let context = scaffold::count(step.context);
                        terminal::note(&format!("{id}: {line}, context {context}, {tools}"));
                    }
                },
            },
            start,
        );
        over.store(true, Ordering::Relaxed);
        finish
    });
    let closed = session.close(reason(finish.as_ref()));
    let finish = finish?;
    closed?;
    Ok(Ended {
        directory: directory.to_owned(),
        task: ready.task(),
        finish,
        spent,
        solved: None,
    })
}

/// How a session ended, for its record.
pub(crate) fn reason(finish: Result<&Finish, &agent::Error>) -> Reason {
    match finish {
        Ok(Finish::Submitted) => Reason::Submitted,
        Ok(Finish::Left) => Reason::Left,
        Ok(Finish::Stopped) => Reason::Stopped,
        Ok(Finish::Budget(name)) => Reason::Budget((*name).to_owned()),
        Ok(Finish::Failed(failure)) => Reason::Failed(failure.to_string()),
        Ok(Finish::Crashed(what)) => Reason::Failed(what.clone()),
        Err(error) => Reason::Failed(error.to_string()),
    }
}

/// Does what is said to the run.
pub(crate) fn obey(steering: &Steering, said: Control) {
    if let Some(limits) = said.limits {
        steering.limit(limits);
    }
    steering.pause(said.wish == Wish::Pause);
    if said.wish == Wish::Stop {
        steering.stop();
    }
}

/// Hands on what is said to the run after `last`, until it is over.
pub(crate) fn follow(
    context: &Context,
    directory: &Path,
    (steering, right): (&Steering, &run::Right),
    mut last: Control,
    over: &AtomicBool,
) {
    let mut complained = false;
    while !over.load(Ordering::Relaxed) {
        // Whoever lost the run does nothing more to it, wherever it is.
        if context.is_interrupted() || right.check().is_err() {
            steering.stop();
        }
        match Control::read(directory) {
            Ok(control) if control != last => {
                obey(steering, control);
                last = control;
            }
            Ok(_) => {}
            Err(error) if !complained => {
                complained = true;
                terminal::note(&format!("{error}; what it says is not done"));
            }
            Err(_) => {}
        }
        // In steps, so that the end of the run is not waited for.
        let until = Instant::now() + LOOK;
        while Instant::now() < until && !over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

pub(crate) fn standing(spent: &Spent, evaluated: Option<(u64, u64)>) -> String {
    let tests = evaluated.map_or(String::new(), |(passed, total)| {
        format!(", {passed}/{total} tests")
    });
    format!(
        "turn {}, {} tokens, {}{tests}",
        spent.turns,
        scaffold::count(spent.tokens),
        scaffold::dollars(spent.microdollars),
    )
}

/// Scores what a run left, if it is over.
pub(crate) fn judge(
    context: &Context,
    ended: Ended,
    no_score: bool,
    show: bool,
    jobs: Option<u16>,
) -> Result<Ended, Failure> {
    let over = matches!(
        ended.finish,
        Finish::Submitted | Finish::Left | Finish::Budget(_)
    );
    if !over || no_score {
        return Ok(ended);
    }
    judge_left(context, ended, show, jobs)
}

/// Scores what a run left, with so many cases at the same time.
pub(crate) fn judge_left(
    context: &Context,
    mut ended: Ended,
    show: bool,
    jobs: Option<u16>,
) -> Result<Ended, Failure> {
    let arguments = ScoreArgs {
        task: ended.task.clone(),
        submission: Some(ended.directory.clone()),
        at: None,
        curve: None,
        prebuilt: None,
        rootfs: None,
        out: Some(ended.directory.clone()),
        jobs,
        again: false,
        reveal_hidden: false,
        json: false,
    };
    let scored = score::score(context, &arguments)?;
    if show {
        scored.show();
    }
    ended.solved = Some(scored.verdict.solved);
    Ok(ended)
}

impl Ended {
    fn id(&self) -> String {
        let name = self.directory.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// How it ended, in a word.
    fn word(&self) -> &'static str {
        match self.finish {
            Finish::Submitted => "submitted",
            Finish::Left => "left",
            Finish::Stopped => "stopped",
            Finish::Budget(_) => "budget",
            Finish::Failed(_) | Finish::Crashed(_) => "failed",
        }
    }

    fn line(&self) -> String {
        let how = match &self.finish {
            Finish::Budget(name) => format!("out of budget ({name})"),
            Finish::Failed(failure) => format!("failed: {failure}"),
            Finish::Crashed(what) => format!("the agent broke down: {what}"),
            _ => self.word().to_owned(),
        };
        let solved = match self.solved {
            Some(true) => ", solved",
            Some(false) => ", not solved",
            None => "",
        };
        format!(
            "{} {}: {how} after {} turns, {} tokens, {}{solved}",
            self.id(),
            self.task,
            self.spent.turns,
            scaffold::count(self.spent.tokens),
            scaffold::dollars(self.spent.microdollars),
        )
    }

    /// The failure that this is, if it can be gone on from.
    fn failure(&self) -> Option<Failure> {
        let hint = format!("`mirrorcode resume {}` goes on from here", self.id());
        match &self.finish {
            Finish::Stopped => Some(Failure::new(exit::INTERRUPTED, format!("stopped; {hint}"))),
            Finish::Failed(failure) => {
                let code = match failure.kind {
                    Kind::Authentication
                    | Kind::NotFound
                    | Kind::BadRequest
                    | Kind::Exhausted
                    | Kind::Diverged => exit::USAGE,
                    _ => exit::OUTSIDE,
                };
                Some(Failure::new(
                    code,
                    format!("the model does not answer: {failure}; {hint}"),
                ))
            }
            Finish::Crashed(what) => Some(Failure::new(
                exit::OUTSIDE,
                format!("the agent broke down: {what}; {hint}"),
            )),
            _ => None,
        }
    }
}

/// Says how runs ended, and gives the worst of it as the status.
fn report(
    context: &Context,
    ended: Vec<(String, Result<Ended, Failure>)>,
    as_json: bool,
    single: bool,
) -> Answer {
    let mut worst: Option<Failure> = None;
    let mut rows = Vec::new();
    let mut unsolved = false;
    for (task, ended) in ended {
        let failure = match ended {
            Ok(ended) => {
                unsolved |= ended.solved == Some(false);
                rows.push(json!({
                    "id": ended.id(),
                    "task": ended.task,
                    "end": ended.word(),
                    "turns": ended.spent.turns,
                    "tokens": ended.spent.tokens,
                    "dollars": ended.spent.microdollars as f64 / 1e6,
                    "solved": ended.solved,
                }));
                if !as_json {
                    terminal::line(&ended.line());
                }
                ended.failure()
            }
            Err(failure) => {
                rows.push(json!({ "task": task, "end": "error", "error": failure.message }));
                Some(failure)
            }
        };
        if let Some(failure) = failure {
            if !single {
                terminal::note(&format!("{task}: {}", failure.message));
            }
            if worst.as_ref().is_none_or(|worst| failure.code > worst.code) {
                worst = Some(failure);
            }
        }
    }
    if as_json {
        terminal::json(&rows);
    }
    match worst {
        Some(failure) => Err(failure),
        None if context.is_interrupted() => Err(Failure::new(exit::INTERRUPTED, "interrupted")),
        None if unsolved => Ok(exit::NO),
        None => Ok(exit::DONE),
    }
}
