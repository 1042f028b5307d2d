//! `mirrorcode score`: build a submission, run every case, give the verdict.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use score::{
    CaseResult, Header, Incomplete, Results, Split, Submission, SubmissionFacts, TestStage, Verdict,
};
use serde_json::json;
use target::{Case, Target, Task};

use crate::args::ScoreArgs;
use crate::context::{Context, GUARD, passing};
use crate::evaluate::{self, Made, Roots};
use crate::exit::{self, Answer, Failure};
use crate::terminal::{self, Progress};
use crate::{curve, images, task, verdict};

/// What is to be scored, before it is known whether that must be done.
struct Entry {
    task: String,
    facts: SubmissionFacts,
    versions: BTreeMap<String, String>,
    work: Work,
}

enum Work {
    Source {
        submission: Submission,
        language: Box<target::Language>,
        roots: Roots,
    },
    Prebuilt(Box<TestStage>),
    /// What a run left cannot be submitted, for this reason: that is a result.
    Refused(String),
}

/// What scoring gave.
pub(crate) struct Scored {
    pub(crate) verdict: Verdict,
    results: Vec<CaseResult>,
    target: Target,
    visible: Vec<Case>,
    path: PathBuf,
}

impl Scored {
    /// Prints failures and verdict for people.
    pub(crate) fn show(&self) {
        verdict::failures(
            &self.target.spec.reference.command,
            &self.results,
            &self.visible,
            &mut |text| terminal::print(text),
        );
        terminal::line("");
        verdict::show(&self.verdict);
        terminal::line(&format!("{}", self.path.display()));
    }
}

pub(crate) fn run(context: &Context, arguments: &ScoreArgs) -> Answer {
    let named;
    let arguments = match (&arguments.submission, &arguments.prebuilt) {
        (None, None) => {
            named = of_run(context, arguments)?;
            &named
        }
        _ => arguments,
    };
    if let Some(points) = arguments.curve {
        return curve::run(context, arguments, points);
    }
    let scored = score(context, arguments)?;
    if arguments.json {
        terminal::print(&scored.verdict.to_json());
    } else {
        scored.show();
    }
    Ok(if scored.verdict.solved {
        exit::DONE
    } else {
        exit::NO
    })
}

/// A run names its task itself.
fn of_run(context: &Context, arguments: &ScoreArgs) -> Result<ScoreArgs, Failure> {
    let directory = context.run_directory(&arguments.task).map_err(|failure| {
        if arguments.task.contains('/') {
            return Failure::usage(format!(
                "{}: name a directory or a run to be scored, or a program with --prebuilt",
                arguments.task
            ));
        }
        failure
    })?;
    Ok(ScoreArgs {
        task: run::Header::read(&directory)?.task,
        submission: Some(directory),
        ..arguments.clone()
    })
}

/// Scores what is named, and writes the verdict down.
pub(crate) fn score(context: &Context, arguments: &ScoreArgs) -> Result<Scored, Failure> {
    let catalog = context.catalog()?;
    let name = arguments.task.split('/').next().unwrap_or_default();
    let target = match &arguments.prebuilt {
        Some(_) => catalog.target(name)?,
        None => catalog.task(&arguments.task.parse::<Task>()?)?.0,
    };
    let tests = target.tests()?;
    let entry = match &arguments.prebuilt {
        Some(program) => prebuilt(context, arguments, &target, program)?,
        None => source(context, arguments, &target)?,
    };
    let cases: Vec<(&Case, Split)> = tests
        .visible
        .iter()
        .map(|case| (case, Split::Visible))
        .chain(tests.hidden.iter().map(|case| (case, Split::Hidden)))
        .collect();

    let out = arguments.out.clone().unwrap_or_else(|| {
        Path::new("scores")
            .join(entry.task.replace('/', "-"))
            .join(&entry.facts.digest[..12])
    });
    fs::create_dir_all(&out).map_err(|error| Failure::io(&out, &error))?;
    let key = key(&entry);
    let path = out.join("verdict.json");
    // Differences of hidden cases are in no file, so that showing them takes a whole run.
    if arguments.again || arguments.reveal_hidden {
        for file in ["verdict.json", "results.jsonl", "times.jsonl", "build.log"] {
            let _ = fs::remove_file(out.join(file));
        }
    }
    let _ = fs::remove_file(out.join("infrastructure.json"));
    let (verdict, results) = judge(context, arguments, &target, entry, &cases, &out, &key)
        .inspect_err(|failure| {
            if failure.code == exit::MACHINE {
                let text = json!({ "task": arguments.task, "error": failure.message }).to_string();
                let _ = fs::write(out.join("infrastructure.json"), text);
            }
        })?;
    verdict
        .write(&path)
        .map_err(|error| Failure::io(&path, &error))?;
    if arguments.reveal_hidden {
        let path = out.join("hidden-differences.json");
        score::reveal(&path, &tests.hidden, &results)
            .map_err(|error| Failure::io(&path, &error))?;
    }
    Ok(Scored {
        verdict,
        results,
        target,
        visible: tests.visible,
        path,
    })
}

/// What results belong to: results with another key do not count.
fn key(entry: &Entry) -> String {
    let versions: Vec<_> = entry
        .versions
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!(
        "{} {} {}",
        entry.task,
        entry.facts.digest,
        versions.join(" ")
    )
}

fn judge(
    context: &Context,
    arguments: &ScoreArgs,
    target: &Target,
    entry: Entry,
    cases: &[(&Case, Split)],
    out: &Path,
    key: &str,
) -> Result<(Verdict, Vec<CaseResult>), Failure> {
    let made = match entry.work {
        Work::Refused(reason) => Made {
            build: score::Build::Refused(vec![reason]),
            log: Vec::new(),
            stage: None,
        },
        Work::Prebuilt(stage) => Made {
            build: score::Build::None,
            log: Vec::new(),
            stage: Some((*stage, nothing()?)),
        },
        Work::Source {
            submission,
            language,
            roots,
        } => {
            let mut progress = Progress::new();
            progress.stage("building the submission");
            evaluate::make(
                &submission,
                &language,
                &roots,
                &target.spec,
                &context.interrupted,
            )?
        }
    };
    let log = out.join("build.log");
    fs::write(&log, &made.log).map_err(|error| Failure::io(&log, &error))?;
    let results = match &made.stage {
        None => {
            terminal::note(&String::from_utf8_lossy(&made.log));
            evaluate::not_started(cases)
        }
        Some((stage, _installed)) => {
            let results = Results::open(out, key)?;
            let mut progress = Progress::new();
            let jobs = arguments.jobs.map_or_else(|| context.jobs(), usize::from);
            score::run_all(
                stage,
                &target.spec,
                cases,
                jobs,
                results,
                &context.interrupted,
                &mut |done, total| {
                    progress.count("cases", done, total);
                },
            )?
        }
    };
    let known = cases
        .iter()
        .map(|(case, split)| (case.id.clone(), (*split, case.family.clone())))
        .collect();
    let header = Header {
        task: entry.task,
        build: made.build,
        submission: entry.facts,
        versions: entry.versions,
    };
    let verdict = Verdict::new(header, &known, results.clone())
        .map_err(|error: Incomplete| Failure::machine(error))?;
    Ok((verdict, results))
}

/// A prebuilt program installs nothing.
fn nothing() -> Result<score::Installed, Failure> {
    score::Installed::new(&[]).map_err(|error| Failure::io(&std::env::temp_dir(), &error))
}

fn versions(
    context: &Context,
    target: &Target,
    language: Option<&target::Language>,
    roots: &[(&str, &str)],
) -> Result<BTreeMap<String, String>, Failure> {
    let mut versions = task::digests(context, target, language)?;
    versions.insert(
        "mirrorcode".to_owned(),
        env!("CARGO_PKG_VERSION").to_owned(),
    );
    for (name, digest) in roots {
        versions.insert((*name).to_owned(), (*digest).to_owned());
    }
    Ok(versions)
}

fn source(context: &Context, arguments: &ScoreArgs, target: &Target) -> Result<Entry, Failure> {
    let (_, language) = context.catalog()?.task(&arguments.task.parse::<Task>()?)?;
    let given = arguments
        .submission
        .as_deref()
        .ok_or_else(|| Failure::usage("name a directory to be scored"))?;
    // A run's submission is restored from its record, not read from a workspace that may have changed.
    let restored;
    let by_id = context.runs().join(given);
    let run = [given, by_id.as_path()]
        .into_iter()
        .find(|run| run.join("run.toml").is_file());
    let directory = match run {
        Some(run) => {
            restored = restore(context, target, &language, run, arguments.at)?;
            restored.path()
        }
        None if given.is_dir() => given,
        None => {
            return Err(Failure::usage(format!(
                "{} is neither a directory nor a run in {}",
                given.display(),
                context.runs().display()
            )));
        }
    };
    let mut refused = None;
    let submission = match Submission::read(directory, &language.ignore) {
        Ok(submission) => submission,
        Err(error @ score::Refusal::Io { .. }) => return Err(Failure::usage(error)),
        Err(error) if run.is_some() => {
            // Where it was restored to is of no interest.
            let reason = error.to_string();
            let here = format!("{}: ", directory.display());
            refused = Some(reason.strip_prefix(&here).unwrap_or(&reason).to_owned());
            Submission { files: Vec::new() }
        }
        Err(error) => return Err(Failure::usage(error)),
    };
    let build = images::for_build(context, &language, target)?;
    let runtime = match &arguments.rootfs {
        Some(dir) => image::Image::from_rootfs(dir)?,
        None => images::for_runtime(context, &language, target)?,
    };
    let facts = SubmissionFacts {
        kind: "source".to_owned(),
        digest: submission.digest(),
        files: submission.files.len() as u64,
        bytes: submission.bytes(),
    };
    let versions = versions(
        context,
        target,
        Some(&language),
        &[
            ("build-image", &build.content_digest),
            ("runtime-image", &runtime.content_digest),
        ],
    )?;
    let roots = Roots {
        build: build.root.clone(),
        runtime: runtime.root.clone(),
    };
    Ok(Entry {
        task: arguments.task.clone(),
        facts,
        versions,
        work: match refused {
            Some(reason) => Work::Refused(reason),
            None => Work::Source {
                submission,
                language: Box::new(language),
                roots,
            },
        },
    })
}

fn restore(
    context: &Context,
    target: &Target,
    language: &target::Language,
    run_directory: &Path,
    at: Option<u64>,
) -> Result<tempfile::TempDir, Failure> {
    let instants = curve::instants(run_directory)?;
    let instant = match at {
        None => instants.last(),
        Some(at) => {
            if instants.last().is_some_and(|last| at > last.end) {
                let last = instants.last().map_or(0, |last| last.end);
                return Err(Failure::usage(format!(
                    "{}: the run has {last} turns, not {at}",
                    run_directory.display()
                )));
            }
            instants.iter().rfind(|instant| instant.turn <= at)
        }
    };
    let tree = instant.map(|instant| instant.tree).ok_or_else(|| {
        Failure::usage(format!(
            "{}: the run has no workspace to score yet",
            run_directory.display()
        ))
    })?;
    let scratch = context.scratch(target)?;
    let dir = passing("restored", &scratch)?;
    // A run does not carry what its task provides.
    let provided = passing("task", &scratch)?;
    let files = provided.path().join("task");
    task::assemble(context, target, language, &target.visible()?, &files)?;
    let store = run::Store::open(run_directory, run::Known::scan(&[&files])?);
    run::restore(&store, tree, dir.path(), run::Limits::WORKSPACE)?;
    Ok(dir)
}

fn prebuilt(
    context: &Context,
    arguments: &ScoreArgs,
    target: &Target,
    program: &str,
) -> Result<Entry, Failure> {
    let spec = &target.spec;
    let name = &spec.reference.command;
    let (stage, image, shown) = if program == "reference" {
        let lock = target.locked()?;
        let mut progress = Progress::new();
        let prepared = target::reference::prepare(
            spec,
            Some(&lock),
            &context.cache()?,
            &context.interrupted,
            &mut |step| images::show(&mut progress, &step),
        )?;
        let sandbox = target::reference::capture_sandbox(spec, &prepared.image.root, GUARD);
        (
            TestStage {
                sandbox,
                program: prepared.program.clone(),
            },
            prepared.image,
            "reference".to_owned(),
        )
    } else if let Some(rest) = program.strip_prefix("package:") {
        let (package, path) = rest.split_once(':').ok_or_else(|| {
            Failure::usage(format!("{program}: write package:NAME:/path/of/the/program, for instance package:gojq:/usr/bin/gojq"))
        })?;
        let image = images::for_package(context, package, path)?;
        if !image.root.join(path.trim_start_matches('/')).is_file() {
            return Err(Failure::usage(format!("package {package} has no {path}")));
        }
        let stage = TestStage::for_prebuilt(&image.root, Path::new(path), &spec.limits, name);
        (stage, image, program.to_owned())
    } else {
        let path = PathBuf::from(program);
        let path = fs::canonicalize(&path).map_err(|error| Failure::io(&path, &error))?;
        let image = match &arguments.rootfs {
            Some(dir) => image::Image::from_rootfs(dir)?,
            None => images::for_prebuilt(context)?,
        };
        let inside = Path::new(target::SUBMISSION_DIRECTORY).join("program");
        let mut stage = TestStage::for_prebuilt(&image.root, &inside, &spec.limits, name);
        stage.sandbox.mounts.push(sandbox::Mount {
            source: sandbox::Source::Path(path.clone()),
            at: inside,
            writable: false,
        });
        (stage, image, path.display().to_string())
    };
    let digest = {
        use sha2::{Digest, Sha256};
        let bytes = fs::read(&shown).unwrap_or_default();
        let hash =
            Sha256::digest([image.content_digest.as_bytes(), shown.as_bytes(), &bytes].concat());
        hash.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let facts = SubmissionFacts {
        kind: "prebuilt".to_owned(),
        digest,
        files: 1,
        bytes: 0,
    };
    let mut versions = versions(
        context,
        target,
        None,
        &[("runtime-image", &image.content_digest)],
    )?;
    versions.insert("program".to_owned(), shown);
    for package in &image.packages {
        versions.insert(format!("package {}", package.name), package.version.clone());
    }
    Ok(Entry {
        task: spec.name.clone(),
        facts,
        versions,
        work: Work::Prebuilt(Box::new(stage)),
    })
}

impl From<Incomplete> for Failure {
    fn from(error: Incomplete) -> Self {
        Failure::machine(error)
    }
}
