//! Test strength: how many small changes of the reference's machine code the hidden cases notice.
//!
//! No source is needed. The conditions of the program's code are found by disassembly, every case is run once to see
//! which of them it executes, and a seeded sample of those is turned around, one at a time, in a copy. A condition that
//! no case notices is one that a submission may get wrong and still count as solved.
//!
//! - [`object`] finds conditions, and what one byte makes of them;
//! - `cover` finds out by breakpoints which cases execute them;
//! - `run` tries changed copies in the sandbox in which expected output was captured;
//! - [`record`] is what is published.

mod cover;
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

use self::object::{Kind, Site};
use self::record::{Counted, FamilyRow, Group, MutantRow, ObjectRow, Reached, Record};
pub use self::run::Outcome;
use self::run::{Bench, Mutant, Tried};
use self::stage::{Copies, Part};

/// How many mutants of a sample are asked which of all families notice them.
const ASKED_OF_ALL: usize = 60;
/// Other kinds than jumps have this part of the sample each.
const OTHER_KINDS: usize = 4;
/// Conditions with breakpoints in the first round. Each executed one costs a case two switches between processes.
const ROUND: usize = 8_000;
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

/// A condition among those of all parts.
struct Condition<'a> {
    part: usize,
    site: &'a Site,
    /// Its place in the order of drawing.
    rank: usize,
    /// Cases that execute it, by number: the visible ones come first.
    cases: Vec<usize>,
    groups: Vec<Group>,
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

/// The order in which conditions are examined, and how far the examination has come.
///
/// The order is that of a hash over seed, file and place: it depends neither on the cases nor on what else is executed, so
/// that two measurements before and after a change of the families draw alike. What is executed among the first
/// conditions of the order is a random sample of all that is executed.
struct Draw {
    /// The place of each condition in the order, by its number.
    rank: Vec<usize>,
    /// The program's own conditions, in this order, of which the first are examined in the first round.
    own_first: Vec<bool>,
    /// How many of the order are examined.
    done: usize,
    step: usize,
}

impl Draw {
    fn new(parts: &[Part], options: Options) -> Self {
        let mut order: Vec<(Digest, usize, bool)> = Vec::new();
        for part in parts {
            for site in &part.object.sites {
                let key = format!("{} {} {}", options.seed, part.digest, site.offset);
                let own = part.object.names.is_own(site.address) == Some(true);
                order.push((Digest::of(key.as_bytes()), order.len(), own));
            }
        }
        let count = order.len();
        order.sort_unstable();
        let (mut rank, mut own_first) = (vec![0; count], vec![false; count]);
        let mut own_left = ROUND;
        for (place, (_, number, own)) in order.into_iter().enumerate() {
            rank[number] = place;
            if own && own_left > 0 {
                own_left -= 1;
                own_first[number] = true;
            }
        }
        Draw {
            rank,
            own_first,
            done: 0,
            step: ROUND,
        }
    }

    /// Marks what is to be examined next.
    fn next(&mut self) -> Vec<bool> {
        let (first, from) = (self.done == 0, self.done);
        self.done = (self.done + self.step).min(self.rank.len());
        // What is rare takes many rounds; a round costs as much for its cases as for its stops.
        self.step *= 2;
        let wanted = |number: usize| {
            let rank = self.rank[number];
            let now = (from..self.done).contains(&rank);
            match first {
                true => now || self.own_first[number],
                false => now && !self.own_first[number],
            }
        };
        (0..self.rank.len()).map(wanted).collect()
    }

    fn is_done(&self) -> bool {
        self.done == self.rank.len()
    }

    fn examined(&self, parts: &[Part], kind: Kind) -> usize {
        let sites = parts.iter().flat_map(|part| &part.object.sites);
        let ranks = self.rank.iter().zip(sites);
        let of = |(rank, site): &(&usize, &Site)| **rank < self.done && site.kind == kind;
        ranks.filter(of).count()
    }
}

/// The conditions that at least one case executes, in the order of drawing, and to which groups each belongs.
fn conditions<'a>(parts: &'a [Part], executed: &[Vec<u32>], draw: &Draw) -> Vec<Condition<'a>> {
    let mut conditions: Vec<Condition<'a>> = parts
        .iter()
        .enumerate()
        .flat_map(|(part, of)| {
            of.object.sites.iter().map(move |site| Condition {
                part,
                site,
                rank: 0,
                cases: Vec::new(),
                groups: Vec::new(),
            })
        })
        .collect();
    for (condition, &rank) in conditions.iter_mut().zip(&draw.rank) {
        condition.rank = rank;
    }
    for (case, sites) in executed.iter().enumerate() {
        for &site in sites {
            conditions[site as usize].cases.push(case);
        }
    }
    conditions.retain(|condition| !condition.cases.is_empty());
    conditions.sort_by_key(|condition| condition.rank);
    for condition in &mut conditions {
        let in_order = condition.rank < draw.done;
        let by_some = condition.cases.len() < executed.len();
        let names = &parts[condition.part].object.names;
        let own = by_some && names.is_own(condition.site.address) == Some(true);
        let groups = [
            (in_order, Group::All),
            (in_order && by_some, Group::Some),
            (own, Group::Own),
        ];
        condition.groups = groups
            .into_iter()
            .filter_map(|(belongs, group)| belongs.then_some(group))
            .collect();
    }
    conditions
}

fn wanted(kind: Kind, options: Options) -> usize {
    match kind {
        Kind::Jump => options.sample,
        _ => options.sample.div_ceil(OTHER_KINDS),
    }
}

/// Whether a sample can be drawn of every kind.
fn is_enough(conditions: &[Condition<'_>], options: Options) -> bool {
    Kind::ALL.into_iter().all(|kind| {
        let of = |condition: &&Condition<'_>| {
            condition.site.kind == kind && condition.groups.contains(&Group::Some)
        };
        conditions.iter().filter(of).count() >= wanted(kind, options)
    })
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

/// Draws, for each kind and group, as many conditions as wanted, each with the groups that it was drawn for.
fn sample<'a>(
    conditions: &'a [Condition<'a>],
    options: Options,
) -> Vec<(&'a Condition<'a>, Vec<Group>)> {
    let mut drawn: BTreeMap<(Kind, Group), usize> = BTreeMap::new();
    let mut sample = Vec::new();
    for condition in conditions {
        let kind = condition.site.kind;
        let mut groups = condition.groups.clone();
        groups.retain(|&group| {
            let count = drawn.entry((kind, group)).or_default();
            *count += 1;
            *count <= wanted(kind, options)
        });
        if !groups.is_empty() {
            sample.push((condition, groups));
        }
    }
    sample
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
