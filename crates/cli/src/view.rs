//! `mirrorcode view`: a run as one HTML page.

use std::fs::Permissions;
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use report::{Error, Options, Shown};

use crate::args::ViewArgs;
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::terminal;

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
    let exists = || {
        Failure::usage(format!(
            "{} exists: name another file with --out, or replace it with --force",
            out.display()
        ))
    };
    if !force && out.symlink_metadata().is_ok() {
        return Err(exists());
    }
    if out.is_dir() {
        return Err(Failure::usage(format!(
            "{} is a directory: name a file in it",
            out.display()
        )));
    }
    let above = out.parent().filter(|above| !above.as_os_str().is_empty());
    let above = above.unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".view-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(above)
        .map_err(|error| Failure::io(above, &error))?;
    let mut writer = BufWriter::with_capacity(1 << 18, file.as_file_mut());
    let shown = report::run_page(run, options, &mut writer).map_err(|error| failed(error, out))?;
    writer.flush().map_err(|error| Failure::io(out, &error))?;
    drop(writer);
    let kept = if force {
        file.persist(out)
    } else {
        file.persist_noclobber(out)
    };
    match kept {
        Ok(_) => Ok(shown),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Err(exists()),
        Err(error) => Err(Failure::io(out, &error.error)),
    }
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
