//! Leaderboard, task matrix, list of runs.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::frame::{Page, scroll};
use super::plot::{self, Curve, Plot};
use super::{Row, Site, dollars, hours, percent, range, slug, title, words};
use crate::number::{self, grouped};
use crate::row::RunRow;

/// An axis of curves: its name, words for it, how a number on it is written.
type Axis = (&'static str, &'static str, fn(f64) -> String);

const AXES: [Axis; 3] = [
    ("hours", "hours at work", |at| number_of(at)),
    ("dollars", "dollars", |at| format!("${}", number_of(at))),
    ("tokens", "tokens", |at| short_count(at)),
];

fn number_of(at: f64) -> String {
    if at >= 100.0 {
        grouped(at.round() as u64)
    } else {
        let text = format!("{at:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

pub(super) fn short_count(at: f64) -> String {
    let (value, unit) = match at {
        _ if at >= 1e9 => (at / 1e9, "G"),
        _ if at >= 1e6 => (at / 1e6, "M"),
        _ if at >= 1e3 => (at / 1e3, "k"),
        _ => (at, ""),
    };
    format!("{}{unit}", number_of(value))
}

/// Curves of these systems over each axis.
pub(super) fn curves(site: &Site<'_>, systems: &[(String, String)]) -> Markup {
    let names: BTreeSet<&str> = systems.iter().map(|(system, _)| system.as_str()).collect();
    let mut steps: BTreeMap<(String, String), Vec<(f64, f64)>> = BTreeMap::new();
    for row in site.rows_of("curves") {
        let system = row.text("system");
        // The last few runs make large steps that say little.
        if let (true, Some(spent), Some(share)) = (
            names.contains(system.as_str()) && row.whole("at_risk") >= plot::LEAST,
            row.real("spent"),
            row.real("share"),
        ) {
            steps
                .entry((system, row.text("axis")))
                .or_default()
                .push((spent, share));
        }
    }
    let mut reached: BTreeMap<(String, &str), Vec<f64>> = BTreeMap::new();
    for row in site
        .results
        .rows
        .iter()
        .filter(|row| row.counted().is_some())
    {
        for (axis, of) in crate::results::AXES {
            if let Some(spent) = of(row) {
                reached.entry((row.system(), axis)).or_default().push(spent);
            }
        }
    }
    let end = |system: &str, axis: &'static str| {
        let mut spent = reached.get(&(system.to_owned(), axis))?.clone();
        spent.sort_by(|one, other| other.total_cmp(one));
        spent.get(plot::LEAST as usize - 1).copied()
    };
    html! {
        @for (axis, words, write) in AXES {
            @let curves: Vec<Curve> = systems.iter().map(|(system, _)| Curve {
                name: title(system),
                steps: steps.get(&(system.clone(), axis.to_owned())).cloned().unwrap_or_default(),
                end: end(system, axis).unwrap_or(0.0),
            }).filter(|curve| curve.end > 0.0).collect();
            @if !curves.is_empty() {
                h3 { "Over " (words) }
                (Plot { id: &format!("curve-{axis}"), title: &format!("Share of runs that are solved, over {words}"), axis: words, write, curves }.draw())
            }
        }
        p.small {
            "Kaplan-Meier: a run that is not solved says that success takes more than it spent. The axis grows by factors. "
            "A curve is drawn as far as " (plot::LEAST) " runs have come; the data have the rest."
        }
    }
}

pub(super) fn notes(site: &Site<'_>) -> Markup {
    html! {
        @if !site.results.notes.is_empty() || !site.unreadable.is_empty() {
            aside.warning aria-label="Notes" {
                ul.notes {
                    @for note in &site.results.notes { li { (words(note)) } }
                    @for note in site.unreadable { li { (words(note)) } }
                }
            }
        }
    }
}

pub(super) fn leaderboard(site: &Site<'_>) -> String {
    let rows = &site.results.rows;
    let systems = site.systems();
    let counted = rows.iter().filter(|row| row.counted().is_some());
    let targets: BTreeSet<&str> = counted.clone().map(|row| row.target.as_str()).collect();
    let tasks: BTreeSet<String> = counted.clone().map(RunRow::task).collect();
    let solved = counted
        .clone()
        .filter(|row| row.counted().is_some_and(|scored| scored.solved));
    let fact = |name: &str, value: u64| html! { div { dt { (name) } dd { (grouped(value)) } } };
    let body = html! {
        (notes(site))
        dl.facts {
            (fact("Systems", systems.len() as u64))
            (fact("Targets", targets.len() as u64))
            (fact("Tasks", tasks.len() as u64))
            (fact("Runs that count", counted.clone().count() as u64))
            (fact("Solved runs", solved.count() as u64))
        }
        (board(site, &systems))
        section #kinds aria-labelledby="kinds-heading" {
            h2 #kinds-heading { "By kind of task" }
            p { "Mean over targets of the solved rate, with its 95 % interval for other targets of that kind." }
            @for (by, name) in [("size", "Size of the target"), ("language", "Language"), ("domain", "Domain")] {
                (kinds(site, &systems, by, name))
            }
        }
        section #cost aria-labelledby="cost-heading" {
            h2 #cost-heading { "What success takes" }
            (curves(site, &systems))
        }
        (comparisons(site, &systems))
        (never(site))
    };
    let page = Page {
        title: "Leaderboard",
        crumb: "Programs rebuilt from their behaviour alone",
        up: "",
        here: "index.html",
        body,
    };
    page.write(site.more)
}

fn board(site: &Site<'_>, systems: &[(String, String)]) -> Markup {
    let reach: BTreeMap<String, Row<'_>> = site
        .rows_of("reach")
        .map(|row| (row.text("system"), row))
        .collect();
    let of =
        |row: &Row<'_>, count: &str| html! { (row.whole(count)) " of " (row.whole("targets")) };
    html! {
        section #board aria-labelledby="board-heading" {
            h2 #board-heading { "Systems" }
            p {
                "A run is solved when every visible and every hidden case passes. The rate is the mean over targets of the share "
                "of runs that are solved, with a 95 % interval for other targets like these."
            }
            (scroll("Table of systems", html! {
                table.board {
                    thead { tr {
                        th.n scope="col" { span.vh { "rank" } } th scope="col" { "system" } th.n scope="col" { "solved rate" }
                        th scope="col" { span.vh { "interval" } } th.n scope="col" { "targets solved in some run" }
                        th.n scope="col" { "targets with 99 % in some run" } th.n scope="col" { "tasks" } th.n scope="col" { "solved runs" }
                        th.n scope="col" { "dollars for each solved run" } th.n scope="col" { "hours for each" }
                    } }
                    tbody {
                        @for (place, row) in site.rows_of("systems").enumerate() {
                            @let (system, slug) = &systems[place];
                            tr {
                                td.n.rank { (place + 1) }
                                th scope="row" { a href=(format!("models/{slug}.html")) { (words(system)) } }
                                td.n { (row.estimate("mean", "mean_low", "mean_high")) }
                                td { @if let Some(mean) = row.real("mean") { (plot::interval(mean, row.real("mean_low").zip(row.real("mean_high")))) } }
                                @match reach.get(system) {
                                    Some(reached) => { td.n { (of(reached, "solved")) } td.n { (of(reached, "near")) } },
                                    None => { td.n { "-" } td.n { "-" } },
                                }
                                td.n { (row.whole("tasks")) }
                                td.n { a href=(format!("models/{slug}.html#runs")) { (grouped(row.whole("solved"))) " of " (grouped(row.whole("runs"))) } }
                                td.n { (dollars(row.real("dollars_per_solved"))) }
                                td.n { (hours(row.real("hours_per_solved"))) }
                            }
                        }
                    }
                }
            }))
        }
    }
}

fn kinds(site: &Site<'_>, systems: &[(String, String)], by: &str, name: &str) -> Markup {
    let mut cells: BTreeMap<(String, String), Row<'_>> = BTreeMap::new();
    let mut values: BTreeSet<String> = BTreeSet::new();
    for row in site.rows_of("rates").filter(|row| row.text("by") == by) {
        values.insert(row.text("value"));
        cells.insert((row.text("system"), row.text("value")), row);
    }
    let mut values: Vec<String> = values.into_iter().collect();
    if by == "size" {
        values.sort_by_key(|size| ["S", "M", "L"].iter().position(|known| known == size));
    }
    html! {
        @if !values.is_empty() {
            h3 { (name) }
            (scroll(&format!("Table by {by}"), html! {
                table.kinds {
                    thead { tr { th scope="col" { "system" } @for value in &values { th.n scope="col" { (words(value)) } } } }
                    tbody {
                        @for (system, slug) in systems {
                            tr {
                                th scope="row" { a href=(format!("models/{slug}.html#{by}")) { (words(system)) } }
                                @for value in &values {
                                    td.n {
                                        @match cells.get(&(system.clone(), value.clone())) {
                                            None => "-",
                                            Some(row) => {
                                                (row.estimate("mean", "mean_low", "mean_high"))
                                                small { (number::of(row.whole("targets"), "target")) ", " (number::of(row.whole("runs"), "run")) }
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }))
        }
    }
}

fn comparisons(site: &Site<'_>, systems: &[(String, String)]) -> Markup {
    let place = |system: &str| {
        systems
            .iter()
            .position(|(known, _)| known == system)
            .unwrap_or(usize::MAX)
    };
    let mut rows: Vec<_> = site
        .rows_of("comparisons")
        .filter_map(|row| {
            let (one, other) = (row.text("one"), row.text("other"));
            let ends = row.real("low").zip(row.real("high"));
            let difference = row.real("difference")?;
            Some(if place(&one) <= place(&other) {
                (one, other, difference, ends, row)
            } else {
                (
                    other,
                    one,
                    0.0 - difference,
                    ends.map(|(low, high)| (-high, -low)),
                    row,
                )
            })
        })
        .collect();
    rows.sort_by_key(|(one, other, ..)| (place(one), place(other)));
    html! {
        @if !rows.is_empty() {
            section #against aria-labelledby="against-heading" {
                h2 #against-heading { "Systems against each other" }
                p { "Difference of solved rates in percentage points, on the tasks that both have runs of, with a 95 % interval for other targets. Where it holds 0, these runs do not tell which is better." }
                (scroll("Table of differences", html! {
                    table {
                        thead { tr { th scope="col" { "system" } th scope="col" { "less" } th.n scope="col" { "difference" } th.n scope="col" { "interval" } th.n scope="col" { "shared tasks" } } }
                        tbody {
                            @for (one, other, difference, ends, row) in &rows {
                                tr {
                                    th scope="row" { (words(one)) }
                                    td { (words(other)) }
                                    td.n { (format!("{:+.1}", 100.0 * difference)) }
                                    td.n { @match ends { Some((low, high)) => (format!("{:+.0}\u{a0}to\u{a0}{:+.0}", 100.0 * low, 100.0 * high)), None => "-" } }
                                    td.n { (row.whole("tasks")) }
                                }
                            }
                        }
                    }
                }))
            }
        }
    }
}

fn never(site: &Site<'_>) -> Markup {
    let everyone = site
        .rows_of("reach")
        .find(|row| row.text("system").is_empty());
    let names = everyone
        .map(|row| row.text("never_solved"))
        .unwrap_or_default();
    html! {
        @if let Some(row) = everyone {
            section #never aria-labelledby="never-heading" {
                h2 #never-heading { "Targets that nobody solved" }
                p {
                    "Of " (number::of(row.whole("targets"), "target")) ", some run solved " (row.whole("solved"))
                    @if let (Some(low), Some(high)) = (row.real("solved_low"), row.real("solved_high")) { " (95 % interval of the share: " (range(low, high)) " %)" }
                    " and passed at least 99 % of the hidden cases of " (row.whole("near")) "."
                }
                @if names.is_empty() { p { "Each was solved by some run." } } @else {
                    ul.list { @for name in names.split(' ') { li { a href=(format!("targets/{}.html", slug(name))) { (words(name)) } } } }
                }
            }
        }
    }
}

pub(super) fn tasks(site: &Site<'_>) -> String {
    let systems = site.systems();
    let mut cells: BTreeMap<(String, String), Row<'_>> = BTreeMap::new();
    let mut tasks: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in site.rows_of("rates").filter(|row| row.text("by") == "task") {
        let task = row.text("value");
        let target = task.split('/').next().unwrap_or_default().to_owned();
        tasks.entry(target).or_default().insert(task.clone());
        cells.insert((row.text("system"), task), row);
    }
    let body = html! {
        p { "Solved runs of all runs that count, for each task and system. Each links to its runs." }
        (scroll("Matrix of tasks", html! {
            table.matrix {
                thead { tr { th scope="col" { "task" } @for (system, slug) in &systems { th scope="col" { a href=(format!("models/{slug}.html")) { (words(system)) } } } } }
                @for (target, tasks) in &tasks {
                    tbody {
                        tr.group { th scope="rowgroup" colspan=(systems.len() + 1) {
                            a href=(format!("targets/{}.html", slug(target))) { (words(target)) }
                            @if let Some(page) = site.targets.get(target) { " " span.meta { (words(&page.size)) ", " (words(&page.domain)) } }
                        } }
                        @for task in tasks {
                            tr {
                                th scope="row" { (words(task.split_once('/').map_or("", |(_, language)| language))) }
                                @for (system, slug) in &systems {
                                    @match cells.get(&(system.clone(), task.clone())) {
                                        None => td { span.gone { "-" } },
                                        Some(row) => {
                                            @let rate = row.real("rate").unwrap_or(0.0);
                                            td class=(format!("h{}", (rate * 4.0).ceil())) {
                                                a href=(format!("targets/{}.html#{slug}", super::slug(target))) {
                                                    (row.whole("solved")) "/" (row.whole("runs")) span.vh { " runs solved" }
                                                }
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }))
    };
    Page {
        title: "Tasks",
        crumb: "Target and language, by system",
        up: "",
        here: "tasks.html",
        body,
    }
    .write(site.more)
}

/// Rows of runs as a table; `up` leads to the top of the site.
pub(super) fn run_table(rows: &[&RunRow], up: &str, caption: &str, with_system: bool) -> Markup {
    scroll(
        caption,
        html! {
            table {
                thead { tr {
                    th scope="col" { "task" } @if with_system { th scope="col" { "system" } } th.n scope="col" { "attempt" } th scope="col" { "result" }
                    th.n scope="col" { "hidden cases" } th.n scope="col" { "dollars" } th.n scope="col" { "at work" } th scope="col" { "ended" } th scope="col" { "began" }
                } }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" { a href=(format!("{up}runs/{}.html", slug(&row.run))) { (words(&row.task())) } }
                            @if with_system { td { (words(&row.system())) } }
                            td.n { (row.attempt) }
                            td {
                                @match row.counted() {
                                    Some(scored) if scored.solved => span.yes { "solved" },
                                    Some(_) => span.no { "not solved" },
                                    None => span.no { "not counted" },
                                }
                            }
                            td.n { @match &row.scored { Some(scored) => (percent(scored.share())), None => "-" } }
                            td.n { (dollars(row.dollars)) }
                            td.n { (hours(Some(row.hours))) }
                            td { (row.state) }
                            td { (words(row.began.get(..10).unwrap_or_default())) }
                        }
                    }
                }
            }
        },
    )
}

pub(super) fn runs(site: &Site<'_>) -> String {
    let rows: Vec<&RunRow> = site.results.rows.iter().collect();
    let body = html! {
        p { (number::of(rows.len() as u64, "run")) ", by system and task. The same as data, with more columns: " a href="data.html" { "Data" } "." }
        (run_table(&rows, "", "Table of runs", true))
    };
    Page {
        title: "Runs",
        crumb: "Every run, whether it counts or not",
        up: "",
        here: "runs.html",
        body,
    }
    .write(site.more)
}
