//! How often the screen's tests are wrong, and how often they find what is there, by simulation.
//!
//!     cargo run --release -p report --example screens

#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use report::draws::Draws;
use report::screen::{ALPHA, Score, Screen, holm};

const ROUNDS: usize = 2_000;
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

fn main() {
    println!(
        "| programs of the baseline | known is higher by | wrong flags | known is flagged | by ranks of files: wrong | known |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for programs in [3, 5, 10, 20] {
        for more in [0.2, 0.3, 0.5] {
            let mut draws = Draws::new(1);
            let [mut wrong, mut found, mut wrong_files, mut found_files] = [0_usize; 4];
            for _ in 0..ROUNDS {
                let some = |prefix: &str, count: usize, draws: &mut Draws| -> Vec<Score> {
                    (0..count)
                        .flat_map(|number| program(&format!("{prefix}{number}"), 0.0, draws))
                        .collect()
                };
                let baseline = some("b", programs, &mut draws);
                let mut scores = some("t", TARGETS - 1, &mut draws);
                let clean = some("t", TARGETS, &mut draws);
                scores.extend(program("known", more, &mut draws));
                let of = |scores: &[Score], name: &str| -> (bool, bool) {
                    let screen = Screen::of("m", scores, &baseline);
                    let ranks: Vec<f64> = screen
                        .targets
                        .iter()
                        .filter_map(|one| one.p_files)
                        .collect();
                    let ranks = holm(&ranks);
                    let those = || {
                        screen
                            .targets
                            .iter()
                            .zip(&ranks)
                            .filter(|(one, _)| name.is_empty() || one.summary.target == name)
                    };
                    (
                        those().any(|(one, _)| one.flagged == Some(true)),
                        those().any(|(_, p)| *p < ALPHA),
                    )
                };
                let (test, files) = of(&clean, "");
                wrong += usize::from(test);
                wrong_files += usize::from(files);
                let (test, files) = of(&scores, "known");
                found += usize::from(test);
                found_files += usize::from(files);
            }
            let percent = |count: usize| 100.0 * count as f64 / ROUNDS as f64;
            println!(
                "| {programs} | {more} | {:.1} % | {:.1} % | {:.1} % | {:.1} % |",
                percent(wrong),
                percent(found),
                percent(wrong_files),
                percent(found_files)
            );
        }
    }
}
