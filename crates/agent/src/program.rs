//! Another agent's program at work: it runs unchanged in the sandbox, and speaks to its model through the gateway.
//!
//! # Order of what is recorded
//!
//! As for the built-in agent, a request is durable before it is sent. What the program does in the sandbox besides is
//! one long command; the workspace is recorded now and then while it runs.

mod desk;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::gateway::{Gateway, Upstream};

use crate::event::{Budget, Ending, Event, Kind, RecordError, Spent};
use crate::gate::Gate;
use crate::ledger::Ledger;
use crate::scaffold::meter::Meter;
use crate::scaffold::{Finish, Steering, Tariff};
use crate::session::{Error, HOME, Request, Session};
use crate::standing::Standing;
use desk::{Desk, Register};

/// Longest time of what has no limit.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// How often it is looked whether the program has to end.
const LOOK: Duration = Duration::from_millis(100);
/// How long a program has to end by itself after it was told that the budget is used up.
const AFTER_BUDGET: Duration = Duration::from_secs(5);
/// How long a program has to end by itself after it has submitted.
const AFTER_SUBMIT: Duration = Duration::from_secs(20);
/// How often the workspace is recorded.
const SNAPSHOT: Duration = Duration::from_secs(60);
/// Most bytes of the files in which a program keeps its session, packed.
const MOST_SESSION: u32 = 12 << 20;

/// How a program is started. Every field is a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The script, for a shell that has `$prompt`, `$model`, `$gateway` and `$key`.
    pub script: String,
    /// The same for going on with work that it has begun; the same script where it has no other way.
    pub again: String,
    /// Environment, added to the session's.
    pub environment: Vec<(String, String)>,
    /// Files that it wants, by their paths below its home directory.
    pub files: Vec<(String, String)>,
    /// Files and directories below its home directory in which it keeps its session.
    pub sessions: Vec<String>,
    /// What it is told to do.
    pub prompt: String,
}

/// What is seen of a run after each answer.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What is spent.
    pub spent: Spent,
}

/// What another agent's run is made of.
pub struct Parts<'a> {
    /// How it is started.
    pub start: Start,
    /// Where it is at work; its setting has a port.
    pub session: &'a mut Session,
    /// Where its requests go.
    pub upstream: Upstream,
    /// What that costs.
    pub tariff: Box<dyn Tariff>,
    /// What can be said to it meanwhile.
    pub steering: Arc<Steering>,
    /// The limits, where they differ from those on record.
    pub limits: Budget,
    /// Where the run stands, if it has begun before.
    pub standing: Option<Standing>,
    /// Who lets its requests pass, besides the run's own limits.
    pub gate: Arc<dyn Gate>,
    /// Who looks on.
    pub progress: &'a mut (dyn FnMut(Progress) + Send),
}

fn lock(register: &Mutex<Register>) -> MutexGuard<'_, Register> {
    register.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets a program work on a task until it submits, ends, is stopped, or is out of budget. Gives what the run has spent.
///
/// # Errors
/// When the sandbox or the gateway fails, or the run can no longer be recorded.
pub fn work(parts: Parts<'_>) -> Result<(Finish, Spent), Error> {
    let Parts {
        start,
        session,
        upstream,
        tariff,
        steering,
        limits,
        standing,
        gate,
        progress,
    } = parts;
    let ledger = session.ledger().clone();
    let again = standing.is_some();
    let standing = standing.unwrap_or_default();
    let mut meter = Meter::new(limits, standing.spent, tariff);
    for (call, estimate) in &standing.unanswered {
        meter.unanswered(estimate);
        ledger.note(Event::Unanswered { call: *call })?;
    }
    if standing.limits != Some(limits) {
        ledger.note(Event::Budget { limits })?;
    }
    let kind = if again { Kind::Resumed } else { Kind::Task };
    let text = ledger.content(start.prompt.as_bytes())?;
    ledger.record(Event::Message { kind, text })?;
    let register = Arc::new(Mutex::new(Register::new(meter, standing.calls)));
    let broken = |what: &str, error: std::io::Error| Error::Io {
        path: what.into(),
        error,
    };
    let listener = session.listener().ok_or_else(|| {
        let error = std::io::Error::other("the session was opened without a port");
        broken("gateway", error)
    })?;
    let port = listener
        .local_addr()
        .map_err(|error| broken("gateway", error))?
        .port();
    let name = upstream.name().clone();
    let desk = Desk {
        ledger: ledger.clone(),
        register: Arc::clone(&register),
        steering: Arc::clone(&steering),
        gate,
    };
    let gateway = Gateway::start(listener, upstream, Box::new(desk))
        .map_err(|error| broken("gateway", error))?;
    let script = script(&start, again, port, name.model());
    let halt = Arc::new(AtomicBool::new(false));
    session.stop_when(Arc::clone(&halt));
    let wall = lock(&register).meter.time_left();
    let request = Request {
        script: script.as_bytes(),
        tool: None,
        // Limits may be raised meanwhile; the watch below holds those that are in force.
        wall: Some(FOREVER),
        merged: true,
        background: false,
    };
    let over = AtomicBool::new(wall.is_some_and(|left| left.is_zero()));
    let workspace = session.setting().workspace.clone();
    let outcome = std::thread::scope(|scope| {
        let watch = Watch {
            ledger: &ledger,
            register: &register,
            steering: &steering,
            workspace: &workspace,
            halt: &halt,
            over: &over,
        };
        let watching = scope.spawn(move || watch.run(progress));
        let outcome = session.run(&request, b"", &mut |_, _| {});
        over.store(true, Ordering::Relaxed);
        let watched = watching.join().unwrap_or(Ok(()));
        outcome.and_then(|outcome| watched.map(|()| outcome).map_err(Error::from))
    });
    // What was under way is on record after this.
    drop(gateway);
    let outcome = outcome?;
    let mut register = lock(&register);
    if let Some(error) = register.failed.take() {
        return Err(error.into());
    }
    let spent = register.meter.spent();
    let reached = register
        .budget
        .map(|(name, _)| name)
        .or_else(|| register.meter.reached());
    let answered = register.answered;
    let last = register.last_failure.take();
    drop(register);
    keep_session(session, &start.sessions)?;
    ledger.flush()?;
    let printed = String::from_utf8_lossy(&outcome.stdout);
    let tail: Vec<&str> = printed.lines().rev().take(5).collect();
    let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
    let finish = if session.is_submitted() {
        Finish::Submitted
    } else if steering.is_stopped() {
        Finish::Stopped
    } else if let Some(name) = reached {
        Finish::Budget(name)
    } else {
        match (outcome.ending, last) {
            // An end without any work is no answer to the task.
            (Ending::Exit(0), _) if answered > 0 => Finish::Left,
            (Ending::Exit(0), None) => Finish::Crashed(format!(
                "it ended without asking its model for anything: {tail}"
            )),
            (_, Some(failure)) => Finish::Failed(failure),
            (ending, None) => Finish::Crashed(format!("{}: {tail}", said(ending))),
        }
    };
    Ok((finish, spent))
}

fn said(ending: Ending) -> String {
    match ending {
        Ending::Exit(status) => format!("it ended with status {status}"),
        Ending::Signal(signal) => format!("it was ended by signal {signal}"),
        Ending::Limit(limit) => format!("it was ended at a limit, {limit:?}"),
        Ending::NotStarted(code) => format!("it could not be started, error {code}"),
        Ending::Stopped => "it was stopped".to_owned(),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The whole script: files and environment first, then the program's own start, whose output goes to a file, because
/// there is no limit to it.
fn script(start: &Start, again: bool, port: u16, model: &str) -> String {
    let mut script = String::new();
    let words = [
        ("prompt", start.prompt.as_str()),
        ("model", model),
        ("gateway", &format!("http://127.0.0.1:{port}")),
        ("key", model::gateway::WORTHLESS_KEY),
    ];
    for (name, value) in words {
        script += &format!("{name}={}\n", quoted(value));
    }
    // Programs that start login shells would lose the oracle from their path.
    script += &format!("printf 'PATH=%s\\n' \"$PATH\" >{HOME}/.profile\n");
    let filled = |text: &str| {
        words[1..]
            .iter()
            .fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("{{{name}}}"), value)
            })
    };
    for (name, value) in &start.environment {
        script += &format!("export {name}={}\n", quoted(&filled(value)));
    }
    for (path, text) in &start.files {
        let path = quoted(&format!("{HOME}/{path}"));
        let text = quoted(&filled(text));
        script += &format!("mkdir -p \"$(dirname {path})\" && printf %s {text} >{path}\n");
    }
    let own = if again { &start.again } else { &start.script };
    script += &format!(
        "(\n{}\n) </dev/null >>{HOME}/agent.log 2>&1\nstatus=$?\ntail -c 20000 {HOME}/agent.log\n(exit $status)\n",
        own.trim_end()
    );
    script
}

/// Packs the files in which a program keeps its session, as the output of a command: the sandbox alone reads them.
fn keep_session(session: &mut Session, sessions: &[String]) -> Result<(), Error> {
    let paths: Vec<String> = sessions
        .iter()
        .map(String::as_str)
        .chain(["agent.log"])
        .map(quoted)
        .collect();
    let script = format!(
        "cd {HOME} && tar --ignore-failed-read -czf - {} 2>/dev/null | head -c {MOST_SESSION}",
        paths.join(" ")
    );
    let request = Request {
        wall: Some(Duration::from_secs(120)),
        ..Request::plain(script.as_bytes())
    };
    session.stop_when(Arc::default());
    session.run(&request, b"", &mut |_, _| {}).map(drop)
}

/// Looks after a program while it runs.
struct Watch<'a> {
    ledger: &'a Ledger,
    register: &'a Mutex<Register>,
    steering: &'a Steering,
    workspace: &'a std::path::Path,
    halt: &'a AtomicBool,
    over: &'a AtomicBool,
}

impl Watch<'_> {
    fn run(&self, progress: &mut (dyn FnMut(Progress) + Send)) -> Result<(), RecordError> {
        let result = self.look_after(progress);
        if result.is_err() {
            self.halt.store(true, Ordering::Relaxed);
        }
        result
    }

    fn look_after(&self, progress: &mut (dyn FnMut(Progress) + Send)) -> Result<(), RecordError> {
        let (mut submitted, mut paused): (Option<Instant>, Option<Instant>) = (None, None);
        let (mut recorded, mut turns) = (Instant::now(), 0);
        while !self.over.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
            match (self.steering.is_paused(), paused) {
                (true, None) => {
                    self.ledger.record(Event::Pause)?;
                    paused = Some(Instant::now());
                }
                (false, Some(since)) => {
                    lock(self.register).meter.waited(since.elapsed());
                    self.ledger.record(Event::Continue)?;
                    paused = None;
                }
                _ => {}
            }
            let limits = self.steering.new_limits();
            let (spent, ended) = {
                let mut register = lock(self.register);
                if let Some(limits) = limits.filter(|limits| *limits != register.meter.limits()) {
                    register.meter.set_limits(limits);
                    register.budget = None;
                    self.ledger.note(Event::Budget { limits })?;
                }
                if register.budget.is_none()
                    && paused.is_none()
                    && let Some(name) = register.meter.reached()
                {
                    register.budget = Some((name, Instant::now()));
                }
                let over = |since: Instant| since.elapsed() > AFTER_BUDGET;
                let budget = register.budget.is_some_and(|(_, since)| over(since));
                (register.meter.spent(), budget || register.failed.is_some())
            };
            if spent.turns != turns {
                turns = spent.turns;
                progress(Progress { spent });
            }
            if self.ledger.is_submitted() && submitted.is_none() {
                submitted = Some(Instant::now());
            }
            let done = submitted.is_some_and(|since| since.elapsed() > AFTER_SUBMIT);
            if ended || done || self.steering.is_stopped() {
                self.halt.store(true, Ordering::Relaxed);
            }
            if recorded.elapsed() > SNAPSHOT {
                self.ledger.note_calls()?;
                match self.ledger.snapshot(self.workspace, self.ledger.command()) {
                    // Files may be half-written or too many for a moment; the end counts.
                    Err(RecordError::Workspace(_)) | Ok(()) => {}
                    Err(error) => return Err(error),
                }
                self.ledger.flush()?;
                recorded = Instant::now();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_holds_what_the_program_wants() {
        let start = Start {
            script: "run \"$prompt\"\n".to_owned(),
            again: "run --continue".to_owned(),
            environment: vec![("URL".to_owned(), "{gateway}/v1".to_owned())],
            files: vec![(
                ".x/config".to_owned(),
                "model = '{model}' {prompt}".to_owned(),
            )],
            sessions: Vec::new(),
            prompt: "It's {model}.".to_owned(),
        };
        let text = script(&start, false, 8484, "m");
        assert!(text.contains(r"prompt='It'\''s {model}.'"), "{text}");
        assert!(
            text.contains("export URL='http://127.0.0.1:8484/v1'"),
            "{text}"
        );
        assert!(text.contains(r"'model = '\''m'\'' {prompt}'"), "{text}");
        assert!(text.contains("\nrun \"$prompt\"\n)"), "{text}");
        assert!(script(&start, true, 8484, "m").contains("\nrun --continue\n)"));
    }
}
