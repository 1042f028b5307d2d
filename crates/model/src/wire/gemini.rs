//! Gemini's `generateContent`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{
    Reader, Sent, body, count, cut_off, fields, has_calls, keep, object, parse, said, text,
};
use crate::sse::ServerEvent;
use crate::{
    Block, Dialect, Event, Failure, Kept, Kind, Message, Name, Raw, Reply, Request, Spent, Stop,
    Thinking, Usage, Watch,
};

/// Field under which a call's id is kept if the provider gave it.
const ID: &str = "id";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTools<'a>>,
    generation_config: Value,
    contents: Vec<Content<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireTools<'a> {
    function_declarations: Vec<Declaration<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    description: &'a str,
    parameters_json_schema: &'a Raw,
}

#[derive(Serialize)]
struct Content<'a> {
    role: &'static str,
    parts: Vec<Part<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a> {
    Kept(&'a Raw),
    Plain(Value),
    Made {
        #[serde(flatten)]
        made: Made<'a>,
        #[serde(flatten)]
        fields: BTreeMap<String, Box<RawValue>>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Made<'a> {
    Text(&'a str),
    FunctionCall {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        name: &'a str,
        args: Raw,
    },
}

pub(super) fn write(name: &Name, request: &Request<'_>) -> Result<Sent, Failure> {
    let settings = request.settings;
    let thinking = match &settings.thinking {
        Thinking::Default => json!({"includeThoughts": true}),
        Thinking::Off => json!({"thinkingBudget": 0}),
        Thinking::Tokens(tokens) => json!({"includeThoughts": true, "thinkingBudget": tokens}),
        Thinking::Effort(effort) => json!({"includeThoughts": true, "thinkingLevel": effort}),
    };
    let declarations: Vec<_> = request
        .tools
        .iter()
        .map(|tool| Declaration {
            name: &tool.name,
            description: &tool.description,
            parameters_json_schema: &tool.schema,
        })
        .collect();
    let whole = Body {
        system_instruction: (!request.system.is_empty())
            .then(|| json!({"parts": [{"text": request.system}]})),
        tools: match declarations.len() {
            0 => Vec::new(),
            _ => vec![WireTools {
                function_declarations: declarations,
            }],
        },
        generation_config: json!({
            "maxOutputTokens": settings.max_output_tokens,
            "thinkingConfig": thinking,
        }),
        contents: contents(request.messages),
    };
    Ok(Sent {
        path: format!(
            "/v1beta/models/{}:streamGenerateContent?alt=sse",
            name.model()
        ),
        headers: Vec::new(),
        key: ("x-goog-api-key", ""),
        body: body(&whole, settings.extra.as_ref())?,
    })
}

fn contents(messages: &[Message]) -> Vec<Content<'_>> {
    let mut contents: Vec<Content<'_>> = Vec::new();
    // Tools' names by the ids of their calls, and whether the provider gave the id.
    let mut calls: BTreeMap<&str, (&str, bool)> = BTreeMap::new();
    for message in messages {
        let (role, parts): (_, Vec<Part<'_>>) = match message {
            Message::User(said) => ("user", vec![Part::Plain(json!({"text": said}))]),
            Message::Results(results) => {
                let part = results.iter().map(|result| {
                    let (name, own) = calls.get(result.id.as_str()).copied().unwrap_or_default();
                    let key = if result.is_error { "error" } else { "output" };
                    let mut response = json!({"name": name, "response": {key: result.content}});
                    if own {
                        response[ID] = result.id.as_str().into();
                    }
                    Part::Plain(json!({"functionResponse": response}))
                });
                ("user", part.collect())
            }
            Message::Assistant(blocks) => {
                for block in blocks {
                    if let Block::ToolCall { id, name, kept, .. } = block {
                        let own = fields(kept, Dialect::Gemini).contains_key(ID);
                        calls.insert(id, (name, own));
                    }
                }
                ("model", blocks.iter().filter_map(part).collect())
            }
        };
        match contents.last_mut() {
            _ if parts.is_empty() => {}
            Some(last) if last.role == role => last.parts.extend(parts),
            _ => contents.push(Content { role, parts }),
        }
    }
    contents
}

fn part(block: &Block) -> Option<Part<'_>> {
    match block {
        Block::Text { text, kept } => {
            let fields = fields(kept, Dialect::Gemini);
            // A signature may come with no text at all, and must go back all the same.
            (!text.is_empty() || !fields.is_empty()).then_some(Part::Made {
                made: Made::Text(text),
                fields,
            })
        }
        Block::ToolCall {
            id,
            name,
            arguments,
            kept,
        } => {
            let mut fields = fields(kept, Dialect::Gemini);
            let own = fields.remove(ID).is_some();
            Some(Part::Made {
                made: Made::FunctionCall {
                    id: own.then_some(id),
                    name,
                    args: object(arguments),
                },
                fields,
            })
        }
        Block::Thinking(kept) | Block::Opaque(kept) => {
            (kept.dialect == Dialect::Gemini).then_some(Part::Kept(&kept.json))
        }
    }
}

/// An answer on its way.
#[derive(Default)]
pub(super) struct Answer {
    id: String,
    model: String,
    usage: Option<Usage>,
    blocks: Vec<Block>,
    /// Text of the last block, a piece of reasoning that goes on; not yet in the block.
    reasoning: Option<String>,
    calls: u32,
    finish: Option<String>,
    explained: String,
}

#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(borrow, default)]
    candidates: Vec<Candidate<'a>>,
}

#[derive(Deserialize)]
struct Candidate<'a> {
    #[serde(borrow, default)]
    content: Option<Parts<'a>>,
}

#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow, default)]
    parts: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallPart<'a> {
    #[serde(borrow)]
    function_call: CallArguments<'a>,
}

#[derive(Deserialize)]
struct CallArguments<'a> {
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
}

impl Answer {
    fn part(&mut self, raw: &RawValue, watch: &mut dyn Watch) -> Result<(), Failure> {
        let wrong =
            |error: &dyn std::fmt::Display| Failure::new(Kind::Malformed, error.to_string());
        let mut part: Map<String, Value> =
            serde_json::from_str(raw.get()).map_err(|error| wrong(&error))?;
        let kept = || {
            let json = Raw::new(raw.get()).map_err(|error| wrong(&error))?;
            let dialect = Dialect::Gemini;
            Ok(Kept { dialect, json })
        };
        if part.get("thought") == Some(&Value::Bool(true)) {
            let more = part.get("text").and_then(Value::as_str).unwrap_or_default();
            watch.event(Event::Thinking(more));
            if let Some(Block::Thinking(last)) = self.blocks.last()
                && part.len() == 2
            {
                self.reasoning
                    .get_or_insert_with(|| text(&last.json.value(), "text").to_owned())
                    .push_str(more);
            } else {
                self.settle()?;
                self.blocks.push(Block::Thinking(kept()?));
            }
            return Ok(());
        }
        self.settle()?;
        if let Some(call) = part.remove("functionCall") {
            let arguments: CallPart<'_> =
                serde_json::from_str(raw.get()).map_err(|error| wrong(&error))?;
            self.calls += 1;
            let id = match text(&call, ID) {
                "" => format!("{}-{}", self.id, self.calls),
                id => {
                    part.insert(ID.to_owned(), true.into());
                    id.to_owned()
                }
            };
            watch.event(Event::ToolCall(text(&call, "name")));
            let arguments = arguments.function_call.args.map_or("{}", RawValue::get);
            self.blocks.push(Block::ToolCall {
                id,
                name: text(&call, "name").to_owned(),
                arguments: arguments.to_owned(),
                kept: keep(Dialect::Gemini, &part),
            });
            return Ok(());
        }
        match part.remove("text") {
            Some(Value::String(more)) => {
                watch.event(Event::Text(&more));
                match keep(Dialect::Gemini, &part) {
                    None => super::add_text(&mut self.blocks, &more),
                    kept => self.blocks.push(Block::Text { text: more, kept }),
                }
            }
            _ => self.blocks.push(Block::Opaque(kept()?)),
        }
        Ok(())
    }

    /// Puts the text of reasoning that came in pieces into its block. Only once, when all are there: a block is JSON, which
    /// is read and written whole.
    fn settle(&mut self) -> Result<(), Failure> {
        if let Some(whole) = self.reasoning.take()
            && let Some(Block::Thinking(last)) = self.blocks.last_mut()
        {
            let mut part = last.json.value();
            part["text"] = whole.into();
            last.json =
                Raw::of(&part).map_err(|error| Failure::new(Kind::Malformed, error.to_string()))?;
        }
        Ok(())
    }

    fn take_usage(&mut self, usage: &Value) {
        let Some(prompt) = count(usage, "/promptTokenCount") else {
            return;
        };
        let of = |path: &str| count(usage, path).unwrap_or_default();
        let cache_read = of("/cachedContentTokenCount");
        let reasoning = of("/thoughtsTokenCount");
        self.usage = Some(Usage {
            input: prompt
                .saturating_sub(cache_read)
                .saturating_add(of("/toolUsePromptTokenCount")),
            cache_read,
            cache_write: 0,
            cache_write_hour: 0,
            output: of("/candidatesTokenCount").saturating_add(reasoning),
            reasoning,
        });
    }
}

impl Reader for Answer {
    fn event(&mut self, event: &ServerEvent, watch: &mut dyn Watch) -> Result<bool, Failure> {
        let value: Value = parse(event)?;
        if !value["error"].is_null() {
            return Err(said(None, &value));
        }
        for (field, place) in [
            ("responseId", &mut self.id),
            ("modelVersion", &mut self.model),
        ] {
            if !text(&value, field).is_empty() {
                text(&value, field).clone_into(place);
            }
        }
        self.take_usage(&value["usageMetadata"]);
        if let Some(reason) = value["promptFeedback"]["blockReason"].as_str() {
            let mut failure = Failure::new(Kind::Filtered, format!("prompt blocked: {reason}"));
            failure.spent = self
                .usage
                .map_or(Spent::Unknown(Usage::default()), Spent::Known);
            return Err(failure);
        }
        let piece: Piece<'_> = parse(event)?;
        let content = piece
            .candidates
            .into_iter()
            .next()
            .and_then(|first| first.content);
        for part in content.into_iter().flat_map(|content| content.parts) {
            self.part(part, watch)?;
        }
        let candidate = &value["candidates"][0];
        if let Some(finish) = candidate["finishReason"].as_str() {
            self.finish = Some(finish.to_owned());
            text(candidate, "finishMessage").clone_into(&mut self.explained);
        }
        // The last event is marked by nothing, so the stream's end is waited for.
        Ok(false)
    }

    fn usage(&self) -> Usage {
        self.usage.unwrap_or_default()
    }

    fn reply(&mut self) -> Result<Reply, Failure> {
        let finish = self.finish.take().ok_or_else(cut_off)?;
        self.settle()?;
        let stop = match finish.as_str() {
            "STOP" if has_calls(&self.blocks) => Stop::ToolUse,
            "STOP" => Stop::End,
            "MAX_TOKENS" => Stop::MaxTokens,
            "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE" => {
                Stop::Refused
            }
            // The model wrote a call that its own provider cannot read: asked again, it may do better.
            "MALFORMED_FUNCTION_CALL" => {
                let mut failure =
                    Failure::new(Kind::Malformed, format!("{finish}: {}", self.explained));
                failure.spent = self
                    .usage
                    .map_or(Spent::Unknown(Usage::default()), Spent::Known);
                return Err(failure);
            }
            _ => Stop::Other(finish),
        };
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
#[path = "gemini_tests.rs"]
mod tests;
