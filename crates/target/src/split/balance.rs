//! Hidden cases must be as hard as visible ones, or the rates of the two cannot be compared.
//!
//! What a rebuilt program gets wrong depends most on whether the case ends in failure and whether it writes to standard
//! error. So cases are of four [`Kind`]s, and each kind has the same part of the hidden cases as of the visible ones.
//! Messages that occur once cannot be hidden, since no visible case would show them; then fewer cases of the other
//! kinds are hidden too, rather than the hidden ones be the easy ones.

use std::fmt;

use super::apportion;
use crate::case::{Case, Ending};

/// How far a kind's part of the hidden cases may be from its part of the visible ones when hidden cases are chosen, in
/// percent points: half of the three that the rates of one program may differ by.
const SLACK: f64 = 1.5;
/// The least of a target's cases that are hidden, in per cent, whatever the balance.
const LEAST_PERCENT: usize = 30;

/// What decides most how hard a case is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    fails: bool,
    complains: bool,
}

impl Kind {
    pub(super) fn of(case: &Case) -> Self {
        Kind {
            fails: case.expect.ending != Ending::Exit(0),
            complains: !case.expect.stderr.is_empty(),
        }
    }
}

/// Which parts of the hidden and of the visible cases end in failure and write to standard error. Shown as a fragment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Balance {
    /// Per cent of the hidden, then of the visible cases whose ending is not exit status 0.
    pub fail: [f64; 2],
    /// Per cent of the hidden, then of the visible cases in which standard error is not empty.
    pub complain: [f64; 2],
}

impl Balance {
    /// The balance of a split.
    pub fn of(hidden: &[Case], visible: &[Case]) -> Self {
        let part = |cases: &[Case], is: fn(Kind) -> bool| {
            let count = cases.iter().filter(|case| is(Kind::of(case))).count();
            100.0 * count as f64 / cases.len().max(1) as f64
        };
        let both = |is| [part(hidden, is), part(visible, is)];
        Balance {
            fail: both(|kind| kind.fails),
            complain: both(|kind| kind.complains),
        }
    }

    /// The greatest difference between hidden and visible, in percent points.
    pub fn off(&self) -> f64 {
        let off = |[hidden, visible]: [f64; 2]| (hidden - visible).abs();
        off(self.fail).max(off(self.complain))
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "of the hidden cases {:.1} % end in failure and {:.1} % write to standard error, of the visible ones {:.1} % \
             and {:.1} %",
            self.fail[0], self.complain[0], self.fail[1], self.complain[1]
        )
    }
}

/// How many of each kind to hide, given for each kind how many cases the share is reckoned by and how many may be
/// hidden. `whole` is what 100 stands for: the cases of which a share is hidden, or the visible ones alone (`kept`).
pub(super) fn counts(wanted: usize, kinds: &[(usize, usize)], kept: bool) -> Vec<usize> {
    let mut counts = apportion(wanted, kinds);
    let all: usize = kinds.iter().map(|(base, _)| base).sum();
    let whole = if kept { 100 - LEAST_PERCENT } else { 100 };
    let least = (all * LEAST_PERCENT).div_ceil(whole);
    loop {
        let hidden: usize = counts.iter().sum();
        if hidden <= least {
            return counts;
        }
        let visible = if kept { all } else { all - hidden };
        let over: Vec<f64> = counts
            .iter()
            .zip(kinds)
            .map(|(&count, &(base, _))| {
                let seen = if kept { base } else { base - count };
                100.0 * (count as f64 / hidden as f64 - seen as f64 / visible.max(1) as f64)
            })
            .collect();
        let most = (0..over.len()).max_by(|&a, &b| over[a].total_cmp(&over[b]));
        match most {
            Some(most) if over.iter().any(|over| over.abs() > SLACK) && counts[most] > 0 => {
                counts[most] -= 1;
            }
            _ => return counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_part_or_fewer_are_hidden() {
        for (wanted, kinds, kept, expected) in [
            (34, vec![(50, 25), (50, 25)], false, vec![17, 17]),
            (340, vec![(500, 250), (500, 160)], false, vec![166, 160]),
            (340, vec![(500, 250), (500, 150)], false, vec![156, 150]),
            // Not even with the least that must be hidden.
            (340, vec![(500, 250), (500, 60)], false, vec![240, 60]),
            (340, vec![(990, 495), (10, 0)], false, vec![333, 0]),
            (340, vec![(330, 330), (330, 155)], true, vec![164, 155]),
            (0, vec![], false, vec![]),
        ] {
            assert_eq!(counts(wanted, &kinds, kept), expected, "{kinds:?}");
        }
    }
}
