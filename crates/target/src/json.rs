//! JSON that keeps what ordinary readers lose: the order of keys, and keys that come twice.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Any JSON value. Reading one fails when an object names a key twice.
#[derive(Debug)]
pub(crate) enum Json {
    Null,
    Boolean,
    Integer(i64),
    Number,
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// What is wrong, and in which key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    key: String,
    what: String,
}

impl Wrong {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Wrong {
            key: String::new(),
            what: what.into(),
        }
    }

    /// The same, one level further out.
    pub(crate) fn within(mut self, key: &str) -> Self {
        self.key = match self.key.as_str() {
            "" => key.to_owned(),
            inner if inner.starts_with('[') => format!("{key}{inner}"),
            inner => format!("{key}.{inner}"),
        };
        self
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(formatter, "\"{}\": ", self.key)?;
        }
        formatter.write_str(&self.what)
    }
}

impl Json {
    fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Boolean => "a boolean",
            Json::Integer(_) | Json::Number => "a number",
            Json::String(_) => "a string",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        }
    }

    /// That something else was expected.
    pub(crate) fn wrong(&self, expected: &str) -> Wrong {
        Wrong::new(format!("must be {expected}, not {}", self.kind()))
    }

    pub(crate) fn string(self) -> Result<String, Wrong> {
        match self {
            Json::String(text) => Ok(text),
            other => Err(other.wrong("a string")),
        }
    }

    /// A string that has something in it.
    pub(crate) fn words(self) -> Result<String, Wrong> {
        match self.string()? {
            text if text.is_empty() => Err(Wrong::new("must not be empty")),
            text => Ok(text),
        }
    }

    pub(crate) fn integer(self, low: i64, high: i64) -> Result<i64, Wrong> {
        match self {
            Json::Integer(number) if (low..=high).contains(&number) => Ok(number),
            Json::Integer(_) | Json::Number => Err(Wrong::new(format!(
                "must be an integer from {low} to {high}"
            ))),
            other => Err(other.wrong("an integer")),
        }
    }

    /// Each element of an array, read.
    pub(crate) fn each<T>(
        self,
        mut read: impl FnMut(Json) -> Result<T, Wrong>,
    ) -> Result<Vec<T>, Wrong> {
        let Json::Array(items) = self else {
            return Err(self.wrong("an array"));
        };
        let with_index =
            |(index, item)| read(item).map_err(|wrong: Wrong| wrong.within(&format!("[{index}]")));
        items.into_iter().enumerate().map(with_index).collect()
    }

    pub(crate) fn object(self) -> Result<Vec<(String, Json)>, Wrong> {
        match self {
            Json::Object(entries) => Ok(entries),
            other => Err(other.wrong("an object")),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Boolean)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        Ok(i64::try_from(number).map_or(Json::Number, Json::Integer))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Json, E> {
        Ok(Json::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object: Vec<(String, Json)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some((key, value)) = entries.next_entry::<String, Json>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format!("key \"{key}\" comes twice")));
            }
            object.push((key, value));
        }
        Ok(Json::Object(object))
    }
}
