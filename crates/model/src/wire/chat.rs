//! OpenAI's Chat Completions, as OpenAI and many other servers speak it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{
    Reader, Sent, add_text, body, count, cut_off, fields, has_calls, keep, parse, said, text,
};
use crate::sse::ServerEvent;
use crate::{
    Block, Dialect, Event, Failure, Kind, Message, Name, Raw, Reply, Request, Stop, Thinking,
    Usage, Watch,
};

/// Fields in which servers send reasoning, and take it back.
const REASONING: [&str; 3] = ["reasoning_content", "reasoning", "reasoning_details"];

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    stream: bool,
    stream_options: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    messages: Vec<WireMessage<'a>>,
}

#[derive(Serialize)]
struct WireTool<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Raw,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
enum WireMessage<'a> {
    System {
        content: &'a str,
    },
    User {
        content: &'a str,
    },
    Assistant {
        content: Option<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<WireCall<'a>>,
        #[serde(flatten)]
        reasoning: BTreeMap<String, Box<RawValue>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: &'a str,
    },
}

#[derive(Serialize)]
struct WireCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Called<'a>,
    #[serde(flatten)]
    fields: BTreeMap<String, Box<RawValue>>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    arguments: &'a str,
}

pub(super) fn write(name: &Name, request: &Request<'_>) -> Result<Sent, Failure> {
    let settings = request.settings;
    let effort = match &settings.thinking {
        Thinking::Default | Thinking::Off => None,
        Thinking::Effort(effort) => Some(effort.as_str()),
        Thinking::Tokens(_) => {
            let message = format!("{name} is told an effort of thinking, not a number of tokens");
            return Err(Failure::new(Kind::BadRequest, message));
        }
    };
    let tools = request.tools.iter().map(|tool| WireTool {
        r#type: "function",
        function: Function {
            name: &tool.name,
            description: &tool.description,
            parameters: &tool.schema,
        },
    });
    let system = (!request.system.is_empty()).then_some(WireMessage::System {
        content: request.system,
    });
    let rest = request.messages.iter().flat_map(messages);
    // OpenAI's own models refuse the old word; other servers know no other.
    let own = name.provider() != "compatible";
    let whole = Body {
        model: name.model(),
        stream: true,
        stream_options: json!({"include_usage": true}),
        max_tokens: (!own).then_some(settings.max_output_tokens),
        max_completion_tokens: own.then_some(settings.max_output_tokens),
        reasoning_effort: effort,
        prompt_cache_key: (own && !settings.cache_key.is_empty()).then_some(&settings.cache_key),
        tools: tools.collect(),
        messages: system.into_iter().chain(rest).collect(),
    };
    Ok(Sent {
        path: "/chat/completions".to_owned(),
        headers: Vec::new(),
        key: ("authorization", "Bearer "),
        body: body(&whole, settings.extra.as_ref())?,
    })
}

fn messages(message: &Message) -> Vec<WireMessage<'_>> {
    match message {
        Message::User(said) => vec![WireMessage::User { content: said }],
        Message::Results(results) => {
            let message = results.iter().map(|result| WireMessage::Tool {
                tool_call_id: &result.id,
                content: &result.content,
            });
            message.collect()
        }
        Message::Assistant(blocks) => {
            let mut content: Option<String> = None;
            let mut tool_calls = Vec::new();
            let mut reasoning = BTreeMap::new();
            for block in blocks {
                match block {
                    Block::Text { text, .. } => content.get_or_insert_default().push_str(text),
                    Block::ToolCall {
                        id,
                        name,
                        arguments,
                        kept,
                    } => tool_calls.push(WireCall {
                        id,
                        r#type: "function",
                        function: Called { name, arguments },
                        fields: fields(kept, Dialect::Chat),
                    }),
                    Block::Thinking(kept) | Block::Opaque(kept) => {
                        reasoning.extend(fields(&Some(kept.clone()), Dialect::Chat));
                    }
                }
            }
            if content.is_none() && tool_calls.is_empty() {
                // Servers refuse a message with nothing in it.
                return Vec::new();
            }
            vec![WireMessage::Assistant {
                content,
                tool_calls,
                reasoning,
            }]
        }
    }
}

/// An answer on its way.
#[derive(Default)]
pub(super) struct Answer {
    id: String,
    model: String,
    usage: Option<Usage>,
    reasoning: Map<String, Value>,
    blocks: Vec<Block>,
    calls: Vec<Call>,
    refused: bool,
    finish: Option<String>,
}

/// A tool call on its way.
#[derive(Default)]
struct Call {
    index: u64,
    id: String,
    name: String,
    arguments: String,
    fields: Map<String, Value>,
}

impl Answer {
    fn delta(&mut self, delta: &Value, watch: &mut dyn Watch) -> Result<(), Failure> {
        for field in REASONING {
            match &delta[field] {
                Value::String(more) if !more.is_empty() => {
                    watch.event(Event::Thinking(more));
                    match self.reasoning.get_mut(field) {
                        Some(Value::String(text)) => text.push_str(more),
                        _ => drop(self.reasoning.insert(field.to_owned(), more.clone().into())),
                    }
                }
                Value::Array(more) if !more.is_empty() => match self.reasoning.get_mut(field) {
                    Some(Value::Array(items)) => items.extend(more.iter().cloned()),
                    _ => drop(self.reasoning.insert(field.to_owned(), more.clone().into())),
                },
                _ => {}
            }
        }
        for (field, refuses) in [("content", false), ("refusal", true)] {
            let more = text(delta, field);
            if !more.is_empty() {
                self.refused |= refuses;
                add_text(&mut self.blocks, more);
                watch.event(Event::Text(more));
            }
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            self.call(call, watch)?;
        }
        Ok(())
    }

    fn call(&mut self, call: &Value, watch: &mut dyn Watch) -> Result<(), Failure> {
        let Value::Object(given) = call else {
            return Err(Failure::new(
                Kind::Malformed,
                "a tool call that is no object",
            ));
        };
        let (id, name) = (text(call, "id"), text(&call["function"], "name"));
        let index = call["index"].as_u64();
        let goes_on = self.calls.iter().rposition(|known| match index {
            // Some servers give every call the same index, and whole calls at once.
            Some(index) => {
                known.index == index && (id.is_empty() || known.id == id || known.id.is_empty())
            }
            None => !id.is_empty() && known.id == id,
        });
        let place = goes_on.unwrap_or_else(|| {
            self.calls.push(Call {
                index: index.unwrap_or(self.calls.len() as u64),
                ..Call::default()
            });
            self.calls.len() - 1
        });
        let known = &mut self.calls[place];
        if known.id.is_empty() {
            id.clone_into(&mut known.id);
        }
        if known.name.is_empty() && !name.is_empty() {
            name.clone_into(&mut known.name);
            watch.event(Event::ToolCall(name));
        }
        match &call["function"]["arguments"] {
            Value::String(more) => known.arguments.push_str(more),
            Value::Null => {}
            // Some servers send the object itself.
            whole => known.arguments = whole.to_string(),
        }
        let own = given.iter().filter(|(key, value)| {
            !["index", "id", "type", "function"].contains(&key.as_str()) && !value.is_null()
        });
        known
            .fields
            .extend(own.map(|(key, value)| (key.clone(), value.clone())));
        Ok(())
    }

    fn take_usage(&mut self, usage: &Value) {
        let Some(prompt) = count(usage, "/prompt_tokens") else {
            return;
        };
        let of = |paths: &[&str]| {
            let found = paths.iter().find_map(|path| count(usage, path));
            found.unwrap_or_default()
        };
        let cache_read = of(&[
            "/prompt_tokens_details/cached_tokens",
            "/prompt_cache_hit_tokens",
        ]);
        let cache_write = of(&["/prompt_tokens_details/cache_write_tokens"]);
        self.usage = Some(Usage {
            input: prompt
                .saturating_sub(cache_read)
                .saturating_sub(cache_write),
            cache_read,
            cache_write,
            cache_write_hour: 0,
            output: of(&["/completion_tokens"]),
            reasoning: of(&["/completion_tokens_details/reasoning_tokens"]),
        });
    }
}

impl Reader for Answer {
    fn event(&mut self, event: &ServerEvent, watch: &mut dyn Watch) -> Result<bool, Failure> {
        if event.data.trim() == "[DONE]" {
            return Ok(true);
        }
        let value: Value = parse(event)?;
        if !value["error"].is_null() || event.name == "error" || value["object"] == "error" {
            return Err(said(None, &value));
        }
        for (field, place) in [("id", &mut self.id), ("model", &mut self.model)] {
            if place.is_empty() {
                text(&value, field).clone_into(place);
            }
        }
        self.take_usage(&value["usage"]);
        let choice = &value["choices"][0];
        self.delta(&choice["delta"], watch)?;
        if let Some(finish) = choice["finish_reason"].as_str() {
            self.finish = Some(finish.to_owned());
        }
        Ok(false)
    }

    fn usage(&self) -> Usage {
        self.usage.unwrap_or_default()
    }

    fn reply(&mut self) -> Result<Reply, Failure> {
        let finish = self.finish.take().ok_or_else(cut_off)?;
        let mut blocks = Vec::new();
        if let Some(kept) = keep(Dialect::Chat, &self.reasoning) {
            blocks.push(Block::Thinking(kept));
        }
        blocks.append(&mut self.blocks);
        for (number, call) in (1..).zip(std::mem::take(&mut self.calls)) {
            if call.name.is_empty() {
                return Err(Failure::new(Kind::Malformed, "a tool call without a name"));
            }
            blocks.push(Block::ToolCall {
                id: match call.id.as_str() {
                    "" => format!("{}-{number}", self.id),
                    _ => call.id,
                },
                name: call.name,
                arguments: match call.arguments.trim() {
                    "" => "{}".to_owned(),
                    _ => call.arguments,
                },
                kept: keep(Dialect::Chat, &call.fields),
            });
        }
        let stop = match finish.as_str() {
            "content_filter" => Stop::Refused,
            _ if self.refused => Stop::Refused,
            "length" => Stop::MaxTokens,
            // Some servers say `stop` after calls.
            "stop" | "tool_calls" | "function_call" if has_calls(&blocks) => Stop::ToolUse,
            "stop" | "tool_calls" | "function_call" => Stop::End,
            _ => Stop::Other(finish),
        };
        Ok(Reply::first(
            blocks,
            stop,
            self.usage,
            std::mem::take(&mut self.model),
            std::mem::take(&mut self.id),
        ))
    }
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
