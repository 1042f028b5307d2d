//! The screen joined with solved rates: what was solved of targets that a model knows by heart, and of the others.

use std::collections::BTreeMap;

use crate::interval::{Z95, wilson};
use crate::results::{By, Systems, Tasks, cells};
use crate::row::{Catalog, RunRow};
use crate::schema;
use crate::screen::{Screen, Verdict};
use crate::table::{Cell, Table};

/// What a screen says of a target, in the word that stands in tables.
fn word(target: Option<&Verdict>) -> &'static str {
    match target.and_then(|target| target.flagged) {
        Some(true) => "flagged",
        Some(false) => "not flagged",
        None => "not tested",
    }
}

/// One row for each target of a screen and each system whose model it was.
pub(crate) fn screens(systems: &Systems<'_>, screens: &[Screen], catalog: &Catalog) -> Table {
    let mut table = Table::new(schema::SCREEN);
    let seen: Catalog = systems
        .values()
        .flatten()
        .filter_map(|row| Some((row.target.clone(), row.facts.clone()?)))
        .collect();
    let size = |target: &str| {
        let facts = seen.get(target).or_else(|| catalog.get(target));
        facts.map(|facts| facts.size.as_str())
    };
    for screen in screens {
        let own: Vec<(&str, &Vec<&RunRow>)> = systems
            .iter()
            .filter(|(_, rows)| rows[0].model == screen.model)
            .map(|(system, rows)| (system.as_str(), rows))
            .collect();
        let none = Vec::new();
        let own = if own.is_empty() {
            vec![("", &none)]
        } else {
            own
        };
        for (system, rows) in own {
            for target in &screen.targets {
                let summary = &target.summary;
                let of_target = rows.iter().filter(|row| row.target == summary.target);
                let (solved, runs) = Tasks::of(of_target.copied()).count();
                let mut row: Vec<Cell> = vec![
                    (!system.is_empty()).then_some(system).into(),
                    screen.model.as_str().into(),
                    summary.target.as_str().into(),
                    size(&summary.target).into(),
                    summary.functions.into(),
                    summary.files.into(),
                    summary.refused.into(),
                    summary.mean.into(),
                    summary.ends.map(|ends| ends.0).into(),
                    summary.ends.map(|ends| ends.1).into(),
                    screen.baseline.len().into(),
                    screen.baseline_mean().into(),
                    target.p.into(),
                    target.p_corrected.into(),
                    target.p_files.into(),
                    target.flagged.into(),
                    runs.into(),
                    solved.into(),
                ];
                row.extend(cells(wilson(solved, runs, Z95)));
                table.push(row);
            }
        }
    }
    table
}

/// Rates of each screened system over all targets, and over those that its screen flags, does not flag, and does not
/// test; of all sizes and of each.
pub(crate) fn rates(systems: &Systems<'_>, screens: &[Screen]) -> Table {
    let mut table = Table::new(schema::MEMORIZATION);
    for (system, all) in systems {
        let Some(screen) = screens.iter().find(|screen| screen.model == all[0].model) else {
            continue;
        };
        let verdicts: BTreeMap<&str, &Verdict> = screen
            .targets
            .iter()
            .map(|target| (target.summary.target.as_str(), target))
            .collect();
        let says = |row: &RunRow| word(verdicts.get(row.target.as_str()).copied());
        let mut sizes: Vec<String> = all.iter().filter_map(|row| By::Size.value(row)).collect();
        sizes.sort();
        sizes.dedup();
        for size in std::iter::once(None).chain(sizes.into_iter().map(Some)) {
            for kept in ["all", "flagged", "not flagged", "not tested"] {
                let tasks = Tasks::of(all.iter().copied().filter(|row| {
                    (kept == "all" || says(row) == kept)
                        && (size.is_none() || By::Size.value(row) == size)
                }));
                let Some(solved) = tasks.solved() else {
                    continue;
                };
                let by = if size.is_none() { By::All } else { By::Size };
                let mut row: Vec<Cell> = vec![
                    system.as_str().into(),
                    by.name().into(),
                    size.clone().into(),
                    kept.into(),
                ];
                row.extend(solved);
                table.push(row);
            }
        }
    }
    table
}

/// What a reader has to know of screens before the figures are compared.
pub(crate) fn notes(systems: &Systems<'_>, screens: &[Screen]) -> Vec<String> {
    let mut notes = Vec::new();
    for screen in screens {
        if !systems.values().any(|rows| rows[0].model == screen.model) {
            notes.push(format!(
                "{} was screened, and has no runs here",
                screen.model
            ));
        }
        if screen.targets.iter().any(|target| target.flagged.is_none()) {
            let count = screen
                .targets
                .iter()
                .filter(|target| target.flagged.is_none())
                .count();
            notes.push(format!(
                "{} of {} were screened and not tested: there was no baseline, or no answer",
                crate::number::of(count as u64, "target"),
                screen.model
            ));
        }
    }
    notes
}
