//! Changed copies of the reference, and which cases notice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use sandbox::{Conditions, Limit, Worker};
use serde::{Deserialize, Serialize};

use super::object::Site;
use super::stage::{Copies, Part};
use super::{Error, Means, Progress};
use crate::case::Ending;
use crate::execute::{Observed, case_command, observe_command};
use crate::reference::Prepared;
use crate::{Case, Spec, parallel};

/// A case's time when the reference is changed, as a multiple of what it takes unchanged, and what is added.
const TIME_FACTOR: u32 = 10;
const TIME_ADDED: Duration = Duration::from_millis(500);
/// How much longer a case may take before it counts that time ran out.
const CONFIRM_FACTOR: u32 = 6;
/// After so many families of a mutant have run out of time it is not asked further which families notice.
const MOST_TIMEOUTS: usize = 3;
/// How often a sandbox that failed is built anew under one mutant.
const MOST_FAILURES: usize = 3;

/// How a case notices that the reference was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Noticed {
    Outcome(Outcome),
    /// Not the program's doing.
    Guard(String),
}

/// How the case that noticed first did so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Another standard output.
    Stdout,
    /// Another standard error.
    Stderr,
    /// Another exit status.
    Exit,
    /// Other files.
    Files,
    /// It was killed by a signal.
    Signal,
    /// It ran out of time, memory, processes or space, or could not be started.
    Limit,
    /// No case noticed.
    Survived,
    /// No hidden case executes it, so that none can notice.
    Unreached,
}

impl Outcome {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Stdout => "stdout",
            Outcome::Stderr => "stderr",
            Outcome::Exit => "exit",
            Outcome::Files => "files",
            Outcome::Signal => "signal",
            Outcome::Limit => "limit",
            Outcome::Survived => "survived",
            Outcome::Unreached => "unreached",
        }
    }

    /// Whether a case noticed.
    pub fn is_killed(self) -> bool {
        !matches!(self, Outcome::Survived | Outcome::Unreached)
    }
}

/// What differs from what a case expects: the strictness is that of scoring.
pub(super) fn noticed(case: &Case, observed: &Observed) -> Option<Noticed> {
    let expect = &case.expect;
    let outcome = match observed.ending {
        sandbox::Ending::Exited(status) => {
            if observed.stderr.starts_with(crate::capture::GUARD_SPEAKS) {
                let message = String::from_utf8_lossy(&observed.stderr).trim().to_owned();
                return Some(Noticed::Guard(message));
            }
            let files = || {
                let expected = expect.files.iter().map(|(path, bytes)| (path, &bytes.0));
                !expected.eq(observed.files.iter())
            };
            if expect.stdout.0 != observed.stdout {
                Outcome::Stdout
            } else if expect.stderr.0 != observed.stderr {
                Outcome::Stderr
            } else if expect.ending != Ending::Exit(status) {
                Outcome::Exit
            } else if files() {
                Outcome::Files
            } else {
                return None;
            }
        }
        sandbox::Ending::Signaled(signal) if expect.ending == Ending::Signal(signal) => {
            return None;
        }
        sandbox::Ending::Signaled(_) => Outcome::Signal,
        sandbox::Ending::Limited(_) | sandbox::Ending::NotStarted(_) | sandbox::Ending::Stopped => {
            Outcome::Limit
        }
    };
    Some(Noticed::Outcome(outcome))
}

/// [`parallel::in_order`] with what a measurement is given.
pub(super) fn in_parallel<P, R: Send>(
    means: &Means<'_>,
    count: usize,
    progress: &(dyn Fn(u64, u64) + Sync),
    start: impl Fn(usize) -> Result<P, Error> + Sync,
    work: impl Fn(&mut P, usize) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let work = |place: &mut P, index: usize| {
        if means.interrupted.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        work(place, index)
    };
    parallel::in_order(
        means.jobs,
        count,
        &|done| progress(done, count as u64),
        start,
        work,
    )
}

/// A change that is to be tried.
pub(super) struct Mutant<'a> {
    pub(super) part: usize,
    pub(super) site: &'a Site,
    /// The hidden cases that execute it, by number.
    pub(super) cases: Vec<usize>,
    /// Whether each family that executes it is asked, and not only whether any case notices.
    pub(super) all_families: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) outcome: Outcome,
    /// The case that noticed first, by number.
    pub(super) case: Option<usize>,
    /// The families that noticed; `None` where not all were asked.
    pub(super) families: Option<BTreeSet<String>>,
}

/// Where changed copies are tried.
pub(super) struct Bench<'a> {
    pub(super) spec: &'a Spec,
    pub(super) prepared: &'a Prepared,
    pub(super) parts: &'a [Part],
    /// The hidden cases.
    pub(super) cases: &'a [&'a Case],
    /// How long each takes unchanged.
    pub(super) times: &'a [Duration],
    pub(super) means: &'a Means<'a>,
}

impl Bench<'_> {
    /// Tries each mutant.
    pub(super) fn try_all(
        &self,
        mutants: &[Mutant<'_>],
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Vec<Tried>, Error> {
        in_parallel(
            self.means,
            mutants.len(),
            &|done, total| progress(Progress::Mutants(done, total)),
            |_| Copies::new(self.parts),
            |copies, index| {
                let mutant = &mutants[index];
                let part = &self.parts[mutant.part];
                copies.change(mutant.part, part, mutant.site, false)?;
                let tried = self.try_one(copies, mutant);
                copies.change(mutant.part, part, mutant.site, true)?;
                tried
            },
        )
    }

    fn try_one(&self, copies: &Copies, mutant: &Mutant<'_>) -> Result<Tried, Error> {
        let mut tried = Tried {
            outcome: if mutant.cases.is_empty() {
                Outcome::Unreached
            } else {
                Outcome::Survived
            },
            case: None,
            families: None,
        };
        if mutant.cases.is_empty() {
            tried.families = mutant.all_families.then(BTreeSet::new);
            return Ok(tried);
        }
        let sandbox = copies.sandbox(self.spec, self.prepared, self.parts, self.means.guard);
        let mut worker = None;
        let (mut families, mut timeouts) = (BTreeSet::new(), 0);
        for index in self.order(&mutant.cases) {
            if self.means.interrupted.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let family = &self.cases[index].family;
            if families.contains(family) {
                continue;
            }
            let Some((outcome, late)) = self.ask(&mut worker, &sandbox, index)? else {
                continue;
            };
            families.insert(family.clone());
            if tried.case.is_none() {
                tried.outcome = outcome;
                tried.case = Some(index);
            }
            timeouts += usize::from(late);
            if !mutant.all_families || timeouts >= MOST_TIMEOUTS {
                return Ok(tried);
            }
        }
        // With one family asked after another until none noticed, a survivor's list is whole as well.
        tried.families = mutant.all_families.then_some(families);
        Ok(tried)
    }

    /// The order in which cases are asked: one of each family, then the second of each, so that what differs most comes
    /// first.
    fn order(&self, cases: &[usize]) -> Vec<usize> {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ranked: Vec<(usize, usize)> = cases
            .iter()
            .map(|&index| {
                let rank = seen.entry(&self.cases[index].family).or_default();
                *rank += 1;
                (*rank, index)
            })
            .collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, index)| index).collect()
    }

    /// Whether a case notices, and whether by running out of time.
    fn ask(
        &self,
        worker: &mut Option<Worker>,
        sandbox: &sandbox::Spec,
        index: usize,
    ) -> Result<Option<(Outcome, bool)>, Error> {
        let case = self.cases[index];
        let mut command = case_command(
            &self.prepared.program,
            self.spec,
            &case.inputs,
            Conditions::default(),
        );
        let wall = self.times[index] * TIME_FACTOR + TIME_ADDED;
        let whole = command.limits.wall;
        command.limits.wall = wall.min(whole);
        let mut failures = 0;
        loop {
            let seen = match worker {
                Some(worker) => observe_command(worker, &command, &case.inputs.stdin.0),
                None => match Worker::start(sandbox) {
                    Ok(started) => {
                        *worker = Some(started);
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            let observed = match seen {
                Ok((observed, _)) => observed,
                Err(error) => {
                    *worker = None;
                    failures += 1;
                    if failures >= MOST_FAILURES {
                        return Err(error.into());
                    }
                    continue;
                }
            };
            let late = observed.ending == sandbox::Ending::Limited(Limit::WallTime);
            if late && command.limits.wall < (wall * CONFIRM_FACTOR).min(whole) {
                // A busy machine is slow at times; only what is slow again counts.
                command.limits.wall = (wall * CONFIRM_FACTOR).min(whole);
                continue;
            }
            return match noticed(case, &observed) {
                None => Ok(None),
                // A guard that was handed to a changed program may fail because of the change.
                Some(Noticed::Guard(_)) => Ok(Some((Outcome::Stderr, false))),
                Some(Noticed::Outcome(outcome)) => Ok(Some((outcome, late))),
            };
        }
    }
}
