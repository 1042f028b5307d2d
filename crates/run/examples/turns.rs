//! What a turn costs besides the model and the tool: a model that answers at once, a tool that does nothing, 1 kB of text
//! each way, everything recorded. Each line is a run of its own, in a process of its own, and is JSON.
//!
//!     cargo run --release -p run --example turns                        # all of them
//!     cargo run --release -p run --example turns -- 8000 trim
//!     cargo run --release -p run --example turns -- 8000 trim DIR       # and leaves the run there
//!     cargo run --release -p run --example turns -- resume 1024
//!
//! Two writes to disk are waited for in a turn (`fdatasync`): the answer before its tool call begins, and what the tool
//! call gave, with the next call, before that is sent. A tool that changes nothing needs the second alone.
//! `benches/turns.sh` makes a table of it, beside what another harness takes.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agent::event::{Budget, Content, Event};
use agent::scaffold::{
    Compaction, Finish, Options, Parts, Past, Start, Steering, Told, ToolCall, Tools, work,
};
use agent::{Error, Ledger};
use model::{Block, CacheTime, Failure, Reply, Request, Settings, Stop, Thinking, Tool, Usage};
use run::{Header, Known, Limits, Run};
use serde_json::json;

const TEXT: usize = 1000;

/// Text of which no two pieces are equal.
fn text(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(TEXT + 8);
    while text.len() < TEXT {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        text.push_str(&format!("{:x} ", state >> 40));
    }
    text.truncate(TEXT);
    text
}

struct Trivial {
    ledger: Ledger,
    calls: u64,
    effect: bool,
}

impl Tools for Trivial {
    fn tools(&self) -> Vec<Tool> {
        Vec::new()
    }

    fn call(&mut self, _: &ToolCall<'_>, _: Option<Duration>) -> Result<Told, Error> {
        if self.effect {
            self.ledger.flush()?;
        }
        self.calls += 1;
        Ok(Told::say(&self.ledger, &text(1_000_000 + self.calls))?)
    }

    fn ended(&mut self, _: u64, _: agent::event::Ending, _: &[u8]) -> Result<Told, Error> {
        unreachable!("no command is run")
    }
}

fn settings() -> Settings {
    Settings {
        max_output_tokens: 8_000,
        thinking: Thinking::Default,
        cache_key: "bench".to_owned(),
        cache_time: CacheTime::Minutes5,
        extra: None,
    }
}

fn options(compaction: Compaction) -> Options {
    Options {
        system: "s".repeat(4_000),
        compaction,
        compact_at: 100_000,
        settings: settings(),
    }
}

/// Answers with a tool call of 1 kB; four bytes are a token.
fn answer(turn: u64, request: &Request<'_>, sent: &mut (usize, u64)) -> Result<Reply, Failure> {
    if request.messages.len() < sent.0 {
        *sent = (0, 2_000);
    }
    let length = |message: &model::Message| match message {
        model::Message::User(text) => text.len(),
        model::Message::Assistant(_) => TEXT + 20,
        model::Message::Results(results) => results.iter().map(|result| result.content.len()).sum(),
    };
    sent.1 += request.messages[sent.0..].iter().map(length).sum::<usize>() as u64 / 4;
    sent.0 = request.messages.len();
    Ok(Reply {
        blocks: vec![Block::ToolCall {
            id: format!("call-{turn}"),
            name: "trivial".to_owned(),
            arguments: format!("{{\"text\": \"{}\"}}", text(turn)),
            kept: None,
        }],
        stop: Stop::ToolUse,
        usage: Usage {
            input: sent.1,
            output: 260,
            ..Usage::default()
        },
        model: "bench".to_owned(),
        id: String::new(),
        attempts: Default::default(),
    })
}

fn create(dir: &Path) -> Run {
    let header =
        Header::new("bench/none", "0", Default::default()).expect("the name is a constant");
    Run::create(dir, &header, Known::nothing(), Limits::WORKSPACE).expect("a new run")
}

fn turns(turns: u64, how: &str, keep: Option<&Path>) {
    let place = tempfile::tempdir_in(".").expect("a directory here");
    let dir = match keep {
        Some(dir) => dir.to_owned(),
        None => place.path().join("run"),
    };
    let (compaction, effect) = match how {
        "clear" => (Compaction::Clear, true),
        _ => (Compaction::Trim, how != "pure"),
    };
    let ledger = Ledger::new(Box::new(create(&dir)));
    let mut tools = Trivial {
        ledger: ledger.clone(),
        calls: 0,
        effect,
    };
    let (mut turn, mut sent) = (0, (0, 2_000));
    let floor = Arc::new(Mutex::new(Floor::new(place.path())));
    let beside = Arc::clone(&floor);
    let parts = Parts {
        options: options(compaction),
        model: Box::new(move |request: &Request<'_>, _: &mut dyn model::Watch| {
            turn += 1;
            if turn % 20 == 0 {
                beside.lock().expect("one thread").measure();
            }
            answer(turn, request, &mut sent)
        }),
        tariff: Box::new(|_: &Usage| 0),
        ledger,
        steering: Arc::new(Steering::default()),
        tools: &mut tools,
        progress: &mut |_| {},
    };
    let (begun, used) = (Instant::now(), processor_time());
    let budget = Budget {
        turns: Some(turns),
        ..Budget::default()
    };
    let finish = work(parts, Start::New(budget)).expect("the run goes on");
    let floor = floor.lock().expect("one thread");
    let took = begun.elapsed() - floor.clock;
    let used = processor_time() - used - floor.processor;
    assert_eq!(finish, Finish::Budget("turns"));
    say(&json!({
        "turns": turns,
        "how": how,
        "seconds": took.as_secs_f64(),
        "processor_seconds": used.as_secs_f64(),
        "bare_write_seconds": floor.clock.as_secs_f64() / f64::from(floor.writes),
        "peak_kib": peak(),
        "journal_bytes": size(&dir.join("journal.jsonl")),
        "blob_bytes": size(&dir.join("blobs")),
        "distinct_bytes": turns * 2 * TEXT as u64 + 4_000,
    }));
}

fn say(row: &serde_json::Value) {
    let _ = writeln!(std::io::stdout(), "{row}");
}

/// Time that processors spent on this process.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What waiting for the disk costs by itself, while the run goes on: appending as much and `fdatasync`, nothing else.
struct Floor {
    file: std::fs::File,
    writes: u32,
    clock: Duration,
    processor: Duration,
}

impl Floor {
    fn new(place: &Path) -> Self {
        let mut options = std::fs::OpenOptions::new();
        let file = options
            .append(true)
            .create_new(true)
            .open(place.join("floor"))
            .expect("a file here");
        Floor {
            file,
            writes: 0,
            clock: Duration::ZERO,
            processor: Duration::ZERO,
        }
    }

    fn measure(&mut self) {
        let (begun, used) = (Instant::now(), processor_time());
        for _ in 0..4 {
            self.file
                .write_all(&[b'x'; 1400])
                .and_then(|()| self.file.sync_data())
                .expect("the disk");
        }
        self.writes += 4;
        self.clock += begun.elapsed();
        self.processor += processor_time() - used;
    }
}

/// A long journal, and the time until a run stands where it stood.
fn resume(megabytes: u64) {
    let place = tempfile::tempdir_in(".").expect("a directory here");
    let dir = place.path().join("run");
    drop(create(&dir));
    let ledger = Ledger::new(Box::new(create(&place.path().join("short"))));
    let record = ledger.clone();
    let mut tools = Trivial {
        ledger: ledger.clone(),
        calls: 0,
        effect: false,
    };
    let (mut turn, mut sent) = (0, (0, 2_000));
    let parts = Parts {
        options: options(Compaction::Trim),
        model: Box::new(move |request: &Request<'_>, _: &mut dyn model::Watch| {
            turn += 1;
            answer(turn, request, &mut sent)
        }),
        tariff: Box::new(|_: &Usage| 0),
        ledger,
        steering: Arc::new(Steering::default()),
        tools: &mut tools,
        progress: &mut |_| {},
    };
    let budget = Budget {
        turns: Some(1_000),
        ..Budget::default()
    };
    work(parts, Start::New(budget)).expect("the run goes on");
    record.flush().expect("the disk");
    // Calls of the reference are what makes journals long: as many of them as it takes, and then the run.
    let filler = Event::Evaluate {
        command: None,
        cases: Vec::new(),
        built: true,
        cases_passed: 1,
        cases_total: 2,
        report: Content::Inline(text(7).repeat(2)),
        milliseconds: 1,
    };
    let mut long = run::Journal::open(&dir).expect("the run").journal;
    let (mut written, mut shift) = (0, 0);
    while written < megabytes << 20 {
        for _ in 0..1000 {
            long.note(&filler).expect("an event");
            shift += 1;
            written += 2_150;
        }
        long.flush().expect("the disk");
    }
    for entry in run::read(&place.path().join("short")).expect("the run") {
        let mut event = entry.expect("an event").event;
        if let Event::Context { kept, dropped, .. } = &mut event {
            for (first, last) in kept.iter_mut().chain(dropped) {
                *first += shift;
                *last += shift;
            }
        }
        long.note(&event).expect("an event");
    }
    long.flush().expect("the disk");
    drop(long);
    let begun = Instant::now();
    let opened = Run::open(&dir, Known::nothing(), Limits::WORKSPACE).expect("the run");
    let past = Past::read(&opened.records()).expect("the record is whole");
    let took = begun.elapsed();
    assert_eq!(past.replies(), 1_000);
    say(&json!({
        "resume": size(&dir.join("journal.jsonl")),
        "seconds": took.as_secs_f64(),
        "peak_kib": peak(),
    }));
}

fn size(path: &Path) -> u64 {
    let Ok(data) = path.symlink_metadata() else {
        return 0;
    };
    if !data.is_dir() {
        return data.len();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size(&entry.path())).sum()
}

/// Largest resident set of this process, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse().expect("a number");
    match words[..] {
        ["resume", megabytes] => resume(number(megabytes)),
        [count, how] => turns(number(count), how, None),
        [count, how, dir] => turns(number(count), how, Some(Path::new(dir))),
        _ => {
            for count in ["250", "500", "1000", "2000", "8000"] {
                again(&[count, "trim"]);
            }
            again(&["2000", "clear"]);
            again(&["2000", "pure"]);
            again(&["resume", "1024"]);
        }
    }
}

fn again(words: &[&str]) {
    #[expect(
        clippy::disallowed_methods,
        reason = "this program itself, so that each run has its own peak memory"
    )]
    let status = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(words)
        .status();
    assert!(status.is_ok_and(|status| status.success()));
}
