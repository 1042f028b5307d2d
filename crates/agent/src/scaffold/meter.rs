//! What a run has spent, and what it may still spend.

use std::time::{Duration, Instant};

use model::{Attempts, Usage};

use crate::event::{Budget, Estimate, Spent};

/// What tokens cost.
pub trait Tariff: Send {
    /// Price in millionths of a dollar, rounded up.
    fn microdollars(&self, usage: &Usage) -> u64;
}

impl<F: Fn(&Usage) -> u64 + Send> Tariff for F {
    fn microdollars(&self, usage: &Usage) -> u64 {
        self(usage)
    }
}

/// Names of limits, as journals and messages have them.
pub mod limit {
    /// [`crate::event::Budget::tokens`].
    pub const TOKENS: &str = "tokens";
    /// [`crate::event::Budget::microdollars`].
    pub const DOLLARS: &str = "dollars";
    /// [`crate::event::Budget::wall_seconds`].
    pub const WALL: &str = "wall-time";
    /// [`crate::event::Budget::active_seconds`].
    pub const ACTIVE: &str = "active-time";
    /// [`crate::event::Budget::turns`].
    pub const TURNS: &str = "turns";
    /// [`crate::event::Budget::tool_seconds`].
    pub const TOOL: &str = "tool-time";
}

/// Adds up what is spent, and holds it against the limits.
pub(crate) struct Meter {
    limits: Budget,
    spent: Spent,
    /// When this session began; wall time of earlier ones is in `spent`.
    begun: Instant,
    tariff: Box<dyn Tariff>,
    /// What calls under way may cost, of which there are several at once when another program works.
    reserved: Estimate,
    /// The last step of the tightest limit, in per cent, that the model was told of.
    told: u64,
}

impl Meter {
    pub(crate) fn new(limits: Budget, spent: Spent, tariff: Box<dyn Tariff>) -> Self {
        let mut meter = Meter {
            limits,
            spent,
            begun: Instant::now(),
            tariff,
            reserved: Estimate::default(),
            told: 0,
        };
        meter.told = step(meter.used());
        meter
    }

    pub(crate) fn limits(&self) -> Budget {
        self.limits
    }

    pub(crate) fn set_limits(&mut self, limits: Budget) {
        self.limits = limits;
    }

    /// What is spent by now.
    pub(crate) fn spent(&self) -> Spent {
        Spent {
            wall_milliseconds: self
                .spent
                .wall_milliseconds
                .saturating_add(milliseconds(self.begun.elapsed())),
            ..self.spent
        }
    }

    /// The limit that is reached, whatever is done next.
    pub(crate) fn reached(&self) -> Option<&'static str> {
        let spent = self.spent();
        let over = |limit: Option<u64>, used: u64| limit.is_some_and(|limit| used >= limit);
        let seconds = |limit: Option<u64>| limit.map(|seconds| seconds.saturating_mul(1000));
        [
            (over(self.limits.turns, spent.turns), limit::TURNS),
            (over(self.limits.tokens, spent.most_tokens()), limit::TOKENS),
            (
                over(self.limits.microdollars, spent.most_microdollars()),
                limit::DOLLARS,
            ),
            (
                over(seconds(self.limits.wall_seconds), spent.wall_milliseconds),
                limit::WALL,
            ),
            (
                over(
                    seconds(self.limits.active_seconds),
                    spent.active_milliseconds(),
                ),
                limit::ACTIVE,
            ),
            (
                over(seconds(self.limits.tool_seconds), spent.tool_milliseconds),
                limit::TOOL,
            ),
        ]
        .into_iter()
        .find_map(|(over, name)| over.then_some(name))
    }

    /// Time until the wall's or the active time's limit, whichever is nearer.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let spent = self.spent();
        let left = |limit: Option<u64>, used: u64| {
            Some(Duration::from_millis(
                limit?.saturating_mul(1000).saturating_sub(used),
            ))
        };
        [
            left(self.limits.wall_seconds, spent.wall_milliseconds),
            left(self.limits.active_seconds, spent.active_milliseconds()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Time that a tool may take by all limits.
    pub(crate) fn tool_time_left(&self) -> Option<Duration> {
        let tool = self.limits.tool_seconds.map(|seconds| {
            let left = seconds.saturating_mul(1000);
            Duration::from_millis(left.saturating_sub(self.spent.tool_milliseconds))
        });
        [tool, self.time_left()].into_iter().flatten().min()
    }

    /// What a call may cost at most that sends so many tokens: the answer is allowed what is left, between `least`
    /// and `most` tokens. Gives the limit's name when not even that is left.
    pub(crate) fn room(&self, input: u64, least: u64, most: u64) -> Result<Estimate, &'static str> {
        self.room_beside(&self.reserved, input, least, most)
    }

    /// Whether there would be room for such a call if none were under way.
    pub(crate) fn has_room_alone(&self, input: u64, least: u64, most: u64) -> bool {
        let nothing = Estimate::default();
        self.room_beside(&nothing, input, least, most).is_ok()
    }

    fn room_beside(
        &self,
        reserved: &Estimate,
        input: u64,
        least: u64,
        most: u64,
    ) -> Result<Estimate, &'static str> {
        let mut output = most;
        if let Some(limit) = self.limits.tokens {
            let used = self
                .spent
                .most_tokens()
                .saturating_add(reserved.input_tokens)
                .saturating_add(reserved.output_tokens)
                .saturating_add(input);
            let left = limit.saturating_sub(used);
            if left < least.min(most) {
                return Err(limit::TOKENS);
            }
            output = output.min(left);
        }
        if let Some(limit) = self.limits.microdollars {
            let used = self
                .spent
                .most_microdollars()
                .saturating_add(reserved.microdollars);
            let left = limit.saturating_sub(used);
            let mut low = least.min(output);
            if self.worst(input, low) > left {
                return Err(limit::DOLLARS);
            }
            let mut high = output;
            while low < high {
                let middle = low + (high - low).div_ceil(2);
                if self.worst(input, middle) <= left {
                    low = middle;
                } else {
                    high = middle - 1;
                }
            }
            output = low;
        }
        Ok(Estimate {
            input_tokens: input,
            output_tokens: output,
            microdollars: self.worst(input, output),
        })
    }

    /// Sets aside what a call may cost until it has ended.
    pub(crate) fn reserve(&mut self, estimate: &Estimate) {
        self.reserved.input_tokens += estimate.input_tokens;
        self.reserved.output_tokens += estimate.output_tokens;
        self.reserved.microdollars += estimate.microdollars;
    }

    /// Takes back what was set aside.
    pub(crate) fn release(&mut self, estimate: &Estimate) {
        self.reserved.input_tokens -= estimate.input_tokens;
        self.reserved.output_tokens -= estimate.output_tokens;
        self.reserved.microdollars -= estimate.microdollars;
    }

    /// Price when nothing is read from a cache and everything is written to it, if that costs more.
    fn worst(&self, input: u64, output: u64) -> u64 {
        let price = |input, cache_write, cache_write_hour| {
            self.tariff.microdollars(&Usage {
                input,
                cache_write,
                cache_write_hour,
                output,
                ..Usage::default()
            })
        };
        price(input, 0, 0)
            .max(price(0, input, 0))
            .max(price(0, input, input))
    }

    /// Price of an answer or a failure, with the attempts before it.
    pub(crate) fn price(&self, usage: Usage, attempts: &Attempts) -> u64 {
        // Each by itself: long requests may cost more a token.
        let lost = self.tariff.microdollars(&attempts.lost);
        self.tariff.microdollars(&usage).saturating_add(lost)
    }

    pub(crate) fn answered(
        &mut self,
        usage: &Usage,
        attempts: &Attempts,
        microdollars: u64,
        estimate: &Estimate,
        is_turn: bool,
    ) {
        add_answer(&mut self.spent, usage, attempts, microdollars, estimate);
        add(&mut self.spent.turns, u64::from(is_turn));
    }

    pub(crate) fn failed(&mut self, failure: &model::Failure, price: u64, estimate: &Estimate) {
        add_failure(&mut self.spent, failure, price, estimate);
    }

    pub(crate) fn unanswered(&mut self, estimate: &Estimate) {
        add_possible(&mut self.spent, estimate, 1);
    }

    pub(crate) fn turn(&mut self) {
        add(&mut self.spent.turns, 1);
    }

    pub(crate) fn waited(&mut self, time: Duration) {
        add(&mut self.spent.waited_milliseconds, milliseconds(time));
    }

    pub(crate) fn tool(&mut self, time: Duration) {
        add(&mut self.spent.tool_milliseconds, milliseconds(time));
    }

    /// Used part of the tightest limit, in per cent.
    fn used(&self) -> u64 {
        let spent = self.spent();
        let part = |limit: Option<u64>, used: u64| Some((used.saturating_mul(100)) / limit?.max(1));
        [
            part(self.limits.turns, spent.turns),
            part(self.limits.tokens, spent.most_tokens()),
            part(self.limits.microdollars, spent.most_microdollars()),
            part(self.limits.wall_seconds, spent.wall_milliseconds / 1000),
            part(
                self.limits.active_seconds,
                spent.active_milliseconds() / 1000,
            ),
            part(self.limits.tool_seconds, spent.tool_milliseconds / 1000),
        ]
        .into_iter()
        .flatten()
        .max()
        .unwrap_or(0)
    }

    /// A line for the model when the tightest limit has come a step nearer: every tenth, and at the end every
    /// fiftieth.
    pub(crate) fn news(&mut self) -> Option<String> {
        let now = step(self.used());
        let news = now > self.told;
        self.told = now;
        news.then(|| self.line())
    }

    /// What is spent of what is limited.
    pub(crate) fn line(&self) -> String {
        let spent = self.spent();
        let mut parts = Vec::new();
        if let Some(limit) = self.limits.tokens {
            let used = spent.most_tokens();
            parts.push(format!("{} of {} tokens", count(used), count(limit)));
        }
        if let Some(limit) = self.limits.microdollars {
            let used = spent.most_microdollars();
            parts.push(format!("{} of {}", dollars(used), dollars(limit)));
        }
        if let Some(limit) = self.limits.wall_seconds {
            parts.push(format!(
                "{} of {}",
                duration(spent.wall_milliseconds / 1000),
                duration(limit)
            ));
        }
        if let Some(limit) = self.limits.active_seconds {
            parts.push(format!(
                "{} of {} of working time",
                duration(spent.active_milliseconds() / 1000),
                duration(limit)
            ));
        }
        if let Some(limit) = self.limits.turns {
            parts.push(format!("{} of {limit} turns", spent.turns));
        }
        if let Some(limit) = self.limits.tool_seconds {
            parts.push(format!(
                "{} of {} of tool time",
                duration(spent.tool_milliseconds / 1000),
                duration(limit)
            ));
        }
        if parts.is_empty() {
            return format!("used so far: {} turns, no limit", spent.turns);
        }
        format!("used so far: {}", parts.join(", "))
    }
}

fn step(percent: u64) -> u64 {
    match percent {
        0..90 => percent / 10 * 10,
        _ => percent / 2 * 2,
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Adds up what servers and records say, which may be anything: what is too much stays too much.
pub(crate) fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

fn add_possible(spent: &mut Spent, estimate: &Estimate, times: u64) {
    let tokens = estimate.input_tokens.saturating_add(estimate.output_tokens);
    add(&mut spent.possible_tokens, tokens.saturating_mul(times));
    add(
        &mut spent.possible_microdollars,
        estimate.microdollars.saturating_mul(times),
    );
}

/// Adds an answer and the attempts before it to what is spent; its turn is counted by the caller. `estimate` is what its
/// call was expected to cost at most: attempts that may have been charged count as possible spend with it.
pub fn add_answer(
    spent: &mut Spent,
    usage: &Usage,
    attempts: &Attempts,
    microdollars: u64,
    estimate: &Estimate,
) {
    add(&mut spent.tokens, usage.total());
    add(&mut spent.tokens, attempts.lost.total());
    add(&mut spent.microdollars, microdollars);
    add(&mut spent.waited_milliseconds, attempts.waited_ms);
    add_possible(spent, estimate, attempts.unknown.into());
}

/// Adds a call that ended without an answer to what is spent.
pub fn add_failure(
    spent: &mut Spent,
    failure: &model::Failure,
    microdollars: u64,
    estimate: &Estimate,
) {
    add_answer(
        spent,
        &known(failure),
        &failure.attempts,
        microdollars,
        estimate,
    );
    if matches!(failure.spent, model::Spent::Unknown(_)) {
        add_possible(spent, estimate, 1);
    }
}

/// Adds a call of which nobody knows how it ended to what may be spent.
pub fn add_unanswered(spent: &mut Spent, estimate: &Estimate) {
    add_possible(spent, estimate, 1);
}

/// What a failure is known to have used.
pub(crate) fn known(failure: &model::Failure) -> Usage {
    match failure.spent {
        // What may have been charged counts as possible, whole.
        model::Spent::Nothing | model::Spent::Unknown(_) => Usage::default(),
        model::Spent::Known(usage) => usage,
    }
}

/// `1234567` as `1.2M`.
pub fn count(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..1_000_000 => format!("{}k", number / 1000),
        _ => format!("{}.{}M", number / 1_000_000, number % 1_000_000 / 100_000),
    }
}

/// Millionths of a dollar as `$1.23`.
pub fn dollars(microdollars: u64) -> String {
    format!(
        "${}.{:02}",
        microdollars / 1_000_000,
        microdollars % 1_000_000 / 10_000
    )
}

/// Seconds as `2 h 05 min`, `5 min` or `30 s`.
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(limits: Budget, spent: Spent) -> Meter {
        // A token sent costs 1, one written to a cache 2, one answered 10.
        let tariff = |usage: &Usage| usage.input + 2 * usage.cache_write + 10 * usage.output;
        Meter::new(limits, spent, Box::new(tariff))
    }

    #[test]
    fn a_call_is_allowed_no_more_than_is_left() {
        let limits = Budget {
            tokens: Some(10_000),
            microdollars: Some(20_000),
            ..Budget::default()
        };
        let fresh = meter(limits, Spent::default());
        // 2,000 for the cache, so that 18,000 are left for 1,800 tokens.
        let room = fresh.room(1_000, 100, 5_000).unwrap();
        assert_eq!((room.output_tokens, room.microdollars), (1_800, 20_000));
        assert_eq!(fresh.room(9_500, 600, 5_000), Err(limit::TOKENS));
        assert_eq!(fresh.room(9_600, 100, 5_000).unwrap_err(), limit::DOLLARS);
        let spent = Spent {
            possible_tokens: 9_000,
            ..Spent::default()
        };
        assert_eq!(
            meter(limits, spent).room(950, 100, 5_000),
            Err(limit::TOKENS)
        );
        assert_eq!(
            meter(Budget::default(), spent)
                .room(950, 100, 5_000)
                .unwrap()
                .output_tokens,
            5_000
        );
    }

    /// A server may count wrong: its words must not make room where there is none.
    #[test]
    fn what_cannot_be_counted_is_over_every_limit() {
        let most = Usage {
            input: u64::MAX,
            output: u64::MAX,
            ..Usage::default()
        };
        let limits = Budget {
            tokens: Some(10_000),
            microdollars: Some(10_000),
            ..Budget::default()
        };
        let tariff = |_: &Usage| u64::MAX;
        let mut meter = Meter::new(limits, Spent::default(), Box::new(tariff));
        let attempts = Attempts {
            lost: most,
            waited_ms: u64::MAX,
            unknown: 3,
            ..Attempts::default()
        };
        let estimate = Estimate {
            input_tokens: u64::MAX,
            output_tokens: 1,
            microdollars: u64::MAX,
        };
        for _ in 0..2 {
            let price = meter.price(most, &attempts);
            assert_eq!(price, u64::MAX);
            meter.answered(&most, &attempts, price, &estimate, true);
            meter.waited(Duration::MAX);
            assert_eq!(meter.reached(), Some(limit::TOKENS));
            assert_eq!(meter.room(u64::MAX, 1, 10), Err(limit::TOKENS));
        }
        assert_eq!(meter.spent().most_microdollars(), u64::MAX);
        assert!(!meter.line().is_empty());
    }

    #[test]
    fn every_limit_has_a_name() {
        let spent = Spent {
            tokens: 10,
            microdollars: 10,
            turns: 10,
            wall_milliseconds: 10_000,
            waited_milliseconds: 5_000,
            tool_milliseconds: 10_000,
            ..Spent::default()
        };
        let none = Budget::default();
        for (limits, expected) in [
            (none, None),
            (
                Budget {
                    turns: Some(10),
                    ..none
                },
                Some(limit::TURNS),
            ),
            (
                Budget {
                    turns: Some(11),
                    ..none
                },
                None,
            ),
            (
                Budget {
                    tokens: Some(9),
                    ..none
                },
                Some(limit::TOKENS),
            ),
            (
                Budget {
                    microdollars: Some(10),
                    ..none
                },
                Some(limit::DOLLARS),
            ),
            (
                Budget {
                    wall_seconds: Some(10),
                    ..none
                },
                Some(limit::WALL),
            ),
            (
                Budget {
                    active_seconds: Some(10),
                    ..none
                },
                None,
            ),
            (
                Budget {
                    active_seconds: Some(5),
                    ..none
                },
                Some(limit::ACTIVE),
            ),
            (
                Budget {
                    tool_seconds: Some(10),
                    ..none
                },
                Some(limit::TOOL),
            ),
        ] {
            assert_eq!(meter(limits, spent).reached(), expected, "{limits:?}");
        }
    }

    #[test]
    fn the_model_is_told_at_each_step() {
        let limits = Budget {
            turns: Some(100),
            ..Budget::default()
        };
        let mut meter = meter(limits, Spent::default());
        let mut told = Vec::new();
        for turn in 1..=100 {
            meter.spent.turns = turn;
            if let Some(line) = meter.news() {
                assert!(line.contains(&format!("{turn} of 100 turns")), "{line}");
                told.push(turn);
            }
        }
        assert_eq!(
            told,
            [10, 20, 30, 40, 50, 60, 70, 80, 90, 92, 94, 96, 98, 100]
        );
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(count(9_999), "9999");
        assert_eq!(count(12_345), "12k");
        assert_eq!(count(50_000_000), "50.0M");
        assert_eq!(dollars(25_000_000), "$25.00");
        assert_eq!(duration(119), "119 s");
        assert_eq!(duration(3_900), "65 min");
        assert_eq!(duration(43_500), "12 h 05 min");
    }
}
