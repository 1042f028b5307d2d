//! Figures over any set of runs. Tasks are the unit, never cases; where a figure is to hold for other targets as well,
//! targets are.

use std::collections::{BTreeMap, BTreeSet};

use crate::clusters;
use crate::interval::{Interval, Z95, pass_at_k, wilson};
use crate::row::{Catalog, RunRow};
use crate::schema;
use crate::screen::Screen;
use crate::screened;
use crate::survival::{End, Outcome, kaplan_meier, share_over_targets, step_at};
use crate::table::{Cell, Table};

/// What intervals claim to cover.
pub const LEVEL: f64 = 0.95;
/// Hours at which size, time and success are looked at.
pub const MARKS: [f64; 12] = [
    0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 48.0, 96.0, 168.0, 456.0,
];

/// Runs and what they come to.
#[derive(Debug)]
pub struct Results {
    /// The runs, by system, task and when they began.
    pub rows: Vec<RunRow>,
    /// What a reader has to know of them: runs that do not count, unknown targets, mixed versions.
    pub notes: Vec<String>,
    /// The tables of [`schema::TABLES`], in that order.
    pub tables: Vec<Table>,
}

/// What a set of runs is split by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Not at all.
    All,
    /// Size of the target.
    Size,
    /// Language.
    Language,
    /// Domain of the target.
    Domain,
    /// Target.
    Target,
    /// Target and language.
    Task,
}

impl By {
    /// Each way, in the order in which they are shown.
    pub const ALL: [By; 6] = [
        By::All,
        By::Size,
        By::Language,
        By::Domain,
        By::Target,
        By::Task,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            By::All => "all",
            By::Size => "size",
            By::Language => "language",
            By::Domain => "domain",
            By::Target => "target",
            By::Task => "task",
        }
    }

    /// Where a run belongs; `None` when its target is not known.
    pub(crate) fn value(self, row: &RunRow) -> Option<String> {
        match self {
            By::All => Some(String::new()),
            By::Size => row.facts.as_ref().map(|facts| facts.size.clone()),
            By::Language => Some(row.language.clone()),
            By::Domain => row.facts.as_ref().map(|facts| facts.domain.clone()),
            By::Target => Some(row.target.clone()),
            By::Task => Some(row.task()),
        }
    }
}

/// Runs that count, by target and language.
#[derive(Default)]
pub(crate) struct Tasks<'a>(pub(crate) BTreeMap<&'a str, BTreeMap<&'a str, Vec<&'a RunRow>>>);

impl<'a> Tasks<'a> {
    pub(crate) fn of(rows: impl IntoIterator<Item = &'a RunRow>) -> Self {
        let mut tasks = Tasks::default();
        for row in rows.into_iter().filter(|row| row.counted().is_some()) {
            let languages = tasks.0.entry(&row.target).or_default();
            languages.entry(&row.language).or_default().push(row);
        }
        tasks
    }

    pub(crate) fn tasks(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    fn runs(&self) -> impl Iterator<Item = &'a RunRow> {
        self.0
            .values()
            .flat_map(|languages| languages.values().flatten())
            .copied()
    }

    pub(crate) fn count(&self) -> (u64, u64) {
        let solved = self.runs().filter(|row| is_solved(row)).count();
        (solved as u64, self.runs().count() as u64)
    }

    /// How many targets, tasks, runs and solved runs, and both rates with their intervals, as columns of a table. `None`
    /// without runs.
    pub(crate) fn solved(&self) -> Option<Vec<Cell>> {
        let (solved, runs) = self.count();
        if runs == 0 {
            return None;
        }
        let mut cells: Vec<Cell> = [self.0.len() as u64, self.tasks() as u64, runs, solved]
            .map(Cell::from)
            .into();
        cells.extend(self::cells(wilson(solved, runs, Z95)));
        cells.extend(over_targets(&self.by_target(rate).0));
        Some(cells)
    }

    /// The mean over each target's tasks of what `value` says of solved runs and runs; tasks of which it says nothing
    /// do not count. With the number of those that do.
    pub(crate) fn by_target(&self, value: impl Fn(u64, u64) -> Option<f64>) -> (Vec<f64>, u64) {
        let mut tasks = 0;
        let means = self
            .0
            .values()
            .filter_map(|languages| {
                let found: Vec<f64> = languages
                    .values()
                    .filter_map(|runs| {
                        let solved = runs.iter().filter(|row| is_solved(row)).count();
                        value(solved as u64, runs.len() as u64)
                    })
                    .collect();
                tasks += found.len() as u64;
                (!found.is_empty()).then(|| clusters::average(&found))
            })
            .collect();
        (means, tasks)
    }
}

fn is_solved(row: &RunRow) -> bool {
    row.counted().is_some_and(|scored| scored.solved)
}

fn rate(solved: u64, runs: u64) -> Option<f64> {
    (runs > 0).then(|| solved as f64 / runs as f64)
}

/// An estimate, its lower end, its upper end.
pub(crate) fn cells(found: Option<Interval>) -> [Cell; 3] {
    match found {
        Some(found) => [found.estimate.into(), found.low.into(), found.high.into()],
        None => [Cell::Empty, Cell::Empty, Cell::Empty],
    }
}

/// The mean over targets with its interval, which one target does not have.
fn over_targets(values: &[f64]) -> [Cell; 3] {
    match values {
        [] => cells(None),
        [one] => [(*one).into(), Cell::Empty, Cell::Empty],
        values => cells(clusters::mean(values, LEVEL)),
    }
}

impl Results {
    /// Makes all tables of these runs.
    pub fn of(rows: Vec<RunRow>) -> Self {
        Self::with_screens(rows, &[], &Catalog::new())
    }

    /// Makes all tables of these runs, beside what screens say of their models. `catalog` has the sizes of targets
    /// without runs.
    pub fn with_screens(mut rows: Vec<RunRow>, screens: &[Screen], catalog: &Catalog) -> Self {
        rows.sort_by_cached_key(|row| {
            (row.system(), row.task(), row.began.clone(), row.run.clone())
        });
        let mut before = None;
        let mut number = 0;
        for row in &mut rows {
            let here = Some((row.system(), row.task()));
            number = if here == before { number + 1 } else { 1 };
            before = here;
            row.attempt = number;
        }
        let mut systems: BTreeMap<String, Vec<&RunRow>> = BTreeMap::new();
        for row in &rows {
            systems.entry(row.system()).or_default().push(row);
        }
        let tables = vec![
            runs(&rows),
            summaries(&systems),
            rates(&systems),
            attempts(&systems),
            reach(&rows, &systems),
            targets(&rows, &systems),
            comparisons(&systems),
            curves(&systems),
            profile(&systems),
            screened::screens(&systems, screens, catalog),
            screened::rates(&systems, screens),
        ];
        let mut notes = notes(&rows, &systems);
        notes.extend(screened::notes(&systems, screens));
        Results {
            rows,
            notes,
            tables,
        }
    }

    /// A table by its name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.schema.name == name)
    }

    /// Everything as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        let tables: serde_json::Map<String, serde_json::Value> = self
            .tables
            .iter()
            .map(|table| (table.schema.name.to_owned(), table.to_json()))
            .collect();
        serde_json::json!({
            "format": schema::FORMAT,
            "level": LEVEL,
            "notes": self.notes,
            "tables": tables,
        })
    }
}

fn runs(rows: &[RunRow]) -> Table {
    let mut table = Table::new(schema::RUNS_TABLE);
    for row in rows {
        let scored = row.scored.as_ref();
        let end = row.end().map(|end| match end {
            End::Solved => "solved",
            End::Wrong => "wrong",
            End::Censored => "censored",
        });
        let facts = row.facts.as_ref();
        table.push(vec![
            row.run.as_str().into(),
            row.task().into(),
            row.target.as_str().into(),
            row.language.as_str().into(),
            facts.map(|facts| facts.domain.as_str()).into(),
            facts.map(|facts| facts.size.as_str()).into(),
            row.system().into(),
            row.model.as_str().into(),
            row.agent.as_str().into(),
            row.attempt.into(),
            row.began.as_str().into(),
            row.state.into(),
            row.counted().is_some().into(),
            row.excluded.as_deref().into(),
            scored.map(|scored| scored.solved).into(),
            scored.map(|scored| scored.near()).into(),
            end.into(),
            scored.map(|scored| scored.hidden.0).into(),
            scored.map(|scored| scored.hidden.1).into(),
            scored.map(|scored| scored.visible.0).into(),
            scored.map(|scored| scored.visible.1).into(),
            scored.map(|scored| scored.share()).into(),
            row.tokens.into(),
            row.possible_tokens.into(),
            row.dollars.into(),
            row.hours.into(),
            row.active_hours.into(),
            row.tool_hours.into(),
            row.turns.into(),
            row.oracle_calls.into(),
            row.evaluations.into(),
            row.compactions.into(),
            scored.map(|scored| scored.submission.as_str()).into(),
            scored.and_then(|scored| scored.lock.as_deref()).into(),
            row.mirrorcode.as_str().into(),
        ]);
    }
    table
}

pub(crate) type Systems<'a> = BTreeMap<String, Vec<&'a RunRow>>;

fn summaries(systems: &Systems<'_>) -> Table {
    let mut rows = Vec::new();
    for (system, all) in systems {
        let tasks = Tasks::of(all.iter().copied());
        let (solved, runs) = tasks.count();
        let (values, _) = tasks.by_target(rate);
        let order = if values.is_empty() {
            -1.0
        } else {
            clusters::average(&values)
        };
        let [mean, low, high] = over_targets(&values);
        let dollars = tasks
            .runs()
            .map(|row| row.dollars)
            .sum::<Option<f64>>()
            .filter(|_| runs > 0);
        let hours: f64 = tasks.runs().map(|row| row.hours).sum();
        let tokens = tasks
            .runs()
            .fold(0_u64, |sum, row| sum.saturating_add(row.tokens));
        let each = |sum: f64| (solved > 0).then(|| sum / solved as f64);
        rows.push((
            order,
            vec![
                system.as_str().into(),
                all[0].model.as_str().into(),
                all[0].agent.as_str().into(),
                tasks.0.len().into(),
                tasks.tasks().into(),
                runs.into(),
                solved.into(),
                (all.len() as u64 - runs).into(),
                mean,
                low,
                high,
                tokens.into(),
                dollars.into(),
                hours.into(),
                dollars.and_then(each).into(),
                each(hours).into(),
            ],
        ));
    }
    // Best first; those that are as good, by name.
    rows.sort_by(|one, other| other.0.total_cmp(&one.0));
    let mut table = Table::new(schema::SYSTEMS);
    rows.into_iter().for_each(|(_, row)| table.push(row));
    table
}

fn rates(systems: &Systems<'_>) -> Table {
    let mut table = Table::new(schema::RATES);
    for (system, all) in systems {
        for by in By::ALL {
            let mut groups: BTreeMap<String, Vec<&RunRow>> = BTreeMap::new();
            for row in all {
                if let Some(value) = by.value(row) {
                    groups.entry(value).or_default().push(row);
                }
            }
            for (value, rows) in groups {
                let tasks = Tasks::of(rows);
                let Some(solved) = tasks.solved() else {
                    continue;
                };
                let mut row: Vec<Cell> = vec![
                    system.as_str().into(),
                    by.name().into(),
                    (by != By::All).then_some(value).into(),
                ];
                row.extend(solved);
                table.push(row);
            }
        }
    }
    table
}

fn attempts(systems: &Systems<'_>) -> Table {
    let mut table = Table::new(schema::ATTEMPTS);
    for (system, all) in systems {
        let sizes: BTreeSet<Option<String>> = all
            .iter()
            .filter_map(|row| By::Size.value(row))
            .map(Some)
            .chain([None])
            .collect();
        for size in sizes {
            let kept = all.iter().copied();
            let tasks = Tasks::of(kept.filter(|row| size.is_none() || By::Size.value(row) == size));
            let most = tasks
                .0
                .values()
                .flat_map(BTreeMap::values)
                .map(Vec::len)
                .max();
            for k in 1..=most.unwrap_or(0) as u64 {
                let (values, counted) = tasks.by_target(|solved, runs| pass_at_k(solved, runs, k));
                let by = if size.is_none() { By::All } else { By::Size };
                let mut row: Vec<Cell> = vec![
                    system.as_str().into(),
                    by.name().into(),
                    size.clone().into(),
                    k.into(),
                    values.len().into(),
                    counted.into(),
                ];
                row.extend(over_targets(&values));
                table.push(row);
            }
        }
    }
    table
}

fn reach(rows: &[RunRow], systems: &Systems<'_>) -> Table {
    let mut table = Table::new(schema::REACH);
    let everyone = (None, Tasks::of(rows));
    let each = systems
        .iter()
        .map(|(system, rows)| (Some(system.as_str()), Tasks::of(rows.iter().copied())));
    for (system, tasks) in std::iter::once(everyone).chain(each) {
        let any = |wanted: &dyn Fn(&RunRow) -> bool| -> BTreeSet<&str> {
            tasks
                .runs()
                .filter(|row| wanted(row))
                .map(|row| row.target.as_str())
                .collect()
        };
        let solved = any(&is_solved);
        let near = any(&|row| row.counted().is_some_and(|scored| scored.near()));
        let all = tasks.0.len() as u64;
        let never: Vec<&str> = tasks
            .0
            .keys()
            .copied()
            .filter(|target| !solved.contains(target))
            .collect();
        let mut row: Vec<Cell> = vec![system.into(), all.into(), solved.len().into()];
        row.extend(cells(wilson(solved.len() as u64, all, Z95)));
        row.push(near.len().into());
        row.extend(cells(wilson(near.len() as u64, all, Z95)));
        row.push(never.join(" ").into());
        table.push(row);
    }
    table
}

fn targets(rows: &[RunRow], systems: &Systems<'_>) -> Table {
    let mut table = Table::new(schema::TARGETS_TABLE);
    let everyone = (None, Tasks::of(rows));
    let each = systems
        .iter()
        .map(|(system, rows)| (Some(system.as_str()), Tasks::of(rows.iter().copied())));
    for (system, tasks) in std::iter::once(everyone).chain(each) {
        for (target, languages) in &tasks.0 {
            let runs: Vec<&RunRow> = languages.values().flatten().copied().collect();
            let facts = runs[0].facts.as_ref();
            let best = runs
                .iter()
                .filter_map(|row| row.counted())
                .map(|scored| scored.share());
            let solved = |rows: &[&RunRow]| rows.iter().filter(|row| is_solved(row)).count();
            table.push(vec![
                system.into(),
                (*target).into(),
                facts.map(|facts| facts.domain.as_str()).into(),
                facts.map(|facts| facts.size.as_str()).into(),
                languages.len().into(),
                runs.len().into(),
                solved(&runs).into(),
                languages
                    .values()
                    .filter(|runs| solved(runs) > 0)
                    .count()
                    .into(),
                best.fold(0.0, f64::max).into(),
                runs.iter()
                    .any(|row| row.counted().is_some_and(|scored| scored.near()))
                    .into(),
            ]);
        }
    }
    table
}

fn comparisons(systems: &Systems<'_>) -> Table {
    let mut table = Table::new(schema::COMPARISONS);
    let tasks: Vec<(&String, Tasks<'_>)> = systems
        .iter()
        .map(|(system, rows)| (system, Tasks::of(rows.iter().copied())))
        .collect();
    for (place, (one, ours)) in tasks.iter().enumerate() {
        for (other, theirs) in &tasks[place + 1..] {
            let mut shared = 0_usize;
            let mut differences = Vec::new();
            for (target, languages) in &ours.0 {
                let Some(opposite) = theirs.0.get(target) else {
                    continue;
                };
                let share = |runs: &[&RunRow]| {
                    runs.iter().filter(|row| is_solved(row)).count() as f64 / runs.len() as f64
                };
                let found: Vec<f64> = languages
                    .iter()
                    .filter_map(|(language, runs)| {
                        Some(share(runs) - share(opposite.get(language)?))
                    })
                    .collect();
                shared += found.len();
                if !found.is_empty() {
                    differences.push(clusters::average(&found));
                }
            }
            if differences.is_empty() {
                continue;
            }
            let mut row: Vec<Cell> = vec![
                one.as_str().into(),
                other.as_str().into(),
                differences.len().into(),
                shared.into(),
            ];
            row.extend(match clusters::difference(&differences, LEVEL) {
                None => [differences[0].into(), Cell::Empty, Cell::Empty],
                found => cells(found),
            });
            table.push(row);
        }
    }
    table
}

/// What a run can be measured by.
type Axis = (&'static str, fn(&RunRow) -> Option<f64>);

/// The axes of [`schema::CURVES`]. A run of a person has no tokens and no price.
pub(crate) const AXES: [Axis; 3] = [
    ("tokens", |row| {
        (row.tokens > 0).then_some(row.tokens as f64)
    }),
    ("dollars", |row| row.dollars.filter(|_| row.tokens > 0)),
    ("hours", |row| Some(row.hours)),
];

fn outcome(row: &RunRow, axis: fn(&RunRow) -> Option<f64>) -> Option<Outcome> {
    Some(Outcome {
        spent: axis(row)?,
        end: row.end()?,
    })
}

fn curves(systems: &Systems<'_>) -> Table {
    let mut table = Table::new(schema::CURVES);
    for (system, rows) in systems {
        for (name, axis) in AXES {
            let outcomes: Vec<Outcome> = rows.iter().filter_map(|row| outcome(row, axis)).collect();
            for step in kaplan_meier(&outcomes) {
                let [_, low, high] = cells(step.interval(Z95));
                table.push(vec![
                    system.as_str().into(),
                    name.into(),
                    step.spent.into(),
                    step.at_risk.into(),
                    step.solved.into(),
                    step.share.into(),
                    step.error.into(),
                    low,
                    high,
                    step.incidence.into(),
                ]);
            }
        }
    }
    table
}

fn profile(systems: &Systems<'_>) -> Table {
    let mut table = Table::new(schema::PROFILE);
    for (system, rows) in systems {
        let sizes: BTreeSet<String> = rows.iter().filter_map(|row| By::Size.value(row)).collect();
        for size in ["S", "M", "L"]
            .into_iter()
            .filter(|size| sizes.contains(*size))
        {
            let tasks = Tasks::of(
                rows.iter()
                    .copied()
                    .filter(|row| By::Size.value(row).as_deref() == Some(size)),
            );
            let runs: Vec<(usize, Outcome)> = tasks
                .0
                .values()
                .enumerate()
                .flat_map(|(target, languages)| {
                    languages.values().flatten().map(move |row| (target, *row))
                })
                .filter_map(|(target, row)| Some((target, outcome(row, |row| Some(row.hours))?)))
                .collect();
            let outcomes: Vec<Outcome> = runs.iter().map(|(_, outcome)| *outcome).collect();
            let steps = kaplan_meier(&outcomes);
            let all_solved = outcomes.iter().all(|outcome| outcome.end == End::Solved);
            if outcomes.is_empty() {
                continue;
            }
            for mark in MARKS {
                let longer = outcomes
                    .iter()
                    .filter(|outcome| outcome.spent > mark)
                    .count();
                let within = outcomes
                    .iter()
                    .filter(|outcome| outcome.spent <= mark && outcome.end == End::Solved);
                let seen = longer > 0 || all_solved;
                let step = step_at(&steps, mark);
                let [share, low, high] = match (seen, tasks.0.len()) {
                    (false, _) => cells(None),
                    (true, 1) => [
                        step.map_or(0.0, |step| step.share).into(),
                        Cell::Empty,
                        Cell::Empty,
                    ],
                    (true, _) => cells(share_over_targets(&runs, mark, LEVEL)),
                };
                table.push(vec![
                    system.as_str().into(),
                    size.into(),
                    mark.into(),
                    outcomes.len().into(),
                    tasks.0.len().into(),
                    within.count().into(),
                    longer.into(),
                    share,
                    low,
                    high,
                    seen.then(|| step.map_or(0.0, |step| step.incidence)).into(),
                ]);
            }
        }
    }
    table
}

/// What a reader has to know before the figures are compared.
fn notes(rows: &[RunRow], systems: &Systems<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let mut excluded: BTreeMap<&str, u64> = BTreeMap::new();
    for why in rows.iter().filter_map(|row| row.excluded.as_deref()) {
        *excluded.entry(why).or_default() += 1;
    }
    for (why, count) in excluded {
        notes.push(format!(
            "{} not counted: {why}",
            crate::number::of(count, "run")
        ));
    }
    let unknown: BTreeSet<&str> = rows
        .iter()
        .filter(|row| row.facts.is_none())
        .map(|row| row.target.as_str())
        .collect();
    if !unknown.is_empty() {
        let names: Vec<&str> = unknown.into_iter().collect();
        notes.push(format!(
            "size and domain are not known here of: {}",
            names.join(", ")
        ));
    }
    let mut locks: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in rows {
        if let Some(lock) = row.counted().and_then(|scored| scored.lock.as_deref()) {
            locks.entry(&row.target).or_default().insert(lock);
        }
    }
    for (target, locks) in locks.iter().filter(|(_, locks)| locks.len() > 1) {
        notes.push(format!(
            "runs of {target} were scored with {} versions of its cases",
            locks.len()
        ));
    }
    for (system, rows) in systems {
        let mut settings: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, value) in rows
            .iter()
            .filter(|row| row.counted().is_some())
            .flat_map(|row| &row.settings)
        {
            settings.entry(name).or_default().insert(value);
        }
        for (name, values) in settings.iter().filter(|(_, values)| values.len() > 1) {
            let values: Vec<&str> = values.iter().copied().collect();
            notes.push(format!(
                "runs of {system} differ in {name}: {}",
                values.join(", ")
            ));
        }
    }
    notes
}
