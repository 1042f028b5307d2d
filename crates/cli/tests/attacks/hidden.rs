//! Finding hidden cases.

use std::path::Path;

use crate::common::Place;
use crate::table::{Act, Attack, Twin, attack};

const BY: &str = "the agent, for hidden cases";

/// A place in which a session can be opened.
fn place() -> Place {
    let place = Place::new();
    place.expect(0, &["target", "build", "jq_simple", "--no-draw"]);
    place
}

/// Asks `evaluate` for something, and returns its answer with what was asked for blotted out.
fn ask(place: &Place, wanted: &str) -> String {
    let script = format!("evaluate '{wanted}'; echo $?");
    let command = ["shell", "jq_simple/python", "-c", &script];
    place.run(&command).stdout.replace(wanted, "[]")
}

fn id(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.split('"').nth(3).unwrap().to_owned()
}

/// Whether an answer tells a case that exists from one that does not.
fn evaluate_tells(twin: bool) -> bool {
    let place = place();
    let tests = crate::lab::repository().join("targets/jq_simple/tests");
    let split = if twin { "visible" } else { "hidden" };
    let id = id(&tests.join(format!("{split}.jsonl")));
    let without = id.rsplit_once('/').unwrap().0;
    let never = format!("{without}/9999999");
    ask(&place, &id) != ask(&place, &never)
}

/// Whether words that mean something to shells, paths or flags bring a hidden case's name out.
fn evaluate_lists(twin: bool) -> bool {
    let place = place();
    let tests = crate::lab::repository().join("targets/jq_simple/tests");
    let split = if twin { "visible" } else { "hidden" };
    let id = id(&tests.join(format!("{split}.jsonl")));
    let family = id.split('/').nth(1).unwrap().to_owned();
    let mut script = "echo 'print(1)' >main.py\n".to_owned();
    let words = [
        "--hidden",
        "--all",
        "hidden",
        "*",
        "../hidden.jsonl",
        "tests/hidden.jsonl",
        "jq_simple/*",
        family.as_str(),
    ];
    for word in words {
        script += &format!("evaluate '{word}'\n");
    }
    let done = place.run(&["shell", "jq_simple/python", "-c", &script]);
    let printed = done.stdout + &done.stderr;
    assert!(printed.contains(&family), "{printed}");
    printed.contains(&id)
}

pub(crate) fn attacks() -> Vec<Attack> {
    vec![
        attack(
            BY,
            (
                "hidden-in-files",
                "the name of a hidden case in any file, environment, argument list or log that it can read",
                "hidden cases are in no mount of the agent's",
            ),
            Act::Agent(
                "grep -rasq -D skip --exclude-dir=proc --exclude-dir=sys -e \"$HIDDEN\" / && echo WON; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | grep -aq -e \"$HIDDEN\" && echo WON; dmesg 2>/dev/null | grep -aq -e \"$HIDDEN\" && echo WON; :",
            ),
            Twin::Leaky,
        ),
        attack(
            BY,
            (
                "evaluate-by-name",
                "`evaluate` of a hidden case's name, compared with that of no case",
                "the evaluator has read the visible cases alone",
            ),
            Act::Host(evaluate_tells),
            Twin::Host("a visible case's name"),
        ),
        attack(
            BY,
            (
                "evaluate-tricks",
                "`evaluate` of patterns, paths, options and families, for a hidden case's name",
                "the evaluator has read the visible cases alone",
            ),
            Act::Host(evaluate_lists),
            Twin::Host("a visible case's name is looked for"),
        ),
    ]
}
