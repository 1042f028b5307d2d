//! TOML read by hand, so that every message can name file, line and key.

use std::ops::RangeInclusive;

use toml::de::{DeTable, DeValue};

use crate::near::did_you_mean;
use crate::problem::Problem;

/// A file's name and text.
pub(crate) struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

impl<'a> Source<'a> {
    /// Bytes as a source; an error names the line of the first byte that is not UTF-8.
    pub(crate) fn new(file: &'a str, bytes: &'a [u8]) -> Result<Self, Problem> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Source { file, text }),
            Err(error) => {
                let line = line_of(bytes, error.valid_up_to());
                Err(Problem::at(file, line, "the file is not valid UTF-8"))
            }
        }
    }

    /// A problem at a byte offset.
    pub(crate) fn problem(&self, at: usize, what: impl Into<String>) -> Problem {
        Problem::at(self.file, line_of(self.text.as_bytes(), at), what)
    }

    /// Parses the text and hands its root table to `read`.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(Table<'_>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let root = DeTable::parse(self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            self.problem(at, error.message().replace('\n', "; "))
        })?;
        read(Table {
            source: self,
            at: 0,
            name: String::new(),
            table: root.get_ref(),
        })
    }
}

fn line_of(bytes: &[u8], at: usize) -> usize {
    1 + bytes.iter().take(at).filter(|&&byte| byte == b'\n').count()
}

/// A table and its place.
#[derive(Clone)]
pub(crate) struct Table<'a> {
    source: &'a Source<'a>,
    at: usize,
    name: String,
    table: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// Refuses every key that is not known.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        let mut unknown: Vec<_> = self
            .table
            .iter()
            .filter(|(key, _)| !known.contains(&&**key.get_ref()))
            .map(|(key, _)| (key.span().start, key.get_ref()))
            .collect();
        unknown.sort_unstable();
        match unknown.first() {
            None => Ok(()),
            Some((at, key)) => {
                let near = did_you_mean(key, known.iter().copied());
                Err(self
                    .source
                    .problem(*at, format!("unknown key \"{}\"{near}", self.path(key))))
            }
        }
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    /// The value of a key that may be absent.
    pub(crate) fn get(&self, key: &str) -> Option<Node<'a>> {
        self.entries()
            .find(|(name, _)| *name == key)
            .map(|(_, node)| node)
    }

    /// The value of a key that must be there.
    pub(crate) fn need(&self, key: &str) -> Result<Node<'a>, Problem> {
        self.get(key)
            .ok_or_else(|| self.problem(format!("missing key \"{}\"", self.path(key))))
    }

    /// All keys with their values, sorted by key.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a str, Node<'a>)> {
        self.table.iter().map(|(key, value)| {
            let node = Node {
                source: self.source,
                at: value.span().start,
                key_at: key.span().start,
                name: self.path(key.get_ref()),
                value: value.get_ref(),
            };
            (&**key.get_ref(), node)
        })
    }

    /// A problem with the table as a whole.
    pub(crate) fn problem(&self, what: impl Into<String>) -> Problem {
        self.source.problem(self.at, what)
    }
}

/// A value and its place.
#[derive(Clone)]
pub(crate) struct Node<'a> {
    source: &'a Source<'a>,
    at: usize,
    key_at: usize,
    name: String,
    value: &'a DeValue<'a>,
}

impl<'a> Node<'a> {
    /// A problem at this value.
    pub(crate) fn problem(&self, what: impl Into<String>) -> Problem {
        self.source.problem(self.at, what)
    }

    /// A problem at this value's key.
    pub(crate) fn key_problem(&self, what: impl Into<String>) -> Problem {
        self.source.problem(self.key_at, what)
    }

    /// Line of this value.
    pub(crate) fn line(&self) -> usize {
        line_of(self.source.text.as_bytes(), self.at)
    }

    /// The full key, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// That the value must be something else.
    pub(crate) fn expected(&self, what: &str) -> Problem {
        let kind = self.value.type_str();
        let article = if kind.starts_with(['a', 'i']) {
            "an"
        } else {
            "a"
        };
        self.problem(format!(
            "\"{}\" must be {what}, not {article} {kind}",
            self.name
        ))
    }

    /// A string.
    pub(crate) fn string(&self) -> Result<&'a str, Problem> {
        self.value.as_str().ok_or_else(|| self.expected("a string"))
    }

    /// A string with something in it besides blanks.
    pub(crate) fn words(&self) -> Result<&'a str, Problem> {
        let text = self.string()?;
        if text.trim().is_empty() {
            return Err(self.problem(format!("\"{}\" must not be empty", self.name)));
        }
        Ok(text)
    }

    /// A boolean.
    pub(crate) fn boolean(&self) -> Result<bool, Problem> {
        self.value
            .as_bool()
            .ok_or_else(|| self.expected("true or false"))
    }

    /// An integer within bounds.
    pub(crate) fn integer(&self, within: RangeInclusive<i64>) -> Result<i64, Problem> {
        let integer = self
            .value
            .as_integer()
            .ok_or_else(|| self.expected("an integer"))?;
        let found = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        found
            .filter(|number| within.contains(number))
            .ok_or_else(|| {
                let (low, high) = within.into_inner();
                let bound = match (low, high) {
                    (i64::MIN, _) => format!("at most {high}"),
                    (_, i64::MAX) => format!("at least {low}"),
                    _ => format!("from {low} to {high}"),
                };
                self.problem(format!("\"{}\" must be {bound}, not {integer}", self.name))
            })
    }

    /// A count or size within bounds.
    pub(crate) fn size(&self, within: RangeInclusive<u32>) -> Result<u32, Problem> {
        let found = self.integer(i64::from(*within.start())..=i64::from(*within.end()))?;
        u32::try_from(found).map_err(|_| self.expected("a count"))
    }

    /// The seed of a draw.
    pub(crate) fn seed(&self) -> Result<u64, Problem> {
        let integer = self
            .value
            .as_integer()
            .ok_or_else(|| self.expected("an integer"))?;
        u64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| {
            self.problem(format!(
                "\"{}\" must be a number from 0 to {}",
                self.name,
                u64::MAX
            ))
        })
    }

    /// Two integers, the first not above the second.
    pub(crate) fn range(&self, within: RangeInclusive<i64>) -> Result<(i64, i64), Problem> {
        let list = self.list()?;
        let [low, high] = &list[..] else {
            return Err(self.problem(format!("\"{}\" must be [lowest, highest]", self.name)));
        };
        let (low, high) = (low.integer(within.clone())?, high.integer(within)?);
        if low > high {
            return Err(self.problem(format!("\"{}\": {low} is above {high}", self.name)));
        }
        Ok((low, high))
    }

    /// Whether this is an array.
    pub(crate) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    /// Whether this is a table.
    pub(crate) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// The elements of an array.
    pub(crate) fn list(&self) -> Result<Vec<Node<'a>>, Problem> {
        let array = self
            .value
            .as_array()
            .ok_or_else(|| self.expected("an array"))?;
        let element = |(index, value): (usize, &'a toml::Spanned<DeValue<'a>>)| Node {
            source: self.source,
            at: value.span().start,
            key_at: value.span().start,
            name: format!("{}[{index}]", self.name),
            value: value.get_ref(),
        };
        Ok(array.iter().enumerate().map(element).collect())
    }

    /// An array of strings.
    pub(crate) fn strings(&self) -> Result<Vec<String>, Problem> {
        self.list()?
            .iter()
            .map(|node| node.words().map(str::to_owned))
            .collect()
    }

    /// An array of strings with at least one.
    pub(crate) fn some_strings(&self) -> Result<Vec<String>, Problem> {
        let strings = self.strings()?;
        if strings.is_empty() {
            return Err(self.problem(format!("\"{}\" must not be empty", self.name)));
        }
        Ok(strings)
    }

    /// A table.
    pub(crate) fn table(&self) -> Result<Table<'a>, Problem> {
        let table = self
            .value
            .as_table()
            .ok_or_else(|| self.expected("a table"))?;
        Ok(Table {
            source: self.source,
            at: self.at,
            name: self.name.clone(),
            table,
        })
    }

    /// The one of `names` that this string is.
    pub(crate) fn one_of<T: Copy>(&self, names: &[(&str, T)]) -> Result<T, Problem> {
        let found = self.string()?;
        names
            .iter()
            .find(|(name, _)| *name == found)
            .map(|(_, value)| *value)
            .ok_or_else(|| {
                let all: Vec<_> = names
                    .iter()
                    .map(|(name, _)| format!("\"{name}\""))
                    .collect();
                self.problem(format!(
                    "\"{}\" must be one of {}, not \"{found}\"",
                    self.name,
                    all.join(", ")
                ))
            })
    }
}
