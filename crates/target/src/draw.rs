//! Drawing cases from families. Everything follows from the seed: the same families and seed give the same cases.
//!
//! Each pool is a shuffled deck that is dealt to its end, templates take turns by weight, and no two cases of a target
//! have equal inputs. A family draws from its own stream of random numbers, so adding a family changes no other one
//! (except where both would draw the very same case: the family that comes first by name keeps it).
//!
//! # The first draw, and a fresh hidden split
//!
//! [`Round::First`] draws every case of a target, which [`crate::split`] then divides. When hidden cases have leaked,
//! [`Round::Fresh`] draws as many again under another seed: never one that is visible, and never one that was hidden
//! before. Their numbers go on from the highest ever given, so an id never means two cases. Where the pools are
//! exhausted a fresh round simply gives fewer; what is missing can be filled with cases that were hidden before, and
//! [`crate::split`] says so.

use std::collections::{BTreeMap, HashSet};

use crate::bytes::Digest;
use crate::case::{Case, Drawn, Inputs};
use crate::deal::{Combinations, Decks, Stream};
use crate::expand::{Expanded, Expander};
use crate::family::{Family, Template};
use crate::fixtures::Fixtures;
use crate::problem::{Problem, Problems};

/// Draws in a row that gave nothing new after which a template's combinations are counted out instead.
const PATIENCE: u32 = 60;
/// The same, for templates with too many combinations to count out.
const LAST_PATIENCE: u32 = 5_000;
/// Most combinations that are counted out.
const MOST_COMBINATIONS: usize = 20_000;
/// Most bytes that are made while counting out.
const MOST_COUNTED_BYTES: usize = 256 << 20;

/// A case that was hidden once and must not come again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retired {
    /// Its id, which is not given again either.
    pub id: String,
    /// Digest of its inputs.
    pub inputs: Digest,
}

/// Which draw this is.
#[derive(Clone, Copy, Debug)]
pub enum Round<'a> {
    /// The target's first: each family must give as many cases as it says.
    First,
    /// A later one, for a fresh hidden split: each family gives as many as it can, up to what it says.
    Fresh {
        /// The cases that agents see, and keep seeing.
        visible: &'a [Case],
        /// The cases that were hidden before.
        retired: &'a [Retired],
    },
}

/// Draws the cases of a target from its families, which are taken in order of their names.
///
/// # Errors
/// [`Problems`], one for each family that cannot be drawn: a fixture that does not exist, pools that nest without
/// bound or cannot give enough distinct cases, inputs that no program can be given.
pub fn draw(
    target: &str,
    families: &[Family],
    fixtures: &Fixtures,
    seed: u64,
    round: Round<'_>,
) -> Result<Vec<Drawn>, Problems> {
    let mut order: Vec<&Family> = families.iter().collect();
    order.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut taken, highest) = before(round);
    let (mut cases, mut problems) = (Vec::new(), Vec::new());
    for family in order {
        let start = highest.get(family.name.as_str()).copied().unwrap_or(0);
        let stream = Stream::new(seed, &["draw", target, &family.name]);
        match one(
            family,
            fixtures,
            stream,
            &mut taken,
            matches!(round, Round::First),
        ) {
            Ok(drawn) => cases.extend((start + 1..).zip(drawn).map(
                |(number, (template, inputs))| Drawn {
                    id: format!("{target}/{}/{number:03}", family.name),
                    family: family.name.clone(),
                    template: Some(template),
                    inputs,
                },
            )),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(cases)
    } else {
        Err(Problems(problems))
    }
}

/// Inputs that must not come again, and the highest number given so far by family.
fn before(round: Round<'_>) -> (HashSet<Digest>, BTreeMap<&str, u64>) {
    let (mut taken, mut highest) = (HashSet::new(), BTreeMap::new());
    if let Round::Fresh { visible, retired } = round {
        taken.extend(visible.iter().map(|case| case.inputs.digest()));
        taken.extend(retired.iter().map(|case| case.inputs));
        for id in visible
            .iter()
            .map(|case| &case.id)
            .chain(retired.iter().map(|case| &case.id))
        {
            let mut parts = id.rsplitn(3, '/');
            let number = parts
                .next()
                .and_then(|number| number.parse::<u64>().ok())
                .unwrap_or(0);
            let family = parts.next().unwrap_or_default();
            let most = highest.entry(family).or_insert(0);
            *most = number.max(*most);
        }
    }
    (taken, highest)
}

/// How a template goes on giving cases.
enum Supply {
    /// By drawing; so many draws in a row gave nothing new.
    Draws { vain: u32, counted_out: bool },
    /// From what is left of its counted combinations.
    Rest(Vec<Inputs>),
}

fn one(
    family: &Family,
    fixtures: &Fixtures,
    stream: Stream,
    taken: &mut HashSet<Digest>,
    all: bool,
) -> Result<Vec<(u32, Inputs)>, Problem> {
    let expander = Expander::new(family, fixtures)?;
    let mut decks = Decks::new(stream, family.pools.len());
    let mut turns = Turns::new(&family.templates);
    let start = || Supply::Draws {
        vain: 0,
        counted_out: false,
    };
    let mut supplies: Vec<Supply> = family.templates.iter().map(|_| start()).collect();
    let mut cases = Vec::new();
    let mut clash = None;
    while cases.len() < family.cases as usize {
        let Some(turn) = turns.next() else {
            if !all {
                break;
            }
            let mut what = format!(
                "family \"{}\" asks for {} cases, but its templates and pools give only {} that no other case of the \
                 target equals; add values or templates, or lower \"cases\"",
                family.name,
                family.cases,
                cases.len()
            );
            if let Some(path) = clash {
                what.push_str(&format!(
                    " (draws in which two files were both named \"{path}\" do not count)"
                ));
            }
            return Err(Problem::whole(&family.file, what));
        };
        let template = &family.templates[turn];
        match next(
            &expander,
            template,
            &mut supplies[turn],
            &mut decks,
            taken,
            &mut clash,
        )? {
            Some(inputs) => cases.push((turn as u32, inputs)),
            None => turns.drop(turn),
        }
    }
    Ok(cases)
}

/// The next new case of a template; `None` when it has no more.
fn next(
    expander: &Expander<'_>,
    template: &Template,
    supply: &mut Supply,
    decks: &mut Decks,
    taken: &mut HashSet<Digest>,
    clash: &mut Option<String>,
) -> Result<Option<Inputs>, Problem> {
    loop {
        match supply {
            Supply::Rest(rest) => {
                let Some(inputs) = rest.pop() else {
                    return Ok(None);
                };
                if taken.insert(inputs.digest()) {
                    return Ok(Some(inputs));
                }
            }
            Supply::Draws { vain, counted_out } => {
                match expander.expand(template, decks)? {
                    Expanded::Case(inputs) if taken.insert(inputs.digest()) => {
                        *vain = 0;
                        return Ok(Some(inputs));
                    }
                    Expanded::Case(_) => {}
                    Expanded::Clash(path) => *clash = Some(path),
                }
                *vain += 1;
                if template.is_fixed() || (*counted_out && *vain > LAST_PATIENCE) {
                    return Ok(None);
                }
                if !*counted_out && *vain > PATIENCE {
                    *counted_out = true;
                    if let Some(mut rest) = count_out(expander, template, taken)? {
                        decks.stream.shuffle(&mut rest);
                        *supply = Supply::Rest(rest);
                    }
                }
            }
        }
    }
}

/// Every case of a template that is not taken; `None` when there are too many combinations to try.
fn count_out(
    expander: &Expander<'_>,
    template: &Template,
    taken: &HashSet<Digest>,
) -> Result<Option<Vec<Inputs>>, Problem> {
    let mut combinations = Combinations::default();
    let (mut rest, mut seen, mut bytes) = (Vec::new(), HashSet::new(), 0);
    for _ in 0..MOST_COMBINATIONS {
        if let Expanded::Case(inputs) = expander.expand(template, &mut combinations)? {
            let contents = inputs
                .files
                .values()
                .chain(&inputs.argv)
                .map(|content| content.len());
            bytes += inputs.stdin.len() + contents.sum::<usize>();
            let digest = inputs.digest();
            if !taken.contains(&digest) && seen.insert(digest) {
                rest.push(inputs);
            }
        }
        if !combinations.advance() {
            return Ok(Some(rest));
        }
        if bytes > MOST_COUNTED_BYTES {
            break;
        }
    }
    Ok(None)
}

/// Whose turn it is: by weight, evenly spread.
struct Turns {
    /// Weight and credit of each template; weight 0 has no more cases.
    templates: Vec<(i64, i64)>,
}

impl Turns {
    fn new(templates: &[Template]) -> Self {
        Turns {
            templates: templates
                .iter()
                .map(|template| (i64::from(template.weight), 0))
                .collect(),
        }
    }

    fn drop(&mut self, index: usize) {
        self.templates[index] = (0, 0);
    }

    fn next(&mut self) -> Option<usize> {
        let total: i64 = self.templates.iter().map(|(weight, _)| weight).sum();
        for (weight, credit) in &mut self.templates {
            *credit += *weight;
        }
        let open = self
            .templates
            .iter()
            .enumerate()
            .filter(|(_, (weight, _))| *weight > 0);
        // The first of those with most credit.
        let (index, _) = open.rev().max_by_key(|(_, (_, credit))| *credit)?;
        self.templates[index].1 -= total;
        Some(index)
    }
}
