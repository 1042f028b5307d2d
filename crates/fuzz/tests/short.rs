//! A few inputs for each target, so that none is broken when somebody wants many.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use fuzz::hunt::{Amount, Found, hunt};
use fuzz::{TARGETS, Target};

/// Inputs for each target that needs no files; for others, a part of them.
const INPUTS: u64 = 20_000;
/// Most time for each target: the slowest are cut short on slow machines.
const MOST: Duration = Duration::from_millis(500);

fn hangs(target: &Target, found: Found) -> ! {
    // A test that never ends tells nobody why.
    std::panic::set_hook(Box::new(|_| {}));
    let _ = std::fs::write("/dev/stderr", format!("{}: {found:?}\n", target.name));
    std::process::exit(1)
}

#[test]
fn a_few_inputs_for_each_target() {
    let mut wrong = Vec::new();
    for target in TARGETS {
        let scratch = tempfile::tempdir_in(memory()).unwrap();
        let inputs = target
            .pace
            .share(INPUTS)
            .max((target.seeds)().len() as u64 + 50);
        let amount = Amount {
            inputs,
            time: MOST,
            seed: 1,
        };
        let report = hunt(
            target,
            (target.seeds)(),
            amount,
            scratch.path(),
            hangs,
            &mut |_| ControlFlow::Continue(()),
        );
        assert!(
            report.inputs > (target.seeds)().len() as u64,
            "{}",
            target.name
        );
        if let Some(found) = report.found {
            wrong.push(format!(
                "{}: {}\n{:?}",
                target.name,
                found.what,
                found.input.escape_ascii().to_string()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn memory() -> &'static Path {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        memory
    } else {
        Path::new("/tmp")
    }
}

#[test]
fn names_are_unique_and_seeds_are_there() {
    for (index, target) in TARGETS.iter().enumerate() {
        assert!(
            TARGETS[..index]
                .iter()
                .all(|other| other.name != target.name)
        );
        assert!(!(target.seeds)().is_empty(), "{}", target.name);
    }
}

#[test]
fn the_page_lists_every_target() {
    let page = include_str!("../../../docs/src/fuzzing.md");
    let cells = |line: &str| -> Vec<String> {
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    for target in TARGETS {
        let name = format!("`{}`", target.name);
        let listed = page.lines().map(cells).any(|row| {
            matches!(&row[..], [_, first, reads, from, ..] if *first == name && reads == target.reads && from == target.from)
        });
        assert!(
            listed,
            "docs/src/fuzzing.md: {name} | {} | {}",
            target.reads, target.from
        );
    }
}
