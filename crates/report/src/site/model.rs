//! A system's page.

use maud::{Markup, html};

use super::frame::{Page, scroll};
use super::{Row, Site, dollars, hours, overview, percent, plot, range, slug, title, words};
use crate::number::{self, grouped};
use crate::row::RunRow;

pub(super) fn page(site: &Site<'_>, system: &str) -> String {
    let own = |table: &'static str| {
        site.rows_of(table)
            .filter(|row| row.text("system") == system)
    };
    let rows: Vec<&RunRow> = site
        .results
        .rows
        .iter()
        .filter(|row| row.system() == system)
        .collect();
    let known = [(system.to_owned(), String::new())];
    let body = html! {
        @if let Some(row) = own("systems").next() { (facts(&row)) }
        section aria-labelledby="rates-heading" {
            h2 #rates-heading { "Solved rates" }
            p {
                "Two intervals, two questions. " b { "Same tasks" } ": how often would these tasks be solved if they were tried again (Wilson, over runs)? "
                b { "Other targets" } ": how often would other targets of this kind be solved (over targets)?"
            }
            @for (by, name) in [("size", "Size"), ("language", "Language"), ("domain", "Domain"), ("target", "Target")] {
                (rates(own("rates").filter(|row| row.text("by") == by).collect(), by, name))
            }
        }
        (attempts(own("attempts").collect()))
        section aria-labelledby="cost-heading" {
            h2 #cost-heading { "What success takes" }
            (overview::curves(site, &known))
        }
        (profile(own("profile").collect()))
        section #runs aria-labelledby="runs-heading" {
            h2 #runs-heading { "Runs" }
            (overview::run_table(&rows, "../", "Table of runs", false))
        }
    };
    Page {
        title: &title(system),
        crumb: "System",
        up: "../",
        here: "",
        body,
    }
    .write(site.more)
}

fn facts(row: &Row<'_>) -> Markup {
    let fact = |name: &str, value: String, more: Option<String>| {
        html! { div { dt { (name) } dd { (value) @if let Some(more) = more { small { (more) } } } } }
    };
    let ends = row.real("mean_low").zip(row.real("mean_high"));
    let excluded = row.whole("excluded");
    html! {
        dl.facts {
            (fact("Solved rate", row.real("mean").map_or_else(|| "-".to_owned(), percent), ends.map(|(low, high)| format!("{} for other targets", range(low, high)))))
            (fact("Solved runs", format!("{} of {}", grouped(row.whole("solved")), grouped(row.whole("runs"))), (excluded > 0).then(|| format!("{} more not counted", grouped(excluded)))))
            (fact("Targets", row.whole("targets").to_string(), Some(number::of(row.whole("tasks"), "task"))))
            (fact("Tokens", overview::short_count(row.whole("tokens") as f64), None))
            (fact("Cost", dollars(row.real("dollars")), Some(format!("{} for each solved run", dollars(row.real("dollars_per_solved"))))))
            (fact("Time at work", hours(row.real("hours")), Some(format!("{} for each solved run", hours(row.real("hours_per_solved"))))))
        }
    }
}

fn rates(rows: Vec<Row<'_>>, by: &str, name: &str) -> Markup {
    html! {
        @if !rows.is_empty() {
            h3 id=(by) { (name) }
            (scroll(&format!("Table by {by}"), html! {
                table {
                    thead { tr {
                        th scope="col" { (by) } @if by != "target" { th.n scope="col" { "targets" } } th.n scope="col" { "tasks" } th.n scope="col" { "solved runs" }
                        th.n scope="col" { "rate, same tasks" } th scope="col" { span.vh { "drawing" } }
                        @if by != "target" { th.n scope="col" { "mean, other targets" } }
                    } }
                    tbody {
                        @for row in rows {
                            tr {
                                th scope="row" { @if by == "target" { a href=(format!("../targets/{}.html", slug(&row.text("value")))) { (words(&row.text("value"))) } } @else { (words(&row.text("value"))) } }
                                @if by != "target" { td.n { (row.whole("targets")) } }
                                td.n { (row.whole("tasks")) }
                                td.n { a href="#runs" { (grouped(row.whole("solved"))) " of " (grouped(row.whole("runs"))) } }
                                td.n { (row.estimate("rate", "rate_low", "rate_high")) }
                                td { @if let Some(rate) = row.real("rate") { (plot::interval(rate, row.real("rate_low").zip(row.real("rate_high")))) } }
                                @if by != "target" { td.n { (row.estimate("mean", "mean_low", "mean_high")) } }
                            }
                        }
                    }
                }
            }))
        }
    }
}

fn attempts(rows: Vec<Row<'_>>) -> Markup {
    html! {
        @if !rows.is_empty() {
            section #attempts aria-labelledby="attempts-heading" {
                h2 #attempts-heading { "Several attempts" }
                p { "pass@k: the chance that at least one of k attempts is solved, over the tasks with at least k runs." }
                (scroll("Table of attempts", html! {
                    table {
                        thead { tr { th scope="col" { "targets" } th.n scope="col" { "k" } th.n scope="col" { "tasks" } th.n scope="col" { "pass@k" } th scope="col" { span.vh { "drawing" } } } }
                        tbody {
                            @for row in rows {
                                tr {
                                    th scope="row" { @if row.text("by") == "all" { "all" } @else { "size " (words(&row.text("value"))) } }
                                    td.n { (row.whole("k")) }
                                    td.n { (row.whole("tasks")) }
                                    td.n { (row.estimate("pass", "low", "high")) }
                                    td { @if let Some(pass) = row.real("pass") { (plot::interval(pass, row.real("low").zip(row.real("high")))) } }
                                }
                            }
                        }
                    }
                }))
            }
        }
    }
}

/// A mark of [`crate::MARKS`] in words.
fn mark_words(hours: f64) -> String {
    match hours {
        _ if hours < 1.0 => number::of((hours * 60.0) as u64, "minute"),
        _ if hours < 48.0 => number::of(hours as u64, "hour"),
        _ => number::of((hours / 24.0) as u64, "day"),
    }
}

fn profile(rows: Vec<Row<'_>>) -> Markup {
    let sizes: Vec<String> = ["S", "M", "L"]
        .into_iter()
        .filter(|size| rows.iter().any(|row| row.text("size") == *size))
        .map(str::to_owned)
        .collect();
    html! {
        @if !rows.is_empty() {
            section #profile aria-labelledby="profile-heading" {
                h2 #profile-heading { "Size, time and success" }
                p { "Share of runs that are solved within so many hours at work, with its interval for other targets. Nothing is said of hours that no run has seen." }
                (scroll("Table of size, time and success", html! {
                    table {
                        thead { tr { th scope="col" { "within" } @for size in &sizes { th.n scope="col" { "size " (size) } th.n scope="col" { "solved, still at work" } } } }
                        tbody {
                            @for mark in crate::MARKS {
                                tr {
                                    th scope="row" { (mark_words(mark)) }
                                    @for size in &sizes {
                                        @match rows.iter().find(|row| row.text("size") == *size && row.real("hours") == Some(mark)) {
                                            None => { td.n { "-" } td.n { "-" } },
                                            Some(row) => {
                                                td.n { (row.estimate("share", "low", "high")) }
                                                td.n { (row.whole("solved")) ", " (row.whole("at_risk")) }
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
}
