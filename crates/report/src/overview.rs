//! The top of the page: what run it is, how it ended, what it cost, how its score went.

use std::collections::BTreeMap;
use std::io::{self, Write};

use agent::event::{Agent, Budget, Reason};
use maud::{Markup, html};
use score::Verdict;

use crate::chart::{Chart, Mark, Series};
use crate::clock::Progress;
use crate::number::{self, count, dollars, grouped, percent};
use crate::survey::{State, Survey};
use crate::verdict;
use crate::visible::{Visible, plain};

/// Rows of the table beside the chart.
const ROWS: usize = 200;
/// Options that say something of the machine and nothing of the run.
const UNSAID: [&str; 2] = ["key-file", "prices"];

pub(crate) fn write(
    survey: &Survey,
    verdict: &Result<Option<Verdict>, String>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let scored = verdict.as_ref().ok().and_then(Option::as_ref);
    let page = html! {
        header #overview {
            p.crumb { "Run " code { (Visible(survey.header.id.as_bytes())) } }
            h1 { (Visible(survey.header.task.as_bytes())) }
            p.lead {
                (badge(scored))
                span.by { (by(survey)) }
                span.state { (state(&survey.state)) }
            }
            (warnings(survey, verdict))
            (facts(survey, scored))
        }
        section.pair {
            (budget(survey))
            (versions(survey))
        }
        (score(survey, scored))
        @if let Some(verdict) = scored { (verdict::section(verdict)) }
    };
    out.write_all(page.into_string().as_bytes())
}

fn badge(verdict: Option<&Verdict>) -> Markup {
    html! {
        @match verdict {
            Some(verdict) if verdict.solved => strong.badge.good { "solved" },
            Some(_) => strong.badge.bad { "not solved" },
            None => strong.badge { "not scored" },
        }
    }
}

fn by(survey: &Survey) -> Markup {
    html! {
        @match (survey.start.options.get("model"), survey.start.agent) {
            (Some(model), _) => (Visible(model.as_bytes())),
            (None, Some(Agent::Client)) => {
                @match &survey.client {
                    Some(client) => { (Visible(client.as_bytes())) ", over MCP" },
                    None => "a client over MCP",
                }
            },
            (None, Some(Agent::Person)) => {
                @match survey.start.options.get("who") {
                    Some(who) => { (Visible(who.as_bytes())) ", at a shell" },
                    None => "a person at a shell",
                }
            },
            (None, Some(Agent::Replay)) => "a replay",
            _ => "an unnamed model",
        }
    }
}

fn state(state: &State) -> String {
    match state {
        State::Open => "under way".to_owned(),
        State::CutOff => "cut off".to_owned(),
        State::Submitted | State::Ended(Reason::Submitted) => "submitted".to_owned(),
        State::Ended(Reason::Left) => "left without submitting".to_owned(),
        State::Ended(Reason::Stopped) => "stopped".to_owned(),
        State::Ended(Reason::Budget(limit)) => {
            format!("out of budget: {}", plain(limit.as_bytes()))
        }
        State::Ended(Reason::Failed(why)) => format!("failed: {}", plain(why.as_bytes())),
    }
}

fn warnings(survey: &Survey, verdict: &Result<Option<Verdict>, String>) -> Markup {
    html! {
        @if let Some(damage) = &survey.damage {
            p.warning role="note" {
                "The journal is damaged after event " (grouped(survey.events)) "; what comes after it is not shown. "
                (Visible(damage.to_string().as_bytes()))
            }
        }
        @if survey.damage.is_none() && survey.unfinished > 0 {
            p.warning role="note" {
                "The journal ends with " (number::bytes(survey.unfinished as u64)) " that are no whole event: "
                @if survey.state == State::Open { "it is being written." } @else { "a write was cut off. Nothing before it is lost." }
            }
        }
        @if let Err(why) = verdict { p.warning role="note" { (Visible(why.as_bytes())) } }
    }
}

fn facts(survey: &Survey, verdict: Option<&Verdict>) -> Markup {
    let fact = |name: &str, value: String, more: Option<String>| {
        html! { div { dt { (name) } dd { (value) @if let Some(more) = more { small { (more) } } } } }
    };
    let spent = &survey.spent;
    html! {
        dl.facts {
            @if let Some(verdict) = verdict {
                (fact("Hidden cases", percent(verdict.hidden.passed, verdict.hidden.total),
                    Some(format!("{} of {}", grouped(verdict.hidden.passed), grouped(verdict.hidden.total)))))
                (fact("Visible cases", percent(verdict.visible.passed, verdict.visible.total),
                    Some(format!("{} of {}", grouped(verdict.visible.passed), grouped(verdict.visible.total)))))
            }
            @if survey.has_turns {
                (fact("Turns", grouped(survey.end.step), (survey.replies > 0).then(|| number::of(survey.replies, "answer"))))
            }
            @if survey.has_turns && survey.start.agent != Some(Agent::Client) {
                (fact("Tokens", count(spent.tokens), Some(usage(survey))))
                (fact("Cost", dollars(spent.microdollars), (spent.possible_microdollars > 0).then(||
                    format!("possibly {} more", dollars(spent.possible_microdollars)))))
            }
            (fact("Time at work", number::time(spent.wall_milliseconds), (spent.tool_milliseconds > 0).then(||
                format!("{} in tools", number::time(spent.tool_milliseconds)))))
            (fact("Commands", grouped(survey.commands), (survey.edits > 0).then(|| number::of(survey.edits, "edit"))))
            (fact("Oracle calls", grouped(survey.calls.total), None))
            (fact("Evaluations", grouped(survey.evaluations.total), survey.evaluations.best.map(|best|
                format!("best {}/{}", grouped(best.passed), grouped(best.total)))))
            @if survey.contexts > 0 {
                (fact("Compactions", grouped(survey.contexts.saturating_sub(1)), None))
            }
            @if let Some(began) = survey.began {
                (fact("Began", began.to_string().chars().take(10).collect(), Some(format!("{} UTC", began.to_string().get(11..16).unwrap_or_default()))))
            }
        }
    }
}

fn usage(survey: &Survey) -> String {
    let usage = &survey.usage;
    format!(
        "{} read from caches, {} answered",
        percent(usage.cache_read, usage.request()),
        count(usage.output)
    )
}

/// A limit's name, what is used of it and what it is, in numbers and in words.
type Row = (&'static str, u64, Option<u64>, fn(u64) -> String);

fn budget(survey: &Survey) -> Markup {
    let limits = survey
        .budgets
        .last()
        .map_or(Budget::default(), |(_, _, limits)| *limits);
    let spent = &survey.spent;
    let seconds = |limit: Option<u64>| limit.map(|seconds| seconds.saturating_mul(1000));
    let rows: [Row; 6] = [
        (
            "Tokens",
            spent.tokens.saturating_add(spent.possible_tokens),
            limits.tokens,
            count,
        ),
        (
            "Cost",
            spent
                .microdollars
                .saturating_add(spent.possible_microdollars),
            limits.microdollars,
            dollars,
        ),
        (
            "Turns",
            spent.turns.max(survey.end.step),
            limits.turns,
            grouped,
        ),
        (
            "Time at work",
            spent.wall_milliseconds,
            seconds(limits.wall_seconds),
            number::time,
        ),
        (
            "Active time",
            spent.active_milliseconds(),
            seconds(limits.active_seconds),
            number::time,
        ),
        (
            "Time in tools",
            spent.tool_milliseconds,
            seconds(limits.tool_seconds),
            number::time,
        ),
    ];
    html! {
        div.card {
            h2 { "Budget" }
            @if survey.has_turns && rows.iter().any(|(_, _, limit, _)| limit.is_some()) {
                table.budget {
                    caption.vh { "Limits of the run and what is used of them" }
                    thead.vh { tr { th scope="col" { "limit" } th scope="col" { "used" } th scope="col" { "share" } } }
                    tbody {
                        @for (name, used, limit, words) in &rows {
                            @if let Some(limit) = limit {
                                tr {
                                    th scope="row" { (name) }
                                    td { (words(*used)) " of " (words(*limit)) }
                                    td { meter aria-label=(format!("{name} used")) min="0" max=(limit) value=(used.min(limit)) { (percent(*used, *limit)) } }
                                }
                            }
                        }
                    }
                }
            } @else {
                p { "Nothing is limited but single commands." }
            }
            @if survey.budgets.len() > 1 {
                p { "Changed "
                    @for (place, (seq, at, _)) in survey.budgets.iter().skip(1).take(20).enumerate() {
                        @if place > 0 { ", " }
                        a href=(format!("#e{seq}")) { "at " (survey.step_name()) " " (grouped(at.step)) }
                    }
                    "."
                }
            }
            @if !survey.start.limits.is_empty() {
                p.small { "Each command: "
                    @for (place, (name, value)) in survey.start.limits.iter().enumerate() {
                        @if place > 0 { ", " }
                        (Visible(name.trim_start_matches("command-").replace('-', " ").replace("mib", "MiB").as_bytes())) " " (grouped(*value))
                    }
                    "."
                }
            }
        }
    }
}

fn versions(survey: &Survey) -> Markup {
    let start = &survey.start;
    let options: BTreeMap<String, String> = start
        .options
        .iter()
        .filter(|(name, _)| !UNSAID.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let list = |title: &str, values: &BTreeMap<String, String>| {
        html! {
            @if !values.is_empty() {
                h3 { (title) }
                dl.two { @for (name, value) in values { dt { (Visible(name.as_bytes())) } dd { (Visible(value.as_bytes())) } } }
            }
        }
    };
    html! {
        div.card {
            h2 { "Made with" }
            dl.two {
                @for (name, value) in &start.versions { dt { (Visible(name.as_bytes())) } dd { (Visible(value.as_bytes())) } }
                dt { "journal" } dd { (number::of(survey.events, "event")) ", format " (survey.header.format) }
                @if survey.sessions > 0 { dt { "sessions" } dd { (grouped(survey.sessions)) } }
            }
            details {
                summary { "Options and digests" }
                (list("Options", &options))
                (list("Digests", &start.digests))
            }
        }
    }
}

/// An axis: its name, a place on it, how a number on it is written, whether it has whole numbers alone.
struct Axis {
    name: &'static str,
    place: fn(&Progress) -> f64,
    write: fn(f64) -> String,
    whole: bool,
}

fn score(survey: &Survey, verdict: Option<&Verdict>) -> Markup {
    let mut axes = vec![Axis {
        name: if survey.has_turns {
            "turns"
        } else {
            "commands"
        },
        place: |at| at.step as f64,
        write: |value| grouped(value as u64),
        whole: true,
    }];
    if survey.end.tokens > 0 {
        axes.push(Axis {
            name: "tokens",
            place: |at| at.tokens as f64,
            write: |value| short_count(value as u64),
            whole: true,
        });
    }
    if survey.end.microdollars > 0 {
        axes.push(Axis {
            name: "dollars",
            place: |at| at.microdollars as f64 / 1e6,
            write: |value| {
                let text = format!("{value:.2}");
                format!("${}", text.strip_suffix(".00").unwrap_or(&text))
            },
            whole: false,
        });
    }
    axes.push(Axis {
        name: "hours",
        place: |at| at.milliseconds as f64 / 3.6e6,
        write: |value| {
            let text = format!("{value:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        },
        whole: false,
    });
    let whole: Vec<_> = survey
        .evaluations
        .points
        .iter()
        .filter(|point| point.whole)
        .collect();
    let description = description(survey, verdict);
    html! {
        section #score aria-labelledby="score-heading" {
            h2 #score-heading { "Score" }
            p { (description) }
            @if !whole.is_empty() || verdict.is_some() {
                fieldset.tabs {
                    legend.vh { "Horizontal axis of the chart" }
                    @for (place, axis) in axes.iter().enumerate() {
                        input type="radio" name="axis" id=(format!("axis-{place}")) checked[place == 0];
                        label for=(format!("axis-{place}")) { "over " (axis.name) }
                    }
                }
                @for (place, axis) in axes.iter().enumerate() {
                    figure class=(format!("axis-{place}")) {
                        (draw(survey, verdict, axis, &format!("chart-{place}"), &description))
                    }
                }
                p.legend aria-hidden="true" {
                    span.s1 { "visible cases, as the agent saw them" }
                    @if verdict.is_some() { span.s2 { "visible cases, final verdict" } span.s3 { "hidden cases, final verdict" } }
                }
            }
            @if !survey.evaluations.points.is_empty() { (table(survey)) }
        }
    }
}

/// A number on an axis: `500`, `1.5k`, `20M`.
fn short_count(number: u64) -> String {
    let short = |unit: f64, letter: &str| {
        let text = format!("{:.1}", number as f64 / unit);
        format!("{}{letter}", text.strip_suffix(".0").unwrap_or(&text))
    };
    match number {
        0..1000 => number.to_string(),
        1000..1_000_000 => short(1e3, "k"),
        1_000_000..1_000_000_000 => short(1e6, "M"),
        _ => short(1e9, "G"),
    }
}

fn description(survey: &Survey, verdict: Option<&Verdict>) -> String {
    let mut text = match (survey.evaluations.total, survey.evaluations.best) {
        (0, _) => "The agent never ran the visible cases.".to_owned(),
        (total, None) => format!(
            "The agent ran some of the visible cases {}, and never all of them.",
            number::times(total)
        ),
        (total, Some(best)) => format!(
            "The agent evaluated {}. Its best result, {} of {} visible cases, first came at {} {}.",
            number::times(total),
            grouped(best.passed),
            grouped(best.total),
            survey.step_name(),
            grouped(best.at.step)
        ),
    };
    if let Some(verdict) = verdict {
        text.push_str(&format!(
            " In the end {} of the visible and {} of the hidden cases pass.",
            percent(verdict.visible.passed, verdict.visible.total),
            percent(verdict.hidden.passed, verdict.hidden.total)
        ));
    }
    text
}

fn draw(
    survey: &Survey,
    verdict: Option<&Verdict>,
    axis: &Axis,
    id: &str,
    description: &str,
) -> Markup {
    let share = |passed: u64, total: u64| passed as f64 / total.max(1) as f64;
    let end = (axis.place)(&survey.end);
    let points = survey.evaluations.points.iter().filter(|point| point.whole);
    let points = points
        .map(|point| {
            let says = format!(
                "{} {}: {}/{}",
                survey.step_name(),
                grouped(point.at.step),
                grouped(point.passed),
                grouped(point.total)
            );
            (
                (axis.place)(&point.at),
                share(point.passed, point.total),
                says,
            )
        })
        .collect();
    let mut series = vec![Series {
        class: "s1",
        mark: Mark::Dot,
        line: true,
        points,
    }];
    if let Some(verdict) = verdict {
        for (class, mark, name, count) in [
            ("s2", Mark::Square, "visible", verdict.visible),
            ("s3", Mark::Diamond, "hidden", verdict.hidden),
        ] {
            let says = format!("{name}, final verdict: {}/{}", count.passed, count.total);
            series.push(Series {
                class,
                mark,
                line: false,
                points: vec![(end, share(count.passed, count.total), says)],
            });
        }
    }
    Chart {
        id,
        title: &format!("Share of cases that pass, over {}", axis.name),
        description,
        axis: axis.name,
        end,
        write: &axis.write,
        series,
    }
    .draw(axis.whole)
}

fn table(survey: &Survey) -> Markup {
    let points = &survey.evaluations.points;
    let step = points.len().div_ceil(ROWS).max(1);
    html! {
        details {
            summary { "The evaluations as a table" }
            @if step > 1 || survey.evaluations.total > points.len() as u64 {
                p.gone { "Of " (number::of(survey.evaluations.total, "evaluation")) ", some evenly." }
            }
            div.scroll tabindex="0" role="region" aria-label="Table of evaluations" {
                table {
                    thead { tr {
                        th.n scope="col" { (survey.step_name()) } th.n scope="col" { "tokens" } th.n scope="col" { "cost" }
                        th.n scope="col" { "time" } th.n scope="col" { "passed" } th.n scope="col" { "share" }
                    } }
                    tbody {
                        @for point in points.iter().step_by(step) {
                            tr {
                                th.n scope="row" { a href=(format!("#e{}", point.seq)) { (grouped(point.at.step)) } }
                                td.n { (count(point.at.tokens)) }
                                td.n { (dollars(point.at.microdollars)) }
                                td.n { (number::time(point.at.milliseconds)) }
                                @if point.built {
                                    td.n { (grouped(point.passed)) "/" (grouped(point.total)) @if !point.whole { " of some" } }
                                    td.n { (percent(point.passed, point.total)) }
                                } @else { td.n colspan="2" { "not built" } }
                            }
                        }
                    }
                }
            }
        }
    }
}
