//! The intervals that are published cover the truth as often as they claim, over simulated campaigns: a small and seeded
//! version of `examples/campaigns.rs`.

#[path = "support/campaign.rs"]
mod campaign;

use campaign::{Hours, LANGUAGES, MODELS};
use report::clusters;
use report::draws::Draws;
use report::{
    End, Interval, LEVEL, Outcome, Z95, kaplan_meier, pass_at_k, share_over_targets, step_at,
    wilson,
};

const CAMPAIGNS: u64 = 150;
const TARGETS: usize = 25;
const ATTEMPTS: u64 = 5;

#[derive(Default)]
struct Tally(u64, u64);

impl Tally {
    fn add(&mut self, found: Option<Interval>, truth: f64) {
        let found = found.expect("there are enough targets");
        self.0 += u64::from(found.low <= truth && truth <= found.high);
        self.1 += 1;
    }

    /// Whether it covered as often as it claims, within three standard errors of the simulation.
    fn holds(&self, what: &str) {
        let (covered, asked) = (self.0 as f64, self.1 as f64);
        let error = (LEVEL * (1.0 - LEVEL) / asked).sqrt();
        assert!(
            covered / asked > LEVEL - 3.0 * error,
            "{what}: {covered} of {asked}"
        );
    }
}

#[test]
fn rates_cover() {
    let mut draws = Draws::new(11);
    for (model, skill) in MODELS {
        let truth = campaign::expected(skill, None, None, |chance| chance);
        let best = campaign::expected(skill, None, None, |chance| 1.0 - (1.0 - chance).powi(5));
        let [mut same, mut other, mut pass] = [(); 3].map(|()| Tally::default());
        for _ in 0..CAMPAIGNS {
            let targets = campaign::targets(TARGETS, &mut draws);
            let solved: Vec<_> = targets
                .iter()
                .map(|target| campaign::solved(target, skill, ATTEMPTS, &mut draws))
                .collect();
            let chances: f64 = targets
                .iter()
                .flat_map(|target| target.difficulties)
                .map(|difficulty| campaign::chance(skill, difficulty))
                .sum();
            let tasks = (TARGETS * LANGUAGES.len()) as f64;
            let all: u64 = solved.iter().flatten().sum();
            same.add(wilson(all, ATTEMPTS * tasks as u64, Z95), chances / tasks);
            let over = |value: &dyn Fn(u64) -> f64| -> Vec<f64> {
                let mean = |solved: &[u64; LANGUAGES.len()]| {
                    solved.iter().map(|solved| value(*solved)).sum::<f64>() / LANGUAGES.len() as f64
                };
                solved.iter().map(mean).collect()
            };
            let rates = over(&|solved| solved as f64 / ATTEMPTS as f64);
            other.add(clusters::mean(&rates, LEVEL), truth);
            let passes = over(&|solved| pass_at_k(solved, ATTEMPTS, 5).unwrap_or_default());
            pass.add(clusters::mean(&passes, LEVEL), best);
        }
        same.holds(&format!("same tasks, {model}"));
        other.holds(&format!("other targets, {model}"));
        pass.holds(&format!("pass@5, {model}"));
    }
}

#[test]
fn curves_cover() {
    let mut draws = Draws::new(12);
    for at in [1.0, 4.0, 12.0] {
        let [mut same, mut other] = [(); 2].map(|()| Tally::default());
        for _ in 0..60 {
            let hours = Hours::new(TARGETS, &mut draws);
            let runs: Vec<(usize, Outcome)> = (0..TARGETS * 6)
                .map(|run| {
                    let (spent, solved) = hours.run(run % TARGETS, &mut draws);
                    let end = if solved { End::Solved } else { End::Censored };
                    (run % TARGETS, Outcome { spent, end })
                })
                .collect();
            let outcomes: Vec<Outcome> = runs.iter().map(|(_, outcome)| *outcome).collect();
            let steps = kaplan_meier(&outcomes);
            same.add(
                step_at(&steps, at).and_then(|step| step.interval(Z95)),
                hours.share(at),
            );
            other.add(share_over_targets(&runs, at, LEVEL), Hours::expected(at));
        }
        same.holds(&format!("same tasks, {at} hours"));
        other.holds(&format!("other targets, {at} hours"));
    }
}
