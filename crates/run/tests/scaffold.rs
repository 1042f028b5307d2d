//! A model in a loop, without a sandbox: what is recorded is what it was sent, and no limit is passed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::event::{Budget, Ending, Event, Purpose, Spent, Why};
use agent::scaffold::{
    Compaction, Finish, Options, Parts, Past, Start, Steering, Told, ToolCall, Tools, limit, work,
};
use agent::{Error, Ledger};
use model::{
    Block, CacheTime, Failure, Kind, Message, Model, Reply, Request, Settings, Stop, Thinking,
    Tool, Usage,
};
use run::{Index, Known, Limits, Records, Run, Store};

mod common;
use common::header;

struct Echo(Ledger);

impl Tools for Echo {
    fn tools(&self) -> Vec<Tool> {
        Vec::new()
    }

    fn call(&mut self, call: &ToolCall<'_>, _: Option<Duration>) -> Result<Told, Error> {
        // Some are short, some are blobs.
        let length = 100 + 977 * call.id.len() % 7000;
        let mut told = Told::say(&self.0, &format!("{} says {}", call.name, call.arguments))?;
        told.add(&self.0, &"x".repeat(length))?;
        told.failed = call.id.ends_with('3');
        Ok(told)
    }

    fn ended(&mut self, _: u64, _: Ending, _: &[u8]) -> Result<Told, Error> {
        unreachable!("no command is run")
    }
}

fn options(compaction: Compaction, compact_at: u64) -> Options {
    Options {
        system: "You are a test.".to_owned(),
        compaction,
        compact_at,
        settings: Settings {
            max_output_tokens: 5_000,
            thinking: Thinking::Default,
            cache_key: String::new(),
            cache_time: CacheTime::Minutes5,
            extra: None,
        },
    }
}

fn size(request: &Request<'_>) -> u64 {
    serde_json::to_vec(request.messages).unwrap().len() as u64 / 4
}

fn reply(request: &Request<'_>, blocks: Vec<Block>, output: u64) -> Reply {
    Reply {
        stop: match blocks.last() {
            Some(Block::ToolCall { .. }) => Stop::ToolUse,
            _ => Stop::End,
        },
        blocks,
        usage: Usage {
            input: size(request),
            output,
            ..Usage::default()
        },
        model: String::new(),
        id: String::new(),
        attempts: Default::default(),
    }
}

fn call(turn: u64, number: u64) -> Block {
    Block::ToolCall {
        id: format!("{}{turn}-{number}", "i".repeat(turn as usize % 9)),
        name: "echo".to_owned(),
        arguments: format!("{{\"turn\": {turn}}}"),
        kept: None,
    }
}

/// Tool calls, one or two in a turn, and a summary when one is asked for.
fn talk(turn: &mut u64, request: &Request<'_>) -> Reply {
    let is_summary = matches!(request.messages.last(), Some(Message::User(text)) if text.contains("Write that summary"));
    if is_summary {
        return reply(
            request,
            vec![Block::text(format!("all about {turn} turns"))],
            50,
        );
    }
    *turn += 1;
    let mut blocks = vec![Block::text(format!("turn {turn}")), call(*turn, 1)];
    if turn.is_multiple_of(3) {
        blocks.push(call(*turn, 2));
    }
    reply(request, blocks, 300)
}

struct Place {
    _dir: tempfile::TempDir,
    run: PathBuf,
    ledger: Ledger,
    steering: Arc<Steering>,
}

fn place() -> Place {
    let dir = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let run = dir.path().join("run");
    let recorder = Run::create(&run, &header(), Known::nothing(), Limits::WORKSPACE).unwrap();
    Place {
        _dir: dir,
        run,
        ledger: Ledger::new(Box::new(recorder)),
        steering: Arc::default(),
    }
}

impl Place {
    fn work(&self, options: Options, model: impl Model + 'static, start: Start) -> Finish {
        let parts = Parts {
            options,
            model: Box::new(model),
            tariff: Box::new(|usage: &Usage| usage.input + 5 * usage.output),
            ledger: self.ledger.clone(),
            steering: Arc::clone(&self.steering),
            tools: &mut Echo(self.ledger.clone()),
            progress: &mut |_| {},
        };
        work(parts, start).unwrap()
    }

    fn events(&self) -> Vec<Event> {
        self.ledger.flush().unwrap();
        run::read(&self.run)
            .unwrap()
            .map(|entry| entry.unwrap().event)
            .collect()
    }
}

/// What is noted and waits for the next event to be recorded counts as well.
fn past_of(place: &Place) -> Past {
    place.ledger.flush().unwrap();
    past(&place.run)
}

fn past(run: &Path) -> Past {
    let index = Index::of(run).unwrap();
    let store = Store::open(run, Known::nothing());
    Past::read(&Records {
        index: &index,
        store: &store,
    })
    .unwrap()
}

#[track_caller]
fn check_record(compaction: Compaction, why: Why) {
    let place = place();
    let run = place.run.clone();
    let mut turn = 0;
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    // What a new session would read from the record is at each call what this one sends.
    let model = move |request: &Request<'_>, _: &mut dyn model::Watch| {
        let mut sent = request.messages;
        if let [rest @ .., Message::User(text)] = sent
            && text.contains("Write that summary")
        {
            sent = rest;
        }
        let past = past(&run);
        assert_eq!(past.messages(), sent, "turn {turn}");
        *count.lock().unwrap() += 1;
        Ok(talk(&mut turn, request))
    };
    let budget = Budget {
        turns: Some(150),
        ..Budget::default()
    };
    let finish = place.work(options(compaction, 12_000), model, Start::New(budget));
    assert_eq!(finish, Finish::Budget(limit::TURNS));
    assert!(*seen.lock().unwrap() >= 150);
    let events = place.events();
    let compactions = events.iter().filter(|event| {
        matches!(event, Event::Context { why: of, before_tokens, after_tokens, .. } if *of == why && after_tokens < before_tokens)
    });
    assert!(compactions.count() > 3, "{compaction:?}");
    // Each message stands in the record once.
    let calls = events
        .iter()
        .filter(|event| matches!(event, Event::Call { .. }))
        .count();
    let bytes = std::fs::metadata(place.run.join("journal.jsonl"))
        .unwrap()
        .len();
    assert!(
        bytes < 4_000 * calls as u64,
        "{bytes} bytes for {calls} calls"
    );
}

#[test]
fn a_resumed_conversation_is_the_same_after_summaries() {
    check_record(Compaction::Summary, Why::Summary);
}

#[test]
fn a_resumed_conversation_is_the_same_after_clearing() {
    check_record(Compaction::Clear, Why::Clear);
}

#[test]
fn a_resumed_conversation_is_the_same_after_trimming() {
    check_record(Compaction::Trim, Why::Trim);
}

fn within(spent: Spent, budget: Budget) -> bool {
    let holds = |limit: Option<u64>, used: u64| limit.is_none_or(|limit| used <= limit);
    holds(budget.tokens, spent.tokens)
        && holds(budget.microdollars, spent.microdollars)
        && holds(budget.turns, spent.turns)
}

/// A model that answers with as much as it is allowed.
fn verbose(request: &Request<'_>, turn: &mut u64) -> Reply {
    *turn += 1;
    let output = request.settings.max_output_tokens;
    reply(request, vec![call(*turn, 1)], output)
}

#[test]
fn no_limit_is_passed_and_a_higher_one_lets_the_run_go_on() {
    for (budget, name) in [
        (
            Budget {
                tokens: Some(100_000),
                ..Budget::default()
            },
            limit::TOKENS,
        ),
        (
            Budget {
                microdollars: Some(200_000),
                ..Budget::default()
            },
            limit::DOLLARS,
        ),
        (
            Budget {
                turns: Some(7),
                ..Budget::default()
            },
            limit::TURNS,
        ),
    ] {
        let place = place();
        let mut turn = 0;
        let model =
            move |request: &Request<'_>, _: &mut dyn model::Watch| Ok(verbose(request, &mut turn));
        let finish = place.work(options(Compaction::Trim, 50_000), model, Start::New(budget));
        assert_eq!(finish, Finish::Budget(name));
        let first = past_of(&place);
        let spent = first.spent();
        assert!(
            within(spent, budget) && spent.turns > 3,
            "{name}: {spent:?}"
        );
        assert_eq!(first.limits(), budget);

        let twice = Budget {
            tokens: budget.tokens.map(|limit| 2 * limit),
            microdollars: budget.microdollars.map(|limit| 2 * limit),
            turns: budget.turns.map(|limit| 2 * limit),
            ..budget
        };
        place.steering.limit(twice);
        let mut turn = first.replies();
        let model =
            move |request: &Request<'_>, _: &mut dyn model::Watch| Ok(verbose(request, &mut turn));
        let start = Start::Again {
            past: Box::new(first),
            restored: false,
        };
        let finish = place.work(options(Compaction::Trim, 50_000), model, start);
        assert_eq!(finish, Finish::Budget(name));
        let now = past_of(&place).spent();
        assert!(
            now.tokens > spent.tokens && now.turns > spent.turns,
            "{name}"
        );
        assert!(within(now, twice), "{name}: {now:?}");
    }
}

#[test]
fn a_call_without_an_answer_counts_as_possible_spend() {
    let place = place();
    let model = |request: &Request<'_>, _: &mut dyn model::Watch| -> Result<Reply, Failure> {
        let _ = request;
        panic!("cut off in the middle of a call")
    };
    let cut_off = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        place.work(
            options(Compaction::Trim, 50_000),
            model,
            Start::New(Budget::default()),
        )
    }));
    assert!(cut_off.is_err());
    let past_now = past_of(&place);
    assert_eq!(past_now.spent().possible_tokens, 0);
    let mut turn = 0;
    let model = move |request: &Request<'_>, _: &mut dyn model::Watch| match turn {
        3 => Err(Failure::new(
            Kind::Overloaded {
                retry_after_ms: None,
            },
            "busy",
        )),
        _ => Ok(talk(&mut turn, request)),
    };
    let start = Start::Again {
        past: Box::new(past_now),
        restored: false,
    };
    let finish = place.work(options(Compaction::Trim, 50_000), model, start);
    assert!(matches!(finish, Finish::Failed(_)));
    let events = place.events();
    assert_eq!(
        events
            .iter()
            .filter(|event| matches!(event, Event::Unanswered { call: 1 }))
            .count(),
        1
    );
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::CallFailed { call: 5, .. }))
    );
    let spent = past_of(&place).spent();
    let estimated = events.iter().find_map(|event| match event {
        Event::Call {
            number: 1,
            estimate,
            ..
        } => Some(*estimate),
        _ => None,
    });
    let estimated = estimated.unwrap();
    assert_eq!(
        spent.possible_tokens,
        estimated.input_tokens + estimated.output_tokens
    );
    assert_eq!(spent.possible_microdollars, estimated.microdollars);
    assert_eq!(spent.turns, 3);
}

#[test]
fn an_agent_that_stops_is_asked_once_to_go_on() {
    let place = place();
    let mut turn = 0;
    let model = move |request: &Request<'_>, _: &mut dyn model::Watch| {
        turn += 1;
        // It stops, is asked, works, stops, is asked, and stops.
        Ok(match turn {
            2 => reply(request, vec![call(2, 1)], 10),
            _ => reply(request, vec![Block::text("done")], 10),
        })
    };
    let finish = place.work(
        options(Compaction::Trim, 50_000),
        model,
        Start::New(Budget::default()),
    );
    assert_eq!(finish, Finish::Left);
    assert_eq!(past_of(&place).replies(), 4);
}

#[test]
fn a_context_that_the_provider_refuses_is_shortened() {
    for compaction in [Compaction::Provider, Compaction::Summary, Compaction::Clear] {
        let place = place();
        let mut turn = 0;
        let model = move |request: &Request<'_>, _: &mut dyn model::Watch| {
            if size(request) > 9_000 {
                return Err(Failure::new(Kind::ContextOverflow, ""));
            }
            Ok(talk(&mut turn, request))
        };
        let budget = Budget {
            turns: Some(60),
            ..Budget::default()
        };
        let finish = place.work(options(compaction, 1_000_000), model, Start::New(budget));
        assert_eq!(finish, Finish::Budget(limit::TURNS), "{compaction:?}");
    }
}

#[test]
fn a_paused_run_waits_and_a_stopped_one_ends() {
    let place = place();
    let steering = Arc::clone(&place.steering);
    let mut turn = 0;
    let model = move |request: &Request<'_>, _: &mut dyn model::Watch| {
        if turn == 2 {
            steering.pause(true);
            let later = Arc::clone(&steering);
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(300));
                later.pause(false);
            });
        }
        if turn == 4 {
            steering.stop();
        }
        Ok(talk(&mut turn, request))
    };
    let finish = place.work(
        options(Compaction::Trim, 50_000),
        model,
        Start::New(Budget::default()),
    );
    assert_eq!(finish, Finish::Stopped);
    let events = place.events();
    let at = |wanted: &Event| events.iter().position(|event| event == wanted).unwrap();
    assert!(at(&Event::Pause) < at(&Event::Continue));
    // Tool calls that had not begun are answered, so that the conversation can go on.
    assert!(
        matches!(events.last(), Some(Event::ToolResult { failed: true, .. })) || events.len() > 10
    );
    let spent = past_of(&place).spent();
    assert_eq!(spent.turns, 5);
    let calls = events.iter().filter(|event| {
        matches!(
            event,
            Event::Call {
                purpose: Purpose::Turn,
                ..
            }
        )
    });
    assert_eq!(calls.count(), 5);
}
