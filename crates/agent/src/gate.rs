//! Who lets requests to a provider pass: limits that hold for many runs together, and the right to go on with this one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Failure, Kind, Model, Reply, Request, Usage, Watch};

use crate::scaffold::Tariff;

/// Longest sleep before it is looked whether a call was stopped meanwhile.
const TICK: Duration = Duration::from_millis(25);
/// Bytes of a request for a token, at least: text has about four, JSON and code fewer.
const BYTES_PER_TOKEN: u64 = 3;

/// What a gate says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pass {
    /// It may be sent; what came of it is told under this number.
    Go(u64),
    /// Not yet: ask again after this time.
    Wait(Duration),
    /// Neither now nor later in this session, for this reason. Whoever says so has stopped the run.
    Closed(String),
}

/// What one request takes, at most or indeed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Tokens that are sent and answered.
    pub tokens: u64,
    /// Price, in millionths of a dollar.
    pub microdollars: u64,
}

/// Stands before a provider. Asked before each request, those that repeat a failed one too.
pub trait Gate: Send + Sync {
    /// Asks to send a request that takes so much at most.
    fn ask(&self, most: Amount) -> Pass;

    /// Tells what a request took that had passed.
    fn settle(&self, ticket: u64, amount: Amount);

    /// Whether the run is still this process's: asked at the last moment, when the request is on record. Whoever says no
    /// has stopped the run.
    fn confirm(&self) -> bool;
}

/// A gate that is always open.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Gate for Open {
    fn ask(&self, _: Amount) -> Pass {
        Pass::Go(0)
    }

    fn settle(&self, _: u64, _: Amount) {}

    fn confirm(&self) -> bool {
        true
    }
}

/// A model behind a gate.
pub struct Gated<M> {
    model: M,
    gate: Arc<dyn Gate>,
    tariff: Box<dyn Tariff>,
}

impl<M: Model> Gated<M> {
    /// Puts a model with these prices behind a gate.
    pub fn new(model: M, gate: Arc<dyn Gate>, tariff: Box<dyn Tariff>) -> Self {
        Gated {
            model,
            gate,
            tariff,
        }
    }

    /// What a request takes at most: nothing read from a cache, all of it written to one, the longest answer.
    fn most(&self, request: &Request<'_>) -> Amount {
        let bytes = serde_json::to_vec(request).map_or(0, |text| text.len() as u64);
        let input = bytes / BYTES_PER_TOKEN;
        let output = request.settings.max_output_tokens;
        let price = |usage: Usage| self.tariff.microdollars(&usage);
        let plain = price(Usage {
            input,
            output,
            ..Usage::default()
        });
        let written = price(Usage {
            cache_write: input,
            output,
            ..Usage::default()
        });
        Amount {
            tokens: input.saturating_add(output),
            microdollars: plain.max(written),
        }
    }

    fn amount(&self, usage: &Usage) -> Amount {
        Amount {
            tokens: usage.total(),
            microdollars: self.tariff.microdollars(usage),
        }
    }
}

/// Waits at a gate; gives the ticket, or why there is none.
fn pass(gate: &dyn Gate, most: Amount, watch: &dyn Watch) -> Result<u64, Failure> {
    let stopped = |why: String| Failure::new(Kind::Stopped, why);
    loop {
        if watch.stop() {
            return Err(stopped(String::new()));
        }
        match gate.ask(most) {
            Pass::Go(ticket) => return Ok(ticket),
            Pass::Closed(why) => return Err(stopped(why)),
            Pass::Wait(time) => {
                let until = Instant::now() + time;
                while Instant::now() < until && !watch.stop() {
                    let left = until.saturating_duration_since(Instant::now());
                    std::thread::sleep(left.min(TICK));
                }
            }
        }
    }
}

impl<M: Model> Model for Gated<M> {
    fn reply(&mut self, request: &Request<'_>, watch: &mut dyn Watch) -> Result<Reply, Failure> {
        let begun = Instant::now();
        let most = self.most(request);
        let ticket = pass(&*self.gate, most, watch);
        let waited = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let waited_for = |mut failure: Failure| {
            failure.attempts.waited_ms = failure.attempts.waited_ms.saturating_add(waited);
            failure
        };
        let ticket = ticket.map_err(waited_for)?;
        if !self.gate.confirm() {
            self.gate.settle(ticket, Amount::default());
            let why = "the run was taken over by another process";
            return Err(waited_for(Failure::new(Kind::Stopped, why)));
        }
        match self.model.reply(request, watch) {
            Ok(mut reply) => {
                self.gate.settle(ticket, self.amount(&reply.usage));
                reply.attempts.waited_ms = reply.attempts.waited_ms.saturating_add(waited);
                Ok(reply)
            }
            Err(failure) => {
                match &failure.spent {
                    model::Spent::Nothing => self.gate.settle(ticket, Amount::default()),
                    model::Spent::Known(usage) => self.gate.settle(ticket, self.amount(usage)),
                    // It may have been charged whole: the reservation stays.
                    model::Spent::Unknown(_) => self.gate.settle(ticket, most),
                }
                Err(waited_for(failure))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use model::{CacheTime, Scripted, Settings, Silent, Thinking};

    use super::*;

    #[derive(Default)]
    struct Book {
        asked: Mutex<Vec<Amount>>,
        settled: Mutex<Vec<(u64, Amount)>>,
        wait: AtomicBool,
        lost: AtomicBool,
    }

    impl Gate for Book {
        fn ask(&self, most: Amount) -> Pass {
            if self.wait.swap(false, Ordering::Relaxed) {
                return Pass::Wait(Duration::from_millis(30));
            }
            let mut asked = self.asked.lock().unwrap();
            asked.push(most);
            Pass::Go(asked.len() as u64)
        }

        fn settle(&self, ticket: u64, amount: Amount) {
            self.settled.lock().unwrap().push((ticket, amount));
        }

        fn confirm(&self) -> bool {
            !self.lost.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_request_passes_or_waits_and_is_settled() {
        let script = r#"{"turns": [
            {"text": "a", "usage": {"input": 10, "cache_read": 0, "cache_write": 0, "output": 5, "reasoning": 0}},
            {"failure": "overloaded"}, {"text": "never asked for"}
        ]}"#
        .replace("\"overloaded\"", "{\"overloaded\": {}}");
        let book = Arc::new(Book::default());
        let tariff = |usage: &Usage| usage.input + 2 * usage.cache_write + 10 * usage.output;
        let script = Scripted::parse(&script).unwrap();
        let mut model = Gated::new(script, book.clone() as Arc<dyn Gate>, Box::new(tariff));
        let settings = Settings {
            max_output_tokens: 100,
            thinking: Thinking::Default,
            cache_key: "run".to_owned(),
            cache_time: CacheTime::Minutes5,
            extra: None,
        };
        let request = Request {
            system: "a system prompt of some length",
            messages: &[],
            stable: 0,
            tools: &[],
            settings: &settings,
        };
        book.wait.store(true, Ordering::Relaxed);
        let reply = model.reply(&request, &mut Silent).unwrap();
        assert!(reply.attempts.waited_ms >= 30);
        let most = book.asked.lock().unwrap()[0];
        assert!(most.tokens > 100 && most.microdollars > 1_000, "{most:?}");
        model.reply(&request, &mut Silent).unwrap_err();
        book.lost.store(true, Ordering::Relaxed);
        let failure = model.reply(&request, &mut Silent).unwrap_err();
        assert_eq!(failure.kind, Kind::Stopped);
        let amount = Amount {
            tokens: 15,
            microdollars: 60,
        };
        assert_eq!(
            *book.settled.lock().unwrap(),
            [(1, amount), (2, Amount::default()), (3, Amount::default())]
        );
    }
}
