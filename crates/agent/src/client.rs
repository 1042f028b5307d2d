//! Somebody works from outside, with a client of their own that calls tools one by one, within a budget.
//!
//! # Order of what is recorded
//!
//! A call is durable before it begins, and what it is told before the client is. So whenever the client goes away or the
//! program is ended, what is missing from the record has had no effect, but for the one call that was under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::event::{Event, Spent};
use crate::ledger::Ledger;
use crate::scaffold::{Finish, Told, ToolCall, Tools, Workbench};
use crate::session::{Error, Session};
use crate::standing::Standing;

/// How often it is looked whether a call has to end, or a pause is over.
const LOOK: Duration = Duration::from_millis(50);
/// Clients that introduce themselves of which the record keeps the names.
const MOST_CLIENTS: u64 = 1000;

/// The tools of a session, for whoever calls them.
pub struct Counter<'a> {
    tools: Workbench<'a>,
    ledger: Ledger,
    clock: Clock,
    calls: u64,
    clients: u64,
    /// What the next call is told besides.
    remark: Option<String>,
}

impl<'a> Counter<'a> {
    /// Opens on a session whose commands may take `command_limit`. `standing` is where the run stands, if it has begun
    /// before.
    ///
    /// # Errors
    /// When the run cannot be recorded.
    pub fn open(
        session: &'a mut Session,
        command_limit: Duration,
        clock: Clock,
        standing: Option<&Standing>,
    ) -> Result<Self, Error> {
        let ledger = session.ledger().clone();
        let mut remark = None;
        if let Some(standing) = standing {
            let mut text = "[The run was interrupted and now goes on. Processes that were running are gone; files are as \
                            they were.]\n"
                .to_owned();
            if let Some((tool, name)) = &standing.cut_off {
                let what = format!(
                    "[The call of `{name}` before this one was cut off: it may have been done in part or whole.]\n"
                );
                let told = Told::fail(&ledger, &what)?;
                ledger.record(Event::ToolResult {
                    tool: tool.clone(),
                    name: name.clone(),
                    pieces: told.pieces,
                    failed: true,
                })?;
                text += &what;
            }
            remark = Some(text);
        }
        Ok(Counter {
            tools: Workbench::new(session, command_limit).with_oracle(),
            ledger,
            clock,
            calls: standing.map_or(0, |standing| standing.calls),
            clients: 0,
            remark,
        })
    }

    /// A client has introduced itself.
    ///
    /// # Errors
    /// When that cannot be recorded.
    pub fn client(&mut self, name: &str, version: &str, transport: &str) -> Result<(), Error> {
        self.clients += 1;
        if self.clients <= MOST_CLIENTS {
            self.ledger.record(Event::Client {
                name: name.to_owned(),
                version: version.to_owned(),
                transport: transport.to_owned(),
            })?;
        }
        Ok(())
    }

    /// Takes orders from outside, looks at the limits, and says whether the run is over.
    ///
    /// # Errors
    /// When the run cannot be recorded.
    pub fn look(&mut self) -> Result<Option<&Finish>, Error> {
        Ok(self.clock.look()?)
    }

    /// Does a call of a tool. It waits while the run is paused; `cancelled` ends what is under way.
    ///
    /// # Errors
    /// When the sandbox fails or the run cannot be recorded.
    pub fn call(
        &mut self,
        name: &str,
        arguments: &str,
        cancelled: &AtomicBool,
    ) -> Result<Told, Error> {
        loop {
            if let Some(finish) = self.clock.look()? {
                return Ok(said(&over(finish)));
            }
            if cancelled.load(Ordering::Relaxed) {
                return Ok(said("[not done: the call was cancelled]"));
            }
            if !self.clock.is_paused() {
                break;
            }
            std::thread::sleep(LOOK);
        }
        let id = format!("call-{}", self.calls + 1);
        let arguments_kept = self.ledger.content(arguments.as_bytes())?;
        self.ledger.record(Event::ToolCall {
            number: self.calls + 1,
            tool: id.clone(),
            name: name.to_owned(),
            arguments: arguments_kept,
            spent: self.clock.spent(),
        })?;
        self.calls += 1;
        self.clock.turn();
        let begun = Instant::now();
        let call = ToolCall {
            id: &id,
            name,
            arguments,
        };
        let mut told = self.do_call(&call, cancelled)?;
        self.clock.tool(begun.elapsed());
        let news = self.clock.news();
        let evaluated = name == "evaluate" && !told.failed;
        if let Some(line) = news.or_else(|| evaluated.then(|| self.clock.line())) {
            told.add(&self.ledger, &format!("[{line}]\n"))?;
        }
        if let Some(remark) = self.remark.take() {
            told.add(&self.ledger, &remark)?;
        }
        self.ledger.record(Event::ToolResult {
            tool: id,
            name: name.to_owned(),
            pieces: told.pieces.clone(),
            failed: told.failed,
        })?;
        Ok(told)
    }

    fn do_call(&mut self, call: &ToolCall<'_>, cancelled: &AtomicBool) -> Result<Told, Error> {
        let halt = Arc::new(AtomicBool::new(false));
        self.tools.stop_when(Arc::clone(&halt));
        let time = self.clock.tool_time_left();
        let done = AtomicBool::new(false);
        let (tools, steering) = (&mut self.tools, self.clock.steering());
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    if cancelled.load(Ordering::Relaxed) || steering.is_stopped() {
                        halt.store(true, Ordering::Relaxed);
                    }
                    std::thread::park_timeout(LOOK);
                }
            });
            let told = tools.call(call, time);
            done.store(true, Ordering::Relaxed);
            watch.thread().unpark();
            told
        })
    }

    /// How the run ended, when the last client has gone.
    pub fn close(self) -> (Finish, Spent) {
        self.clock.stop()
    }
}

fn said(text: &str) -> Told {
    Told {
        text: text.to_owned(),
        failed: true,
        ..Told::default()
    }
}

/// What a call is told that comes after the end.
pub fn over(finish: &Finish) -> String {
    match finish {
        Finish::Submitted => "[not done: the work is submitted, and the run is over]".to_owned(),
        Finish::Budget(name) => format!(
            "[not done: the budget ({name}) is used up, and the run is over; /workspace is scored as it is]"
        ),
        _ => "[not done: the run was stopped by whoever runs it]".to_owned(),
    }
}
