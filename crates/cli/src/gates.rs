//! Who lets a run's requests pass: the limits of all runs of a campaign together, and the run's owner.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agent::gate::{Amount, Gate, Pass};
use agent::scaffold::Steering;
use campaign::{Account, Grant, Need};
use run::Right;

/// How long a run waits when all runs together have reserved what is left: some of them may take less.
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon it asks again.
const AGAIN: Duration = Duration::from_secs(2);

/// Why no more requests pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// Another process has the run.
    Lost(String),
    /// A limit of all runs together is used up.
    Limits(String),
    /// The shared directory cannot be used.
    Machine(String),
}

/// What holds for runs besides their own limits. Every field is a decision.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    /// Cases at the same time in an evaluation.
    pub(crate) jobs: usize,
    /// Who lets requests pass.
    pub(crate) gates: &'a Gates,
}

/// Makes gates for runs.
#[derive(Default)]
pub(crate) struct Gates {
    account: Option<Arc<Account>>,
    closed: Arc<Mutex<Option<Closed>>>,
    /// The last run's.
    right: Mutex<Option<Right>>,
}

impl Gates {
    /// Gates at which only a run's owner is asked for.
    pub(crate) fn open() -> Self {
        Gates::default()
    }

    /// Gates that hold the limits of an account.
    pub(crate) fn limited(account: Account) -> Self {
        Gates {
            account: Some(Arc::new(account)),
            ..Gates::default()
        }
    }

    /// The gate of a run that this process owns by `right`. When it closes, it stops the run.
    pub(crate) fn gate(&self, right: &Right, steering: &Arc<Steering>) -> Arc<dyn Gate> {
        *lock(&self.right) = Some(right.clone());
        Arc::new(RunGate {
            right: right.clone(),
            steering: Arc::clone(steering),
            account: self.account.clone(),
            closed: Arc::clone(&self.closed),
            granted: Mutex::default(),
            since: Mutex::default(),
        })
    }

    /// Who has the last run now, if that is no longer this process.
    pub(crate) fn lost(&self) -> Option<String> {
        let lost = lock(&self.right).as_ref()?.check().err()?;
        Some(lost.to_string())
    }

    /// Why requests no longer passed, if that is so.
    pub(crate) fn closed(&self) -> Option<Closed> {
        lock(&self.closed).clone()
    }
}

/// Reservations by number, and the last number.
#[derive(Default)]
struct Granted {
    open: BTreeMap<u64, Grant>,
    last: u64,
}

struct RunGate {
    right: Right,
    steering: Arc<Steering>,
    account: Option<Arc<Account>>,
    closed: Arc<Mutex<Option<Closed>>>,
    granted: Mutex<Granted>,
    /// Since when it has been refused.
    since: Mutex<Option<Instant>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RunGate {
    fn close(&self, why: Closed) -> Pass {
        let text = match &why {
            Closed::Lost(text) | Closed::Limits(text) | Closed::Machine(text) => text.clone(),
        };
        lock(&self.closed).get_or_insert(why);
        self.steering.stop();
        Pass::Closed(text)
    }

    /// Asks again for a while before it closes.
    fn refused(&self, why: Closed) -> Pass {
        let since = *lock(&self.since).get_or_insert_with(Instant::now);
        if since.elapsed() < PATIENCE {
            return Pass::Wait(AGAIN);
        }
        self.close(why)
    }
}

impl Gate for RunGate {
    fn ask(&self, most: Amount) -> Pass {
        if let Err(error) = self.right.check() {
            return self.close(Closed::Lost(error.to_string()));
        }
        let Some(account) = &self.account else {
            return Pass::Go(0);
        };
        match account.ask(most) {
            Ok(Need::Granted(grant)) => {
                *lock(&self.since) = None;
                let mut granted = lock(&self.granted);
                granted.last += 1;
                let number = granted.last;
                granted.open.insert(number, grant);
                Pass::Go(number)
            }
            Ok(Need::Wait(time)) => Pass::Wait(time),
            Ok(Need::Over(why)) => self.refused(Closed::Limits(why)),
            Err(error) => self.refused(Closed::Machine(error.to_string())),
        }
    }

    fn settle(&self, ticket: u64, amount: Amount) {
        let grant = lock(&self.granted).open.remove(&ticket);
        if let (Some(account), Some(grant)) = (&self.account, grant) {
            // Where that cannot be written the reservation stays, which is more.
            let _ = account.settle(grant, amount);
        }
    }

    fn confirm(&self) -> bool {
        match self.right.renew() {
            Ok(()) => true,
            Err(error @ run::Error::Lost { .. }) => {
                self.close(Closed::Lost(error.to_string()));
                false
            }
            Err(error) => {
                self.close(Closed::Machine(error.to_string()));
                false
            }
        }
    }
}
