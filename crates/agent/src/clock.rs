//! The clock of a run that no model of this program's works on: what is used of the limits, and pauses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::{Budget, Event, RecordError, Spent};
use crate::ledger::Ledger;
use crate::scaffold::meter::Meter;
use crate::scaffold::{Finish, Steering};
use crate::standing::Standing;

/// Holds a run to its limits, and does what is said to it from outside.
pub struct Clock {
    ledger: Ledger,
    meter: Meter,
    steering: Arc<Steering>,
    /// Whether whoever works has asked for a pause.
    rests: bool,
    paused: Option<Instant>,
    finish: Option<Finish>,
}

impl Clock {
    /// Starts it with these limits. `standing` is where the run stands, if it has begun before.
    ///
    /// # Errors
    /// When the run cannot be recorded.
    pub fn start(
        ledger: Ledger,
        steering: Arc<Steering>,
        limits: Budget,
        standing: Option<&Standing>,
    ) -> Result<Self, RecordError> {
        let spent = standing.map_or(Spent::default(), |standing| standing.spent);
        if standing.and_then(|standing| standing.limits) != Some(limits) {
            ledger.record(Event::Budget { limits })?;
        }
        Ok(Clock {
            meter: Meter::new(limits, spent, Box::new(|_: &model::Usage| 0)),
            ledger,
            steering,
            rests: false,
            paused: None,
            finish: None,
        })
    }

    /// What can be said to the run.
    pub fn steering(&self) -> &Steering {
        &self.steering
    }

    /// Takes orders from outside, looks at the limits, and says whether the run is over. Once it is, it stays so.
    ///
    /// # Errors
    /// When the run cannot be recorded.
    pub fn look(&mut self) -> Result<Option<&Finish>, RecordError> {
        if self.finish.is_some() {
            return Ok(self.finish.as_ref());
        }
        if let Some(limits) = self.steering.new_limits()
            && limits != self.meter.limits()
        {
            self.meter.set_limits(limits);
            self.ledger.record(Event::Budget { limits })?;
        }
        let stands = self.rests || self.steering.is_paused();
        match (stands, self.paused) {
            (true, None) => {
                self.ledger.record(Event::Pause)?;
                self.paused = Some(Instant::now());
            }
            (false, Some(since)) => {
                self.meter.waited(since.elapsed());
                self.ledger.record(Event::Continue)?;
                self.paused = None;
            }
            _ => {}
        }
        self.finish = if self.ledger.is_submitted() {
            Some(Finish::Submitted)
        } else if self.steering.is_stopped() {
            Some(Finish::Stopped)
        } else if self.paused.is_none() {
            self.meter.reached().map(Finish::Budget)
        } else {
            None
        };
        Ok(self.finish.as_ref())
    }

    /// Whether it stands still.
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Asks for a pause, or ends it, with the next look.
    pub fn rest(&mut self, rests: bool) {
        self.rests = rests;
    }

    /// Writes something down.
    ///
    /// # Errors
    /// When the run cannot be recorded.
    pub fn note(&self, text: &str) -> Result<(), RecordError> {
        let text = self.ledger.content(text.as_bytes())?;
        self.ledger.record(Event::Note { text })
    }

    /// Counts a turn.
    pub fn turn(&mut self) {
        self.meter.turn();
    }

    /// Counts time in which tools ran.
    pub fn tool(&mut self, time: Duration) {
        self.meter.tool(time);
    }

    /// Time that a tool may take by all limits.
    pub fn tool_time_left(&self) -> Option<Duration> {
        self.meter.tool_time_left()
    }

    /// What is used of what is limited, in words.
    pub fn line(&self) -> String {
        self.meter.line()
    }

    /// The same, when the tightest limit has come a step nearer since the last time.
    pub fn news(&mut self) -> Option<String> {
        self.meter.news()
    }

    /// What is spent by now.
    pub fn spent(&self) -> Spent {
        let mut spent = self.meter.spent();
        if let Some(since) = self.paused {
            let waited = since.elapsed().as_millis() as u64;
            spent.waited_milliseconds = spent.waited_milliseconds.saturating_add(waited);
        }
        spent
    }

    /// How the run ended, when whoever worked on it has gone.
    pub fn stop(self) -> (Finish, Spent) {
        let spent = self.spent();
        let finish = match self.finish {
            Some(finish) => finish,
            None if self.ledger.is_submitted() => Finish::Submitted,
            None => Finish::Left,
        };
        (finish, spent)
    }
}
