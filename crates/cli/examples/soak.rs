//! Scores 10,000 cases with two workers and prints what that leaves behind: memory of the scorer on the way, and
//! descriptors, mounts, control groups and processes after the end.
#![allow(clippy::print_stdout, reason = "a measurement for people")]

use std::error::Error;
use std::fs;
use std::sync::atomic::AtomicBool;

use score::{Results, Split, TestStage};
use target::reference::{GuardLibrary, capture_sandbox, prepare};
use target::{Case, Catalog};

const CASES: usize = 10_000;
const JOBS: usize = 2;

/// What a process holds of the machine.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    mounts: usize,
    groups: usize,
    processes: usize,
}

fn held() -> Held {
    let count = |path: &str| fs::read_dir(path).map_or(0, Iterator::count);
    let own = fs::read_link("/proc/self/exe").unwrap_or_default();
    let processes = fs::read_dir("/proc").map_or(0, |entries| {
        entries
            .flatten()
            .filter(|entry| fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == own))
            .count()
    });
    Held {
        descriptors: count("/proc/self/fd"),
        mounts: fs::read_to_string("/proc/self/mountinfo").map_or(0, |text| text.lines().count()),
        groups: own_groups("/sys/fs/cgroup".as_ref()),
        processes,
    }
}

/// Control groups that this process made.
fn own_groups(below: &std::path::Path) -> usize {
    let own = format!("mirrorcode-{}-", std::process::id());
    let Ok(entries) = fs::read_dir(below) else {
        return 0;
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| {
            let mine = entry.file_name().to_string_lossy().starts_with(&own);
            usize::from(mine) + own_groups(&entry.path())
        })
        .sum()
}

/// Resident memory in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn main() -> Result<(), Box<dyn Error>> {
    sandbox::entry();
    let target = Catalog::find(None, None, &std::env::current_dir()?)?.target("uuidparse")?;
    let visible = target.visible()?;
    let cases: Vec<Case> = visible
        .iter()
        .cycle()
        .take(CASES)
        .enumerate()
        .map(|(number, case)| Case {
            id: format!("{}-{number}", case.id),
            ..case.clone()
        })
        .collect();
    let cases: Vec<_> = cases.iter().map(|case| (case, Split::Visible)).collect();
    let never = AtomicBool::new(false);
    let cache = image::Cache::open(None)?;
    let prepared = prepare(&target.spec, None, &cache, &never, &mut |_| {})?;
    let guard = GuardLibrary {
        bytes: oracle::GUARD,
        descriptor: oracle::GUARD_FD,
    };
    let stage = TestStage {
        sandbox: capture_sandbox(&target.spec, &prepared.image.root, guard),
        program: prepared.program.clone(),
    };
    let before = held();
    let kept = tempfile::tempdir()?;
    let results = Results::open(kept.path(), "soak")?;
    let results = score::run_all(
        &stage,
        &target.spec,
        &cases,
        JOBS,
        results,
        &never,
        &mut |done, total| {
            if done == 500 || done % 2500 == 0 {
                println!("{done} of {total} cases: {} KiB resident", resident());
            }
        },
    )?;
    let passed = results
        .iter()
        .filter(|result| result.outcome == score::CaseOutcome::Pass)
        .count();
    // Ended processes leave the table a moment after their owner.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let after = held();
    println!("{passed} passed; before: {before:?}; after: {after:?}");
    match before == after && passed == CASES {
        true => Ok(()),
        false => Err("something was left behind, or a case failed".into()),
    }
}
