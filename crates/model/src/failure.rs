//! Why there is no reply.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Attempts, Usage};

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What it is.
    pub kind: Kind,
    /// What the provider or the machine says, with no key in it.
    pub message: String,
    /// Status of the HTTP answer, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What the last attempt took.
    pub spent: Spent,
    /// The attempts before the last.
    #[serde(default)]
    pub attempts: Box<Attempts>,
}

/// What a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Too many requests or tokens in too short a time.
    RateLimited {
        /// What the provider asks to wait, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// The provider has too much to do.
    Overloaded {
        /// What the provider asks to wait, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// The provider failed.
    Server,
    /// Nothing can be reached there: no such host, connection refused, no valid certificate.
    Unreachable,
    /// Nothing came for too long.
    TimedOut {
        /// While waiting for what.
        phase: Phase,
    },
    /// The answer ended before its end.
    CutOff,
    /// The answer is not what the provider's documentation says.
    Malformed,
    /// A filter turned the request or the whole reply away.
    Filtered,
    /// The conversation is longer than the model reads.
    ContextOverflow,
    /// The key is missing, wrong or not allowed to do this.
    Authentication,
    /// The account is out of money or of its quota: waiting does not help.
    OutOfQuota,
    /// There is no such model, or no such address.
    NotFound,
    /// The provider does not take the request.
    BadRequest,
    /// [`crate::Watch::stop`] said so.
    Stopped,
    /// A script or a recorded run has no further reply.
    Exhausted,
    /// A recorded run was asked something else.
    Diverged,
}

/// While waiting for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// A connection.
    Connection,
    /// The beginning of the answer.
    Answer,
    /// More of the answer.
    Stream,
    /// The end of the answer, which kept coming.
    End,
}

/// What a failed attempt took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spent {
    /// Nothing: the provider did not begin.
    #[default]
    Nothing,
    /// So much, in the provider's words.
    Known(Usage),
    /// It may have been charged; at least so much.
    Unknown(Usage),
}

impl Kind {
    /// The name that messages and documentation use.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::RateLimited { .. } => "rate-limited",
            Kind::Overloaded { .. } => "overloaded",
            Kind::Server => "server",
            Kind::Unreachable => "unreachable",
            Kind::TimedOut { .. } => "timed-out",
            Kind::CutOff => "cut-off",
            Kind::Malformed => "malformed",
            Kind::Filtered => "filtered",
            Kind::ContextOverflow => "context-overflow",
            Kind::Authentication => "authentication",
            Kind::OutOfQuota => "out-of-quota",
            Kind::NotFound => "not-found",
            Kind::BadRequest => "bad-request",
            Kind::Stopped => "stopped",
            Kind::Exhausted => "exhausted",
            Kind::Diverged => "diverged",
        }
    }

    /// Whether the same request may well succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Kind::RateLimited { .. }
                | Kind::Overloaded { .. }
                | Kind::Server
                | Kind::Unreachable
                | Kind::TimedOut { .. }
                | Kind::CutOff
                | Kind::Malformed
        )
    }

    fn means(&self) -> &'static str {
        match self {
            Kind::RateLimited { .. } => "too many requests",
            Kind::Overloaded { .. } => "the provider is overloaded",
            Kind::Server => "the provider failed",
            Kind::Unreachable => "the provider cannot be reached",
            Kind::TimedOut { phase } => match phase {
                Phase::Connection => "no connection in time",
                Phase::Answer => "no answer in time",
                Phase::Stream => "the answer stopped coming",
                Phase::End => "the answer did not end in time",
            },
            Kind::CutOff => "the answer was cut off",
            Kind::Malformed => "the answer cannot be understood",
            Kind::Filtered => "a content filter turned it away",
            Kind::ContextOverflow => "the conversation is longer than the model reads",
            Kind::Authentication => "the key is missing, wrong or not allowed to do this",
            Kind::OutOfQuota => "the account is out of money or quota",
            Kind::NotFound => "no such model or address",
            Kind::BadRequest => "the provider does not take the request",
            Kind::Stopped => "stopped",
            Kind::Exhausted => "no further reply is recorded",
            Kind::Diverged => "the recorded run was asked something else",
        }
    }
}

impl Failure {
    /// A failure that took nothing and had no HTTP answer.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Failure {
            kind,
            message: message.into(),
            status: None,
            spent: Spent::Nothing,
            attempts: Box::default(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.means())?;
        if let Some(status) = self.status {
            write!(f, " (HTTP {status})")?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        if self.attempts.failed > 0 {
            write!(f, "; attempt {}", self.attempts.failed + 1)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_round_trip_and_read_well() {
        let mut failure = Failure::new(
            Kind::RateLimited {
                retry_after_ms: Some(2_000),
            },
            "slow down",
        );
        failure.status = Some(429);
        failure.attempts.failed = 4;
        assert_eq!(
            failure.to_string(),
            "too many requests (HTTP 429): slow down; attempt 5"
        );
        let text = serde_json::to_string(&failure).unwrap();
        assert_eq!(
            text,
            r#"{"kind":{"rate-limited":{"retry_after_ms":2000}},"message":"slow down","status":429,"spent":"nothing","attempts":{"failed":4,"waited_ms":0,"lost":{"input":0,"cache_read":0,"cache_write":0,"cache_write_hour":0,"output":0,"reasoning":0},"unknown":0}}"#
        );
        assert_eq!(serde_json::from_str::<Failure>(&text).unwrap(), failure);
    }

    #[test]
    fn the_name_is_what_is_written() {
        for kind in [
            Kind::RateLimited {
                retry_after_ms: None,
            },
            Kind::TimedOut {
                phase: Phase::Stream,
            },
            Kind::CutOff,
            Kind::OutOfQuota,
        ] {
            let value = serde_json::to_value(kind).unwrap();
            let written = match &value {
                serde_json::Value::String(text) => text.as_str(),
                other => other.as_object().unwrap().keys().next().unwrap(),
            };
            assert_eq!(written, kind.name());
        }
    }
}
