//! One case from a template: every placeholder replaced by a value.

use std::collections::BTreeMap;

use crate::bytes::Bytes;
use crate::case::Inputs;
use crate::deal::Choose;
use crate::family::{Family, PoolId, Template};
use crate::fixtures::Fixtures;
use crate::pool::{Choice, PoolText, heights};
use crate::problem::Problem;
use crate::text::Piece;

/// A pool may stand inside itself this often; below, only the choices that end soonest are taken.
const RECURSION: usize = 8;
/// A case that has taken this many values takes only the choices that end soonest.
const MANY: usize = 4_000;
/// A case that still takes more values than this is an error.
const TOO_MANY: usize = 4_000_000;
/// Pools may stand inside each other this deep.
const TOO_DEEP: usize = 256;
/// Most bytes of one case.
const TOO_LARGE: usize = 128 << 20;

#[derive(Clone)]
enum Value {
    Bytes(Vec<u8>),
    List(Vec<Vec<u8>>),
}

/// What came of expanding a template once.
pub(crate) enum Expanded {
    /// A case.
    Case(Inputs),
    /// Two of its files have the same path: no case, but another draw may be one.
    Clash(String),
}

/// A family with what expanding needs to know about its pools.
pub(crate) struct Expander<'a> {
    family: &'a Family,
    fixtures: &'a Fixtures,
    /// For each pool, the choices that end soonest.
    shallow: Vec<Vec<usize>>,
}

impl<'a> Expander<'a> {
    /// # Errors
    /// A [`Problem`] for a fixture that does not exist.
    pub(crate) fn new(family: &'a Family, fixtures: &'a Fixtures) -> Result<Self, Problem> {
        let heights = heights(&family.pools);
        let mut shallow = Vec::new();
        for pool in &family.pools {
            for (choice, line) in &pool.choices {
                match choice {
                    Choice::Fixture(path) if fixtures.get(path).is_none() => {
                        return Err(Problem::at(&family.file, *line, fixtures.unknown(path)));
                    }
                    _ => {}
                }
            }
            let height = |index: &usize| {
                pool.choices[*index]
                    .0
                    .height(&heights)
                    .unwrap_or(usize::MAX)
            };
            let least = (0..pool.choices.len()).map(|index| height(&index)).min();
            shallow.push(
                (0..pool.choices.len())
                    .filter(|index| Some(height(index)) == least)
                    .collect(),
            );
        }
        Ok(Expander {
            family,
            fixtures,
            shallow,
        })
    }

    /// Draws one case of a template.
    ///
    /// # Errors
    /// A [`Problem`] when the pools nest without bound, or give what no program can be given.
    pub(crate) fn expand(
        &self,
        template: &Template,
        choose: &mut dyn Choose,
    ) -> Result<Expanded, Problem> {
        let mut draw = Draw {
            expander: self,
            choose,
            line: template.line,
            top: vec![None; self.family.pools.len()],
            stack: Vec::new(),
            taken: 0,
            bytes: 0,
        };
        let mut inputs = Inputs::default();
        for text in &template.argv {
            inputs
                .argv
                .extend(draw.spliced(text, true, false)?.into_iter().map(Bytes));
        }
        inputs.stdin = Bytes(draw.flat(&template.stdin, true, false)?);
        for (name, text) in &template.env {
            inputs
                .env
                .insert(name.clone(), Bytes(draw.flat(text, true, false)?));
        }
        let mut files = BTreeMap::new();
        for (path, text) in &template.files {
            let path = draw.path(path)?;
            let content = Bytes(draw.flat(text, true, false)?);
            if files.insert(path.clone(), content).is_some() {
                return Ok(Expanded::Clash(path));
            }
        }
        inputs.files = files;
        for text in &template.outputs {
            let path = draw.path(text)?;
            inputs.outputs.push(path);
        }
        inputs.check().map_err(|wrong| {
            Problem::at(
                &self.family.file,
                template.line,
                format!("a drawn case: {wrong}"),
            )
        })?;
        Ok(Expanded::Case(inputs))
    }
}

struct Draw<'a> {
    expander: &'a Expander<'a>,
    choose: &'a mut dyn Choose,
    line: usize,
    /// Values of placeholders written directly in the template: the same wherever they stand.
    top: Vec<Option<Value>>,
    stack: Vec<PoolId>,
    taken: usize,
    bytes: usize,
}

impl Draw<'_> {
    fn problem(&self, what: &str) -> Problem {
        let family = self.expander.family;
        let mut names: Vec<&str> = Vec::new();
        for &pool in &self.stack {
            let name = family.pools[pool].name.as_str();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let shown: Vec<_> = names
            .iter()
            .take(8)
            .map(|name| format!("\"{name}\""))
            .collect();
        let more = if names.len() > 8 { ", ..." } else { "" };
        Problem::at(
            &family.file,
            self.line,
            format!("{what}, by way of pool {}{more}", shown.join(", ")),
        )
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Problem> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > TOO_LARGE {
            return Err(self.problem(&format!(
                "a case would be larger than {} MiB",
                TOO_LARGE >> 20
            )));
        }
        Ok(())
    }

    fn path(&mut self, text: &PoolText) -> Result<String, Problem> {
        let bytes = self.flat(text, true, false)?;
        let problem = |what: String| Problem::at(&self.expander.family.file, self.line, what);
        let path = String::from_utf8(bytes)
            .map_err(|_| problem("a drawn path is not valid UTF-8".to_owned()))?;
        if path.starts_with('/') {
            return Err(problem(format!(
                "a drawn path, \"{}\", is absolute",
                path.escape_debug()
            )));
        }
        // A family may well draw `./a.json` as an argument and as the file's name; cases know one spelling.
        let parts: Vec<_> = path
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .collect();
        Ok(parts.join("/"))
    }

    /// The text with its values; a list is an error that reading the family has ruled out.
    fn flat(&mut self, text: &PoolText, direct: bool, tight: bool) -> Result<Vec<u8>, Problem> {
        match self.value(text, direct, tight)? {
            Value::Bytes(bytes) => Ok(bytes),
            Value::List(_) => Err(self.problem("an array stands where text is meant")),
        }
    }

    /// The text as arguments: one, or those of the list that it is.
    fn spliced(
        &mut self,
        text: &PoolText,
        direct: bool,
        tight: bool,
    ) -> Result<Vec<Vec<u8>>, Problem> {
        match self.value(text, direct, tight)? {
            Value::Bytes(bytes) => Ok(vec![bytes]),
            Value::List(items) => Ok(items),
        }
    }

    fn value(&mut self, text: &PoolText, direct: bool, tight: bool) -> Result<Value, Problem> {
        if let Some(&pool) = text.alone() {
            return self.pool(pool, direct, tight);
        }
        let mut bytes = Vec::new();
        for piece in &text.0 {
            match piece {
                Piece::Literal(literal) => {
                    self.spend(literal.len())?;
                    bytes.extend_from_slice(literal);
                }
                &Piece::Pool(pool) => match self.pool(pool, direct, tight)? {
                    Value::Bytes(value) => bytes.extend(value),
                    Value::List(_) => return Err(self.problem("an array stands inside text")),
                },
            }
        }
        Ok(Value::Bytes(bytes))
    }

    fn pool(&mut self, pool: PoolId, direct: bool, tight: bool) -> Result<Value, Problem> {
        if !direct {
            return self.fresh(pool, tight);
        }
        if let Some(value) = self.top[pool].clone() {
            self.spend(match &value {
                Value::Bytes(bytes) => bytes.len(),
                Value::List(items) => items.iter().map(Vec::len).sum(),
            })?;
            return Ok(value);
        }
        let value = self.fresh(pool, tight)?;
        self.top[pool] = Some(value.clone());
        Ok(value)
    }

    fn fresh(&mut self, pool: PoolId, tight: bool) -> Result<Value, Problem> {
        self.taken += 1;
        if self.taken > TOO_MANY {
            return Err(self.problem("a case takes too many values"));
        }
        if self.stack.len() >= TOO_DEEP {
            return Err(self.problem(&format!("values nest deeper than {TOO_DEEP}")));
        }
        let inside = self.stack.iter().filter(|&&above| above == pool).count();
        let tight = tight || inside >= RECURSION || self.taken > MANY;
        let expander = self.expander;
        let choices = &expander.family.pools[pool].choices;
        let index = if tight {
            let shallow = &expander.shallow[pool];
            shallow[self.choose.below(shallow.len() as u64) as usize]
        } else {
            self.choose.card(pool, choices.len())
        };
        self.stack.push(pool);
        let value = self.choice(&choices[index].0, tight)?;
        self.stack.pop();
        Ok(value)
    }

    fn choice(&mut self, choice: &Choice, tight: bool) -> Result<Value, Problem> {
        let bytes = match choice {
            Choice::Text(text) => return self.value(text, false, tight),
            Choice::List(items) => {
                let mut list = Vec::new();
                for item in items {
                    list.extend(self.spliced(item, false, tight)?);
                }
                return Ok(Value::List(list));
            }
            &Choice::Int(low, high) => self.choose.between((low, high)).to_string().into_bytes(),
            Choice::Chars(chars, len) => {
                let count = self.choose.between(*len);
                let mut string = String::new();
                for _ in 0..count {
                    string.push(chars[self.choose.below(chars.len() as u64) as usize]);
                }
                string.into_bytes()
            }
            Choice::Repeat { text, count, join } => {
                let count = if tight {
                    count.0
                } else {
                    self.choose.between(*count)
                };
                let mut bytes = Vec::new();
                for index in 0..count {
                    if index > 0 {
                        bytes.extend(self.flat(join, false, tight)?);
                    }
                    bytes.extend(self.flat(text, false, tight)?);
                }
                return Ok(Value::Bytes(bytes));
            }
            Choice::Fill { text, count } => {
                let once = self.flat(text, false, tight)?;
                let count = usize::try_from(*count).unwrap_or(usize::MAX);
                self.spend(once.len().saturating_mul(count))?;
                return Ok(Value::Bytes(once.repeat(count)));
            }
            Choice::Raw(bytes) => bytes.clone(),
            Choice::Fixture(path) => self
                .expander
                .fixtures
                .get(path)
                .unwrap_or_default()
                .to_vec(),
        };
        self.spend(bytes.len())?;
        Ok(Value::Bytes(bytes))
    }
}
