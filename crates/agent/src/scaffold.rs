//! The built-in agent: a model in a loop with tools, within a budget, for minutes or for weeks.
//!
//! # Order of what is recorded
//!
//! A call is durable before it is sent, an answer before any of its tool calls takes effect, and a tool call before it
//! begins. What a tool call did is durable before the model is told. So whenever the program is ended, what is missing
//! from the record has had no effect, but for the one call or command that was under way, which the record names.

mod ask;
mod conversation;
mod files;
#[doc(hidden)]
pub mod fuzzing;
pub(crate) mod meter;
mod past;
mod prompt;
mod steering;
mod told;
mod workbench;

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Block, Failure, Message, Model, Request, Settings, Stop, ToolResult, Watch};

pub use meter::{Tariff, add_answer, add_failure, add_unanswered, count, dollars, duration, limit};
pub use past::{History, Past};
pub use prompt::{Brief, NOTES};
pub use steering::Steering;
pub use told::Told;
pub(crate) use workbench::edit_again;
pub use workbench::{ToolCall, Tools, Workbench, offered};

use crate::event::{Budget, Estimate, Event, Kind, Purpose, RecordError, Spent, Why};
use crate::ledger::Ledger;
use crate::session::Error;
use conversation::Conversation;
use meter::Meter;
use past::{Pending, State};

/// Shortest time between two looks at whether a pause is over.
const LOOK: Duration = Duration::from_millis(100);
/// Tokens that an answer is allowed at least: with fewer left, the budget is used up.
const LEAST_OUTPUT: u64 = 1024;
/// Answers in a row that were too long, after which the agent counts as stopped.
const TOO_LONG: u32 = 3;

/// What is done when the context is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compaction {
    /// The model summarizes what was done; the task and the last turns stay.
    Summary,
    /// Tool results are cleared, oldest first; when that is not enough, the oldest turns are dropped.
    Clear,
    /// The oldest turns are dropped.
    Trim,
    /// Nothing, until the provider refuses: for providers that make room by themselves.
    Provider,
}

/// How an agent works. Every field is a decision.
#[derive(Clone, Debug)]
pub struct Options {
    /// The system prompt.
    pub system: String,
    /// What is done when the context is full.
    pub compaction: Compaction,
    /// Tokens at which it is full.
    pub compact_at: u64,
    /// What every call of the model is sent.
    pub settings: Settings,
}

/// How a session of a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The agent submitted.
    Submitted,
    /// It stopped without submitting, also after it was asked to go on.
    Left,
    /// It was stopped from outside.
    Stopped,
    /// A limit is reached.
    Budget(&'static str),
    /// The model does not answer.
    Failed(Failure),
    /// Another agent's program broke down, as this says.
    Crashed(String),
}

/// What is seen of a run after each answer.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    /// What is spent.
    pub spent: Spent,
    /// Tokens in the context.
    pub context: u64,
    /// The tools that are called.
    pub tools: Vec<&'a str>,
}

/// What an agent is made of.
pub struct Parts<'a> {
    /// How it works.
    pub options: Options,
    /// What answers.
    pub model: Box<dyn Model>,
    /// What that costs.
    pub tariff: Box<dyn Tariff>,
    /// Where everything is recorded.
    pub ledger: Ledger,
    /// What can be said to it meanwhile.
    pub steering: Arc<Steering>,
    /// What it can do.
    pub tools: &'a mut dyn Tools,
    /// Who looks on.
    pub progress: &'a mut dyn FnMut(&Progress<'_>),
}

/// How a run begins.
pub enum Start {
    /// Anew, with these limits.
    New(Budget),
    /// Where it was, as its record says.
    Again {
        /// Where it stands.
        past: Box<Past>,
        /// Whether the workspace was restored from the record.
        restored: bool,
    },
}

struct Scaffold<'a> {
    parts: Parts<'a>,
    conversation: Conversation,
    context: u64,
    meter: Meter,
    calls: u64,
    pending: Vec<Pending>,
    asked: bool,
    too_long: u32,
    overflowed: bool,
}

/// Works on a task until it is submitted, given up, stopped, or out of budget.
///
/// # Errors
/// When the sandbox fails or the run can no longer be recorded.
pub fn work(parts: Parts<'_>, start: Start) -> Result<Finish, Error> {
    let mut scaffold = Scaffold::open(parts, start)?;
    scaffold.work()
}

impl<'a> Scaffold<'a> {
    fn open(mut parts: Parts<'a>, start: Start) -> Result<Self, Error> {
        let tariff = std::mem::replace(&mut parts.tariff, Box::new(|_: &model::Usage| 0));
        let (past, limits, restored) = match start {
            Start::New(limits) => (None, limits, false),
            Start::Again { past, restored } => {
                let limits = past.limits();
                (Some(*past), limits, restored)
            }
        };
        let system = parts.options.system.clone();
        let tools = parts.tools.tools();
        let fresh = |parts| Scaffold {
            parts,
            conversation: Conversation::new(system, tools),
            context: 0,
            meter: Meter::new(limits, Spent::default(), Box::new(|_: &model::Usage| 0)),
            calls: 0,
            pending: Vec::new(),
            asked: false,
            too_long: 0,
            overflowed: false,
        };
        let mut scaffold = fresh(parts);
        let Some(past) = past else {
            scaffold.meter = Meter::new(limits, Spent::default(), tariff);
            scaffold.note(Event::Budget { limits })?;
            scaffold.begin()?;
            return Ok(scaffold);
        };
        scaffold.meter = Meter::new(limits, past.spent, tariff);
        scaffold.calls = past.calls;
        if let Some((call, estimate)) = past.unanswered {
            scaffold.meter.unanswered(&estimate);
            scaffold.note(Event::Unanswered { call })?;
        }
        let Some(conversation) = past.conversation else {
            // It was cut off before it had begun.
            if past.limits.is_none() {
                scaffold.note(Event::Budget { limits })?;
            }
            scaffold.begin()?;
            return Ok(scaffold);
        };
        scaffold.conversation = conversation;
        scaffold.context = past.context;
        scaffold.pending = past.pending;
        scaffold.asked = past.asked;
        if scaffold.conversation.messages.is_empty() {
            scaffold.say(Kind::Task, prompt::BEGIN)?;
            return Ok(scaffold);
        }
        scaffold.answer_calls()?;
        let text = if restored {
            prompt::RESTORED
        } else {
            prompt::RESUMED
        };
        scaffold.say(Kind::Resumed, text)?;
        Ok(scaffold)
    }

    /// The first context, and the task.
    fn begin(&mut self) -> Result<(), Error> {
        self.record_context(Why::Start, Vec::new(), 0)?;
        self.say(Kind::Task, prompt::BEGIN)
    }

    fn note(&self, event: Event) -> Result<u64, RecordError> {
        self.parts.ledger.note(event)
    }

    fn say(&mut self, kind: Kind, text: &str) -> Result<(), Error> {
        let content = self.parts.ledger.content(text.as_bytes())?;
        let seq = self.note(Event::Message {
            kind,
            text: content,
        })?;
        self.conversation.user(seq, text.to_owned());
        Ok(())
    }

    fn record_context(
        &mut self,
        why: Why,
        dropped: Vec<(u64, u64)>,
        before_tokens: u64,
    ) -> Result<(), Error> {
        let ledger = &self.parts.ledger;
        let tools = serde_json::to_vec(&self.conversation.tools).expect("tools are always JSON");
        let cleared = self.conversation.cleared();
        let event = Event::Context {
            number: self.context.saturating_add(1),
            why,
            system: ledger.content(self.conversation.system.as_bytes())?,
            tools: ledger.content(&tools)?,
            summary: match &self.conversation.summary {
                Some(text) => Some(ledger.content(text.as_bytes())?),
                None => None,
            },
            kept: self.conversation.kept(),
            remark: if cleared.is_empty() {
                String::new()
            } else {
                prompt::CLEARED.to_owned()
            },
            cleared,
            dropped,
            before_tokens,
            after_tokens: self.conversation.tokens(),
        };
        self.note(event)?;
        self.context += 1;
        Ok(())
    }

    fn work(&mut self) -> Result<Finish, Error> {
        loop {
            self.answer_calls()?;
            if self.parts.ledger.is_submitted() {
                return Ok(Finish::Submitted);
            }
            if let Some(finish) = self.obey()? {
                return Ok(finish);
            }
            if let Some(name) = self.meter.reached() {
                return Ok(Finish::Budget(name));
            }
            if let Some(finish) = self.make_room()? {
                return Ok(finish);
            }
            if let Some(finish) = self.turn()? {
                return Ok(finish);
            }
        }
    }

    /// Takes orders from outside, and waits while the run is paused.
    fn obey(&mut self) -> Result<Option<Finish>, Error> {
        let mut paused: Option<Instant> = None;
        loop {
            if let Some(limits) = self.parts.steering.new_limits()
                && limits != self.meter.limits()
            {
                self.meter.set_limits(limits);
                self.note(Event::Budget { limits })?;
            }
            if self.parts.steering.is_stopped() {
                return Ok(Some(Finish::Stopped));
            }
            match (self.parts.steering.is_paused(), paused) {
                (false, None) => return Ok(None),
                (true, None) => {
                    self.parts.ledger.record(Event::Pause)?;
                    paused = Some(Instant::now());
                }
                (false, Some(since)) => {
                    self.meter.waited(since.elapsed());
                    self.parts.ledger.record(Event::Continue)?;
                    return Ok(None);
                }
                (true, Some(_)) => std::thread::sleep(LOOK),
            }
        }
    }

    /// Answers the tool calls of the last answer, one after the other.
    fn answer_calls(&mut self) -> Result<(), Error> {
        for pending in std::mem::take(&mut self.pending) {
            let mut told = self.answer(&pending)?;
            if let Some(line) = self.meter.news().or_else(|| {
                let is_news = pending.name == "evaluate" && !told.failed;
                is_news.then(|| self.meter.line())
            }) {
                told.add(&self.parts.ledger, &format!("[{line}]\n"))?;
            }
            let seq = self.note(Event::ToolResult {
                tool: pending.id.clone(),
                name: pending.name,
                pieces: told.pieces,
                failed: told.failed,
            })?;
            let result = ToolResult {
                id: pending.id,
                content: told.text,
                is_error: told.failed,
            };
            self.conversation.result(seq, result);
        }
        Ok(())
    }

    fn answer(&mut self, pending: &Pending) -> Result<Told, Error> {
        let ledger = self.parts.ledger.clone();
        match &pending.state {
            State::CutOff => return Ok(Told::fail(&ledger, prompt::CUT_OFF)?),
            State::Ended {
                number,
                ending,
                stdout,
            } => {
                let printed = match stdout {
                    crate::event::Content::Inline(text) => text.clone().into_bytes(),
                    crate::event::Content::Blob { .. } => ledger.bytes(stdout)?,
                };
                return self.parts.tools.ended(*number, *ending, &printed);
            }
            State::New => {}
        }
        if ledger.is_submitted() {
            return Ok(Told::fail(&ledger, "[not done: the work is submitted]")?);
        }
        if self.parts.steering.is_stopped() {
            let text = "[not done: the run was stopped by whoever runs it]";
            return Ok(Told::fail(&ledger, text)?);
        }
        let time = self.meter.tool_time_left();
        if time.is_some_and(|left| left.is_zero()) {
            return Ok(Told::fail(
                &ledger,
                "[not done: the budget of time is used up]",
            )?);
        }
        let call = ToolCall {
            id: &pending.id,
            name: &pending.name,
            arguments: &pending.arguments,
        };
        let begun = Instant::now();
        let told = self.parts.tools.call(&call, time)?;
        self.meter.tool(begun.elapsed());
        Ok(told)
    }

    /// One call of the model, and what follows from its answer.
    fn turn(&mut self) -> Result<Option<Finish>, Error> {
        let reply = match self.call(Purpose::Turn)? {
            Called::Answer(reply) => reply,
            Called::Finish(finish) => return Ok(Some(finish)),
            Called::Overflow(failure) => {
                if std::mem::replace(&mut self.overflowed, true) {
                    return Ok(Some(Finish::Failed(failure)));
                }
                return self.shorten(true);
            }
        };
        self.overflowed = false;
        self.pending = past::pending(&reply.blocks);
        if !self.pending.is_empty() {
            self.asked = false;
            self.too_long = 0;
            return Ok(None);
        }
        match reply.stop {
            Stop::Paused => Ok(None),
            Stop::ContextFull => {
                if let Some(finish) = self.shorten(true)? {
                    return Ok(Some(finish));
                }
                self.say(Kind::GoOn, prompt::TOO_LONG)?;
                Ok(None)
            }
            Stop::MaxTokens if self.too_long < TOO_LONG => {
                self.too_long += 1;
                self.say(Kind::GoOn, prompt::TOO_LONG)?;
                Ok(None)
            }
            _ if self.asked => Ok(Some(Finish::Left)),
            _ => {
                self.asked = true;
                self.say(Kind::GoOn, prompt::GO_ON)?;
                Ok(None)
            }
        }
    }

    /// Calls the model with the conversation as it is, and records the call and what came of it.
    fn call(&mut self, purpose: Purpose) -> Result<Called, Error> {
        let settings = &self.parts.options.settings;
        let least = match settings.thinking {
            model::Thinking::Tokens(tokens) => LEAST_OUTPUT + tokens,
            _ => LEAST_OUTPUT,
        };
        // Estimated from what the provider counted last, so that a little more is allowed for.
        let input = self.conversation.tokens() + self.conversation.tokens() / 20;
        let estimate = match self.meter.room(input, least, settings.max_output_tokens) {
            Ok(estimate) => estimate,
            Err(name) => return Ok(Called::Finish(Finish::Budget(name))),
        };
        let spent = self.meter.spent();
        self.calls += 1;
        self.parts.ledger.record(Event::Call {
            number: self.calls,
            turn: spent.turns + 1,
            purpose,
            context: self.context,
            estimate,
            spent,
        })?;
        let settings = Settings {
            max_output_tokens: estimate.output_tokens,
            ..settings.clone()
        };
        let request = Request {
            system: &self.conversation.system,
            messages: &self.conversation.messages,
            stable: self.conversation.stable(),
            tools: &self.conversation.tools,
            settings: &settings,
        };
        let begun = Instant::now();
        let mut look = Look {
            steering: &self.parts.steering,
            until: self
                .meter
                .time_left()
                .and_then(|left| begun.checked_add(left)),
        };
        let answer = self.parts.model.reply(&request, &mut look);
        let milliseconds = begun.elapsed().as_millis() as u64;
        match answer {
            Ok(reply) => self.answered(purpose, &estimate, reply, milliseconds),
            Err(failure) => self.failed(&estimate, failure, milliseconds),
        }
    }

    fn answered(
        &mut self,
        purpose: Purpose,
        estimate: &Estimate,
        reply: model::Reply,
        milliseconds: u64,
    ) -> Result<Called, Error> {
        let microdollars = self.meter.price(reply.usage, &reply.attempts);
        let is_turn = purpose == Purpose::Turn;
        self.meter.answered(
            &reply.usage,
            &reply.attempts,
            microdollars,
            estimate,
            is_turn,
        );
        self.conversation.count(reply.usage.request());
        let message = serde_json::to_vec(&reply.blocks).expect("an answer is always JSON");
        let content = self.parts.ledger.content(&message)?;
        let seq = self.note(Event::Reply {
            call: self.calls,
            message: content,
            stop: reply.stop.clone(),
            usage: reply.usage,
            attempts: reply.attempts,
            microdollars,
            milliseconds,
        })?;
        let mut blocks = Vec::new();
        if is_turn {
            (self.parts.progress)(&Progress {
                spent: self.meter.spent(),
                context: reply.usage.request() + reply.usage.output,
                tools: tool_names(&reply.blocks),
            });
            blocks.clone_from(&reply.blocks);
            self.conversation.assistant(seq, reply.blocks);
        } else {
            blocks = reply.blocks;
        }
        Ok(Called::Answer(Answer {
            blocks,
            stop: reply.stop,
        }))
    }

    fn failed(
        &mut self,
        estimate: &Estimate,
        failure: Failure,
        milliseconds: u64,
    ) -> Result<Called, Error> {
        let microdollars = self.meter.price(meter::known(&failure), &failure.attempts);
        self.meter.failed(&failure, microdollars, estimate);
        self.parts.ledger.record(Event::CallFailed {
            call: self.calls,
            failure: failure.clone(),
            microdollars,
            milliseconds,
        })?;
        Ok(match failure.kind {
            model::Kind::Stopped if self.parts.steering.is_stopped() => {
                Called::Finish(Finish::Stopped)
            }
            model::Kind::Stopped => Called::Finish(match self.meter.reached() {
                Some(name) => Finish::Budget(name),
                None => Finish::Failed(failure),
            }),
            model::Kind::ContextOverflow => Called::Overflow(failure),
            _ => Called::Finish(Finish::Failed(failure)),
        })
    }

    /// Shortens the conversation when it has become too long.
    fn make_room(&mut self) -> Result<Option<Finish>, Error> {
        let full = self.conversation.tokens() > self.parts.options.compact_at;
        if !full || self.parts.options.compaction == Compaction::Provider {
            return Ok(None);
        }
        self.shorten(false)
    }

    /// Shortens the conversation; when the provider has refused it already, no summary can be asked for.
    fn shorten(&mut self, refused: bool) -> Result<Option<Finish>, Error> {
        let before = self.conversation.tokens();
        let full = self.parts.options.compact_at.min(before);
        let goal = full / 2;
        let (why, dropped) = match self.parts.options.compaction {
            Compaction::Summary if !refused => match self.summary()? {
                Called::Finish(finish) => return Ok(Some(finish)),
                Called::Answer(answer) if !text_of(&answer.blocks).is_empty() => {
                    let text = text_of(&answer.blocks);
                    (Why::Summary, self.conversation.summarize(text, full / 5))
                }
                _ => (Why::Trim, self.conversation.trim(goal)),
            },
            Compaction::Clear => {
                self.conversation.clear(goal);
                // How much the provider takes is not known when it has refused.
                let enough = if refused { goal } else { full * 9 / 10 };
                let dropped = if self.conversation.tokens() > enough {
                    self.conversation.trim(goal)
                } else {
                    Vec::new()
                };
                (Why::Clear, dropped)
            }
            Compaction::Summary | Compaction::Trim | Compaction::Provider => {
                (Why::Trim, self.conversation.trim(goal))
            }
        };
        self.record_context(why, dropped, before)?;
        Ok(None)
    }

    /// Asks for a summary. The question and the answer do not become part of the conversation.
    fn summary(&mut self) -> Result<Called, Error> {
        self.note(Event::Message {
            kind: Kind::Summarize,
            text: self.parts.ledger.content(prompt::SUMMARIZE.as_bytes())?,
        })?;
        self.conversation
            .messages
            .push(Message::User(prompt::SUMMARIZE.to_owned()));
        let called = self.call(Purpose::Summary);
        self.conversation.messages.pop();
        called
    }
}

struct Answer {
    blocks: Vec<Block>,
    stop: Stop,
}

/// What came of a call.
enum Called {
    Answer(Answer),
    Finish(Finish),
    Overflow(Failure),
}

fn text_of(blocks: &[Block]) -> String {
    let texts = blocks.iter().filter_map(|block| match block {
        Block::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n").trim().to_owned()
}

fn tool_names(blocks: &[Block]) -> Vec<&str> {
    let names = blocks.iter().filter_map(|block| match block {
        Block::ToolCall { name, .. } => Some(name.as_str()),
        _ => None,
    });
    names.collect()
}

/// Ends a call when the run is stopped or out of time.
struct Look<'a> {
    steering: &'a Steering,
    until: Option<Instant>,
}

impl Watch for Look<'_> {
    fn event(&mut self, _: model::Event<'_>) {}

    fn stop(&self) -> bool {
        self.steering.is_stopped() || self.until.is_some_and(|until| Instant::now() >= until)
    }
}
