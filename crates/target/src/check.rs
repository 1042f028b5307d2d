//! Whether everything that a built target promises still holds.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use crate::build::{BuildError, Means, Progress, still_true};
use crate::capture::capture;
use crate::reference::{Prepared, capture_sandbox, prepare};
use crate::spec::{Provenance, Reference};
use crate::{
    Balance, Bytes, Case, Digest, Drawn, Error, HIDDEN_PERCENT, Round, Target, draw, unpaired,
};

/// How far a target's hidden share may be from [`HIDDEN_PERCENT`], in percent points.
const SHARE_TOLERANCE: f64 = 4.0;
/// How far the part of the hidden cases that fail, or complain, may be from that of the visible ones, in percent points:
/// as far as the rates of one program may differ.
const BALANCE_TOLERANCE: f64 = 3.0;
/// Most cases that may expect the same output, in per cent.
const MOST_ALIKE: f64 = 20.0;
/// How many examples a finding names.
const EXAMPLES: usize = 5;

/// One promise and whether it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is promised.
    pub name: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// What was seen.
    pub detail: String,
}

fn check(name: &'static str, wrong: &[String], right: String) -> Check {
    let detail = match wrong.len() {
        0 => right,
        count if count <= EXAMPLES => wrong.join("; "),
        count => format!(
            "{}; and {} more",
            wrong[..EXAMPLES].join("; "),
            count - EXAMPLES
        ),
    };
    Check {
        name,
        holds: wrong.is_empty(),
        detail,
    }
}

/// Checks a target against its lock, its families and its reference.
///
/// # Errors
/// When the check itself cannot be done; what is wrong with the target is a [`Check`] that does not hold,
/// except for files that cannot be read at all.
pub fn check_target(
    target: &Target,
    means: &Means<'_>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<Check>, BuildError> {
    let lock = target.locked()?;
    // Reading compares both files of cases with the lock, and refuses doubled ids and inputs.
    let tests = target.tests()?;
    let mut checks = vec![check(
        "cases are those of the lock",
        &[],
        format!(
            "{} visible, {} hidden",
            tests.visible.len(),
            tests.hidden.len()
        ),
    )];

    let total = (tests.visible.len() + tests.hidden.len()) as f64;
    let share = 100.0 * tests.hidden.len() as f64 / total.max(1.0);
    let off = (share - HIDDEN_PERCENT as f64).abs() > SHARE_TOLERANCE;
    let said = format!("{share:.1} % hidden");
    checks.push(check(
        "hidden share",
        &if off { vec![said.clone()] } else { vec![] },
        said,
    ));
    let lonely = unpaired(&tests.hidden, &tests.visible, &target.spec.alike);
    checks.push(check(
        "every hidden case has a visible dual",
        &lonely,
        "all have".to_owned(),
    ));

    let balance = Balance::of(&tests.hidden, &tests.visible);
    let wrong = if balance.off() > BALANCE_TOLERANCE {
        vec![format!(
            "{balance}; draw more cases of each message, or build again"
        )]
    } else {
        vec![]
    };
    checks.push(check(
        "hidden cases are as hard as visible ones",
        &wrong,
        balance.to_string(),
    ));

    checks.push(tells_apart(tests.visible.iter().chain(&tests.hidden)));

    progress(Progress::Stage("drawing"));
    let families = target.families()?;
    checks.push(drawn_again(
        target,
        &families,
        &lock,
        &tests.visible,
        &tests.hidden,
    )?);

    progress(Progress::Stage("reference"));
    let version = lock.reference_version(&target.spec.reference);
    let prepared = prepare(
        &target.spec,
        Some(&lock),
        means.cache,
        means.interrupted,
        &mut |step| progress(Progress::Image(step)),
    )?;
    checks.push(check(
        "the reference's package has the locked checksum",
        &of_another_package(&target.spec.reference, &lock, &prepared),
        version.unwrap_or_default().to_owned(),
    ));
    let other_program = format!("found {}", prepared.digest);
    checks.push(check(
        "the reference has the locked checksum",
        match prepared.digest == lock.program {
            true => &[],
            false => std::slice::from_ref(&other_program),
        },
        target.spec.reference.program.clone(),
    ));
    progress(Progress::Stage("determinism"));
    let sandbox = capture_sandbox(&target.spec, &prepared.image.root, means.guard);
    let cases: Vec<Case> = tests.visible.into_iter().chain(tests.hidden).collect();
    let inputs: Vec<Drawn> = cases
        .iter()
        .map(|case| Drawn {
            id: case.id.clone(),
            family: case.family.clone(),
            template: case.template,
            inputs: case.inputs.clone(),
        })
        .collect();
    let captured = capture(
        inputs,
        &sandbox,
        &prepared.program,
        &target.spec,
        means.jobs,
        means.interrupted,
        &|done, total| progress(Progress::Runs(done, total)),
    )?;
    let varied: Vec<String> = captured
        .dropped
        .iter()
        .map(|dropped| format!("{}: {}", dropped.case.id, dropped.reason))
        .collect();
    checks.push(check(
        "the reference answers the same every time",
        &varied,
        "under 3 conditions".to_owned(),
    ));
    let by_id: BTreeMap<&str, &Case> = captured
        .cases
        .iter()
        .map(|case| (case.id.as_str(), case))
        .collect();
    let changed: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let reason = still_true(case, by_id.get(case.id.as_str())?)?;
            Some(format!("{}: {reason}", case.id))
        })
        .collect();
    checks.push(check(
        "expected output is what the reference gives",
        &changed,
        format!("{} cases", cases.len()),
    ));
    Ok(checks)
}

/// How the package that the reference comes from differs from the lock's.
fn of_another_package(
    reference: &Reference,
    lock: &crate::Lock,
    prepared: &Prepared,
) -> Vec<String> {
    if let Provenance::Source { source, .. } = &reference.from {
        let locked = lock.source.as_ref();
        return match locked == Some(&source.origin) {
            true => Vec::new(),
            false => vec![format!(
                "target.toml names {}, and target.lock {}",
                source.origin,
                locked.map_or("a Debian package".to_owned(), ToString::to_string)
            )],
        };
    }
    let packages = &prepared.image.packages;
    let found = packages
        .iter()
        .find(|found| found.name == reference.package());
    match (lock.reference_package(reference), found) {
        (Some(locked), Some(found)) if Digest::parse(&found.sha256) == Some(locked.sha256) => {
            Vec::new()
        }
        (_, found) => vec![format!(
            "found {}",
            found.map_or("none", |found| &found.sha256)
        )],
    }
}

/// Whether cases expect different things. A target whose program always says the same was captured wrong.
fn tells_apart<'a>(cases: impl Iterator<Item = &'a Case>) -> Check {
    let mut counts: BTreeMap<(&Bytes, &Bytes, &BTreeMap<String, Bytes>), u32> = BTreeMap::new();
    let mut total = 0;
    for case in cases {
        *counts
            .entry((&case.expect.stdout, &case.expect.stderr, &case.expect.files))
            .or_default() += 1;
        total += 1;
    }
    let most =
        100.0 * f64::from(counts.values().copied().max().unwrap_or(0)) / f64::from(total.max(1));
    let said = format!(
        "{} different outputs; the most frequent is that of {most:.1} % of the cases",
        counts.len()
    );
    let wrong = if most > MOST_ALIKE {
        vec![said.clone()]
    } else {
        Vec::new()
    };
    check("cases expect different things", &wrong, said)
}

/// Whether the families with the lock's seed still give the cases on disk.
fn drawn_again(
    target: &Target,
    families: &[crate::Family],
    lock: &crate::Lock,
    visible: &[Case],
    hidden: &[Case],
) -> Result<Check, BuildError> {
    let fixtures = target.fixtures()?;
    let first = draw(
        &target.spec.name,
        families,
        &fixtures,
        lock.seed,
        Round::First,
    )
    .map_err(Error::from)?;
    let mut known: HashSet<Digest> = visible
        .iter()
        .chain(hidden)
        .map(|case| case.inputs.digest())
        .collect();
    known.extend(lock.dropped.iter().map(|dropped| dropped.inputs));
    known.extend(lock.retired.iter().map(|retired| retired.inputs));
    let strange: Vec<String> = first
        .iter()
        .filter(|case| !known.contains(&case.inputs.digest()))
        .map(|case| format!("{} is drawn, but on disk there is no such case", case.id))
        .collect();
    Ok(check(
        "families still give these cases",
        &strange,
        format!("{} families, seed {}", families.len(), lock.seed),
    ))
}
