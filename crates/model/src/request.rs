//! What a model is asked.

use serde::{Deserialize, Serialize};

use crate::{Message, Raw, Tool};

/// What a model is asked: a conversation so far, and how to go on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Request<'a> {
    /// Stands before the conversation; empty for none.
    pub system: &'a str,
    /// The conversation, oldest first. It begins with what a user says; its last message is not the
    /// model's, unless a paused reply is to go on.
    pub messages: &'a [Message],
    /// Hint for caches: so many of the first messages stay as they are for the whole run, also when the
    /// rest is compacted.
    pub stable: usize,
    /// Tools that the model may call, several in one turn.
    pub tools: &'a [Tool],
    /// What stays the same from call to call.
    pub settings: &'a Settings,
}

/// What stays the same from call to call of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Most tokens that a reply may have, with its reasoning.
    pub max_output_tokens: u64,
    /// How much the model is to think.
    pub thinking: Thinking,
    /// Names the conversation to providers whose caches are found by such a name, e.g. the run's id.
    pub cache_key: String,
    /// How long the provider is asked to keep what it has cached.
    pub cache_time: CacheTime,
    /// A JSON object whose fields are set in the provider's request last, for what has no word here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Raw>,
}

/// How much a model is to think.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thinking {
    /// As the provider does by itself.
    Default,
    /// Not at all, where that can be had.
    Off,
    /// At most this many tokens: models that are told a budget.
    Tokens(u64),
    /// By a word of the provider's, such as `low`, `medium` or `high`: models that are told an effort.
    Effort(String),
}

/// How long a provider is asked to keep what it has cached. Only Anthropic can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheTime {
    /// Five minutes after the last use.
    Minutes5,
    /// An hour after the last use; writing costs more.
    Hour,
}
