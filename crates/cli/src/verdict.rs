//! A verdict as people read it.

use std::collections::BTreeMap;

use score::{CaseOutcome, CaseResult, Count, Split, Verdict};
use target::Case;

use crate::terminal;

/// Failures that are shown in full.
const SHOWN: usize = 3;
/// Longest text of a failure's input or output, in characters.
const LONGEST: usize = 1200;

fn rate(count: Count) -> String {
    match count.total {
        0 => "-".to_owned(),
        total => format!("{}/{total}", count.passed),
    }
}

fn percent(count: Count) -> String {
    match count.total {
        0 => "-".to_owned(),
        total => format!("{:.1} %", 100.0 * count.passed as f64 / total as f64),
    }
}

fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push_str("…\n");
    }
    short
}

/// How a case is called, as a person would type it.
pub(crate) fn invocation(command: &str, case: &Case) -> String {
    let quoted = case.inputs.argv.iter().map(|argument| {
        let text = String::from_utf8_lossy(&argument.0);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            text.into_owned()
        } else {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
    });
    std::iter::once(command.to_owned())
        .chain(quoted)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The first failures of visible cases: what was run, and a diff.
pub(crate) fn failures(
    command: &str,
    results: &[CaseResult],
    visible: &[Case],
    print: &mut dyn FnMut(&str),
) {
    let failed: Vec<_> = results
        .iter()
        .filter(|result| result.split == Split::Visible && result.outcome != CaseOutcome::Pass)
        .collect();
    for result in failed.iter().take(SHOWN) {
        let Some(case) = visible.iter().find(|case| case.id == result.id) else {
            continue;
        };
        print(&format!("\n{}: {}\n", result.id, result.outcome.name()));
        print(&format!("  $ {}\n", invocation(command, case)));
        if !case.inputs.stdin.0.is_empty() {
            print(&indent("  < ", &text(&case.inputs.stdin.0)));
        }
        if let Some(difference) = &result.difference {
            if difference.line > 0 {
                print(&format!(
                    "  {} differs at byte {}, line {}\n",
                    difference.stream, difference.offset, difference.line
                ));
            } else {
                print(&format!("  {} differs\n", difference.stream));
            }
            if let Some(context) = &difference.context {
                print(&format!("  - expected {}\n", context.expected));
                print(&format!("  + got      {}\n", context.actual));
            }
        }
    }
    if failed.len() > SHOWN {
        print(&format!(
            "\n{} more visible cases fail\n",
            failed.len() - SHOWN
        ));
    }
}

fn indent(mark: &str, text: &str) -> String {
    text.lines().map(|line| format!("{mark}{line}\n")).collect()
}

/// Prints a verdict: families, outcomes, and the line that says it all.
pub(crate) fn show(verdict: &Verdict) {
    let mut table = terminal::table(&["family", "visible", "hidden"]);
    for (name, count) in &verdict.families {
        table.add_row([name.clone(), rate(count.visible), rate(count.hidden)]);
    }
    table.add_row([
        "all".to_owned(),
        rate(verdict.visible),
        rate(verdict.hidden),
    ]);
    table.add_row([
        String::new(),
        percent(verdict.visible),
        percent(verdict.hidden),
    ]);
    terminal::print_table(&table);
    let mut outcomes: BTreeMap<CaseOutcome, u64> = BTreeMap::new();
    for case in &verdict.cases {
        *outcomes.entry(case.outcome).or_default() += 1;
    }
    let outcomes: Vec<_> = outcomes
        .iter()
        .map(|(outcome, count)| format!("{count} {}", outcome.name()))
        .collect();
    terminal::line(&format!("\noutcomes: {}", outcomes.join(", ")));
    terminal::line(&format!("{}: {}", verdict.task, verdict.summary));
}
