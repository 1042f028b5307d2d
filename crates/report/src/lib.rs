//! Runs as pages that others can check: what happened in a run, what it cost, and what it left.
//!
//! [`run_page`] writes one run as one HTML file that needs nothing else: no network, no other file, and for its main
//! content no JavaScript.
//!
//! # Architecture invariants
//!
//! - Nothing here knows how anything was run: it reads journals, contents and verdicts, and writes text.
//! - Whatever a run holds was printed by somebody who may be hostile. It reaches a page through [`visible`] or through
//!   maud's escaping, never as markup; the page's policy lets no script run but its own.
//! - Memory does not grow with the length of a run, but for a few words a turn.

mod changes;
mod chart;
mod clock;
pub mod clusters;
mod content;
pub mod draws;
mod event;
mod files;
mod fold;
mod inspect;
mod interval;
pub mod number;
mod overview;
mod page;
mod parquet_file;
mod results;
mod row;
mod rows;
pub mod schema;
pub mod screen;
mod screened;
pub mod site;
pub mod special;
mod survey;
mod survival;
pub mod table;
mod transcript;
mod verdict;
pub mod visible;

use std::io::{self, Write};
use std::path::Path;

use run::{Known, Store};

pub use inspect::write_eval;
pub use interval::{Interval, Z95, pass_at_k, wilson};
pub use parquet_file::write_parquet;
pub use results::{By, LEVEL, MARKS, Results};
pub use row::{Catalog, NEAR, RunRow, Scored, TargetFacts};
pub use survival::{End, Outcome, Step, kaplan_meier, share_over_targets, step_at};

/// How a run is shown. Every field is a decision.
#[derive(Clone, Debug)]
pub struct Options {
    /// Long transcripts are packed, and unpacked by the reader's browser where they are looked at. Otherwise the whole
    /// page is plain HTML, which opens slowly when the run is long.
    pub packed: bool,
    /// Where a link at the top of the page leads, and its words: for pages that are part of a site.
    pub home: Option<(String, String)>,
}

/// What was shown of a run.
#[derive(Debug)]
pub struct Shown {
    /// Events on the page.
    pub events: u64,
    /// Bytes after the last event that are none: a write that goes on or was cut off.
    pub unfinished: usize,
    /// Where the journal is damaged; what comes after that is not shown.
    pub damage: Option<run::Error>,
    /// The verdict beside the run, which could not be read.
    pub verdict: Option<String>,
}

/// Why no page was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no run, or none that can be read.
    #[error(transparent)]
    Run(#[from] run::Error),
    /// The page cannot be written.
    #[error("cannot write the page: {0}")]
    Write(#[from] io::Error),
}

/// Writes the run in `dir` as an HTML page. It may still be under way: the page shows it as it stands.
///
/// # Errors
/// When there is no run in `dir`, or nothing can be written to `out`. A journal that is damaged is shown as far as it is
/// whole, and [`Shown::damage`] says where that is.
pub fn run_page(dir: &Path, options: &Options, out: &mut dyn Write) -> Result<Shown, Error> {
    run_page_of(dir, survey::take(dir)?, verdict::read(dir), options, out)
}

fn run_page_of(
    dir: &Path,
    mut survey: survey::Survey,
    verdict: Result<Option<score::Verdict>, String>,
    options: &Options,
    out: &mut dyn Write,
) -> Result<Shown, Error> {
    let store = Store::open(dir, Known::nothing());
    page::open(&survey, options, out)?;
    overview::write(&survey, &verdict, out)?;
    rows::write(&survey, &store, out)?;
    files::write(&survey, &store, out)?;
    transcript::write(dir, &survey, &store, options, out)?;
    page::close(out)?;
    out.flush()?;
    Ok(Shown {
        events: survey.events,
        unfinished: survey.unfinished,
        damage: survey.damage.take(),
        verdict: verdict.err(),
    })
}
