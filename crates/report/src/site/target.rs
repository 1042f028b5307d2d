//! Targets: the list, and a page for each.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::frame::{Page, scroll};
use super::{
    Row, Site, StrengthRow, TargetPage, memorization, overview, percent, range, slug, title, words,
};
use crate::number::{self, grouped};
use crate::row::RunRow;

pub(super) fn list(site: &Site<'_>) -> String {
    let rows: BTreeMap<String, Row<'_>> = site
        .rows_of("targets")
        .filter(|row| row.text("system").is_empty())
        .map(|row| (row.text("target"), row))
        .collect();
    let body = html! {
        (scroll("Table of targets", html! {
            table {
                thead { tr {
                    th scope="col" { "target" } th scope="col" { "size" } th scope="col" { "domain" } th.n scope="col" { "hidden cases" } th.n scope="col" { "strength" }
                    th.n scope="col" { "solved runs" } th.n scope="col" { "tasks solved" } th.n scope="col" { "best run" }
                } }
                tbody {
                    @for name in site.target_names() {
                        @let page = site.targets.get(name);
                        tr {
                            th scope="row" { a href=(format!("targets/{}.html", slug(name))) { (words(name)) } @if let Some(page) = page { small { (words(&page.about)) } } }
                            td { @match page { Some(page) => (words(&page.size)), None => "-" } }
                            td { @match page { Some(page) => (words(&page.domain)), None => "-" } }
                            td.n { @match page { Some(page) => (grouped(page.families.iter().map(|family| family.hidden).sum())), None => "-" } }
                            td.n { @match page.and_then(|page| page.strength.first()) { Some(row) => (strength(row)), None => "-" } }
                            @match rows.get(name) {
                                None => { td.n { "no runs" } td.n { "-" } td.n { "-" } },
                                Some(row) => {
                                    td.n { (row.whole("solved")) " of " (row.whole("runs")) }
                                    td.n { (row.whole("tasks_solved")) " of " (row.whole("tasks")) }
                                    td.n { (row.real("best").map_or_else(|| "-".to_owned(), percent)) }
                                }
                            }
                        }
                    }
                }
            }
        }))
        p.small { "Strength: of changes of the reference's machine code that the cases execute, the share that the hidden cases notice. Best run: the largest share of hidden cases that passed." }
    };
    Page {
        title: "Targets",
        crumb: "Programs to be rebuilt",
        up: "",
        here: "targets.html",
        body,
    }
    .write(site.more)
}

fn strength(row: &StrengthRow) -> Markup {
    html! { (percent(row.killed as f64 / row.total.max(1) as f64)) small { (range(row.low, row.high)) } }
}

pub(super) fn page(site: &Site<'_>, name: &str) -> String {
    let known = site.targets.get(name);
    let body = html! {
        @match known {
            Some(page) => (about(page)),
            None => p.warning role="note" { "This target is not known here; only its runs are shown." },
        }
        (who(site, name))
        (memorization::of_target(site, name))
        @if let Some(page) = known {
            (families(page, name))
            (docs(page))
        }
    };
    Page {
        title: &title(name),
        crumb: "Target",
        up: "../",
        here: "",
        body,
    }
    .write(site.more)
}

fn about(page: &TargetPage) -> Markup {
    let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    let (visible, hidden) = page
        .families
        .iter()
        .fold((0, 0), |(visible, hidden), family| {
            (visible + family.visible, hidden + family.hidden)
        });
    html! {
        p.lead { (words(&page.about)) }
        dl.facts {
            (fact("Size", html! { (words(&page.size)) @if let Some(lines) = page.lines { small { (number::of(lines, "line")) " of source" } } }))
            (fact("Domain", html! { small { (words(&page.domain)) } }))
            (fact("Reference", html! { small { (words(&page.reference)) } }))
            (fact("Cases", html! { (grouped(visible + hidden)) small { (grouped(hidden)) " hidden" } }))
            (fact("Families", html! { (page.families.len()) }))
            @if let Some(row) = page.strength.first() { (fact("Strength", strength(row))) }
        }
        @if !page.excluded.is_empty() {
            p.small { @for (language, why) in &page.excluded { "Not in " (words(language)) ": " (words(why)) ". " } }
        }
        @for why in &page.recall { p.warning role="note" { "Recall by construction: " (words(why)) "." } }
        @if !page.strength.is_empty() {
            section #strength aria-labelledby="strength-heading" {
                h2 #strength-heading { "Strength of its tests" }
                p { "The reference's machine code was changed in one place at a time, and the hidden cases were run until one noticed." }
                (scroll("Table of strength", html! {
                    table {
                        thead { tr { th scope="col" { "changed" } th.n scope="col" { "noticed" } th.n scope="col" { "share" } } }
                        tbody { @for row in &page.strength { tr { th scope="row" { (words(&row.what)) } td.n { (row.killed) " of " (row.total) } td.n { (strength(row)) } } } }
                    }
                }))
            }
        }
    }
}

fn who(site: &Site<'_>, name: &str) -> Markup {
    let rows: Vec<&RunRow> = site
        .results
        .rows
        .iter()
        .filter(|row| row.target == name)
        .collect();
    let languages: BTreeSet<&str> = rows
        .iter()
        .filter(|row| row.counted().is_some())
        .map(|row| row.language.as_str())
        .collect();
    let cells: BTreeMap<(String, String), Row<'_>> = site
        .rows_of("rates")
        .filter(|row| row.text("by") == "task" && row.text("value").split('/').next() == Some(name))
        .map(|row| ((row.text("system"), row.text("value")), row))
        .collect();
    let bests: BTreeMap<String, Row<'_>> = site
        .rows_of("targets")
        .filter(|row| row.text("target") == name)
        .map(|row| (row.text("system"), row))
        .collect();
    html! {
        section #who aria-labelledby="who-heading" {
            h2 #who-heading { "Who solved it" }
            @if rows.is_empty() { p { "There are no runs." } } @else {
                (scroll("Table of systems", html! {
                    table {
                        thead { tr { th scope="col" { "system" } th.n scope="col" { "best run" } @for language in &languages { th.n scope="col" { (words(language)) } } } }
                        tbody {
                            @for (system, slug) in site.systems().iter().filter(|(system, _)| bests.contains_key(system)) {
                                tr {
                                    th scope="row" { a href=(format!("../models/{slug}.html")) { (words(system)) } }
                                    td.n { (bests[system].real("best").map_or_else(|| "-".to_owned(), percent)) }
                                    @for language in &languages {
                                        td.n { @match cells.get(&(system.clone(), format!("{name}/{language}"))) {
                                            None => "-",
                                            Some(row) => { (row.whole("solved")) " of " (row.whole("runs")) @if let (Some(low), Some(high)) = (row.real("rate_low"), row.real("rate_high")) { small { (range(low, high)) " %" } } },
                                        } }
                                    }
                                }
                            }
                        }
                    }
                }))
                p.small { "Solved runs of all, with Wilson's 95 % interval of the rate. Best run: the largest share of hidden cases that passed." }
                h3 #runs { "Runs" }
                @for (system, slug) in site.systems() {
                    @let own: Vec<&RunRow> = rows.iter().copied().filter(|row| row.system() == system).collect();
                    @if !own.is_empty() {
                        details id=(slug) open[own.len() <= 20] {
                            summary { (words(&system)) ", " (number::of(own.len() as u64, "run")) }
                            (overview::run_table(&own, "../", &format!("Runs of {}", title(&system)), false))
                        }
                    }
                }
            }
        }
    }
}

fn families(page: &TargetPage, name: &str) -> Markup {
    let examined = page.fairness.is_some();
    let silent = page
        .families
        .iter()
        .filter(|family| !family.undocumented.is_empty())
        .count();
    let measured = page.families.iter().any(|family| family.noticed.is_some());
    html! {
        @if !page.families.is_empty() {
            section #families aria-labelledby="families-heading" {
                h2 #families-heading { "Families" }
                p { "Each is one behaviour; visible and hidden cases are drawn of the same." }
                @if examined {
                    p {
                        "Each hidden case has duals: visible cases of the same family and template that end alike and say the same on standard error. "
                        (silent) " of " (page.families.len()) " use options or variables that work and that no page of the documentation mentions. "
                        a href=(format!("{}-fairness.json", slug(name))) { "The duals of each hidden case" } "."
                    }
                }
                (scroll("Table of families", html! {
                    table {
                        thead { tr { th scope="col" { "family" } th scope="col" { "behaviour" } th.n scope="col" { "visible" } th.n scope="col" { "hidden" } @if examined { th.n scope="col" { "fewest duals" } th scope="col" { "never documented" } } @if measured { th.n scope="col" { "noticed of executed changes" } } } }
                        tbody {
                            @for family in &page.families {
                                tr {
                                    th scope="row" { (words(&family.name)) }
                                    td { (words(&family.about)) }
                                    td.n { (family.visible) }
                                    td.n { (family.hidden) }
                                    @if examined {
                                        td.n { @match family.fewest_duals { Some(count) if family.hidden > 0 => (count), _ => "-" } }
                                        td { @for word in &family.undocumented { code { (words(word)) } " " } }
                                    }
                                    @if measured { td.n { @match family.noticed { Some((executed, killed)) => { (killed) " of " (executed) }, None => "-" } } }
                                }
                            }
                        }
                    }
                }))
            }
        }
    }
}

fn docs(page: &TargetPage) -> Markup {
    html! {
        section #docs aria-labelledby="docs-heading" {
            h2 #docs-heading { "Documentation" }
            @if page.docs.is_empty() { p { "Not extracted on the machine that wrote this site." } } @else {
                p { "What an agent is given besides the program and the visible cases; how each page begins. It is the reference's own, under its licence." }
                @for doc in &page.docs {
                    h3 { (words(&doc.name)) " " span.meta { (number::of(doc.lines, "line")) } }
                    pre tabindex="0" role="region" aria-label=(format!("Beginning of {}", title(&doc.name))) { (words(&doc.extract)) }
                }
            }
        }
    }
}
