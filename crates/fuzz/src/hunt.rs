//! Many inputs for one target, one after the other.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::Target;
use crate::mutate::Mutator;

/// Longest processor time of one input.
const SLOW: Duration = Duration::from_secs(1);
/// Longest time on the clock, after which an input counts as hanging. Other programs may use the machine meanwhile.
const HANG: Duration = Duration::from_secs(60);

/// Time between two reports of how far a hunt is.
const TOLD: Duration = Duration::from_secs(1);

/// How much a hunt reads.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Most inputs.
    pub inputs: u64,
    /// Most time.
    pub time: Duration,
    /// Seed of the generator: the same inputs for the same number.
    pub seed: u64,
}

/// What is wrong with an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The input.
    pub input: Vec<u8>,
    /// What happened.
    pub what: String,
}

/// What a hunt came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Inputs that were read.
    pub inputs: u64,
    /// Time that it took.
    pub time: Duration,
    /// The first input with which something is wrong.
    pub found: Option<Found>,
}

type Now = Arc<Mutex<Option<(Instant, Vec<u8>)>>>;

/// Reads so many inputs made of these. Ends with the first that panics or takes more than a second, or when `so_far`, which
/// is asked every second, wants no more. An input that does not end at all is handed to `hangs`, which must not return.
pub fn hunt(
    target: &Target,
    from: Vec<Vec<u8>>,
    amount: Amount,
    scratch: &Path,
    hangs: fn(&Target, Found) -> !,
    so_far: &mut dyn FnMut(&Report) -> ControlFlow<()>,
) -> Report {
    let begun = Instant::now();
    let now: Now = Arc::default();
    let watched = Arc::downgrade(&now);
    let name = *target;
    std::thread::spawn(move || {
        while let Some(now) = watched.upgrade() {
            let hanging = now
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take_if(|(since, _)| since.elapsed() > HANG);
            if let Some((_, input)) = hanging {
                let what = format!("it is not done after {} s", HANG.as_secs());
                hangs(&name, Found { input, what });
            }
            drop(now);
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let first = from.clone();
    let mut mutator = Mutator::new(from, target.longest, amount.seed);
    let mut report = Report {
        inputs: 0,
        time: Duration::ZERO,
        found: None,
    };
    let mut tell = TOLD;
    while report.inputs < amount.inputs && report.time < amount.time && report.found.is_none() {
        if report.time >= tell {
            tell = report.time + TOLD;
            if so_far(&report).is_break() {
                break;
            }
        }
        let input = match first.get(report.inputs as usize) {
            Some(seed) => seed.clone(),
            None => mutator.input(),
        };
        *now.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), input.clone()));
        report.found = one(target, &input, scratch).map(|what| Found { input, what });
        report.inputs += 1;
        report.time = begun.elapsed();
    }
    report
}

/// Reads one input; says what is wrong with it.
pub fn one(target: &Target, input: &[u8], scratch: &Path) -> Option<String> {
    let before = spent();
    let read = catch_unwind(AssertUnwindSafe(|| (target.run)(input, scratch)));
    let took = spent().saturating_sub(before);
    match read {
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Some(format!("panic: {}", text.unwrap_or("without words")))
        }
        Ok(()) => (took > SLOW).then(|| format!("it took {} ms", took.as_millis())),
    }
}

/// Processor time of this thread.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
