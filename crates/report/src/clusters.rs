//! Intervals over targets. A benchmark's targets stand for programs like them; what a model does with one in different
//! languages and attempts goes together, so the unit is the target, however many runs it has.
//!
//! Each function takes one value from 0 to 1 for each target, such as the mean of its tasks' rates, and gives an interval
//! for the mean over targets like them. [`mean`] is the one that is published; the others are there to be compared with.

use crate::draws::Draws;
use crate::interval::{Interval, quantile};
use crate::special::{normal_cdf, normal_quantile, student_quantile};

/// Standard error of the mean of values, from their own spread; `None` for fewer than two.
fn standard_error(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let mean = average(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (count - 1.0) / count).sqrt())
}

pub(crate) fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Student's interval for the mean, cut at 0 and 1. `None` for fewer than two targets.
pub fn student(values: &[f64], level: f64) -> Option<Interval> {
    let error = standard_error(values)?;
    let half = student_quantile(0.5 + level / 2.0, values.len() as f64 - 1.0) * error;
    let estimate = average(values);
    Some(Interval {
        estimate,
        low: (estimate - half).max(0.0),
        high: (estimate + half).min(1.0),
    })
}

/// Wilson's interval with as many trials as would give the spread that the targets have, and Student's quantile in place
/// of the normal one (Korn and Graubard 1998; Dean and Pagano 2015). `None` for fewer than two targets.
pub fn effective_wilson(values: &[f64], level: f64) -> Option<Interval> {
    let error = standard_error(values)?;
    let mean = average(values);
    let freedom = values.len() as f64 - 1.0;
    let t = student_quantile(0.5 + level / 2.0, freedom);
    // Targets of which each succeeds always or never come to one trial less than there are.
    let trials = if error > 0.0 {
        (mean * (1.0 - mean) / (error * error)).max(freedom)
    } else {
        freedom
    };
    Some(score(mean, trials, t))
}

/// How much a target that fails always and one that succeeds always weigh in the spread of [`mean`].
const STEADY: f64 = 0.25;

/// The published interval for the mean over targets like these: [`effective_wilson`], in whose spread stand a quarter of a
/// target that fails always and a quarter of one that succeeds always.
///
/// The spread of few targets that are nearly all alike says little: the next one may be different, and intervals made
/// of it alone are too narrow as often as not. The two quarters keep it from vanishing; among many targets, or targets that
/// differ, they change little. `None` for fewer than two targets.
pub fn mean(values: &[f64], level: f64) -> Option<Interval> {
    around(average(values), values, level)
}

/// [`mean`] around an estimate that is not the plain mean of `values`, but of which they are the pseudo-values.
pub fn around(estimate: f64, values: &[f64], level: f64) -> Option<Interval> {
    if values.len() < 2 {
        return None;
    }
    let count = values.len() as f64;
    let weights = count + 2.0 * STEADY;
    let middle = (count * average(values) + STEADY) / weights;
    let squares: f64 = values
        .iter()
        .map(|value| (value - middle).powi(2))
        .sum::<f64>()
        + STEADY * (middle * middle + (1.0 - middle) * (1.0 - middle));
    let square_error = squares / (weights - 1.0) / weights;
    // Targets of which each succeeds always or never come to one trial less than there are.
    let trials = (middle * (1.0 - middle) / square_error).max(count - 1.0);
    let t = student_quantile(0.5 + level / 2.0, count - 1.0);
    Some(score(estimate, trials, t))
}

/// The interval for the mean of differences of two rates, from -1 to 1: that of [`mean`], stretched. `None` for fewer than
/// two targets.
pub fn difference(values: &[f64], level: f64) -> Option<Interval> {
    let halves: Vec<f64> = values.iter().map(|value| (value + 1.0) / 2.0).collect();
    let found = mean(&halves, level)?;
    Some(Interval {
        estimate: average(values),
        low: 2.0 * found.low - 1.0,
        high: 2.0 * found.high - 1.0,
    })
}

/// Wilson's interval around an estimate from so many trials, at the quantile `t`.
fn score(estimate: f64, trials: f64, t: f64) -> Interval {
    let square = t * t;
    let middle = estimate + square / (2.0 * trials);
    let half = t * (estimate * (1.0 - estimate) / trials + square / (4.0 * trials * trials)).sqrt();
    let whole = 1.0 + square / trials;
    Interval {
        estimate,
        low: ((middle - half) / whole).clamp(0.0, estimate),
        high: ((middle + half) / whole).clamp(estimate, 1.0),
    }
}

/// Means of `draws` samples of as many targets, drawn with replacement: sorted.
fn resampled(values: &[f64], draws: usize, seed: u64) -> Vec<f64> {
    let mut random = Draws::new(seed);
    let count = values.len();
    let mut means: Vec<f64> = (0..draws)
        .map(|_| {
            let sum: f64 = (0..count).map(|_| values[random.below(count)]).sum();
            sum / count as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    means
}

/// The percentile bootstrap interval (Efron 1979), from `draws` samples of targets. The same `seed` gives the same
/// interval. `None` for fewer than two targets.
pub fn percentile(values: &[f64], draws: usize, level: f64, seed: u64) -> Option<Interval> {
    if values.len() < 2 || draws == 0 {
        return None;
    }
    let means = resampled(values, draws, seed);
    let tail = (1.0 - level) / 2.0;
    Some(Interval {
        estimate: average(values),
        low: quantile(&means, tail),
        high: quantile(&means, 1.0 - tail),
    })
}

/// The bootstrap interval with bias corrected and accelerated (Efron 1987), from `draws` samples of targets. `None` for
/// fewer than two targets, or when all are equal.
pub fn bca(values: &[f64], draws: usize, level: f64, seed: u64) -> Option<Interval> {
    if values.len() < 2 || draws == 0 || standard_error(values)? == 0.0 {
        return None;
    }
    let estimate = average(values);
    let means = resampled(values, draws, seed);
    let below = means.partition_point(|mean| *mean < estimate - 1e-12);
    let same = means.partition_point(|mean| *mean <= estimate + 1e-12) - below;
    let bias = normal_quantile(
        ((below as f64 + same as f64 / 2.0) / draws as f64)
            .clamp(0.5 / draws as f64, 1.0 - 0.5 / draws as f64),
    );
    // What leaving out one target does to a mean is in proportion to how far it is from the mean.
    let (squares, cubes) = values.iter().fold((0.0, 0.0), |(squares, cubes), value| {
        let away = value - estimate;
        (squares + away * away, cubes + away * away * away)
    });
    let acceleration = cubes / (6.0 * f64::powf(squares, 1.5));
    let end = |part: f64| {
        let z = bias + normal_quantile(part);
        quantile(&means, normal_cdf(bias + z / (1.0 - acceleration * z)))
    };
    let tail = (1.0 - level) / 2.0;
    Some(Interval {
        estimate,
        low: end(tail),
        high: end(1.0 - tail),
    })
}

/// The studentized bootstrap interval (Efron 1982), from `draws` samples of targets, cut at 0 and 1. `None` for fewer than
/// three targets, or when all are equal.
pub fn studentized(values: &[f64], draws: usize, level: f64, seed: u64) -> Option<Interval> {
    let error = standard_error(values)?;
    if values.len() < 3 || draws == 0 || error == 0.0 {
        return None;
    }
    let estimate = average(values);
    let mut random = Draws::new(seed);
    let mut sample = vec![0.0; values.len()];
    let mut roots = Vec::with_capacity(draws);
    for _ in 0..draws {
        for place in &mut sample {
            *place = values[random.below(values.len())];
        }
        let spread = standard_error(&sample)?;
        let away = average(&sample) - estimate;
        roots.push(if spread > 0.0 {
            away / spread
        } else if away == 0.0 {
            0.0
        } else {
            away.signum() * f64::INFINITY
        });
    }
    roots.sort_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    // Between two values of which one is infinite there is none.
    let root = |part: f64| roots[(part * (roots.len() - 1) as f64).round() as usize];
    Some(Interval {
        estimate,
        low: (estimate - root(1.0 - tail) * error).clamp(0.0, 1.0),
        high: (estimate - root(tail) * error).clamp(0.0, 1.0),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::interval::Z95;

    #[test]
    fn as_scipy_gives_them() {
        let values = [0.2, 0.9, 0.4, 1.0, 0.0, 0.6];
        let near = |found: Interval, low: f64, high: f64| {
            assert!((found.low - low).abs() < 1e-12, "{found:?}");
            assert!((found.high - high).abs() < 1e-12, "{found:?}");
        };
        // scipy.stats.t.interval(0.95, 5, mean, sem)
        near(
            student(&values, 0.95).unwrap(),
            0.10528432633394763,
            0.9280490069993859,
        );
        // The formulas of the docs, in Python.
        near(
            mean(&values, 0.95).unwrap(),
            0.1946918285897917,
            0.8253739653649184,
        );
        near(mean(&[0.0; 6], 0.95).unwrap(), 0.0, 0.54575078253139);
        // scipy.stats.bootstrap(..., method="BCa", n_resamples=100000): within Monte Carlo error.
        let found = bca(&values, 100_000, 0.95, 1).unwrap();
        assert!(
            (found.low - 0.2333333333333333).abs() < 0.01
                && (found.high - 0.7999999999999999).abs() < 0.01,
            "{found:?}"
        );
    }

    #[test]
    fn a_bootstrap_is_the_same_again() {
        let values: Vec<f64> = (0..25).map(|n| f64::from(n % 5) / 4.0).collect();
        let one = percentile(&values, 2000, 0.95, 1).unwrap();
        assert_eq!(percentile(&values, 2000, 0.95, 1).unwrap(), one);
        assert!((one.estimate - 0.5).abs() < 1e-12 && one.low < 0.5 && 0.5 < one.high);
        // The standard error of the mean is 0.0707 here.
        assert!(
            (one.high - one.low - 2.0 * Z95 * 0.0707).abs() < 0.02,
            "{one:?}"
        );
    }

    #[test]
    fn too_few_targets_have_no_interval() {
        for values in [&[][..], &[0.5]] {
            assert_eq!(student(values, 0.95), None);
            assert_eq!(mean(values, 0.95), None);
            assert_eq!(effective_wilson(values, 0.95), None);
            assert_eq!(percentile(values, 100, 0.95, 1), None);
            assert_eq!(bca(values, 100, 0.95, 1), None);
            assert_eq!(studentized(values, 100, 0.95, 1), None);
        }
        assert_eq!(bca(&[0.5; 9], 100, 0.95, 1), None);
    }

    proptest! {
        #[test]
        fn intervals_hold_their_estimate(values in prop::collection::vec(0.0_f64..=1.0, 2..40)) {
            for found in [mean(&values, 0.95), effective_wilson(&values, 0.95), student(&values, 0.95)] {
                let found = found.unwrap();
                prop_assert!(0.0 <= found.low && found.low <= found.estimate + 1e-12);
                prop_assert!(found.estimate <= found.high + 1e-12 && found.high <= 1.0);
            }
        }

        #[test]
        fn failure_mirrors_success(values in prop::collection::vec(0.0_f64..=1.0, 2..40)) {
            let mirrored: Vec<f64> = values.iter().map(|value| 1.0 - value).collect();
            let (one, other) = (mean(&values, 0.95).unwrap(), mean(&mirrored, 0.95).unwrap());
            prop_assert!((one.low - (1.0 - other.high)).abs() < 1e-9);
            prop_assert!((one.high - (1.0 - other.low)).abs() < 1e-9);
        }

        #[test]
        fn more_of_the_same_is_surer(values in prop::collection::vec(0.0_f64..=1.0, 2..20)) {
            let twice = values.repeat(2);
            let width = |values: &[f64]| mean(values, 0.95).map(|found| found.high - found.low).unwrap();
            prop_assert!(width(&twice) < width(&values));
        }
    }
}
