//! Which places there are. A place that is not here does not exist.

use crate::{Dialect, Name};

/// What is asked for at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) dialect: Dialect,
    pub(super) act: Act,
    /// The model, where the path names it.
    pub(super) model: Option<String>,
    /// How the path begins, where there are several beginnings.
    version: &'static str,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// An answer of the model.
    Answer {
        /// Whether the path says that it is to come as a stream.
        streams: bool,
    },
    /// How many tokens a request would have.
    Count,
}

/// Dialects that a model's provider speaks.
pub fn dialects(name: &Name) -> &'static [Dialect] {
    match name.provider() {
        "anthropic" => &[Dialect::Anthropic],
        "gemini" => &[Dialect::Gemini],
        // Servers such as llama.cpp and vLLM speak three.
        "compatible" => &[Dialect::Chat, Dialect::Responses, Dialect::Anthropic],
        _ => &[Dialect::Responses, Dialect::Chat],
    }
}

/// The dialect in which a path is refused.
pub(super) fn tongue(path: &str) -> Dialect {
    if path.starts_with("/v1beta") || path.starts_with("/v1/models/") {
        Dialect::Gemini
    } else if path.starts_with("/v1/messages") || !path.starts_with("/v1/") {
        Dialect::Anthropic
    } else {
        Dialect::Responses
    }
}

/// Where a request goes; `None` where nothing is.
pub(super) fn find(method: &str, path: &str, query: &str) -> Option<Route> {
    if method != "POST" {
        return None;
    }
    let answer = Act::Answer { streams: false };
    let (dialect, act) = match path {
        "/v1/messages" => (Dialect::Anthropic, answer),
        "/v1/messages/count_tokens" => (Dialect::Anthropic, Act::Count),
        "/v1/responses" => (Dialect::Responses, answer),
        "/v1/chat/completions" => (Dialect::Chat, answer),
        _ => {
            let mut beginnings = ["/v1beta", "/v1"].into_iter();
            let (version, rest) = beginnings.find_map(|version| {
                let rest = path.strip_prefix(version)?.strip_prefix("/models/")?;
                Some((version, rest))
            })?;
            let (model, word) = rest.rsplit_once(':')?;
            let as_events = query.split('&').any(|pair| pair == "alt=sse");
            let act = match word {
                "generateContent" => answer,
                // Without it, the stream would be one JSON array, which nobody here reads.
                "streamGenerateContent" if as_events => Act::Answer { streams: true },
                "countTokens" => Act::Count,
                _ => return None,
            };
            return Some(Route {
                dialect: Dialect::Gemini,
                act,
                model: Some(model.to_owned()),
                version,
            });
        }
    };
    Some(Route {
        dialect,
        act,
        model: None,
        version: "/v1",
    })
}

/// What follows the provider's base URL.
pub(super) fn upstream(route: &Route, name: &Name, query: &str) -> String {
    let beta = query.split('&').any(|pair| pair == "beta=true");
    let (model, version) = (name.model(), route.version);
    match (route.dialect, route.act) {
        (Dialect::Anthropic, act) => {
            // The base of a compatible server ends in /v1 already.
            let version = if name.provider() == "compatible" {
                ""
            } else {
                "/v1"
            };
            let count = if act == Act::Count {
                "/count_tokens"
            } else {
                ""
            };
            let beta = if beta { "?beta=true" } else { "" };
            format!("{version}/messages{count}{beta}")
        }
        (Dialect::Responses, _) => "/responses".to_owned(),
        (Dialect::Chat, _) => "/chat/completions".to_owned(),
        (Dialect::Gemini, Act::Count) => format!("{version}/models/{model}:countTokens"),
        (Dialect::Gemini, Act::Answer { streams: false }) => {
            format!("{version}/models/{model}:generateContent")
        }
        (Dialect::Gemini, Act::Answer { streams: true }) => {
            format!("{version}/models/{model}:streamGenerateContent?alt=sse")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_is_there() {
        for (method, path, query) in [
            ("GET", "/v1/messages", ""),
            ("POST", "/v1/messages/batches", ""),
            ("POST", "/v1/messages/", ""),
            ("POST", "//v1/messages", ""),
            ("POST", "/v1/messages/../files", ""),
            ("POST", "/v1/files", ""),
            ("GET", "/v1/models", ""),
            ("GET", "/v1/responses/resp_1", ""),
            ("POST", "/v1/batches", ""),
            ("POST", "/v1/embeddings", ""),
            ("POST", "/v1/completions", ""),
            ("POST", "/v1beta/models/m:batchGenerateContent", ""),
            ("POST", "/v1beta/models/m:streamGenerateContent", ""),
            ("POST", "/v1beta/cachedContents", ""),
            ("POST", "/upload/v1beta/files", ""),
            ("POST", "/api/event_logging/batch", ""),
            ("HEAD", "/", ""),
        ] {
            assert_eq!(find(method, path, query), None, "{method} {path}");
        }
    }

    #[test]
    fn the_path_goes_to_the_provider_with_the_models_own_name() {
        for (path, query, name, to) in [
            (
                "/v1/messages",
                "beta=true&x=1",
                "anthropic/m",
                "/v1/messages?beta=true",
            ),
            (
                "/v1/messages/count_tokens",
                "",
                "anthropic/m",
                "/v1/messages/count_tokens",
            ),
            ("/v1/messages", "", "compatible/m", "/messages"),
            ("/v1/responses", "", "openai/m", "/responses"),
            (
                "/v1/chat/completions",
                "",
                "openai-chat/m",
                "/chat/completions",
            ),
            (
                "/v1/models/x:countTokens",
                "",
                "gemini/m",
                "/v1/models/m:countTokens",
            ),
            (
                "/v1beta/models/x:generateContent",
                "key=k",
                "gemini/m",
                "/v1beta/models/m:generateContent",
            ),
            (
                "/v1beta/models/x:streamGenerateContent",
                "key=k&alt=sse",
                "gemini/m",
                "/v1beta/models/m:streamGenerateContent?alt=sse",
            ),
        ] {
            let route = find("POST", path, query).unwrap();
            assert_eq!(upstream(&route, &name.parse().unwrap(), query), to);
        }
    }
}
