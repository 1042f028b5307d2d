//! `mirrorcode campaign manifests`: what Kubernetes is given, for people who give it themselves.

use std::path::PathBuf;

use campaign::{Counts, Plan, Progress};
use clap::Args;
use run::Manner;

use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::terminal;

#[derive(Debug, Args)]
pub(crate) struct ManifestsArgs {
    /// File of the campaign, such as campaign.toml
    file: PathBuf,
    /// Directory for the manifests
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Leave images that the cache lacks for the workers to make
    #[arg(long)]
    no_images: bool,
}

/// Writes manifests over the attempts that are not done and that nobody works on.
pub(super) fn write(context: &Context, arguments: &ManifestsArgs) -> Answer {
    let (file, plan) = super::planned(context, &arguments.file)?;
    super::check(context, &arguments.file, &file, &plan)?;
    let runs = context.runs();
    std::fs::create_dir_all(runs).map_err(|error| Failure::io(runs, &error))?;
    let runs = &std::fs::canonicalize(runs).map_err(|error| Failure::io(runs, &error))?;
    let directory = Plan::directory(runs, &plan.name);
    let mut command = super::worker(context)?;
    command
        .arguments
        .extend(["--take".into(), directory.clone().into()]);
    std::fs::create_dir_all(&directory).map_err(|error| Failure::io(&directory, &error))?;
    let mut cluster = super::kubernetes(command, &plan, &directory)?;
    // Whoever drives the campaign now would start the same attempts.
    let owner = run::claim(&directory, Manner::Polite)?.owner;
    owner.begin()?;
    let _ = std::fs::remove_file(directory.join(super::STOP));
    plan.write(&directory)?;
    if !arguments.no_images {
        super::prepare(context, runs, &plan)?;
    }
    let (_, all) = Counts::of(&plan, runs)?;
    let is_wanted = |progress: &Progress| match progress {
        Progress::Working => false,
        Progress::Left(outcome) => !outcome.end.is_final(),
        Progress::Missing | Progress::Cut => true,
    };
    let attempts = plan.attempts.iter().zip(&all);
    let ids: Vec<&str> = attempts
        .filter(|(_, progress)| is_wanted(progress))
        .map(|(attempt, _)| attempt.id.as_str())
        .collect();
    if ids.is_empty() {
        owner.release();
        terminal::line("nothing is missing");
        return Ok(exit::DONE);
    }
    let out = &arguments.out;
    std::fs::create_dir_all(out).map_err(|error| Failure::io(out, &error))?;
    for (name, text) in cluster.manifests(&ids)? {
        let path = out.join(name);
        std::fs::write(&path, text).map_err(|error| Failure::io(&path, &error))?;
        terminal::line(&path.display().to_string());
    }
    owner.release();
    terminal::note(&format!(
        "{} of {} attempts; `kubectl apply -f {}` starts them",
        ids.len(),
        plan.attempts.len(),
        out.display()
    ));
    Ok(exit::DONE)
}
