//! Many pieces of work on a few threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Does `count` pieces of work on at most `jobs` threads, each with a place of its own that `start` makes, and returns the
/// results in order. `progress` is told how many are done.
///
/// # Errors
/// The first error of `start` or `work`; no piece of work is begun after it.
pub(crate) fn in_order<P, R: Send, E: Send>(
    jobs: usize,
    count: usize,
    progress: &(dyn Fn(u64) + Sync),
    start: impl Fn(usize) -> Result<P, E> + Sync,
    work: impl Fn(&mut P, usize) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let (next, done, failed) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicBool::new(false),
    );
    let results: Mutex<Vec<Option<R>>> = Mutex::new((0..count).map(|_| None).collect());
    let run = |job: usize| -> Result<(), E> {
        let mut place = start(job)?;
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count || failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let result = work(&mut place, index)?;
            results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(result);
            progress(done.fetch_add(1, Ordering::Relaxed) as u64 + 1);
        }
    };
    let run = |job: usize| run(job).inspect_err(|_| failed.store(true, Ordering::Relaxed));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.clamp(1, count.max(1)))
            .map(|job| {
                let run = &run;
                scope.spawn(move || run(job))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect::<Result<Vec<()>, _>>()
    })?;
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(results
        .into_iter()
        .map(|one| one.expect("every piece of work was done"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_the_first_error_ends_it() {
        let most = AtomicUsize::new(0);
        let progress = |done: u64| {
            most.fetch_max(done as usize, Ordering::Relaxed);
        };
        let twice = |_: &mut (), index: usize| Ok::<_, String>(index * 2);
        let results = in_order(3, 100, &progress, |_| Ok(()), twice).unwrap();
        assert_eq!(results, (0..100).map(|index| index * 2).collect::<Vec<_>>());
        assert_eq!(most.into_inner(), 100);

        let begun = AtomicUsize::new(0);
        let fails = |_: &mut (), index: usize| {
            begun.fetch_add(1, Ordering::Relaxed);
            if index == 5 { Err("five") } else { Ok(()) }
        };
        assert_eq!(in_order(1, 100, &|_| (), |_| Ok(()), fails), Err("five"));
        assert_eq!(begun.into_inner(), 6);
        assert_eq!(
            in_order(2, 0, &|_| (), |_| Ok(()), |_: &mut (), _| Ok::<(), ()>(())),
            Ok(Vec::new())
        );
    }
}
