//! What models know by heart of the references, beside what they solve.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::frame::{Page, scroll};
use super::{Row, Site, percent, plot, range, slug, words};
use crate::number::{self, grouped};

/// From 0 to 1, as similarities and p-values are written.
fn decimal(value: Option<f64>, digits: usize) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value > 0.0 && value < 0.1_f64.powi(digits as i32) => {
            format!("< {:.digits$}", 0.1_f64.powi(digits as i32))
        }
        Some(value) => format!("{value:.digits$}"),
    }
}

fn flagged(row: &Row<'_>) -> Markup {
    html! {
        @match row.flag("flagged") {
            Some(true) => span.no { "flagged" },
            Some(false) => "not flagged",
            None => "not tested",
        }
    }
}

pub(super) fn page(site: &Site<'_>) -> String {
    let rows: Vec<Row<'_>> = site.rows_of("screen").collect();
    let models: BTreeSet<String> = rows.iter().map(|row| row.text("model")).collect();
    let body = html! {
        p {
            "A model that has the source code of a program by heart rebuilds it from memory as well as from its behaviour. So each model is asked to write "
            "functions of the references' source code, given no more than program, file and signature, and what it writes is compared with the original: "
            "twice the longest common subsequence of both bodies' tokens over the sum of their lengths. It is asked the same of programs that are newer than "
            "what it has read: the baseline. A target is flagged when its mean is higher than programs like those of the baseline have it by chance "
            "(Crawford and Howell's t-test of one case beside a few, corrected for all targets of a model by Holm's method, 5 %)."
        }
        p { "A flag says that a model has read the program, and not that it copied it. No flag says that nothing was found: few functions, or few programs in the baseline, find little." }
        @if rows.is_empty() {
            p.warning role="note" { "No screen was given to this site: " code { "mirrorcode screen" } " makes one, and " code { "mirrorcode report --screen" } " shows it." }
        } @else {
            section aria-labelledby="rates-heading" {
                h2 #rates-heading { "Solved rates with and without flagged targets" }
                (rates(site))
            }
            @for (place, model) in models.iter().enumerate() {
                section aria-labelledby=(format!("model-{place}")) {
                    h2 id=(format!("model-{place}")) { (words(model)) }
                    (targets(&rows, model, place))
                }
            }
        }
    };
    Page {
        title: "Memorization",
        crumb: "What models know by heart",
        up: "",
        here: "memorization.html",
        body,
    }
    .write(site.more)
}

fn rates(site: &Site<'_>) -> Markup {
    let mut groups: BTreeMap<(String, String), BTreeMap<String, Row<'_>>> = BTreeMap::new();
    for row in site.rows_of("memorization") {
        groups
            .entry((row.text("system"), row.text("value")))
            .or_default()
            .insert(row.text("kept"), row);
    }
    let kinds = ["all", "not flagged", "flagged", "not tested"];
    html! {
        @if groups.is_empty() {
            p { "No run here is of a model that was screened." }
        } @else {
            p { "The mean over targets, and its interval for other targets like these; below it the targets and the runs that it is made of." }
            (scroll("Table of solved rates by what the screen says", html! {
                table {
                    thead { tr { th scope="col" { "system" } th scope="col" { "size" } @for kind in kinds { th.n scope="col" { (kind) } } } }
                    tbody {
                        @for ((system, size), found) in &groups {
                            tr {
                                th scope="row" { (words(system)) }
                                td { @if size.is_empty() { "all" } @else { (words(size)) } }
                                @for kind in kinds {
                                    td.n {
                                        @match found.get(kind) {
                                            None => "-",
                                            Some(row) => {
                                                (row.estimate("mean", "mean_low", "mean_high"))
                                                small { (number::of(row.whole("targets"), "target")) ", " (row.whole("solved")) " of " (number::of(row.whole("runs"), "run")) }
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

fn targets(rows: &[Row<'_>], model: &str, place: usize) -> Markup {
    let mut own: Vec<&Row<'_>> = rows
        .iter()
        .filter(|row| row.text("model") == model)
        .collect();
    let order = |row: &Row<'_>| row.real("similarity").unwrap_or(-1.0);
    own.sort_by(|one, other| order(other).total_cmp(&order(one)));
    let systems: BTreeSet<String> = own.iter().map(|row| row.text("system")).collect();
    let several = systems.len() > 1;
    let baseline = own
        .first()
        .and_then(|row| Some((row.real("baseline")?, row.whole("programs"))));
    html! {
        @match baseline {
            Some((mean, programs)) => p { "Baseline: " (number::of(programs, "program")) ", mean similarity " b { (decimal(Some(mean), 2)) } "." },
            None => p.warning role="note" { "There was no baseline, so nothing is tested." },
        }
        (scroll(&format!("Table of targets, model {}", place + 1), html! {
            table {
                thead { tr {
                    th scope="col" { "target" } th scope="col" { "size" } @if several { th scope="col" { "system" } }
                    th.n scope="col" { "functions" } th.n scope="col" { "similarity" } th scope="col" { span.vh { "drawing" } }
                    th.n scope="col" { "p, corrected" } th scope="col" { "screen" } th.n scope="col" { "solved runs" } th.n scope="col" { "rate" }
                } }
                tbody {
                    @for row in own {
                        tr {
                            th scope="row" { a href=(format!("targets/{}.html", slug(&row.text("target")))) { (words(&row.text("target"))) } }
                            td { (words(&row.text("size"))) }
                            @if several { td { (words(&row.text("system"))) } }
                            td.n { (grouped(row.whole("functions"))) @if row.whole("refused") > 0 { small { (grouped(row.whole("refused"))) " refused" } } }
                            td.n { (similarity(row)) }
                            td { @if let Some(mean) = row.real("similarity") { (plot::interval(mean, row.real("similarity_low").zip(row.real("similarity_high")))) } }
                            td.n { (decimal(row.real("p_corrected"), 4)) }
                            td { (flagged(row)) }
                            td.n { @if row.whole("runs") == 0 { "no runs" } @else { (row.whole("solved")) " of " (row.whole("runs")) } }
                            td.n { (rate(row)) }
                        }
                    }
                }
            }
        }))
    }
}

fn similarity(row: &Row<'_>) -> Markup {
    let ends = row.real("similarity_low").zip(row.real("similarity_high"));
    html! {
        (decimal(row.real("similarity"), 2))
        @if let Some((low, high)) = ends { small { (decimal(Some(low), 2)) " to " (decimal(Some(high), 2)) } }
    }
}

fn rate(row: &Row<'_>) -> Markup {
    html! {
        @match row.real("rate") {
            None => "-",
            Some(share) => {
                (percent(share))
                @if let (Some(low), Some(high)) = (row.real("rate_low"), row.real("rate_high")) { small { (range(low, high)) } }
            }
        }
    }
}

/// What screens say of one target; nothing where there is none.
pub(super) fn of_target(site: &Site<'_>, name: &str) -> Markup {
    let mut seen = BTreeSet::new();
    let own: Vec<Row<'_>> = site
        .rows_of("screen")
        .filter(|row| row.text("target") == name && seen.insert(row.text("model")))
        .collect();
    html! {
        @if !own.is_empty() {
            section #memorization aria-labelledby="memorization-heading" {
                h2 #memorization-heading { "What models know of it by heart" }
                p { "How alike functions of its source code are that models write from memory: " a href="../memorization.html" { "Memorization" } "." }
                (scroll("Table of screens", html! {
                    table {
                        thead { tr { th scope="col" { "model" } th.n scope="col" { "functions" } th.n scope="col" { "similarity" } th.n scope="col" { "baseline" } th.n scope="col" { "p, corrected" } th scope="col" { "screen" } } }
                        tbody {
                            @for row in &own {
                                tr {
                                    th scope="row" { (words(&row.text("model"))) }
                                    td.n { (row.whole("functions")) }
                                    td.n { (similarity(row)) }
                                    td.n { (decimal(row.real("baseline"), 2)) }
                                    td.n { (decimal(row.real("p_corrected"), 4)) }
                                    td { (flagged(row)) }
                                }
                            }
                        }
                    }
                }))
            }
        }
    }
}
