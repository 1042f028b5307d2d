//! Success against what it took. A run that reached its budget at ten dollars says that success takes more than ten
//! dollars, and nothing else: it is censored there. One that submitted something wrong is over for good.
//!
//! [`kaplan_meier`] gives two shares. The first treats both as censored: what would be solved if every run went on until
//! it is solved, which supposes that a wrong submission says nothing of the run's prospects. The second counts wrong
//! submissions as what they are, and is at most the share of runs that are solved in truth.

use crate::clusters::around;
use crate::interval::Interval;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was solved.
    Solved,
    /// It submitted, and what it submitted is wrong.
    Wrong,
    /// It was out of budget, left or stopped; with more it might have been solved.
    Censored,
}

/// One run: how far it came, and how it ended there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// What it had spent: tokens, dollars or hours.
    pub spent: f64,
    /// How it ended at that point.
    pub end: End,
}

/// A step of the curve: holds from `spent` on, until the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Where some run was solved.
    pub spent: f64,
    /// Runs that had come so far.
    pub at_risk: u64,
    /// Those that were solved there.
    pub solved: u64,
    /// Estimated share of runs that are solved by then, wrong submissions being censored.
    pub share: f64,
    /// Standard error of the share (Greenwood 1926).
    pub error: f64,
    /// Estimated share of runs that are solved by then, wrong submissions being final (Aalen and Johansen 1978).
    pub incidence: f64,
}

impl Step {
    /// The interval of the share on the scale of its double logarithm (Kalbfleisch and Prentice 1980), at the normal
    /// quantile `z`. `None` where every run left is solved: there the error is not known.
    pub fn interval(&self, z: f64) -> Option<Interval> {
        let left = 1.0 - self.share;
        if !(left > 0.0 && left < 1.0) {
            return None;
        }
        let spread = z * self.error / (left * left.ln());
        Some(Interval {
            estimate: self.share,
            low: 1.0 - left.powf((spread).exp()),
            high: 1.0 - left.powf((-spread).exp()),
        })
    }
}

/// The share of runs that are solved by what they spend (Kaplan and Meier 1958, one minus the product limit). Runs that
/// are solved and runs that are censored at the same point: the former come first. Outcomes that are not finite or less than
/// 0 are left out.
pub fn kaplan_meier(outcomes: &[Outcome]) -> Vec<Step> {
    let mut outcomes: Vec<Outcome> = outcomes
        .iter()
        .copied()
        .filter(|outcome| outcome.spent.is_finite() && outcome.spent >= 0.0)
        .collect();
    outcomes.sort_by(|one, other| one.spent.total_cmp(&other.spent));
    let mut steps = Vec::new();
    let (mut left, mut greenwood) = (1.0, 0.0);
    let (mut undecided, mut incidence) = (1.0, 0.0);
    let mut begin = 0;
    while begin < outcomes.len() {
        let spent = outcomes[begin].spent;
        let end = begin + outcomes[begin..].partition_point(|outcome| outcome.spent <= spent);
        let count = |what: End| {
            let some = outcomes[begin..end].iter();
            some.filter(|outcome| outcome.end == what).count() as f64
        };
        let (solved, wrong) = (count(End::Solved), count(End::Wrong));
        let at_risk = (outcomes.len() - begin) as f64;
        incidence += undecided * solved / at_risk;
        undecided *= 1.0 - (solved + wrong) / at_risk;
        if solved > 0.0 {
            left *= 1.0 - solved / at_risk;
            if at_risk > solved {
                greenwood += solved / (at_risk * (at_risk - solved));
            }
            steps.push(Step {
                spent,
                at_risk: at_risk as u64,
                solved: solved as u64,
                share: 1.0 - left,
                error: left * f64::sqrt(greenwood),
                incidence,
            });
        }
        begin = end;
    }
    steps
}

/// The step that holds at a point; `None` before the first.
pub fn step_at(steps: &[Step], spent: f64) -> Option<&Step> {
    let after = steps.partition_point(|step| step.spent <= spent);
    steps.get(after.checked_sub(1)?)
}

/// The share of [`kaplan_meier`] at a point with an interval over targets: each is left out once (Tukey 1958), and of the
/// pseudo-values that gives the interval is made as of rates ([`crate::clusters::mean`]). Runs come with the number of their target. `None` for fewer than two targets.
pub fn share_over_targets(runs: &[(usize, Outcome)], at: f64, level: f64) -> Option<Interval> {
    let share = |without: Option<usize>| {
        let kept: Vec<Outcome> = runs
            .iter()
            .filter(|(target, _)| Some(*target) != without)
            .map(|(_, outcome)| *outcome)
            .collect();
        step_at(&kaplan_meier(&kept), at).map_or(0.0, |step| step.share)
    };
    let mut targets: Vec<usize> = runs.iter().map(|(target, _)| *target).collect();
    targets.sort_unstable();
    targets.dedup();
    if targets.len() < 2 {
        return None;
    }
    let (all, count) = (share(None), targets.len() as f64);
    let pseudo: Vec<f64> = targets
        .iter()
        .map(|target| count * all - (count - 1.0) * share(Some(*target)))
        .collect();
    around(all, &pseudo, level)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcome((spent, solved): (f64, bool)) -> Outcome {
        let end = if solved { End::Solved } else { End::Censored };
        Outcome { spent, end }
    }

    #[test]
    fn the_remission_data_of_freireich() {
        // Weeks of remission under 6-MP (Freireich et al. 1963), as every textbook gives them.
        let ends = [6.0, 6.0, 6.0, 7.0, 10.0, 13.0, 16.0, 22.0, 23.0];
        let censored = [
            6.0, 9.0, 10.0, 11.0, 17.0, 19.0, 20.0, 25.0, 32.0, 32.0, 34.0, 35.0,
        ];
        let all: Vec<Outcome> = ends
            .map(|spent| (spent, true))
            .into_iter()
            .chain(censored.map(|spent| (spent, false)))
            .map(outcome)
            .collect();
        let round = |value: f64| (value * 1e3).round() / 1e3;
        let found: Vec<_> = kaplan_meier(&all)
            .iter()
            .map(|step| {
                (
                    step.spent,
                    step.at_risk,
                    round(1.0 - step.share),
                    round(step.error),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                (6.0, 21, 0.857, 0.076),
                (7.0, 17, 0.807, 0.087),
                (10.0, 15, 0.753, 0.096),
                (13.0, 12, 0.690, 0.107),
                (16.0, 11, 0.627, 0.114),
                (22.0, 7, 0.538, 0.128),
                (23.0, 6, 0.448, 0.135),
            ]
        );
    }

    #[test]
    fn without_failures_it_is_the_plain_share() {
        let all = [1.0, 2.0, 3.0, 4.0].map(|spent| outcome((spent, true)));
        let shares: Vec<f64> = kaplan_meier(&all).iter().map(|step| step.share).collect();
        assert_eq!(shares, [0.25, 0.5, 0.75, 1.0]);
        assert!(kaplan_meier(&[outcome((1.0, false)), outcome((f64::NAN, true))]).is_empty());
    }

    proptest! {
        #[test]
        fn shares_only_grow(all in prop::collection::vec((0.0_f64..100.0, any::<bool>()), 0..60)) {
            let steps = kaplan_meier(&all.into_iter().map(outcome).collect::<Vec<_>>());
            prop_assert!(steps.windows(2).all(|pair| pair[0].share < pair[1].share && pair[0].spent < pair[1].spent));
            prop_assert!(steps.iter().all(|step| (0.0..=1.0).contains(&step.share) && step.error.is_finite()));
        }
    }
}
