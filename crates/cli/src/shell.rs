//! `mirrorcode shell`: a person at work in the agent's sandbox.

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use agent::event::{Agent, Event, FORMAT, Reason, Recorder};
use agent::{Ledger, Session, Terminal};
use run::{Header, Known, Run};

use crate::args::ShellArgs;
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::ready::{self, MEMORY, Place};
use crate::terminal;

/// Where a run stands.
struct Standing {
    task: String,
    number: u64,
    directory: PathBuf,
    submitted: bool,
}

fn standing(directory: &Path) -> Result<Standing, Failure> {
    let entries = run::read(directory)?;
    let mut standing = Standing {
        task: entries.header().task.clone(),
        number: 0,
        directory: PathBuf::from(agent::WORKSPACE),
        submitted: false,
    };
    for entry in entries {
        match entry?.event {
            Event::Command { number, .. } => standing.number = number,
            Event::Result { directory, .. } => {
                standing.directory = PathBuf::from(OsString::from_vec(directory.0))
            }
            Event::Submit { .. } => standing.submitted = true,
            _ => {}
        }
    }
    Ok(standing)
}

pub(crate) fn run(context: &Context, arguments: &ShellArgs) -> Answer {
    let mut session = match &arguments.resume {
        None => begin(context, arguments)?,
        Some(run) => resume(context, arguments, run)?,
    };
    session.record_workspace()?;
    let last = if arguments.commands.is_empty() {
        match Terminal::of_this_process() {
            Some(terminal) => converse(context, &mut session, terminal)?,
            None => read_script(context, &mut session)?,
        }
    } else {
        let mut last = 0;
        for command in &arguments.commands {
            last = once(&mut session, command)?;
            if session.is_submitted() || context.is_interrupted() {
                break;
            }
        }
        last
    };
    let interrupted = context.is_interrupted();
    let reason = match (session.is_submitted(), interrupted) {
        (true, _) => Reason::Submitted,
        (false, true) => Reason::Stopped,
        (false, false) => Reason::Left,
    };
    session.close(reason)?;
    if interrupted {
        return Err(Failure::new(
            exit::INTERRUPTED,
            "interrupted; what was done is recorded, and `mirrorcode shell --resume RUN` goes on from it",
        ));
    }
    Ok(last)
}

fn begin(context: &Context, arguments: &ShellArgs) -> Result<Session, Failure> {
    let name = arguments.task.as_deref().unwrap_or_default();
    let ready = ready::prepare(context, name, arguments.rootfs.as_deref(), &[])?;
    let digests = ready.digests(context)?;
    let header = Header::new(name, env!("CARGO_PKG_VERSION"), digests.clone())?;
    let directory = context.runs().join(&header.id);
    std::fs::create_dir_all(context.runs()).map_err(|error| Failure::io(context.runs(), &error))?;
    let mut recorder = Run::create(
        &directory,
        &header,
        Known::nothing(),
        run::Limits::WORKSPACE,
    )?;
    // The task's files belong beside the journal, which had to make the directory; from here on they are known.
    let known = ready.assemble(context, &directory)?;
    recorder
        .record(Event::Start {
            format: FORMAT,
            task: name.to_owned(),
            agent: Agent::Person,
            versions: [(
                "mirrorcode".to_owned(),
                env!("CARGO_PKG_VERSION").to_owned(),
            )]
            .into(),
            digests,
            limits: [
                ("command-wall-seconds".to_owned(), arguments.command_limit),
                ("memory-mib".to_owned(), MEMORY >> 20),
            ]
            .into(),
            options: Default::default(),
        })
        .map_err(agent::Error::from)?;
    drop(recorder);
    let opened = Run::open(&directory, known, run::Limits::WORKSPACE)?;
    let mut recorder = opened.run;
    recorder.keep_history(&opened.index);
    terminal::note(&format!("run {}", header.id));
    let place = Place {
        directory: &directory,
        number: 0,
        cwd: PathBuf::from(agent::WORKSPACE),
        command_limit: arguments.command_limit,
        jobs: context.jobs(),
        stop: &context.interrupted,
        port: None,
        program: None,
    };
    ready.open(&place, Ledger::new(Box::new(recorder)))
}

fn resume(context: &Context, arguments: &ShellArgs, run: &str) -> Result<Session, Failure> {
    let directory = context.run_directory(run)?;
    let standing = standing(&directory)?;
    if standing.submitted {
        return Err(Failure::usage(format!(
            "run {run} has been submitted; `mirrorcode score {} {run}` scores it",
            standing.task
        )));
    }
    let ready = ready::prepare(context, &standing.task, arguments.rootfs.as_deref(), &[])?;
    let known = ready.assemble(context, &directory)?;
    let opened = Run::open(&directory, known, run::Limits::WORKSPACE)?;
    if let Some(torn) = opened.recovered {
        terminal::note(&format!(
            "the last {} bytes of the journal were cut off in the middle of an event; they are kept in {}",
            torn.bytes,
            torn.kept.display()
        ));
    }
    let mut recorder = opened.run;
    recorder.keep_history(&opened.index);
    recorder
        .record(Event::Attach {
            process: std::process::id(),
            epoch: Some(recorder.right().epoch()),
            boot: run::boot(),
        })
        .map_err(agent::Error::from)?;
    let place = Place {
        directory: &directory,
        number: standing.number,
        cwd: standing.directory,
        command_limit: arguments.command_limit,
        jobs: context.jobs(),
        stop: &context.interrupted,
        port: None,
        program: None,
    };
    ready.open(&place, Ledger::new(Box::new(recorder)))
}

/// Runs one command with the caller's output; returns its status as a shell would.
fn once(session: &mut Session, script: &str) -> Result<u8, Failure> {
    let outcome = session.command(script.as_bytes(), b"", &mut |stream, bytes| {
        let _ = match stream {
            1 => std::io::stdout()
                .write_all(bytes)
                .and_then(|()| std::io::stdout().flush()),
            _ => std::io::stderr().write_all(bytes),
        };
    })?;
    Ok(status(outcome.ending))
}

fn status(ending: agent::event::Ending) -> u8 {
    match ending {
        agent::event::Ending::Exit(status) => status as u8,
        agent::event::Ending::Signal(signal) => 128u8.saturating_add(signal as u8),
        agent::event::Ending::Limit(limit) => {
            terminal::note(&format!("the command was ended: limit {limit:?}"));
            124
        }
        _ => 125,
    }
}

/// Each line of standard input is a command.
fn read_script(context: &Context, session: &mut Session) -> Result<u8, Failure> {
    let mut last = 0;
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line.map_err(|error| Failure::io(Path::new("standard input"), &error))?;
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.trim().is_empty() {
            continue;
        }
        last = once(session, &line)?;
        if session.is_submitted() || context.is_interrupted() {
            break;
        }
    }
    Ok(last)
}

/// A prompt on the person's terminal; each line is a command that gets the terminal to itself.
fn converse(
    context: &Context,
    session: &mut Session,
    mut terminal: Terminal,
) -> Result<u8, Failure> {
    terminal::note(
        "/task/README.md says what to do; `evaluate`, `submit`, and `exit` to leave and come back later",
    );
    let mut last = 0;
    loop {
        terminal::print(&format!("{}$ ", session.directory().display()));
        let mut line = String::new();
        let count = std::io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(|error| Failure::io(Path::new("standard input"), &error))?;
        let line = line.trim_end_matches('\n');
        if count == 0 || line.trim() == "exit" {
            return Ok(last);
        }
        if line.trim().is_empty() {
            continue;
        }
        let outcome = session.command_on_terminal(line.as_bytes(), &mut terminal)?;
        last = status(outcome.ending);
        if session.is_submitted() || context.is_interrupted() {
            return Ok(last);
        }
    }
}
