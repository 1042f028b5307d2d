//! Byte strings and their digests, as they stand in JSON.

use std::fmt;
use std::ops::Deref;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::fixtures::Fixtures;
use crate::json::{Json, Wrong};

/// Bytes. In JSON a string when they are valid UTF-8, otherwise `{"base64": "..."}`; content equal to a long
/// fixture is `{"fixture": "path"}`.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// As JSON; content equal to one of `fixtures` is written as its name.
    pub fn to_json(&self, fixtures: &Fixtures) -> Value {
        if let Some(path) = fixtures.named(&self.0) {
            return single("fixture", path);
        }
        match std::str::from_utf8(&self.0) {
            Ok(text) => Value::String(text.to_owned()),
            Err(_) => single("base64", &STANDARD.encode(&self.0)),
        }
    }

    pub(crate) fn from_json(json: Json, fixtures: &Fixtures) -> Result<Self, Wrong> {
        let expected = "a string, {\"base64\": ...} or {\"fixture\": ...}";
        let entries = match json {
            Json::String(text) => return Ok(Bytes(text.into_bytes())),
            Json::Object(entries) => entries,
            other => return Err(other.wrong(expected)),
        };
        match <[(String, Json); 1]>::try_from(entries) {
            Ok([(key, Json::String(text))]) if key == "base64" => {
                decode_base64(&text).map(Bytes).map_err(Wrong::new)
            }
            Ok([(key, Json::String(path))]) if key == "fixture" => fixtures
                .get(&path)
                .map(|content| Bytes(content.to_vec()))
                .ok_or_else(|| Wrong::new(fixtures.unknown(&path))),
            Ok([(key, Json::String(_))]) => Err(Wrong::new(format!(
                "unknown key \"{key}\"; {expected} is meant"
            ))),
            _ => Err(Wrong::new(format!("an object that is not {expected}"))),
        }
    }
}

fn single(key: &str, value: &str) -> Value {
    let mut map = Map::new();
    map.insert(key.to_owned(), Value::String(value.to_owned()));
    Value::Object(map)
}

/// Standard base64 with padding; the error is a lower-case fragment.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(text)
        .map_err(|error| format!("not valid base64: {}", error.to_string().to_lowercase()))
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Bytes(text.as_bytes().to_vec())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes(bytes)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "b\"{}\"", self.0.escape_ascii())
    }
}

/// A SHA-256 digest, shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Digest(Sha256::digest(bytes).into())
    }

    /// Reads 64 lower-case hexadecimal digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            for &digit in pair {
                let value = match digit {
                    b'0'..=b'9' => digit - b'0',
                    b'a'..=b'f' => digit - b'a' + 10,
                    _ => return None,
                };
                *byte = (*byte << 4) | value;
            }
        }
        Some(Digest(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A hash over parts that cannot run into each other: each is preceded by its length.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.0.update(number.to_le_bytes());
        self
    }

    pub(crate) fn part(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64).0.update(bytes);
        self
    }

    pub(crate) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}
