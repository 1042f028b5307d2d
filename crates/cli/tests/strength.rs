//! What is published about test strength can be counted again from its rows, and the page shows it.
//! `MIRRORCODE_UPDATE=1 cargo test -p cli --test strength` writes the page's figures anew.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use common::repository;
use target::strength::object::Kind;
use target::strength::record::{self, Counted, FILE, Group, Record};

const MARK: &str = "<!-- From here on written by `MIRRORCODE_UPDATE=1 cargo test -p cli --test strength`, from the files. -->\n";
/// Families that the page names as the weakest.
const WEAKEST: usize = 3;

/// The records of all targets that have one, with their text.
fn records() -> Vec<(Record, String)> {
    let mut paths: Vec<_> = fs::read_dir(repository().join("targets"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join(FILE))
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let record = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (record, text)
        })
        .collect()
}

#[test]
fn figures_are_those_of_the_rows() {
    let records = records();
    assert!(!records.is_empty());
    for (record, text) in &records {
        let name = &record.target;
        assert_eq!(record.format, record::FORMAT, "{name}");
        assert_eq!(&record.to_json(), text, "{name}: written by the program");
        for kind in Kind::ALL {
            let mut counted = BTreeMap::new();
            for group in Group::ALL {
                let rows = record
                    .mutants
                    .iter()
                    .filter(|row| row.kind == kind && row.groups.contains(&group));
                let (killed, total) = record::count(rows);
                if total > 0 {
                    counted.insert(group, Counted::of(killed, total));
                }
            }
            assert_eq!(record.strength[&kind], counted, "{name}: {kind:?}");
        }
        for row in &record.mutants {
            assert_eq!(
                row.outcome.is_killed(),
                row.case.is_some(),
                "{name}: {row:?}"
            );
            assert!(row.hidden > 0 || row.visible > 0, "{name}: {row:?}");
        }
        let asked: Vec<_> = record
            .mutants
            .iter()
            .filter_map(|row| row.families.as_ref())
            .collect();
        for family in &record.families {
            let kills = |one: &&&std::collections::BTreeSet<String>| one.contains(&family.family);
            assert_eq!(
                family.killed,
                asked.iter().filter(kills).count(),
                "{name}: {}",
                family.family
            );
        }
    }
}

/// A target's name, and whether its cases are no longer those that were measured.
fn named(record: &Record) -> String {
    let lock = repository()
        .join("targets")
        .join(&record.target)
        .join("target.lock");
    let now = target::Digest::of(&fs::read(lock).unwrap()).to_string();
    if now == record.lock {
        record.target.clone()
    } else {
        format!("{} (its cases have changed since)", record.target)
    }
}

fn cell(record: &Record, kind: Kind, group: Group) -> String {
    let found = record
        .strength
        .get(&kind)
        .and_then(|groups| groups.get(&group));
    found.map_or("-".to_owned(), |counted| {
        format!(
            "{:.1} % ({:.1} to {:.1}; {}/{})",
            100.0 * counted.rate,
            100.0 * counted.low,
            100.0 * counted.high,
            counted.killed,
            counted.total
        )
    })
}

fn page(records: &[(Record, String)]) -> String {
    let mut page = String::from(
        "\nConditional jumps: executed conditions of those examined, and what the hidden cases notice of the sample, with \
         95 % intervals.\n\n\
         | target | executed | `all` | `some` | `own` | seed |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for (record, _) in records {
        let reached = record.executed[&Kind::Jump];
        let cells = Group::ALL
            .map(|group| cell(record, Kind::Jump, group))
            .join(" | ");
        let _ = writeln!(
            page,
            "| {} | {} of {} | {cells} | {} |",
            named(record),
            reached.all,
            reached.examined,
            record.seed
        );
    }
    page += "\nConditional values and compared numbers, `some`:\n\n\
             | target | `select` | `constant` |\n| --- | --- | --- |\n";
    for (record, _) in records {
        let _ = writeln!(
            page,
            "| {} | {} | {} |",
            named(record),
            cell(record, Kind::Select, Group::Some),
            cell(record, Kind::Constant, Group::Some)
        );
    }
    page += "\nThe weakest families: noticed of executed, and noticed by no other family.\n\n\
             | target | families |\n| --- | --- |\n";
    for (record, _) in records {
        let weakest: Vec<String> = record
            .weakest(WEAKEST)
            .iter()
            .map(|row| {
                format!(
                    "{} {}/{}, alone {}",
                    row.family, row.killed, row.executed, row.alone
                )
            })
            .collect();
        let _ = writeln!(page, "| {} | {} |", named(record), weakest.join("; "));
    }
    page
}

#[test]
fn the_page_shows_the_files() {
    let path = repository().join("docs/src/strength.md");
    let text = fs::read_to_string(&path).unwrap();
    let (head, shown) = text.split_once(MARK).expect("the page has its mark");
    let expected = page(&records());
    if std::env::var_os("MIRRORCODE_UPDATE").is_some() {
        fs::write(&path, format!("{head}{MARK}{expected}")).unwrap();
        return;
    }
    assert!(
        shown == expected,
        "docs/src/strength.md is not what the files say; MIRRORCODE_UPDATE=1 cargo test -p cli --test strength writes it anew"
    );
}
