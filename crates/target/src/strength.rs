//! Test strength: how many small changes of the reference's machine code the hidden cases notice.
//!
//! No source is needed. The conditions of the program's code are found by disassembly, every case is run once to see
//! which of them it executes, and a seeded sample of those is turned around, one at a time, in a copy. A condition that
//! no case notices is one that a submission may get wrong and still count as solved.
//!
//! - [`object`] finds conditions, and what one byte makes of them;
//! - `draw` says in which order they are examined, and draws the sample;
//! - `cover` finds out by breakpoints which cases execute them;
//! - `run` tries changed copies in the sandbox in which expected output was captured;
//! - [`record`] is what is published.

mod cover;
mod draw;
pub mod names;
pub mod object;
pub mod record;
mod run;
mod stage;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::build::{BuildError, Means};
use crate::capture::CaptureError;
use crate::reference::prepare;
use crate::{Case, Digest, Target};

use self::draw::{Condition, Draw, conditions, is_enough, sample};
use self::object::Kind;
use self::record::{Counted, FamilyRow, Group, MutantRow, ObjectRow, Reached, Record};
pub use self::run::Outcome;
use self::run::{Bench, Mutant, Tried};
use self::stage::{Copies, Part};

/// How many mutants of a sample are asked which of all families notice them.
const ASKED_OF_ALL: usize = 60;
/// How many cases a surviving mutant names of each split.
const EXAMPLES: usize = 5;

/// Why strength could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The reference could not be had.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A sandbox failed.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// A program or library whose code cannot be read.
    #[error("{path} cannot be changed: {what}")]
    NotCode {
        /// Inside the reference's root.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Unchanged, the reference does not give what a case expects.
    #[error(
        "unchanged, the reference does not give what case {case} expects; run `mirrorcode target check {target}`"
    )]
    NotAsExpected {
        /// The case.
        case: String,
        /// The target.
        target: String,
    },
    /// The guard could not be put in force.
    #[error("the reference was not started, because its guard failed: {0}")]
    Guard(String),
    /// What is here is not what the lock was written for.
    #[error(
        "the reference is not the locked one ({found}); run `mirrorcode target build {target}`"
    )]
    Changed {
        /// The target.
        target: String,
        /// Digest of the program found.
        found: String,
    },
    /// No case executes a condition.
    #[error(
        "the cases of {0} execute none of its conditions; is `program` in target.toml the program itself?"
    )]
    NothingExecuted(String),
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// The caller asked for the end.
    #[error("interrupted; nothing was changed")]
    Interrupted,
}

impl Error {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |error| Error::Io { path, error }
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        Error::Build(error.into())
    }
}

impl From<CaptureError> for Error {
    fn from(error: CaptureError) -> Self {
        Error::Build(error.into())
    }
}

/// What the caller decides.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Jumps to change, of each group that a figure is given for.
    pub sample: usize,
    /// Seed of the sample.
    pub seed: u64,
}

/// How the work goes on.
pub enum Progress {
    /// An image is being built.
    Image(image::Progress),
    /// A stage began.
    Stage(&'static str),
    /// So many cases of so many have been run under breakpoints.
    Covered(u64, u64),
    /// So many cases of so many have been timed.
    Baseline(u64, u64),
    /// So many mutants of so many have been tried.
    Mutants(u64, u64),
}

/// Measures a target's strength. Nothing is written.
///
/// # Errors
/// [`Error`]: no part of a measurement is returned.
pub fn measure(
    target: &Target,
    options: Options,
    means: &Means<'_>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Record, Error> {
    let spec = &target.spec;
    let lock = target.locked()?;
    let lock_bytes = std::fs::read(target.lock_path()).map_err(Error::io(&target.lock_path()))?;
    let tests = target.tests()?;
    progress(Progress::Stage("reference"));
    let prepared = prepare(
        spec,
        Some(&lock),
        means.cache,
        means.interrupted,
        &mut |step| {
            progress(Progress::Image(step));
        },
    )?;
    if prepared.digest != lock.program {
        return Err(Error::Changed {
            target: spec.name.clone(),
            found: prepared.digest.to_string(),
        });
    }
    progress(Progress::Stage("disassembly"));
    let parts = stage::parts(spec, &lock, &prepared)?;
    let copies = Copies::new(&parts)?;
    let hidden: Vec<&Case> = tests.hidden.iter().collect();
    let times = {
        let sandbox = copies.sandbox(spec, &prepared, &parts, means.guard);
        cover::baseline(spec, &prepared, &sandbox, &hidden, means, progress)?
    };
    let cases: Vec<&Case> = tests.visible.iter().chain(&tests.hidden).collect();
    let first_hidden = tests.visible.len();
    let mut draw = Draw::new(&parts, options);
    let mut coverage = cover::Coverage {
        executed: vec![Vec::new(); cases.len()],
        disturbed: BTreeSet::new(),
    };
    let conditions = loop {
        let planted = draw.next();
        cover::cover(
            spec,
            &prepared,
            &parts,
            &planted,
            &cases,
            &mut coverage,
            means,
            progress,
        )?;
        let conditions = conditions(&parts, &coverage.executed, &draw);
        if draw.is_done() || is_enough(&conditions, options) {
            break conditions;
        }
    };
    if conditions.is_empty() {
        return Err(Error::NothingExecuted(spec.name.clone()));
    }
    let sample = sample(&conditions, options);
    let has_own = sample
        .iter()
        .any(|(_, groups)| groups.contains(&Group::Own));
    let told_by = match has_own {
        true => Group::Own,
        false => Group::Some,
    };
    let mut asked = 0;
    let mutants: Vec<Mutant<'_>> = sample
        .iter()
        .map(|(condition, groups)| {
            let wanted = groups.contains(&told_by) && condition.site.kind == Kind::Jump;
            asked += usize::from(wanted);
            Mutant {
                part: condition.part,
                site: condition.site,
                cases: condition
                    .cases
                    .iter()
                    .filter_map(|case| case.checked_sub(first_hidden))
                    .collect(),
                all_families: wanted && asked <= ASKED_OF_ALL,
            }
        })
        .collect();
    let bench = Bench {
        spec,
        prepared: &prepared,
        parts: &parts,
        cases: &hidden,
        times: &times,
        means,
    };
    let tried = bench.try_all(&mutants, progress)?;
    let rows = rows(&sample, &tried, &parts, &cases, first_hidden);
    let mut strength = BTreeMap::new();
    for kind in Kind::ALL {
        let mut groups = BTreeMap::new();
        for group in Group::ALL {
            let of = |row: &&MutantRow| row.kind == kind && row.groups.contains(&group);
            let (killed, total) = record::count(rows.iter().filter(of));
            if total > 0 {
                groups.insert(group, Counted::of(killed, total));
            }
        }
        strength.insert(kind, groups);
    }
    Ok(Record {
        format: record::FORMAT,
        target: spec.name.clone(),
        seed: options.seed,
        sample: options.sample,
        lock: Digest::of(&lock_bytes).to_string(),
        objects: parts
            .iter()
            .map(|part| ObjectRow {
                path: part.at.display().to_string(),
                sha256: part.digest.to_string(),
                conditions: count_kinds(part.object.sites.iter().map(|site| site.kind)),
            })
            .collect(),
        visible: tests.visible.len(),
        hidden: tests.hidden.len(),
        disturbed: coverage
            .disturbed
            .iter()
            .map(|&index| cases[index].id.clone())
            .collect(),
        executed: Kind::ALL
            .into_iter()
            .map(|kind| {
                let reached = Reached {
                    examined: draw.examined(&parts, kind),
                    ..reached(&conditions, kind, first_hidden)
                };
                (kind, reached)
            })
            .collect(),
        strength,
        families: families(&tried, &mutants, &hidden),
        mutants: rows,
    })
}

fn count_kinds(kinds: impl Iterator<Item = Kind>) -> BTreeMap<Kind, usize> {
    let mut counts = BTreeMap::new();
    for kind in kinds {
        *counts.entry(kind).or_insert(0) += 1;
    }
    counts
}

fn reached(conditions: &[Condition<'_>], kind: Kind, first_hidden: usize) -> Reached {
    let of = |group: Group| {
        let wanted = |condition: &&Condition<'_>| {
            condition.site.kind == kind && condition.groups.contains(&group)
        };
        conditions.iter().filter(wanted).count()
    };
    Reached {
        examined: 0,
        all: of(Group::All),
        some: of(Group::Some),
        own: of(Group::Own),
        by_hidden: conditions
            .iter()
            .filter(|condition| {
                condition.site.kind == kind
                    && condition.groups.contains(&Group::All)
                    && condition.cases.iter().any(|&case| case >= first_hidden)
            })
            .count(),
    }
}

fn rows(
    sample: &[(&Condition<'_>, Vec<Group>)],
    tried: &[Tried],
    parts: &[Part],
    cases: &[&Case],
    first_hidden: usize,
) -> Vec<MutantRow> {
    let examples = |cases_of: &mut dyn Iterator<Item = usize>| -> Vec<String> {
        cases_of
            .take(EXAMPLES)
            .map(|index| cases[index].id.clone())
            .collect()
    };
    sample
        .iter()
        .zip(tried)
        .map(|((condition, groups), tried)| {
            let part = &parts[condition.part];
            let executed = condition.cases.iter().copied();
            let visible = executed.clone().filter(|&case| case < first_hidden);
            let hidden = executed.filter(|&case| case >= first_hidden);
            let survived = !tried.outcome.is_killed();
            MutantRow {
                object: condition.part,
                address: format!("{:#x}", condition.site.address),
                kind: condition.site.kind,
                function: part
                    .object
                    .names
                    .at(condition.site.address)
                    .map(str::to_owned),
                groups: groups.clone(),
                visible: visible.clone().count(),
                hidden: hidden.clone().count(),
                outcome: tried.outcome,
                case: tried
                    .case
                    .map(|index| cases[first_hidden + index].id.clone()),
                families: tried.families.clone(),
                executed_by: if survived {
                    let (mut visible, mut hidden) = (visible, hidden);
                    [examples(&mut visible), examples(&mut hidden)].concat()
                } else {
                    Vec::new()
                },
            }
        })
        .collect()
}

/// What each family notices of the mutants that were put before all families.
fn families(tried: &[Tried], mutants: &[Mutant<'_>], hidden: &[&Case]) -> Vec<FamilyRow> {
    let mut rows: BTreeMap<&str, FamilyRow> = BTreeMap::new();
    for case in hidden {
        let row = rows.entry(&case.family).or_insert_with(|| FamilyRow {
            family: case.family.clone(),
            cases: 0,
            executed: 0,
            killed: 0,
            alone: 0,
        });
        row.cases += 1;
    }
    for (mutant, tried) in mutants.iter().zip(tried) {
        let Some(killers) = &tried.families else {
            continue;
        };
        let executing: HashSet<&str> = mutant
            .cases
            .iter()
            .map(|&case| hidden[case].family.as_str())
            .collect();
        for family in executing {
            if let Some(row) = rows.get_mut(family) {
                row.executed += 1;
                row.killed += usize::from(killers.contains(family));
                row.alone += usize::from(killers.len() == 1 && killers.contains(family));
            }
        }
    }
    rows.into_values().collect()
}
