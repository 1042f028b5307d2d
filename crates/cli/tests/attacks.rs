//! Attacks, for real, in the real sandboxes; and for each its twin with the wall removed, in which it succeeds.
//!
//! `cargo test` runs the quick ones, `make test-attacks` all. `docs/src/attacks.md` is made from the table:
//! `MIRRORCODE_UPDATE=1` writes it anew.

#[path = "attacks/agent.rs"]
mod agent;
#[path = "attacks/archive.rs"]
mod archive;
#[path = "attacks/build.rs"]
mod build;
#[path = "attacks/bytes.rs"]
mod bytes;
mod common;
#[path = "attacks/hidden.rs"]
mod hidden;
#[path = "attacks/host.rs"]
mod host;
#[path = "attacks/lab.rs"]
mod lab;
#[path = "attacks/oracle.rs"]
mod oracle;
#[path = "attacks/outside.rs"]
mod outside;
#[path = "attacks/reference.rs"]
mod reference;
#[path = "attacks/submission.rs"]
mod submission;
#[path = "attacks/table.rs"]
mod table;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use lab::Lab;
use table::{Act, Attack, Twin};

fn all() -> Vec<Attack> {
    [
        reference::attacks(),
        bytes::attacks(),
        hidden::attacks(),
        agent::attacks(),
        oracle::attacks(),
        submission::attacks(),
        build::attacks(),
        archive::attacks(),
    ]
    .concat()
}

/// Runs attacks and their twins, prints a line for each, and fails for all that went wrong together.
fn run(attacks: &[Attack]) {
    let before = host::Fingerprint::take();
    let mut lab = Lab::new();
    let mut wrong = Vec::new();
    let (mut twins, mut skipped) = (0, 0);
    for attack in attacks {
        let start = Instant::now();
        let got = lab.act(attack, &Twin::No);
        let middle = Instant::now();
        let twin = match &attack.twin {
            Twin::Root | Twin::RootWhere(_) if !lab.is_root() => None,
            Twin::RootWhere(file) if !Path::new(file).exists() => None,
            twin => Some(lab.act(attack, twin)),
        };
        let stopped = !got.won;
        let able = twin.as_ref().is_none_or(|twin| twin.won);
        twins += usize::from(twin.is_some());
        let say = match &twin {
            Some(twin) if twin.won => "succeeds",
            Some(_) => "FAILS",
            None => {
                skipped += 1;
                "not here"
            }
        };
        let _ = writeln!(
            std::io::stderr(),
            "{:7} {:4.1} s  twin {say:10} {:4.1} s  {}",
            if stopped { "stopped" } else { "WON" },
            (middle - start).as_secs_f64(),
            middle.elapsed().as_secs_f64(),
            attack.name
        );
        if !stopped {
            wrong.push(format!("{} succeeded:\n{}", attack.name, got.text));
        }
        // The agent's scripts handle every refusal: one that breaks off was not stopped, it did not take place.
        if matches!(attack.act, Act::Agent(_)) && got.text.contains("Traceback") {
            wrong.push(format!("{} broke off:\n{}", attack.name, got.text));
        }
        if !able {
            let text = twin.map(|twin| twin.text).unwrap_or_default();
            wrong.push(format!("the twin of {} failed:\n{text}", attack.name));
        }
    }
    drop(lab);
    let differences = before.differences();
    if !differences.is_empty() {
        wrong.push(format!(
            "the machine is not as it was:\n{}",
            differences.join("\n")
        ));
    }
    let _ = writeln!(
        std::io::stderr(),
        "{} attacks, {twins} twins run, {skipped} need root or what this kernel lacks",
        attacks.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n----\n"));
}

#[test]
fn every_quick_attack_is_stopped() {
    let only = std::env::var("MIRRORCODE_ATTACK").unwrap_or_default();
    let attacks: Vec<_> = all()
        .into_iter()
        .filter(|attack| !attack.slow && attack.name.contains(&only))
        .collect();
    run(&attacks);
}

#[test]
#[ignore = "a minute or more, and the images of another language: `make test-attacks`"]
fn every_slow_attack_is_stopped() {
    let only = std::env::var("MIRRORCODE_ATTACK").unwrap_or_default();
    let attacks: Vec<_> = all()
        .into_iter()
        .filter(|attack| attack.slow && attack.name.contains(&only))
        .collect();
    run(&attacks);
}

#[test]
fn every_attack_has_a_name_of_its_own_and_a_twin() {
    let mut names: Vec<_> = all().iter().map(|attack| attack.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(count >= 120, "{count} attacks");
    let all = all();
    let without: Vec<_> = all
        .iter()
        .filter(|attack| matches!(attack.twin, Twin::No))
        .map(|attack| attack.name)
        .collect();
    assert!(
        without.is_empty(),
        "an attack without a twin proves nothing: {without:?}"
    );
}

#[test]
fn the_page_is_the_table() {
    let attacks = all();
    let mut page = format!(
        "# Attacks\n\nEach of these {} attacks runs for real in the real sandboxes and must be stopped. Its twin is the \
         same attack with the wall removed, and must succeed: an attack that cannot succeed proves nothing. \
         This page is made from the table in `crates/cli/tests/attacks/` (`MIRRORCODE_UPDATE=1 cargo test -p cli \
         --test attacks`); `make test-attacks` runs them all, `make test` those that are quick.\n",
        attacks.len()
    );
    let mut attacker = "";
    for attack in &attacks {
        if attack.attacker != attacker {
            attacker = attack.attacker;
            let _ = write!(
                page,
                "\n## By {attacker}\n\n| attack | what it tries | the wall | twin |\n| --- | --- | --- | --- |\n"
            );
        }
        let _ = writeln!(
            page,
            "| {}{} | {} | {} | {} |",
            attack.name,
            if attack.slow { " (slow)" } else { "" },
            attack.tries,
            attack.wall,
            attack.twin.describe()
        );
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/attacks.md");
    if std::env::var_os("MIRRORCODE_UPDATE").is_some() {
        std::fs::write(&path, page).unwrap();
    } else {
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == page,
            "docs/src/attacks.md is not the table; MIRRORCODE_UPDATE=1 writes it anew"
        );
    }
}
