//! How sure a figure is: intervals for rates, and what many attempts say of one.
//!
//! The unit is a run, or a task; never a case, since cases of one program fail together.

/// An estimate with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub estimate: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The standard normal quantile of a two-sided 95 % interval.
pub const Z95: f64 = 1.959_963_984_540_054;

/// Wilson's score interval for a rate of independent runs, `successes` of `runs`, at the normal quantile `z`
/// (Wilson 1927). `None` when there are no runs, or more successes than runs.
pub fn wilson(successes: u64, runs: u64, z: f64) -> Option<Interval> {
    if runs == 0 || successes > runs {
        return None;
    }
    let (n, p) = (runs as f64, successes as f64 / runs as f64);
    let square = z * z;
    let middle = p + square / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + square / (4.0 * n * n)).sqrt();
    let whole = 1.0 + square / n;
    Some(Interval {
        estimate: p,
        // Exactly 0 and 1 at the ends, which rounding would miss by a hair.
        low: if successes == 0 {
            0.0
        } else {
            (middle - half) / whole
        },
        high: if successes == runs {
            1.0
        } else {
            (middle + half) / whole
        },
    })
}

/// The chance that at least one of `k` attempts succeeds, estimated without bias from `runs` attempts of which
/// `successes` succeeded: 1 - C(runs - successes, k) / C(runs, k) (Chen et al. 2021). `None` when there are fewer than `k`
/// attempts, more successes than attempts, or `k` is 0.
pub fn pass_at_k(successes: u64, runs: u64, k: u64) -> Option<f64> {
    if k == 0 || k > runs || successes > runs {
        return None;
    }
    let failures = runs - successes;
    if failures < k {
        return Some(1.0);
    }
    let none: f64 = (0..k)
        .map(|taken| (failures - taken) as f64 / (runs - taken) as f64)
        .product();
    Some(1.0 - none)
}

/// A quantile of sorted values, between two of them in proportion.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * (sorted.len() - 1) as f64;
    let (below, share) = (place.floor() as usize, place.fract());
    let above = sorted[(below + 1).min(sorted.len() - 1)];
    sorted[below] + (above - sorted[below]) * share
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    #[test]
    fn wilson_as_in_the_literature() {
        // Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        for (successes, runs, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let found = wilson(successes, runs, Z95).unwrap();
            let round = |value: f64| (value * 1e4).round() / 1e4;
            assert_eq!((round(found.low), round(found.high)), (low, high));
        }
        assert_eq!(wilson(20, 20, Z95).unwrap().high, 1.0);
        assert_eq!(wilson(0, 0, Z95), None);
        assert_eq!(wilson(2, 1, Z95), None);
    }

    #[test]
    fn attempts_are_drawn_without_replacement() {
        assert!(near(pass_at_k(1, 2, 1).unwrap(), 0.5));
        assert!(near(pass_at_k(1, 5, 3).unwrap(), 0.6));
        assert!(near(pass_at_k(2, 4, 2).unwrap(), 1.0 - 1.0 / 6.0));
        assert!(near(pass_at_k(0, 9, 9).unwrap(), 0.0));
        assert!(near(pass_at_k(1, 9, 9).unwrap(), 1.0));
        for (successes, runs, k) in [(1, 2, 3), (1, 2, 0), (3, 2, 1)] {
            assert_eq!(pass_at_k(successes, runs, k), None);
        }
    }

    proptest! {
        #[test]
        fn intervals_hold_their_estimate(successes in 0_u64..1000, more in 0_u64..1000) {
            if let Some(found) = wilson(successes, successes + more, Z95) {
                prop_assert!(0.0 <= found.low && found.low <= found.estimate);
                prop_assert!(found.estimate <= found.high && found.high <= 1.0);
            }
        }

        #[test]
        fn more_attempts_never_pass_less(successes in 0_u64..30, more in 0_u64..30) {
            let runs = successes + more;
            let rates: Vec<f64> = (1..=runs).map(|k| pass_at_k(successes, runs, k).unwrap()).collect();
            prop_assert!(rates.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12));
            prop_assert!(rates.iter().all(|rate| (0.0..=1.0).contains(rate)));
        }
    }
}
