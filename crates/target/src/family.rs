//! Families: one behaviour of a target each, and how to draw cases of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::case::check_variable;
use crate::near::did_you_mean;
use crate::places::{Node, Source, Table};
use crate::pool::{Choice, Pool, PoolText};
use crate::problem::Problem;
use crate::text;

/// A pool by its place in [`Family::pools`].
pub(crate) type PoolId = usize;

/// Most cases of one family.
pub const MOST_CASES: u32 = 10_000;
/// Largest weight of a template.
const MOST_WEIGHT: u32 = 1_000;

/// A family as its file says it.
#[derive(Clone, Debug)]
pub struct Family {
    /// Its name: the stem of its file.
    pub name: String,
    /// The behaviour, in a sentence.
    pub about: String,
    /// How many distinct cases to draw.
    pub cases: u32,
    /// The file it was read from, for messages.
    pub file: String,
    pub(crate) templates: Vec<Template>,
    pub(crate) pools: Vec<Pool>,
}

/// One shape of a case.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) line: usize,
    pub(crate) weight: u32,
    pub(crate) argv: Vec<PoolText>,
    pub(crate) stdin: PoolText,
    pub(crate) env: BTreeMap<String, PoolText>,
    /// Paths may hold placeholders too.
    pub(crate) files: Vec<(PoolText, PoolText)>,
    pub(crate) outputs: Vec<PoolText>,
}

impl Template {
    /// Every text, with whether a list may stand in it.
    fn texts(&self) -> impl Iterator<Item = (&PoolText, bool)> {
        let files = self
            .files
            .iter()
            .flat_map(|(path, content)| [path, content]);
        let others = std::iter::once(&self.stdin)
            .chain(self.env.values())
            .chain(files)
            .chain(&self.outputs);
        self.argv
            .iter()
            .map(|text| (text, true))
            .chain(others.map(|text| (text, false)))
    }

    /// Whether every case of it is the same.
    pub(crate) fn is_fixed(&self) -> bool {
        self.texts().all(|(text, _)| text.pools().next().is_none())
    }
}

/// Whether a target, family or language may have this name.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'+' | b'.'))
        && name.len() <= 64
}

impl Family {
    /// Reads a family. `file` is its name in messages; its stem is the family's name.
    ///
    /// # Errors
    /// A [`Problem`] with the line: not TOML, an unknown key, a value that is not sane, a placeholder without a pool,
    /// a pool that nothing uses, one that can only be drawn for ever, or a list where text is meant.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Problem> {
        let stem = file
            .rsplit('/')
            .next()
            .and_then(|name| name.strip_suffix(".toml"))
            .unwrap_or_default();
        if !is_name(stem) {
            let what =
                "a family's file must be <name>.toml, the name in lower-case letters, digits and -";
            return Err(Problem::whole(file, what));
        }
        Source::new(file, bytes)?.read(|root| read(stem, file, &root))
    }
}

fn read(name: &str, file: &str, root: &Table<'_>) -> Result<Family, Problem> {
    root.only(&["about", "cases", "template", "values"])?;
    let values = root.get("values").map(|node| node.table()).transpose()?;
    let entries: Vec<(&str, Node<'_>)> = values.iter().flat_map(Table::entries).collect();
    for (pool, node) in &entries {
        if !text::is_pool_name(pool) {
            let what = format!("\"{pool}\" cannot name a pool: use letters, digits, - and _");
            return Err(node.key_problem(what));
        }
    }
    let names = Names(entries.iter().map(|(name, _)| *name).collect());
    let pools: Vec<Pool> = entries
        .iter()
        .map(|(name, node)| Pool::read(name, node, &names))
        .collect::<Result<_, _>>()?;
    let list = root.need("template")?.list()?;
    let templates: Vec<Template> = list
        .iter()
        .map(|node| template(node, &names))
        .collect::<Result<_, _>>()?;
    if templates.is_empty() {
        return Err(root.problem("a family needs at least one [[template]]"));
    }
    let family = Family {
        name: name.to_owned(),
        about: root.need("about")?.words()?.to_owned(),
        cases: root.need("cases")?.size(1..=MOST_CASES)?,
        file: file.to_owned(),
        templates,
        pools,
    };
    check_lists(&family)?;
    check_used(&family, &entries)?;
    check_ends(&family)?;
    Ok(family)
}

/// The names of a family's pools, in order.
pub(crate) struct Names<'a>(Vec<&'a str>);

impl Names<'_> {
    /// A string of the file with its placeholders resolved.
    pub(crate) fn text(&self, node: &Node<'_>) -> Result<PoolText, Problem> {
        self.parse(node.string()?)
            .map_err(|what| node.problem(format!("\"{}\": {what}", node.name())))
    }

    fn parse(&self, string: &str) -> Result<PoolText, String> {
        text::parse(string)?.resolve(|name| {
            self.0
                .iter()
                .position(|known| *known == name)
                .ok_or_else(|| {
                    let near = did_you_mean(&name, self.0.iter().copied());
                    format!("there is no pool \"{name}\" in [values]{near}")
                })
        })
    }
}

fn template(node: &Node<'_>, names: &Names<'_>) -> Result<Template, Problem> {
    let table = node.table()?;
    table.only(&["argv", "stdin", "files", "env", "outputs", "weight"])?;
    let text = |node: &Node<'_>| names.text(node);
    let texts = |key: &str| match table.get(key) {
        Some(node) => node.list()?.iter().map(text).collect::<Result<Vec<_>, _>>(),
        None => Ok(Vec::new()),
    };
    let mut env = BTreeMap::new();
    for (name, node) in table
        .get("env")
        .map(|node| node.table())
        .transpose()?
        .iter()
        .flat_map(Table::entries)
    {
        check_variable(name).map_err(|what| node.key_problem(what))?;
        env.insert(name.to_owned(), text(&node)?);
    }
    let mut files = Vec::new();
    for (path, node) in table
        .get("files")
        .map(|node| node.table())
        .transpose()?
        .iter()
        .flat_map(Table::entries)
    {
        // What the paths come to is checked when they are drawn.
        let parsed = names.parse(path).map_err(|what| node.key_problem(what))?;
        files.push((parsed, text(&node)?));
    }
    Ok(Template {
        line: node.line(),
        weight: table
            .get("weight")
            .map_or(Ok(1), |node| node.size(1..=MOST_WEIGHT))?,
        argv: texts("argv")?,
        stdin: table
            .get("stdin")
            .map_or(Ok(text::Text(Vec::new())), |node| text(&node))?,
        env,
        files,
        outputs: texts("outputs")?,
    })
}

/// Lists may stand only where arguments are spliced: alone in an element of argv, or of another list.
fn check_lists(family: &Family) -> Result<(), Problem> {
    let mut lists: BTreeSet<PoolId> = BTreeSet::new();
    loop {
        let more: BTreeSet<PoolId> = (0..family.pools.len())
            .filter(|&id| {
                family.pools[id]
                    .choices
                    .iter()
                    .any(|(choice, _)| choice.gives_list(&lists))
            })
            .collect();
        if more == lists {
            break;
        }
        lists = more;
    }
    let check = |text: &PoolText, may_splice: bool, line: usize| {
        let bad = text
            .pools()
            .find(|pool| lists.contains(pool) && !(may_splice && text.alone().is_some()));
        bad.map_or(Ok(()), |&pool| {
            let name = &family.pools[pool].name;
            let what = format!(
                "pool \"{name}\" holds arrays, so \"${{{name}}}\" must be a whole element of argv (or of another array)"
            );
            Err(Problem::at(&family.file, line, what))
        })
    };
    for template in &family.templates {
        for (text, may_splice) in template.texts() {
            check(text, may_splice, template.line)?;
        }
    }
    for pool in &family.pools {
        for (choice, line) in &pool.choices {
            // A choice that is one placeholder hands its pool's value on, whatever it is.
            let may_splice = matches!(choice, Choice::Text(_) | Choice::List(_));
            for text in choice.texts() {
                check(text, may_splice, *line)?;
            }
        }
    }
    Ok(())
}

fn check_used(family: &Family, entries: &[(&str, Node<'_>)]) -> Result<(), Problem> {
    let mut used: BTreeSet<PoolId> = BTreeSet::new();
    let mut open: Vec<PoolId> = family
        .templates
        .iter()
        .flat_map(Template::texts)
        .flat_map(|(text, _)| text.pools())
        .copied()
        .collect();
    while let Some(pool) = open.pop() {
        if used.insert(pool) {
            open.extend(
                family.pools[pool]
                    .choices
                    .iter()
                    .flat_map(|(choice, _)| choice.pools()),
            );
        }
    }
    match (0..family.pools.len()).find(|pool| !used.contains(pool)) {
        None => Ok(()),
        Some(pool) => {
            let (name, node) = &entries[pool];
            Err(node.key_problem(format!(
                "pool \"{name}\" is used by no template; use it or remove it"
            )))
        }
    }
}

fn check_ends(family: &Family) -> Result<(), Problem> {
    let heights = crate::pool::heights(&family.pools);
    let endless: Vec<_> = family
        .pools
        .iter()
        .zip(&heights)
        .filter(|(_, height)| height.is_none())
        .map(|(pool, _)| pool)
        .collect();
    let Some(first) = endless.first() else {
        return Ok(());
    };
    let names: Vec<_> = endless
        .iter()
        .map(|pool| format!("\"{}\"", pool.name))
        .collect();
    let what = format!(
        "recursion that cannot end: every choice of {} leads back into it; add a choice without placeholders",
        names.join(", ")
    );
    Err(Problem::at(&family.file, first.line, what))
}
