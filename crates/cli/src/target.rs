//! `mirrorcode target`: list, show, build, check.

use std::sync::Mutex;
use std::sync::PoisonError;

use serde_json::json;
use target::build::{self, BuildError, Options};
use target::capture::CaptureError;
use target::docs::DocsError;

use crate::args::TargetCommand;
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::images;
use crate::terminal::{self, Progress};

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Target(error) => error.into(),
            BuildError::Image(error) | BuildError::Docs(DocsError::Image(error)) => error.into(),
            BuildError::Docs(DocsError::Sandbox(error))
            | BuildError::Capture(CaptureError::Sandbox(error)) => error.into(),
            BuildError::Capture(CaptureError::Interrupted) => {
                Failure::new(exit::INTERRUPTED, CaptureError::Interrupted)
            }
            BuildError::Sandbox(error) => error.into(),
            BuildError::Io { path, error } => Failure::io(&path, &error),
            error => Failure::usage(error),
        }
    }
}

pub(crate) fn run(context: &Context, command: &TargetCommand) -> Answer {
    match command {
        TargetCommand::List { json } => list(context, *json),
        TargetCommand::Show { target, json } => show(context, target, *json),
        TargetCommand::Build {
            target,
            seed,
            update,
            no_draw,
        } => {
            let options = Options {
                seed: *seed,
                update: *update,
                no_draw: *no_draw,
            };
            build(context, target, options)
        }
        TargetCommand::Check { target, json } => check(context, target, *json),
        TargetCommand::Strength {
            target,
            sample,
            seed,
            json,
        } => {
            let options = target::strength::Options {
                sample: *sample as usize,
                seed: *seed,
            };
            crate::strength::run(context, target, options, *json)
        }
        TargetCommand::Fairness { target, json } => crate::fairness::run(context, target, *json),
        TargetCommand::Pack {
            dir,
            recipients,
            output,
        } => crate::sealed::pack(dir, recipients, output.as_deref()),
        TargetCommand::Open { file, output } => {
            crate::sealed::open(context, file, output.as_deref())
        }
    }
}

fn list(context: &Context, as_json: bool) -> Answer {
    let targets = context.catalog()?.list()?;
    if as_json {
        let rows: Vec<_> = targets
            .iter()
            .map(|target| {
                json!({
                    "name": target.name,
                    "domain": target.domain,
                    "size": target.size.as_str(),
                    "languages": target.languages,
                    "visible": target.visible,
                    "hidden": target.hidden,
                    "families": target.families,
                })
            })
            .collect();
        terminal::json(&rows);
        return Ok(exit::DONE);
    }
    let mut table = terminal::table(&[
        "target",
        "domain",
        "size",
        "families",
        "visible",
        "hidden",
        "languages",
    ]);
    for target in &targets {
        table.add_row([
            target.name.clone(),
            target.domain.clone(),
            target.size.to_string(),
            target.families.to_string(),
            target.visible.to_string(),
            target.hidden.to_string(),
            target.languages.join(" "),
        ]);
    }
    terminal::print_table(&table);
    let tasks: usize = targets.iter().map(|target| target.languages.len()).sum();
    terminal::line(&format!("\n{} targets, {tasks} tasks", targets.len()));
    Ok(exit::DONE)
}

fn show(context: &Context, name: &str, as_json: bool) -> Answer {
    let target = context.catalog()?.target(name)?;
    let spec = &target.spec;
    let lock = target.lock()?;
    let families = target.families()?;
    let (mut visible, mut hidden) = (
        std::collections::BTreeMap::new(),
        std::collections::BTreeMap::new(),
    );
    if lock.is_some() {
        let tests = target.tests()?;
        for (cases, counts) in [(&tests.visible, &mut visible), (&tests.hidden, &mut hidden)] {
            for case in cases {
                *counts.entry(case.family.clone()).or_insert(0u32) += 1;
            }
        }
    }
    let count = |counts: &std::collections::BTreeMap<String, u32>, family: &str| {
        counts.get(family).copied().unwrap_or(0)
    };
    if as_json {
        terminal::json(&json!({
            "name": spec.name,
            "about": spec.about,
            "domain": spec.domain,
            "size": spec.size.as_str(),
            "languages": spec.languages,
            "excluded": spec.excluded,
            "reference": {
                "package": spec.reference.package(),
                "program": spec.reference.program,
                "command": spec.reference.command,
                "packages": lock.as_ref().map(|lock| lock.packages.iter().map(|package| json!({
                    "name": package.name, "version": package.version, "sha256": package.sha256.to_string(),
                })).collect::<Vec<_>>()),
            },
            "environment": spec.environment,
            "families": families.iter().map(|family| json!({
                "name": family.name,
                "about": family.about,
                "visible": count(&visible, &family.name),
                "hidden": count(&hidden, &family.name),
            })).collect::<Vec<_>>(),
        }));
        return Ok(exit::DONE);
    }
    terminal::line(&format!("{}: {}", spec.name, spec.about));
    terminal::line(&format!("domain     {}", spec.domain));
    terminal::line(&format!("size       {}", spec.size));
    terminal::line(&format!("languages  {}", spec.languages.join(" ")));
    for (language, reason) in &spec.excluded {
        terminal::line(&format!("           not in {language}: {reason}"));
    }
    let reference = &spec.reference;
    let version = lock
        .as_ref()
        .and_then(|lock| lock.reference_version(reference))
        .unwrap_or("not built yet");
    let from = match &reference.from {
        target::spec::Provenance::Package(name) => format!("{name} {version}"),
        target::spec::Provenance::Source { source, .. } => source.origin.to_string(),
    };
    terminal::line(&format!("reference  {} from {from}", reference.program));
    let environment: Vec<_> = spec
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    terminal::line(&format!("pinned     {}", environment.join(" ")));
    if let Some(lock) = &lock {
        terminal::line(&format!(
            "cases      {} visible, {} hidden",
            lock.counts.visible, lock.counts.hidden
        ));
        if !lock.dropped.is_empty() {
            terminal::line(&format!(
                "dropped    {}; target.lock has the reasons",
                lock.dropped.len()
            ));
        }
    }
    terminal::line("");
    let mut table = terminal::table(&["family", "visible", "hidden", "behaviour"]);
    for family in &families {
        table.add_row([
            family.name.clone(),
            count(&visible, &family.name).to_string(),
            count(&hidden, &family.name).to_string(),
            family.about.clone(),
        ]);
    }
    terminal::print_table(&table);
    Ok(exit::DONE)
}

/// A progress line that several threads may write to.
fn reporter(progress: &Mutex<Progress>) -> impl Fn(build::Progress) + Sync + '_ {
    move |step| {
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        match step {
            build::Progress::Image(step) => images::show(&mut progress, &step),
            build::Progress::Stage(stage) => progress.stage(stage),
            build::Progress::Runs(done, total) => {
                progress.count("runs of the reference", done, total)
            }
        }
    }
}

/// Extracts the documentation of a target into the cache.
pub(crate) fn extract_docs(
    context: &Context,
    target: &target::Target,
) -> Result<build::Report, Failure> {
    let options = Options {
        seed: None,
        update: false,
        no_draw: true,
    };
    build_target(context, target, options)
}

fn build_target(
    context: &Context,
    target: &target::Target,
    options: Options,
) -> Result<build::Report, Failure> {
    let cache = context.cache()?;
    let progress = Mutex::new(Progress::new());
    let means = context.means(&cache);
    Ok(build::build(target, options, &means, &reporter(&progress))?)
}

fn build(context: &Context, name: &str, options: Options) -> Answer {
    let catalog = context.catalog()?;
    let target = catalog.target(name)?;
    if !options.no_draw {
        crate::sealed::must_be_plain(
            &catalog,
            &target,
            "build",
            "; --no-draw fetches the reference and its documentation alone",
        )?;
    }
    let report = build_target(context, &target, options)?;
    for note in &report.notes {
        terminal::note(&format!("note: {note}"));
    }
    let counts = report.lock.counts;
    terminal::line(&format!(
        "{name}: {} visible and {} hidden cases in {} families; {} dropped; {} pages of docs",
        counts.visible,
        counts.hidden,
        counts.families,
        report.lock.dropped.len(),
        report.pages
    ));
    for dropped in report.lock.dropped.iter().take(10) {
        terminal::line(&format!(
            "dropped a case of {}: {}",
            dropped.family, dropped.reason
        ));
    }
    if let Some(share) = &report.share {
        terminal::line(&share.to_string());
    }
    terminal::line(if report.changed {
        "the cases have changed"
    } else {
        "the cases are as they were"
    });
    Ok(exit::DONE)
}

fn check(context: &Context, name: &str, as_json: bool) -> Answer {
    let catalog = context.catalog()?;
    let target = catalog.target(name)?;
    let cache = context.cache()?;
    let progress = Mutex::new(Progress::new());
    let means = context.means(&cache);
    let checks = target::check::check_target(&target, &means, &reporter(&progress))?;
    drop(progress);
    let holds = checks.iter().all(|check| check.holds);
    if as_json {
        terminal::json(&json!({ "target": name, "holds": holds, "checks": checks }));
    } else {
        let mut table = terminal::table(&["", "promise", "seen"]);
        for check in &checks {
            table.add_row([
                if check.holds { "ok" } else { "BROKEN" },
                check.name,
                &check.detail,
            ]);
        }
        terminal::print_table(&table);
    }
    Ok(if holds { exit::DONE } else { exit::NO })
}
