//! A whole run against a server that fails in every way there is: the run goes on, no tool call is lost or doubled, and
//! the bill is what the server counted.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::event::{Budget, Ending, Event};
use agent::scaffold::{
    Compaction, Finish, Options, Parts, Past, Start, Steering, Told, ToolCall, Tools, work,
};
use agent::{Error, Ledger};
use model::{CacheTime, Raw, Retrying, Settings, Thinking, Tool, Usage};
use run::{Index, Known, Limits, Records, Run, Store};

mod common;
#[path = "../../model/tests/common/mod.rs"]
mod server;

use server::{Manner, NAMES, PATIENCE, Server, TIMEOUTS, USAGE, events, provider};

/// A tool that counts its calls.
struct Counting(Ledger, Arc<Mutex<u64>>);

impl Tools for Counting {
    fn tools(&self) -> Vec<Tool> {
        vec![Tool {
            name: "shell".to_owned(),
            description: "Runs a script.".to_owned(),
            schema: Raw::new(r#"{"type":"object"}"#).unwrap(),
        }]
    }

    fn call(&mut self, call: &ToolCall<'_>, _: Option<Duration>) -> Result<Told, Error> {
        *self.1.lock().unwrap() += 1;
        Ok(Told::say(&self.0, call.arguments)?)
    }

    fn ended(&mut self, _: u64, _: Ending, _: &[u8]) -> Result<Told, Error> {
        unreachable!("no command is run")
    }
}

/// A token sent costs 1, one written to a cache 2, one answered 10, in millionths of a dollar.
fn price(usage: &Usage) -> u64 {
    usage.input + usage.cache_read + 2 * usage.cache_write + 10 * usage.output
}

/// What a run came to.
struct Bill {
    tokens: u64,
    microdollars: u64,
    possible_tokens: u64,
    possible_microdollars: u64,
    failed: u32,
}

/// A run of so many answers; what lies between them is as the server likes.
#[track_caller]
fn whole_run(name: &str, manners: Vec<Manner>, answers: u64) -> Bill {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let recorder =
        Run::create(&run, &common::header(), Known::nothing(), Limits::WORKSPACE).unwrap();
    let ledger = Ledger::new(Box::new(recorder));
    let requests = manners.len();
    let server = Server::start(manners);
    let calls = Arc::new(Mutex::new(0));
    let parts = Parts {
        options: Options {
            system: "You are a test.".to_owned(),
            compaction: Compaction::Trim,
            compact_at: 100_000,
            settings: Settings {
                max_output_tokens: 2_000,
                thinking: Thinking::Default,
                cache_key: String::new(),
                cache_time: CacheTime::Minutes5,
                extra: None,
            },
        },
        model: Box::new(Retrying::new(
            provider(name, &server.base, TIMEOUTS),
            PATIENCE,
            1,
        )),
        tariff: Box::new(price),
        ledger: ledger.clone(),
        steering: Arc::new(Steering::default()),
        tools: &mut Counting(ledger.clone(), Arc::clone(&calls)),
        progress: &mut |_| {},
    };
    let budget = Budget {
        turns: Some(answers),
        ..Budget::default()
    };
    let finish = work(parts, Start::New(budget)).unwrap();
    assert_eq!(finish, Finish::Budget("turns"), "{name}");
    ledger.flush().unwrap();
    assert_eq!(
        server.count(),
        requests,
        "{name}: every request was treated"
    );
    // Each answer has two calls.
    assert_eq!(*calls.lock().unwrap(), 2 * answers, "{name}");
    let (index, store) = (
        Index::of(&run).unwrap(),
        Store::open(&run, Known::nothing()),
    );
    let spent = Past::read(&Records {
        index: &index,
        store: &store,
    })
    .unwrap()
    .spent();
    assert_eq!(spent.turns, answers);
    let mut failed = 0;
    for entry in run::read(&run).unwrap() {
        if let Event::Reply { attempts, .. } = entry.unwrap().event {
            failed += attempts.failed;
        }
    }
    Bill {
        tokens: spent.tokens,
        microdollars: spent.microdollars,
        possible_tokens: spent.possible_tokens,
        possible_microdollars: spent.possible_microdollars,
        failed,
    }
}

#[test]
fn a_run_through_refusals_and_repeated_events_is_billed_to_the_token() {
    for name in NAMES {
        let whole = events(name);
        // The event that tells the bill, twice.
        let mut doubled = whole.clone();
        let usage = doubled
            .iter()
            .rposition(|event| event.contains("50") || event.contains("thoughts"))
            .unwrap();
        doubled.insert(usage, doubled[usage].clone());
        let good = Manner::whole(&whole.concat());
        let overloaded = r#"{"type":"error","error":{"type":"overloaded_error"}}"#;
        let manners = vec![
            Manner::Refuse(429, "retry-after-ms: 30\r\n", "{}".to_owned()),
            good.clone(),
            Manner::Refuse(500, "", "<html>oops</html>".to_owned()),
            Manner::Refuse(529, "", overloaded.to_owned()),
            good.clone(),
            Manner::whole(&doubled.concat()),
            Manner::Drip(whole.concat()),
            Manner::Refuse(503, "retry-after: 0.02\r\n", String::new()),
            good,
        ];
        let answers = 5;
        let bill = whole_run(name, manners, answers);
        assert_eq!(bill.failed, 4, "{name}");
        assert_eq!(bill.tokens, answers * USAGE.total(), "{name}");
        assert_eq!(bill.microdollars, answers * price(&USAGE), "{name}");
        assert_eq!((bill.possible_tokens, bill.possible_microdollars), (0, 0));
    }
}

#[test]
fn a_run_through_stalls_and_broken_streams_is_billed_within_what_may_have_been_charged() {
    for name in NAMES {
        let whole = events(name).concat();
        let middle = whole.find("script").unwrap() + 3;
        let mut broken = events(name);
        let last = broken.len() - 2;
        broken[last] = "data: {\"type\": \"broken\n\n".to_owned();
        let good = Manner::whole(&whole);
        let manners = vec![
            Manner::Cut(whole.clone(), middle),
            good.clone(),
            Manner::Stall(whole.clone(), middle),
            Manner::HangUp,
            good.clone(),
            Manner::Silence,
            good.clone(),
            Manner::whole(&broken.concat()),
            Manner::Refuse(500, "", String::new()),
            good,
        ];
        let (answers, broken_off) = (4, 5);
        let bill = whole_run(name, manners, answers);
        assert_eq!(bill.failed, 6, "{name}");
        // The server charges every reply that it began, or might have begun, as if it had been read to its end.
        let counted = (answers + broken_off) * USAGE.total();
        let charged = (answers + broken_off) * price(&USAGE);
        assert!(answers * USAGE.total() <= bill.tokens && bill.tokens <= counted);
        assert!(counted <= bill.tokens + bill.possible_tokens, "{name}");
        assert!(answers * price(&USAGE) <= bill.microdollars && bill.microdollars <= charged);
        assert!(
            charged <= bill.microdollars + bill.possible_microdollars,
            "{name}"
        );
    }
}
