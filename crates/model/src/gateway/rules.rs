//! What a request may hold, as data: everything that is not named here is refused or left out.

mod anthropic;
mod chat;
mod gemini;
mod responses;

use serde_json::{Map, Value};

use crate::Dialect;

/// What may stand in one place.
pub(super) enum Rule {
    /// Data that no provider acts upon: a tool's input, what a tool gave, a text.
    Any,
    /// A string, a number, a truth value or nothing.
    Plain,
    /// One of these strings.
    Word(&'static [&'static str]),
    /// This number.
    Number(u64),
    /// A URL that holds its data itself.
    DataUrl,
    /// A JSON schema that refers to nothing outside itself.
    Schema,
    /// A list.
    List(&'static Rule),
    /// An object with these fields.
    Object(&'static [Field]),
    /// An object whose fields depend on its `type`; without one, it is of the first kind.
    Kind(&'static [(&'static str, &'static [Field])]),
    /// The same, and without a `type` it is of no kind.
    NamedKind(&'static [(&'static str, &'static [Field])]),
    /// A string, or what the other rule says.
    TextOr(&'static Rule),
}

/// A field and what may stand in it.
pub(super) type Field = (&'static str, Rule);

/// What a dialect's requests may hold.
pub(super) struct Rules {
    /// Fields that are passed on.
    pub(super) fields: &'static [Field],
    /// Fields that are refused when they hold anything, with what they would do. Others are left out.
    pub(super) refused: &'static [(&'static str, &'static str)],
    /// Whether fields that nobody knows are refused too.
    pub(super) refuses_unknown: bool,
    /// The field that holds the conversation.
    pub(super) items: &'static str,
}

/// The rules of a dialect.
pub(super) fn of(dialect: Dialect) -> &'static Rules {
    match dialect {
        Dialect::Anthropic => &anthropic::RULES,
        Dialect::Responses => &responses::RULES,
        Dialect::Chat => &chat::RULES,
        Dialect::Gemini => &gemini::RULES,
    }
}

/// A place in a request that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// Where, as in `messages[3].content[0].source`.
    pub(super) place: String,
    /// What is wrong there.
    pub(super) what: String,
}

fn broken<T>(place: &str, what: impl Into<String>) -> Result<T, Broken> {
    Err(Broken {
        place: place.to_owned(),
        what: what.into(),
    })
}

/// Whether a field says nothing, so that it need not be known.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Holds a request to the rules. Gives the names of fields that are to be left out.
pub(super) fn check(rules: &Rules, request: &Map<String, Value>) -> Result<Vec<String>, Broken> {
    let mut left_out = Vec::new();
    for (name, value) in request {
        if let Some((_, rule)) = rules.fields.iter().find(|(known, _)| known == name) {
            rule.check(name, value)?;
            continue;
        }
        let refused = rules.refused.iter().find(|(known, _)| known == name);
        match refused {
            _ if is_nothing(value) => {}
            Some((_, why)) => return broken(name, *why),
            None if rules.refuses_unknown => return broken(name, "this field is not known here"),
            None => {}
        }
        left_out.push(name.clone());
    }
    Ok(left_out)
}

impl Rule {
    fn check(&self, place: &str, value: &Value) -> Result<(), Broken> {
        match (self, value) {
            // Nothing says nothing, wherever it stands.
            (_, Value::Null) | (Rule::Any, _) => Ok(()),
            (Rule::Plain, Value::String(_) | Value::Number(_) | Value::Bool(_)) => Ok(()),
            (Rule::Word(words), Value::String(word)) if words.contains(&word.as_str()) => Ok(()),
            (Rule::Word(_), _) => broken(place, format!("{} is not allowed", short(value))),
            (Rule::Number(number), _) if value.as_u64() == Some(*number) => Ok(()),
            (Rule::Number(number), _) => broken(place, format!("only {number} is allowed")),
            (Rule::DataUrl, Value::String(url)) if url.starts_with("data:") => Ok(()),
            (Rule::DataUrl, _) => broken(place, "only data: URLs are allowed, which fetch nothing"),
            (Rule::Schema, _) => schema(place, value),
            (Rule::List(rule), Value::Array(items)) => items
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| rule.check(&format!("{place}[{index}]"), item)),
            (Rule::Object(known), Value::Object(fields)) => only(place, fields, known, &[]),
            (Rule::Kind(kinds), Value::Object(fields)) => {
                kind(place, fields, kinds, kinds.first().map(|(name, _)| *name))
            }
            (Rule::NamedKind(kinds), Value::Object(fields)) => kind(place, fields, kinds, None),
            (Rule::TextOr(_), Value::String(_)) => Ok(()),
            (Rule::TextOr(rule), _) => rule.check(place, value),
            _ => broken(place, format!("{} does not belong here", short(value))),
        }
    }
}

fn kind(
    place: &str,
    fields: &Map<String, Value>,
    kinds: &[(&str, &[Field])],
    otherwise: Option<&str>,
) -> Result<(), Broken> {
    let word = match fields.get("type") {
        None | Some(Value::Null) => otherwise,
        Some(Value::String(word)) => Some(word.as_str()),
        Some(_) => None,
    };
    let Some(word) = word else {
        return broken(place, "it has no type");
    };
    match kinds.iter().find(|(name, _)| *name == word) {
        Some((_, known)) => only(place, fields, known, &["type"]),
        None => broken(place, format!("the type {word:?} is not allowed")),
    }
}

fn only(
    place: &str,
    fields: &Map<String, Value>,
    known: &[Field],
    more: &[&str],
) -> Result<(), Broken> {
    for (name, value) in fields {
        let below = format!("{place}.{name}");
        match known.iter().find(|(known, _)| known == name) {
            Some((_, rule)) => rule.check(&below, value)?,
            None if more.contains(&name.as_str()) || is_nothing(value) => {}
            None => return broken(&below, "this field is not known here"),
        }
    }
    Ok(())
}

/// A schema, in which a reference could name a place elsewhere.
fn schema(place: &str, value: &Value) -> Result<(), Broken> {
    match value {
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let below = format!("{place}.{name}");
            match value {
                Value::String(to)
                    if name == "$ref" || name.starts_with('$') && name.ends_with("Ref") =>
                {
                    if to.starts_with('#') {
                        Ok(())
                    } else {
                        broken(&below, "a schema may refer to itself alone")
                    }
                }
                _ => schema(&below, value),
            }
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| schema(&format!("{place}[{index}]"), item)),
        _ => Ok(()),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
