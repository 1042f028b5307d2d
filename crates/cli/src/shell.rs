//! `mirrorcode shell`: a person at work in the agent's sandbox, by the same rules and limits, timed and recorded.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agent::event::{Agent, Ending};
use agent::scaffold::Finish;
use agent::{Cast, Clock, Line, Request, Session, Terminal};

use crate::args::{LimitArgs, ShellArgs};
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::outside::{self, COMMAND_LIMIT, Job, Work};
use crate::ready;
use crate::run::{follow, reason};
use crate::{plan, terminal};

/// How often it is looked whether the time is over while nothing is typed.
const LOOK: Duration = Duration::from_millis(200);
/// Where recordings of the terminal are, in the run's directory.
const RECORDINGS: &str = "terminal";
/// What is said at the beginning.
const WELCOME: &str = "\
/task/README.md says what to do. Besides the shell's own commands there are:
  evaluate [FAMILY | CASE]...   build the work as scoring does, and run the visible tests
  submit                        the work is done
  note TEXT                     write something down, for the record
  pause                         stop the clock; `resume` starts it again
  clock                         what is used of the limits
  exit                          leave; `mirrorcode resume RUN` goes on
";

/// How somebody works on a run.
struct Manner<'a> {
    /// Commands, instead of what is typed.
    commands: &'a [String],
    recorded: bool,
    score: bool,
}

pub(crate) fn run(context: &Context, arguments: &ShellArgs) -> Answer {
    let limits = arguments.limits.limits();
    let job = match &arguments.resume {
        Some(run) => again(&context.run_directory(run)?, limits)?,
        None => Job {
            task: arguments.task.clone().unwrap_or_default(),
            again: None,
            rootfs: None,
            agent: Agent::Person,
            who: arguments.who.clone(),
            command_limit: COMMAND_LIMIT,
            limits,
        },
    };
    let rootfs = match &arguments.rootfs {
        None => job.rootfs,
        Some(dir) => Some(std::fs::canonicalize(dir).map_err(|error| Failure::io(dir, &error))?),
    };
    let job = Job {
        rootfs,
        command_limit: arguments.command_limit.unwrap_or(job.command_limit),
        ..job
    };
    let manner = Manner {
        commands: &arguments.commands,
        recorded: !arguments.no_recording,
        score: arguments.score,
    };
    work(context, &job, &manner)
}

/// Goes on with a run.
pub(crate) fn resume(context: &Context, directory: &Path, limits: &LimitArgs) -> Answer {
    outside::check_limits(limits)?;
    let manner = Manner {
        commands: &[],
        recorded: true,
        score: false,
    };
    work(context, &again(directory, limits.clone())?, &manner)
}

/// The job of going on with a run.
fn again(directory: &Path, limits: LimitArgs) -> Result<Job, Failure> {
    Job::again(directory, Agent::Person, limits)?.ok_or_else(|| {
        Failure::usage(format!(
            "{}: no person has worked on this run; `mirrorcode resume` goes on with it",
            directory.display()
        ))
    })
}

fn work(context: &Context, job: &Job, manner: &Manner<'_>) -> Answer {
    let ready = ready::prepare(context, &job.task, job.rootfs.as_deref(), &[])?;
    let Work {
        id,
        directory,
        limits,
        said,
        steering,
        right,
        mut session,
        clock,
        ..
    } = job.start(context, &ready)?;
    let words = plan::words(&limits).replace(" answers\n", " commands\n");
    let over = AtomicBool::new(false);
    let worked = std::thread::scope(|scope| {
        scope.spawn(|| follow(context, &directory, (&steering, &right), said, &over));
        let mut desk = Desk {
            session: &mut session,
            clock,
            last: 0,
        };
        let worked = (|| {
            if !manner.commands.is_empty() {
                for command in manner.commands {
                    if desk.is_over()? {
                        break;
                    }
                    desk.once(command)?;
                }
            } else if let Some(mut terminal) = Terminal::of_this_process() {
                if manner.recorded {
                    terminal.record(recording(&directory, &job.task)?);
                }
                desk.converse(&mut terminal, &words)?;
            } else {
                desk.read_script()?;
            }
            desk.clock.look().map_err(agent::Error::from)?;
            Ok::<_, Failure>(())
        })();
        over.store(true, Ordering::Relaxed);
        worked.map(|()| (desk.clock.stop(), desk.last))
    });
    let closed = match &worked {
        Ok(((finish, _), _)) => session.close(reason(Ok(finish))),
        Err(failure) => session.close(agent::event::Reason::Failed(failure.message.clone())),
    };
    let ((finish, spent), last) = worked?;
    closed?;
    let seconds = spent.wall_milliseconds / 1000;
    terminal::note(&format!(
        "{id}: {}, after {} commands and {} at work, {} of it without pauses",
        match &finish {
            Finish::Submitted => "submitted".to_owned(),
            Finish::Budget(name) => format!("out of budget ({name})"),
            Finish::Stopped => "stopped".to_owned(),
            _ => format!("`mirrorcode resume {id}` goes on"),
        },
        spent.turns,
        agent::scaffold::duration(seconds),
        agent::scaffold::duration(spent.active_milliseconds() / 1000),
    ));
    match finish {
        Finish::Stopped => Err(Failure::new(
            exit::INTERRUPTED,
            format!(
                "interrupted; what was done is recorded, and `mirrorcode shell --resume {id}` goes on from it"
            ),
        )),
        Finish::Submitted | Finish::Budget(_) if manner.score => outside::scored(
            outside::score_apart(context, &job.task, &directory)?,
            &directory,
            &context.interrupted,
        ),
        _ => Ok(last),
    }
}

/// Begins a recording of the terminal, one for each session.
fn recording(directory: &Path, task: &str) -> Result<Cast, Failure> {
    let place = directory.join(RECORDINGS);
    std::fs::create_dir_all(&place).map_err(|error| Failure::io(&place, &error))?;
    let mut number = 1;
    loop {
        let path = place.join(format!("{number:03}.cast"));
        match Cast::create(&path, Terminal::size(), task) {
            Ok(cast) => return Ok(cast),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(Failure::io(&path, &error)),
        }
    }
}

/// Where somebody works.
struct Desk<'a> {
    session: &'a mut Session,
    clock: Clock,
    /// Status of the last command.
    last: u8,
}

impl Desk<'_> {
    fn is_over(&mut self) -> Result<bool, Failure> {
        Ok(self.clock.look().map_err(agent::Error::from)?.is_some())
    }

    /// Runs one command with the caller's output.
    fn once(&mut self, script: &str) -> Result<(), Failure> {
        self.clock.turn();
        let begun = Instant::now();
        let request = Request {
            wall: self.clock.tool_time_left().map(|left| {
                let limit = self.session.setting().command_wall;
                left.min(limit)
            }),
            ..Request::plain(script.as_bytes())
        };
        let outcome = self.session.run(&request, b"", &mut |stream, bytes| {
            let _ = match stream {
                1 => std::io::stdout()
                    .write_all(bytes)
                    .and_then(|()| std::io::stdout().flush()),
                _ => std::io::stderr().write_all(bytes),
            };
        })?;
        self.session.ledger().flush().map_err(agent::Error::from)?;
        self.clock.tool(begun.elapsed());
        self.last = status(outcome.ending);
        Ok(())
    }

    /// Each line of standard input is a command.
    fn read_script(&mut self) -> Result<(), Failure> {
        for line in std::io::stdin().lock().split(b'\n') {
            let line = line.map_err(|error| Failure::io(Path::new("standard input"), &error))?;
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.trim().is_empty() {
                continue;
            }
            if self.is_over()? {
                break;
            }
            self.once(&line)?;
        }
        Ok(())
    }

    /// A prompt on the person's terminal; each line is a command that gets the terminal to itself.
    fn converse(&mut self, terminal: &mut Terminal, limits: &str) -> Result<(), Failure> {
        terminal.show(WELCOME)?;
        if !limits.is_empty() {
            terminal.show(&format!("These limits hold:\n{limits}"))?;
        }
        let mut asked = false;
        loop {
            if self.is_over()? {
                if let Some(finish) = self.clock.look().map_err(agent::Error::from)? {
                    let finish = match finish {
                        Finish::Budget(name) => format!("the budget ({name}) is used up"),
                        Finish::Submitted => "the work is submitted".to_owned(),
                        _ => "the run was stopped".to_owned(),
                    };
                    terminal.show(&format!("\n[{finish}]\n"))?;
                }
                return Ok(());
            }
            if !asked {
                let state = if self.clock.is_paused() {
                    "[the clock stands; `resume` starts it again] "
                } else {
                    ""
                };
                let directory = self.session.directory().display().to_string();
                terminal.show(&format!("{state}{directory}$ "))?;
                asked = true;
            }
            let line = match terminal.line(LOOK)? {
                Line::Nothing => continue,
                Line::End => {
                    terminal.show("\n")?;
                    return Ok(());
                }
                Line::Typed(line) => line,
            };
            asked = false;
            if !self.obey(terminal, line.trim())? {
                return Ok(());
            }
        }
    }

    /// Does what was typed. Says whether to go on.
    fn obey(&mut self, terminal: &mut Terminal, line: &str) -> Result<bool, Failure> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("", _) => {}
            ("exit", "") => return Ok(false),
            ("pause", "") => {
                terminal.mark("pause")?;
                self.clock.rest(true);
            }
            ("resume", "") => {
                terminal.mark("resume")?;
                self.clock.rest(false);
                self.clock.look().map_err(agent::Error::from)?;
                if self.clock.is_paused() {
                    terminal.show("[whoever runs this has paused the run too]\n")?;
                }
            }
            ("clock", "") => terminal.show(&format!("[{}]\n", self.clock.line()))?,
            ("note", "") => terminal.show("note what?\n")?,
            ("note", text) => {
                self.clock.note(text).map_err(agent::Error::from)?;
                terminal.mark(text)?;
            }
            _ if self.clock.is_paused() => {
                terminal.show("[nothing is done while the clock stands]\n")?;
            }
            _ => {
                self.clock.turn();
                let begun = Instant::now();
                let left = self.clock.tool_time_left();
                let outcome = self
                    .session
                    .command_on_terminal(line.as_bytes(), left, terminal)?;
                self.clock.tool(begun.elapsed());
                self.last = status(outcome.ending);
                if let Ending::Limit(limit) = outcome.ending {
                    terminal.show(&format!("[the command was ended: limit {limit:?}]\n"))?;
                }
                if let Some(news) = self.clock.news() {
                    terminal.show(&format!("[{news}]\n"))?;
                }
            }
        }
        Ok(true)
    }
}

/// A command's ending as a shell would say it.
fn status(ending: Ending) -> u8 {
    match ending {
        Ending::Exit(status) => status as u8,
        Ending::Signal(signal) => 128u8.saturating_add(signal as u8),
        Ending::Limit(limit) => {
            terminal::note(&format!("the command was ended: limit {limit:?}"));
            124
        }
        _ => 125,
    }
}
