//! What servers say when they do not answer, and what it means.

use serde_json::Value;

use crate::{Failure, Kind, Phase, Spent, Usage, after};

/// Longest message that is passed on, in characters.
const LONGEST: usize = 1_000;

/// Words that providers use for kinds of errors, without case, and what they mean. The first that fits
/// counts, so what is special stands first.
const WORDS: [(&str, Kind); 50] = [
    ("context_length_exceeded", Kind::ContextOverflow),
    ("exceed_context_size_error", Kind::ContextOverflow),
    ("request_too_large", Kind::ContextOverflow),
    ("contextwindowexceedederror", Kind::ContextOverflow),
    ("insufficient_quota", Kind::OutOfQuota),
    ("billing_error", Kind::OutOfQuota),
    ("billing_hard_limit_reached", Kind::OutOfQuota),
    ("billing_not_active", Kind::OutOfQuota),
    ("budget_exceeded", Kind::OutOfQuota),
    ("content_filter", Kind::Filtered),
    ("content_policy_violation", Kind::Filtered),
    ("responsibleaipolicyviolation", Kind::Filtered),
    ("invalid_prompt", Kind::Filtered),
    ("bio_policy", Kind::Filtered),
    ("cyber_policy", Kind::Filtered),
    ("misalignment_policy_violation", Kind::Filtered),
    ("rate_limit_error", RATE_LIMITED),
    ("rate_limit_exceeded", RATE_LIMITED),
    ("too_many_requests", RATE_LIMITED),
    ("throttling_error", RATE_LIMITED),
    ("resource_exhausted", RATE_LIMITED),
    ("overloaded_error", OVERLOADED),
    ("overloaded", OVERLOADED),
    ("server_is_overloaded", OVERLOADED),
    ("engine_overloaded", OVERLOADED),
    ("slow_down", OVERLOADED),
    ("service_unavailable", OVERLOADED),
    ("service_unavailable_error", OVERLOADED),
    ("unavailable_error", OVERLOADED),
    ("unavailable", OVERLOADED),
    ("timeout_error", TIMED_OUT),
    ("timeout", TIMED_OUT),
    ("deadline_exceeded", TIMED_OUT),
    ("authentication_error", Kind::Authentication),
    ("auth_error", Kind::Authentication),
    ("invalid_api_key", Kind::Authentication),
    ("api_key_invalid", Kind::Authentication),
    ("permission_error", Kind::Authentication),
    ("permission_denied", Kind::Authentication),
    ("unauthenticated", Kind::Authentication),
    ("not_found_error", Kind::NotFound),
    ("notfounderror", Kind::NotFound),
    ("model_not_found", Kind::NotFound),
    ("not_found", Kind::NotFound),
    ("api_error", Kind::Server),
    ("server_error", Kind::Server),
    ("internal_server_error", Kind::Server),
    ("internalservererror", Kind::Server),
    ("internal_error", Kind::Server),
    ("internal", Kind::Server),
];

/// Parts of messages, without case, from providers whose words do not tell.
const PHRASES: [(&str, Kind); 11] = [
    ("prompt is too long", Kind::ContextOverflow),
    ("exceed context limit", Kind::ContextOverflow),
    ("maximum context length", Kind::ContextOverflow),
    ("context window", Kind::ContextOverflow),
    ("exceeds the available context size", Kind::ContextOverflow),
    (
        "exceeds the maximum number of tokens",
        Kind::ContextOverflow,
    ),
    ("maximum model length", Kind::ContextOverflow),
    ("context_length_exceeded", Kind::ContextOverflow),
    ("credit balance is too low", Kind::OutOfQuota),
    ("api key not valid", Kind::Authentication),
    ("content management policy", Kind::Filtered),
];

const RATE_LIMITED: Kind = Kind::RateLimited {
    retry_after_ms: None,
};
const OVERLOADED: Kind = Kind::Overloaded {
    retry_after_ms: None,
};
const TIMED_OUT: Kind = Kind::TimedOut {
    phase: Phase::Answer,
};

/// Makes a failure of an answer that is not a stream of events.
pub(crate) fn understood(status: u16, retry_after_ms: Option<u64>, body: &str) -> Failure {
    let value: Option<Value> = serde_json::from_str(body).ok();
    let mut failure = match &value {
        Some(value) if (300..=599).contains(&status) || has_error(value) => {
            said(Some(status), value)
        }
        _ => Failure::new(of_status(status), text_of(body)),
    };
    if status < 300 && value.is_none_or(|value| !has_error(&value)) {
        failure.kind = Kind::Malformed;
        failure.message = format!("expected a stream of events, found {:?}", failure.message);
        failure.spent = Spent::Unknown(Usage::default());
    }
    failure.status = Some(status);
    // A gateway that gave up waiting does not know what its provider did.
    if matches!(status, 408 | 504) {
        failure.spent = Spent::Unknown(Usage::default());
    }
    match &mut failure.kind {
        Kind::RateLimited {
            retry_after_ms: after,
        }
        | Kind::Overloaded {
            retry_after_ms: after,
        } => {
            *after = retry_after_ms.or(*after);
        }
        _ => {}
    }
    failure
}

fn has_error(value: &Value) -> bool {
    let value = if value.is_array() { &value[0] } else { value };
    ["error", "detail"].iter().any(|key| !value[key].is_null())
        || value["object"] == "error"
        || value["type"] == "error"
}

/// Makes a failure of an error object, as it stands in an answer or in an event.
pub(crate) fn said(status: Option<u16>, value: &Value) -> Failure {
    let value = if value.is_array() { &value[0] } else { value };
    let error = match &value["error"] {
        Value::Null => value,
        error => error,
    };
    let message = [
        &error["message"],
        error,
        &error["detail"],
        &value["message"],
    ]
    .into_iter()
    .find_map(Value::as_str)
    .map_or_else(|| error.to_string(), str::to_owned);
    let mut words: Vec<String> = ["code", "type", "status"]
        .iter()
        .filter_map(|key| error[key].as_str())
        .map(str::to_lowercase)
        .collect();
    let mut wait = None;
    for detail in error["details"].as_array().into_iter().flatten() {
        words.extend(detail["reason"].as_str().map(str::to_lowercase));
        let delay = detail["retryDelay"]
            .as_str()
            .and_then(|text| text.strip_suffix('s'));
        wait = wait.or(delay.and_then(|text| after::milliseconds(text, 1_000.0)));
    }
    let lower = message.to_lowercase();
    // Some servers give the status as the code.
    let status = status.filter(|status| *status >= 300).or_else(|| {
        let code = &error["code"];
        let code = code.as_u64().or_else(|| code.as_str()?.parse().ok())?;
        u16::try_from(code).ok()
    });
    let named = WORDS
        .iter()
        .find(|(word, _)| words.iter().any(|known| known == word));
    let phrased = PHRASES.iter().find(|(phrase, _)| lower.contains(phrase));
    // A rate limit names tokens and contexts too; its word counts.
    let kind = match (named, phrased) {
        (Some((_, Kind::NotFound | Kind::Server)), Some((_, phrased))) => *phrased,
        (Some((_, kind)), _) => *kind,
        (None, Some((_, kind))) if status != Some(429) => *kind,
        _ => status.map_or(Kind::Server, of_status),
    };
    let mut failure = Failure::new(kind, text_of(&message));
    if let Kind::RateLimited { retry_after_ms } | Kind::Overloaded { retry_after_ms } =
        &mut failure.kind
    {
        *retry_after_ms = wait;
    }
    failure
}

fn of_status(status: u16) -> Kind {
    match status {
        401 | 403 => Kind::Authentication,
        402 => Kind::OutOfQuota,
        404 => Kind::NotFound,
        408 | 504 => TIMED_OUT,
        413 => Kind::ContextOverflow,
        429 => RATE_LIMITED,
        503 | 529 => OVERLOADED,
        500..=599 => Kind::Server,
        _ => Kind::BadRequest,
    }
}

fn text_of(text: &str) -> String {
    let text = text.trim();
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push_str(" ...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, kind: &str, message: &str) {
        let failure = understood(status, None, body);
        assert_eq!(failure.kind.name(), kind, "{body}");
        assert!(failure.message.contains(message), "{failure}");
    }

    #[test]
    fn each_provider_is_understood() {
        let anthropic = |kind: &str, message: &str| {
            format!(
                r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_1"}}"#
            )
        };
        check(
            429,
            &anthropic(
                "rate_limit_error",
                "This request would exceed your rate limit of 40000 input tokens",
            ),
            "rate-limited",
            "40000",
        );
        check(
            529,
            &anthropic("overloaded_error", "Overloaded"),
            "overloaded",
            "Overloaded",
        );
        check(
            500,
            &anthropic("api_error", "Internal server error"),
            "server",
            "Internal",
        );
        check(
            504,
            &anthropic("timeout_error", "Timed out"),
            "timed-out",
            "",
        );
        check(
            401,
            &anthropic("authentication_error", "invalid x-api-key"),
            "authentication",
            "x-api-key",
        );
        check(
            404,
            &anthropic("not_found_error", "model: claude-0"),
            "not-found",
            "claude-0",
        );
        check(
            413,
            &anthropic("request_too_large", "Request exceeds the maximum size"),
            "context-overflow",
            "",
        );
        check(
            400,
            &anthropic(
                "invalid_request_error",
                "prompt is too long: 212342 tokens > 200000 maximum",
            ),
            "context-overflow",
            "212342",
        );
        check(
            400,
            &anthropic(
                "invalid_request_error",
                "Your credit balance is too low to access the API",
            ),
            "out-of-quota",
            "",
        );
        check(
            400,
            &anthropic(
                "invalid_request_error",
                "messages: at least one message is required",
            ),
            "bad-request",
            "",
        );

        let openai = |code: &str, kind: &str, message: &str| {
            format!(
                r#"{{"error":{{"message":"{message}","type":"{kind}","param":null,"code":{code}}}}}"#
            )
        };
        check(
            429,
            &openai(
                "\"rate_limit_exceeded\"",
                "tokens",
                "Rate limit reached on tokens per min",
            ),
            "rate-limited",
            "",
        );
        check(
            429,
            &openai(
                "\"insufficient_quota\"",
                "insufficient_quota",
                "You exceeded your current quota",
            ),
            "out-of-quota",
            "",
        );
        check(
            400,
            &openai(
                "\"context_length_exceeded\"",
                "invalid_request_error",
                "Your input exceeds the context window",
            ),
            "context-overflow",
            "",
        );
        check(
            400,
            &openai("\"invalid_prompt\"", "invalid_request_error", "flagged"),
            "filtered",
            "",
        );
        check(
            400,
            &openai("\"content_filter\"", "null", "filtered"),
            "filtered",
            "",
        );
        check(
            401,
            &openai(
                "\"invalid_api_key\"",
                "invalid_request_error",
                "Incorrect API key",
            ),
            "authentication",
            "",
        );
        check(
            404,
            &openai(
                "\"model_not_found\"",
                "invalid_request_error",
                "no such model",
            ),
            "not-found",
            "",
        );
        check(
            503,
            &openai("null", "server_error", "busy"),
            "server",
            "busy",
        );

        let gemini = |code: u16, word: &str, message: &str, details: &str| {
            format!(
                r#"[{{"error":{{"code":{code},"message":"{message}","status":"{word}","details":[{details}]}}}}]"#
            )
        };
        check(
            400,
            &gemini(
                400,
                "INVALID_ARGUMENT",
                "API key not valid",
                r#"{"reason":"API_KEY_INVALID"}"#,
            ),
            "authentication",
            "",
        );
        check(
            400,
            &gemini(
                400,
                "INVALID_ARGUMENT",
                "The input token count (2097155) exceeds the maximum number of tokens allowed (1048576).",
                "",
            ),
            "context-overflow",
            "",
        );
        check(
            503,
            &gemini(503, "UNAVAILABLE", "The model is overloaded.", ""),
            "overloaded",
            "",
        );
        let failure = understood(
            429,
            None,
            &gemini(
                429,
                "RESOURCE_EXHAUSTED",
                "Quota",
                r#"{"retryDelay":"34.5s"}"#,
            ),
        );
        assert_eq!(
            failure.kind,
            Kind::RateLimited {
                retry_after_ms: Some(34_500)
            }
        );

        check(
            400,
            r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
            "context-overflow",
            "",
        );
        check(
            503,
            r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
            "overloaded",
            "Loading",
        );
        check(
            400,
            r#"{"object":"error","message":"This model's maximum context length is 2048 tokens.","type":"BadRequestError","code":400}"#,
            "context-overflow",
            "2048",
        );
        check(
            404,
            r#"{"error":"model 'x' not found"}"#,
            "not-found",
            "'x'",
        );
        check(404, r#"{"detail":"Not Found"}"#, "not-found", "Not Found");
    }

    #[test]
    fn what_is_not_json_is_understood_by_its_status() {
        check(502, "<html>Bad Gateway</html>", "server", "Bad Gateway");
        check(429, "", "rate-limited", "");
        check(301, "", "bad-request", "");
        check(200, "<html>Hello</html>", "malformed", "Hello");
        check(200, r#"{"choices":[]}"#, "malformed", "expected a stream");
        check(
            200,
            r#"{"error":{"message":"Overloaded","type":"overloaded_error"}}"#,
            "overloaded",
            "",
        );
    }

    #[test]
    fn the_header_counts_before_the_body() {
        let body = r#"{"error":{"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"34s"}]}}"#;
        let failure = understood(429, Some(7), body);
        assert_eq!(
            failure.kind,
            Kind::RateLimited {
                retry_after_ms: Some(7)
            }
        );
    }
}
