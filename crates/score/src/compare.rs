//! What a case did against what the reference does, byte for byte.

use sandbox::{Ending, Limit};
use target::{Case, Observed};

use crate::difference::{Context, Difference, first_difference};
use crate::verdict::{CaseOutcome, CaseResult, Split};

fn limited(limit: Limit) -> CaseOutcome {
    match limit {
        Limit::WallTime => CaseOutcome::WallTime,
        Limit::CpuTime => CaseOutcome::CpuTime,
        Limit::Memory => CaseOutcome::Memory,
        Limit::Processes => CaseOutcome::Processes,
        Limit::Output => CaseOutcome::Output,
        Limit::Disk => CaseOutcome::Disk,
    }
}

fn shown(ending: target::Ending) -> String {
    match ending {
        target::Ending::Exit(status) => format!("exit status {status}"),
        target::Ending::Signal(signal) => format!("signal {signal}"),
    }
}

/// The result of one case.
pub fn compare(case: &Case, split: Split, observed: &Observed) -> CaseResult {
    let (outcome, difference) = judge(case, observed);
    CaseResult {
        id: case.id.clone(),
        split,
        outcome,
        difference,
    }
}

fn judge(case: &Case, observed: &Observed) -> (CaseOutcome, Option<Difference>) {
    let expect = &case.expect;
    let ending = match observed.ending {
        Ending::Exited(status) => target::Ending::Exit(status),
        Ending::Signaled(signal) => target::Ending::Signal(signal),
        Ending::Limited(limit) => return (limited(limit), None),
        Ending::NotStarted(_) | Ending::Stopped => return (CaseOutcome::Start, None),
    };
    if ending != expect.ending && matches!(ending, target::Ending::Signal(_)) {
        return (
            CaseOutcome::Signal,
            Some(ending_difference(expect.ending, ending)),
        );
    }
    if let Some(difference) = first_difference("stdout", &expect.stdout.0, &observed.stdout) {
        return (CaseOutcome::Stdout, Some(difference));
    }
    if let Some(difference) = first_difference("stderr", &expect.stderr.0, &observed.stderr) {
        return (CaseOutcome::Stderr, Some(difference));
    }
    if ending != expect.ending {
        return (
            CaseOutcome::Exit,
            Some(ending_difference(expect.ending, ending)),
        );
    }
    for path in &case.inputs.outputs {
        let stream = format!("files/{path}");
        let (expected, actual) = (expect.files.get(path), observed.files.get(path));
        let difference = match (expected, actual) {
            (None, None) => None,
            (Some(expected), Some(actual)) => first_difference(&stream, &expected.0, actual),
            (expected, _) => {
                let (there, absent) = ("a file".to_owned(), "no file".to_owned());
                let (expected, actual) = if expected.is_some() {
                    (there, absent)
                } else {
                    (absent, there)
                };
                Some(Difference {
                    stream,
                    offset: 0,
                    line: 0,
                    context: Some(Context { expected, actual }),
                })
            }
        };
        if difference.is_some() {
            return (CaseOutcome::Files, difference);
        }
    }
    (CaseOutcome::Pass, None)
}

fn ending_difference(expected: target::Ending, actual: target::Ending) -> Difference {
    Difference {
        stream: "exit".to_owned(),
        offset: 0,
        line: 0,
        context: Some(Context {
            expected: shown(expected),
            actual: shown(actual),
        }),
    }
}
