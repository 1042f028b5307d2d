//! Where a run stands that this program's own agent does not work on: another agent's program does, somebody with a
//! client of their own, or a person.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::event::{Agent, Budget, Estimate, Event, Purpose, Spent, Time};
use crate::scaffold::{History, meter};

/// Where a run stands, as its record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What was spent.
    pub spent: Spent,
    /// The limits that were in force last.
    pub limits: Option<Budget>,
    /// Calls of a model, or of a tool by a client, so far.
    pub calls: u64,
    /// Calls of a model that were under way when the run was cut off.
    pub unanswered: Vec<(u64, Estimate)>,
    /// Id and name of the tool that a client had called when the run was cut off.
    pub cut_off: Option<(String, String)>,
    /// Commands so far.
    pub number: u64,
    /// Where the next command starts.
    pub directory: PathBuf,
    /// Whether the work has been submitted.
    pub submitted: bool,
}

impl Default for Standing {
    fn default() -> Self {
        Standing {
            spent: Spent::default(),
            limits: None,
            calls: 0,
            unanswered: Vec::new(),
            cut_off: None,
            number: 0,
            directory: PathBuf::from(crate::WORKSPACE),
            submitted: false,
        }
    }
}

impl Standing {
    /// Reads a record. It is read whole, because calls overlap.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(history: &dyn History) -> Result<Self, String> {
        let mut standing = Standing::default();
        let mut open: BTreeMap<u64, (Estimate, Purpose)> = BTreeMap::new();
        let mut before: Option<Time> = None;
        let (mut began, mut paused) = (false, false);
        let mut agent = Agent::Program;
        history.each(1, u64::MAX, &mut |entry| {
            let passed = match (&entry.event, before) {
                (Event::Attach { .. }, _) | (_, None) => 0,
                (_, Some(before)) if began => entry
                    .time
                    .milliseconds()
                    .saturating_sub(before.milliseconds()),
                _ => 0,
            };
            before = Some(entry.time);
            let spent = &mut standing.spent;
            meter::add(&mut spent.wall_milliseconds, passed);
            if paused {
                meter::add(&mut spent.waited_milliseconds, passed);
            }
            match entry.event {
                Event::Start { agent: of, .. } => agent = of,
                Event::Attach { .. } => {
                    began = true;
                    paused = false;
                }
                Event::Pause => paused = true,
                Event::Continue => paused = false,
                Event::Command { number, .. } => {
                    standing.number = number;
                    meter::add(&mut spent.turns, u64::from(agent == Agent::Person));
                }
                Event::Result {
                    milliseconds,
                    directory,
                    ..
                } => {
                    standing.directory = PathBuf::from(OsString::from_vec(directory.0));
                    if agent != Agent::Program {
                        meter::add(&mut spent.tool_milliseconds, milliseconds);
                    }
                }
                Event::Edit { number, .. } => standing.number = number,
                Event::ToolCall {
                    number, tool, name, ..
                } => {
                    standing.calls = number;
                    standing.cut_off = Some((tool, name));
                    meter::add(&mut spent.turns, 1);
                }
                Event::ToolResult { .. } => standing.cut_off = None,
                Event::Budget { limits } => standing.limits = Some(limits),
                Event::Submit { .. } => standing.submitted = true,
                Event::Call {
                    number,
                    purpose,
                    estimate,
                    ..
                } => {
                    standing.calls = number;
                    open.insert(number, (estimate, purpose));
                }
                Event::Reply {
                    call,
                    usage,
                    attempts,
                    microdollars,
                    ..
                } => {
                    if let Some((estimate, purpose)) = open.remove(&call) {
                        meter::add_answer(spent, &usage, &attempts, microdollars, &estimate);
                        meter::add(&mut spent.turns, u64::from(purpose == Purpose::Turn));
                    }
                }
                Event::CallFailed {
                    call,
                    failure,
                    microdollars,
                    ..
                } => {
                    if let Some((estimate, _)) = open.remove(&call) {
                        meter::add_failure(spent, &failure, microdollars, &estimate);
                    }
                }
                Event::Unanswered { call } => {
                    if let Some((estimate, _)) = open.remove(&call) {
                        meter::add_unanswered(spent, &estimate);
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        standing.unanswered = open
            .into_iter()
            .map(|(call, (estimate, _))| (call, estimate))
            .collect();
        Ok(standing)
    }
}
