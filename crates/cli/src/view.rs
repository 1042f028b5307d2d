//! `mirrorcode view`: a run as one HTML page.

use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use report::{Error, Options, Shown};

use crate::args::ViewArgs;
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::terminal;
use crate::whole::Whole;

pub(crate) fn run(context: &Context, arguments: &ViewArgs) -> Answer {
    let directory = context.run_directory(&arguments.run)?;
    let options = Options {
        packed: !arguments.plain,
        home: None,
    };
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None => PathBuf::from(format!("{}.html", run::Header::read(&directory)?.id)),
    };
    let shown = if out == Path::new("-") {
        let mut writer = BufWriter::new(std::io::stdout().lock());
        match report::run_page(&directory, &options, &mut writer) {
            // Whoever reads has read enough.
            Err(Error::Write(error)) if error.kind() == ErrorKind::BrokenPipe => {
                return Ok(exit::DONE);
            }
            shown => shown.map_err(|error| failed(error, &out))?,
        }
    } else {
        let shown = write(&directory, &options, &out, arguments.force)?;
        terminal::line(&out.display().to_string());
        shown
    };
    tell(&shown)
}

/// Writes the page whole or not at all.
fn write(run: &Path, options: &Options, out: &Path, force: bool) -> Result<Shown, Failure> {
    let file = Whole::begin(out, force)?;
    let mut writer = file.writer();
    let shown = report::run_page(run, options, &mut writer).map_err(|error| failed(error, out))?;
    writer.flush().map_err(|error| Failure::io(out, &error))?;
    drop(writer);
    file.keep()?;
    Ok(shown)
}

fn failed(error: Error, out: &Path) -> Failure {
    match error {
        Error::Run(error) => error.into(),
        Error::Write(error) => Failure::io(out, &error),
    }
}

/// Says what of the run is not on its page.
fn tell(shown: &Shown) -> Answer {
    if let Some(why) = &shown.verdict {
        terminal::note(&format!("mirrorcode: {why}; the page is without it"));
    }
    if let Some(damage) = &shown.damage {
        return Err(Failure::usage(format!(
            "{damage}; the page shows the {} events before",
            shown.events
        )));
    }
    if shown.unfinished > 0 {
        terminal::note(&format!(
            "the journal ends with {} bytes that are no whole event; the page shows the {} events before",
            shown.unfinished, shown.events
        ));
    }
    Ok(exit::DONE)
}
