//! How often intervals cover the truth, over simulated campaigns whose truth is known.
//!
//!     cargo run --release -p report --example campaigns -- [CAMPAIGNS [SEED]]
//!
//! 25 targets, three languages, five attempts, three models of known skill. Prints tables as they stand in the docs.

#[path = "../tests/support/campaign.rs"]
mod campaign;

use std::collections::BTreeMap;

use campaign::{Hours, LANGUAGES, MODELS, SIZES, Target};
use report::clusters;
use report::draws::Draws;
use report::{
    End, Interval, Outcome, Z95, kaplan_meier, pass_at_k, share_over_targets, step_at, wilson,
};

const TARGETS: usize = 25;
const ATTEMPTS: u64 = 5;
const LEVEL: f64 = 0.95;

/// How often an interval covered, how often it was too high and too low, and how wide it was.
#[derive(Default)]
struct Tally {
    asked: u64,
    none: u64,
    covered: u64,
    above: u64,
    below: u64,
    width: f64,
}

#[derive(Default)]
struct Tallies(BTreeMap<(String, String), Tally>);

impl Tallies {
    fn add(&mut self, what: String, method: &str, found: Option<Interval>, truth: f64) {
        let tally = self.0.entry((what, method.to_owned())).or_default();
        let Some(found) = found else {
            tally.none += 1;
            return;
        };
        tally.asked += 1;
        tally.covered += u64::from(found.low <= truth && truth <= found.high);
        tally.above += u64::from(found.low > truth);
        tally.below += u64::from(found.high < truth);
        tally.width += found.high - found.low;
    }
}

#[expect(clippy::print_stdout, reason = "a program whose output is a table")]
fn print(tallies: &Tallies) {
    println!(
        "| figure | method | covers | standard error | too high | too low | mean width | none given |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for ((what, method), tally) in &tallies.0 {
        let asked = tally.asked.max(1) as f64;
        let share = tally.covered as f64 / asked;
        println!(
            "| {what} | {method} | {:.1} % | {:.1} | {:.1} % | {:.1} % | {:.3} | {} |",
            100.0 * share,
            100.0 * (share * (1.0 - share) / asked).sqrt(),
            100.0 * tally.above as f64 / asked,
            100.0 * tally.below as f64 / asked,
            tally.width / asked,
            tally.none
        );
    }
}

fn methods(tallies: &mut Tallies, what: &str, values: &[f64], truth: f64, seed: u64, all: bool) {
    let mut add = |method: &str, found| tallies.add(what.to_owned(), method, found, truth);
    if values.len() < 2 {
        return;
    }
    add("Student", clusters::student(values, LEVEL));
    add("mean", clusters::mean(values, LEVEL));
    add(
        "effective Wilson",
        clusters::effective_wilson(values, LEVEL),
    );
    if all {
        add(
            "percentile bootstrap",
            clusters::percentile(values, 1000, LEVEL, seed),
        );
        add("BCa bootstrap", clusters::bca(values, 1000, LEVEL, seed));
        add(
            "studentized bootstrap",
            clusters::studentized(values, 1000, LEVEL, seed),
        );
    }
}

fn main() {
    let words: Vec<u64> = std::env::args()
        .skip(1)
        .map(|word| word.parse().expect("a number"))
        .collect();
    let campaigns = words.first().copied().unwrap_or(1000);
    let mut draws = Draws::new(words.get(1).copied().unwrap_or(1));
    let mut tallies = Tallies::default();
    let rate = |chance: f64| chance;
    let truths: Vec<[f64; 4]> = MODELS
        .iter()
        .map(|(_, skill)| {
            let of = |size| campaign::expected(*skill, size, None, rate);
            [of(None), of(Some(0)), of(Some(1)), of(Some(2))]
        })
        .collect();
    let best: Vec<f64> = MODELS
        .iter()
        .map(|(_, skill)| {
            campaign::expected(*skill, None, None, |chance| 1.0 - (1.0 - chance).powi(5))
        })
        .collect();
    for number in 0..campaigns {
        let targets = campaign::targets(TARGETS, &mut draws);
        let mut rates = Vec::new();
        for (place, (model, skill)) in MODELS.iter().enumerate() {
            let solved: Vec<_> = targets
                .iter()
                .map(|target| campaign::solved(target, *skill, ATTEMPTS, &mut draws))
                .collect();
            same_tasks(&mut tallies, model, *skill, &targets, &solved);
            let runs = (ATTEMPTS * LANGUAGES.len() as u64) as f64;
            let values = |keep: &dyn Fn(&Target) -> bool| -> Vec<f64> {
                let kept = targets
                    .iter()
                    .zip(&solved)
                    .filter(|(target, _)| keep(target));
                kept.map(|(_, solved)| solved.iter().sum::<u64>() as f64 / runs)
                    .collect()
            };
            let all = values(&|_| true);
            rates.push(all.clone());
            methods(
                &mut tallies,
                &format!("other targets, all, {model}"),
                &all,
                truths[place][0],
                number,
                true,
            );
            for (size, (name, _, _)) in SIZES.iter().enumerate() {
                let some = values(&|target| target.size == size);
                methods(
                    &mut tallies,
                    &format!("other targets, size {name}, {model}"),
                    &some,
                    truths[place][1 + size],
                    number,
                    true,
                );
            }
            let some = values(&|target| target.domain == 0);
            methods(
                &mut tallies,
                &format!("other targets, a domain, {model}"),
                &some,
                truths[place][0],
                number,
                false,
            );
            let some: Vec<f64> = solved
                .iter()
                .map(|solved| {
                    let sum: f64 = solved
                        .iter()
                        .filter_map(|solved| pass_at_k(*solved, ATTEMPTS, 5))
                        .sum();
                    sum / LANGUAGES.len() as f64
                })
                .collect();
            methods(
                &mut tallies,
                &format!("other targets, pass@5, {model}"),
                &some,
                best[place],
                number,
                false,
            );
        }
        let pairs = rates[1].iter().zip(&rates[2]);
        let differences: Vec<f64> = pairs.map(|(one, other)| other - one).collect();
        let truth = truths[2][0] - truths[1][0];
        let found = clusters::difference(&differences, LEVEL);
        tallies.add(
            "other targets, strong less middling".to_owned(),
            "mean",
            found,
            truth,
        );
        time(&mut tallies, &mut draws);
    }
    print(&tallies);
}

/// The same tasks again: Wilson's interval for what the campaign's own tasks are solved at.
fn same_tasks(
    tallies: &mut Tallies,
    model: &str,
    skill: f64,
    targets: &[Target],
    solved: &[[u64; LANGUAGES.len()]],
) {
    let mut add = |what: &str, keep: &dyn Fn(usize, usize) -> bool| {
        let (mut runs, mut passed, mut chances) = (0, 0, 0.0);
        for (target, (drawn, solved)) in targets.iter().zip(solved).enumerate() {
            for (language, solved) in solved.iter().enumerate() {
                if keep(target, language) {
                    runs += ATTEMPTS;
                    passed += solved;
                    chances += campaign::chance(skill, drawn.difficulties[language]);
                }
            }
        }
        if runs > 0 {
            let truth = chances / (runs / ATTEMPTS) as f64;
            tallies.add(
                format!("same tasks, {what}, {model}"),
                "Wilson",
                wilson(passed, runs, Z95),
                truth,
            );
        }
    };
    add("all", &|_, _| true);
    add("a language", &|_, language| language == 1);
    add("size S", &|target, _| targets[target].size == 0);
    add("size L", &|target, _| targets[target].size == 2);
    for one in 0..targets.len() {
        add("a target", &|target, _| target == one);
        add("a task", &|target, language| target == one && language == 1);
    }
}

/// Hours to success.
fn time(tallies: &mut Tallies, draws: &mut Draws) {
    let hours = Hours::new(TARGETS, draws);
    let runs: Vec<(usize, Outcome)> = (0..TARGETS)
        .flat_map(|target| std::iter::repeat_n(target, LANGUAGES.len() * ATTEMPTS as usize))
        .map(|target| {
            let (spent, solved) = hours.run(target, draws);
            let end = if solved { End::Solved } else { End::Censored };
            (target, Outcome { spent, end })
        })
        .collect();
    let outcomes: Vec<Outcome> = runs.iter().map(|(_, outcome)| *outcome).collect();
    let steps = kaplan_meier(&outcomes);
    for at in [1.0, 4.0, 12.0] {
        let own = step_at(&steps, at).and_then(|step| step.interval(Z95));
        tallies.add(
            format!("hours, same tasks, {at} h"),
            "Kaplan-Meier, log-log",
            own,
            hours.share(at),
        );
        let other = share_over_targets(&runs, at, LEVEL);
        tallies.add(
            format!("hours, other targets, {at} h"),
            "jackknife over targets",
            other,
            Hours::expected(at),
        );
    }
}
