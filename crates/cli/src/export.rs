//! `mirrorcode export`: a run as a log that Inspect opens.

use std::fs::Permissions;
use std::io::{BufWriter, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use report::Error;

use crate::args::ExportArgs;
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::terminal;

pub(crate) fn run(context: &Context, arguments: &ExportArgs) -> Answer {
    let out = &arguments.out;
    let directory = context.run_directory(&arguments.run)?;
    if out.extension().is_none_or(|extension| extension != "eval") {
        return Err(Failure::usage(format!(
            "{}: Inspect opens files whose names end in .eval",
            out.display()
        )));
    }
    let exists = || {
        Failure::usage(format!(
            "{} exists: name another file with --out, or replace it with --force",
            out.display()
        ))
    };
    if out.is_dir() || (!arguments.force && out.symlink_metadata().is_ok()) {
        return Err(exists());
    }
    let above = out.parent().filter(|above| !above.as_os_str().is_empty());
    let above = above.unwrap_or(Path::new("."));
    let file = tempfile::Builder::new()
        .prefix(".export-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(above)
        .map_err(|error| Failure::io(above, &error))?;
    report::write_eval(&directory, BufWriter::new(file.as_file())).map_err(
        |error| match error {
            Error::Run(error) => error.into(),
            Error::Write(error) => Failure::io(out, &error),
        },
    )?;
    let kept = if arguments.force {
        file.persist(out)
    } else {
        file.persist_noclobber(out)
    };
    match kept {
        Ok(_) => {
            terminal::line(&out.display().to_string());
            Ok(exit::DONE)
        }
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Err(exists()),
        Err(error) => Err(Failure::io(out, &error.error)),
    }
}
