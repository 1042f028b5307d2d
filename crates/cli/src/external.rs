//! Runs of other people's agents.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use agent::Standing;
use agent::event::{Budget, Spent};
use agent::program::{self, Parts, Progress};
use agent::scaffold::{Finish, Steering};
use run::{Control, OpenedRun};

use crate::agents::{self, AgentFile};
use crate::context::Context;
use crate::exit::Failure;
use crate::gates::Terms;
use crate::plan::{self, Plan};
use crate::ready::{self, Place, Ready};
use crate::run::{SAY, follow, obey, reason, standing};
use crate::{models, terminal};

/// Port of the sandbox's loopback on which the gateway answers.
pub(crate) const PORT: u16 = 8484;

/// What a program is told.
const PROMPT: &str = "\
You rebuild a program, `{command}`, in {language}, from its behaviour alone. You work by yourself, in a sandbox without a \
network; nobody reads along or answers questions. Your work goes to /workspace, where you are.

These commands are there, besides the usual tools:
- `{command}` is the program itself: run it, on inputs of your own too. It cannot be read.
- `evaluate` builds your work as scoring does and runs the visible tests: which fail, and how.
- `submit` ends your work. Call it when all visible tests pass and you have looked for what they do not show, or when \
nothing more can be done.

Keep notes in /workspace/NOTES.md.

{budget}

# Task

{readme}
";
/// What stands first when it goes on after an interruption.
const AGAIN: &str = "[The run was interrupted and now goes on. What you have done is in /workspace; NOTES.md has your notes. Go \
                     on with the work.]\n\n";

/// An agent's file and its installed program.
pub(crate) struct External {
    pub(crate) name: String,
    pub(crate) file: AgentFile,
    pub(crate) program: Option<image::Image>,
}

impl External {
    /// Reads the plan's agent; `None` for the built-in one.
    pub(crate) fn read(plan: &Plan) -> Result<Option<Self>, Failure> {
        let Some(name) = &plan.agent else {
            return Ok(None);
        };
        let file = agents::read(name)?;
        let external = External {
            name: name.clone(),
            file,
            program: None,
        };
        Ok(Some(external))
    }

    /// Refuses what cannot work before anything is built.
    pub(crate) fn check(&self, plan: &Plan, limits: &Budget) -> Result<(), Failure> {
        let gate = models::gate(plan, &self.file)?;
        self.file.start(
            gate.upstream.name(),
            String::new(),
            plan.agent_command.as_deref(),
        )?;
        if limits.tool_seconds.is_some() {
            return Err(Failure::usage(
                "--tool-limit is for the built-in agent: nobody sees from outside when another agent's tools run",
            ));
        }
        match gate.unpriced {
            Some(reason) if limits.microdollars.is_some() => Err(Failure::usage(format!(
                "{reason}: see --prices and --token-limit"
            ))),
            _ => Ok(()),
        }
    }
}

/// Makes a task ready, and another agent's program, if it is to work on it.
pub(crate) fn prepare(
    context: &Context,
    task: &str,
    plan: &Plan,
) -> Result<(Ready, Option<External>), Failure> {
    let external = External::read(plan)?;
    let packages = external.as_ref().map_or(&[][..], |e| &e.file.packages);
    let rootfs = plan.rootfs.as_deref().map(Path::new);
    let ready = ready::prepare(context, task, rootfs, packages)?;
    let external = match external {
        None => None,
        Some(external) => Some(External {
            program: external.file.install(context)?,
            ..external
        }),
    };
    Ok((ready, external))
}

/// A run of another agent. Every field is a decision.
pub(crate) struct Job<'a> {
    pub(crate) ready: &'a Ready,
    pub(crate) directory: &'a Path,
    pub(crate) opened: OpenedRun,
    pub(crate) plan: &'a Plan,
    pub(crate) external: &'a External,
    /// Where it stands, if it has begun before.
    pub(crate) standing: Option<Standing>,
    pub(crate) limits: Budget,
    /// What holds besides the run's own limits.
    pub(crate) terms: Terms<'a>,
}

/// Works on a run until it ends; gives the finish and what is spent.
pub(crate) fn work(context: &Context, job: Job<'_>) -> Result<(Finish, Spent), Failure> {
    let Job {
        ready,
        directory,
        mut opened,
        plan,
        external,
        standing: again,
        limits,
        terms,
    } = job;
    let said = Control::read(directory)?;
    let limits = said.limits.unwrap_or(limits);
    external.check(plan, &limits)?;
    let gate = models::gate(plan, &external.file)?;
    let id = opened.run.journal().header().id.clone();
    opened.run.hide(models::secrets(plan));
    opened.run.keep_history(&opened.index);
    let steering = Arc::new(Steering::default());
    obey(&steering, said);
    let right = opened.run.right();
    let keeper = terms.gates.gate(&right, &steering);
    let stop = steering.stop_flag();
    let begun = again.clone().unwrap_or_default();
    let place = Place {
        directory,
        number: begun.number,
        cwd: agent::WORKSPACE.into(),
        command_limit: plan.command_limit,
        jobs: terms.jobs,
        stop: &stop,
        port: Some(PORT),
        program: external
            .program
            .as_ref()
            .map(|program| program.root.as_path()),
    };
    let (ledger, mut session) = ready.attach(&place, opened.run)?;
    let readme = directory.join("task/README.md");
    let readme = std::fs::read_to_string(&readme).map_err(|error| Failure::io(&readme, &error))?;
    let words = plan::words(&limits);
    let budget = match words.as_str() {
        "" => "There is no limit on your work but your own judgement.".to_owned(),
        words => format!(
            "These limits hold for the whole run; what is in /workspace when one of them is reached is scored as it \
             is:\n\n{words}"
        ),
    };
    let prompt = PROMPT
        .replace("{command}", &ready.target.spec.reference.command)
        .replace("{language}", &ready.language.name)
        .replace("{budget}", &budget)
        .replace("{readme}", readme.trim());
    let prompt = if again.is_some() {
        format!("{AGAIN}{prompt}")
    } else {
        prompt
    };
    let start = external
        .file
        .start(gate.upstream.name(), prompt, plan.agent_command.as_deref())?;
    let over = AtomicBool::new(false);
    let mut shown = Instant::now();
    let evaluated = ledger.clone();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| follow(context, directory, (&steering, &right), said, &over));
        let result = program::work(Parts {
            start,
            session: &mut session,
            upstream: gate.upstream,
            tariff: gate.tariff,
            steering: Arc::clone(&steering),
            limits,
            standing: again,
            gate: keeper,
            progress: &mut |step: Progress| {
                if shown.elapsed() > SAY {
                    shown = Instant::now();
                    let line = standing(&step.spent, evaluated.evaluated());
                    terminal::note(&format!("{id}: {line}"));
                }
            },
        });
        over.store(true, Ordering::Relaxed);
        result
    });
    let reason = reason(result.as_ref().map(|(finish, _)| finish));
    let closed = session.close(reason);
    let result = result?;
    closed?;
    Ok(result)
}
