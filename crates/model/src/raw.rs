//! JSON text kept as it was written.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON value as its text, for what must not change on its way: key order, number spelling, escapes.
///
/// It is written inline, as JSON, on one line. Serde can read it back from JSON text only, and not from
/// inside a type that is `flatten`ed, `untagged` or has a `tag`, because those take the text apart first.
#[derive(Clone)]
pub struct Raw(Box<RawValue>);

/// A text that is not JSON.
#[derive(Debug, thiserror::Error)]
#[error("not JSON: {0}")]
pub struct NotJson(#[source] serde_json::Error);

impl Raw {
    /// Keeps a text. Line ends between tokens become blanks; nothing else changes.
    ///
    /// # Errors
    /// When it is not one JSON value.
    pub fn new(text: &str) -> Result<Self, NotJson> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        RawValue::from_string(one_line(text))
            .map(Raw)
            .map_err(NotJson)
    }

    /// The text of a value, in serde's spelling.
    ///
    /// # Errors
    /// When it has no JSON form, such as a map with keys that are not strings.
    pub fn of(value: &impl Serialize) -> Result<Self, NotJson> {
        serde_json::value::to_raw_value(value)
            .map(Raw)
            .map_err(NotJson)
    }

    /// The value `null`.
    pub(crate) fn null() -> Self {
        Raw(RawValue::NULL.to_owned())
    }

    /// The text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The value that the text stands for.
    pub fn value(&self) -> serde_json::Value {
        // Only JSON gets in, but nesting deeper than serde_json reads is JSON too.
        serde_json::from_str(self.get()).unwrap_or_default()
    }
}

/// A line end inside a JSON string is escaped, so one that is not stands between tokens.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Raw {}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if !raw.get().contains(['\r', '\n']) {
            return Ok(Raw(raw));
        }
        RawValue::from_string(one_line(raw.get()))
            .map(Raw)
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_kept() {
        for text in [
            "null",
            "1.0",
            "1e5",
            r#"{"b":1,"a":"\u00e9\/","b":2}"#,
            "[1, 2]",
            "12345678901234567890123456789",
        ] {
            let raw = Raw::new(text).unwrap();
            assert_eq!(raw.get(), text);
            let written = serde_json::to_string(&[&raw]).unwrap();
            assert_eq!(written, format!("[{text}]"));
            let [read]: [Raw; 1] = serde_json::from_str(&written).unwrap();
            assert_eq!(read, raw);
        }
    }

    #[test]
    fn it_stands_on_one_line() {
        let raw = Raw::new(" {\n  \"a\": \"b\\n\"\r\n}\n").unwrap();
        assert_eq!(raw.get(), "{   \"a\": \"b\\n\"  }");
        let read: Raw = serde_json::from_str("[\n1]").unwrap();
        assert_eq!(read.get(), "[ 1]");
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "{} {}", "NaN", "'a'", "\"a\nb", "\u{a0}1"] {
            assert!(Raw::new(text).is_err(), "{text:?}");
        }
    }
}
