//! What happened often, in tables: compactions and calls of the reference.

use std::io::{self, Write};

use agent::event::Why;
use maud::{Markup, html};
use run::Store;

use crate::content::excerpt;
use crate::fold;
use crate::number::{self, count, grouped};
use crate::survey::{Compaction, Survey, ending};
use crate::visible::Visible;

/// Stretches of dropped events that are named.
const STRETCHES: usize = 12;

pub(crate) fn write(survey: &Survey, store: &Store, out: &mut dyn Write) -> io::Result<()> {
    let rows = html! {
        @if !survey.compactions.is_empty() { (compactions(survey, store)) }
        @if survey.calls.total > 0 { (calls(survey)) }
    };
    out.write_all(rows.into_string().as_bytes())
}

/// Why a context begins.
pub(crate) fn why(why: Why) -> &'static str {
    match why {
        Why::Start => "the run begins",
        Why::Summary => "the model summarized what was done",
        Why::Clear => "tool results were cleared, oldest first",
        Why::Trim => "the oldest turns were dropped",
    }
}

/// What is no longer sent, with links to it.
pub(crate) fn dropped(survey: &Survey, stretches: &[(u64, u64)]) -> Markup {
    html! {
        @for (place, (first, last)) in stretches.iter().take(STRETCHES).enumerate() {
            @if place > 0 { ", " }
            a href=(format!("#e{first}")) {
                @match (survey.turn_of(*first), survey.turn_of(*last)) {
                    (Some(one), Some(other)) if one == other => { "turn " (grouped(one)) },
                    (Some(one), Some(other)) => { "turns " (grouped(one)) " to " (grouped(other)) },
                    (None, Some(other)) => { "the beginning to turn " (grouped(other)) },
                    _ => { "events " (grouped(*first)) " to " (grouped(*last)) },
                }
            }
        }
        @if stretches.len() > STRETCHES { " and " (grouped((stretches.len() - STRETCHES) as u64)) " more stretches" }
        @if stretches.is_empty() { "nothing" }
    }
}

fn compactions(survey: &Survey, store: &Store) -> Markup {
    let all = survey.contexts.saturating_sub(1);
    html! {
        section #compactions aria-labelledby="compactions-heading" {
            h2 #compactions-heading { "Compactions" }
            p {
                "The context was full " (number::times(all)) ". What was dropped is no longer sent to the model; it stands in the transcript all the same."
            }
            div.scroll tabindex="0" role="region" aria-label="Table of compactions" {
                table {
                    thead { tr {
                        th.n scope="col" { "number" } th.n scope="col" { "turn" } th scope="col" { "how" }
                        th.n scope="col" { "tokens before" } th.n scope="col" { "after" } th scope="col" { "dropped" } th.n scope="col" { "results cleared" }
                    } }
                    tbody {
                        @for row in &survey.compactions { (compaction(survey, row)) }
                    }
                }
            }
            @if let Some(last) = survey.compactions.iter().rev().find_map(|row| row.summary.as_ref()) {
                details {
                    summary { "The last summary" }
                    (fold::text(&excerpt(store, last, survey.most), "say"))
                }
            }
            @if all > survey.compactions.len() as u64 {
                p.gone { "The first " (survey.compactions.len()) " are listed." }
            }
        }
    }
}

fn compaction(survey: &Survey, row: &Compaction) -> Markup {
    html! {
        tr {
            th.n scope="row" { a href=(format!("#e{}", row.seq)) { (grouped(row.number.saturating_sub(1))) } }
            td.n { (grouped(row.at.step)) }
            td { (why(row.why)) }
            td.n { (count(row.before)) }
            td.n { (count(row.after)) }
            td { (dropped(survey, &row.dropped)) }
            td.n { (grouped(row.cleared as u64)) }
        }
    }
}

fn calls(survey: &Survey) -> Markup {
    let calls = &survey.calls;
    html! {
        section #oracle aria-labelledby="oracle-heading" {
            h2 #oracle-heading { "Oracle calls" }
            p {
                "The reference was run " (number::times(calls.total)) ", " (number::time(calls.milliseconds)) " together: "
                @for (place, (name, count)) in calls.endings.iter().take(12).enumerate() {
                    @if place > 0 { ", " }
                    b { (grouped(*count)) } " " (name)
                }
                @if calls.endings.len() > 12 { ", and others" }
                "."
            }
            details {
                summary {
                    @if calls.total > calls.first.len() as u64 { "The first " (calls.first.len()) " calls" } @else { "The calls" }
                }
                div.scroll tabindex="0" role="region" aria-label="Table of oracle calls" {
                    table {
                        thead { tr {
                            th.n scope="col" { (survey.step_name()) } th scope="col" { "arguments" } th scope="col" { "input" }
                            th.n scope="col" { "printed" } th scope="col" { "ending" } th.n scope="col" { "time" }
                        } }
                        tbody {
                            @for call in &calls.first {
                                tr {
                                    td.n { (grouped(call.step)) }
                                    th scope="row" { a href=(format!("#e{}", call.seq)) { code { @if call.arguments.is_empty() { "(none)" } @else { (Visible(call.arguments.as_bytes())) } } } }
                                    td { (call.input) }
                                    td.n { @match call.printed { Some(bytes) => (number::bytes(bytes)), None => "-" } }
                                    td { (ending(call.ending)) }
                                    td.n { (number::time(call.milliseconds)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
