//! What a model answers, and what that has taken.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::Block;

/// What a model answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// What it says, in order: the content of the next [`crate::Message::Assistant`].
    pub blocks: Vec<Block>,
    /// Why it stopped.
    pub stop: Stop,
    /// What this reply took, without the attempts that failed before it.
    pub usage: Usage,
    /// The model, as the provider names it in the answer; empty where it does not.
    pub model: String,
    /// The provider's name for this response; empty where it has none.
    pub id: String,
    /// What it took to get it.
    #[serde(default)]
    pub attempts: Attempts,
}

impl Reply {
    /// A reply at its first attempt. Where the server does not say what it took, `usage` is `None`, and the attempt counts as
    /// one whose cost is unknown.
    pub(crate) fn first(
        blocks: Vec<Block>,
        stop: Stop,
        usage: Option<Usage>,
        model: String,
        id: String,
    ) -> Self {
        Reply {
            blocks,
            stop,
            usage: usage.unwrap_or_default(),
            model,
            id,
            attempts: Attempts {
                unknown: u32::from(usage.is_none()),
                ..Attempts::default()
            },
        }
    }
}

/// Why a model stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// It is done.
    End,
    /// It waits for the results of its tool calls.
    ToolUse,
    /// The reply is as long as was allowed; its last block may be cut.
    MaxTokens,
    /// The context window is full; its last block may be cut.
    ContextFull,
    /// It refuses, or a filter cut it off. A whole request that a filter turns away is a
    /// [`crate::Kind::Filtered`] instead.
    Refused,
    /// The provider paused a long turn: ask again with this reply as the last message.
    Paused,
    /// Another reason, in the provider's word.
    Other(String),
}

/// Tokens by kind. `input`, `cache_read` and `cache_write` are apart from one another and together the
/// whole request; `reasoning` is a part of `output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Of the request: neither read from a cache nor written to one.
    pub input: u64,
    /// Of the request: read from a cache.
    pub cache_read: u64,
    /// Of the request: written to a cache.
    pub cache_write: u64,
    /// Of those written, the ones to be kept for an hour, which cost more.
    #[serde(default)]
    pub cache_write_hour: u64,
    /// Of the reply, with its reasoning.
    pub output: u64,
    /// Of the reply: reasoning; 0 where the provider does not say.
    pub reasoning: u64,
}

impl Usage {
    /// Tokens of the request, of all kinds.
    pub fn request(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write)
    }

    /// Tokens of request and reply.
    pub fn total(&self) -> u64 {
        self.request().saturating_add(self.output)
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.input, other.input);
        add(&mut self.cache_read, other.cache_read);
        add(&mut self.cache_write, other.cache_write);
        add(&mut self.cache_write_hour, other.cache_write_hour);
        add(&mut self.output, other.output);
        add(&mut self.reasoning, other.reasoning);
    }
}

/// What it took to get a reply, or to fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// Attempts that failed and were tried again.
    pub failed: u32,
    /// Time that brought nothing, in milliseconds: failed attempts that were tried again, and the pauses
    /// after them. A budget of working time leaves it out.
    pub waited_ms: u64,
    /// What failed attempts took, as far as the provider said.
    pub lost: Usage,
    /// Failed attempts that may have been charged without a word of how much.
    pub unknown: u32,
}
