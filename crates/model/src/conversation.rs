//! What a conversation consists of.
//!
//! Everything here is written as JSON that reads back equal, so that a journal can store a message by the
//! hash of its JSON. Enumerations are written as `{"kind": content}`: the one form of serde's that leaves
//! the text of a [`Raw`] alone.

use serde::{Deserialize, Serialize};

use crate::{Dialect, Raw};

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// From whoever uses the model.
    User(String),
    /// From the model: the blocks of a reply, unchanged and in order.
    Assistant(Vec<Block>),
    /// What came of the tool calls of the message before it, one for every call.
    Results(Vec<ToolResult>),
}

/// A part of what a model says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Block {
    /// Text for the reader.
    Text {
        /// The text.
        text: String,
        /// What its provider wants back with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept: Option<Kept>,
    },
    /// Reasoning, as its provider wrote it: signed, encrypted or plain. It goes back unchanged to a
    /// provider that speaks the same dialect, and nowhere else.
    Thinking(Kept),
    /// The model asks for a tool.
    ToolCall {
        /// Names the call; its [`ToolResult`] has the same. Made up here for a provider that gives none.
        id: String,
        /// Name of the tool.
        name: String,
        /// What it is called with: a JSON object if the model did what it was asked, otherwise whatever
        /// it wrote. Tell the model of its mistake in the call's result.
        arguments: String,
        /// What its provider wants back with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept: Option<Kept>,
    },
    /// Something that only its provider understands. It goes back unchanged.
    Opaque(Kept),
}

impl Block {
    /// Text that its provider wants nothing back with.
    pub fn text(text: impl Into<String>) -> Self {
        Block::Text {
            text: text.into(),
            kept: None,
        }
    }

    /// The reasoning that a person can read; `None` where there is none.
    pub fn readable_thinking(&self) -> Option<String> {
        match self {
            Block::Thinking(kept) => kept.readable(),
            _ => None,
        }
    }
}

/// JSON that goes back to where it came from, exactly as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Who understands it.
    pub dialect: Dialect,
    /// The text.
    pub json: Raw,
}

impl Kept {
    /// What a person can read in a piece of reasoning.
    fn readable(&self) -> Option<String> {
        let value = self.json.value();
        let text = match self.dialect {
            Dialect::Anthropic => value["thinking"].as_str()?.to_owned(),
            Dialect::Gemini => value["text"].as_str()?.to_owned(),
            Dialect::Chat => value
                .as_object()?
                .values()
                .find_map(|text| text.as_str())?
                .to_owned(),
            Dialect::Responses => {
                let parts = |key: &str| value[key].as_array().cloned().unwrap_or_default();
                let texts: Vec<String> = parts("summary")
                    .into_iter()
                    .chain(parts("content"))
                    .filter_map(|part| part["text"].as_str().map(str::to_owned))
                    .collect();
                texts.join("\n\n")
            }
        };
        (!text.is_empty()).then_some(text)
    }
}

/// What came of a tool call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// Id of the call.
    pub id: String,
    /// What the model is shown.
    pub content: String,
    /// Whether the tool failed. Providers that have no place for it get the content alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
}

/// A tool that the model may call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Letters, digits, `_` and `-`, at most 64: what every provider takes.
    pub name: String,
    /// When and how to use it.
    pub description: String,
    /// JSON schema of its arguments, an object.
    pub schema: Raw,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str) {
        let message: Message = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&message).unwrap(), line);
    }

    /// Journals hold these: add lines, never change them.
    #[test]
    fn messages_round_trip() {
        check(r#"{"user":"Go on.\n"}"#);
        check(r#"{"assistant":[]}"#);
        check(
            r#"{"assistant":[{"thinking":{"dialect":"anthropic","json":{"type":"thinking","thinking":"h\u006d","signature":"c2ln"}}},{"text":{"text":"a"}},{"tool-call":{"id":"toolu_1","name":"shell","arguments":"{\"script\": \"ls\"}"}}]}"#,
        );
        check(
            r#"{"assistant":[{"tool-call":{"id":"c","name":"shell","arguments":"{","kept":{"dialect":"gemini","json":{"thoughtSignature":"AA=="}}}},{"opaque":{"dialect":"responses","json":{"type":"item", "n":1.0}}}]}"#,
        );
        check(
            r#"{"results":[{"id":"toolu_1","content":"a\n"},{"id":"b","content":"no such file","is_error":true}]}"#,
        );
    }

    #[test]
    fn thinking_can_be_read() {
        for (dialect, json, text) in [
            (
                Dialect::Anthropic,
                r#"{"type":"thinking","thinking":"hm","signature":"x"}"#,
                Some("hm"),
            ),
            (
                Dialect::Anthropic,
                r#"{"type":"redacted_thinking","data":"x"}"#,
                None,
            ),
            (
                Dialect::Gemini,
                r#"{"text":"hm","thought":true}"#,
                Some("hm"),
            ),
            (Dialect::Chat, r#"{"reasoning_content":"hm"}"#, Some("hm")),
            (
                Dialect::Responses,
                r#"{"type":"reasoning","summary":[{"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}],"encrypted_content":"x"}"#,
                Some("a\n\nb"),
            ),
            (
                Dialect::Responses,
                r#"{"type":"reasoning","summary":[]}"#,
                None,
            ),
        ] {
            let block = Block::Thinking(Kept {
                dialect,
                json: Raw::new(json).unwrap(),
            });
            assert_eq!(block.readable_thinking().as_deref(), text, "{json}");
        }
    }
}
