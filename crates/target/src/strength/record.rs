//! What is published: `targets/<name>/strength.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::object::Kind;
use super::run::Outcome;

/// Version of the format.
pub const FORMAT: u32 = 1;
/// Name of the file beside `target.toml`.
pub const FILE: &str = "strength.json";
/// The standard normal distribution's 97.5th percentile: intervals hold the true rate in 95 of 100 samples.
const Z: f64 = 1.959_963_984_540_054;
/// A family must execute so many mutants before it is said to be weak.
const ENOUGH: usize = 10;

/// Conditions for which figures are given. Each lies within the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// All that at least one case executes.
    All,
    /// Those that not every case executes. What every case executes is start, end and the main way through: to turn it
    /// around breaks everything, and says nothing about the cases.
    Some,
    /// Of those, what stands in functions that by their names are neither of the language's library nor of its runtime.
    /// Only Go programs, and Rust programs that were not stripped, have such names.
    Own,
}

impl Group {
    /// All groups.
    pub const ALL: [Group; 3] = [Group::All, Group::Some, Group::Own];

    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Group::All => "all",
            Group::Some => "some",
            Group::Own => "own",
        }
    }
}

/// Killed mutants among those of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// Mutants that a hidden case noticed.
    pub killed: usize,
    /// Mutants tried.
    pub total: usize,
    /// Their ratio.
    pub rate: f64,
    /// Lower end of Wilson's interval, at 95 %.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Counted {
    /// The rate with its interval (Wilson 1927). `total` is not 0.
    pub fn of(killed: usize, total: usize) -> Self {
        let n = total as f64;
        let rate = killed as f64 / n;
        let square = Z * Z / n;
        let centre = (rate + square / 2.0) / (1.0 + square);
        let half = Z / (1.0 + square) * (rate * (1.0 - rate) / n + square / (4.0 * n)).sqrt();
        // Four digits are more than a sample tells, and the same on every machine.
        let round = |value: f64| (value.clamp(0.0, 1.0) * 1e4).round() / 1e4;
        Counted {
            killed,
            total,
            rate: round(rate),
            low: round(centre - half),
            high: round(centre + half),
        }
    }
}

/// Killed and all of some mutants.
pub fn count<'a>(rows: impl Iterator<Item = &'a MutantRow>) -> (usize, usize) {
    rows.fold((0, 0), |(killed, total), row| {
        (killed + usize::from(row.outcome.is_killed()), total + 1)
    })
}

/// A measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`FORMAT`].
    pub format: u32,
    /// The target.
    pub target: String,
    /// Seed of the sample.
    pub seed: u64,
    /// Jumps that were wanted for each group.
    pub sample: usize,
    /// Digest of `target.lock` as it was: reference, cases and seed.
    pub lock: String,
    /// What was changed.
    pub objects: Vec<ObjectRow>,
    /// Visible cases.
    pub visible: usize,
    /// Hidden cases.
    pub hidden: usize,
    /// Cases that answered otherwise under breakpoints; what they execute counts all the same.
    pub disturbed: Vec<String>,
    /// How many conditions the cases execute.
    pub executed: BTreeMap<Kind, Reached>,
    /// How many of the sample the hidden cases notice.
    pub strength: BTreeMap<Kind, BTreeMap<Group, Counted>>,
    /// What each family notices.
    pub families: Vec<FamilyRow>,
    /// The sample, in the order in which it was drawn.
    pub mutants: Vec<MutantRow>,
}

/// A program or library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRow {
    /// Where it stands.
    pub path: String,
    /// Its digest.
    pub sha256: String,
    /// Conditions in its code.
    pub conditions: BTreeMap<Kind, usize>,
}

/// Conditions that cases execute, of those that were examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Conditions that had breakpoints: a random part of a large program's, all of a small one's.
    pub examined: usize,
    /// [`Group::All`].
    pub all: usize,
    /// [`Group::Some`].
    pub some: usize,
    /// [`Group::Own`], of all that were examined for it; these may be more than the others, since they are rarer.
    pub own: usize,
    /// Those of [`Group::All`] that a hidden case executes.
    pub by_hidden: usize,
}

/// A family, by the mutants that were put before every family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyRow {
    /// Its name.
    pub family: String,
    /// Its hidden cases.
    pub cases: usize,
    /// Mutants that at least one of them executes.
    pub executed: usize,
    /// Those that at least one of them notices.
    pub killed: usize,
    /// Those that no other family notices.
    pub alone: usize,
}

/// A change and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MutantRow {
    /// Which of [`Record::objects`].
    pub object: usize,
    /// Address of the instruction, as in the file's own headers.
    pub address: String,
    /// What was changed.
    pub kind: Kind,
    /// The function in which it stands, where its name is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The figures in which it counts.
    pub groups: Vec<Group>,
    /// Visible cases that execute it.
    pub visible: usize,
    /// Hidden cases that execute it.
    pub hidden: usize,
    /// How it was noticed.
    pub outcome: Outcome,
    /// The hidden case that noticed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// All families that notice; only for some mutants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub families: Option<BTreeSet<String>>,
    /// Of what was not noticed: some of the cases that execute it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub executed_by: Vec<String>,
}

impl Record {
    /// The file's text: one line for each family and each mutant.
    pub fn to_json(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        let mut text = String::from("{\n");
        let fields = value.as_object().into_iter().flatten().enumerate();
        for (index, (key, value)) in fields {
            let end = if index == 0 { "" } else { ",\n" };
            text += &format!("{end}  \"{key}\": ");
            match value
                .as_array()
                .filter(|rows| rows.first().is_some_and(|row| row.is_object()))
            {
                Some(rows) => {
                    let lines: Vec<String> = rows.iter().map(|row| format!("    {row}")).collect();
                    text += &format!("[\n{}\n  ]", lines.join(",\n"));
                }
                None => text += &value.to_string(),
            }
        }
        text + "\n}\n"
    }

    /// Writes the file, at once.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        let partial = path.with_extension("partial");
        std::fs::write(&partial, self.to_json())?;
        std::fs::rename(&partial, path)
    }

    /// The families that notice least of what they execute, the weakest first. Families that execute few mutants are left
    /// out.
    pub fn weakest(&self, most: usize) -> Vec<&FamilyRow> {
        let mut rows: Vec<&FamilyRow> = self
            .families
            .iter()
            .filter(|row| row.executed >= ENOUGH)
            .collect();
        let rate = |row: &FamilyRow| row.killed as f64 / row.executed as f64;
        rows.sort_by(|a, b| rate(a).total_cmp(&rate(b)).then(a.family.cmp(&b.family)));
        rows.truncate(most);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_wilsons() {
        // From scipy 1.17.1: binomtest(killed, total).proportion_ci(method="wilson").
        for (killed, total, low, high) in [
            (0, 10, 0.0, 0.2775),
            (10, 10, 0.7225, 1.0),
            (150, 200, 0.6857, 0.8049),
            (1, 1, 0.2065, 1.0),
        ] {
            let counted = Counted::of(killed, total);
            assert_eq!((counted.low, counted.high), (low, high), "{killed}/{total}");
        }
    }
}
