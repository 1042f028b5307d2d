//! What the figures mean, and the rows that they are made of.

use maud::{Markup, html};

use super::frame::{Page, scroll};
use super::{Site, words};
use crate::number;
use crate::schema::TABLES;

fn term(name: &str, text: Markup) -> Markup {
    html! { dt { (name) } dd { (text) } }
}

pub(super) fn page(site: &Site<'_>) -> String {
    let excluded = site
        .results
        .rows
        .iter()
        .filter(|row| row.excluded.is_some())
        .count();
    let body = html! {
        section aria-labelledby="words-heading" {
            h2 #words-heading { "Definitions" }
            dl.words {
                (term("Task", html! { "A target program and a language in which it is rebuilt. The agent has the program, which it can run and not read, its documentation, and the visible cases. It has no source and no network." }))
                (term("Run", html! { "One attempt of one system at one task. Runs are independent: none knows of another." }))
                (term("System", html! { "A model, with the agent that calls it." }))
                (term("Solved", html! { "Every visible and every hidden case passes: standard output, standard error, exit status and declared files, byte for byte, where the submission can reach neither the expected output nor the comparison." }))
                (term("99 %", html! { "At least 99 of 100 hidden cases pass. It is not solved, and not far from it." }))
                (term("Counts", html! { "A run counts when it was scored. One that is under way, failed on our side before it was scored, or repeats another does not count, neither for nor against. Of these runs, " (number::of(excluded as u64, "run")) " do not count; the Runs table says of each why." }))
                (term("Same tasks", html! { "The interval of a rate when the same tasks are tried again: Wilson's score interval over runs. When the runs are of several tasks, it covers at least as often as it claims, since tasks that differ spread less than one coin (Hoeffding 1956)." }))
                (term("Other targets", html! { "The interval for other targets like these. The unit is the target: its runs in all languages and attempts go together and come to one number. Wilson's interval with as many trials as would give the spread between targets, Student's quantile, and a quarter of a target that fails always and one that succeeds always in the spread." }))
                (term("pass@k", html! { "For a task of n runs with c solved: 1 - C(n-c, k) / C(n, k); the mean over a target's tasks, then over targets." }))
                (term("What success takes", html! { "One minus the Kaplan-Meier product limit: runs that are not solved are censored where they ended. A run that submitted something wrong would not have gone on, so the curve says what would be solved if it did; the data have the other curve too (Aalen and Johansen), for which wrong submissions are final." }))
                (term("Against each other", html! { "Tasks that both systems have runs of; the difference of rates for each task, the mean for each target, and the interval over targets." }))
            }
        }
        section aria-labelledby="cover-heading" {
            h2 #cover-heading { "Do the intervals hold what they claim?" }
            p { "Each was tried on 1,000 simulated campaigns whose truth is known: 25 targets, three languages, five attempts, a weak, a middling and a strong model. The documentation of mirrorcode has the table, and the program that makes it." }
        }
    };
    Page {
        title: "Method",
        crumb: "What the figures mean",
        up: "",
        here: "method.html",
        body,
    }
    .write(site.more)
}

pub(super) fn data(site: &Site<'_>) -> String {
    let body = html! {
        p { "All tables, each as CSV and Parquet, and together as " a href="data/results.json" { "JSON" } ". Everything is made of the table of runs; an empty cell means that nothing is known or nothing would be true." }
        @for schema in TABLES {
            section aria-labelledby=(format!("table-{}", schema.name)) {
                h2 id=(format!("table-{}", schema.name)) { (schema.name) }
                p {
                    "One row for " (schema.about) ": "
                    (number::of(site.results.table(schema.name).map_or(0, |table| table.rows.len()) as u64, "row")) ", as "
                    a href=(format!("data/{}.csv", schema.name)) { (schema.name) ".csv" } " and " a href=(format!("data/{}.parquet", schema.name)) { (schema.name) ".parquet" } "."
                }
                details {
                    summary { (number::of(schema.columns.len() as u64, "column")) " of " (schema.name) }
                    (scroll(&format!("Columns of {}", schema.name), html! {
                        table {
                            thead { tr { th scope="col" { "column" } th scope="col" { "holds" } th scope="col" { "meaning" } } }
                            tbody { @for column in schema.columns { tr { th scope="row" { code { (column.name) } } td { (column.kind.name()) } td { (words(column.about)) } } } }
                        }
                    }))
                }
            }
        }
    };
    Page {
        title: "Data",
        crumb: "Rows and figures for machines",
        up: "",
        here: "data.html",
        body,
    }
    .write(site.more)
}
