//! Which cases agents see, and which stay hidden.
//!
//! Hidden cases test that a behaviour was understood, not that its examples were learned, so each must be a *dual* of
//! visible ones: of the same family, from the same template, ending the same way, with the same shape of output (its
//! [`Signature`]). A hidden case of which no visible one shows the like would test luck.
//!
//! And hidden cases must be as hard as visible ones, or the rates of the two say nothing about each other: each kind of
//! ending has the same part of both (its [`Balance`]).
//!
//! # One function for the first split and for later ones
//!
//! [`split`] takes the cases to choose from and says which are hidden; [`Keep`] says what becomes of the rest.
//! At first ([`Keep::Nothing`]) the candidates are all cases of the target, and those not hidden become visible.
//! Later, when the hidden cases must be replaced ([`Keep::Visible`]), the candidates are fresh cases
//! ([`crate::draw::Round::Fresh`]), the visible ones stay as they are, and candidates that are not chosen are of no
//! further use. Either way the same share of the target is hidden and the same rules hold. So:
//!
//! 1. `draw(.., seed, Round::First)`, capture, `split(drawn, Keep::Nothing, seed)`.
//! 2. For hidden seed `h`: `draw(.., h, Round::Fresh { visible, retired })`, capture,
//!    `split(drawn, Keep::Visible { visible, earlier }, h)`. What was hidden until then and is not hidden again
//!    goes into the lock's list of retired cases, for the draws to come.

mod balance;
mod signature;

pub use balance::Balance;
pub use signature::{Signature, duals, unpaired};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::case::Case;
use crate::deal::Stream;
use balance::Kind;

/// How many of a target's cases are hidden, in per cent: the mean of the original benchmark's targets.
pub const HIDDEN_PERCENT: u64 = 34;

/// What stays as it is.
#[derive(Clone, Copy, Debug)]
pub enum Keep<'a> {
    /// Nothing: what is not hidden becomes visible.
    Nothing,
    /// The visible cases; only hidden ones are chosen.
    Visible {
        /// The cases that agents see.
        visible: &'a [Case],
        /// Cases that were hidden before, to be hidden again where the candidates do not suffice.
        earlier: &'a [Case],
    },
}

/// A target's cases, divided. Both lists are in order of family and number.
#[derive(Clone, Debug)]
pub struct Split {
    /// What agents see.
    pub visible: Vec<Case>,
    /// What they never see.
    pub hidden: Vec<Case>,
    /// How near this came to what was wanted.
    pub share: Share,
}

/// How many cases should be hidden and how many are. Shown as one sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// [`HIDDEN_PERCENT`] of the target's cases.
    pub wanted: usize,
    /// Hidden cases.
    pub hidden: usize,
    /// All cases, hidden and visible.
    pub total: usize,
    /// Families that could give fewer than their part, with how many fewer: the others make up for them if they can.
    pub short: BTreeMap<String, usize>,
    /// Cases that were hidden before and are again, for want of fresh ones.
    pub again: Vec<String>,
    /// Whether hidden cases are as hard as visible ones.
    pub balance: Balance,
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = if self.total == 0 {
            0.0
        } else {
            100.0 * self.hidden as f64 / self.total as f64
        };
        write!(
            formatter,
            "{} of {} cases are hidden ({percent:.1} %)",
            self.hidden, self.total
        )?;
        if self.hidden < self.wanted {
            write!(
                formatter,
                ", {} fewer than wanted: no more are duals of cases that stay visible, or more would be easier or \
                 harder than these",
                self.wanted - self.hidden
            )?;
        }
        write!(formatter, "; {}", self.balance)?;
        if !self.short.is_empty() {
            let all: Vec<_> = self
                .short
                .iter()
                .map(|(family, fewer)| format!("{family} (by {fewer})"))
                .collect();
            write!(
                formatter,
                "; families that fall short of their part: {}",
                all.join(", ")
            )?;
        }
        if !self.again.is_empty() {
            write!(
                formatter,
                "; {} were hidden before, since their families give no more",
                self.again.len()
            )?;
        }
        Ok(())
    }
}

/// Cases of one signature.
#[derive(Default)]
struct Group {
    /// Of the cases that the share is reckoned by, those in this group.
    base: usize,
    /// Most that may be hidden.
    most: usize,
    /// Indices of candidates, in the order in which they are hidden.
    candidates: Vec<usize>,
}

/// Chooses the hidden cases: [`HIDDEN_PERCENT`] of each kind of ending and of each family as nearly as whole cases
/// allow, spread over its groups, at random within a group. At least half of each group stays visible. `alike` are the
/// target's words that stand for each other in messages.
pub fn split(
    target: &str,
    candidates: Vec<Case>,
    keep: Keep<'_>,
    alike: &[String],
    seed: u64,
) -> Split {
    let fresh = candidates.len();
    let (kept, pool) = match keep {
        Keep::Nothing => (None, candidates),
        Keep::Visible { visible, earlier } => {
            let mut pool = candidates;
            pool.extend_from_slice(earlier);
            (Some(visible), pool)
        }
    };
    // Of all cases 34 in 100, so of the visible ones 34 for each 66.
    let (base, whole) = kept.map_or((pool.len(), 100), |kept| {
        (kept.len(), 100 - HIDDEN_PERCENT as usize)
    });
    let wanted = (base * HIDDEN_PERCENT as usize + whole / 2) / whole;
    let kinds = grouped(target, &pool, fresh, kept, alike, seed);
    let sizes: Vec<(usize, usize)> = kinds
        .values()
        .map(|families| part(families.values().flatten()))
        .collect();
    let counts = balance::counts(wanted, &sizes, kept.is_some());
    let ideals = apportion(wanted, &unbound(&sizes));
    let (mut hide, mut short) = (BTreeSet::new(), BTreeMap::new());
    for (families, (count, ideal)) in kinds.values().zip(counts.into_iter().zip(ideals)) {
        let parts: Vec<_> = families.values().map(part).collect();
        let (given, ideal) = (apportion(count, &parts), apportion(ideal, &unbound(&parts)));
        for (index, (family, groups)) in families.iter().enumerate() {
            if parts[index].1 < ideal[index] {
                *short.entry((*family).to_owned()).or_insert(0) += ideal[index] - parts[index].1;
            }
            let sizes: Vec<_> = groups
                .iter()
                .map(|group| (group.base, group.most))
                .collect();
            for (group, count) in groups.iter().zip(apportion(given[index], &sizes)) {
                hide.extend(group.candidates.iter().take(count).copied());
            }
        }
    }
    let again = hide
        .iter()
        .filter(|&&index| index >= fresh)
        .map(|&index| pool[index].id.clone())
        .collect();
    let (mut visible, mut hidden) = (kept.unwrap_or_default().to_vec(), Vec::new());
    for (index, case) in pool.into_iter().enumerate() {
        if hide.contains(&index) {
            hidden.push(case);
        } else if kept.is_none() {
            visible.push(case);
        }
    }
    for cases in [&mut visible, &mut hidden] {
        cases.sort_by(|a, b| (&a.family, a.number(), &a.id).cmp(&(&b.family, b.number(), &b.id)));
    }
    let share = Share {
        wanted,
        hidden: hidden.len(),
        total: hidden.len() + visible.len(),
        short,
        again,
        balance: Balance::of(&hidden, &visible),
    };
    Split {
        visible,
        hidden,
        share,
    }
}

fn part<'a>(groups: impl IntoIterator<Item = &'a Group>) -> (usize, usize) {
    groups.into_iter().fold((0, 0), |(base, most), group| {
        (base + group.base, most + group.most)
    })
}

fn unbound(parts: &[(usize, usize)]) -> Vec<(usize, usize)> {
    parts.iter().map(|(base, _)| (*base, usize::MAX)).collect()
}

/// The groups of each family, by kind of ending.
type Kinds<'a> = BTreeMap<Kind, BTreeMap<&'a str, Vec<Group>>>;

/// Cases in groups, both the groups and their candidates shuffled, but earlier candidates after fresh ones.
fn grouped<'a>(
    target: &str,
    pool: &'a [Case],
    fresh: usize,
    kept: Option<&'a [Case]>,
    alike: &[String],
    seed: u64,
) -> Kinds<'a> {
    let mut families: BTreeMap<&str, BTreeMap<(Kind, Signature), Group>> = BTreeMap::new();
    let key = |case: &Case| (Kind::of(case), Signature::of(case, alike));
    let mut seen: BTreeSet<_> = kept
        .unwrap_or_default()
        .iter()
        .map(|case| case.inputs.digest())
        .collect();
    for case in kept.unwrap_or_default() {
        let groups = families.entry(&case.family).or_default();
        groups.entry(key(case)).or_default().base += 1;
    }
    for (index, case) in pool.iter().enumerate() {
        // Two cases with the same inputs never count twice, whoever offers them.
        if seen.insert(case.inputs.digest()) {
            let groups = families.entry(&case.family).or_default();
            let group = groups.entry(key(case)).or_default();
            group.base += usize::from(kept.is_none());
            group.candidates.push(index);
        }
    }
    let mut kinds = Kinds::new();
    for (family, groups) in families {
        let mut stream = Stream::new(seed, &["split", target, family]);
        let mut groups: Vec<(Kind, Group)> = groups
            .into_iter()
            .map(|((kind, _), group)| (kind, group))
            .collect();
        stream.shuffle(&mut groups);
        for (kind, mut group) in groups {
            stream.shuffle(&mut group.candidates);
            group.candidates.sort_by_key(|&index| index >= fresh);
            group.most = match kept {
                None => group.base / 2,
                Some(_) => group.base.min(group.candidates.len()),
            };
            let of_kind = kinds.entry(kind).or_default();
            of_kind.entry(family).or_default().push(group);
        }
    }
    kinds
}

/// Gives out `total` by weight, one at a time to whoever lacks most of its part and may still have one. Of two that
/// lack the same the first has it.
fn apportion(total: usize, parts: &[(usize, usize)]) -> Vec<usize> {
    let all: usize = parts.iter().map(|(weight, _)| weight).sum();
    let mut given = vec![0_usize; parts.len()];
    for _ in 0..total {
        let lacks = |index: usize| {
            total as i128 * parts[index].0 as i128 - given[index] as i128 * all as i128
        };
        let open = (0..parts.len())
            .rev()
            .filter(|&index| parts[index].0 > 0 && given[index] < parts[index].1);
        let Some(next) = open.max_by_key(|&index| lacks(index)) else {
            break;
        };
        given[next] += 1;
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes;
    use crate::case::{Ending, Expect, Inputs};

    fn case(family: &str, number: usize, template: u32, stderr: &str) -> Case {
        let argv = vec![Bytes::from(
            format!("{family}-{number}-{template}").as_str(),
        )];
        Case {
            id: format!("t/{family}/{number:03}"),
            family: family.to_owned(),
            template: Some(template),
            inputs: Inputs {
                argv,
                ..Inputs::default()
            },
            expect: Expect {
                ending: Ending::Exit(0),
                stdout: Bytes::from("x"),
                stderr: Bytes::from(stderr),
                files: BTreeMap::new(),
            },
        }
    }

    fn family(name: &str, from: usize, cases: usize, templates: u32) -> Vec<Case> {
        (from..from + cases)
            .map(|number| case(name, number, number as u32 % templates, ""))
            .collect()
    }

    #[test]
    fn hides_the_wanted_share_and_leaves_every_hidden_case_a_dual() {
        let cases: Vec<_> = [
            family("a", 1, 24, 2),
            family("b", 1, 17, 1),
            family("c", 1, 40, 4),
            family("d", 1, 10, 10),
        ]
        .concat();
        let split = split("t", cases.clone(), Keep::Nothing, &[], 1);
        assert_eq!(
            (split.share.wanted, split.hidden.len(), split.visible.len()),
            (31, 31, 60)
        );
        assert_eq!(split.share.short, BTreeMap::from([("d".to_owned(), 3)]));
        assert!(unpaired(&split.hidden, &split.visible, &[]).is_empty());
        assert!(
            split
                .hidden
                .iter()
                .all(|hidden| !duals(hidden, &split.visible, &[]).is_empty())
        );
        let signatures: BTreeSet<_> = cases.iter().map(|case| Signature::of(case, &[])).collect();
        for signature in signatures {
            let count = |cases: &[Case]| {
                cases
                    .iter()
                    .filter(|case| Signature::of(case, &[]) == signature)
                    .count()
            };
            assert!(
                count(&split.visible) >= count(&split.hidden),
                "{signature:?}"
            );
        }
        let again = super::split("t", cases.clone(), Keep::Nothing, &[], 1);
        assert_eq!(
            (&again.visible, &again.hidden),
            (&split.visible, &split.hidden)
        );
        assert_ne!(
            super::split("t", cases, Keep::Nothing, &[], 2).hidden,
            split.hidden
        );
    }

    #[test]
    fn hidden_cases_are_as_hard_as_visible_ones() {
        // Half of the cases have messages, most of which occur twice and a part but once.
        let message = |number: usize| match number {
            0..120 => format!(
                "bad {}",
                char::from(b'a' + (number / 2 % 20) as u8)
                    .to_string()
                    .repeat(number / 40 + 1)
            ),
            _ => format!("odd {}", "z".repeat(number)),
        };
        let cases: Vec<_> = (0..160)
            .map(|number| case("errors", number, 0, &message(number)))
            .chain(family("clean", 1, 160, 1))
            .collect();
        let split = split("t", cases, Keep::Nothing, &[], 1);
        assert!(split.share.balance.off() <= 1.5, "{}", split.share);
        assert!(unpaired(&split.hidden, &split.visible, &[]).is_empty());
        let percent = 100 * split.hidden.len() / 320;
        assert!((30..=34).contains(&percent), "{percent}");
    }

    #[test]
    fn says_when_too_few_can_be_hidden() {
        let split = split("t", family("d", 1, 10, 10), Keep::Nothing, &[], 1);
        assert_eq!(split.hidden.len(), 0);
        assert_eq!(
            split.share.to_string(),
            "0 of 10 cases are hidden (0.0 %), 3 fewer than wanted: no more are duals of cases that stay visible, or \
             more would be easier or harder than these; of the hidden cases 0.0 % end in failure and 0.0 % write to \
             standard error, of the visible ones 0.0 % and 0.0 %; families that fall short of their part: d (by 3)"
        );
    }

    #[test]
    fn replaces_hidden_cases_and_nothing_else() {
        let first = split(
            "t",
            [family("a", 1, 30, 2), family("b", 1, 20, 1)].concat(),
            Keep::Nothing,
            &[],
            1,
        );
        // Family b has but one fresh case to give.
        let fresh = [family("a", 31, 30, 2), family("b", 21, 1, 1)].concat();
        let keep = Keep::Visible {
            visible: &first.visible,
            earlier: &first.hidden,
        };
        let second = split("t", fresh, keep, &[], 9);
        assert_eq!(second.visible, first.visible);
        assert_eq!(second.hidden.len(), first.hidden.len());
        assert!(unpaired(&second.hidden, &second.visible, &[]).is_empty());
        let old = |case: &&Case| first.hidden.contains(case);
        assert!(
            second
                .hidden
                .iter()
                .filter(|case| case.family == "a")
                .all(|case| !old(&case))
        );
        assert_eq!(
            second.hidden.iter().filter(old).count(),
            second.share.again.len()
        );
        assert_eq!(
            second
                .hidden
                .iter()
                .filter(|case| case.family == "b" && !old(case))
                .count(),
            1
        );
        assert!(
            second
                .share
                .to_string()
                .ends_with("6 were hidden before, since their families give no more")
        );
    }

    #[test]
    fn apportions_by_largest_remainder_within_bounds() {
        for (total, parts, expected) in [
            (10, vec![(1, 99), (1, 99), (1, 99)], vec![4, 3, 3]),
            (7, vec![(10, 99), (20, 99), (40, 99)], vec![1, 2, 4]),
            (10, vec![(10, 2), (10, 99), (0, 99)], vec![2, 8, 0]),
            (10, vec![(1, 1), (9, 2)], vec![1, 2]),
            (3, vec![], vec![]),
        ] {
            assert_eq!(apportion(total, &parts), expected, "{total} {parts:?}");
        }
    }
}
