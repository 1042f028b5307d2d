//! What can be said to a run while it goes on: stop, pause, continue, other limits.

use std::time::{Duration, Instant};

use agent::event::{Budget, Event};
use run::{Control, Index, Wish};

use crate::args::LimitArgs;
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::{plan, terminal};

/// Longest time that a run is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn stop(context: &Context, run: &str) -> Answer {
    let directory = context.run_directory(run)?;
    if !run::is_open(&directory) {
        terminal::line(&format!("{run} is not under way"));
        return Ok(exit::DONE);
    }
    let said = Control::read(&directory)?;
    Control {
        wish: Wish::Stop,
        ..said
    }
    .write(&directory)?;
    let begun = Instant::now();
    while run::is_open(&directory) {
        if begun.elapsed() > PATIENCE {
            return Err(Failure::machine(format!(
                "{run} has not ended within {} s; it is told to, and may still do so",
                PATIENCE.as_secs()
            )));
        }
        if context.is_interrupted() {
            return Err(Failure::new(
                exit::INTERRUPTED,
                "interrupted; the run is told to end",
            ));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    terminal::line(&format!(
        "{run} has ended; `mirrorcode resume {run}` goes on with it"
    ));
    Ok(exit::DONE)
}

pub(crate) fn pause(context: &Context, run: &str, paused: bool) -> Answer {
    let directory = context.run_directory(run)?;
    if !run::is_open(&directory) {
        return Err(Failure::usage(format!("{run} is not under way")));
    }
    let said = Control::read(&directory)?;
    let wish = if paused { Wish::Pause } else { Wish::Go };
    Control { wish, ..said }.write(&directory)?;
    Ok(exit::DONE)
}

pub(crate) fn limit(context: &Context, run: &str, args: &LimitArgs) -> Answer {
    if !plan::names_limits(args) {
        return Err(Failure::usage(
            "name a limit to change, such as --cost-limit 30",
        ));
    }
    let directory = context.run_directory(run)?;
    let said = Control::read(&directory)?;
    let held = match said.limits {
        Some(limits) => limits,
        None => recorded(&directory)?,
    };
    Control {
        limits: Some(plan::limits(held, args)),
        ..said
    }
    .write(&directory)?;
    Ok(exit::DONE)
}

/// The limits that the run's record has last.
fn recorded(directory: &std::path::Path) -> Result<Budget, Failure> {
    let index = Index::of(directory)?;
    let mut held = Budget::default();
    if let Some(seq) = index.last("budget") {
        index.each(seq, seq, &mut |entry| {
            if let Event::Budget { limits } = entry.event {
                held = limits;
            }
            false
        })?;
    }
    Ok(held)
}
