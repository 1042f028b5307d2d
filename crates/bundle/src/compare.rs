//! Two verdicts on one submission: what somebody says, and what was seen.

use std::collections::BTreeMap;

use score::{Build, CaseResult, Verdict};

use crate::check::split_name;

/// Most differences that are named.
pub const DIFFERENCES: usize = 10;

/// Versions that decide what is scored. Others, as of images that were built on different days, may differ: then the
/// cases tell whether that matters.
const DECISIVE: [&str; 3] = ["target-lock", "visible-cases", "hidden-cases"];

/// The first differences between a verdict that was claimed and the one that was seen, in words; empty where there are
/// none. Of a hidden case only its name and outcome are said, as verdicts do.
pub fn differences(claimed: &Verdict, seen: &Verdict) -> Vec<String> {
    let mut found = Vec::new();
    if claimed.task != seen.task {
        found.push(format!(
            "task: {} claimed, {} here",
            claimed.task, seen.task
        ));
    }
    for name in DECISIVE {
        let version = |verdict: &Verdict| {
            verdict
                .versions
                .get(name)
                .map_or("none", String::as_str)
                .to_owned()
        };
        let (one, other) = (version(claimed), version(seen));
        if one != other {
            found.push(format!("version of {name}: {one} claimed, {other} here"));
        }
    }
    if claimed.submission != seen.submission {
        found.push(format!(
            "submission: {} files, {} bytes, {} claimed; {} files, {} bytes, {} here",
            claimed.submission.files,
            claimed.submission.bytes,
            claimed.submission.digest,
            seen.submission.files,
            seen.submission.bytes,
            seen.submission.digest
        ));
    }
    if build(claimed) != build(seen) {
        found.push(format!(
            "build: {} claimed, {} here",
            build(claimed),
            build(seen)
        ));
    }
    for (name, one, other) in [
        ("visible", claimed.visible, seen.visible),
        ("hidden", claimed.hidden, seen.hidden),
    ] {
        if one != other {
            found.push(format!(
                "{name} cases that pass: {}/{} claimed, {}/{} here",
                one.passed, one.total, other.passed, other.total
            ));
        }
    }
    cases(claimed, seen, &mut found);
    if found.is_empty() && claimed.solved != seen.solved {
        found.push(format!(
            "solved: {} claimed, {} here",
            claimed.solved, seen.solved
        ));
    }
    found
}

fn build(verdict: &Verdict) -> &'static str {
    match verdict.build {
        Build::None | Build::Done => "built",
        Build::Failed(_) => "failed",
        Build::Refused(_) => "refused",
    }
}

fn cases(claimed: &Verdict, seen: &Verdict, found: &mut Vec<String>) {
    let by_id = |verdict: &Verdict| -> BTreeMap<String, CaseResult> {
        verdict
            .cases
            .iter()
            .map(|case| (case.id.clone(), case.clone()))
            .collect()
    };
    let (one, other) = (by_id(claimed), by_id(seen));
    let mut differ = Vec::new();
    for id in one
        .keys()
        .chain(other.keys().filter(|id| !one.contains_key(*id)))
    {
        let outcome = |case: Option<&CaseResult>| case.map_or("none", |case| case.outcome.name());
        let (claimed, seen) = (one.get(id), other.get(id));
        if outcome(claimed) != outcome(seen) {
            let split = seen.or(claimed).map_or("", |case| split_name(case.split));
            differ.push(format!(
                "{split} case {}: {} claimed, {} here",
                short(id),
                outcome(claimed),
                outcome(seen)
            ));
        }
    }
    let more = differ.len().saturating_sub(DIFFERENCES);
    found.extend(differ.into_iter().take(DIFFERENCES));
    if more > 0 {
        found.push(format!("and {more} more cases"));
    }
}

/// A name that somebody else chose.
fn short(id: &str) -> String {
    id.chars()
        .filter(|letter| !letter.is_control())
        .take(120)
        .collect()
}
