//! The verdict beside a run: what scoring says of what the run left.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use maud::{Markup, html};
use score::{Build, CaseOutcome, CaseResult, Count, Split, Verdict};

use crate::number::{grouped, percent};
use crate::visible::{Visible, short};

/// Largest verdict that is read, in bytes.
const LARGEST: u64 = 64 << 20;
/// Failed cases that are listed.
const LISTED: usize = 200;

/// Reads `verdict.json` in `dir`; `None` when the run was not scored.
pub(crate) fn read(dir: &Path) -> Result<Option<Verdict>, String> {
    let file = match File::open(dir.join("verdict.json")) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("the verdict cannot be read: {error}")),
    };
    let mut text = Vec::new();
    file.take(LARGEST)
        .read_to_end(&mut text)
        .map_err(|error| format!("the verdict cannot be read: {error}"))?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| format!("verdict.json is none that this mirrorcode reads: {error}"))
}

pub(crate) fn section(verdict: &Verdict) -> Markup {
    let failed: Vec<&CaseResult> = verdict
        .cases
        .iter()
        .filter(|case| case.outcome != CaseOutcome::Pass)
        .collect();
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    for case in &failed {
        *outcomes.entry(case.outcome.name()).or_default() += 1;
    }
    html! {
        section #verdict aria-labelledby="verdict-heading" {
            h2 #verdict-heading { "Verdict" }
            p { (Visible(verdict.summary.as_bytes())) }
            @match &verdict.build {
                Build::Failed(reason) => p.bad { "The build failed: " (Visible(reason.as_bytes())) },
                Build::Refused(reasons) => ul.bad { @for reason in reasons { li { (Visible(reason.as_bytes())) } } },
                Build::None | Build::Done => {},
            }
            @if !outcomes.is_empty() {
                p { "What the failed cases differ in: "
                    @for (place, (name, count)) in outcomes.iter().enumerate() {
                        @if place > 0 { ", " }
                        b { (name) } " " (grouped(*count))
                    }
                    "."
                }
            }
            div.scroll tabindex="0" role="region" aria-label="Table of families" {
                table {
                    caption.vh { "Cases that pass, by family" }
                    thead { tr { th scope="col" { "family" } th.n scope="col" { "visible" } th.n scope="col" { "hidden" } th.n scope="col" { "share" } } }
                    tbody {
                        @for (name, count) in &verdict.families {
                            (row(&short(name.as_bytes(), 80), count.visible, count.hidden))
                        }
                    }
                    tfoot { (row("all", verdict.visible, verdict.hidden)) }
                }
            }
            @if !failed.is_empty() {
                details {
                    summary { (crate::number::of(failed.len() as u64, "failed case")) }
                    div.scroll tabindex="0" role="region" aria-label="Table of failed cases" {
                        table {
                            thead { tr { th scope="col" { "case" } th scope="col" { "split" } th scope="col" { "outcome" } th scope="col" { "where it first differs" } } }
                            tbody {
                                @for case in failed.iter().take(LISTED) {
                                    tr {
                                        th scope="row" { (Visible(case.id.as_bytes())) }
                                        td { @match case.split { Split::Visible => "visible", Split::Hidden => "hidden" } }
                                        td { (case.outcome.name()) }
                                        td { (difference(case)) }
                                    }
                                }
                            }
                        }
                    }
                    @if failed.len() > LISTED { p.gone { "and " (grouped((failed.len() - LISTED) as u64)) " more, in verdict.json" } }
                }
            }
        }
    }
}

fn difference(case: &CaseResult) -> Markup {
    html! {
        @if let Some(difference) = &case.difference {
            (Visible(difference.stream.as_bytes()))
            @if difference.line > 0 { ", line " (difference.line) }
            @if let Some(context) = &difference.context {
                dl.two {
                    dt { "expected" } dd { code { (Visible(context.expected.as_bytes())) } }
                    dt { "given" } dd { code { (Visible(context.actual.as_bytes())) } }
                }
            }
        }
    }
}

fn row(name: &str, visible: Count, hidden: Count) -> Markup {
    let count = |count: Count| {
        if count.total == 0 {
            "-".to_owned()
        } else {
            format!("{}/{}", grouped(count.passed), grouped(count.total))
        }
    };
    html! {
        tr {
            th scope="row" { (name) }
            td.n { (count(visible)) }
            td.n { (count(hidden)) }
            td.n { (percent(visible.passed + hidden.passed, visible.total + hidden.total)) }
        }
    }
}
