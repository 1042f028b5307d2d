//! `mirrorcode campaign`: many runs from one file.

mod manifests;
mod status;
mod work;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent::gate;
use campaign::{
    Attempt, Command, Counts, Driver, Event, Executor, File, Kubernetes, Local, Over, Plan, Slurm,
    drive,
};
use clap::{Args, Subcommand, ValueEnum};
use run::{Control, Manner, Wish};
use serde_json::json;

use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::external::{self, External};
use crate::run::check_price;
use crate::{agents, choose, models, plan, terminal};

/// The file that tells workers and drivers to end.
const STOP: &str = "stop";

#[derive(Debug, Subcommand)]
pub(crate) enum CampaignCommand {
    /// Start what is missing, go on with what was cut off, try again what broke; Ctrl-C stops, the same command goes on
    Run(CampaignRunArgs),
    /// Write manifests for Kubernetes: Jobs over what is missing
    Manifests(manifests::ManifestsArgs),
    /// Say how far a campaign is
    Status(StatusArgs),
    /// End a campaign's runs, wherever they are; `campaign run` goes on with them
    Stop {
        /// File of the campaign, or its name
        campaign: PathBuf,
    },
    /// Work on one attempt, for executors
    #[command(hide = true)]
    Work {
        /// Directory of the campaign
        directory: PathBuf,
        /// Take the run from whoever has it
        #[arg(long)]
        take: bool,
        /// The attempt
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CampaignRunArgs {
    /// File of the campaign, such as campaign.toml
    pub(crate) file: PathBuf,
    /// Where runs are started
    #[arg(long, value_name = "WHERE", default_value = "local")]
    pub(crate) executor: ExecutorArg,
    /// Print JSON Lines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExecutorArg {
    /// On this machine, as many at once as its processors and memory allow
    Local,
    /// As jobs of Slurm; the directory of runs is shared with its nodes
    Slurm,
    /// As Jobs of Kubernetes, by kubectl; the directory of runs is on a volume that pods share
    Kubernetes,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// File of the campaign, or its name
    pub(crate) campaign: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(context: &Context, command: &CampaignCommand) -> Answer {
    match command {
        CampaignCommand::Run(arguments) => start(context, arguments),
        CampaignCommand::Manifests(arguments) => manifests::write(context, arguments),
        CampaignCommand::Status(arguments) => status::show(context, arguments),
        CampaignCommand::Stop { campaign } => stop(context, campaign),
        CampaignCommand::Work {
            directory,
            take,
            id,
        } => work::work(context, directory, id, *take),
    }
}

impl From<campaign::Error> for Failure {
    fn from(error: campaign::Error) -> Self {
        let code = match &error {
            campaign::Error::Io { source, .. } if source.kind() != std::io::ErrorKind::NotFound => {
                exit::MACHINE
            }
            campaign::Error::Scheduler { .. } => exit::OUTSIDE,
            _ => exit::USAGE,
        };
        Failure::new(code, error)
    }
}

/// The plan of a campaign that is named by its file, or by its name.
pub(crate) fn plan_of(context: &Context, campaign: &Path) -> Result<Plan, Failure> {
    if campaign.extension().is_some_and(|ending| ending == "toml") {
        return planned(context, campaign).map(|(_, plan)| plan);
    }
    let name = campaign.to_string_lossy();
    let directory = Plan::directory(context.runs(), &name);
    if !directory.is_dir() {
        return Err(Failure::usage(format!(
            "{name} is neither a file that ends in .toml nor a campaign in {}",
            context.runs().display()
        )));
    }
    Ok(Plan::read(&directory)?)
}

fn planned(context: &Context, path: &Path) -> Result<(File, Plan), Failure> {
    let file = File::read(path)?;
    let plan = Plan::new(path, &file, |words, languages| {
        choose::tasks(context, words, languages).map_err(|failure| {
            Failure::new(
                failure.code,
                format!("{}: `tasks`: {}", path.display(), failure.message),
            )
        })
    })?;
    Ok((file, plan))
}

/// How one attempt is worked on.
fn way(plan: &Plan, attempt: &Attempt) -> Result<plan::Plan, Failure> {
    let options = &plan.options[attempt.options];
    let mut way = plan::Plan::read(options)?;
    if let Some(agent) = &way.agent {
        way.agent = Some(agents::absolute(agent)?);
    }
    Ok(way)
}

/// Finds what cannot work before anything is started.
fn check(context: &Context, path: &Path, file: &File, plan: &Plan) -> Result<(), Failure> {
    let mut seen: BTreeSet<(usize, bool)> = BTreeSet::new();
    for attempt in &plan.attempts {
        let mut limits = attempt.budget;
        let common = plan.limits.get(plan.provider(attempt));
        // What all runs together may cost can be held only where it is known what one costs.
        limits.microdollars = limits
            .microdollars
            .or(common.and_then(|common| common.microdollars));
        if !seen.insert((attempt.options, limits.microdollars.is_some())) {
            continue;
        }
        let checked = way(plan, attempt).and_then(|way| match External::read(&way)? {
            Some(external) => external.check(&way, &limits),
            None => check_price(
                &models::open(context, &way, 0, Arc::new(gate::Open))?,
                &limits,
            ),
        });
        checked.map_err(|failure| {
            let name = plan.options[attempt.options].get("model");
            let model = file.models.iter().find(|model| Some(&model.name) == name);
            let line = model.map_or(1, |model| model.line);
            Failure::new(
                failure.code,
                format!("{}:{line}: {}", path.display(), failure.message),
            )
        })?;
    }
    for provider in plan.limits.keys() {
        if !plan
            .attempts
            .iter()
            .any(|attempt| plan.provider(attempt) == provider)
        {
            terminal::note(&format!(
                "{}: no model is of the provider `{provider}` in [limits]",
                path.display()
            ));
        }
    }
    Ok(())
}

fn start(context: &Context, arguments: &CampaignRunArgs) -> Answer {
    let (file, plan) = planned(context, &arguments.file)?;
    check(context, &arguments.file, &file, &plan)?;
    let runs = context.runs();
    std::fs::create_dir_all(runs).map_err(|error| Failure::io(runs, &error))?;
    let runs = &std::fs::canonicalize(runs).map_err(|error| Failure::io(runs, &error))?;
    let directory = Plan::directory(runs, &plan.name);
    std::fs::create_dir_all(&directory).map_err(|error| Failure::io(&directory, &error))?;
    let owner = run::claim(&directory, Manner::Polite)?.owner;
    owner.begin()?;
    let right = owner.right();
    let _ = std::fs::remove_file(directory.join(STOP));
    plan.write(&directory)?;
    prepare(context, runs, &plan)?;
    let mut command = worker(context)?;
    let mut executor: Box<dyn Executor> = match arguments.executor {
        ExecutorArg::Local => {
            command.arguments.push(directory.clone().into());
            let local = Local::new(command, &directory, &plan.resources)?;
            terminal::note(&format!(
                "{}: {} attempts, {} at once",
                plan.name,
                plan.attempts.len(),
                local.most()
            ));
            Box::new(local)
        }
        ExecutorArg::Slurm => {
            command
                .arguments
                .extend(["--take".into(), directory.clone().into()]);
            Box::new(slurm(command, &plan, &directory)?)
        }
        ExecutorArg::Kubernetes => {
            command
                .arguments
                .extend(["--take".into(), directory.clone().into()]);
            Box::new(kubernetes(command, &plan, &directory)?)
        }
    };
    let mark = directory.join(STOP);
    let over = drive(Driver {
        plan: &plan,
        runs,
        executor: &mut *executor,
        stop: &|| context.is_interrupted() || right.check().is_err() || mark.exists(),
        tell: &mut |event| tell(&event, arguments.json),
    });
    owner.release();
    end(over?, &plan, &arguments.file, arguments.json)
}

/// What a worker is started with, before the campaign's directory.
fn worker(context: &Context) -> Result<Command, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::io(Path::new("."), &error))?;
    let mut arguments = vec!["campaign".into(), "work".into()];
    arguments.extend(context.places()?);
    Ok(Command { program, arguments })
}

fn slurm(command: Command, plan: &Plan, directory: &Path) -> Result<Slurm, Failure> {
    Ok(Slurm::new(
        command,
        &plan.name,
        directory,
        plan.slurm.clone(),
        plan.resources,
    )?)
}

fn kubernetes(command: Command, plan: &Plan, directory: &Path) -> Result<Kubernetes, Failure> {
    Ok(Kubernetes::new(
        command,
        &plan.name,
        directory,
        plan.kubernetes.clone(),
        plan.resources,
    )?)
}

/// Makes what the tasks need and the cache lacks, once, before many workers want it.
fn prepare(context: &Context, runs: &Path, plan: &Plan) -> Result<(), Failure> {
    let (_, all) = Counts::of(plan, runs)?;
    let mut made = BTreeSet::new();
    for (attempt, progress) in plan.attempts.iter().zip(all) {
        let is_done = matches!(&progress, campaign::Progress::Left(left) if left.end.is_final());
        if is_done || !made.insert((&attempt.task, attempt.options)) {
            continue;
        }
        external::prepare(context, &attempt.task, &way(plan, attempt)?)?;
        if context.is_interrupted() {
            return Err(Failure::new(exit::INTERRUPTED, "interrupted"));
        }
    }
    Ok(())
}

fn line(counts: &Counts) -> String {
    let mut text = format!(
        "{}/{} done, {} solved",
        counts.done, counts.attempts, counts.solved
    );
    for (count, what) in [
        (counts.working, "working"),
        (counts.waiting, "waiting"),
        (counts.begun, "to go on"),
        (counts.missing, "to begin"),
        (counts.broken, "broken"),
        (counts.limited, "out of the provider's budget"),
        (counts.held, "stopped"),
    ] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    let tokens = agent::scaffold::count(counts.tokens);
    let dollars = agent::scaffold::dollars(counts.microdollars);
    format!("{text}; {tokens} tokens, {dollars}")
}

fn tell(event: &Event, as_json: bool) {
    if as_json {
        let value = match event {
            Event::Started(count) => json!({ "event": "started", "attempts": count }),
            Event::Left(outcome) => json!({ "event": "left", "attempt": outcome }),
            Event::Forgotten(id) => json!({ "event": "forgotten", "id": id }),
            Event::Trouble(what) => json!({ "event": "trouble", "message": what }),
            Event::Better => json!({ "event": "better" }),
            Event::Counts(counts) => json!({ "event": "counts", "counts": counts }),
        };
        return terminal::line(&value.to_string());
    }
    match event {
        Event::Started(_) => {}
        Event::Left(outcome) => {
            let mut text = format!("{}: {}", outcome.id, outcome.end.word());
            if let Some(solved) = outcome.solved {
                text += if solved { ", solved" } else { ", not solved" };
            }
            if !outcome.message.is_empty() {
                text += &format!(" ({})", outcome.message);
            }
            terminal::note(&text);
        }
        Event::Forgotten(id) => {
            terminal::note(&format!(
                "{id}: its job is gone and nobody works on it; it is started again"
            ));
        }
        Event::Trouble(what) => terminal::note(&format!("{what}; trying again")),
        Event::Better => terminal::note("the scheduler answers again"),
        Event::Counts(counts) => terminal::note(&line(counts)),
    }
}

fn end(over: Over, plan: &Plan, file: &Path, as_json: bool) -> Answer {
    let again = format!("`mirrorcode campaign run {}` goes on", file.display());
    match over {
        Over::Stopped(counts, on) => {
            let workers = match on {
                true => format!(
                    "its jobs go on without it; `mirrorcode campaign stop {}` ends them. ",
                    plan.name
                ),
                false => String::new(),
            };
            let text = format!("stopped; {workers}{}; {again}", line(&counts));
            Err(Failure::new(exit::INTERRUPTED, text))
        }
        Over::Done(counts) => {
            if !as_json {
                terminal::line(&line(&counts));
            }
            if counts.done == counts.attempts {
                return Ok(exit::DONE);
            }
            terminal::note(&format!(
                "not everything is done: `mirrorcode campaign status {}` says what is missing and why; {again}",
                plan.name
            ));
            Ok(exit::NO)
        }
    }
}

fn stop(context: &Context, campaign: &Path) -> Answer {
    let plan = plan_of(context, campaign)?;
    let directory = Plan::directory(context.runs(), &plan.name);
    if !directory.is_dir() {
        return Err(Failure::usage(format!(
            "{} has not been started",
            plan.name
        )));
    }
    let mark = directory.join(STOP);
    std::fs::write(&mark, "").map_err(|error| Failure::io(&mark, &error))?;
    let (_, all) = Counts::of(&plan, context.runs())?;
    let mut told = 0;
    for (attempt, progress) in plan.attempts.iter().zip(all) {
        if progress == campaign::Progress::Working {
            let dir = context.runs().join(&attempt.id);
            let said = Control::read(&dir)?;
            let wish = Wish::Stop;
            Control { wish, ..said }.write(&dir)?;
            told += 1;
        }
    }
    let mut cancelled = 0;
    let command = || Command {
        program: PathBuf::new(),
        arguments: Vec::new(),
    };
    if directory.join("batches").is_dir() && plan.kubernetes.image.is_some() {
        // Pods that begin later would see the mark; without their Jobs there are none.
        if let Err(error) =
            kubernetes(command(), &plan, &directory).and_then(|cluster| Ok(cluster.remove_jobs()?))
        {
            terminal::note(&format!(
                "{}; pods that begin later end at once by themselves",
                error.message
            ));
        }
    } else if directory.join("batches").is_dir() {
        match slurm(command(), &plan, &directory)?.cancel_waiting() {
            Ok(count) => cancelled = count,
            Err(error) => terminal::note(&format!(
                "{error}; jobs that begin later end at once by themselves"
            )),
        }
    }
    terminal::line(&format!(
        "{told} runs are told to end, {cancelled} jobs that waited are cancelled"
    ));
    Ok(exit::DONE)
}
