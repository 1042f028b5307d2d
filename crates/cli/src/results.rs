//! `mirrorcode results`: figures over any set of runs.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use report::screen::Screen;
use report::table::{Cell, Table};
use report::{Catalog, Results, RunRow, TargetFacts};

use crate::args::ResultsArgs;
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::{terminal, whole};

pub(crate) fn run(context: &Context, arguments: &ResultsArgs) -> Answer {
    let directories = directories(context, &arguments.of)?;
    let catalog = catalog(context);
    let screens = screens(&arguments.screen)?;
    let rows = read(context, &directories, &catalog)?;
    let results = Results::with_screens(rows, &screens, &catalog);
    if let Some(dir) = &arguments.csv {
        write(&results, dir, "csv", |table, out| table.write_csv(out))?;
    }
    if let Some(dir) = &arguments.parquet {
        write(&results, dir, "parquet", |table, out| {
            report::write_parquet(table, out)
        })?;
    }
    if arguments.json {
        terminal::json(&results.to_json());
    } else if arguments.csv.is_none() && arguments.parquet.is_none() {
        show(&results);
    }
    for note in &results.notes {
        terminal::note(&format!("note: {note}"));
    }
    Ok(exit::DONE)
}

/// What `mirrorcode screen` found, one model each.
pub(crate) fn screens(files: &[PathBuf]) -> Result<Vec<Screen>, Failure> {
    let mut screens: Vec<Screen> = Vec::new();
    for file in files {
        let wrong = |what: String| Failure::usage(format!("{}: {what}", file.display()));
        let text = fs::read(file).map_err(|error| Failure::io(file, &error))?;
        let value = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        let screen = Screen::from_json(&value).map_err(wrong)?;
        if screens.iter().any(|other| other.model == screen.model) {
            return Err(wrong(format!(
                "there is another screen of {}; screen all its targets into one directory, so that p-values are corrected \
                 for all of them",
                screen.model
            )));
        }
        screens.push(screen);
    }
    Ok(screens)
}

/// The runs that are named: each by id or directory, or a directory that holds runs; without names, all.
pub(crate) fn directories(context: &Context, names: &[String]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut below = |dir: &Path| -> Result<usize, Failure> {
        let listed = run::list(dir)?;
        let count = listed.len();
        for listed in listed {
            match listed.header {
                Ok(_) => found.push(listed.dir),
                Err(error) => terminal::note(&format!("mirrorcode: {error}; it is left out")),
            }
        }
        Ok(count)
    };
    if names.is_empty() {
        if below(context.runs())? == 0 {
            return Err(Failure::usage(format!(
                "there are no runs in {}; name runs, or a directory of runs",
                context.runs().display()
            )));
        }
        return Ok(found);
    }
    let mut single = Vec::new();
    for name in names {
        let holds_runs = Path::new(name).is_dir() && !Path::new(name).join("run.toml").is_file();
        if !holds_runs || below(Path::new(name))? == 0 {
            single.push(context.run_directory(name)?);
        }
    }
    found.extend(single);
    // A run that is named twice is there once; two runs of one name are two only where somebody copied one.
    let mut places = BTreeSet::new();
    found.retain(|dir| places.insert(fs::canonicalize(dir).unwrap_or_else(|_| dir.clone())));
    Ok(found)
}

/// Size and domain of each target that is known here; without a directory of targets, of none.
pub(crate) fn catalog(context: &Context) -> Catalog {
    let list = context.catalog().and_then(|catalog| Ok(catalog.list()?));
    match list {
        Ok(list) => list
            .into_iter()
            .map(|target| {
                let facts = TargetFacts {
                    domain: target.domain,
                    size: target.size.as_str().to_owned(),
                };
                (target.name, facts)
            })
            .collect(),
        Err(failure) => {
            terminal::note(&format!(
                "mirrorcode: size and domain of targets are not known: {}",
                failure.message
            ));
            Catalog::new()
        }
    }
}

/// Does something with each run, on all processors, and gives back what came of it, in order.
pub(crate) fn each<T: Send>(
    context: &Context,
    directories: &[PathBuf],
    work: impl Fn(&Path) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Result<T, Failure>>>> =
        Mutex::new(directories.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..context.jobs().min(directories.len()) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(dir) = directories.get(place).filter(|_| !context.is_interrupted())
                    else {
                        return;
                    };
                    let result = work(dir);
                    if let Ok(mut done) = done.lock() {
                        done[place] = Some(result);
                    }
                }
            });
        }
    });
    let done = done
        .into_inner()
        .unwrap_or_else(|broken| broken.into_inner());
    done.into_iter()
        .map(|result| result.unwrap_or_else(|| Err(Failure::new(exit::INTERRUPTED, "interrupted"))))
        .collect()
}

/// Reads each run once.
fn read(
    context: &Context,
    directories: &[PathBuf],
    catalog: &Catalog,
) -> Result<Vec<RunRow>, Failure> {
    check_names(directories)?;
    each(context, directories, |dir| {
        RunRow::read(dir, catalog)
            .map_err(|error| Failure::usage(format!("{}: {error}", dir.display())))
    })
}

/// One run in two places would count twice, and be one page.
pub(crate) fn check_names(directories: &[PathBuf]) -> Result<(), Failure> {
    let mut names = BTreeSet::new();
    for dir in directories {
        let id = run::Header::read(dir)?.id;
        if !names.insert(report::site::slug(&id).to_lowercase()) {
            return Err(Failure::usage(format!(
                "{}: there is another directory of run {id}, which would count twice; leave one out",
                dir.display()
            )));
        }
    }
    Ok(())
}

/// Writes each table into a file of its own.
pub(crate) fn write(
    results: &Results,
    dir: &Path,
    ending: &str,
    to: impl Fn(&Table, &mut (dyn Write + Send)) -> std::io::Result<()>,
) -> Result<(), Failure> {
    fs::create_dir_all(dir).map_err(|error| Failure::io(dir, &error))?;
    for table in &results.tables {
        let path = dir.join(format!("{}.{ending}", table.schema.name));
        whole::put(&path, |out| to(table, out))?;
    }
    Ok(())
}

fn show(results: &Results) {
    let of = |name: &str| results.table(name).map(Reader::new).unwrap_or_default();
    let systems = of("systems");
    let reach = of("reach");
    let mut table = terminal::table(&[
        "system",
        "tasks",
        "runs",
        "solved",
        "rate",
        "95 %, other targets",
        "targets solved",
        "near",
        "dollars",
        "hours",
    ]);
    for row in systems.rows() {
        let system = row.text("system");
        let reached = reach
            .rows()
            .find(|reached| reached.text("system") == system);
        let targets = |name: &str| match &reached {
            Some(reached) => format!("{}/{}", reached.text(name), reached.text("targets")),
            None => String::new(),
        };
        table.add_row([
            row.text("system"),
            row.text("tasks"),
            row.text("runs"),
            row.text("solved"),
            row.percent("mean"),
            row.interval("mean_low", "mean_high"),
            targets("solved"),
            targets("near"),
            row.real("dollars", 2),
            row.real("hours", 1),
        ]);
    }
    terminal::print_table(&table);
    let rates = of("rates");
    for by in ["size", "language", "domain"] {
        let mut table = terminal::table(&[
            "system",
            by,
            "targets",
            "runs",
            "solved",
            "rate",
            "95 %, same tasks",
            "mean of targets",
            "95 %, other targets",
        ]);
        for row in rates.rows().filter(|row| row.text("by") == by) {
            table.add_row([
                row.text("system"),
                row.text("value"),
                row.text("targets"),
                row.text("runs"),
                row.text("solved"),
                row.percent("rate"),
                row.interval("rate_low", "rate_high"),
                row.percent("mean"),
                row.interval("mean_low", "mean_high"),
            ]);
        }
        if table.row_count() > 0 {
            terminal::line("");
            terminal::print_table(&table);
        }
    }
    show_screens(&of("screen"), &of("memorization"));
    let attempts = of("attempts");
    let mut table = terminal::table(&["system", "k", "tasks", "pass@k", "95 %, other targets"]);
    for row in attempts.rows().filter(|row| row.text("by") == "all") {
        table.add_row([
            row.text("system"),
            row.text("k"),
            row.text("tasks"),
            row.percent("pass"),
            row.interval("low", "high"),
        ]);
    }
    if table.row_count() > 0 {
        terminal::line("");
        terminal::print_table(&table);
    }
    let everyone = reach.rows().find(|row| row.text("system").is_empty());
    let never = everyone
        .map(|row| row.text("never_solved"))
        .unwrap_or_default();
    if !never.is_empty() {
        terminal::line(&format!("\nnever solved: {never}"));
    }
}

fn show_screens(screens: &Reader<'_>, rates: &Reader<'_>) {
    let mut table = terminal::table(&[
        "model",
        "target",
        "size",
        "similarity",
        "baseline",
        "p, corrected",
        "screen",
        "system",
        "solved",
        "runs",
        "rate",
        "95 %, same tasks",
    ]);
    for row in screens.rows() {
        table.add_row([
            row.text("model"),
            row.text("target"),
            row.text("size"),
            row.real("similarity", 3),
            row.real("baseline", 3),
            row.real("p_corrected", 4),
            match row.flag("flagged") {
                Some(true) => "flagged".to_owned(),
                Some(false) => "not flagged".to_owned(),
                None => "not tested".to_owned(),
            },
            row.text("system"),
            row.text("solved"),
            row.text("runs"),
            row.percent("rate"),
            row.interval("rate_low", "rate_high"),
        ]);
    }
    if table.row_count() > 0 {
        terminal::line("");
        terminal::print_table(&table);
    }
    let mut table = terminal::table(&[
        "system",
        "size",
        "targets that are",
        "targets",
        "runs",
        "solved",
        "mean of targets",
        "95 %, other targets",
    ]);
    for row in rates.rows() {
        table.add_row([
            row.text("system"),
            row.text("value"),
            row.text("kept"),
            row.text("targets"),
            row.text("runs"),
            row.text("solved"),
            row.percent("mean"),
            row.interval("mean_low", "mean_high"),
        ]);
    }
    if table.row_count() > 0 {
        terminal::line("");
        terminal::print_table(&table);
    }
}

/// Cells of a table by the names of their columns.
#[derive(Default)]
struct Reader<'a>(Option<&'a Table>);

struct Row<'a>(&'a Table, &'a [Cell]);

impl<'a> Reader<'a> {
    fn new(table: &'a Table) -> Self {
        Reader(Some(table))
    }

    fn rows(&self) -> impl Iterator<Item = Row<'a>> {
        self.0
            .into_iter()
            .flat_map(|table| table.rows.iter().map(move |row| Row(table, row)))
    }
}

impl Row<'_> {
    fn number(&self, name: &str) -> Option<f64> {
        match self.0.cell(self.1, name) {
            Cell::Real(number) => Some(*number),
            Cell::Whole(number) => Some(*number as f64),
            _ => None,
        }
    }

    fn text(&self, name: &str) -> String {
        match self.0.cell(self.1, name) {
            Cell::Text(text) => report::visible::plain(text.as_bytes()),
            Cell::Whole(number) => number.to_string(),
            _ => String::new(),
        }
    }

    fn flag(&self, name: &str) -> Option<bool> {
        match self.0.cell(self.1, name) {
            Cell::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    fn percent(&self, name: &str) -> String {
        let number = self.number(name);
        number.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", 100.0 * share))
    }

    fn real(&self, name: &str, digits: usize) -> String {
        let number = self.number(name);
        number.map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
    }

    fn interval(&self, low: &str, high: &str) -> String {
        match (self.number(low), self.number(high)) {
            (Some(low), Some(high)) => format!("{:.1} to {:.1}", 100.0 * low, 100.0 * high),
            _ => "-".to_owned(),
        }
    }
}
