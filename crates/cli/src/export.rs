//! `mirrorcode export`: a run as a log that Inspect opens.

use report::Error;

use crate::args::ExportArgs;
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::terminal;
use crate::whole::Whole;

pub(crate) fn run(context: &Context, arguments: &ExportArgs) -> Answer {
    let out = &arguments.out;
    let directory = context.run_directory(&arguments.run)?;
    if out.extension().is_none_or(|extension| extension != "eval") {
        return Err(Failure::usage(format!(
            "{}: Inspect opens files whose names end in .eval",
            out.display()
        )));
    }
    let file = Whole::begin(out, arguments.force)?;
    report::write_eval(&directory, file.writer()).map_err(|error| match error {
        Error::Run(error) => error.into(),
        Error::Write(error) => Failure::io(out, &error),
    })?;
    file.keep()?;
    terminal::line(&out.display().to_string());
    Ok(exit::DONE)
}
