//! Simulated campaigns: models of known skill on targets that are drawn anew in each, so that the truth behind each figure
//! is known.
//!
//! A model solves a task with the probability 1 / (1 + exp(difficulty - skill)). A task's difficulty is that of its size and
//! its language, and what its target and the task itself add, both normal.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each program that has this as a module uses a part of it"
)]

use report::draws::Draws;
use report::special::{normal_cdf, normal_quantile};

/// Sizes, how often each comes in ten targets, and what it adds to the difficulty.
pub const SIZES: [(&str, f64, f64); 3] = [("S", 0.4, -1.5), ("M", 0.36, 0.0), ("L", 0.24, 2.0)];
/// Languages and what each adds to the difficulty.
pub const LANGUAGES: [(&str, f64); 3] = [("python", -0.5), ("rust", 0.0), ("ada", 0.7)];
/// Domains: seven, as in the original benchmark.
pub const DOMAINS: [&str; 7] = [
    "unix utilities",
    "data serialization and query",
    "bioinformatics",
    "interpreters",
    "static analysis",
    "cryptography",
    "compression",
];
/// Models and their skills.
pub const MODELS: [(&str, f64); 3] = [("weak", -3.5), ("middling", 0.0), ("strong", 3.0)];
/// Spread of the difficulty between targets, and between the tasks of one.
const TARGET_SPREAD: f64 = 1.5;
const TASK_SPREAD: f64 = 0.5;

/// One target of a campaign.
pub struct Target {
    /// Place in [`SIZES`].
    pub size: usize,
    /// Place in [`DOMAINS`].
    pub domain: usize,
    /// What its size, its own nature and each language make of it.
    pub difficulties: [f64; LANGUAGES.len()],
}

/// Draws the targets of a campaign.
pub fn targets(count: usize, draws: &mut Draws) -> Vec<Target> {
    (0..count)
        .map(|_| {
            let place = draws.unit();
            let size =
                usize::from(place >= SIZES[0].1) + usize::from(place >= SIZES[0].1 + SIZES[1].1);
            let own = SIZES[size].2 + TARGET_SPREAD * draws.normal();
            Target {
                size,
                domain: draws.below(DOMAINS.len()),
                difficulties: LANGUAGES.map(|(_, more)| own + more + TASK_SPREAD * draws.normal()),
            }
        })
        .collect()
}

/// The chance that a model solves a task of this difficulty.
pub fn chance(skill: f64, difficulty: f64) -> f64 {
    1.0 / (1.0 + (difficulty - skill).exp())
}

/// How often each task of a target is solved in so many attempts.
pub fn solved(
    target: &Target,
    skill: f64,
    attempts: u64,
    draws: &mut Draws,
) -> [u64; LANGUAGES.len()] {
    target.difficulties.map(|difficulty| {
        let chance = chance(skill, difficulty);
        (0..attempts).filter(|_| draws.unit() < chance).count() as u64
    })
}

/// The mean of `value` of a task's chance over all targets like these, by size (`None` for all) and language.
pub fn expected(
    skill: f64,
    size: Option<usize>,
    language: Option<usize>,
    value: impl Fn(f64) -> f64,
) -> f64 {
    const POINTS: u32 = 2000;
    let spread = f64::hypot(TARGET_SPREAD, TASK_SPREAD);
    let mut sum = 0.0;
    let mut weights = 0.0;
    for (place, (_, share, more)) in SIZES.iter().enumerate() {
        if size.is_some_and(|size| size != place) {
            continue;
        }
        for (own, (_, of_language)) in LANGUAGES.iter().enumerate() {
            if language.is_some_and(|language| language != own) {
                continue;
            }
            let mean: f64 = (0..POINTS)
                .map(|point| {
                    let z = normal_quantile((f64::from(point) + 0.5) / f64::from(POINTS));
                    value(chance(skill, more + of_language + spread * z))
                })
                .sum::<f64>()
                / f64::from(POINTS);
            sum += share * mean;
            weights += share;
        }
    }
    sum / weights
}

/// Hours until a run is solved: log-normal, with a median that differs between targets.
pub struct Hours {
    /// Natural logarithm of the median of each target.
    pub medians: Vec<f64>,
}

/// Natural logarithm of the median over targets, its spread between them, and the spread of runs of one target.
const HOURS: (f64, f64, f64) = (1.386, 0.7, 0.8);

impl Hours {
    /// Draws the medians of so many targets.
    pub fn new(targets: usize, draws: &mut Draws) -> Self {
        Hours {
            medians: (0..targets)
                .map(|_| HOURS.0 + HOURS.1 * draws.normal())
                .collect(),
        }
    }

    /// How long a run of a target took, and whether it was solved before its time was up, which is from 2 to 16 hours.
    pub fn run(&self, target: usize, draws: &mut Draws) -> (f64, bool) {
        let needs = (self.medians[target] + HOURS.2 * draws.normal()).exp();
        let limit = 2.0 + 14.0 * draws.unit();
        (needs.min(limit), needs <= limit)
    }

    /// Share of runs that are solved by then: of these targets.
    pub fn share(&self, hours: f64) -> f64 {
        let sum: f64 = self
            .medians
            .iter()
            .map(|median| normal_cdf((hours.ln() - median) / HOURS.2))
            .sum();
        sum / self.medians.len() as f64
    }

    /// The same of all targets like these.
    pub fn expected(hours: f64) -> f64 {
        normal_cdf((hours.ln() - HOURS.0) / f64::hypot(HOURS.1, HOURS.2))
    }
}
