//! How often the screen's tests are wrong, and how often they find what is there, by simulation.
//!
//!     cargo run --release -p report --example screens

#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use report::draws::Draws;
use report::screen::{ALPHA, Score, Screen, holm};

const ROUNDS: usize = 1_000;
const TARGETS: usize = 8;

/// Scores of 40 functions in ten files.
fn program(name: &str, more: f64, draws: &mut Draws) -> Vec<Score> {
    let own = 0.34 + more + 0.05 * draws.normal();
    (0..40)
        .map(|place| Score {
            target: name.to_owned(),
            path: format!("f{}", place / 4),
            similarity: Some((own + 0.15 * draws.normal()).clamp(0.0, 1.0)),
            found: true,
        })
        .collect()
}

/// Which of the targets are flagged, and which would be by the ranks of their files.
fn flags(scores: &[Score], baseline: &[Score]) -> Vec<(String, bool, bool)> {
    let screen = Screen::of("m", scores, baseline);
    let ranks: Vec<f64> = screen
        .targets
        .iter()
        .filter_map(|one| one.p_files)
        .collect();
    let found = screen.targets.iter().zip(holm(&ranks));
    found
        .map(|(one, p)| {
            let name = one.summary.target.clone();
            (name, one.flagged == Some(true), p < ALPHA)
        })
        .collect()
}

fn main() {
    const MORE: [f64; 3] = [0.2, 0.3, 0.5];
    let percent = |count: usize| format!("{:.1} %", 100.0 * count as f64 / ROUNDS as f64);
    for programs in [5, 10, 20] {
        let mut draws = Draws::new(1);
        let mut wrong = [0_usize; 2];
        let mut right = [[0_usize; 2]; MORE.len()];
        for _ in 0..ROUNDS {
            let mut some = |prefix: &str, count: usize| -> Vec<Score> {
                (0..count)
                    .flat_map(|number| program(&format!("{prefix}{number}"), 0.0, &mut draws))
                    .collect()
            };
            let (baseline, mut targets) = (some("b", programs), some("t", TARGETS - 1));
            let clean = some("known", 1);
            let all: Vec<Score> = targets.iter().chain(&clean).cloned().collect();
            let found = flags(&all, &baseline);
            wrong[0] += usize::from(found.iter().any(|(_, test, _)| *test));
            wrong[1] += usize::from(found.iter().any(|(_, _, files)| *files));
            for (count, more) in right.iter_mut().zip(MORE) {
                let known = program("known", more, &mut draws);
                let kept = targets.len();
                targets.extend(known);
                for (name, test, files) in flags(&targets, &baseline) {
                    count[0] += usize::from(test && name == "known");
                    count[1] += usize::from(files && name == "known");
                }
                targets.truncate(kept);
            }
        }
        for (place, kind) in ["`flagged`", "by `p_files`, corrected"].iter().enumerate() {
            let found: Vec<String> = right.iter().map(|count| percent(count[place])).collect();
            println!(
                "| {programs} | {kind} | {} | {} |",
                percent(wrong[place]),
                found.join(" | ")
            );
        }
    }
}
