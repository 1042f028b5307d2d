//! A request as it is passed on: built of the fields that are allowed, each with the text that the caller wrote.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::refusal::Reason;
use super::route::{Act, Route};
use super::strict::{self, Fields};
use super::{Ask, Pinned, rules};
use crate::Dialect;

/// Tokens that an answer is allowed at least: with fewer left, the budget is used up.
const LEAST_OUTPUT: u64 = 1024;

/// A request that may pass.
#[derive(Clone)]
pub(super) struct Passed {
    dialect: Dialect,
    fields: Fields,
    items: &'static str,
    /// The most tokens of the answer that the caller asks for.
    pub(super) most: Option<u64>,
    least: u64,
    alias: Option<String>,
    /// Fields that were left out.
    pub(super) left_out: Vec<String>,
}

/// What is wrong with a request, and where.
pub(super) type Wrong = (Reason, String);

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn set(fields: &mut Fields, name: &str, value: &Value) {
    match fields.iter_mut().find(|(known, _)| known == name) {
        Some((_, place)) => *place = raw(value),
        None => fields.push((name.to_owned(), raw(value))),
    }
}

/// Reads a request and holds it to the rules.
///
/// # Errors
/// What does not pass.
pub(super) fn read(route: &Route, pinned: &Pinned, body: &[u8]) -> Result<Passed, Wrong> {
    let (map, mut fields) = strict::read(body).map_err(|what| {
        (
            Reason::Content,
            format!("the request cannot be read: {what}"),
        )
    })?;
    let rules = rules::of(route.dialect);
    let alias = model(route, pinned, &map)?;
    let left_out = rules::check(rules, &map).map_err(|broken| {
        let text = format!("{}: {}", broken.place, broken.what);
        (Reason::Content, text)
    })?;
    fields.retain(|(name, _)| !left_out.contains(name));
    let streams = map.get("stream") == Some(&Value::Bool(true));
    let number = |path: &str| pointer(&map, path).and_then(Value::as_u64);
    let (most, thinking) = match route.dialect {
        Dialect::Anthropic => (number("/max_tokens"), number("/thinking/budget_tokens")),
        Dialect::Responses => (number("/max_output_tokens"), None),
        Dialect::Chat => (
            number("/max_completion_tokens").or(number("/max_tokens")),
            None,
        ),
        Dialect::Gemini => (
            number("/generationConfig/maxOutputTokens"),
            number("/generationConfig/thinkingConfig/thinkingBudget"),
        ),
    };
    if matches!(route.act, Act::Answer { .. }) {
        match route.dialect {
            // What a provider keeps could be referred to later, by whoever has the key.
            Dialect::Responses => set(&mut fields, "store", &json!(false)),
            // Otherwise nobody would say what the answer took.
            Dialect::Chat if streams => {
                set(
                    &mut fields,
                    "stream_options",
                    &json!({"include_usage": true}),
                );
            }
            _ => {}
        }
    }
    if alias.is_some() && route.model.is_none() {
        set(&mut fields, "model", &json!(pinned.name.model()));
    }
    Ok(Passed {
        dialect: route.dialect,
        fields,
        items: rules.items,
        most,
        least: LEAST_OUTPUT.saturating_add(thinking.unwrap_or(0)),
        alias,
        left_out: left_out
            .into_iter()
            .filter(|name| !rules::is_nothing(&map[name]))
            .collect(),
    })
}

/// Whether a provider's complaint is about the limit of an answer.
pub(super) fn names_limit(complaint: &str) -> bool {
    let complaint = complaint.to_lowercase();
    [
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "maxoutputtokens",
    ]
    .iter()
    .any(|name| complaint.contains(name))
}

fn pointer<'a>(map: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let (first, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let value = map.get(first)?;
    match rest {
        "" => Some(value),
        rest => value.pointer(&format!("/{rest}")),
    }
}

/// Holds the model's name to the pinned one; gives the name that was asked for where it stands for that.
fn model(
    route: &Route,
    pinned: &Pinned,
    map: &Map<String, Value>,
) -> Result<Option<String>, Wrong> {
    let inner = pointer(map, "/generateContentRequest/model");
    let asked = match (&route.model, map.get("model")) {
        (Some(name), None) => name.as_str(),
        (None, Some(Value::String(name))) => name,
        _ => "",
    };
    let of_inner = inner.map(|name| name.as_str().unwrap_or_default());
    let of_inner = of_inner.map(|name| name.strip_prefix("models/").unwrap_or(name));
    if of_inner.is_some_and(|name| name != pinned.name.model()) {
        return Err((Reason::Model, "another model is named inside".to_owned()));
    }
    if asked == pinned.name.model() {
        return Ok(None);
    }
    if pinned.stands_for(asked) {
        return Ok(Some(asked.to_owned()));
    }
    let short: String = asked.chars().take(100).collect();
    Err((
        Reason::Model,
        format!(
            "the model {short:?} is not here; this run has {:?}",
            pinned.name.model()
        ),
    ))
}

impl Passed {
    /// What has to be decided upon and recorded before the request is passed on.
    pub(super) fn ask(&self, bytes: usize) -> Ask {
        let (mut items, mut rest) = (Vec::new(), Map::new());
        for (name, text) in &self.fields {
            if name != self.items {
                let value = serde_json::from_str(text.get()).unwrap_or_default();
                rest.insert(name.clone(), value);
                continue;
            }
            match serde_json::from_str::<Vec<Box<RawValue>>>(text.get()) {
                Ok(list) => items.extend(list.iter().map(|item| item.get().to_owned())),
                // A conversation may be one string.
                Err(_) => items.push(text.get().to_owned()),
            }
        }
        Ask {
            dialect: self.dialect,
            alias: self.alias.clone(),
            items,
            rest: Value::Object(rest).to_string(),
            bytes: bytes as u64,
            most: self.most,
            least: self.least,
        }
    }

    /// The body that is sent; `cap` is the most tokens of the answer that the budget allows, where it allows less than
    /// is asked for.
    pub(super) fn body(mut self, cap: Option<u64>) -> Vec<u8> {
        if let Some(cap) = cap {
            self.cap(cap);
        }
        let mut body = Vec::new();
        for (index, (name, text)) in self.fields.iter().enumerate() {
            body.push(if index == 0 { b'{' } else { b',' });
            body.extend(Value::from(name.as_str()).to_string().bytes());
            body.push(b':');
            body.extend(text.get().bytes());
        }
        if self.fields.is_empty() {
            body.push(b'{');
        }
        body.push(b'}');
        body
    }

    fn cap(&mut self, cap: u64) {
        let has = |name: &str| self.fields.iter().any(|(known, _)| known == name);
        let name = match self.dialect {
            Dialect::Anthropic => "max_tokens",
            Dialect::Responses => "max_output_tokens",
            // Which of the two a server knows, the caller knows.
            Dialect::Chat if has("max_tokens") => "max_tokens",
            Dialect::Chat => "max_completion_tokens",
            Dialect::Gemini => {
                let config = self
                    .fields
                    .iter()
                    .find(|(name, _)| name == "generationConfig");
                let text = config.map_or("{}", |(_, text)| text.get());
                let mut config: Value = serde_json::from_str(text).unwrap_or_default();
                if !config.is_object() {
                    config = json!({});
                }
                config["maxOutputTokens"] = cap.into();
                set(&mut self.fields, "generationConfig", &config);
                return;
            }
        };
        if has("max_tokens") && has("max_completion_tokens") {
            self.fields
                .retain(|(known, _)| known != "max_completion_tokens");
        }
        set(&mut self.fields, name, &cap.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::route;

    fn pinned(name: &str) -> Pinned {
        Pinned {
            name: name.parse().unwrap(),
            aliases: vec!["claude-haiku-*".to_owned(), "small".to_owned()],
        }
    }

    fn pass(path: &str, name: &str, body: &str) -> Result<Passed, Wrong> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let route = route::find("POST", path, query).unwrap();
        read(&route, &pinned(name), body.as_bytes())
    }

    #[track_caller]
    fn sent(path: &str, name: &str, body: &str, cap: Option<u64>) -> String {
        let passed = pass(path, name, body).unwrap_or_else(|(_, what)| panic!("{what}"));
        String::from_utf8(passed.body(cap)).unwrap()
    }

    #[test]
    fn what_is_allowed_keeps_its_text() {
        let body = r#"{"model":"m" , "max_tokens": 100, "messages":[ {"role":"user","content":"\u00e9 1.0"} ],"metadata":{"user_id":"u"}}"#;
        assert_eq!(
            sent("/v1/messages", "anthropic/m", body, None),
            r#"{"model":"m","max_tokens":100,"messages":[ {"role":"user","content":"\u00e9 1.0"} ]}"#
        );
    }

    #[test]
    fn the_budget_caps_the_answer() {
        for (path, name, body, expected) in [
            (
                "/v1/messages",
                "anthropic/m",
                r#"{"model":"m","max_tokens":9000,"messages":[]}"#,
                r#"{"model":"m","max_tokens":5,"messages":[]}"#,
            ),
            (
                "/v1/responses",
                "openai/m",
                r#"{"model":"m","input":"Go","store":true}"#,
                r#"{"model":"m","input":"Go","store":false,"max_output_tokens":5}"#,
            ),
            (
                "/v1/chat/completions",
                "openai/m",
                r#"{"model":"m","messages":[],"stream":true,"max_tokens":9,"max_completion_tokens":900}"#,
                r#"{"model":"m","messages":[],"stream":true,"max_tokens":5,"stream_options":{"include_usage":true}}"#,
            ),
            (
                "/v1beta/models/m:generateContent",
                "gemini/m",
                r#"{"contents":[],"generationConfig":{"topK":1,"maxOutputTokens":77}}"#,
                r#"{"contents":[],"generationConfig":{"topK":1,"maxOutputTokens":5}}"#,
            ),
        ] {
            assert_eq!(sent(path, name, body, Some(5)), expected);
        }
    }

    #[test]
    fn another_model_is_refused_or_stands_for_this_one() {
        let body = |model: &str| format!(r#"{{"model":"{model}","max_tokens":1,"messages":[]}}"#);
        for other in ["claude-haiku-4-5", "small"] {
            let passed = pass("/v1/messages", "anthropic/m", &body(other)).unwrap();
            assert_eq!(passed.ask(0).alias.as_deref(), Some(other));
            let text = String::from_utf8(passed.body(None)).unwrap();
            assert!(text.starts_with(r#"{"model":"m""#), "{text}");
        }
        for other in ["", "m2", "xsmall", "claude-haiku"] {
            let (reason, what) = pass("/v1/messages", "anthropic/m", &body(other))
                .err()
                .unwrap();
            assert_eq!(reason, Reason::Model, "{what}");
        }
        for (path, body) in [
            ("/v1beta/models/other:generateContent", r#"{"contents":[]}"#),
            (
                "/v1beta/models/m:countTokens",
                r#"{"generateContentRequest":{"model":"models/other","contents":[]}}"#,
            ),
            (
                "/v1beta/models/m:generateContent",
                r#"{"model":"other","contents":[]}"#,
            ),
        ] {
            assert_eq!(
                pass(path, "gemini/m", body).err().unwrap().0,
                Reason::Model,
                "{path}"
            );
        }
    }

    #[test]
    fn a_conversation_comes_apart_into_what_is_kept_once() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"a"}, {"role":"assistant","content":"b"}],"max_tokens":3,"thinking":{"type":"enabled","budget_tokens":2000}}"#;
        let ask = pass("/v1/messages", "anthropic/m", body)
            .unwrap()
            .ask(body.len());
        assert_eq!(
            ask.items,
            [
                r#"{"role":"user","content":"a"}"#,
                r#"{"role":"assistant","content":"b"}"#
            ]
        );
        assert_eq!(
            ask.rest,
            r#"{"model":"m","max_tokens":3,"thinking":{"type":"enabled","budget_tokens":2000}}"#
        );
        assert_eq!((ask.most, ask.least), (Some(3), 3024));
    }
}
