//! Trying again: what passes by itself is waited for.

use std::time::{Duration, Instant};

use crate::{Attempts, Event, Failure, Kind, Model, Reply, Request, Spent, Watch};

/// How often a watcher is asked during a pause.
const TICK: Duration = Duration::from_millis(25);

/// How to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The first pause; each one after it is twice as long.
    pub first: Duration,
    /// The longest pause, unless the provider asks for a longer one.
    pub longest: Duration,
    /// The most attempts for one request.
    pub attempts: u32,
    /// The most attempts for one request that end in an answer nobody can understand, each of which may
    /// have been charged in full.
    pub malformed: u32,
    /// The most time for one request that may be spent on failed attempts and pauses.
    pub time: Duration,
}

impl Default for Patience {
    /// Some hours, so that a long run outlives an evening's outage.
    fn default() -> Self {
        Patience {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(120),
            attempts: 200,
            malformed: 3,
            time: Duration::from_secs(4 * 3_600),
        }
    }
}

/// A model that is asked again when it fails in a way that passes.
pub struct Retrying<M> {
    model: M,
    patience: Patience,
    chance: Chance,
}

impl<M: Model> Retrying<M> {
    /// Wraps a model. `seed` decides how pauses vary, so that many runs do not come back at once.
    pub fn new(model: M, patience: Patience, seed: u64) -> Self {
        Retrying {
            model,
            patience,
            chance: Chance(seed),
        }
    }

    /// How long to pause after a failure; `None` to give up. `attempts` has the failure counted.
    fn pause(&mut self, kind: Kind, attempts: &Attempts, malformed: u32) -> Option<Duration> {
        let patience = self.patience;
        let over = attempts.failed >= patience.attempts || malformed >= patience.malformed;
        if over || !kind.is_passing() {
            return None;
        }
        let doublings = attempts.failed.saturating_sub(1).min(20);
        let pause = patience.first.saturating_mul(1 << doublings);
        // Between half of it and all of it.
        let pause = pause
            .min(patience.longest)
            .mul_f64(0.5 + self.chance.next() / 2.0);
        let asked = match kind {
            Kind::RateLimited { retry_after_ms } | Kind::Overloaded { retry_after_ms } => {
                retry_after_ms
            }
            _ => None,
        };
        let pause = match asked {
            // Never earlier than asked, and not all at the same moment.
            Some(asked) => {
                let spread = patience.first.mul_f64(self.chance.next());
                pause.max(Duration::from_millis(asked).saturating_add(spread))
            }
            None => pause,
        };
        let left = patience
            .time
            .saturating_sub(Duration::from_millis(attempts.waited_ms));
        (pause <= left).then_some(pause)
    }
}

impl<M: Model> Model for Retrying<M> {
    fn reply(&mut self, request: &Request<'_>, watch: &mut dyn Watch) -> Result<Reply, Failure> {
        let mut attempts = Attempts::default();
        let mut malformed = 0;
        loop {
            let begun = Instant::now();
            let mut failure = match self.model.reply(request, watch) {
                Ok(mut reply) => {
                    attempts.add(&reply.attempts);
                    reply.attempts = attempts;
                    return Ok(reply);
                }
                Err(failure) => failure,
            };
            attempts.add(&failure.attempts);
            malformed += u32::from(failure.kind == Kind::Malformed);
            let mut counted = attempts;
            counted.failed += 1;
            counted.waited_ms += milliseconds(begun.elapsed());
            let Some(pause) = self.pause(failure.kind, &counted, malformed) else {
                *failure.attempts = attempts;
                return Err(failure);
            };
            counted.spend(&failure.spent);
            attempts = counted;
            watch.event(Event::Retry {
                failure: &failure,
                pause_ms: milliseconds(pause),
            });
            let begun = Instant::now();
            let stopped = !wait(pause, watch);
            attempts.waited_ms += milliseconds(begun.elapsed());
            if stopped {
                let mut failure = Failure::new(Kind::Stopped, failure.to_string());
                *failure.attempts = attempts;
                return Err(failure);
            }
        }
    }
}

impl Attempts {
    fn add(&mut self, other: &Attempts) {
        self.failed += other.failed;
        self.waited_ms += other.waited_ms;
        self.lost += other.lost;
        self.unknown += other.unknown;
    }

    fn spend(&mut self, spent: &Spent) {
        match spent {
            Spent::Nothing => {}
            Spent::Known(usage) => self.lost += *usage,
            Spent::Unknown(usage) => {
                self.lost += *usage;
                self.unknown += 1;
            }
        }
    }
}

/// Waits; says whether the time has passed without a stop.
fn wait(pause: Duration, watch: &mut dyn Watch) -> bool {
    let end = Instant::now() + pause;
    loop {
        if watch.stop() {
            return false;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(TICK));
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Numbers that look random (Steele, Lea and Flood's SplitMix64).
struct Chance(u64);

impl Chance {
    /// At least 0, less than 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
