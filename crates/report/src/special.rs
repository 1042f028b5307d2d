//! Distribution functions that intervals are made of.

use std::f64::consts::PI;

/// Natural logarithm of the gamma function for positive arguments (Lanczos 1964, with g = 7 and nine terms).
pub fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        return (PI / (PI * x).sin()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let base = x + 7.5;
    let sum = TERMS[1..]
        .iter()
        .zip(1..)
        .fold(TERMS[0], |sum, (term, place)| {
            sum + term / (x + f64::from(place))
        });
    0.5 * (2.0 * PI).ln() + (x + 0.5) * base.ln() - base + sum.ln()
}

/// The regularized incomplete beta function, by its continued fraction (Abramowitz and Stegun 26.5.8, evaluated as Lentz
/// 1976 does). `a` and `b` are positive, `x` lies between 0 and 1.
pub fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let front =
        (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp() / a;
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut above = 1.0;
    let mut below = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = below;
    for step in 1..1000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        below = 1.0 / away(1.0 + even * below);
        above = away(1.0 + even / above);
        fraction *= below * above;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        below = 1.0 / away(1.0 + odd * below);
        above = away(1.0 + odd / above);
        let change = below * above;
        fraction *= change;
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * fraction
}

/// Student's distribution function with `freedom` degrees of freedom.
pub fn student_cdf(t: f64, freedom: f64) -> f64 {
    let square = t * t;
    if square < freedom {
        // Near the middle the tail's argument is close to 1 and has lost its digits; this one has not.
        let half = 0.5 * incomplete_beta(0.5, freedom / 2.0, square / (freedom + square));
        return 0.5 + half.copysign(t);
    }
    let tail = 0.5 * incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + square));
    if t > 0.0 { 1.0 - tail } else { tail }
}

/// Where Student's distribution function with `freedom` degrees of freedom reaches `part`, between 0 and 1.
pub fn student_quantile(part: f64, freedom: f64) -> f64 {
    if part < 0.5 {
        return -student_quantile(1.0 - part, freedom);
    }
    root(part, |t| student_cdf(t, freedom))
}

/// The standard normal distribution function.
pub fn normal_cdf(z: f64) -> f64 {
    // The error function's tail is an incomplete gamma function; with infinitely many degrees of freedom Student's
    // distribution is the normal one, but a series and a fraction of its own are more exact.
    let x = z.abs();
    let tail = if x > 38.0 {
        0.0
    } else if x < 3.0 {
        let (mut term, mut sum) = (x, x);
        for step in 1..200 {
            term *= x * x / (2.0 * f64::from(step) + 1.0);
            sum += term;
            if term < sum * 1e-17 {
                break;
            }
        }
        0.5 - sum * (-x * x / 2.0).exp() / (2.0 * PI).sqrt()
    } else {
        let fraction = (1..=120)
            .rev()
            .fold(x, |below, step| x + f64::from(step) / below);
        (-x * x / 2.0).exp() / (2.0 * PI).sqrt() / fraction
    };
    if z > 0.0 { 1.0 - tail } else { tail }
}

/// Where the standard normal distribution function reaches `part`, between 0 and 1.
pub fn normal_quantile(part: f64) -> f64 {
    if part < 0.5 {
        return -normal_quantile(1.0 - part);
    }
    root(part, normal_cdf)
}

/// Where a growing function that is 0.5 at 0 reaches `part`, which is at least that.
fn root(part: f64, function: impl Fn(f64) -> f64) -> f64 {
    if part >= 1.0 {
        return f64::INFINITY;
    }
    let (mut low, mut high) = (0.0, 1.0);
    while function(high) < part && high < 1e300 {
        low = high;
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if function(middle) < part {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(found: f64, expected: f64) {
        let scale = expected.abs().max(1e-300);
        assert!(
            (found - expected).abs() / scale < 1e-10,
            "{found} is not {expected}"
        );
    }

    #[test]
    fn as_scipy_gives_them() {
        // scipy.stats.t.ppf, norm.ppf, norm.cdf, scipy.special.betainc, gammaln.
        near(student_quantile(0.975, 1.0), 12.706204736174694);
        near(student_quantile(0.975, 2.0), 4.302652729749462);
        near(student_quantile(0.975, 3.0), 3.1824463052837078);
        near(student_quantile(0.975, 7.0), 2.364624251592784);
        near(student_quantile(0.975, 24.0), 2.0638985616280245);
        near(student_quantile(0.995, 24.0), 2.796939504774456);
        near(student_quantile(0.9, 100.5), 1.29003207221386);
        near(normal_quantile(0.975), 1.959963984540054);
        near(normal_quantile(0.995), 2.5758293035489004);
        near(normal_quantile(0.6), 0.2533471031357997);
        near(normal_quantile(0.025), -1.9599639845400545);
        near(normal_cdf(0.3), 0.6179114221889526);
        near(normal_cdf(1.96), 0.9750021048517795);
        near(normal_cdf(-2.9), 0.0018658133003840375);
        near(normal_cdf(-3.1), 0.0009676032132183563);
        near(normal_cdf(-6.0), 9.865876450376946e-10);
        near(incomplete_beta(0.5, 0.5, 0.2), 0.2951672353008665);
        near(incomplete_beta(12.0, 0.5, 0.7), 0.0037748965800729188);
        near(incomplete_beta(3.5, 8.0, 0.45), 0.8580765430738728);
        near(incomplete_beta(200.0, 150.0, 0.55), 0.20848780085962537);
        near(ln_gamma(0.1), 2.252712651734206);
        near(ln_gamma(3.7), 1.428072326665388);
        near(ln_gamma(150.0), 600.0094705553274);
    }

    proptest! {
        #[test]
        fn quantiles_undo_their_functions(part in 0.0005_f64..0.9995, freedom in 1.0_f64..200.0) {
            prop_assert!((student_cdf(student_quantile(part, freedom), freedom) - part).abs() < 1e-11);
            prop_assert!((normal_cdf(normal_quantile(part)) - part).abs() < 1e-12);
        }

        #[test]
        fn a_beta_function_grows_and_has_a_mirror(a in 0.1_f64..80.0, b in 0.1_f64..80.0, x in 0.0_f64..1.0) {
            let value = incomplete_beta(a, b, x);
            prop_assert!((0.0..=1.0).contains(&value));
            prop_assert!((value + incomplete_beta(b, a, 1.0 - x) - 1.0).abs() < 1e-11);
            prop_assert!(incomplete_beta(a, b, (x + 0.01).min(1.0)) >= value - 1e-12);
        }
    }
}
