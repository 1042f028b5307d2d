//! Where a recorded run stands, so that it can go on.

use std::collections::HashMap;
use std::path::PathBuf;

use model::{Block, ToolResult};

use super::conversation::Conversation;
use super::meter;
use super::told::Told;
use crate::event::{Budget, Content, Ending, Entry, Estimate, Event, Kind, Purpose, Spent, Time};

/// A run's record, open in any place.
pub trait History {
    /// Sequence number of the last event of this type.
    fn last(&self, kind: &str) -> Option<u64>;

    /// Number of events of this type.
    fn count(&self, kind: &str) -> u64;

    /// Hands over the events from `first` to `last`, in order; those that do not exist are passed over.
    ///
    /// # Errors
    /// When they cannot be read, or what `each` says.
    fn each(
        &self,
        first: u64,
        last: u64,
        each: &mut dyn FnMut(Entry) -> Result<(), String>,
    ) -> Result<(), String>;

    /// The bytes behind a content.
    ///
    /// # Errors
    /// When they are missing or damaged.
    fn bytes(&self, content: &Content) -> Result<Vec<u8>, String>;
}

/// A tool call that has no answer yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: String,
    pub(crate) state: State,
}

/// How far a tool call had come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It has not begun.
    New,
    /// It has begun, and the record does not say how it ended.
    CutOff,
    /// Its command has ended.
    Ended {
        number: u64,
        ending: Ending,
        stdout: Content,
    },
}

/// Where a run stands.
pub struct Past {
    pub(crate) conversation: Option<Conversation>,
    pub(crate) context: u64,
    pub(crate) pending: Vec<Pending>,
    pub(crate) spent: Spent,
    pub(crate) limits: Option<Budget>,
    pub(crate) calls: u64,
    /// The call that was under way.
    pub(crate) unanswered: Option<(u64, Estimate)>,
    /// Whether the agent was asked to go on and has done nothing since.
    pub(crate) asked: bool,
    /// Replies that are recorded, of all calls.
    replies: u64,
    number: u64,
    directory: PathBuf,
    submitted: bool,
}

impl Past {
    /// Reads what has to be known of a run. Only the last context and what came after is read whole.
    ///
    /// # Errors
    /// When the record is damaged or incomplete.
    pub fn read(history: &dyn History) -> Result<Self, String> {
        let mut past = Past {
            conversation: None,
            context: 0,
            pending: Vec::new(),
            spent: Spent::default(),
            limits: None,
            calls: history.count("call"),
            unanswered: None,
            asked: false,
            replies: history.count("reply"),
            number: 0,
            directory: PathBuf::from(crate::WORKSPACE),
            submitted: history.count("submit") > 0,
        };
        for kind in ["command", "edit", "result", "budget"] {
            past.last_of(history, kind)?;
        }
        if let Some(seq) = history.last("context") {
            past.context(history, seq)?;
        }
        past.spending(history)?;
        Ok(past)
    }

    /// Number of commands and edits so far.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Where the next command starts.
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// Whether the work has been submitted.
    pub fn is_submitted(&self) -> bool {
        self.submitted
    }

    /// Number of answers of the model that are recorded.
    pub fn replies(&self) -> u64 {
        self.replies
    }

    /// What the model would be sent next, before anything is added.
    pub fn messages(&self) -> &[model::Message] {
        self.conversation
            .as_ref()
            .map_or(&[], |conversation| &conversation.messages)
    }

    /// The limits that were in force last.
    pub fn limits(&self) -> Budget {
        self.limits.unwrap_or_default()
    }

    /// What was spent.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    fn last_of(&mut self, history: &dyn History, kind: &str) -> Result<(), String> {
        let Some(seq) = history.last(kind) else {
            return Ok(());
        };
        history.each(seq, seq, &mut |entry| {
            match entry.event {
                Event::Command { number, .. } | Event::Edit { number, .. } => {
                    self.number = self.number.max(number);
                }
                Event::Result { directory, .. } => self.directory = directory.to_path(),
                Event::Budget { limits } => self.limits = Some(limits),
                _ => {}
            }
            Ok(())
        })
    }

    fn context(&mut self, history: &dyn History, seq: u64) -> Result<(), String> {
        let mut context = None;
        history.each(seq, seq, &mut |entry| {
            context = Some(entry.event);
            Ok(())
        })?;
        let Some(Event::Context {
            number,
            system,
            tools,
            summary,
            kept,
            cleared,
            remark,
            ..
        }) = context
        else {
            return Err(format!("event {seq} is no context"));
        };
        let text = |content: &Content| -> Result<String, String> {
            String::from_utf8(history.bytes(content)?).map_err(|error| error.to_string())
        };
        let tools = serde_json::from_str(&text(&tools)?)
            .map_err(|error| format!("the tools of context {number}: {error}"))?;
        let mut fold = Fold {
            history,
            conversation: Conversation::new(text(&system)?, tools),
            purpose: Purpose::Turn,
            outputs: HashMap::new(),
            pending: Vec::new(),
            asked: false,
        };
        let mut summary = summary.as_ref().map(text).transpose()?;
        let mut before = 0;
        for (first, last) in kept {
            // Otherwise a short record could ask for the same events any number of times.
            if first <= before || last < first {
                return Err(format!(
                    "context {number} keeps events {first} to {last} after event {before}"
                ));
            }
            before = last;
            history.each(first, last, &mut |entry| {
                let at = entry.seq;
                fold.take(entry)?;
                if cleared.binary_search(&at).is_ok() {
                    fold.conversation.clear_last(&remark);
                }
                Ok(())
            })?;
            // The task comes first, then the summary.
            if let Some(summary) = summary.take() {
                fold.conversation.set_summary(summary);
            }
        }
        fold.purpose = Purpose::Turn;
        history.each(seq + 1, u64::MAX, &mut |entry| fold.take(entry))?;
        self.context = number;
        self.asked = fold.asked;
        self.pending = fold.pending;
        self.conversation = Some(fold.conversation);
        Ok(())
    }

    /// Adds up from the last call on, which has the sum of all before it.
    fn spending(&mut self, history: &dyn History) -> Result<(), String> {
        let Some(seq) = history.last("call") else {
            return Ok(());
        };
        let mut before: Option<Time> = None;
        let mut under_way: Option<(u64, Estimate, Purpose)> = None;
        history.each(seq, u64::MAX, &mut |entry| {
            // While nobody was at work, no time passed for the run.
            let passed = match (&entry.event, before) {
                (Event::Attach { .. }, _) | (_, None) => 0,
                (_, Some(before)) => entry
                    .time
                    .milliseconds()
                    .saturating_sub(before.milliseconds()),
            };
            before = Some(entry.time);
            meter::add(&mut self.spent.wall_milliseconds, passed);
            match entry.event {
                Event::Call {
                    number,
                    purpose,
                    estimate,
                    spent,
                    ..
                } => {
                    self.spent = spent;
                    under_way = Some((number, estimate, purpose));
                }
                Event::Reply {
                    usage,
                    attempts,
                    microdollars,
                    ..
                } => {
                    if let Some((_, estimate, purpose)) = under_way.take() {
                        meter::add_answer(
                            &mut self.spent,
                            &usage,
                            &attempts,
                            microdollars,
                            &estimate,
                        );
                        meter::add(&mut self.spent.turns, u64::from(purpose == Purpose::Turn));
                    }
                }
                Event::CallFailed {
                    failure,
                    microdollars,
                    ..
                } => {
                    if let Some((_, estimate, _)) = under_way.take() {
                        meter::add_failure(&mut self.spent, &failure, microdollars, &estimate);
                    }
                }
                Event::Unanswered { .. } => {
                    if let Some((_, estimate, _)) = under_way.take() {
                        meter::add_unanswered(&mut self.spent, &estimate);
                    }
                }
                Event::Result { milliseconds, .. } => {
                    meter::add(&mut self.spent.tool_milliseconds, milliseconds);
                }
                _ => {}
            }
            Ok(())
        })?;
        self.unanswered = under_way.map(|(number, estimate, _)| (number, estimate));
        Ok(())
    }
}

/// Makes a conversation of events.
struct Fold<'a> {
    history: &'a dyn History,
    conversation: Conversation,
    /// What the last call was for.
    purpose: Purpose,
    /// What commands printed, for the results that tell of it.
    outputs: HashMap<u64, Content>,
    pending: Vec<Pending>,
    asked: bool,
}

impl Fold<'_> {
    fn take(&mut self, entry: Entry) -> Result<(), String> {
        let seq = entry.seq;
        match entry.event {
            Event::Call { purpose, .. } => self.purpose = purpose,
            Event::Message { kind, text } if kind != Kind::Summarize => {
                self.asked |= kind == Kind::GoOn;
                let text = String::from_utf8_lossy(&self.history.bytes(&text)?).into_owned();
                self.conversation.user(seq, text);
            }
            Event::Reply { message, usage, .. } if self.purpose == Purpose::Turn => {
                let text = self.history.bytes(&message)?;
                let blocks: Vec<Block> = serde_json::from_slice(&text)
                    .map_err(|error| format!("event {seq}: the answer: {error}"))?;
                self.conversation.count(usage.request());
                self.pending = pending(&blocks);
                self.asked &= self.pending.is_empty();
                self.conversation.assistant(seq, blocks);
                self.outputs.clear();
            }
            Event::Command {
                tool: Some(tool), ..
            }
            | Event::Edit { tool, .. } => {
                if let Some(call) = self.pending.iter_mut().find(|call| call.id == tool) {
                    call.state = State::CutOff;
                }
            }
            Event::Result {
                number,
                ending,
                stdout,
                ..
            } => {
                if let Some(call) = self
                    .pending
                    .iter_mut()
                    .find(|call| call.state == State::CutOff)
                {
                    call.state = State::Ended {
                        number,
                        ending,
                        stdout: stdout.clone(),
                    };
                }
                self.outputs.insert(number, stdout);
            }
            Event::ToolResult {
                tool,
                pieces,
                failed,
                ..
            } => {
                let text = Told::again(
                    &pieces,
                    |content| self.history.bytes(content),
                    |command| match self.outputs.get(&command) {
                        Some(content) => self.history.bytes(content),
                        None => Err(format!(
                            "event {seq} tells of command {command}, of which nothing is recorded"
                        )),
                    },
                )?;
                self.pending.retain(|call| call.id != tool);
                let result = ToolResult {
                    id: tool,
                    content: text,
                    is_error: failed,
                };
                self.conversation.result(seq, result);
            }
            _ => {}
        }
        Ok(())
    }
}

/// The calls in an answer.
pub(crate) fn pending(blocks: &[Block]) -> Vec<Pending> {
    let call = |block: &Block| match block {
        Block::ToolCall {
            id,
            name,
            arguments,
            ..
        } => Some(Pending {
            id: id.clone(),
            name: name.clone(),
            arguments: arguments.clone(),
            state: State::New,
        }),
        _ => None,
    };
    blocks.iter().filter_map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record in memory, without blobs.
    struct Lines(Vec<Entry>);

    impl Lines {
        fn new(events: &[&str]) -> Self {
            let line = |(seq, event): (usize, &&str)| {
                let line =
                    format!(r#"{{"seq":{seq},"time":"2026-11-24T02:10:00.123Z","type":{event}}}"#);
                serde_json::from_str(&line).unwrap()
            };
            Lines((1..).zip(events).map(line).collect())
        }

        fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Entry> {
            self.0.iter().filter(move |entry| {
                let value = serde_json::to_value(entry).unwrap();
                value["type"] == kind
            })
        }
    }

    impl History for Lines {
        fn last(&self, kind: &str) -> Option<u64> {
            self.of(kind).last().map(|entry| entry.seq)
        }

        fn count(&self, kind: &str) -> u64 {
            self.of(kind).count() as u64
        }

        fn each(
            &self,
            first: u64,
            last: u64,
            each: &mut dyn FnMut(Entry) -> Result<(), String>,
        ) -> Result<(), String> {
            let within = |entry: &&Entry| (first..=last).contains(&entry.seq);
            self.0.iter().filter(within).cloned().try_for_each(each)
        }

        fn bytes(&self, content: &Content) -> Result<Vec<u8>, String> {
            match content {
                Content::Inline(text) => Ok(text.clone().into_bytes()),
                Content::Blob { .. } => Err("no blobs".to_owned()),
            }
        }
    }

    const MESSAGE: &str = r#""message","kind":"task","text":"Begin.""#;

    #[test]
    fn a_context_keeps_each_event_once() {
        let read = |kept: &str| {
            let context = format!(
                r#""context","number":2,"why":"trim","system":"","tools":"[]","kept":{kept},"before_tokens":0,"after_tokens":0"#
            );
            let lines = Lines::new(&[MESSAGE, MESSAGE, MESSAGE, &context]);
            Past::read(&lines).map(|past| past.messages().len())
        };
        assert_eq!(read("[[1,1],[3,3]]"), Ok(2));
        for wrong in ["[[1,2],[1,2]]", "[[1,3],[3,3]]", "[[3,2]]", "[[0,3]]"] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains("context 2 keeps events"), "{error}");
        }
    }

    #[test]
    fn sums_beyond_counting_stay_beyond() {
        let most = u64::MAX;
        let call = format!(
            r#""call","number":1,"turn":1,"purpose":"turn","context":1,"estimate":{{"input-tokens":{most},"output-tokens":{most},"microdollars":{most}}},"spent":{{"tokens":{most},"microdollars":{most},"turns":{most},"wall-milliseconds":{most},"tool-milliseconds":{most}}}"#
        );
        let reply = format!(
            r#""reply","call":1,"message":"[]","stop":"end","usage":{{"input":{most},"cache_read":1,"cache_write":0,"output":5,"reasoning":0}},"microdollars":3,"milliseconds":1"#
        );
        let result = format!(
            r#""result","number":{most},"ending":{{"exit":0}},"stdout":"","stderr":"","directory":"/","interactive":false,"milliseconds":{most}"#
        );
        let past = Past::read(&Lines::new(&[&call, &reply, &result, &result])).unwrap();
        let spent = past.spent();
        assert_eq!((spent.tokens, spent.turns), (most, most));
        assert_eq!(spent.tool_milliseconds, most);
        let past = Past::read(&Lines::new(&[&call, r#""unanswered","call":1"#])).unwrap();
        assert_eq!(past.spent().most_tokens(), most);
    }
}
