//! The frame of a page: head, policy, style, script, and the way around it.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use crate::Options;
use crate::number::grouped;
use crate::survey::Survey;
use crate::visible::plain;

pub(crate) const STYLE: &str = include_str!("../assets/page.css");
const SCRIPT: &str = include_str!("../assets/page.js");
/// Milestones that are listed.
const MILESTONES: usize = 24;

/// A source of a policy: this text and no other.
pub(crate) fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

/// What the page may do: use its own style and script, and nothing else. Whatever a run printed cannot load, send or run
/// anything, even if it became markup.
pub(crate) fn policy() -> String {
    format!(
        "default-src 'none'; style-src {}; script-src {}; img-src data:; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types unpacked",
        source(STYLE),
        source(SCRIPT)
    )
}

pub(crate) fn open(survey: &Survey, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let title = format!(
        "{}: {}",
        plain(survey.header.task.as_bytes()),
        plain(survey.header.id.as_bytes())
    );
    let head = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="generator" content=(concat!("mirrorcode ", env!("CARGO_PKG_VERSION")));
                title { (title) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
        }
    };
    // The elements that are still open are closed at the end of the page.
    let head = head.into_string().replace("</html>", "<body>");
    out.write_all(head.as_bytes())?;
    let way = html! {
        a.skip href="#transcript" { "Skip to the transcript" }
        (way(survey, options))
    };
    out.write_all(way.into_string().as_bytes())?;
    out.write_all(b"<main id=main>")
}

/// The way around the page.
fn way(survey: &Survey, options: &Options) -> Markup {
    let milestones = milestones(survey);
    html! {
        nav.way aria-label="Page" {
            @match &options.home {
                Some((href, words)) => a.brand href=(href) { (words) },
                None => span.brand { "mirrorcode" },
            }
            ul {
                li { a href="#overview" { "Overview" } }
                li { a href="#score" { "Score" } }
                @if !survey.compactions.is_empty() { li { a href="#compactions" { "Compactions" } } }
                @if survey.calls.total > 0 { li { a href="#oracle" { "Oracle calls" } } }
                li { a href="#files" { "Final files" } }
                li { a href="#transcript" { "Transcript" } }
            }
            @if !milestones.is_empty() {
                details.milestones open {
                    summary { "Milestones" }
                    ol {
                        @for (seq, words) in &milestones {
                            li { a href=(format!("#e{seq}")) { (words) } }
                        }
                    }
                }
            }
        }
    }
}

/// Where the run went forward: evaluations better than all before, compactions, the submission.
fn milestones(survey: &Survey) -> Vec<(u64, String)> {
    let step = survey.step_name();
    let mut found = Vec::new();
    let mut best = None;
    for point in survey.evaluations.points.iter().filter(|point| point.whole) {
        if best.is_none_or(|best| point.passed > best) {
            best = Some(point.passed);
            found.push((
                point.seq,
                format!(
                    "{step} {}: {}/{}",
                    grouped(point.at.step),
                    grouped(point.passed),
                    grouped(point.total)
                ),
            ));
        }
    }
    // Of many small steps forward, some evenly.
    let most = MILESTONES / 2;
    if found.len() > most {
        let all = found.len();
        found = (1..=most)
            .map(|place| found[place * all / most - 1].clone())
            .collect();
    }
    let room = MILESTONES - found.len() - 1;
    let step = survey.compactions.len().div_ceil(room.max(1)).max(1);
    for compaction in survey.compactions.iter().step_by(step) {
        found.push((
            compaction.seq,
            format!("compaction {}", compaction.number - 1),
        ));
    }
    if let Some(seq) = survey.submitted {
        found.push((seq, "submitted".to_owned()));
    }
    found.sort();
    found
}

pub(crate) fn close(out: &mut dyn Write) -> io::Result<()> {
    let end = html! {
        footer {
            "Written by mirrorcode " (env!("CARGO_PKG_VERSION")) ". Characters that cannot be seen are shown as "
            i.u { "U+200B" } "; bytes that are no text as " i.u { "\\xFF" } "."
        }
    };
    out.write_all(b"</main>")?;
    out.write_all(end.into_string().as_bytes())?;
    writeln!(out, "<script>{SCRIPT}</script></body></html>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_can_stand_in_a_page() {
        for (text, end) in [(STYLE, "</style"), (SCRIPT, "</script")] {
            assert!(!text.to_lowercase().contains(end) && !text.contains("<!--"));
        }
        assert!(!policy().contains("unsafe"));
        for text in [STYLE, SCRIPT] {
            assert!(!text.contains("http:") && !text.contains("https:") && !text.contains("//cdn"));
        }
    }
}
