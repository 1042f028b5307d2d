//! Prints what scoring 300 cases of gron costs over the same 300 commands spawned bare, in one run.
//! Both with two at a time; the program is the reference itself, so that nothing but the harness differs.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement for people, which spawns programs bare on purpose"
)]

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use score::{Results, Split, TestStage};
use target::reference::{GuardLibrary, capture_sandbox, prepare};
use target::{Case, Catalog};

const CASES: usize = 300;
const JOBS: usize = 2;
const ROUNDS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    sandbox::entry();
    let target = Catalog::find(None, None, &std::env::current_dir()?)?.target("gron")?;
    let tests = target.tests()?;
    let cases: Vec<(&Case, Split)> = tests
        .visible
        .iter()
        .filter(|case| case.inputs.stdin.0.len() < 4096)
        .take(CASES)
        .map(|case| (case, Split::Visible))
        .collect();
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
    let bare = prepared
        .package
        .root
        .join(target.spec.reference.program.trim_start_matches('/'));
    println!("{} cases of gron, {JOBS} at a time", cases.len());
    for _ in 0..ROUNDS {
        let spawned = spawn_bare(&bare, &cases);
        let kept = tempfile::tempdir()?;
        let results = Results::open(kept.path(), "ratio")?;
        let start = Instant::now();
        score::run_all(
            &stage,
            &target.spec,
            &cases,
            JOBS,
            results,
            &never,
            &mut |_, _| {},
        )?;
        let scored = start.elapsed();
        println!(
            "bare {spawned:.3?}, scored {scored:.3?}, ratio {:.2}",
            scored.as_secs_f64() / spawned.as_secs_f64()
        );
    }
    Ok(())
}

fn spawn_bare(program: &Path, cases: &[(&Case, Split)]) -> Duration {
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                while let Some((case, _)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run_bare(program, case).expect("the program runs bare");
                }
            });
        }
    });
    start.elapsed()
}

fn run_bare(program: &Path, case: &Case) -> std::io::Result<()> {
    let directory = tempfile::tempdir()?;
    for (path, bytes) in &case.inputs.files {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        std::fs::write(path, &bytes.0)?;
    }
    let mut child = Command::new(program)
        .args(
            case.inputs
                .argv
                .iter()
                .map(|argument| String::from_utf8_lossy(&argument.0).into_owned()),
        )
        .env_clear()
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read all of its input is no failure.
        let _ = stdin.write_all(&case.inputs.stdin.0);
    }
    child.wait_with_output().map(drop)
}
