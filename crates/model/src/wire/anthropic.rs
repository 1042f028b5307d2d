//! Anthropic's Messages.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Reader, Sent, body, count, cut_off, object, parse, said, text};
use crate::sse::ServerEvent;
use crate::{
    Block, CacheTime, Dialect, Event, Failure, Kept, Kind, Message, Name, Raw, Reply, Request,
    Stop, Thinking, Usage, Watch,
};

/// The version of the interface that is spoken here.
const VERSION: &str = "2023-06-01";
/// Lets models with a thinking budget think between tool calls; others take no notice.
const INTERLEAVED: &str = "interleaved-thinking-2025-05-14";

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Part<'a>>,
    messages: Vec<WireMessage<'a>>,
}

#[derive(Serialize)]
struct WireTool<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Raw,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Mark>,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: Vec<Part<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a> {
    Kept(&'a Raw),
    Made {
        #[serde(flatten)]
        part: Made<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Mark>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Made<'a> {
    Text {
        text: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: Raw,
    },
    ToolResult {
        tool_use_id: &'a str,
        content: &'a str,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

/// Where the provider's cache is to hold everything up to here.
#[derive(Clone, Copy, Serialize)]
struct Mark {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

impl<'a> Part<'a> {
    fn new(part: Made<'a>) -> Self {
        Part::Made {
            part,
            cache_control: None,
        }
    }

    /// Sets a mark; says whether that can be done here.
    fn mark(&mut self, mark: Mark) -> bool {
        match self {
            Part::Kept(_) => false,
            Part::Made { cache_control, .. } => {
                *cache_control = Some(mark);
                true
            }
        }
    }
}

pub(super) fn write(name: &Name, request: &Request<'_>) -> Result<Sent, Failure> {
    let settings = request.settings;
    let mark = Mark {
        r#type: "ephemeral",
        ttl: match settings.cache_time {
            CacheTime::Minutes5 => None,
            CacheTime::Hour => Some("1h"),
        },
    };
    let mut tools: Vec<WireTool<'_>> = request
        .tools
        .iter()
        .map(|tool| WireTool {
            name: &tool.name,
            description: &tool.description,
            input_schema: &tool.schema,
            cache_control: None,
        })
        .collect();
    let mut system = Vec::new();
    if !request.system.trim().is_empty() {
        system.push(Part::new(Made::Text {
            text: request.system,
        }));
    }
    // Tools stand before the system's text, so a mark there holds both.
    match (system.last_mut(), tools.last_mut()) {
        (Some(part), _) => drop(part.mark(mark)),
        (None, Some(tool)) => tool.cache_control = Some(mark),
        (None, None) => {}
    }
    let (thinking, output_config) = match &settings.thinking {
        Thinking::Default => (None, None),
        Thinking::Off => (Some(json!({"type": "disabled"})), None),
        Thinking::Tokens(tokens) => (
            Some(json!({"type": "enabled", "budget_tokens": tokens})),
            None,
        ),
        Thinking::Effort(effort) => (
            Some(json!({"type": "adaptive"})),
            Some(json!({"effort": effort})),
        ),
    };
    let whole = Body {
        model: name.model(),
        max_tokens: settings.max_output_tokens,
        stream: true,
        thinking,
        output_config,
        tools,
        system,
        messages: messages(request, mark),
    };
    let mut headers = vec![("anthropic-version", VERSION)];
    if matches!(settings.thinking, Thinking::Tokens(_)) {
        headers.push(("anthropic-beta", INTERLEAVED));
    }
    Ok(Sent {
        path: "/v1/messages".to_owned(),
        headers,
        key: ("x-api-key", ""),
        body: body(&whole, settings.extra.as_ref())?,
    })
}

/// The conversation, with marks where its parts that do not change end: after the messages that are
/// stable, after the last request, and at the end. The provider looks back only 20 blocks from a mark, and
/// a turn with many tool calls has more; so the end of the last request has a mark of its own.
fn messages<'a>(request: &Request<'a>, mark: Mark) -> Vec<WireMessage<'a>> {
    let mut wire: Vec<WireMessage<'a>> = Vec::new();
    // For each message, how many wire messages there are after it and how long the last of them is.
    let mut ends = Vec::with_capacity(request.messages.len());
    for message in request.messages {
        let (role, parts) = parts(message);
        match wire.last_mut() {
            Some(last) if last.role == role => last.content.extend(parts),
            _ if parts.is_empty() => {}
            _ => wire.push(WireMessage {
                role,
                content: parts,
            }),
        }
        ends.push((wire.len(), wire.last().map_or(0, |last| last.content.len())));
    }
    let last_reply = request
        .messages
        .iter()
        .rposition(|message| matches!(message, Message::Assistant(_)));
    let marked = [Some(request.stable), last_reply, Some(ends.len())];
    for count in marked.into_iter().flatten() {
        let Some((messages, parts)) = count.checked_sub(1).and_then(|last| ends.get(last)) else {
            continue;
        };
        // Reasoning cannot have a mark; what stands before it can.
        let before = wire.iter_mut().take(*messages).rev().enumerate();
        let mut candidates = before.flat_map(|(back, message)| {
            let parts = if back == 0 { *parts } else { usize::MAX };
            let parts = parts.min(message.content.len());
            message.content[..parts].iter_mut().rev()
        });
        candidates.any(|part| part.mark(mark));
    }
    wire
}

fn parts(message: &Message) -> (&'static str, Vec<Part<'_>>) {
    // The provider takes no text that is blank.
    let text = |text: &'_ str| !text.trim().is_empty();
    match message {
        Message::User(said) => {
            let part = text(said).then(|| Part::new(Made::Text { text: said }));
            ("user", part.into_iter().collect())
        }
        Message::Results(results) => {
            let part = results.iter().map(|result| {
                Part::new(Made::ToolResult {
                    tool_use_id: &result.id,
                    content: &result.content,
                    is_error: result.is_error,
                })
            });
            ("user", part.collect())
        }
        Message::Assistant(blocks) => {
            let parts = blocks.iter().filter_map(|block| match block {
                Block::Text { text: said, .. } => {
                    text(said).then(|| Part::new(Made::Text { text: said }))
                }
                Block::ToolCall {
                    id,
                    name,
                    arguments,
                    ..
                } => Some(Part::new(Made::ToolUse {
                    id,
                    name,
                    input: object(arguments),
                })),
                Block::Thinking(kept) | Block::Opaque(kept) => {
                    (kept.dialect == Dialect::Anthropic).then_some(Part::Kept(&kept.json))
                }
            });
            ("assistant", parts.collect())
        }
    }
}

/// An answer on its way.
#[derive(Default)]
pub(super) struct Answer {
    id: String,
    model: String,
    usage: Usage,
    blocks: Vec<Partial>,
    stop: Option<String>,
}

/// A block on its way.
struct Partial {
    content: Map<String, Value>,
    /// JSON of a tool's input, as far as it has come.
    input: String,
    open: bool,
}

impl Partial {
    fn kind(&self) -> &str {
        self.content
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn add(&mut self, key: &str, more: &str) {
        match self.content.get_mut(key) {
            Some(Value::String(text)) => text.push_str(more),
            _ => drop(self.content.insert(key.to_owned(), more.into())),
        }
    }

    fn text(&self, key: &str) -> String {
        let text = self.content.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    }

    fn block(&self) -> Result<Block, Failure> {
        let kept = |content: &Map<String, Value>| {
            let json = Raw::of(content)
                .map_err(|error| Failure::new(Kind::Malformed, error.to_string()))?;
            Ok(Kept {
                dialect: Dialect::Anthropic,
                json,
            })
        };
        Ok(match self.kind() {
            "text" => Block::text(self.text("text")),
            "tool_use" => Block::ToolCall {
                id: self.text("id"),
                name: self.text("name"),
                arguments: match (self.input.as_str(), self.content.get("input")) {
                    ("", Some(input)) => input.to_string(),
                    ("", None) => "{}".to_owned(),
                    (input, _) => input.to_owned(),
                },
                kept: None,
            },
            "thinking" | "redacted_thinking" => Block::Thinking(kept(&self.content)?),
            _ => {
                let mut content = self.content.clone();
                if let Ok(input) = serde_json::from_str(&self.input) {
                    content.insert("input".to_owned(), input);
                }
                Block::Opaque(kept(&content)?)
            }
        })
    }
}

impl Answer {
    fn take_usage(&mut self, usage: &Value) {
        // Counts are cumulative, so a later one takes the place of an earlier one.
        let set = |place: &mut u64, path: &str| {
            if let Some(tokens) = count(usage, path) {
                *place = tokens;
            }
        };
        set(&mut self.usage.input, "/input_tokens");
        set(&mut self.usage.cache_read, "/cache_read_input_tokens");
        set(&mut self.usage.cache_write, "/cache_creation_input_tokens");
        set(
            &mut self.usage.cache_write_hour,
            "/cache_creation/ephemeral_1h_input_tokens",
        );
        set(&mut self.usage.output, "/output_tokens");
        set(
            &mut self.usage.reasoning,
            "/output_tokens_details/thinking_tokens",
        );
    }

    fn begin(
        &mut self,
        index: usize,
        content: &Value,
        watch: &mut dyn Watch,
    ) -> Result<(), Failure> {
        let Value::Object(content) = content else {
            return Err(Failure::new(Kind::Malformed, "a block without content"));
        };
        // Servers repeat the beginning of the block that they are at.
        if let Some(last) = self.blocks.last()
            && self.blocks.len() - 1 == index
            && last.open
            && last.content == *content
        {
            return Ok(());
        }
        if index != self.blocks.len() {
            let message = format!(
                "block {index} begins where block {} should",
                self.blocks.len()
            );
            return Err(Failure::new(Kind::Malformed, message));
        }
        let block = Partial {
            content: content.clone(),
            input: String::new(),
            open: true,
        };
        if block.kind() == "tool_use" {
            watch.event(Event::ToolCall(&block.text("name")));
        }
        self.blocks.push(block);
        Ok(())
    }

    fn delta(&mut self, index: usize, delta: &Value, watch: &mut dyn Watch) -> Result<(), Failure> {
        let Some(block) = self.blocks.get_mut(index) else {
            let message = format!("block {index} goes on and has not begun");
            return Err(Failure::new(Kind::Malformed, message));
        };
        match text(delta, "type") {
            "text_delta" => {
                block.add("text", text(delta, "text"));
                watch.event(Event::Text(text(delta, "text")));
            }
            "thinking_delta" => {
                block.add("thinking", text(delta, "thinking"));
                watch.event(Event::Thinking(text(delta, "thinking")));
            }
            "signature_delta" => {
                let signature = Value::from(text(delta, "signature"));
                block.content.insert("signature".to_owned(), signature);
            }
            "input_json_delta" => block.input.push_str(text(delta, "partial_json")),
            _ => {}
        }
        Ok(())
    }
}

impl Reader for Answer {
    fn event(&mut self, event: &ServerEvent, watch: &mut dyn Watch) -> Result<bool, Failure> {
        let value: Value = parse(event)?;
        let kind = match text(&value, "type") {
            "" => Cow::from(&event.name),
            kind => Cow::from(kind.to_owned()),
        };
        let index = value["index"].as_u64().unwrap_or_default() as usize;
        match &*kind {
            "message_start" => {
                text(&value["message"], "id").clone_into(&mut self.id);
                text(&value["message"], "model").clone_into(&mut self.model);
                self.take_usage(&value["message"]["usage"]);
            }
            "content_block_start" => self.begin(index, &value["content_block"], watch)?,
            "content_block_delta" => self.delta(index, &value["delta"], watch)?,
            "content_block_stop" => {
                if let Some(block) = self.blocks.get_mut(index) {
                    block.open = false;
                }
            }
            "message_delta" => {
                if let Some(stop) = value["delta"]["stop_reason"].as_str() {
                    self.stop = Some(stop.to_owned());
                }
                self.take_usage(&value["usage"]);
            }
            "message_stop" => return Ok(true),
            "error" => return Err(said(None, &value)),
            _ => {}
        }
        Ok(false)
    }

    fn usage(&self) -> Usage {
        self.usage
    }

    fn reply(&mut self) -> Result<Reply, Failure> {
        let stop = self.stop.take().ok_or_else(cut_off)?;
        if self.blocks.iter().any(|block| block.open) {
            return Err(cut_off());
        }
        let blocks: Result<Vec<Block>, Failure> = self.blocks.iter().map(Partial::block).collect();
        let stop = match stop.as_str() {
            "end_turn" | "stop_sequence" => Stop::End,
            "tool_use" => Stop::ToolUse,
            "max_tokens" => Stop::MaxTokens,
            "model_context_window_exceeded" => Stop::ContextFull,
            "refusal" => Stop::Refused,
            "pause_turn" => Stop::Paused,
            _ => Stop::Other(stop),
        };
        Ok(Reply::first(
            blocks?,
            stop,
            (self.usage != Usage::default()).then_some(self.usage),
            std::mem::take(&mut self.model),
            std::mem::take(&mut self.id),
        ))
    }
}

#[cfg(test)]
#[path = "anthropic_tests.rs"]
mod tests;
