//! Where a run of another agent's program stands.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::event::{Budget, Estimate, Event, Purpose, Spent, Time};
use crate::scaffold::{History, meter};

/// Where a run of another agent's program stands, as its record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What was spent.
    pub spent: Spent,
    /// The limits that were in force last.
    pub limits: Option<Budget>,
    /// Calls so far.
    pub calls: u64,
    /// Calls that were under way when the run was cut off.
    pub unanswered: Vec<(u64, Estimate)>,
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
        let mut began = false;
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
            spent.wall_milliseconds += passed;
            match entry.event {
                Event::Attach { .. } => began = true,
                Event::Command { number, .. } => standing.number = number,
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
                        spent.turns += u64::from(purpose == Purpose::Turn);
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
