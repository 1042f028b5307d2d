//! Whether a model knows programs by heart: what it could recite of each, against what it recites of programs that it
//! cannot have seen.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::clusters::average;
use crate::special::{normal_cdf, student_cdf, student_quantile};

/// The format of what [`Screen::to_json`] writes.
pub const FORMAT: u64 = 1;
/// Below this a corrected p-value flags a target.
pub const ALPHA: f64 = 0.05;
/// Programs that a baseline needs at least, so that there is a spread.
pub const LEAST_PROGRAMS: usize = 2;

/// How alike one function is to the original.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Name of the target, or of a program of a baseline.
    pub target: String,
    /// The file that the function stands in.
    pub path: String,
    /// From 0 to 1; `None` where the model would not answer.
    pub similarity: Option<f64>,
    /// Whether the answer had a function of that name.
    pub found: bool,
}

/// What a target or a program of a baseline came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Its name.
    pub target: String,
    /// Functions with an answer.
    pub functions: u64,
    /// Functions for which the model would not answer.
    pub refused: u64,
    /// Answers that had a function of the name.
    pub found: u64,
    /// Files that the functions stand in.
    pub files: u64,
    /// Mean similarity of the functions with an answer; `None` without one.
    pub mean: Option<f64>,
    /// Its interval at 95 %, for other functions of the same program; `None` for a single file.
    pub ends: Option<(f64, f64)>,
    /// Mean similarity for each file.
    by_file: Vec<f64>,
}

impl Summary {
    fn of(target: &str, scores: &[&Score]) -> Summary {
        let mut files: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for score in scores {
            if let Some(similarity) = score.similarity {
                files.entry(&score.path).or_default().push(similarity);
            }
        }
        let all: Vec<f64> = files.values().flatten().copied().collect();
        let groups: Vec<&[f64]> = files.values().map(Vec::as_slice).collect();
        Summary {
            target: target.to_owned(),
            functions: all.len() as u64,
            refused: (scores.len() - all.len()) as u64,
            found: scores.iter().filter(|score| score.found).count() as u64,
            files: groups.len() as u64,
            mean: (!all.is_empty()).then(|| average(&all)),
            ends: clustered(&groups),
            by_file: files.values().map(|values| average(values)).collect(),
        }
    }
}

/// The interval at 95 % of a mean over values in groups that go together: the error from the groups' sums, with
/// Student's quantile of as many degrees of freedom as there are groups, less one. `None` for fewer than two groups.
fn clustered(groups: &[&[f64]]) -> Option<(f64, f64)> {
    let count: usize = groups.iter().map(|group| group.len()).sum();
    let number = groups.len() as f64;
    if groups.len() < 2 {
        return None;
    }
    let mean = groups.iter().flat_map(|group| *group).sum::<f64>() / count as f64;
    let squares: f64 = groups
        .iter()
        .map(|group| group.iter().map(|value| value - mean).sum::<f64>().powi(2))
        .sum();
    let error = (number / (number - 1.0) * squares).sqrt() / count as f64;
    let half = student_quantile(0.975, number - 1.0) * error;
    Some(((mean - half).max(0.0), (mean + half).min(1.0)))
}

/// What a target's scores say beside a baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What it came to.
    pub summary: Summary,
    /// Student's t of the mean beside the means of the baseline's programs.
    pub t: Option<f64>,
    /// The chance of such a mean, or a larger one, of a program like those of the baseline.
    pub p: Option<f64>,
    /// That, corrected for the number of targets that were tested.
    pub p_corrected: Option<f64>,
    /// The chance of such ranks of its files among those of the baseline's, were they of one kind.
    pub p_files: Option<f64>,
    /// Whether the corrected p-value is below [`ALPHA`]; `None` without one.
    pub flagged: Option<bool>,
}

/// What a model could recite of targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Screen {
    /// The model.
    pub model: String,
    /// The programs that it cannot have seen.
    pub baseline: Vec<Summary>,
    /// The targets, by name.
    pub targets: Vec<Verdict>,
}

/// Scores by target.
fn by_target(scores: &[Score]) -> Vec<Summary> {
    let names: BTreeSet<&str> = scores.iter().map(|score| score.target.as_str()).collect();
    names
        .into_iter()
        .map(|name| {
            let own: Vec<&Score> = scores.iter().filter(|score| score.target == name).collect();
            Summary::of(name, &own)
        })
        .collect()
}

/// The test of Crawford and Howell (1998, *The Clinical Neuropsychologist* 12), which compares one case with a few
/// controls: Student's t and its upper tail with as many degrees of freedom as there are controls, less one. `None` for
/// fewer than two controls, or controls that are all the same.
pub fn one_beside_few(case: f64, controls: &[f64]) -> Option<(f64, f64)> {
    if controls.len() < LEAST_PROGRAMS {
        return None;
    }
    let count = controls.len() as f64;
    let mean = average(controls);
    let squares: f64 = controls.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0)).sqrt();
    if deviation <= 0.0 {
        return None;
    }
    let t = (case - mean) / (deviation * (1.0 + 1.0 / count).sqrt());
    // The lower tail of the other side keeps its digits.
    Some((t, student_cdf(-t, count - 1.0)))
}

/// The test of Mann and Whitney (1947), one-sided: the chance of ranks as high as those of `one`, by the normal
/// approximation with corrections for ties and for continuity. `None` where there is nothing to rank.
pub fn ranks(one: &[f64], other: &[f64]) -> Option<f64> {
    let mut all: Vec<(f64, bool)> = one
        .iter()
        .map(|value| (*value, true))
        .chain(other.iter().map(|value| (*value, false)))
        .collect();
    all.sort_by(|left, right| left.0.total_cmp(&right.0));
    let (n, m) = (one.len() as f64, other.len() as f64);
    let total = n + m;
    let (mut sum, mut ties) = (0.0, 0.0);
    let mut place = 0;
    while place < all.len() {
        let same = all[place..]
            .iter()
            .take_while(|(value, _)| *value == all[place].0)
            .count();
        let rank = place as f64 + (same as f64 + 1.0) / 2.0;
        let own = all[place..place + same].iter().filter(|(_, own)| *own);
        sum += rank * own.count() as f64;
        ties += (same as f64).powi(3) - same as f64;
        place += same;
    }
    let u = sum - n * (n + 1.0) / 2.0;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    // Also where one side is empty.
    if variance.is_nan() || variance <= 0.0 {
        return None;
    }
    Some(normal_cdf(-(u - n * m / 2.0 - 0.5) / variance.sqrt()))
}

/// Holm's correction (1979, *Scandinavian Journal of Statistics* 6): no more than the stated share of families of tests
/// has one that is wrong, however they depend on each other.
pub fn holm(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|one, other| values[*one].total_cmp(&values[*other]));
    let mut corrected = vec![1.0; values.len()];
    let mut largest = 0.0_f64;
    for (before, place) in order.into_iter().enumerate() {
        let left = (values.len() - before) as f64;
        largest = largest.max((values[place] * left).min(1.0));
        corrected[place] = largest;
    }
    corrected
}

impl Screen {
    /// Compares targets with a baseline; without one, there are means alone.
    pub fn of(model: &str, scores: &[Score], baseline: &[Score]) -> Screen {
        let baseline = by_target(baseline);
        let controls: Vec<f64> = baseline.iter().filter_map(|program| program.mean).collect();
        let files: Vec<f64> = baseline
            .iter()
            .flat_map(|program| program.by_file.iter().copied())
            .collect();
        let mut targets: Vec<Verdict> = by_target(scores)
            .into_iter()
            .map(|summary| {
                let found = summary
                    .mean
                    .and_then(|mean| one_beside_few(mean, &controls));
                Verdict {
                    t: found.map(|(t, _)| t),
                    p: found.map(|(_, p)| p),
                    p_corrected: None,
                    p_files: ranks(&summary.by_file, &files),
                    flagged: None,
                    summary,
                }
            })
            .collect();
        let tested: Vec<f64> = targets.iter().filter_map(|target| target.p).collect();
        let with = targets.iter_mut().filter(|target| target.p.is_some());
        for (target, corrected) in with.zip(holm(&tested)) {
            target.p_corrected = Some(corrected);
            target.flagged = Some(corrected < ALPHA);
        }
        Screen {
            model: model.to_owned(),
            baseline,
            targets,
        }
    }

    /// Mean over the baseline's programs of their means.
    pub fn baseline_mean(&self) -> Option<f64> {
        let means: Vec<f64> = self.baseline.iter().filter_map(|one| one.mean).collect();
        (!means.is_empty()).then(|| average(&means))
    }

    /// Everything, for a file.
    pub fn to_json(&self) -> Value {
        let summary = |one: &Summary| {
            json!({
                "target": one.target,
                "functions": one.functions,
                "refused": one.refused,
                "found": one.found,
                "files": one.files,
                "mean": one.mean,
                "low": one.ends.map(|ends| ends.0),
                "high": one.ends.map(|ends| ends.1),
            })
        };
        let targets: Vec<Value> = self
            .targets
            .iter()
            .map(|target| {
                let mut value = summary(&target.summary);
                value["t"] = json!(target.t);
                value["p"] = json!(target.p);
                value["p_corrected"] = json!(target.p_corrected);
                value["p_files"] = json!(target.p_files);
                value["flagged"] = json!(target.flagged);
                value
            })
            .collect();
        json!({
            "format": FORMAT,
            "model": self.model,
            "alpha": ALPHA,
            "correction": "holm",
            "baseline": {
                "mean": self.baseline_mean(),
                "programs": self.baseline.iter().map(summary).collect::<Vec<_>>(),
            },
            "targets": targets,
        })
    }

    /// Reads what [`Screen::to_json`] wrote.
    ///
    /// # Errors
    /// When it is something else; what is wrong is said.
    pub fn from_json(value: &Value) -> Result<Screen, String> {
        match value["format"].as_u64() {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(format!(
                    "a screen of format {other}, of which this program knows {FORMAT} alone"
                ));
            }
            None => return Err("no screen: it has no \"format\"".to_owned()),
        }
        let list = |value: &Value, name: &str| {
            value
                .as_array()
                .cloned()
                .ok_or_else(|| format!("\"{name}\" is no list"))
        };
        let targets = list(&value["targets"], "targets")?;
        let programs = list(&value["baseline"]["programs"], "baseline.programs")?;
        Ok(Screen {
            model: text(value, "model")?,
            baseline: programs.iter().map(summary).collect::<Result<_, _>>()?,
            targets: targets
                .iter()
                .map(|value| {
                    Ok(Verdict {
                        summary: summary(value)?,
                        t: value["t"].as_f64(),
                        p: share(value, "p")?,
                        p_corrected: share(value, "p_corrected")?,
                        p_files: share(value, "p_files")?,
                        flagged: value["flagged"].as_bool(),
                    })
                })
                .collect::<Result<_, String>>()?,
        })
    }
}

fn text(value: &Value, key: &str) -> Result<String, String> {
    let text = value[key].as_str().map(str::to_owned);
    text.ok_or_else(|| format!("\"{key}\" is no text"))
}

fn share(value: &Value, key: &str) -> Result<Option<f64>, String> {
    match value[key].as_f64() {
        Some(share) if !(0.0..=1.0).contains(&share) => {
            Err(format!("\"{key}\" is not between 0 and 1"))
        }
        other => Ok(other),
    }
}

fn summary(value: &Value) -> Result<Summary, String> {
    let whole = |key: &str| {
        value[key]
            .as_u64()
            .ok_or_else(|| format!("\"{key}\" is no whole number"))
    };
    Ok(Summary {
        target: text(value, "target")?,
        functions: whole("functions")?,
        refused: whole("refused")?,
        found: whole("found")?,
        files: whole("files")?,
        mean: share(value, "mean")?,
        ends: share(value, "low")?.zip(share(value, "high")?),
        by_file: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Draws;

    fn score(target: &str, path: &str, similarity: f64) -> Score {
        Score {
            target: target.to_owned(),
            path: path.to_owned(),
            similarity: Some(similarity),
            found: true,
        }
    }

    #[track_caller]
    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }

    #[test]
    fn as_scipy_gives_them() {
        // scipy.stats.t.sf(t, 4)
        let (t, p) = one_beside_few(0.9, &[0.2, 0.3, 0.35, 0.4, 0.5]).unwrap();
        near(t, 4.490_731_195_102_493_5);
        near(p, 0.005_449_849_284_796_802);
        // scipy.stats.mannwhitneyu(..., alternative="greater", method="asymptotic")
        let p = ranks(&[0.5, 0.7, 0.7, 0.9], &[0.1, 0.2, 0.5, 0.7, 0.3]).unwrap();
        near(p, 0.039_928_096_886_758_22);
        // statsmodels.stats.multitest.multipletests(..., method="holm")
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in corrected.into_iter().zip([0.03, 0.06, 0.06, 0.02]) {
            near(found, expected);
        }
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        assert_eq!(one_beside_few(0.5, &[0.1]), None);
        assert_eq!(one_beside_few(0.5, &[0.1, 0.1]), None);
        assert_eq!(ranks(&[], &[0.1]), None);
        assert_eq!(ranks(&[0.1], &[]), None);
        assert_eq!(ranks(&[0.1], &[0.1, 0.1]), None);
        assert!(holm(&[]).is_empty());
        let screen = Screen::of("a/m", &[score("x", "a", 0.5)], &[]);
        let target = &screen.targets[0];
        assert_eq!((target.p, target.flagged), (None, None));
        assert_eq!(target.summary.ends, None);
    }

    fn some() -> Screen {
        let baseline: Vec<Score> = (0..6)
            .flat_map(|n| {
                let name = format!("b{n}");
                (0..10).map(move |file| {
                    score(
                        &name,
                        &format!("f{}", file / 2),
                        0.25 + 0.02 * f64::from(n) + 0.01 * f64::from(file),
                    )
                })
            })
            .collect();
        let mut scores: Vec<Score> = (0..8)
            .flat_map(|n| {
                let place = format!("f{}", n / 2);
                [
                    score("known", &place, 0.9 + 0.01 * f64::from(n)),
                    score("new", &place, 0.3 + 0.01 * f64::from(n)),
                ]
            })
            .collect();
        scores.push(Score {
            similarity: None,
            found: false,
            ..score("new", "f9", 0.0)
        });
        Screen::of("a/m", &scores, &baseline)
    }

    #[test]
    fn what_is_recited_is_flagged_and_what_is_not_is_not() {
        let screen = some();
        let flags: Vec<_> = screen
            .targets
            .iter()
            .map(|target| (target.summary.target.as_str(), target.flagged))
            .collect();
        assert_eq!(flags, [("known", Some(true)), ("new", Some(false))]);
        let new = &screen.targets[1].summary;
        assert_eq!((new.functions, new.refused, new.files), (8, 1, 4));
        near(screen.baseline_mean().unwrap(), 0.345);
    }

    #[test]
    fn a_screen_is_read_as_it_was_written() {
        let screen = some();
        let read = Screen::from_json(&screen.to_json()).unwrap();
        assert_eq!(read.to_json(), screen.to_json());
        for (key, value, expected) in [
            ("format", json!(2), "format 2"),
            ("format", json!(null), "no screen"),
            ("model", json!(1), "\"model\" is no text"),
            ("targets", json!({}), "\"targets\" is no list"),
            ("targets", json!([{"target": "x"}]), "\"functions\""),
        ] {
            let mut wrong = screen.to_json();
            wrong[key] = value;
            let error = Screen::from_json(&wrong).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    /// How often something is flagged of `targets` programs that are of the baseline's kind, and how often the ranks of
    /// their files, corrected alike, would do so.
    fn wrong_flags(programs: usize, targets: usize, rounds: usize) -> (f64, f64) {
        let mut draws = Draws::new(7);
        let (mut tests, mut files) = (0, 0);
        for _ in 0..rounds {
            let mut some = |prefix: &str, count: usize| -> Vec<Score> {
                (0..count)
                    .flat_map(|n| {
                        let own = 0.34 + 0.05 * draws.normal();
                        let scores: Vec<Score> = (0..40)
                            .map(|place| {
                                let value = own + 0.15 * draws.normal();
                                score(
                                    &format!("{prefix}{n}"),
                                    &format!("f{}", place / 4),
                                    value.clamp(0.0, 1.0),
                                )
                            })
                            .collect();
                        scores
                    })
                    .collect()
            };
            let (baseline, scores) = (some("b", programs), some("t", targets));
            let screen = Screen::of("a/m", &scores, &baseline);
            let found = |target: &Verdict| target.flagged == Some(true);
            tests += usize::from(screen.targets.iter().any(found));
            let ranks: Vec<f64> = screen
                .targets
                .iter()
                .filter_map(|one| one.p_files)
                .collect();
            files += usize::from(holm(&ranks).iter().any(|p| *p < ALPHA));
        }
        (tests as f64 / rounds as f64, files as f64 / rounds as f64)
    }

    #[test]
    fn programs_differ_and_that_alone_flags_nothing() {
        let (tests, files) = wrong_flags(10, 8, 300);
        assert!(tests <= ALPHA + 0.03, "{tests}");
        // Files of one program go together, so that ranks of files are no test of programs.
        assert!(files > 2.0 * ALPHA, "{files}");
    }
}
