//! Which conditions each case executes.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use sandbox::{Conditions, Worker};

use super::run::{Noticed, in_parallel, noticed};
use super::stage::{Copies, Part};
use super::{Error, Means, Progress};
use crate::execute::{case_command, observe_command};
use crate::reference::Prepared;
use crate::{Case, Spec};

/// Longest time that a case may take under breakpoints. The reference itself is known to end.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the cases execute.
pub(super) struct Coverage {
    /// For each case the conditions that it executes, as numbers. Conditions are numbered through all parts.
    pub(super) executed: Vec<Vec<u32>>,
    /// Cases that answered otherwise while they were traced, by number.
    pub(super) disturbed: BTreeSet<usize>,
}

/// Runs every case once, with breakpoints at the conditions whose numbers are marked, and adds to what is known.
#[expect(
    clippy::too_many_arguments,
    reason = "one caller, which has all of them at hand"
)]
pub(super) fn cover(
    spec: &Spec,
    prepared: &Prepared,
    parts: &[Part],
    planted: &[bool],
    cases: &[&Case],
    coverage: &mut Coverage,
    means: &Means<'_>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(), Error> {
    let mut numbers: Vec<HashMap<u64, u32>> = Vec::new();
    let mut number = 0;
    for part in parts {
        let sites = part.object.sites.iter().map(|site| {
            number += 1;
            (site.offset, number - 1)
        });
        numbers.push(sites.collect());
    }
    // Of its own, since a file is not written anew while a worker may still execute it.
    let copies = Copies::new(&[])?;
    let (sandbox, trace) = copies.traced(spec, prepared, parts, planted, means)?;
    let found = in_parallel(
        means,
        cases.len(),
        &|done, total| progress(Progress::Covered(done, total)),
        |_| Ok(Worker::start_tracing(&sandbox, trace.clone())?),
        |worker, index| {
            let case = cases[index];
            let conditions = Conditions::default();
            let mut command = case_command(&prepared.program, spec, &case.inputs, conditions);
            command.limits.wall = PATIENCE;
            let (observed, executed) = observe_command(worker, &command, &case.inputs.stdin.0)?;
            let sites: Vec<u32> = executed
                .iter()
                .filter_map(|executed| {
                    let of = numbers.get(executed.object as usize)?;
                    of.get(&executed.offset).copied()
                })
                .collect();
            Ok((sites, noticed(case, &observed).is_some()))
        },
    )?;
    for (index, (sites, disturbed)) in found.into_iter().enumerate() {
        coverage.executed[index].extend(sites);
        if disturbed {
            coverage.disturbed.insert(index);
        }
    }
    Ok(())
}

/// Runs every hidden case once, unchanged: how long each takes. It must give what it expects.
pub(super) fn baseline(
    spec: &Spec,
    prepared: &Prepared,
    sandbox: &sandbox::Spec,
    cases: &[&Case],
    means: &Means<'_>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<Duration>, Error> {
    in_parallel(
        means,
        cases.len(),
        &|done, total| progress(Progress::Baseline(done, total)),
        |_| Ok(Worker::start(sandbox)?),
        |worker, index| {
            let case = cases[index];
            let command =
                case_command(&prepared.program, spec, &case.inputs, Conditions::default());
            let (observed, _) = observe_command(worker, &command, &case.inputs.stdin.0)?;
            match noticed(case, &observed) {
                None => Ok(observed.usage.wall),
                Some(Noticed::Guard(message)) => Err(Error::Guard(message)),
                Some(_) => Err(Error::NotAsExpected {
                    case: case.id.clone(),
                    target: spec.name.clone(),
                }),
            }
        },
    )
}
