//! What the providers say over HTTP.

mod anthropic;
mod chat;
mod error;
mod gemini;
mod responses;
mod whole;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) use error::{said, understood};
pub(crate) use whole::events as whole;

use crate::sse::ServerEvent;
use crate::{Block, Dialect, Failure, Kept, Kind, Name, Raw, Reply, Request, Usage, Watch};

/// What a provider is sent.
pub(crate) struct Sent {
    /// Follows the base URL.
    pub(crate) path: String,
    /// Header fields besides the key and the type of the content.
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    /// Header field that holds the key, and what stands before it.
    pub(crate) key: (&'static str, &'static str),
    pub(crate) body: Vec<u8>,
}

/// Where a provider is by itself.
pub(crate) fn base_url(name: &Name) -> Option<&'static str> {
    match name.provider() {
        "anthropic" => Some("https://api.anthropic.com"),
        "openai" | "openai-chat" => Some("https://api.openai.com/v1"),
        "gemini" => Some("https://generativelanguage.googleapis.com"),
        _ => None,
    }
}

/// Writes a request in a provider's words.
pub(crate) fn write(name: &Name, request: &Request<'_>) -> Result<Sent, Failure> {
    match name.dialect() {
        Dialect::Anthropic => anthropic::write(name, request),
        Dialect::Responses => responses::write(name, request),
        Dialect::Chat => chat::write(name, request),
        Dialect::Gemini => gemini::write(name, request),
    }
}

/// Puts a provider's answer together.
pub(crate) trait Reader: Send {
    /// Takes an event; says whether the answer is complete.
    fn event(&mut self, event: &ServerEvent, watch: &mut dyn Watch) -> Result<bool, Failure>;

    /// What it has taken, as far as was said.
    fn usage(&self) -> Usage;

    /// The reply, when no further event comes.
    fn reply(&mut self) -> Result<Reply, Failure>;
}

pub(crate) fn reader(dialect: Dialect) -> Box<dyn Reader> {
    match dialect {
        Dialect::Anthropic => Box::<anthropic::Answer>::default(),
        Dialect::Responses => Box::<responses::Answer>::default(),
        Dialect::Chat => Box::<chat::Answer>::default(),
        Dialect::Gemini => Box::<gemini::Answer>::default(),
    }
}

/// A request's body, with the caller's own fields set last.
fn body(body: &impl Serialize, extra: Option<&Raw>) -> Result<Vec<u8>, Failure> {
    let wrong = |error| Failure::new(Kind::BadRequest, format!("the request's settings: {error}"));
    let text = serde_json::to_string(body).map_err(wrong)?;
    let Some(extra) = extra else {
        return Ok(text.into_bytes());
    };
    let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&text).map_err(wrong)?;
    let extra: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(extra.get()).map_err(wrong)?;
    for (key, value) in extra {
        let old = fields.get(&key).map(|old| serde_json::from_str(old.get()));
        let new = serde_json::from_str(value.get());
        // An object is added to an object, so that one field inside can be set.
        let value = match (old, new) {
            (Some(Ok(Value::Object(mut old))), Ok(Value::Object(new))) => {
                old.extend(new);
                serde_json::value::to_raw_value(&old).map_err(wrong)?
            }
            _ => value,
        };
        fields.insert(key, value);
    }
    serde_json::to_vec(&fields).map_err(wrong)
}

/// A call's arguments as the object that a provider wants back.
fn object(arguments: &str) -> Raw {
    let wrong = || Raw::of(&BTreeMap::from([("INVALID_JSON", arguments)]));
    Raw::new(arguments)
        .ok()
        .filter(|raw| raw.get().starts_with('{'))
        .or_else(|| wrong().ok())
        .unwrap_or_else(Raw::null)
}

/// The fields that a provider wants back with a block, if they are its own.
fn fields(kept: &Option<Kept>, dialect: Dialect) -> BTreeMap<String, Box<RawValue>> {
    kept.as_ref()
        .filter(|kept| kept.dialect == dialect)
        .and_then(|kept| serde_json::from_str(kept.json.get()).ok())
        .unwrap_or_default()
}

/// What to keep of fields; `None` where there are none.
fn keep(dialect: Dialect, fields: &serde_json::Map<String, Value>) -> Option<Kept> {
    let json = Raw::of(fields).ok()?;
    (!fields.is_empty()).then_some(Kept { dialect, json })
}

/// The event's data as JSON.
fn parse<'a, T: serde::Deserialize<'a>>(event: &'a ServerEvent) -> Result<T, Failure> {
    serde_json::from_str(&event.data).map_err(|error| {
        let start: String = event.data.chars().take(200).collect();
        Failure::new(Kind::Malformed, format!("{error} in {start:?}"))
    })
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A count of tokens; `None` where there is none.
fn count(value: &Value, path: &str) -> Option<u64> {
    value.pointer(path)?.as_u64()
}

/// Adds text to the last block if that is plain text, else begins one.
fn add_text(blocks: &mut Vec<Block>, more: &str) {
    match blocks.last_mut() {
        Some(Block::Text { text, kept: None }) => text.push_str(more),
        _ => blocks.push(Block::text(more)),
    }
}

fn cut_off() -> Failure {
    Failure::new(Kind::CutOff, "the stream ended before the reply did")
}

fn has_calls(blocks: &[Block]) -> bool {
    blocks
        .iter()
        .any(|block| matches!(block, Block::ToolCall { .. }))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{CacheTime, Message, Settings, Silent, Thinking, Tool, ToolResult};

    pub(crate) fn settings() -> Settings {
        Settings {
            max_output_tokens: 1_000,
            thinking: Thinking::Default,
            cache_key: "run-7".to_owned(),
            cache_time: CacheTime::Minutes5,
            extra: None,
        }
    }

    pub(crate) fn tools() -> Vec<Tool> {
        vec![Tool {
            name: "shell".to_owned(),
            description: "Runs a script.".to_owned(),
            schema: Raw::new(r#"{"type":"object","properties":{"script":{"type":"string"}}}"#)
                .unwrap(),
        }]
    }

    pub(crate) fn result(id: &str, content: &str, is_error: bool) -> ToolResult {
        ToolResult {
            id: id.to_owned(),
            content: content.to_owned(),
            is_error,
        }
    }

    /// What a provider is sent for a conversation.
    pub(crate) fn sent(name: &str, messages: &[Message], settings: &Settings) -> Value {
        let request = Request {
            system: "Be brief.",
            messages,
            stable: 1,
            tools: &tools(),
            settings,
        };
        let sent = write(&name.parse().unwrap(), &request).unwrap();
        serde_json::from_slice(&sent.body).unwrap()
    }

    /// What comes of a stream of `NAME DATA` lines, or of `DATA` lines.
    pub(crate) fn read(dialect: Dialect, stream: &str) -> Result<Reply, Failure> {
        let mut reader = reader(dialect);
        for line in stream
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let (name, data) = match line.find(['{', '[']) {
                Some(start) => line.split_at(start),
                None => ("", line),
            };
            let event = ServerEvent {
                name: name.trim().to_owned(),
                data: data.to_owned(),
            };
            if reader.event(&event, &mut Silent)? {
                break;
            }
        }
        reader.reply()
    }

    #[test]
    fn own_fields_are_set_last() {
        let extra = Raw::new(r#"{"top":1.0,"config":{"b":2}}"#).unwrap();
        let value = serde_json::json!({"config": {"a": 1, "b": 1}, "model": "m"});
        let body = body(&value, Some(&extra)).unwrap();
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"config":{"a":1,"b":2},"model":"m","top":1.0}"#
        );
        let extra = Raw::new("[]").unwrap();
        assert!(super::body(&value, Some(&extra)).is_err());
    }

    #[test]
    fn arguments_go_back_as_an_object() {
        assert_eq!(object(r#" {"a": 1.0}"#).get(), r#"{"a": 1.0}"#);
        assert_eq!(object(r#"{"a": "#).get(), r#"{"INVALID_JSON":"{\"a\": "}"#);
        assert_eq!(object("7").get(), r#"{"INVALID_JSON":"7"}"#);
    }
}
