//! How a run begins, and how it goes on.

use std::collections::BTreeMap;
use std::path::Path;

use agent::Standing;
use agent::event::{Agent, Budget, Event, FORMAT, Reason, Recorder, Spent};
use agent::scaffold::{Finish, Past, Start, limit};
use run::{Control, Header, Known, Manner, OpenedRun, Run, Wish};

use crate::args::LimitArgs;
use crate::context::Context;
use crate::exit::Failure;
use crate::external::{self, External, Job};
use crate::gates::Terms;
use crate::plan::{self, Plan};
use crate::ready::{MEMORY, Ready};
use crate::run::{Ended, work};
use crate::{runs, terminal};

const LIMITS: run::Limits = run::Limits::WORKSPACE;

/// A task made ready, with another agent's program if that is to work on it.
struct Made {
    ready: Ready,
    external: Option<External>,
    versions: BTreeMap<String, String>,
    digests: BTreeMap<String, String>,
}

impl Made {
    fn new(context: &Context, task: &str, plan: &Plan) -> Result<Self, Failure> {
        let (ready, external) = external::prepare(context, task, plan)?;
        let mut digests = ready.digests(context)?;
        let mut versions = BTreeMap::from([(
            "mirrorcode".to_owned(),
            env!("CARGO_PKG_VERSION").to_owned(),
        )]);
        if let Some(external) = &external {
            versions.insert(external.name.clone(), external.file.version.clone());
            if let Some(program) = &external.program {
                let digest = program.content_digest.clone();
                digests.insert("agent-program".to_owned(), digest);
            }
        }
        Ok(Made {
            ready,
            external,
            versions,
            digests,
        })
    }

    /// The first event of a run.
    fn start(&self, plan: &Plan) -> Event {
        Event::Start {
            format: FORMAT,
            task: self.ready.task(),
            agent: match self.external {
                Some(_) => Agent::Program,
                None => Agent::Model,
            },
            versions: self.versions.clone(),
            digests: self.digests.clone(),
            limits: [
                ("command-wall-seconds".to_owned(), plan.command_limit),
                ("memory-mib".to_owned(), MEMORY >> 20),
            ]
            .into(),
            options: plan.written(),
        }
    }

    /// Works on a run that has just begun.
    fn work(
        &self,
        context: &Context,
        directory: &Path,
        opened: OpenedRun,
        plan: &Plan,
        limits: Budget,
        terms: Terms<'_>,
    ) -> Result<Ended, Failure> {
        let id = &opened.run.journal().header().id;
        terminal::note(&format!("run {id}: {}", self.ready.task()));
        let Some(external) = &self.external else {
            let start = Start::New(limits);
            return work(context, &self.ready, directory, opened, start, plan, terms);
        };
        let job = Job {
            ready: &self.ready,
            directory,
            opened,
            plan,
            external,
            standing: None,
            limits,
            terms,
        };
        let (finish, spent) = external::work(context, job)?;
        Ok(self.ended(directory, finish, spent))
    }

    fn ended(&self, directory: &Path, finish: Finish, spent: Spent) -> Ended {
        Ended {
            directory: directory.to_owned(),
            task: self.ready.task(),
            finish,
            spent,
            solved: None,
        }
    }
}

/// Begins a run of a task, and works on it.
pub(crate) fn begin(
    context: &Context,
    task: &str,
    plan: &Plan,
    limits: Budget,
    terms: Terms<'_>,
) -> Result<Ended, Failure> {
    let made = Made::new(context, task, plan)?;
    let header = Header::new(task, env!("CARGO_PKG_VERSION"), made.digests.clone())?;
    let directory = context.runs().join(&header.id);
    std::fs::create_dir_all(context.runs()).map_err(|error| Failure::io(context.runs(), &error))?;
    let mut recorder = Run::create(&directory, &header, Known::nothing(), LIMITS)?;
    // The task's files belong beside the journal, which had to make the directory; from here on they are known.
    let known = made.ready.assemble(context, &directory)?;
    recorder
        .record(made.start(plan))
        .map_err(agent::Error::from)?;
    drop(recorder);
    let opened = Run::open(&directory, known, LIMITS)?;
    made.work(context, &directory, opened, plan, limits, terms)
}

/// Goes on with a run.
pub(crate) fn go_on(
    context: &Context,
    directory: &Path,
    plan: &Plan,
    limits: &LimitArgs,
    terms: Terms<'_>,
) -> Result<Ended, Failure> {
    let task = Header::read(directory)?.task;
    let made = Made::new(context, &task, plan)?;
    let known = made.ready.assemble(context, directory)?;
    let opened = Run::open(directory, known, LIMITS)?;
    continued(context, directory, &made, opened, plan, limits, terms)
}

/// Begins the run of this id, or goes on with it where it has begun; one that is over is left as it is. Only one of all
/// who do this at the same time, here or on other machines, has the run.
pub(crate) fn take_up(
    context: &Context,
    (id, task): (&str, &str),
    plan: &Plan,
    limits: Budget,
    manner: Manner,
    terms: Terms<'_>,
) -> Result<Ended, Failure> {
    let directory = context.runs().join(id);
    std::fs::create_dir_all(&directory).map_err(|error| Failure::io(&directory, &error))?;
    let claimed = run::claim(&directory, manner)?;
    let said = Control::read(&directory)?;
    if said.wish != Wish::Go {
        // Whoever starts the campaign again wants it to go on.
        let wish = Wish::Go;
        Control { wish, ..said }.write(&directory)?;
    }
    let has_begun = directory.join("run.toml").is_file();
    let recorded = match has_begun {
        true => runs::options(&directory).ok(),
        false => None,
    };
    let plan = match &recorded {
        Some(options) => &Plan::read(options)?,
        None => plan,
    };
    let made = Made::new(context, task, plan)?;
    let known = made.ready.assemble(context, &directory)?;
    let opened = if has_begun {
        Run::open_as(&directory, claimed, known.clone(), LIMITS)?
    } else {
        let mut header = Header::new(task, env!("CARGO_PKG_VERSION"), made.digests.clone())?;
        id.clone_into(&mut header.id);
        drop(Run::create_in(
            &directory,
            &header,
            claimed,
            Known::nothing(),
            LIMITS,
        )?);
        Run::open_as(&directory, run::claim(&directory, manner)?, known, LIMITS)?
    };
    if recorded.is_some() {
        return match over(&opened)? {
            Some(finish) => {
                let spent = match made.external {
                    Some(_) => Standing::read(&opened.records()).map(|past| past.spent),
                    None => Past::read(&opened.records()).map(|past| past.spent()),
                };
                Ok(made.ended(&directory, finish, spent?))
            }
            None => {
                let none = LimitArgs::default();
                continued(context, &directory, &made, opened, plan, &none, terms)
            }
        };
    }
    let mut opened = opened;
    opened
        .run
        .record(made.start(plan))
        .map_err(agent::Error::from)?;
    // The index is that of the journal without its first event.
    drop(opened);
    let known = Known::scan(&[&directory.join("task")])?;
    let opened = Run::open_as(&directory, run::claim(&directory, manner)?, known, LIMITS)?;
    made.work(context, &directory, opened, plan, limits, terms)
}

/// How a run ended for good, if it has.
fn over(opened: &OpenedRun) -> Result<Option<Finish>, Failure> {
    let index = &opened.index;
    if index.last("submit").is_some() {
        return Ok(Some(Finish::Submitted));
    }
    let Some(end) = index
        .last("end")
        .filter(|end| index.last("attach") < Some(*end))
    else {
        return Ok(None);
    };
    let mut finish = None;
    index.each(end, end, &mut |entry| {
        if let Event::End { reason } = entry.event {
            finish = match reason {
                Reason::Submitted => Some(Finish::Submitted),
                Reason::Left => Some(Finish::Left),
                Reason::Budget(name) => Some(Finish::Budget(known(&name))),
                Reason::Stopped | Reason::Failed(_) => None,
            };
        }
        false
    })?;
    Ok(finish)
}

fn known(name: &str) -> &'static str {
    let names = [
        limit::TOKENS,
        limit::DOLLARS,
        limit::WALL,
        limit::ACTIVE,
        limit::TURNS,
        limit::TOOL,
    ];
    names
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("budget")
}

/// Goes on with a run that has begun.
fn continued(
    context: &Context,
    directory: &Path,
    made: &Made,
    opened: OpenedRun,
    plan: &Plan,
    limits: &LimitArgs,
    terms: Terms<'_>,
) -> Result<Ended, Failure> {
    if let Some(torn) = &opened.recovered {
        terminal::note(&format!(
            "the last {} bytes of the journal were cut off in the middle of an event; they are kept in {}",
            torn.bytes,
            torn.kept.display()
        ));
    }
    let id = opened.run.journal().header().id.clone();
    if let Some(external) = &made.external {
        let past = Standing::read(&opened.records()).map_err(Failure::usage)?;
        if past.submitted {
            return Ok(made.ended(directory, Finish::Submitted, past.spent));
        }
        let limits = new_limits(directory, past.limits.unwrap_or_default(), limits)?;
        restore(directory, &opened)?;
        terminal::note(&format!("run {id} goes on after turn {}", past.spent.turns));
        let job = Job {
            ready: &made.ready,
            directory,
            opened,
            plan,
            external,
            standing: Some(past),
            limits,
            terms,
        };
        let (finish, spent) = external::work(context, job)?;
        return Ok(made.ended(directory, finish, spent));
    }
    let past = Past::read(&opened.records()).map_err(Failure::usage)?;
    if past.is_submitted() {
        return Ok(made.ended(directory, Finish::Submitted, past.spent()));
    }
    new_limits(directory, past.limits(), limits)?;
    let restored = restore(directory, &opened)?;
    terminal::note(&format!(
        "run {id} goes on after turn {}",
        past.spent().turns
    ));
    let start = Start::Again {
        past: Box::new(past),
        restored,
    };
    work(context, &made.ready, directory, opened, start, plan, terms)
}

/// Puts the limits in force that the command line names, on top of those that hold; what else was said to the run before
/// is done with.
pub(crate) fn new_limits(
    directory: &Path,
    last: Budget,
    limits: &LimitArgs,
) -> Result<Budget, Failure> {
    let held = Control::read(directory)?.limits.unwrap_or(last);
    let limits = plan::limits(held, limits);
    Control {
        wish: Wish::Go,
        limits: (limits != last).then_some(limits),
    }
    .write(directory)?;
    Ok(limits)
}

/// Restores the workspace from the record where what lies there cannot be trusted: after another boot of the machine,
/// where somebody may still be changing it, and where it is missing. Says whether it did.
pub(crate) fn restore(directory: &Path, opened: &OpenedRun) -> Result<bool, Failure> {
    let workspace = directory.join("workspace");
    let mut boot = None;
    if let Some(seq) = opened.index.last("attach") {
        opened.index.each(seq, seq, &mut |entry| {
            if let Event::Attach { boot: of, .. } = entry.event {
                boot = of;
            }
            false
        })?;
    }
    let same = opened.clean && (boot.is_none() || boot == run::boot());
    let Some(tree) = opened.run.tree() else {
        return Ok(false);
    };
    if same && workspace.is_dir() {
        return Ok(false);
    }
    let failed = |error: std::io::Error| Failure::io(&workspace, &error);
    if !opened.clean {
        // A sandbox that is still there keeps what it has mounted, under whatever name: it is taken out of the way.
        let epoch = opened.run.right().epoch();
        for name in ["workspace", "tmp"] {
            let left = directory.join(format!("{name}.left-{epoch}"));
            if std::fs::rename(directory.join(name), &left).is_ok() {
                let _ = std::fs::remove_dir_all(&left);
            }
        }
    }
    if workspace.exists() {
        std::fs::remove_dir_all(&workspace).map_err(failed)?;
    }
    std::fs::create_dir_all(&workspace).map_err(failed)?;
    run::restore(opened.run.store(), tree, &workspace, LIMITS)?;
    give(&workspace).map_err(failed)?;
    Ok(true)
}

/// Gives everything below a directory to whoever works inside.
fn give(path: &Path) -> std::io::Result<()> {
    sandbox::give_to_inside(path)?;
    if std::fs::symlink_metadata(path)?.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give(&entry?.path())?;
        }
    }
    Ok(())
}
