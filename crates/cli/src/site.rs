//! `mirrorcode report`: runs as a static site.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use report::Results;
use report::site::{DocsPage, FamilyRow, Site, StrengthRow, TargetPage, write_run};
use target::Target;
use target::build::docs_directory;
use target::fairness::{self, Fairness, FamilyFairness, What};
use target::spec::Provenance;
use target::strength::object::Kind;
use target::strength::record::{Group, Record};

use crate::args::ReportArgs;
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::{results, terminal};

/// Lines and bytes of a page of documentation that stand on a target's page.
const EXTRACT: (usize, usize) = (40, 4000);
/// A page of documentation that is longer is not read.
const LONGEST_DOCS: u64 = 4 << 20;
/// What a site begins with, so that nothing else is ever replaced.
const MARK: &str = ".mirrorcode-site";

pub(crate) fn run(context: &Context, arguments: &ReportArgs) -> Answer {
    let out = &arguments.out;
    check_place(out, arguments.force)?;
    let directories = results::directories(context, &arguments.of)?;
    results::check_names(&directories)?;
    let catalog = results::catalog(context);
    let screens = results::screens(&arguments.screen)?;
    let above = out.parent().filter(|above| !above.as_os_str().is_empty());
    let above = above.unwrap_or(Path::new("."));
    fs::create_dir_all(above).map_err(|error| Failure::io(above, &error))?;
    // The site is there whole or not at all.
    let new = tempfile::Builder::new()
        .prefix(".site-")
        .permissions(fs::Permissions::from_mode(0o777))
        .tempdir_in(above)
        .map_err(|error| Failure::io(above, &error))?;
    let read = results::each(context, &directories, |dir| {
        Ok(match write_run(dir, &catalog, new.path()) {
            Ok(row) => Ok(row),
            Err(report::Error::Run(error)) => Err(error.to_string()),
            Err(report::Error::Write(error)) => return Err(Failure::io(new.path(), &error)),
        })
    })?;
    let mut rows = Vec::new();
    let mut unreadable = Vec::new();
    for row in read {
        match row {
            Ok(row) => rows.push(row),
            Err(why) => unreadable.push(why),
        }
    }
    let found = Results::with_screens(rows, &screens, &catalog);
    let shown: BTreeSet<&str> = found.rows.iter().map(|row| row.target.as_str()).collect();
    let targets = targets(context, &shown, !arguments.no_docs);
    let site = Site {
        results: &found,
        targets: &targets,
        unreadable: &unreadable,
        more: &[],
    };
    let failed = |error: std::io::Error| Failure::io(out, &error);
    site.write(new.path()).map_err(failed)?;
    fs::write(new.path().join(MARK), "").map_err(failed)?;
    put(new, out).map_err(failed)?;
    for note in found.notes.iter().chain(&unreadable) {
        terminal::note(&format!("note: {note}"));
    }
    terminal::line(&out.join("index.html").display().to_string());
    Ok(exit::DONE)
}

/// Nothing but an empty directory or an older site may be replaced.
fn check_place(out: &Path, force: bool) -> Result<(), Failure> {
    let entries = match fs::read_dir(out) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| Failure::io(out, &error))?,
    };
    let is_empty = entries.count() == 0;
    let is_site = out.join(MARK).is_file();
    match (is_empty, is_site, force) {
        (true, ..) | (_, true, true) => Ok(()),
        (_, true, false) => Err(Failure::usage(format!(
            "{} holds a site: replace it with --force, or name another directory",
            out.display()
        ))),
        (_, false, _) => Err(Failure::usage(format!(
            "{} holds something that is no site of mirrorcode: name another directory",
            out.display()
        ))),
    }
}

fn put(new: tempfile::TempDir, out: &Path) -> std::io::Result<()> {
    if out.is_dir() {
        fs::remove_dir_all(out)?;
    }
    // Once it is renamed there is nothing left to be removed.
    let path = new.keep();
    fs::rename(&path, out).inspect_err(|_| {
        let _ = fs::remove_dir_all(&path);
    })
}

/// What is known here of every target. One that cannot be read is left out: its runs are shown all the same. One that is
/// sealed is there only where its runs are: a site may go to people who must not know of it.
pub(crate) fn targets(
    context: &Context,
    shown: &BTreeSet<&str>,
    with_docs: bool,
) -> BTreeMap<String, TargetPage> {
    let Ok(catalog) = context.catalog() else {
        return BTreeMap::new();
    };
    let names = catalog.target_names().unwrap_or_default();
    names
        .into_iter()
        .filter_map(|name| {
            let found = catalog.target(&name);
            let is_sealed = found
                .as_ref()
                .is_ok_and(|target| catalog.is_sealed(target));
            if is_sealed && !shown.contains(name.as_str()) {
                return None;
            }
            match found.and_then(|target| page(context, &target, with_docs)) {
                Ok(page) => {
                    if is_sealed {
                        terminal::note(&format!(
                            "note: the site shows {name}, which is sealed: its families, and runs with its visible cases; \
                             it is for those who may know of it"
                        ));
                    }
                    Some((name, page))
                }
                Err(error) => {
                    terminal::note(&format!("mirrorcode: {error}; its page says less"));
                    None
                }
            }
        })
        .collect()
}

fn page(context: &Context, target: &Target, with_docs: bool) -> Result<TargetPage, target::Error> {
    let spec = &target.spec;
    let strength = strength(target);
    let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let lock = target.lock()?;
    if lock.is_some() {
        let tests = target.tests()?;
        for case in &tests.visible {
            counts.entry(case.family.clone()).or_default().0 += 1;
        }
        for case in &tests.hidden {
            counts.entry(case.family.clone()).or_default().1 += 1;
        }
    }
    let fairness = lock.as_ref().and_then(|_| fairness(context, target));
    let families = target.families()?.into_iter().map(|family| {
        let fair = fairness
            .as_ref()
            .and_then(|found| found.families.iter().find(|row| row.family == family.name));
        let (visible, hidden) = counts.get(&family.name).copied().unwrap_or_default();
        let measured = strength
            .as_ref()
            .and_then(|record| record.families.iter().find(|row| row.family == family.name));
        FamilyRow {
            noticed: measured.map(|row| (row.executed as u64, row.killed as u64)),
            fewest_duals: fair.map(|row| row.fewest_duals as u64),
            undocumented: fair.map(undocumented).unwrap_or_default(),
            name: family.name,
            about: family.about,
            visible,
            hidden,
        }
    });
    let version = lock
        .as_ref()
        .and_then(|lock| lock.reference_version(&spec.reference));
    Ok(TargetPage {
        about: spec.about.clone(),
        domain: spec.domain.clone(),
        size: spec.size.as_str().to_owned(),
        lines: spec.lines.map(u64::from),
        reference: match &spec.reference.from {
            Provenance::Package(name) => {
                format!("Debian {name} {}", version.unwrap_or("(not built yet)"))
            }
            Provenance::Source { source, .. } => source.origin.to_string(),
        },
        languages: spec.languages.clone(),
        excluded: spec.excluded.clone(),
        families: families.collect(),
        recall: spec.recall.clone(),
        fairness: fairness
            .as_ref()
            .and_then(|found| serde_json::to_value(found).ok()),
        strength: strength.as_ref().map(rows).unwrap_or_default(),
        docs: if with_docs {
            docs(context, &spec.name)
        } else {
            Vec::new()
        },
    })
}

/// What the documentation says of its cases, where it was extracted here.
fn fairness(context: &Context, target: &Target) -> Option<Fairness> {
    let cache = context.cache().ok()?;
    let docs = docs_directory(&cache, &target.spec.name).ok()?;
    let pages = fairness::read_pages(&docs).ok()?;
    fairness::examine(target, &pages).ok()
}

/// What works and is never documented; abbreviations of what is documented are no surprise.
fn undocumented(family: &FamilyFairness) -> Vec<String> {
    let kept = family
        .undocumented
        .iter()
        .filter(|one| one.works > 0 && one.what != What::Abbreviation);
    kept.map(|one| one.word.clone()).collect()
}

fn strength(target: &Target) -> Option<Record> {
    let path = target.lock_path().with_file_name("strength.json");
    let text = fs::read(path).ok()?;
    serde_json::from_slice(&text).ok()
}

/// The figure to look at first, then the others.
fn rows(record: &Record) -> Vec<StrengthRow> {
    let kinds = [
        (Kind::Jump, "conditional jumps"),
        (Kind::Select, "conditional values"),
        (Kind::Constant, "compared numbers"),
    ];
    let mut rows = Vec::new();
    for (kind, words) in kinds {
        let Some(groups) = record.strength.get(&kind) else {
            continue;
        };
        for (group, of) in [
            (Group::Own, " in functions of the program"),
            (Group::Some, " that not every case executes"),
        ] {
            if let Some(counted) = groups.get(&group).filter(|counted| counted.total > 0) {
                rows.push(StrengthRow {
                    what: format!("{words}{of}"),
                    killed: counted.killed as u64,
                    total: counted.total as u64,
                    low: counted.low,
                    high: counted.high,
                });
            }
        }
    }
    rows
}

/// How each page of the documentation begins, where it was extracted here.
fn docs(context: &Context, name: &str) -> Vec<DocsPage> {
    let mut pages = Vec::new();
    let Ok(dir) = context
        .cache()
        .map_err(drop)
        .and_then(|cache| docs_directory(&cache, name).map_err(drop))
    else {
        return pages;
    };
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let short = entry
            .metadata()
            .is_ok_and(|data| data.is_file() && data.len() <= LONGEST_DOCS);
        let Some(text) = short.then(|| fs::read(entry.path()).ok()).flatten() else {
            continue;
        };
        let text = String::from_utf8_lossy(&text);
        let mut extract: String = text.lines().take(EXTRACT.0).collect::<Vec<_>>().join("\n");
        while extract.len() > EXTRACT.1 {
            extract.pop();
        }
        pages.push(DocsPage {
            name: entry.file_name().to_string_lossy().into_owned(),
            lines: text.lines().count() as u64,
            extract,
        });
    }
    pages.sort_by(|one, other| one.name.cmp(&other.name));
    pages
}
