//! `mirrorcode target strength`: how many changes of the reference the hidden cases notice.

use std::sync::{Mutex, PoisonError};

use target::strength::object::Kind;
use target::strength::record::{FILE, Group, Record};
use target::strength::{self, Error, Options, Outcome};

use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::images;
use crate::terminal::{self, Progress};

/// Families that are named as the weakest.
const WEAKEST: usize = 3;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Build(error) => error.into(),
            Error::Sandbox(error) => error.into(),
            Error::Io { path, error } => Failure::io(&path, &error),
            Error::Interrupted => Failure::new(exit::INTERRUPTED, Error::Interrupted),
            error => Failure::usage(error),
        }
    }
}

pub(crate) fn run(context: &Context, name: &str, options: Options, as_json: bool) -> Answer {
    let catalog = context.catalog()?;
    let target = catalog.target(name)?;
    // Printed, the record is not lost with the plain form.
    let is_kept = !catalog.is_sealed(&target);
    if !as_json {
        crate::sealed::must_be_plain(
            &catalog,
            &target,
            "measure",
            "; --json prints the record and writes nothing",
        )?;
    }
    let cache = context.cache()?;
    let progress = Mutex::new(Progress::new());
    let means = context.means(&cache);
    let record = strength::measure(&target, options, &means, &|step| {
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        match step {
            strength::Progress::Image(step) => images::show(&mut progress, &step),
            strength::Progress::Stage(stage) => progress.stage(stage),
            strength::Progress::Baseline(done, total) => progress.count("unchanged", done, total),
            strength::Progress::Covered(done, total) => progress.count("breakpoints", done, total),
            strength::Progress::Mutants(done, total) => progress.count("mutants", done, total),
        }
    })?;
    drop(progress);
    let path = target.dir.join(FILE);
    if is_kept {
        record
            .save(&path)
            .map_err(|error| Failure::io(&path, &error))?;
    }
    if as_json {
        terminal::json(&record);
    } else {
        show(&record);
        terminal::line(&format!("\nwritten to {}", path.display()));
    }
    Ok(exit::DONE)
}

fn show(record: &Record) {
    let mut table = terminal::table(&[
        "kind",
        "conditions",
        "executed",
        "killed",
        "of",
        "strength",
        "95 %",
    ]);
    for kind in Kind::ALL {
        for (group, counted) in record.strength.get(&kind).into_iter().flatten() {
            let reached = record.executed.get(&kind);
            let executed = reached.map_or(0, |reached| match group {
                Group::All => reached.all,
                Group::Some => reached.some,
                Group::Own => reached.own,
            });
            table.add_row([
                kind.as_str().to_owned(),
                group.as_str().to_owned(),
                executed.to_string(),
                counted.killed.to_string(),
                counted.total.to_string(),
                format!("{:.1} %", 100.0 * counted.rate),
                format!("{:.1} to {:.1}", 100.0 * counted.low, 100.0 * counted.high),
            ]);
        }
    }
    terminal::print_table(&table);
    let count = |outcome: Outcome| {
        let of = |row: &&strength::record::MutantRow| row.outcome == outcome;
        record.mutants.iter().filter(of).count()
    };
    terminal::line(&format!(
        "\n{} mutants: {} noticed by no hidden case that executes them, {} executed by none",
        record.mutants.len(),
        count(Outcome::Survived),
        count(Outcome::Unreached),
    ));
    if !record.disturbed.is_empty() {
        terminal::line(&format!(
            "{} cases answered otherwise under breakpoints",
            record.disturbed.len()
        ));
    }
    terminal::line("");
    let mut table = terminal::table(&["weakest families", "cases", "executed", "killed", "alone"]);
    for row in record.weakest(WEAKEST) {
        table.add_row([
            row.family.clone(),
            row.cases.to_string(),
            row.executed.to_string(),
            row.killed.to_string(),
            row.alone.to_string(),
        ]);
    }
    terminal::print_table(&table);
}
