//! Fairness: whether what the hidden cases ask for can be learned from what an agent is given.
//!
//! An agent has the documentation, the visible cases and the program itself. Each hidden case has duals among the visible
//! ones; this says which. An option or a variable that a family uses and that the documentation never mentions is shown
//! with the visible cases that use it: where there are none, only a guess put to the program finds it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use crate::case::Ending;
use crate::{Case, Error, Signature, Target};

/// What was found about a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fairness {
    /// The target.
    pub target: String,
    /// What only who knows it already can write, as target.toml says it.
    pub recall: Vec<String>,
    /// Pages of documentation that were searched.
    pub pages: usize,
    /// Its families.
    pub families: Vec<FamilyFairness>,
    /// Its hidden cases.
    pub hidden: Vec<HiddenCase>,
}

/// A hidden case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HiddenCase {
    /// Its id.
    pub id: String,
    /// The visible cases that are its duals.
    pub duals: Vec<String>,
}

/// A family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FamilyFairness {
    /// Its name.
    pub family: String,
    /// Its visible cases.
    pub visible: usize,
    /// Its hidden cases.
    pub hidden: usize,
    /// Fewest visible duals of one of its hidden cases.
    pub fewest_duals: usize,
    /// What its cases use and the documentation never mentions.
    pub undocumented: Vec<Undocumented>,
}

/// Something that cases use and that the documentation never mentions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Undocumented {
    /// The option or the variable, as it is written.
    pub word: String,
    /// What it is, as far as that is known.
    pub what: What,
    /// Cases of the family that use it and end well: only there is it more than a mistake that the program refuses.
    pub works: usize,
    /// All cases of the family that use it.
    pub cases: usize,
    /// Of those, the visible ones.
    pub visible: usize,
}

/// Why the documentation may not mention something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// An option whose name is the beginning of a documented one.
    Abbreviation,
    /// An option that no case sees accepted: a mistake that a family is about.
    Refused,
    /// An option that works.
    Option,
    /// An environment variable.
    Variable,
}

/// Examines a target with its documentation, one string for each page.
///
/// # Errors
/// What cannot be read of the target.
pub fn examine(target: &Target, pages: &[String]) -> Result<Fairness, Error> {
    let tests = target.tests()?;
    let docs = Docs::new(pages);
    let alike = &target.spec.alike;
    let mut shown: BTreeMap<Signature, Vec<String>> = BTreeMap::new();
    for case in &tests.visible {
        let signature = Signature::of(case, alike);
        shown.entry(signature).or_default().push(case.id.clone());
    }
    let mut duals_of: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for case in &tests.hidden {
        let found = shown.get(&Signature::of(case, alike));
        duals_of.insert(&case.id, found.cloned().unwrap_or_default());
    }
    let mut families: BTreeMap<&str, (Vec<&Case>, Vec<&Case>)> = BTreeMap::new();
    for case in &tests.visible {
        families.entry(&case.family).or_default().0.push(case);
    }
    for case in &tests.hidden {
        families.entry(&case.family).or_default().1.push(case);
    }
    let families = families
        .into_iter()
        .map(|(family, (visible, hidden))| FamilyFairness {
            family: family.to_owned(),
            visible: visible.len(),
            hidden: hidden.len(),
            fewest_duals: hidden
                .iter()
                .filter_map(|case| duals_of.get(case.id.as_str()))
                .map(Vec::len)
                .min()
                .unwrap_or(0),
            undocumented: undocumented(&visible, &hidden, &docs),
        })
        .collect();
    Ok(Fairness {
        target: target.spec.name.clone(),
        recall: target.spec.recall.clone(),
        pages: pages.len(),
        families,
        hidden: tests
            .hidden
            .iter()
            .map(|case| HiddenCase {
                id: case.id.clone(),
                duals: duals_of.remove(case.id.as_str()).unwrap_or_default(),
            })
            .collect(),
    })
}

/// Reads the pages of a target's documentation, as agents get them.
///
/// # Errors
/// What cannot be read; [`std::io::ErrorKind::NotFound`] before they were extracted.
pub fn read_pages(directory: &Path) -> std::io::Result<Vec<String>> {
    let mut paths: Vec<_> = std::fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    paths
        .iter()
        .filter(|path| path.is_file())
        .map(|path| Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned()))
        .collect()
}

fn undocumented(visible: &[&Case], hidden: &[&Case], docs: &Docs) -> Vec<Undocumented> {
    let mut found: BTreeMap<(String, bool), Undocumented> = BTreeMap::new();
    let all = visible
        .iter()
        .map(|case| (case, true))
        .chain(hidden.iter().map(|case| (case, false)));
    for (case, is_visible) in all {
        for (word, is_variable) in words(case) {
            if docs.mention(&word) {
                continue;
            }
            let works = case.expect.ending == Ending::Exit(0);
            let what = match is_variable {
                true => What::Variable,
                false => What::Refused,
            };
            let entry = found
                .entry((word.clone(), is_variable))
                .or_insert(Undocumented {
                    word,
                    what,
                    works: 0,
                    cases: 0,
                    visible: 0,
                });
            entry.cases += 1;
            entry.works += usize::from(works);
            entry.visible += usize::from(is_visible);
        }
    }
    let mut found: Vec<Undocumented> = found.into_values().collect();
    for entry in &mut found {
        if entry.what == What::Refused && entry.works > 0 {
            entry.what = match docs.begins_an_option(&entry.word) {
                true => What::Abbreviation,
                false => What::Option,
            };
        }
    }
    found
}

/// The options that a case gives, and, marked, its environment's variables.
fn words(case: &Case) -> BTreeSet<(String, bool)> {
    let options = case
        .inputs
        .argv
        .iter()
        .map(|argument| String::from_utf8_lossy(argument))
        .take_while(|argument| argument != "--")
        .filter_map(|argument| option(&argument).map(|option| (option, false)));
    let variables = case.inputs.env.keys().map(|name| (name.clone(), true));
    options.chain(variables).collect()
}

/// The option that an argument is: `--name` without its value, or `-x` with whatever stands behind it.
fn option(argument: &str) -> Option<String> {
    let name = argument.strip_prefix('-')?;
    if let Some(long) = name.strip_prefix('-') {
        let end = long.find('=').unwrap_or(long.len());
        return long
            .starts_with(|c: char| c.is_ascii_alphabetic())
            .then(|| format!("--{}", &long[..end]));
    }
    // A number below zero, a lone minus and what is no letter are operands.
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        .then(|| argument.to_owned())
}

/// Documentation, made ready for looking words up.
struct Docs {
    words: BTreeSet<String>,
}

impl Docs {
    fn new(pages: &[String]) -> Self {
        let mut words = BTreeSet::new();
        for page in pages {
            // Manual pages print minus signs and hyphens of several kinds.
            let page = page.replace(['\u{2010}', '\u{2011}', '\u{2212}'], "-");
            let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
            for word in page.split(|c| !is_part(c)) {
                words.insert(word.to_owned());
                // At the end of a line or a sentence a dash may follow.
                words.insert(word.trim_end_matches('-').to_owned());
            }
        }
        Docs { words }
    }

    fn mention(&self, word: &str) -> bool {
        if self.words.contains(word) {
            return true;
        }
        let Some(letters) = word.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else {
            return false;
        };
        // `-abc` is `-a -b -c`, and `-w80` is `-w` with its value.
        letters
            .chars()
            .next()
            .is_some_and(|first| self.words.contains(&format!("-{first}")))
    }

    fn begins_an_option(&self, word: &str) -> bool {
        word.starts_with("--")
            && self
                .words
                .range(word.to_owned()..)
                .next()
                .is_some_and(|next| next.starts_with(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bytes, Drawn};

    fn case(argv: &[&str], env: &[&str], exit: i32) -> Case {
        let mut case = Drawn {
            id: "t/f/001".to_owned(),
            family: "f".to_owned(),
            template: None,
            inputs: crate::Inputs::default(),
        }
        .expecting(crate::Expect {
            ending: Ending::Exit(exit),
            stdout: Bytes::default(),
            stderr: Bytes::default(),
            files: BTreeMap::new(),
        });
        case.inputs.argv = argv.iter().map(|a| Bytes(a.as_bytes().to_vec())).collect();
        case.inputs.env = env
            .iter()
            .map(|name| ((*name).to_owned(), Bytes::default()))
            .collect();
        case
    }

    #[test]
    fn what_the_documentation_never_mentions_is_found() {
        let page =
            "  \u{2212}w, \u{2010}\u{2010}width=N   wide\n --padding, see FOO_BAR.\n".to_owned();
        let docs = Docs::new(&[page]);
        let cases = [
            case(
                &["-w80", "--width=3", "--pad", "--", "--after"],
                &["FOO_BAR"],
                0,
            ),
            case(&["--nonsense", "-", "-5", "-x"], &[], 2),
            case(&["--secret", "-x"], &["BAZ"], 0),
        ];
        let found = undocumented(&[&cases[0], &cases[1]], &[&cases[2]], &docs);
        let shown: Vec<_> = found
            .iter()
            .map(|one| {
                (
                    one.word.as_str(),
                    one.what,
                    one.works,
                    one.cases,
                    one.visible,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("--nonsense", What::Refused, 0, 1, 1),
                ("--pad", What::Abbreviation, 1, 1, 1),
                ("--secret", What::Option, 1, 1, 0),
                ("-x", What::Option, 1, 2, 1),
                ("BAZ", What::Variable, 1, 1, 0),
            ]
        );
    }
}
