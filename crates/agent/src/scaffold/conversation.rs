//! What a model is sent: the conversation in memory, how long it is, and how it is made shorter.
//!
//! Every message knows the events that it comes from, so that a context can be written down as stretches of the
//! journal and read back.

use model::{Block, Message, Tool, ToolResult};

use super::prompt;

/// Turns at the end that are never cleared.
const SPARED: usize = 3;
/// Bytes of text that count as a token before the provider has counted any.
const BYTES_PER_TOKEN: u64 = 4;

/// Where a message comes from, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    /// First event; 0 for a summary, which stands in the context's own event.
    first: u64,
    /// Last event.
    last: u64,
    /// Length in bytes.
    bytes: u64,
    /// Whether tool results were replaced by a remark.
    cleared: bool,
}

/// A conversation.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    pub(crate) system: String,
    pub(crate) tools: Vec<Tool>,
    pub(crate) messages: Vec<Message>,
    pub(crate) summary: Option<String>,
    marks: Vec<Mark>,
    /// Bytes of system prompt and tools.
    fixed: u64,
    /// Bytes of all messages.
    bytes: u64,
    /// Tokens that the provider counted, for so many bytes.
    counted: Option<(u64, u64)>,
}

impl Conversation {
    pub(crate) fn new(system: String, tools: Vec<Tool>) -> Self {
        let fixed = system.len()
            + tools
                .iter()
                .map(|tool| tool.name.len() + tool.description.len() + tool.schema.get().len())
                .sum::<usize>();
        Conversation {
            system,
            tools,
            messages: Vec::new(),
            summary: None,
            marks: Vec::new(),
            fixed: fixed as u64,
            bytes: 0,
            counted: None,
        }
    }

    fn push(&mut self, first: u64, last: u64, message: Message) {
        let bytes = length(&message);
        self.bytes += bytes;
        self.marks.push(Mark {
            first,
            last,
            bytes,
            cleared: false,
        });
        self.messages.push(message);
    }

    pub(crate) fn user(&mut self, seq: u64, text: String) {
        self.push(seq, seq, Message::User(text));
    }

    pub(crate) fn assistant(&mut self, seq: u64, blocks: Vec<Block>) {
        self.push(seq, seq, Message::Assistant(blocks));
    }

    /// Adds a tool's result to those of the answer before it.
    pub(crate) fn result(&mut self, seq: u64, result: ToolResult) {
        if let (Some(Message::Results(results)), Some(mark)) =
            (self.messages.last_mut(), self.marks.last_mut())
        {
            let bytes = result_length(&result);
            results.push(result);
            mark.last = seq;
            mark.bytes += bytes;
            self.bytes += bytes;
            return;
        }
        // What the tool did stands between the answer and this event, and belongs to it.
        let first = self.marks.last().map_or(seq, |mark| mark.last + 1);
        self.push(first, seq, Message::Results(vec![result]));
    }

    /// Clears the last results, which a context says are cleared, leaving a remark.
    pub(crate) fn clear_last(&mut self, remark: &str) {
        if let Some(index) = self.messages.len().checked_sub(1) {
            self.clear_at(index, remark);
        }
    }

    pub(crate) fn set_summary(&mut self, text: String) {
        self.push(0, 0, Message::User(prompt::summary(&text)));
        self.summary = Some(text);
    }

    /// Learns from the provider how many tokens were sent.
    pub(crate) fn count(&mut self, tokens: u64) {
        if tokens > 0 {
            self.counted = Some((tokens, self.fixed + self.bytes));
        }
    }

    /// Tokens of what would be sent now.
    pub(crate) fn tokens(&self) -> u64 {
        let bytes = self.fixed + self.bytes;
        match self.counted {
            // Nobody sends more than one token for a byte, or fewer than one for twenty.
            Some((tokens, of)) => {
                let scaled = u128::from(bytes) * u128::from(tokens) / u128::from(of.max(1));
                u64::try_from(scaled)
                    .unwrap_or(u64::MAX)
                    .clamp(bytes / 20, bytes.max(1))
            }
            None => bytes.div_ceil(BYTES_PER_TOKEN),
        }
    }

    /// Number of messages that stay whatever is dropped: the task.
    pub(crate) fn stable(&self) -> usize {
        self.messages.len().min(1)
    }

    /// The first message that can be dropped.
    fn droppable(&self) -> usize {
        (1 + usize::from(self.summary.is_some())).min(self.messages.len())
    }

    /// Where the last `turns` turns begin.
    fn tail(&self, turns: usize) -> usize {
        let mut answers = self
            .messages
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, message)| matches!(message, Message::Assistant(_)));
        answers
            .nth(turns.saturating_sub(1))
            .map_or(self.droppable(), |(index, _)| index)
            .max(self.droppable())
    }

    fn clear_at(&mut self, index: usize, remark: &str) -> bool {
        let Message::Results(results) = &mut self.messages[index] else {
            return false;
        };
        let mark = &mut self.marks[index];
        if mark.cleared {
            return false;
        }
        for result in results.iter_mut() {
            if result.content.len() > remark.len() {
                result.content = remark.to_owned();
            }
        }
        mark.cleared = true;
        let now = length(&self.messages[index]);
        self.bytes = self.bytes - mark.bytes + now;
        mark.bytes = now;
        true
    }

    /// Clears tool results, oldest first, until no more than `goal` tokens are left. Says whether anything changed.
    pub(crate) fn clear(&mut self, goal: u64) -> bool {
        let mut changed = false;
        for index in self.droppable()..self.tail(SPARED) {
            if self.tokens() <= goal {
                break;
            }
            changed |= self.clear_at(index, prompt::CLEARED);
        }
        changed
    }

    /// Drops the oldest turns until no more than `goal` tokens are left; the last turn stays. Gives the events that
    /// are gone.
    pub(crate) fn trim(&mut self, goal: u64) -> Vec<(u64, u64)> {
        let (start, tail) = (self.droppable(), self.tail(1));
        let mut end = start;
        let mut left = self.tokens();
        while end < tail && (left > goal || matches!(self.messages[end], Message::Results(_))) {
            left = left.saturating_sub(self.share(self.marks[end].bytes));
            end += 1;
        }
        self.drop_range(start, end)
    }

    /// Puts a summary in place of everything but the task and the last turns, of which up to `goal` tokens stay.
    pub(crate) fn summarize(&mut self, text: String, goal: u64) -> Vec<(u64, u64)> {
        let start = self.droppable();
        let mut keep = self.messages.len();
        let mut room = goal;
        for index in (start..self.messages.len()).rev() {
            let share = self.share(self.marks[index].bytes);
            if share > room {
                break;
            }
            room -= share;
            if matches!(self.messages[index], Message::Assistant(_)) {
                keep = index;
            }
        }
        let dropped = self.drop_range(start, keep);
        if self.summary.take().is_some() {
            self.bytes -= self.marks.remove(1).bytes;
            self.messages.remove(1);
        }
        let tail_messages = self.messages.split_off(1);
        let tail_marks = self.marks.split_off(1);
        self.set_summary(text);
        self.messages.extend(tail_messages);
        self.marks.extend(tail_marks);
        dropped
    }

    /// The part of all tokens that so many bytes are.
    fn share(&self, bytes: u64) -> u64 {
        let all = (self.fixed + self.bytes).max(1);
        (u128::from(self.tokens()) * u128::from(bytes) / u128::from(all)) as u64
    }

    fn drop_range(&mut self, start: usize, end: usize) -> Vec<(u64, u64)> {
        let dropped = ranges(&self.marks[start..end]);
        for mark in self.marks.drain(start..end) {
            self.bytes -= mark.bytes;
        }
        self.messages.drain(start..end);
        dropped
    }

    /// The events that the conversation consists of.
    pub(crate) fn kept(&self) -> Vec<(u64, u64)> {
        ranges(&self.marks)
    }

    /// The last events of results that were cleared.
    pub(crate) fn cleared(&self) -> Vec<u64> {
        let cleared = self.marks.iter().filter(|mark| mark.cleared);
        cleared.map(|mark| mark.last).collect()
    }
}

/// Stretches of events. The event between an answer and what came before it is the call, which belongs to neither.
fn ranges(marks: &[Mark]) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for mark in marks.iter().filter(|mark| mark.first > 0) {
        match ranges.last_mut() {
            Some((_, last)) if mark.first <= *last + 2 => *last = mark.last,
            _ => ranges.push((mark.first, mark.last)),
        }
    }
    ranges
}

fn result_length(result: &ToolResult) -> u64 {
    (result.content.len() + result.id.len()) as u64
}

fn length(message: &Message) -> u64 {
    match message {
        Message::User(text) => text.len() as u64,
        Message::Results(results) => results.iter().map(result_length).sum(),
        Message::Assistant(blocks) => blocks
            .iter()
            .map(|block| match block {
                Block::Text { text, .. } => text.len(),
                Block::Thinking(kept) | Block::Opaque(kept) => kept.json.get().len(),
                Block::ToolCall {
                    name, arguments, ..
                } => name.len() + arguments.len(),
            } as u64)
            .sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A conversation of turns that each answer 100 bytes and get 300 bytes back. Call `n` is event `4n - 1`.
    fn conversation(turns: u64) -> Conversation {
        let mut conversation = Conversation::new("s".repeat(400), Vec::new());
        conversation.user(2, "t".repeat(400));
        for turn in 1..=turns {
            let seq = 4 * turn;
            conversation.assistant(
                seq,
                vec![Block::ToolCall {
                    id: turn.to_string(),
                    name: "bash".into(),
                    arguments: "a".repeat(96),
                    kept: None,
                }],
            );
            conversation.result(
                seq + 2,
                ToolResult {
                    id: String::new(),
                    content: "r".repeat(300),
                    is_error: false,
                },
            );
        }
        conversation
    }

    #[test]
    fn length_is_kept_whatever_is_done() {
        let mut all = conversation(20);
        assert_eq!(all.tokens(), (800 + 20 * 400) / 4);
        all.count(4_400);
        assert_eq!(all.tokens(), 4_400);
        all.clear(2_800);
        all.trim(1_000);
        all.summarize("what was done".into(), 500);
        let bytes: u64 = all.messages.iter().map(length).sum();
        assert_eq!(all.bytes, bytes);
        assert_eq!(all.marks.iter().map(|mark| mark.bytes).sum::<u64>(), bytes);
    }

    #[test]
    fn results_are_cleared_oldest_first_and_the_last_are_spared() {
        let mut all = conversation(10);
        assert!(all.clear(1_000));
        assert_eq!(all.kept(), [(2, 42)]);
        assert_eq!(all.cleared(), [6, 10, 14, 18]);
        assert!(all.clear(0));
        assert_eq!(all.cleared().len(), 7);
        assert!(!all.clear(0));
    }

    #[test]
    fn whole_turns_are_dropped() {
        let mut all = conversation(10);
        // A turn is 100 tokens, what is fixed 200.
        assert_eq!(all.trim(450), [(4, 34)]);
        assert_eq!(all.kept(), [(2, 2), (36, 42)]);
        assert!(matches!(all.messages[1], Message::Assistant(_)));
        assert_eq!(all.trim(0), [(36, 38)]);
        assert_eq!(all.trim(0), []);
        assert_eq!(all.messages.len(), 3);
    }

    #[test]
    fn a_summary_takes_the_place_of_the_old() {
        let mut all = conversation(10);
        assert_eq!(all.summarize("first".into(), 220), [(4, 34)]);
        assert_eq!(all.summary.as_deref(), Some("first"));
        assert_eq!(all.messages.len(), 2 + 4);
        assert!(matches!(&all.messages[1], Message::User(text) if text.ends_with("first")));
        assert_eq!(all.summarize("second".into(), 0), [(36, 42)]);
        assert_eq!(all.messages.len(), 2);
        assert!(matches!(&all.messages[1], Message::User(text) if text.ends_with("second")));
        assert_eq!(all.kept(), [(2, 2)]);
        assert_eq!(all.stable(), 1);
    }
}
