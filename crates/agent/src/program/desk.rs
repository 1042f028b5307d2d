//! Decides about a program's requests by the run's budget, and records them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use model::gateway::{self, Admitted, Ask, Denied, Refusal};
use model::{Failure, Reply};
use sha2::{Digest, Sha256};

use super::lock;
use crate::event::{Estimate, Event, Purpose, RecordError};
use crate::gate::{Amount, Gate, Pass};
use crate::ledger::Ledger;
use crate::scaffold::Steering;
use crate::scaffold::meter::{self, Meter};

/// Tokens of the longest answer that a model gives. So many are set aside where the program names no limit, and while the
/// budget has room for them, no limit is named for it.
const LONGEST_OUTPUT: u64 = 128_000;
/// Times that tokens may be counted at once, and then in each second: it costs nothing, but providers limit how often.
const COUNTS_AT_ONCE: f64 = 100.0;
const COUNTS_A_SECOND: f64 = 5.0;
/// Counts that are recorded.
const MOST_COUNTS: u64 = 10_000;
/// Bytes of a request for a token, at least: text has about four, JSON and code fewer.
const BYTES_PER_TOKEN: u64 = 3;
/// Conversations that a later request may go on with.
const RECENT: usize = 32;
/// Refusals that are recorded; a program that goes on asking in vain does not fill the disk.
const MOST_REFUSALS: u64 = 10_000;

/// A conversation that was sent.
struct Sent {
    call: u64,
    items: Vec<[u8; 32]>,
    /// Tokens of it and of the answer, once the provider has counted them.
    tokens: Option<u64>,
}

/// What is known of a program's calls.
pub(super) struct Register {
    pub(super) meter: Meter,
    /// Calls so far.
    calls: u64,
    /// Calls under way: what they may take, and the gate's number for each.
    open: BTreeMap<u64, (Estimate, u64)>,
    recent: VecDeque<Sent>,
    refusals: u64,
    counts: Counts,
    /// Answers in this session.
    pub(super) answered: u64,
    /// Why the last call failed, if it did.
    pub(super) last_failure: Option<Failure>,
    /// The limit that is reached, and since when.
    pub(super) budget: Option<(&'static str, Instant)>,
    /// Why nothing can be recorded any more.
    pub(super) failed: Option<RecordError>,
}

impl Register {
    pub(super) fn new(meter: Meter, calls: u64) -> Self {
        Register {
            meter,
            calls,
            open: BTreeMap::new(),
            recent: VecDeque::new(),
            refusals: 0,
            counts: Counts::new(Instant::now()),
            answered: 0,
            last_failure: None,
            budget: None,
            failed: None,
        }
    }
}

/// How often tokens were counted, and may be.
struct Counts {
    taken: u64,
    left: f64,
    since: Instant,
}

impl Counts {
    fn new(now: Instant) -> Self {
        Counts {
            taken: 0,
            left: COUNTS_AT_ONCE,
            since: now,
        }
    }

    /// Takes one, if one may be taken now.
    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.left = (self.left + passed * COUNTS_A_SECOND).min(COUNTS_AT_ONCE);
        self.since = now;
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        self.taken += 1;
        true
    }
}

/// The gateway's desk for one run.
pub(super) struct Desk {
    pub(super) ledger: Ledger,
    pub(super) register: Arc<Mutex<Register>>,
    pub(super) steering: Arc<Steering>,
    pub(super) gate: Arc<dyn Gate>,
}

impl Desk {
    fn note(&self, register: &mut Register, event: Event) {
        if let Err(error) = self.ledger.note(event) {
            register.failed.get_or_insert(error);
        }
    }
}

/// The earlier conversation that most of these messages begin like, and how many.
fn goes_on<'a>(recent: &'a VecDeque<Sent>, items: &[[u8; 32]]) -> (Option<&'a Sent>, usize) {
    let alike = |sent: &Sent| {
        let pairs = sent.items.iter().zip(items);
        pairs.take_while(|(one, other)| one == other).count()
    };
    let best = recent.iter().map(|sent| (alike(sent), sent));
    match best.max_by_key(|(kept, _)| *kept) {
        Some((kept, sent)) if kept > 0 => (Some(sent), kept),
        _ => (None, 0),
    }
}

fn amount_of(estimate: &Estimate) -> Amount {
    Amount {
        tokens: estimate.input_tokens.saturating_add(estimate.output_tokens),
        microdollars: estimate.microdollars,
    }
}

impl gateway::Desk for Desk {
    fn admit(&mut self, ask: &Ask) -> Result<Admitted, Denied> {
        let mut register = lock(&self.register);
        let register = &mut *register;
        if register.failed.is_some() || self.steering.is_stopped() || self.ledger.is_submitted() {
            return Err(Denied::Closed);
        }
        if self.steering.is_paused() {
            return Err(Denied::Wait);
        }
        let items: Vec<[u8; 32]> = ask
            .items
            .iter()
            .map(|item| Sha256::digest(item.as_bytes()).into())
            .collect();
        let (before, kept) = goes_on(&register.recent, &items);
        let after = before.map_or(0, |sent| sent.call);
        let new: usize = ask.items[kept..].iter().map(String::len).sum();
        let input = match before.and_then(|sent| sent.tokens) {
            Some(tokens) => (tokens + new as u64 / BYTES_PER_TOKEN).min(ask.bytes),
            None => ask.bytes / BYTES_PER_TOKEN,
        };
        let most = ask.most.unwrap_or(LONGEST_OUTPUT);
        let meter = &register.meter;
        let estimate = match meter.reached() {
            Some(name) => Err(name),
            None => match meter.room(input, ask.least, most) {
                // What is set aside for others is seldom used whole.
                Err(_) if meter.has_room_alone(input, ask.least, most) => {
                    return Err(Denied::Wait);
                }
                room => room,
            },
        };
        let estimate = estimate.map_err(|name| {
            register.budget.get_or_insert((name, Instant::now()));
            Denied::Budget(name)
        })?;
        let ticket = match self.gate.ask(amount_of(&estimate)) {
            Pass::Go(ticket) => ticket,
            Pass::Wait(_) => return Err(Denied::Wait),
            Pass::Closed(_) => return Err(Denied::Closed),
        };
        let call = register.calls + 1;
        let recorded = (|| {
            let contents = ask.items[kept..]
                .iter()
                .map(|item| self.ledger.content(item.as_bytes()))
                .collect::<Result<Vec<_>, _>>()?;
            let rest = self.ledger.content(ask.rest.as_bytes())?;
            self.ledger.note(Event::Request {
                call,
                dialect: ask.dialect,
                alias: ask.alias.clone(),
                after,
                kept: kept as u64,
                items: contents,
                rest,
            })?;
            let spent = register.meter.spent();
            self.ledger.note(Event::Call {
                number: call,
                turn: spent.turns + 1,
                purpose: Purpose::Turn,
                context: 0,
                estimate,
                spent,
            })
        })();
        if let Err(error) = recorded {
            self.gate.settle(ticket, Amount::default());
            register.failed = Some(error);
            return Err(Denied::Closed);
        }
        register.calls = call;
        register.meter.reserve(&estimate);
        register.open.insert(call, (estimate, ticket));
        if register.recent.len() == RECENT {
            register.recent.pop_front();
        }
        register.recent.push_back(Sent {
            call,
            items,
            tokens: None,
        });
        let limits = register.meter.limits();
        let limited = limits.tokens.is_some() || limits.microdollars.is_some();
        // Where the program names no limit, the model's own holds, as long as the budget has room for it.
        let capped = ask.most.is_some() || estimate.output_tokens < LONGEST_OUTPUT;
        Ok(Admitted {
            call,
            output_tokens: (limited && capped).then_some(estimate.output_tokens),
        })
    }

    fn count(&mut self, dialect: model::Dialect, bytes: u64) -> Result<(), Denied> {
        let mut register = lock(&self.register);
        let register = &mut *register;
        if register.failed.is_some() || self.steering.is_stopped() || self.ledger.is_submitted() {
            return Err(Denied::Closed);
        }
        if let Some(name) = register.meter.reached() {
            register.budget.get_or_insert((name, Instant::now()));
            return Err(Denied::Budget(name));
        }
        if self.steering.is_paused() || !register.counts.take(Instant::now()) {
            return Err(Denied::Wait);
        }
        if register.counts.taken <= MOST_COUNTS {
            self.note(register, Event::Count { dialect, bytes });
        }
        Ok(())
    }

    fn answered(&mut self, call: u64, reply: Reply, milliseconds: u64) {
        let mut register = lock(&self.register);
        let register = &mut *register;
        let Some((estimate, ticket)) = register.open.remove(&call) else {
            return;
        };
        let (usage, attempts) = (reply.usage, reply.attempts);
        register.meter.release(&estimate);
        let microdollars = register.meter.price(usage, &attempts);
        let tokens = usage.total();
        self.gate.settle(
            ticket,
            Amount {
                tokens,
                microdollars,
            },
        );
        register
            .meter
            .answered(&usage, &attempts, microdollars, &estimate, true);
        register.answered += 1;
        register.last_failure = None;
        if let Some(sent) = register.recent.iter_mut().find(|sent| sent.call == call) {
            sent.tokens = Some(usage.total());
        }
        let message = serde_json::to_vec(&reply.blocks).unwrap_or_default();
        match self.ledger.content(&message) {
            Ok(message) => {
                let event = Event::Reply {
                    call,
                    message,
                    stop: reply.stop,
                    usage,
                    attempts,
                    microdollars,
                    milliseconds,
                };
                self.note(register, event);
            }
            Err(error) => register.failed = Some(error),
        }
    }

    fn failed(&mut self, call: u64, failure: Failure, milliseconds: u64) {
        let mut register = lock(&self.register);
        let register = &mut *register;
        let Some((estimate, ticket)) = register.open.remove(&call) else {
            return;
        };
        register.meter.release(&estimate);
        let microdollars = register
            .meter
            .price(meter::known(&failure), &failure.attempts);
        let taken = match &failure.spent {
            model::Spent::Unknown(_) => amount_of(&estimate),
            _ => Amount {
                tokens: meter::known(&failure).total(),
                microdollars,
            },
        };
        self.gate.settle(ticket, taken);
        register.meter.failed(&failure, microdollars, &estimate);
        if failure.kind != model::Kind::Stopped {
            register.last_failure = Some(failure.clone());
        }
        let event = Event::CallFailed {
            call,
            failure,
            microdollars,
            milliseconds,
        };
        self.note(register, event);
    }

    fn refused(&mut self, refusal: Refusal) {
        let mut register = lock(&self.register);
        let register = &mut *register;
        register.refusals += 1;
        if register.refusals > MOST_REFUSALS {
            return;
        }
        let mut what = refusal.what;
        if register.refusals == MOST_REFUSALS {
            what += "; what is refused from here on is not recorded";
        }
        let event = Event::Refused {
            place: refusal.place,
            reason: refusal.reason.name().to_owned(),
            what,
        };
        self.note(register, event);
    }

    fn flush(&mut self) -> bool {
        let flushed = self.ledger.flush();
        let is_ours = self.gate.confirm();
        let mut register = lock(&self.register);
        if let Err(error) = flushed {
            register.failed.get_or_insert(error);
        }
        is_ours && register.failed.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tokens_are_counted_as_often_as_providers_let_them() {
        let begun = Instant::now();
        let mut counts = Counts::new(begun);
        let at_once = (0..1000).filter(|_| counts.take(begun)).count();
        assert_eq!(at_once, 100);
        let later = begun + Duration::from_secs(2);
        assert_eq!((0..1000).filter(|_| counts.take(later)).count(), 10);
        let much_later = begun + Duration::from_secs(3600);
        assert_eq!((0..1000).filter(|_| counts.take(much_later)).count(), 100);
        assert_eq!(counts.taken, 210);
    }
}
