//! OpenAI's Responses, with nothing stored there: reasoning goes back encrypted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Reader, Sent, body, count, cut_off, fields, has_calls, keep, parse, said, text};
use crate::sse::ServerEvent;
use crate::{
    Block, Dialect, Event, Failure, Kept, Kind, Message, Name, Raw, Reply, Request, Spent, Stop,
    Thinking, Usage, Watch,
};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    stream: bool,
    store: bool,
    max_output_tokens: u64,
    parallel_tool_calls: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    prompt_cache_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    include: &'static [&'static str],
    #[serde(skip_serializing_if = "str::is_empty")]
    instructions: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    input: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct WireTool<'a> {
    r#type: &'static str,
    name: &'a str,
    description: &'a str,
    parameters: &'a Raw,
    strict: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    Kept(&'a Raw),
    Plain(Value),
    Made {
        #[serde(flatten)]
        fields: BTreeMap<String, Box<RawValue>>,
        #[serde(flatten)]
        item: Made<'a>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Made<'a> {
    Message {
        role: &'static str,
        content: [Value; 1],
    },
    FunctionCall {
        call_id: &'a str,
        name: &'a str,
        arguments: &'a str,
    },
}

pub(super) fn write(name: &Name, request: &Request<'_>) -> Result<Sent, Failure> {
    let settings = request.settings;
    let reasoning = match &settings.thinking {
        Thinking::Default | Thinking::Off => None,
        Thinking::Effort(effort) => Some(json!({"effort": effort})),
        Thinking::Tokens(_) => {
            let message = format!("{name} is told an effort of thinking, not a number of tokens");
            return Err(Failure::new(Kind::BadRequest, message));
        }
    };
    let tools = request.tools.iter().map(|tool| WireTool {
        r#type: "function",
        name: &tool.name,
        description: &tool.description,
        parameters: &tool.schema,
        strict: false,
    });
    let whole = Body {
        model: name.model(),
        stream: true,
        store: false,
        max_output_tokens: settings.max_output_tokens,
        parallel_tool_calls: true,
        prompt_cache_key: &settings.cache_key,
        reasoning,
        // Models that do not reason refuse this.
        include: match settings.thinking {
            Thinking::Off => &[],
            _ => &["reasoning.encrypted_content"],
        },
        instructions: request.system,
        tools: tools.collect(),
        input: request.messages.iter().flat_map(items).collect(),
    };
    Ok(Sent {
        path: "/responses".to_owned(),
        headers: Vec::new(),
        key: ("authorization", "Bearer "),
        body: body(&whole, settings.extra.as_ref())?,
    })
}

fn items(message: &Message) -> Vec<Item<'_>> {
    match message {
        Message::User(said) => vec![Item::Plain(json!({
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": said}],
        }))],
        Message::Results(results) => {
            let item = results.iter().map(|result| {
                Item::Plain(json!({
                    "type": "function_call_output",
                    "call_id": result.id,
                    "output": result.content,
                }))
            });
            item.collect()
        }
        Message::Assistant(blocks) => {
            let item = blocks.iter().filter_map(|block| match block {
                Block::Text { text, .. } if text.is_empty() => None,
                Block::Text { text, kept } => Some(Item::Made {
                    fields: fields(kept, Dialect::Responses),
                    item: Made::Message {
                        role: "assistant",
                        content: [json!({"type": "output_text", "text": text, "annotations": []})],
                    },
                }),
                Block::ToolCall {
                    id,
                    name,
                    arguments,
                    kept,
                } => Some(Item::Made {
                    fields: fields(kept, Dialect::Responses),
                    item: Made::FunctionCall {
                        call_id: id,
                        name,
                        arguments,
                    },
                }),
                Block::Thinking(kept) | Block::Opaque(kept) => {
                    (kept.dialect == Dialect::Responses).then_some(Item::Kept(&kept.json))
                }
            });
            item.collect()
        }
    }
}

/// An answer on its way.
#[derive(Default)]
pub(super) struct Answer {
    /// The last event that was taken: one that comes twice counts once.
    sequence: Option<u64>,
    id: String,
    model: String,
    usage: Option<Usage>,
    blocks: Vec<Block>,
    refused: bool,
    stop: Option<Stop>,
}

#[derive(Deserialize)]
struct Done<'a> {
    #[serde(borrow)]
    item: &'a RawValue,
}

#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow)]
    response: Output<'a>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow, default)]
    output: Vec<&'a RawValue>,
}

impl Answer {
    /// Takes an item of the output.
    fn item(&mut self, raw: &RawValue) -> Result<(), Failure> {
        let wrong =
            |error: &dyn std::fmt::Display| Failure::new(Kind::Malformed, error.to_string());
        let mut item: Map<String, Value> =
            serde_json::from_str(raw.get()).map_err(|error| wrong(&error))?;
        let mut take = |key: &str| match item.remove(key) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let block = match take("type").as_str() {
            "message" => {
                take("role");
                let content = item.remove("content").unwrap_or_default();
                let mut whole = String::new();
                for part in content.as_array().into_iter().flatten() {
                    self.refused |= part["type"] == "refusal";
                    whole.push_str(text(part, "text"));
                    whole.push_str(text(part, "refusal"));
                }
                Block::Text {
                    text: whole,
                    kept: keep(Dialect::Responses, &item),
                }
            }
            "function_call" => Block::ToolCall {
                id: take("call_id"),
                name: take("name"),
                arguments: match take("arguments") {
                    arguments if arguments.is_empty() => "{}".to_owned(),
                    arguments => arguments,
                },
                kept: keep(Dialect::Responses, &item),
            },
            kind => {
                let json = Raw::new(raw.get()).map_err(|error| wrong(&error))?;
                let kept = Kept {
                    dialect: Dialect::Responses,
                    json,
                };
                match kind {
                    "reasoning" => Block::Thinking(kept),
                    _ => Block::Opaque(kept),
                }
            }
        };
        self.blocks.push(block);
        Ok(())
    }

    /// Takes what every event about the whole response tells.
    fn response(&mut self, response: &Value) {
        text(response, "id").clone_into(&mut self.id);
        text(response, "model").clone_into(&mut self.model);
        let usage = &response["usage"];
        if let Some(input) = count(usage, "/input_tokens") {
            let of = |path: &str| count(usage, path).unwrap_or_default();
            let cache_read = of("/input_tokens_details/cached_tokens");
            let cache_write = of("/input_tokens_details/cache_write_tokens");
            self.usage = Some(Usage {
                input: input.saturating_sub(cache_read).saturating_sub(cache_write),
                cache_read,
                cache_write,
                cache_write_hour: 0,
                output: of("/output_tokens"),
                reasoning: of("/output_tokens_details/reasoning_tokens"),
            });
        }
    }

    fn failed(&self, error: &Value) -> Failure {
        let mut failure = said(None, error);
        if let Some(usage) = self.usage {
            failure.spent = Spent::Known(usage);
        }
        failure
    }
}

impl Reader for Answer {
    fn event(&mut self, event: &ServerEvent, watch: &mut dyn Watch) -> Result<bool, Failure> {
        if event.data.trim() == "[DONE]" {
            return Ok(self.stop.is_some());
        }
        let value: Value = parse(event)?;
        if let Some(sequence) = value["sequence_number"].as_u64() {
            if self.sequence.is_some_and(|last| sequence <= last) {
                return Ok(false);
            }
            self.sequence = Some(sequence);
        }
        match text(&value, "type") {
            "response.created" | "response.in_progress" => self.response(&value["response"]),
            "response.output_text.delta" => watch.event(Event::Text(text(&value, "delta"))),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                watch.event(Event::Thinking(text(&value, "delta")));
            }
            "response.output_item.added" if value["item"]["type"] == "function_call" => {
                watch.event(Event::ToolCall(text(&value["item"], "name")));
            }
            "response.output_item.done" => self.item(parse::<Done<'_>>(event)?.item)?,
            kind @ ("response.completed" | "response.incomplete") => {
                self.response(&value["response"]);
                // A server may send the items only here.
                if self.blocks.is_empty() {
                    for item in parse::<Whole<'_>>(event)?.response.output {
                        self.item(item)?;
                    }
                }
                let reason = text(&value["response"]["incomplete_details"], "reason");
                self.stop = Some(match (kind, reason) {
                    _ if self.refused => Stop::Refused,
                    (_, "max_output_tokens" | "max_tokens") => Stop::MaxTokens,
                    (_, "content_filter") => Stop::Refused,
                    ("response.completed", _) if has_calls(&self.blocks) => Stop::ToolUse,
                    ("response.completed", _) => Stop::End,
                    (_, reason) => Stop::Other(reason.to_owned()),
                });
                return Ok(true);
            }
            "response.failed" => {
                self.response(&value["response"]);
                return Err(self.failed(&value["response"]));
            }
            "error" => return Err(self.failed(&value)),
            "" if !value["error"].is_null() => return Err(self.failed(&value)),
            _ => {}
        }
        Ok(false)
    }

    fn usage(&self) -> Usage {
        self.usage.unwrap_or_default()
    }

    fn reply(&mut self) -> Result<Reply, Failure> {
        let stop = self.stop.take().ok_or_else(cut_off)?;
        Ok(Reply::first(
            std::mem::take(&mut self.blocks),
            stop,
            self.usage,
            std::mem::take(&mut self.model),
            std::mem::take(&mut self.id),
        ))
    }
}

#[cfg(test)]
#[path = "responses_tests.rs"]
mod tests;
