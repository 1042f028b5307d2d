//! What a caller is told that does not get what it asked for, in its own dialect.

use serde_json::json;

use crate::Dialect;

/// Why a caller does not get what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No such place here.
    Path,
    /// Another model.
    Model,
    /// Something in the request that is not allowed.
    Content,
    /// Nothing was refused: a part of the request was left out.
    LeftOut,
    /// The request is larger than what is read.
    TooLarge,
    /// A limit of the run is reached.
    Budget,
    /// The run is over or cannot be recorded.
    Closed,
    /// The provider cannot be reached, or does not answer.
    Provider,
}

impl Reason {
    /// The word that records use.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Path => "path",
            Reason::Model => "model",
            Reason::Content => "content",
            Reason::LeftOut => "left-out",
            Reason::TooLarge => "too-large",
            Reason::Budget => "budget",
            Reason::Closed => "closed",
            Reason::Provider => "provider",
        }
    }

    /// Status, and the words of Anthropic, OpenAI and Gemini.
    fn words(self, dialect: Dialect) -> (u16, &'static str) {
        let (status, anthropic, openai, gemini) = match self {
            Reason::Path => (404, "not_found_error", "invalid_request_error", "NOT_FOUND"),
            Reason::Model => (404, "not_found_error", "model_not_found", "NOT_FOUND"),
            Reason::Content | Reason::LeftOut => (
                400,
                "invalid_request_error",
                "invalid_request_error",
                "INVALID_ARGUMENT",
            ),
            Reason::TooLarge => (
                413,
                "request_too_large",
                "invalid_request_error",
                "INVALID_ARGUMENT",
            ),
            Reason::Budget => match dialect {
                Dialect::Anthropic => (402, "billing_error", "", ""),
                _ => (429, "", "insufficient_quota", "RESOURCE_EXHAUSTED"),
            },
            Reason::Closed => (
                403,
                "permission_error",
                "access_terminated",
                "PERMISSION_DENIED",
            ),
            Reason::Provider => (502, "api_error", "server_error", "UNAVAILABLE"),
        };
        let word = match dialect {
            Dialect::Anthropic => anthropic,
            Dialect::Responses | Dialect::Chat => openai,
            Dialect::Gemini => gemini,
        };
        (status, word)
    }
}

/// A refusal as its dialect writes it: status and body.
pub(super) fn written(dialect: Dialect, reason: Reason, message: &str) -> (u16, Vec<u8>) {
    let (status, word) = reason.words(dialect);
    let body = match dialect {
        Dialect::Anthropic => {
            json!({"type": "error", "error": {"type": word, "message": message}})
        }
        Dialect::Responses | Dialect::Chat => {
            json!({"error": {"message": message, "type": word, "param": null, "code": word}})
        }
        Dialect::Gemini => {
            json!({"error": {"code": status, "message": message, "status": word}})
        }
    };
    (status, body.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, wire};

    /// What is told of a spent budget is what the dialects' own clients understand, this program's among them.
    #[test]
    fn a_spent_budget_is_understood() {
        for dialect in [Dialect::Anthropic, Dialect::Responses, Dialect::Chat] {
            let (status, body) = written(dialect, Reason::Budget, "the budget is used up");
            let failure = wire::understood(status, None, &String::from_utf8(body).unwrap());
            assert_eq!(failure.kind, Kind::OutOfQuota, "{dialect:?}");
            assert!(failure.message.contains("used up"));
        }
        let (status, body) = written(Dialect::Gemini, Reason::Budget, "the budget is used up");
        assert_eq!(status, 429);
        assert!(
            String::from_utf8(body)
                .unwrap()
                .contains("RESOURCE_EXHAUSTED")
        );
    }
}
