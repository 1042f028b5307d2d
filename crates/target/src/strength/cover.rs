//! Which conditions each case executes.

use std::collections::HashMap;
use std::time::Duration;

use sandbox::{Conditions, Worker};

use super::run::{Noticed, in_parallel, noticed};
use super::stage::{Copies, Part};
use super::{Error, Means, Progress};
use crate::execute::{case_command, observe_command};
use crate::reference::Prepared;
use crate::{Case, Spec};

/// What the cases execute.
pub(super) struct Coverage {
    /// For each case the conditions that it executes, as numbers, in order. Conditions are numbered through all parts.
    pub(super) executed: Vec<Vec<u32>>,
    /// Cases that answered otherwise while they were traced, by number.
    pub(super) disturbed: Vec<usize>,
}

/// Runs every case once, under breakpoints.
pub(super) fn cover(
    spec: &Spec,
    prepared: &Prepared,
    parts: &[Part],
    copies: &Copies,
    cases: &[&Case],
    means: &Means<'_>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Coverage, Error> {
    let mut numbers: Vec<HashMap<u64, u32>> = Vec::new();
    let mut number = 0;
    for part in parts {
        let sites = part.object.sites.iter().map(|site| {
            number += 1;
            (site.offset, number - 1)
        });
        numbers.push(sites.collect());
    }
    let (sandbox, trace) = copies.traced(spec, prepared, parts, means)?;
    let found = in_parallel(
        means,
        cases.len(),
        &|done, total| progress(Progress::Covered(done, total)),
        |_| Ok(Worker::start_tracing(&sandbox, trace.clone())?),
        |worker, index| {
            let case = cases[index];
            let command =
                case_command(&prepared.program, spec, &case.inputs, Conditions::default());
            let (observed, executed) = observe_command(worker, &command, &case.inputs.stdin.0)?;
            let mut sites: Vec<u32> = executed
                .iter()
                .filter_map(|executed| {
                    let of = numbers.get(executed.object as usize)?;
                    of.get(&executed.offset).copied()
                })
                .collect();
            sites.sort_unstable();
            Ok((sites, noticed(case, &observed).is_some()))
        },
    )?;
    let mut coverage = Coverage {
        executed: Vec::new(),
        disturbed: Vec::new(),
    };
    for (index, (sites, disturbed)) in found.into_iter().enumerate() {
        coverage.executed.push(sites);
        if disturbed {
            coverage.disturbed.push(index);
        }
    }
    Ok(coverage)
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
