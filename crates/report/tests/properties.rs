//! What holds of results whatever the runs are.

use std::collections::BTreeMap;

use proptest::prelude::*;
use report::table::Cell;
use report::{Results, RunRow, Scored, TargetFacts};

const STATES: [&str; 5] = ["submitted", "budget", "left", "failed", "open"];

/// Target, language, system, state, hidden cases of twenty that pass, hours, tokens.
type Drawn = (u8, u8, u8, u8, u64, f64, u64);

fn row(number: usize, drawn: Drawn) -> RunRow {
    let (target, language, system, state, passed, hours, tokens) = drawn;
    let state = STATES[usize::from(state)];
    let counts = !matches!(state, "failed" | "open");
    RunRow {
        run: format!("run-{number}"),
        target: format!("target-{target}"),
        language: format!("language-{language}"),
        // One target is not known.
        facts: (target > 0).then(|| TargetFacts {
            domain: format!("domain-{}", target % 2),
            size: ["S", "M", "L"][usize::from(target % 3)].to_owned(),
        }),
        model: format!("model-{system}"),
        agent: "built-in".to_owned(),
        settings: BTreeMap::new(),
        began: "2026-01-01T00:00:00.000Z".to_owned(),
        state,
        attempt: 0,
        scored: counts.then(|| Scored {
            solved: passed == 20,
            hidden: (passed, 20),
            visible: (20, 20),
            submission: String::new(),
            lock: None,
        }),
        excluded: (!counts).then(|| state.to_owned()),
        tokens,
        possible_tokens: 0,
        dollars: (tokens % 3 > 0).then_some(tokens as f64 / 1000.0),
        hours,
        active_hours: hours,
        tool_hours: 0.0,
        turns: 1,
        oracle_calls: 0,
        evaluations: 0,
        compactions: 0,
        mirrorcode: String::new(),
    }
}

fn runs() -> impl Strategy<Value = Vec<RunRow>> {
    let passed = prop_oneof![Just(20_u64), 0_u64..20];
    let one = (
        0_u8..5,
        0_u8..3,
        0_u8..3,
        0_u8..5,
        passed,
        0.0_f64..50.0,
        0_u64..9000,
    );
    prop::collection::vec(one, 0..40).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(number, drawn)| row(number, drawn))
            .collect()
    })
}

/// Numbers of a table's column, by system, of rows for which `keep` holds.
fn column(
    results: &Results,
    table: &str,
    name: &str,
    keep: impl Fn(&str) -> bool,
) -> Vec<(String, f64)> {
    let table = results.table(table).unwrap();
    let by = |row: &[Cell]| match table.cell(row, "by") {
        Cell::Text(by) => by.clone(),
        _ => String::new(),
    };
    let rows = table.rows.iter().filter(|row| keep(&by(row)));
    rows.filter_map(|row| {
        let Cell::Text(system) = table.cell(row, "system") else {
            return None;
        };
        match table.cell(row, name) {
            Cell::Real(number) => Some((system.clone(), *number)),
            Cell::Whole(number) => Some((system.clone(), *number as f64)),
            _ => None,
        }
    })
    .collect()
}

fn summed(values: Vec<(String, f64)>) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for (system, value) in values {
        *sums.entry(system).or_insert(0.0) += value;
    }
    sums
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_of_runs_says_nothing(rows in runs(), turn in 0_usize..40) {
        let mut others = rows.clone();
        others.rotate_left(turn % rows.len().max(1));
        prop_assert_eq!(Results::of(rows).to_json(), Results::of(others).to_json());
    }

    #[test]
    fn runs_that_do_not_count_change_no_figure(rows in runs()) {
        let counted: Vec<RunRow> = rows.iter().filter(|row| row.excluded.is_none()).cloned().collect();
        let (all, some) = (Results::of(rows), Results::of(counted));
        for name in ["rates", "attempts", "reach", "targets", "comparisons", "curves", "profile"] {
            let rows = |results: &Results| -> Vec<Vec<Cell>> {
                let table = results.table(name).unwrap();
                // A system without a run that counts has reached none of no targets.
                let empty = |row: &&Vec<Cell>| name != "reach" || *table.cell(row, "targets") != Cell::Whole(0);
                table.rows.iter().filter(empty).cloned().collect()
            };
            prop_assert_eq!(rows(&all), rows(&some), "{}", name);
        }
    }

    #[test]
    fn parts_come_to_the_whole(rows in runs()) {
        let results = Results::of(rows);
        for name in ["runs", "solved"] {
            let of = |by: &'static str| summed(column(&results, "rates", name, |found| found == by));
            for by in ["language", "target", "task"] {
                prop_assert_eq!(of("all"), of(by), "{} by {}", name, by);
            }
        }
        // One attempt of each task is what the rate is made of.
        let first = results.table("attempts").unwrap();
        let pass: BTreeMap<String, f64> = first
            .rows
            .iter()
            .filter(|row| *first.cell(row, "k") == Cell::Whole(1) && *first.cell(row, "by") == Cell::from("all"))
            .filter_map(|row| match (first.cell(row, "system"), first.cell(row, "pass")) {
                (Cell::Text(system), Cell::Real(pass)) => Some((system.clone(), *pass)),
                _ => None,
            })
            .collect();
        let means = summed(column(&results, "rates", "mean", |by| by == "all"));
        prop_assert_eq!(pass.len(), means.len());
        for (system, mean) in means {
            prop_assert!((pass[&system] - mean).abs() < 1e-12);
        }
    }

    #[test]
    fn every_share_is_one_and_lies_in_its_interval(rows in runs()) {
        let results = Results::of(rows);
        for (table, estimate, low, high) in [
            ("rates", "rate", "rate_low", "rate_high"),
            ("rates", "mean", "mean_low", "mean_high"),
            ("attempts", "pass", "low", "high"),
            ("reach", "solved_share", "solved_low", "solved_high"),
            ("reach", "near_share", "near_low", "near_high"),
            ("curves", "share", "low", "high"),
            ("profile", "share", "low", "high"),
        ] {
            let table = results.table(table).unwrap();
            for row in &table.rows {
                let number = |name| match table.cell(row, name) {
                    Cell::Real(number) => Some(*number),
                    _ => None,
                };
                if let Some(estimate) = number(estimate) {
                    prop_assert!((-1e-12..=1.0 + 1e-12).contains(&estimate));
                    if let (Some(low), Some(high)) = (number(low), number(high)) {
                        prop_assert!(low <= estimate + 1e-12 && estimate <= high + 1e-12, "{low} {estimate} {high}");
                        prop_assert!(low >= -1e-12 && high <= 1.0 + 1e-12);
                    }
                }
                // A wrong submission that is final can only lower what is solved.
                if let (Some(share), Some(incidence)) = (number("share"), number("incidence")) {
                    prop_assert!(incidence <= share + 1e-12);
                }
            }
        }
    }
}
