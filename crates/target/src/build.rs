//! Building a target: reference, docs, cases, expected output, split, lock.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use image::{Cache, Image, Origin};

use crate::capture::{CaptureError, Captured, capture};
use crate::docs::{DocsError, Page, extract};
use crate::lock::{Counts, Dropped, Lock, LockedPackage};
use crate::reference::{GuardLibrary, capture_sandbox, prepare};
use crate::spec::Provenance;
use crate::{
    Bytes, Case, Digest, Drawn, Error, Keep, Problem, Retired, Round, Share, Split, Target, Tests,
    draw, split,
};

/// Seed of a target's first draw, when none is given.
const FIRST_SEED: u64 = 1;

/// Why a target could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Its files.
    #[error(transparent)]
    Target(#[from] Error),
    /// The image with the reference.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The documentation.
    #[error(transparent)]
    Docs(#[from] DocsError),
    /// The run of the reference.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The package is not the one that the lock names.
    #[error(
        "{package} {version} has the checksum {found}, but target.lock has {locked}; if the change is wanted, run \
         `mirrorcode target build {target} --update`"
    )]
    Checksum {
        /// The target.
        target: String,
        /// The package, or the program's path.
        package: String,
        /// Its version.
        version: String,
        /// What was found.
        found: String,
        /// What the lock has.
        locked: String,
    },
    /// The reference cannot be built from its source.
    #[error("{origin} cannot be built: {reason}; the last lines were\n{tail}")]
    Compile {
        /// The package.
        origin: String,
        /// How the build ended.
        reason: String,
        /// The last lines of what it printed.
        tail: String,
    },
    /// There is no source code of it.
    #[error("{0}")]
    NoCode(String),
    /// The lock is about another source.
    #[error(
        "target.toml names {named}, and target.lock was made with {locked}; if the change is wanted, run \
         `mirrorcode target build {target} --update`"
    )]
    OtherSource {
        /// The target.
        target: String,
        /// What target.toml names.
        named: String,
        /// What the lock has.
        locked: String,
    },
    /// A sandbox failed.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// The package does not hold the program.
    #[error("package {package} has no {program}; mend `program` in target.toml")]
    NoProgram {
        /// The package.
        package: String,
        /// The program's path.
        program: String,
    },
    /// A script cannot be executed without being read.
    #[error("{program} is a script: whoever can run it can read it, so it cannot be a reference")]
    Script {
        /// The program's path.
        program: String,
    },
    /// The program is linked another way than target.toml says, which decides how it is protected.
    #[error("{program} is a {linked} program; write kind = \"{linked}\" in target.toml")]
    Kind {
        /// The program's path.
        program: String,
        /// How it is linked.
        linked: &'static str,
    },
    /// Every case was dropped.
    #[error("no case is left: {dropped} were dropped, the first because {reason}")]
    NothingLeft {
        /// How many were dropped.
        dropped: usize,
        /// Why the first was.
        reason: String,
    },
    /// A file in the cache.
    #[error("{path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        error: std::io::Error,
    },
}

impl From<Problem> for BuildError {
    fn from(problem: Problem) -> Self {
        BuildError::Target(problem.into())
    }
}

/// What the caller decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Draw the hidden cases with this seed; `None` keeps the lock's.
    pub seed: Option<u64>,
    /// Take the newest package and write a new lock.
    pub update: bool,
    /// Leave the cases as they are.
    pub no_draw: bool,
}

/// How the work goes on.
pub enum Progress {
    /// An image is being built.
    Image(image::Progress),
    /// A stage began.
    Stage(&'static str),
    /// So many runs of the reference of so many are done.
    Runs(u64, u64),
}

/// What was built.
pub struct Report {
    /// The lock, as it stands on disk now.
    pub lock: Lock,
    /// How the cases are split; `None` when they were left as they are.
    pub share: Option<Share>,
    /// Whether cases on disk changed.
    pub changed: bool,
    /// Remarks for the person.
    pub notes: Vec<String>,
    /// Where the docs are.
    pub docs: PathBuf,
    /// Number of pages.
    pub pages: usize,
}

/// The place for a target's documentation in the cache.
///
/// # Errors
/// When the cache cannot be written.
pub fn docs_directory(cache: &Cache, target: &str) -> Result<PathBuf, BuildError> {
    Ok(cache.dir("docs")?.join(target))
}

/// What of the circumstances a build is given.
pub struct Means<'a> {
    /// Images and packages.
    pub cache: &'a Cache,
    /// What keeps a dynamic reference from being read.
    pub guard: GuardLibrary,
    /// Runs of the reference at the same time.
    pub jobs: usize,
    /// Set when the caller wants the end.
    pub interrupted: &'a AtomicBool,
}

/// Builds a target.
///
/// # Errors
/// [`BuildError`]; the target's files are as they were then.
pub fn build(
    target: &Target,
    options: Options,
    means: &Means<'_>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report, BuildError> {
    let old = target.lock()?;
    let families = target.families()?;
    let fixtures = target.fixtures()?;
    let pinned = old.as_ref().filter(|_| !options.update);
    if let Some(lock) = pinned {
        same_source(target, lock)?;
    }

    progress(Progress::Stage("reference"));
    let mut image_progress = |step| progress(Progress::Image(step));
    let prepared = prepare(
        &target.spec,
        pinned,
        means.cache,
        means.interrupted,
        &mut image_progress,
    )?;
    let mut notes = Vec::new();
    let made = MadeFrom {
        program: prepared.digest,
        source: prepared.source.clone(),
        packages: locked_packages(&prepared.image),
        toolchain: prepared.toolchain.clone(),
    };
    if let Some(lock) = pinned {
        notes.extend(compare_packages(target, lock, &made)?);
    }

    progress(Progress::Stage("documentation"));
    let sandbox = capture_sandbox(&target.spec, &prepared.image.root, means.guard);
    let pages = extract(
        &target.spec,
        &target.dir,
        means.cache,
        &prepared.package,
        (&sandbox, &prepared.program),
        means.interrupted,
        &mut image_progress,
    )?;
    let docs = docs_directory(means.cache, &target.spec.name)?;
    write_pages(&docs, &pages)?;
    let report = |lock, share, changed, notes| Report {
        lock,
        share,
        changed,
        notes,
        docs,
        pages: pages.len(),
    };
    if options.no_draw {
        let lock = target.locked()?;
        target.tests()?;
        return Ok(report(lock, None, false, notes));
    }

    progress(Progress::Stage("cases"));
    let run = |drawn: Vec<Drawn>| -> Result<Captured, BuildError> {
        Ok(capture(
            drawn,
            &sandbox,
            &prepared.program,
            &target.spec,
            means.jobs,
            means.interrupted,
            &|done, total| progress(Progress::Runs(done, total)),
        )?)
    };
    let name = &target.spec.name;
    let seed = old
        .as_ref()
        .map_or(options.seed.unwrap_or(FIRST_SEED), |lock| lock.seed);
    let hidden_seed = options
        .seed
        .or(old.as_ref().map(|lock| lock.hidden_seed))
        .unwrap_or(seed);
    let mut retired: Vec<Retired> = old
        .as_ref()
        .map(|lock| lock.retired.clone())
        .unwrap_or_default();
    let mut dropped = Vec::new();

    let mut carried = Vec::new();
    let (visible, earlier) = match old.as_ref().filter(|_| options.seed.is_some()) {
        // Only the hidden cases are drawn afresh: what agents see stays byte for byte.
        Some(old) => {
            carried.clone_from(&old.dropped);
            let tests = target.tests()?;
            (tests.visible, tests.hidden)
        }
        None => {
            let captured =
                run(draw(name, &families, &fixtures, seed, Round::First).map_err(Error::from)?)?;
            dropped.extend(captured.dropped);
            let first = split(
                name,
                captured.cases,
                Keep::Nothing,
                &target.spec.alike,
                seed,
            );
            if hidden_seed == seed {
                return finish(
                    target,
                    old,
                    first,
                    seed,
                    hidden_seed,
                    made,
                    (dropped, carried),
                    retired,
                    notes,
                    report,
                );
            }
            (first.visible, first.hidden)
        }
    };
    retired.extend(earlier.iter().map(|case| Retired {
        id: case.id.clone(),
        inputs: case.inputs.digest(),
    }));
    retired.sort_by(|a, b| a.id.cmp(&b.id));
    retired.dedup_by(|a, b| a.id == b.id);
    let round = Round::Fresh {
        visible: &visible,
        retired: &retired,
    };
    let captured = run(draw(name, &families, &fixtures, hidden_seed, round).map_err(Error::from)?)?;
    dropped.extend(captured.dropped);
    let again = Keep::Visible {
        visible: &visible,
        earlier: &earlier,
    };
    let split = split(name, captured.cases, again, &target.spec.alike, hidden_seed);
    retired.retain(|gone| !split.hidden.iter().any(|case| case.id == gone.id));
    finish(
        target,
        old,
        split,
        seed,
        hidden_seed,
        made,
        (dropped, carried),
        retired,
        notes,
        report,
    )
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of a lock, which two ways of drawing end with"
)]
fn finish(
    target: &Target,
    old: Option<Lock>,
    split: Split,
    seed: u64,
    hidden_seed: u64,
    made: MadeFrom,
    (dropped, carried): (Vec<crate::capture::Dropped>, Vec<Dropped>),
    retired: Vec<Retired>,
    notes: Vec<String>,
    report: impl FnOnce(Lock, Option<Share>, bool, Vec<String>) -> Report,
) -> Result<Report, BuildError> {
    if let (true, Some(first)) = (split.visible.is_empty(), dropped.first()) {
        return Err(BuildError::NothingLeft {
            dropped: dropped.len(),
            reason: first.reason.clone(),
        });
    }
    let lock = Lock {
        seed,
        hidden_seed,
        program: made.program,
        source: made.source,
        packages: made.packages,
        toolchain: made.toolchain,
        counts: Counts::default(),
        visible: Digest::of(b""),
        hidden: Digest::of(b""),
        dropped: carried
            .into_iter()
            .chain(dropped.into_iter().map(|dropped| Dropped {
                family: dropped.case.family.clone(),
                inputs: dropped.case.inputs.digest(),
                reason: dropped.reason,
            }))
            .collect(),
        retired,
    };
    let share = split.share.clone();
    let lock = target.save(
        &Tests {
            visible: split.visible,
            hidden: split.hidden,
        },
        lock,
    )?;
    let changed = old.is_none_or(|old| (old.visible, old.hidden) != (lock.visible, lock.hidden));
    Ok(report(lock, Some(share), changed, notes))
}

/// What a reference was made from, as a lock has it.
struct MadeFrom {
    program: Digest,
    source: Option<Origin>,
    packages: Vec<LockedPackage>,
    toolchain: Vec<LockedPackage>,
}

/// The lock must be about the source that target.toml names: nothing is fetched or built otherwise.
fn same_source(target: &Target, lock: &Lock) -> Result<(), BuildError> {
    let named = match &target.spec.reference.from {
        Provenance::Source { source, .. } => Some(&source.origin),
        Provenance::Package(_) => None,
    };
    let shown = |origin: Option<&Origin>| {
        origin.map_or("a Debian package".to_owned(), |origin| {
            format!("{origin} ({})", origin.checksum)
        })
    };
    if named == lock.source.as_ref() {
        return Ok(());
    }
    Err(BuildError::OtherSource {
        target: target.spec.name.clone(),
        named: shown(named),
        locked: shown(lock.source.as_ref()),
    })
}

pub(crate) fn locked_packages(image: &Image) -> Vec<LockedPackage> {
    image
        .packages
        .iter()
        .map(|package| LockedPackage {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            sha256: Digest::parse(&package.sha256).unwrap_or_else(|| Digest::of(b"")),
        })
        .collect()
}

/// The reference itself must be what the lock says; a library that moved on is worth a remark, since the
/// expected output is compared anyway.
fn compare_packages(
    target: &Target,
    lock: &Lock,
    made: &MadeFrom,
) -> Result<Vec<String>, BuildError> {
    let mismatch =
        |package: &str, version: &str, found: &Digest, locked: &Digest| BuildError::Checksum {
            target: target.spec.name.clone(),
            package: package.to_owned(),
            version: version.to_owned(),
            found: found.to_string(),
            locked: locked.to_string(),
        };
    let mut notes = Vec::new();
    let reference = lock.reference_package(&target.spec.reference);
    for (locked, found) in lock
        .packages
        .iter()
        .map(|locked| (locked, &made.packages))
        .chain(
            lock.toolchain
                .iter()
                .map(|locked| (locked, &made.toolchain)),
        )
    {
        let Some(package) = found.iter().find(|package| package.name == locked.name) else {
            continue;
        };
        if package.sha256 == locked.sha256 {
            continue;
        }
        if reference == Some(locked) {
            return Err(mismatch(
                &package.name,
                &package.version,
                &package.sha256,
                &locked.sha256,
            ));
        }
        notes.push(format!(
            "{} is {} here and {} in target.lock",
            package.name, package.version, locked.version
        ));
    }
    if made.program == lock.program {
        return Ok(notes);
    }
    let program = &target.spec.reference.program;
    // The same source gives other bytes when what compiles it has moved on.
    match notes.is_empty() || made.source.is_none() {
        true => Err(mismatch(program, "", &made.program, &lock.program)),
        false => {
            let built = format!("{program} ({})", notes.join("; "));
            Err(mismatch(&built, "", &made.program, &lock.program))
        }
    }
}

fn write_pages(docs: &Path, pages: &[Page]) -> Result<(), BuildError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| BuildError::Io { path, error }
    };
    let partial = docs.with_extension(format!("partial-{}", std::process::id()));
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial).map_err(at(&partial))?;
    for page in pages {
        let path = partial.join(&page.name);
        fs::write(&path, &page.bytes).map_err(at(&path))?;
    }
    let _ = fs::remove_dir_all(docs);
    fs::rename(&partial, docs).map_err(at(docs))
}

/// Whether a case's expected output is what was captured now; the reason when it is not.
pub(crate) fn still_true(case: &Case, now: &Case) -> Option<String> {
    let (was, is) = (&case.expect, &now.expect);
    let differs =
        |what: &str, was: &Bytes, is: &Bytes| (was != is).then(|| format!("{what} is another"));
    differs("standard output", &was.stdout, &is.stdout)
        .or_else(|| differs("standard error", &was.stderr, &is.stderr))
        .or_else(|| (was.ending != is.ending).then(|| "the exit status is another".to_owned()))
        .or_else(|| (was.files != is.files).then(|| "a file is another".to_owned()))
}
