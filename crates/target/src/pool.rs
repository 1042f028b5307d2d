//! Pools: the values that are drawn into templates.

use std::collections::BTreeSet;

use crate::bytes::decode_base64;
use crate::family::{Names, PoolId};
use crate::places::{Node, Table};
use crate::problem::Problem;
use crate::text::Text;

/// A string whose placeholders are pools of the family.
pub(crate) type PoolText = Text<PoolId>;

/// Largest length or count that one choice may ask for.
const MOST_COUNT: i64 = 64 << 20;
/// Longest random string or list.
const MOST_LENGTH: i64 = 1 << 20;

/// A named list of choices.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// Choices with the line each stands on.
    pub(crate) choices: Vec<(Choice, usize)>,
}

/// One way to make a value.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// A string.
    Text(PoolText),
    /// Arguments to splice in.
    List(Vec<PoolText>),
    /// A number between bounds, both included.
    Int(i64, i64),
    /// Characters at random, as many as the bounds say.
    Chars(Vec<char>, (i64, i64)),
    /// A text drawn several times.
    Repeat {
        text: PoolText,
        count: (i64, i64),
        join: PoolText,
    },
    /// A text drawn once and written many times.
    Fill { text: PoolText, count: i64 },
    /// Bytes that are not UTF-8.
    Raw(Vec<u8>),
    /// The content of a fixture.
    Fixture(String),
}

impl Choice {
    /// Every text in it.
    pub(crate) fn texts(&self) -> Vec<&PoolText> {
        match self {
            Choice::Text(text) | Choice::Fill { text, .. } => vec![text],
            Choice::List(items) => items.iter().collect(),
            Choice::Repeat { text, join, .. } => vec![text, join],
            Choice::Int(..) | Choice::Chars(..) | Choice::Raw(_) | Choice::Fixture(_) => Vec::new(),
        }
    }

    /// Every pool that it names.
    pub(crate) fn pools(&self) -> impl Iterator<Item = PoolId> {
        self.texts().into_iter().flat_map(Text::pools).copied()
    }

    /// Whether its value is a list, given the pools that are known to give lists.
    pub(crate) fn gives_list(&self, lists: &BTreeSet<PoolId>) -> bool {
        match self {
            Choice::List(_) => true,
            Choice::Text(text) => text.alone().is_some_and(|pool| lists.contains(pool)),
            _ => false,
        }
    }

    /// How deep it must nest at the least, given the pools' heights; `None` when that is not known to end.
    pub(crate) fn height(&self, heights: &[Option<usize>]) -> Option<usize> {
        if let Choice::Repeat { count: (0, _), .. } = self {
            return Some(0);
        }
        self.pools()
            .try_fold(0, |most, pool| heights[pool].map(|height| most.max(height)))
    }
}

/// How deep each pool must nest at the least; `None` for one that cannot end.
pub(crate) fn heights(pools: &[Pool]) -> Vec<Option<usize>> {
    let mut heights = vec![None; pools.len()];
    loop {
        let next: Vec<Option<usize>> = pools
            .iter()
            .map(|pool| {
                pool.choices
                    .iter()
                    .filter_map(|(choice, _)| choice.height(&heights))
                    .min()
                    .map(|h| h + 1)
            })
            .collect();
        if next == heights {
            return heights;
        }
        heights = next;
    }
}

impl Pool {
    pub(crate) fn read(name: &str, node: &Node<'_>, names: &Names<'_>) -> Result<Self, Problem> {
        let choices = if node.is_table() {
            vec![(made(node, names)?, node.line())]
        } else if node.is_list() {
            node.list()?
                .iter()
                .map(|node| Ok((choice(node, names)?, node.line())))
                .collect::<Result<_, _>>()?
        } else {
            return Err(node.expected("an array of choices or one table such as { int = [1, 9] }"));
        };
        if choices.is_empty() {
            return Err(node.problem(format!("pool \"{name}\" has no choices")));
        }
        Ok(Pool {
            name: name.to_owned(),
            line: node.line(),
            choices,
        })
    }
}

fn choice(node: &Node<'_>, names: &Names<'_>) -> Result<Choice, Problem> {
    if node.is_table() {
        made(node, names)
    } else if node.is_list() {
        let items = node.list()?;
        Ok(Choice::List(
            items
                .iter()
                .map(|item| names.text(item))
                .collect::<Result<_, _>>()?,
        ))
    } else if node.string().is_ok() {
        Ok(Choice::Text(names.text(node)?))
    } else {
        Err(node.expected("a string, an array of strings or a table"))
    }
}

const KINDS: [&str; 6] = ["int", "chars", "repeat", "fill", "base64", "fixture"];

/// A choice that is a table. Exactly one key says its kind.
fn made(node: &Node<'_>, names: &Names<'_>) -> Result<Choice, Problem> {
    let table = node.table()?;
    let mut found = KINDS
        .iter()
        .filter_map(|kind| table.get(kind).map(|node| (*kind, node)));
    let Some((kind, value)) = found.next() else {
        table.only(&[
            "int", "chars", "len", "repeat", "count", "join", "fill", "base64", "fixture",
        ])?;
        return Err(node.problem(format!(
            "\"{}\" needs one of the keys {}",
            node.name(),
            KINDS.join(", ")
        )));
    };
    if let Some((other, _)) = found.next() {
        return Err(node.problem(format!(
            "\"{}\" has both \"{kind}\" and \"{other}\"; one is meant",
            node.name()
        )));
    }
    let only = |others: &[&str]| table.only(&[&[kind], others].concat());
    match kind {
        "int" => {
            only(&[])?;
            let (low, high) = value.range(i64::MIN..=i64::MAX)?;
            high.checked_sub(low)
                .ok_or_else(|| value.problem("the bounds are too far apart"))?;
            Ok(Choice::Int(low, high))
        }
        "chars" => chars(&table, &value, only(&["len"])),
        "repeat" => {
            only(&["count", "join"])?;
            let join = table
                .get("join")
                .map_or(Ok(Text(Vec::new())), |node| names.text(&node))?;
            let count = table.need("count")?.range(0..=MOST_LENGTH)?;
            Ok(Choice::Repeat {
                text: names.text(&value)?,
                count,
                join,
            })
        }
        "fill" => {
            only(&["count"])?;
            Ok(Choice::Fill {
                text: names.text(&value)?,
                count: table.need("count")?.integer(0..=MOST_COUNT)?,
            })
        }
        "base64" => {
            only(&[])?;
            decode_base64(value.string()?)
                .map(Choice::Raw)
                .map_err(|what| value.problem(format!("\"{}\": {what}", value.name())))
        }
        _ => {
            only(&[])?;
            Ok(Choice::Fixture(value.words()?.to_owned()))
        }
    }
}

fn chars(
    table: &Table<'_>,
    value: &Node<'_>,
    only: Result<(), Problem>,
) -> Result<Choice, Problem> {
    only?;
    let chars: Vec<char> = value.string()?.chars().collect();
    let len = table.need("len")?.range(0..=MOST_LENGTH)?;
    if chars.is_empty() && len.1 > 0 {
        return Err(value.problem(format!("\"{}\" must not be empty", value.name())));
    }
    Ok(Choice::Chars(chars, len))
}
