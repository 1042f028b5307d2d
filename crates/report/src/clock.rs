//! How far a run has come at each of its events.

use agent::event::{Entry, Estimate, Event, Purpose, Spent, Time};

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Turn; in a run without turns, command.
    pub(crate) step: u64,
    /// Tokens of all answers.
    pub(crate) tokens: u64,
    /// Their price, in millionths of a dollar.
    pub(crate) microdollars: u64,
    /// Time at work.
    pub(crate) milliseconds: u64,
}

/// Adds up what is spent, event by event.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    step: u64,
    spent: Spent,
    /// When `spent` was right.
    since: Option<Time>,
    last: Option<Time>,
    waiting: Option<Estimate>,
    pub(crate) has_turns: bool,
}

impl Clock {
    pub(crate) fn see(&mut self, entry: &Entry) {
        match &entry.event {
            Event::Call {
                turn,
                spent,
                purpose,
                estimate,
                ..
            } => {
                self.has_turns = true;
                self.spent = *spent;
                self.since = Some(entry.time);
                self.waiting = Some(*estimate);
                if *purpose == Purpose::Turn {
                    self.step = *turn;
                }
            }
            Event::ToolCall { number, spent, .. } => {
                self.has_turns = true;
                self.spent = *spent;
                self.since = Some(entry.time);
                self.step = *number;
            }
            Event::Command { number, .. } if !self.has_turns => self.step = *number,
            Event::Reply {
                usage,
                attempts,
                microdollars,
                ..
            } => {
                let tokens = usage.total().saturating_add(attempts.lost.total());
                self.spent.tokens = self.spent.tokens.saturating_add(tokens);
                self.spent.microdollars = self.spent.microdollars.saturating_add(*microdollars);
                self.waiting = None;
            }
            Event::CallFailed { .. } => self.waiting = None,
            Event::Unanswered { .. } => self.unanswered(),
            Event::Attach { .. } => {
                // Nobody was at work between the sessions.
                self.settle();
                self.since = Some(entry.time);
            }
            _ => {}
        }
        self.since.get_or_insert(entry.time);
        self.last = Some(entry.time);
    }

    fn settle(&mut self) {
        self.spent.wall_milliseconds = self.progress().milliseconds;
        self.since = self.last;
    }

    /// The answer to the last call never came: it may have cost what was estimated.
    pub(crate) fn unanswered(&mut self) {
        if let Some(estimate) = self.waiting.take() {
            let tokens = estimate.input_tokens.saturating_add(estimate.output_tokens);
            self.spent.possible_tokens = self.spent.possible_tokens.saturating_add(tokens);
            self.spent.possible_microdollars = self
                .spent
                .possible_microdollars
                .saturating_add(estimate.microdollars);
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        let since = match (self.since, self.last) {
            (Some(since), Some(last)) => last.milliseconds().saturating_sub(since.milliseconds()),
            _ => 0,
        };
        Progress {
            step: self.step,
            tokens: self.spent.tokens,
            microdollars: self.spent.microdollars,
            milliseconds: self.spent.wall_milliseconds.saturating_add(since),
        }
    }

    /// What is spent by now.
    pub(crate) fn spent(&self) -> Spent {
        Spent {
            wall_milliseconds: self.progress().milliseconds,
            ..self.spent
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(clock: &mut Clock, seconds: u64, event: Event) {
        clock.see(&Entry {
            seq: 1,
            time: Time::from_milliseconds(seconds * 1000).unwrap(),
            event,
        });
    }

    #[test]
    fn time_between_sessions_does_not_count() {
        let mut clock = Clock::default();
        at(&mut clock, 100, Event::Pause);
        at(&mut clock, 110, Event::Continue);
        at(
            &mut clock,
            500,
            Event::Attach {
                process: 1,
                epoch: None,
                boot: None,
            },
        );
        at(&mut clock, 505, Event::Pause);
        assert_eq!(clock.progress().milliseconds, 15_000);
    }

    #[test]
    fn a_call_says_what_was_spent_before_it() {
        let mut clock = Clock::default();
        at(&mut clock, 1, Event::Pause);
        at(
            &mut clock,
            50,
            Event::Call {
                number: 3,
                turn: 2,
                purpose: Purpose::Turn,
                context: 1,
                estimate: Estimate {
                    input_tokens: 5,
                    output_tokens: 6,
                    microdollars: 7,
                },
                spent: Spent {
                    tokens: 100,
                    wall_milliseconds: 20_000,
                    ..Spent::default()
                },
            },
        );
        at(&mut clock, 52, Event::Unanswered { call: 3 });
        let (progress, spent) = (clock.progress(), clock.spent());
        assert_eq!(
            (progress.step, progress.tokens, progress.milliseconds),
            (2, 100, 22_000)
        );
        assert_eq!(
            (spent.possible_tokens, spent.possible_microdollars),
            (11, 7)
        );
    }
}
