//! What the events of a model's turns are made of: limits and spending, and the pieces of what a model is told.

use serde::{Deserialize, Serialize};

use super::Content;

/// Limits of a whole run. What is missing is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// Tokens of all calls together: sent, read from a cache, and answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Price of all calls together, in millionths of a dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microdollars: Option<u64>,
    /// Time in which a session was at work on the run, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_seconds: Option<u64>,
    /// The same without waiting for rate limits and without pauses, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_seconds: Option<u64>,
    /// Answers of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<u64>,
    /// Time in which tools ran, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_seconds: Option<u64>,
}

/// What a run has spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Spent {
    /// Tokens of answered calls.
    pub tokens: u64,
    /// Price of answered calls, in millionths of a dollar.
    pub microdollars: u64,
    /// Tokens that calls without an answer may have cost.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub possible_tokens: u64,
    /// What calls without an answer may have cost, in millionths of a dollar.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub possible_microdollars: u64,
    /// Answers.
    pub turns: u64,
    /// Time in which a session was at work, in milliseconds.
    pub wall_milliseconds: u64,
    /// Part of it that was spent waiting for rate limits, or paused.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub waited_milliseconds: u64,
    /// Time in which tools ran.
    pub tool_milliseconds: u64,
}

impl Spent {
    /// Tokens of all calls, also of those without an answer: what a limit is held against.
    pub fn most_tokens(&self) -> u64 {
        self.tokens.saturating_add(self.possible_tokens)
    }

    /// Price of all calls, also of those without an answer, in millionths of a dollar.
    pub fn most_microdollars(&self) -> u64 {
        self.microdollars.saturating_add(self.possible_microdollars)
    }

    /// Time of work without waiting, in milliseconds.
    pub fn active_milliseconds(&self) -> u64 {
        self.wall_milliseconds
            .saturating_sub(self.waited_milliseconds)
    }
}

/// What a call uses, or can use at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Estimate {
    /// Tokens that are sent.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Price, in millionths of a dollar.
    pub microdollars: u64,
}

/// A piece of what a model is told about its tool call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Piece {
    /// Text.
    Text(Content),
    /// What a command printed, from one byte on; what is not UTF-8 is sent as replacement characters.
    Output {
        /// Number of the command.
        command: u64,
        /// First byte.
        from: u64,
        /// Number of bytes.
        bytes: u64,
    },
}

/// What a message of the harness is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The task.
    Task,
    /// The agent stopped without submitting and is asked to go on.
    GoOn,
    /// The run was interrupted and goes on.
    Resumed,
    /// The instruction to summarize, at the end of a context.
    Summarize,
}

/// What a model is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// To go on with the work.
    Turn,
    /// To summarize what has been done, for the next context.
    Summary,
}

/// Why a context begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The run begins.
    Start,
    /// The one before was full: what was done was summarized.
    Summary,
    /// The one before was full: tool results were cleared, oldest first.
    Clear,
    /// The one before was full: its oldest turns were dropped.
    Trim,
}
