//! Results as a static site, which opens from a file or from any server, without network and without JavaScript.

mod frame;
mod memorization;
mod method;
mod model;
mod overview;
mod plot;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use maud::{Markup, html};

use crate::results::Results;
use crate::row::{Catalog, RunRow};
use crate::table::{Cell, Table};
use crate::visible::{Visible, plain};
use crate::{Error, Options, number, write_parquet};

/// What a target's page says besides its runs.
#[derive(Clone, Debug, Default)]
pub struct TargetPage {
    /// What the program does.
    pub about: String,
    /// Its domain.
    pub domain: String,
    /// `S`, `M` or `L`.
    pub size: String,
    /// Lines of the original's source, where known.
    pub lines: Option<u64>,
    /// What the reference comes from, in words.
    pub reference: String,
    /// Languages in which it can be rebuilt.
    pub languages: Vec<String>,
    /// Languages in which it cannot, with the reason.
    pub excluded: BTreeMap<String, String>,
    /// Its families.
    pub families: Vec<FamilyRow>,
    /// What is measured of its hidden cases.
    pub strength: Vec<StrengthRow>,
    /// What only who knows it already can write: one reason each.
    pub recall: Vec<String>,
    /// What was found of its fairness, with the visible duals of each hidden case, for a file.
    pub fairness: Option<serde_json::Value>,
    /// Pages of its documentation: name, lines, and how they begin.
    pub docs: Vec<DocsPage>,
}

/// One family of a target.
#[derive(Clone, Debug, Default)]
pub struct FamilyRow {
    /// Its name.
    pub name: String,
    /// The behaviour.
    pub about: String,
    /// Visible cases.
    pub visible: u64,
    /// Hidden cases.
    pub hidden: u64,
    /// Changes of the reference that its hidden cases execute, and those that they notice; where measured.
    pub noticed: Option<(u64, u64)>,
    /// Fewest visible duals of one of its hidden cases.
    pub fewest_duals: Option<u64>,
    /// Options and variables that work in its cases, and that no page of the documentation mentions.
    pub undocumented: Vec<String>,
}

/// How many changes of one kind the hidden cases notice.
#[derive(Clone, Debug)]
pub struct StrengthRow {
    /// What was changed, in words.
    pub what: String,
    /// Noticed changes.
    pub killed: u64,
    /// Changes that were tried.
    pub total: u64,
    /// Lower end of Wilson's interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A page of documentation.
#[derive(Clone, Debug)]
pub struct DocsPage {
    /// Its name.
    pub name: String,
    /// Its lines.
    pub lines: u64,
    /// Its first lines.
    pub extract: String,
}

/// Everything that the site is made of.
#[derive(Debug)]
pub struct Site<'a> {
    /// Figures and rows.
    pub results: &'a Results,
    /// Targets by name.
    pub targets: &'a BTreeMap<String, TargetPage>,
    /// Runs that could not be read: where, and why.
    pub unreadable: &'a [String],
    /// Pages that whoever serves the site adds to it, at its top, for the menu: file and what it is called.
    pub more: &'a [(&'a str, &'a str)],
}

/// A page at the top of a site that whoever serves it makes: the same frame around another body. `more` is that of the
/// [`Site`].
pub fn page(title: &str, crumb: &str, here: &str, more: &[(&str, &str)], body: Markup) -> String {
    frame::Page {
        title,
        crumb,
        up: "",
        here,
        body,
    }
    .write(more)
}

/// A name that can stand in a file's name and a link, whatever it holds. Different names may give the same one.
pub fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars().take(120) {
        match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => slug.push(letter),
            '.' if !slug.is_empty() => slug.push(letter),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    let slug = slug.trim_end_matches(['-', '.']);
    if slug.is_empty() {
        "unnamed".to_owned()
    } else {
        slug.to_owned()
    }
}

/// Writes a run's page into the site at `out` and gives back its row.
///
/// # Errors
/// When there is no run in `dir`, or the page cannot be written.
pub fn write_run(dir: &Path, catalog: &Catalog, out: &Path) -> Result<RunRow, Error> {
    let runs = out.join("runs");
    fs::create_dir_all(&runs)?;
    let options = Options {
        packed: true,
        home: Some(("../index.html".to_owned(), "mirrorcode".to_owned())),
    };
    let survey = crate::survey::take(dir)?;
    let verdict = crate::verdict::read(dir);
    let row = RunRow::of(&survey, &verdict, catalog);
    let file = fs::File::create(runs.join(format!("{}.html", slug(&row.run))))?;
    let mut file = BufWriter::with_capacity(1 << 17, file);
    crate::run_page_of(dir, survey, verdict, &options, &mut file)?;
    file.flush()?;
    Ok(row)
}

impl Site<'_> {
    /// Writes every page but those of runs, and the data, into the directory `out`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, out: &Path) -> io::Result<()> {
        for dir in ["models", "targets", "data"] {
            fs::create_dir_all(out.join(dir))?;
        }
        let put = |name: String, page: String| fs::write(out.join(name), page);
        put("index.html".to_owned(), overview::leaderboard(self))?;
        put("tasks.html".to_owned(), overview::tasks(self))?;
        put("targets.html".to_owned(), target::list(self))?;
        put("runs.html".to_owned(), overview::runs(self))?;
        put("memorization.html".to_owned(), memorization::page(self))?;
        put("method.html".to_owned(), method::page(self))?;
        put("data.html".to_owned(), method::data(self))?;
        for (system, slug) in &self.systems() {
            put(format!("models/{slug}.html"), model::page(self, system))?;
        }
        for name in self.target_names() {
            put(
                format!("targets/{}.html", slug(name)),
                target::page(self, name),
            )?;
        }
        for (name, page) in self.targets {
            if let Some(fairness) = &page.fairness {
                let mut text = serde_json::to_string(fairness).map_err(io::Error::other)?;
                text.push('\n');
                put(format!("targets/{}-fairness.json", slug(name)), text)?;
            }
        }
        for table in &self.results.tables {
            let file = |ending: &str| {
                let path = out.join(format!("data/{}.{ending}", table.schema.name));
                fs::File::create(path).map(BufWriter::new)
            };
            let mut csv = file("csv")?;
            table.write_csv(&mut csv)?;
            csv.flush()?;
            let mut parquet = file("parquet")?;
            write_parquet(table, &mut parquet)?;
            parquet.flush()?;
        }
        let mut json = serde_json::to_string(&self.results.to_json()).map_err(io::Error::other)?;
        json.push('\n');
        fs::write(out.join("data/results.json"), json)?;
        // GitHub Pages passes over nothing then.
        fs::write(out.join(".nojekyll"), "")
    }

    /// Systems, best first, each with a name of its own for files.
    fn systems(&self) -> Vec<(String, String)> {
        let mut taken = BTreeSet::new();
        self.rows_of("systems")
            .map(|row| {
                let system = row.text("system");
                let mut slug = slug(&system);
                if !taken.insert(slug.to_lowercase()) {
                    let digest = run::digest(system.as_bytes()).to_string();
                    slug = format!("{slug}-{}", &digest[..8]);
                    taken.insert(slug.to_lowercase());
                }
                (system, slug)
            })
            .collect()
    }

    fn target_names(&self) -> BTreeSet<&str> {
        let run = self.results.rows.iter().map(|row| row.target.as_str());
        run.chain(self.targets.keys().map(String::as_str)).collect()
    }

    fn rows_of<'b>(&'b self, table: &str) -> impl Iterator<Item = Row<'b>> {
        let table = self.results.table(table);
        table
            .into_iter()
            .flat_map(|table| table.rows.iter().map(move |cells| Row { table, cells }))
    }
}

/// A row of a table, by the names of its columns.
#[derive(Clone, Copy)]
struct Row<'a> {
    table: &'a Table,
    cells: &'a [Cell],
}

impl Row<'_> {
    fn cell(&self, name: &str) -> &Cell {
        self.table.cell(self.cells, name)
    }

    fn text(&self, name: &str) -> String {
        match self.cell(name) {
            Cell::Text(text) => text.clone(),
            _ => String::new(),
        }
    }

    fn whole(&self, name: &str) -> u64 {
        match self.cell(name) {
            Cell::Whole(number) => u64::try_from(*number).unwrap_or(0),
            _ => 0,
        }
    }

    fn real(&self, name: &str) -> Option<f64> {
        match self.cell(name) {
            Cell::Real(number) => Some(*number),
            _ => None,
        }
    }

    fn flag(&self, name: &str) -> Option<bool> {
        match self.cell(name) {
            Cell::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// An estimate in per cent with its interval.
    fn estimate(&self, name: &str, low: &str, high: &str) -> Markup {
        html! {
            @match self.real(name) {
                None => "-",
                Some(share) => {
                    (percent(share))
                    @if let (Some(low), Some(high)) = (self.real(low), self.real(high)) { small { (range(low, high)) } }
                }
            }
        }
    }
}

/// A share in per cent, which says 100 only of all, and 0 only of none.
fn percent(share: f64) -> String {
    let tenths = (share * 1000.0).round();
    let tenths = if share < 1.0 && tenths >= 1000.0 {
        999.0
    } else if share > 0.0 && tenths == 0.0 {
        1.0
    } else {
        tenths
    };
    let text = format!("{:.1}", tenths / 10.0);
    format!("{}\u{a0}%", text.strip_suffix(".0").unwrap_or(&text))
}

fn range(low: f64, high: f64) -> String {
    format!("{:.0}\u{a0}to\u{a0}{:.0}", 100.0 * low, 100.0 * high)
}

fn dollars(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value >= 1000.0 => format!("${}", number::grouped(value.round() as u64)),
        Some(value) => format!("${value:.2}"),
    }
}

fn hours(value: Option<f64>) -> String {
    value.map_or_else(
        || "-".to_owned(),
        |hours| number::time((hours * 3.6e6) as u64),
    )
}

/// Somebody else's words.
fn words(text: &str) -> Markup {
    html! { (Visible(text.as_bytes())) }
}

fn title(text: &str) -> String {
    plain(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_harmless() {
        for (name, expected) in [
            ("anthropic/model-4.5 (codex)", "anthropic-model-4.5-codex"),
            ("../../etc/passwd", "etc-passwd"),
            (".hidden", "hidden"),
            ("<script>", "script"),
            ("", "unnamed"),
            ("\u{202e}..", "unnamed"),
        ] {
            assert_eq!(slug(name), expected);
        }
        assert!(slug(&"x".repeat(1000)).len() <= 120);
    }

    #[test]
    fn nearly_all_is_not_all() {
        assert_eq!(percent(0.9999), "99.9\u{a0}%");
        assert_eq!(percent(0.00001), "0.1\u{a0}%");
        assert_eq!(percent(1.0), "100\u{a0}%");
        assert_eq!(percent(0.5), "50\u{a0}%");
    }
}
