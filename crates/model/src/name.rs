//! Names of models: who serves it, and what it is called there.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The language that a provider speaks over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Anthropic's Messages.
    Anthropic,
    /// OpenAI's Responses.
    Responses,
    /// OpenAI's Chat Completions, which many servers speak.
    Chat,
    /// Gemini's `generateContent`.
    Gemini,
}

/// Providers by the word that names them, and what they speak.
const PROVIDERS: [(&str, Dialect); 5] = [
    ("anthropic", Dialect::Anthropic),
    ("openai", Dialect::Responses),
    ("openai-chat", Dialect::Chat),
    ("gemini", Dialect::Gemini),
    ("compatible", Dialect::Chat),
];

/// A model by its provider and the provider's name for it, as in `anthropic/claude-opus-4-5`.
///
/// `compatible/NAME` is for any server that speaks Chat Completions; it needs a base URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    provider: &'static str,
    model: String,
}

/// A text that names no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no model: {what}")]
pub struct WrongName {
    text: String,
    what: String,
}

impl Name {
    /// `anthropic`, `openai`, `openai-chat`, `gemini` or `compatible`.
    pub fn provider(&self) -> &'static str {
        self.provider
    }

    /// What the provider calls it.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What its provider speaks.
    pub fn dialect(&self) -> Dialect {
        PROVIDERS
            .iter()
            .find(|(word, _)| *word == self.provider)
            .map_or(Dialect::Chat, |(_, dialect)| *dialect)
    }
}

impl FromStr for Name {
    type Err = WrongName;

    fn from_str(text: &str) -> Result<Self, WrongName> {
        let wrong = |what: String| WrongName {
            text: text.to_owned(),
            what,
        };
        let words = PROVIDERS.map(|(word, _)| word).join(", ");
        let (word, model) = text
            .split_once('/')
            .ok_or_else(|| wrong(format!("write PROVIDER/MODEL; providers are {words}")))?;
        let provider = PROVIDERS
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(known, _)| *known)
            .ok_or_else(|| wrong(format!("providers are {words}")))?;
        // Gemini's names become a part of the URL's path.
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:/@+".contains(c);
        if model.is_empty() || !model.chars().all(fits) || model.split('/').any(|part| part == "..")
        {
            return Err(wrong(
                "after the provider, write letters, digits and any of - _ . : / @ +".to_owned(),
            ));
        }
        Ok(Name {
            provider,
            model: model.to_owned(),
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (text, dialect, model) in [
            (
                "anthropic/claude-opus-4-5",
                Dialect::Anthropic,
                "claude-opus-4-5",
            ),
            ("openai/gpt-5.1-codex", Dialect::Responses, "gpt-5.1-codex"),
            ("openai-chat/gpt-4.1", Dialect::Chat, "gpt-4.1"),
            ("gemini/gemini-3-pro", Dialect::Gemini, "gemini-3-pro"),
            ("compatible/qwen/qwen3:8b", Dialect::Chat, "qwen/qwen3:8b"),
        ] {
            let name: Name = text.parse().unwrap();
            assert_eq!((name.dialect(), name.model()), (dialect, model));
            assert_eq!(name.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "gpt-5",
            "mistral/large",
            "anthropic/",
            "gemini/a?b",
            "gemini/../x",
            "openai/a b",
        ] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
        let error = "mistral/large".parse::<Name>().unwrap_err().to_string();
        assert!(error.contains("openai-chat, gemini, compatible"), "{error}");
    }
}
