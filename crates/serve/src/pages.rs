//! The pages and tables that visitors read, made when something changes and served as they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use report::site::{Site, slug, write_run};
use report::{Results, RunRow};
use serde_json::{Value, json};

use crate::app::App;
use crate::store::{State, StoreError};

/// What stands in the menu besides the pages of every site.
pub(crate) const MORE: [(&str, &str); 2] = [("live.html", "Live"), ("api.html", "API")];

/// Everything that is shown, at one instant.
#[derive(Default)]
pub(crate) struct Snapshot {
    /// Files of the site by path, without a `/` before it.
    pub(crate) files: HashMap<String, File>,
    /// All tables, as JSON.
    pub(crate) results: Bytes,
    /// Rows of runs.
    pub(crate) runs: Vec<Value>,
    /// Where in them a run stands.
    pub(crate) places: HashMap<String, usize>,
    /// Directory of each run, and the bundle that it came in.
    pub(crate) sources: HashMap<String, (PathBuf, Option<PathBuf>)>,
    /// Rows of systems.
    pub(crate) models: Vec<Value>,
    /// Tasks, and what came of them.
    pub(crate) tasks: Vec<Value>,
    /// Names that stand for runs in names of files.
    pub(crate) slugs: BTreeSet<String>,
}

/// One file.
pub(crate) struct File {
    pub(crate) body: Body,
    /// Its media type.
    pub(crate) kind: &'static str,
    /// What tells it from other versions of it.
    pub(crate) tag: String,
}

/// Where a file's bytes are.
pub(crate) enum Body {
    Memory(Bytes),
    Disk(PathBuf),
}

/// What tells whether a run has changed.
type Stamp = [Option<(u64, SystemTime)>; 2];

/// Makes snapshots, and remembers what has not changed.
pub(crate) struct Builder {
    /// Rows of runs as they were, and the tags of their pages.
    rows: HashMap<PathBuf, (Stamp, RunRow, String)>,
    last: Vec<(PathBuf, Stamp)>,
    made: bool,
}

/// Why there is no new snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PagesError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot write pages: {0}")]
    Io(#[from] io::Error),
}

fn stamp(dir: &Path) -> Stamp {
    ["journal.jsonl", "verdict.json"].map(|name| {
        let data = fs::metadata(dir.join(name)).ok()?;
        Some((data.len(), data.modified().ok()?))
    })
}

/// The operator's runs: those that are named, and those in directories that are named.
pub(crate) fn own_runs(places: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for place in places {
        if place.join("run.toml").is_file() {
            found.push(place.clone());
        } else if let Ok(listed) = run::list(place) {
            let good = listed.into_iter().filter(|listed| listed.header.is_ok());
            found.extend(good.map(|listed| listed.dir));
        }
    }
    found.sort();
    found.dedup();
    found
}

impl Builder {
    /// Begins anew: pages of an earlier server are removed.
    pub(crate) fn new(app: &App) -> io::Result<Self> {
        let pages = app.config.data.join("pages");
        match fs::remove_dir_all(&pages) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&pages)?,
        }
        Ok(Builder {
            rows: HashMap::new(),
            last: Vec::new(),
            made: false,
        })
    }

    /// A new snapshot, unless nothing has changed.
    pub(crate) fn build(
        &mut self,
        app: &App,
        own: &[PathBuf],
    ) -> Result<Option<Snapshot>, PagesError> {
        let published = app.store.in_states(&[State::Published])?;
        let mut sources: Vec<(PathBuf, Option<PathBuf>)> = published
            .iter()
            .map(|submission| {
                let dir = app.published().join(submission.number.to_string());
                (dir, Some(app.incoming().join(&submission.file)))
            })
            .collect();
        // Of a run that somebody is at work on, the page of live runs tells.
        sources.extend(
            own.iter()
                .filter(|dir| !run::is_open(dir))
                .map(|dir| (dir.clone(), None)),
        );
        let stamped: Vec<(PathBuf, Stamp)> = sources
            .iter()
            .map(|(dir, _)| (dir.clone(), stamp(dir)))
            .collect();
        if self.made && stamped == self.last {
            return Ok(None);
        }
        let snapshot = self.make(app, &sources, &stamped)?;
        self.last = stamped;
        self.made = true;
        Ok(Some(snapshot))
    }

    fn make(
        &mut self,
        app: &App,
        sources: &[(PathBuf, Option<PathBuf>)],
        stamped: &[(PathBuf, Stamp)],
    ) -> Result<Snapshot, PagesError> {
        let pages = app.config.data.join("pages");
        let mut snapshot = Snapshot::default();
        let mut rows = Vec::new();
        let mut unreadable = Vec::new();
        self.rows
            .retain(|dir, _| stamped.iter().any(|(known, _)| known == dir));
        for ((dir, stamp), (_, bundle)) in stamped.iter().zip(sources) {
            let (row, tag) = match self.rows.get(dir) {
                Some((known, row, tag)) if known == stamp => (row.clone(), tag.clone()),
                _ => {
                    let new = tempfile::Builder::new()
                        .prefix(".new-")
                        .tempdir_in(&pages)?;
                    let row = match write_run(dir, &app.config.catalog, new.path()) {
                        Ok(row) => row,
                        Err(report::Error::Run(error)) => {
                            unreadable.push(error.to_string());
                            continue;
                        }
                        Err(report::Error::Write(error)) => return Err(error.into()),
                    };
                    let name = format!("{}.html", slug(&row.run));
                    let page = new.path().join("runs").join(&name);
                    let tag = tag(&fs::read(&page)?);
                    fs::rename(&page, pages.join(&name))?;
                    self.rows
                        .insert(dir.clone(), (*stamp, row.clone(), tag.clone()));
                    (row, tag)
                }
            };
            if !snapshot.slugs.insert(slug(&row.run).to_lowercase()) {
                unreadable.push(format!("run {} is there twice; one is left out", row.run));
                continue;
            }
            let page = pages.join(format!("{}.html", slug(&row.run)));
            snapshot.files.insert(
                format!("runs/{}.html", slug(&row.run)),
                File {
                    tag,
                    body: Body::Disk(page),
                    kind: kind("x.html"),
                },
            );
            snapshot
                .sources
                .insert(row.run.clone(), (dir.clone(), bundle.clone()));
            rows.push(row);
        }
        let results = Results::with_screens(rows, &app.config.screens, &app.config.catalog);
        let new = tempfile::Builder::new()
            .prefix(".site-")
            .tempdir_in(&pages)?;
        Site {
            results: &results,
            targets: &app.config.targets,
            unreadable: &unreadable,
            more: &MORE,
        }
        .write(new.path())?;
        fs::write(new.path().join("api.html"), crate::openapi::page(&MORE))?;
        read_all(new.path(), "", &mut snapshot.files)?;
        self.tables(app, &results, &mut snapshot);
        Ok(snapshot)
    }

    fn tables(&self, app: &App, results: &Results, snapshot: &mut Snapshot) {
        let all = results.to_json();
        snapshot.results = Bytes::from(all.to_string());
        let rows = |name: &str| -> Vec<Value> {
            all["tables"][name].as_array().cloned().unwrap_or_default()
        };
        snapshot.runs = rows("runs");
        for (place, row) in snapshot.runs.iter_mut().enumerate() {
            let run = row["run"].as_str().unwrap_or_default().to_owned();
            row["page"] = format!("/runs/{}.html", slug(&run)).into();
            snapshot.places.insert(run, place);
        }
        snapshot.models = rows("systems");
        let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for row in snapshot.runs.iter().filter(|row| row["counted"] == true) {
            let count = counts
                .entry(row["task"].as_str().unwrap_or_default().to_owned())
                .or_default();
            count.0 += 1;
            count.1 += u64::from(row["solved"] == true);
        }
        for (target, page) in &app.config.targets {
            for language in &page.languages {
                let task = format!("{target}/{language}");
                let (runs, solved) = counts.remove(&task).unwrap_or_default();
                snapshot.tasks.push(json!({
                    "task": task,
                    "target": target,
                    "language": language,
                    "domain": page.domain,
                    "size": page.size,
                    "runs": runs,
                    "solved": solved,
                }));
            }
        }
        for (task, (runs, solved)) in counts {
            let (target, language) = task.split_once('/').unwrap_or((&task, ""));
            snapshot.tasks.push(json!({
                "task": task,
                "target": target,
                "language": language,
                "domain": null,
                "size": null,
                "runs": runs,
                "solved": solved,
            }));
        }
    }
}

fn read_all(dir: &Path, prefix: &str, files: &mut HashMap<String, File>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            read_all(&entry.path(), &format!("{path}/"), files)?;
        } else if !name.starts_with('.') {
            let bytes = fs::read(entry.path())?;
            files.insert(
                path,
                File {
                    tag: tag(&bytes),
                    kind: kind(&name),
                    body: Body::Memory(bytes.into()),
                },
            );
        }
    }
    Ok(())
}

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", &run::digest(bytes).to_string()[..32])
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        Some("csv") => "text/csv; charset=utf-8",
        _ => "application/octet-stream",
    }
}
