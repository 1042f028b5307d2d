//! Prints what scoring 2,000 short cases costs over the same 2,000 commands spawned bare, in one run.
//! Both with two at a time; the programs are the references themselves, so that nothing but the harness differs:
//! once as finished submissions, which is what scoring is, and once behind the guard, as when they are captured.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement for people, which spawns programs bare on purpose"
)]

use std::error::Error;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use score::{Results, Split, TestStage};
use target::reference::{GuardLibrary, capture_sandbox, prepare};
use target::{Case, Catalog, Target};

/// Go's runtime makes gron a slower program, C makes uuidparse a quick one.
const TARGETS: [&str; 2] = ["uuidparse", "gron"];
const CASES: usize = 2000;
const JOBS: usize = 2;
const ROUNDS: usize = 3;
/// Larger input would measure pipes.
const LONGEST_INPUT: usize = 4096;

/// A target and the program that answers its cases, in the sandbox and bare.
struct Suite {
    target: Target,
    cases: Vec<Case>,
    submission: TestStage,
    guarded: TestStage,
    bare: PathBuf,
}

impl Suite {
    fn open(name: &str, most: usize) -> Result<Self, Box<dyn Error>> {
        let target = Catalog::find(None, None, &std::env::current_dir()?)?.target(name)?;
        let tests = target.tests()?;
        let short = |case: &Case| case.inputs.stdin.0.len() < LONGEST_INPUT;
        let all = [tests.visible, tests.hidden].concat();
        let cases = all.into_iter().filter(short).take(most).collect();
        let never = AtomicBool::new(false);
        let cache = image::Cache::open(None)?;
        let prepared = prepare(&target.spec, None, &cache, &never, &mut |_| {})?;
        let guard = GuardLibrary {
            bytes: oracle::GUARD,
            descriptor: oracle::GUARD_FD,
        };
        let (root, program) = (&prepared.package.root, &target.spec.reference.program);
        Ok(Suite {
            submission: TestStage::for_prebuilt(
                root,
                Path::new(program),
                &target.spec.limits,
                &target.spec.reference.command,
            ),
            guarded: TestStage {
                sandbox: capture_sandbox(&target.spec, &prepared.image.root, guard),
                program: prepared.program.clone(),
            },
            bare: root.join(program.trim_start_matches('/')),
            target,
            cases,
        })
    }

    fn score(&self, stage: &TestStage) -> Result<Duration, Box<dyn Error>> {
        let cases: Vec<_> = self
            .cases
            .iter()
            .map(|case| (case, Split::Visible))
            .collect();
        let kept = tempfile::tempdir()?;
        let results = Results::open(kept.path(), "ratio")?;
        let never = AtomicBool::new(false);
        let start = Instant::now();
        score::run_all(
            stage,
            &self.target.spec,
            &cases,
            JOBS,
            results,
            &never,
            &mut |_, _| {},
        )?;
        Ok(start.elapsed())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    sandbox::entry();
    let mut left = CASES;
    let mut suites = Vec::new();
    for name in TARGETS {
        let suite = Suite::open(name, left)?;
        left -= suite.cases.len();
        suites.push(suite);
    }
    for _ in 0..ROUNDS {
        let mut sums = [Duration::ZERO; 3];
        for suite in &suites {
            let times = [
                spawn_bare(suite),
                suite.score(&suite.submission)?,
                suite.score(&suite.guarded)?,
            ];
            show(suite.cases.len(), &suite.target.spec.name, times);
            sums = std::array::from_fn(|way| sums[way] + times[way]);
        }
        show(CASES - left, "both, two at a time", sums);
    }
    Ok(())
}

fn show(cases: usize, of: &str, [bare, submission, guarded]: [Duration; 3]) {
    let ratio = |time: Duration| time.as_secs_f64() / bare.as_secs_f64();
    println!(
        "{cases} cases of {of}: bare {bare:.3?}, as a submission {submission:.3?}, ratio {:.2}; guarded {guarded:.3?}, {:.2}",
        ratio(submission),
        ratio(guarded)
    );
}

/// The same programs with the same arguments, environment, input and files.
fn spawn_bare(suite: &Suite) -> Duration {
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                while let Some(case) = suite.cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run_bare(suite, case).expect("the program runs bare");
                }
            });
        }
    });
    start.elapsed()
}

fn run_bare(suite: &Suite, case: &Case) -> std::io::Result<()> {
    let directory = tempfile::tempdir()?;
    for (path, bytes) in &case.inputs.files {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        std::fs::write(path, &bytes.0)?;
    }
    let mut child = Command::new(&suite.bare)
        .args(
            case.inputs
                .argv
                .iter()
                .map(|argument| String::from_utf8_lossy(&argument.0).into_owned()),
        )
        .env_clear()
        .envs(&suite.target.spec.environment)
        .envs(
            case.inputs
                .env
                .iter()
                .map(|(name, value)| (name, OsStr::from_bytes(&value.0))),
        )
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
