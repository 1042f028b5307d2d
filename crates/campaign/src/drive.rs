//! Starts what is missing, until nothing is.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use run::{Control, Wish};
use serde::Serialize;

use crate::error::Error;
use crate::executor::{Executor, Place};
use crate::outcome::{End, Fault, Outcome, Progress, progress};
use crate::plan::{Attempt, Plan};

/// How long an attempt that was given to an executor may be nowhere before it counts as forgotten.
const GRACE: Duration = Duration::from_secs(15);
/// First pause before a broken attempt is begun again; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// How often what nobody here started is looked at: other people's workers may be at it.
const LOOK_AROUND: Duration = Duration::from_secs(10);

/// How many attempts are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub attempts: usize,
    /// Over for good.
    pub done: usize,
    /// Solved, of those.
    pub solved: usize,
    /// Workers are at them.
    pub working: usize,
    /// Accepted by an executor and not begun.
    pub waiting: usize,
    /// Begun, and to be gone on with.
    pub begun: usize,
    /// Not begun.
    pub missing: usize,
    /// Broken too often in this start of the campaign, or in a way that trying again does not change.
    pub broken: usize,
    /// Kept back because a limit of all runs together is used up.
    pub limited: usize,
    /// Stopped by somebody.
    pub held: usize,
    /// Tokens of all calls.
    pub tokens: u64,
    /// Price of all calls, in millionths of a dollar.
    pub microdollars: u64,
}

/// What happens on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// So many attempts were given to the executor.
    Started(usize),
    /// A worker left an attempt.
    Left(Box<Outcome>),
    /// An executor does not have what it was given, and nobody works on it: it is given again.
    Forgotten(String),
    /// The executor does not answer; it is asked again.
    Trouble(String),
    /// It answers again.
    Better,
    /// Where everything is now.
    Counts(Counts),
}

/// Why a campaign is no longer driven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// Nothing is left that can be started.
    Done(Counts),
    /// It was stopped; workers may go on without it.
    Stopped(Counts, bool),
}

/// What drives a campaign. Every field is a decision.
pub struct Driver<'a> {
    /// What is to be run.
    pub plan: &'a Plan,
    /// Directory of runs.
    pub runs: &'a Path,
    /// Where it is run.
    pub executor: &'a mut dyn Executor,
    /// Whether to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// Who looks on.
    pub tell: &'a mut dyn FnMut(Event),
}

/// What is known of an attempt.
struct Known {
    progress: Progress,
    seen: Instant,
    /// When it was last given to the executor, and has not been seen there since.
    given: Option<Instant>,
    /// Whether it was started here.
    started: bool,
    place: Option<Place>,
    /// How often it had broken when the campaign was started.
    broke_before: u32,
    /// How often it was gone from the executor without a word, since it last left one.
    forgotten: u32,
    gone: Option<Instant>,
}

impl Known {
    /// How often it broke since the campaign was started.
    fn breaks(&self) -> u32 {
        match &self.progress {
            Progress::Left(outcome) => outcome.breaks.saturating_sub(self.broke_before),
            _ => 0,
        }
    }
}

/// What is to be done with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Done,
    Working,
    Waiting,
    Broken,
    Limited,
    Held,
    /// It can be started.
    Ready,
    /// It can be started later.
    Later,
}

fn pause(breaks: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1 << breaks.saturating_sub(1).min(20))
        .min(LONGEST_PAUSE)
}

/// What is to be done with an attempt of which this is known. `age` is how long ago it was left, `held` whether somebody
/// said that it should end.
fn turn(known: &Known, retries: u32, age: Option<Duration>, held: bool) -> Turn {
    match (&known.progress, known.place) {
        (Progress::Left(outcome), _) if outcome.end.is_final() => Turn::Done,
        (_, Some(Place::Running)) | (Progress::Working, _) => Turn::Working,
        (_, Some(Place::Waiting)) => Turn::Waiting,
        _ if known.given.is_some() => Turn::Waiting,
        _ if known.forgotten > retries + 3 => Turn::Broken,
        // The first time may be anything; from then on it is worth a thought.
        _ if known.forgotten > 1
            && known
                .gone
                .is_some_and(|gone| gone.elapsed() < pause(known.forgotten - 1)) =>
        {
            Turn::Later
        }
        (Progress::Left(outcome), _) if outcome.end == End::Broken => {
            let again = known.started || known.breaks() > 0;
            match outcome.fault {
                Some(Fault::Limits) if again => Turn::Limited,
                Some(Fault::Setup) if again => Turn::Broken,
                _ if known.breaks() > retries => Turn::Broken,
                _ if again && age.is_some_and(|age| age < pause(known.breaks())) => Turn::Later,
                _ => Turn::Ready,
            }
        }
        (Progress::Left(_), _) if known.started && held => Turn::Held,
        _ => Turn::Ready,
    }
}

/// Drives a campaign until everything is done that can be, or it is stopped.
///
/// # Errors
/// When the campaign's own files cannot be read or written. An executor that does not answer is asked again.
pub fn drive(driver: Driver<'_>) -> Result<Over, Error> {
    let Driver {
        plan,
        runs,
        executor,
        stop,
        tell,
    } = driver;
    let mut all: Vec<(&Attempt, Known)> = Vec::new();
    for attempt in &plan.attempts {
        let progress = progress(runs, &attempt.id)?;
        let broke_before = match &progress {
            Progress::Left(outcome) => outcome.breaks,
            _ => 0,
        };
        let known = Known {
            progress,
            seen: Instant::now(),
            given: None,
            started: false,
            place: None,
            broke_before,
            forgotten: 0,
            gone: None,
        };
        all.push((attempt, known));
    }
    let mut last = None;
    let mut trouble = false;
    loop {
        let queued = match executor.queued() {
            Ok(queued) => queued,
            Err(error) => {
                if !std::mem::replace(&mut trouble, true) {
                    tell(Event::Trouble(error.to_string()));
                }
                if wait(executor.pace(), stop) {
                    let on = executor.leave().unwrap_or(true);
                    return Ok(Over::Stopped(counts(&all, plan, runs), on));
                }
                continue;
            }
        };
        if std::mem::take(&mut trouble) {
            tell(Event::Better);
        }
        let mut places: BTreeMap<&str, Place> = BTreeMap::new();
        for job in &queued {
            let place = places.entry(&job.id).or_insert(job.place);
            if job.place == Place::Running {
                *place = Place::Running;
            }
        }
        for (attempt, known) in &mut all {
            look(runs, attempt, known, places.get(attempt.id.as_str()), tell)?;
        }
        let now = counts(&all, plan, runs);
        if last != Some(now) {
            last = Some(now);
            tell(Event::Counts(now));
        }
        if stop() {
            let on = executor.leave()?;
            return Ok(Over::Stopped(now, on));
        }
        let ready = turns(&all, plan, runs, Turn::Ready);
        let is_over = ready.is_empty()
            && now.working + now.waiting == 0
            && turns(&all, plan, runs, Turn::Later).is_empty();
        if is_over {
            return Ok(Over::Done(now));
        }
        let room = executor.room().unwrap_or(0).min(ready.len());
        if room > 0 {
            let ids: Vec<&str> = ready[..room]
                .iter()
                .map(|place| all[*place].0.id.as_str())
                .collect();
            // What was refused may have been accepted all the same: it counts as given, and is looked for.
            if let Err(error) = executor.start(&ids) {
                tell(Event::Trouble(error.to_string()));
                trouble = true;
            } else {
                tell(Event::Started(ids.len()));
            }
            for place in &ready[..room] {
                let known = &mut all[*place].1;
                known.given = Some(Instant::now());
                known.started = true;
            }
        }
        // Whatever ends in the meantime is seen in the next round, also after a stop.
        wait(executor.pace(), stop);
    }
}

/// Waits; says whether it was told to stop.
fn wait(time: Duration, stop: &dyn Fn() -> bool) -> bool {
    let until = Instant::now() + time;
    while Instant::now() < until {
        if stop() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20).min(time));
    }
    stop()
}

/// Looks at one attempt again, where that can have changed.
fn look(
    runs: &Path,
    attempt: &Attempt,
    known: &mut Known,
    place: Option<&Place>,
    tell: &mut dyn FnMut(Event),
) -> Result<(), Error> {
    if matches!(&known.progress, Progress::Left(outcome) if outcome.end.is_final()) {
        known.place = None;
        return Ok(());
    }
    let was = known.place.is_some() || known.given.is_some();
    let vanished = known.place.is_some() && place.is_none();
    known.place = place.copied();
    if known.place.is_some() {
        known.given = None;
    }
    let is_active = was || known.place.is_some() || known.progress == Progress::Working;
    if !is_active && known.seen.elapsed() < LOOK_AROUND {
        return Ok(());
    }
    let before = std::mem::replace(&mut known.progress, progress(runs, &attempt.id)?);
    known.seen = Instant::now();
    if let Progress::Left(outcome) = &known.progress
        && before != known.progress
    {
        known.given = None;
        known.forgotten = 0;
        tell(Event::Left(Box::new(outcome.clone())));
        return Ok(());
    }
    let is_working = known.progress == Progress::Working;
    if is_working {
        known.given = None;
    }
    let overdue = known.given.is_some_and(|given| given.elapsed() > GRACE);
    if overdue || (vanished && !is_working) {
        known.given = None;
        known.forgotten += 1;
        known.gone = Some(Instant::now());
        tell(Event::Forgotten(attempt.id.clone()));
    }
    Ok(())
}

fn turn_of(attempt: &Attempt, known: &Known, plan: &Plan, runs: &Path) -> Turn {
    let dir = runs.join(&attempt.id);
    let left = matches!(&known.progress, Progress::Left(outcome) if !outcome.end.is_final());
    let age = left.then(|| {
        let time = Outcome::time(&dir).unwrap_or(SystemTime::UNIX_EPOCH);
        time.elapsed().unwrap_or_default()
    });
    let held = left && Control::read(&dir).is_ok_and(|said| said.wish == Wish::Stop);
    turn(known, plan.retries, age, held)
}

/// Places of the attempts with which this is to be done.
fn turns(all: &[(&Attempt, Known)], plan: &Plan, runs: &Path, wanted: Turn) -> Vec<usize> {
    (0..all.len())
        .filter(|place| turn_of(all[*place].0, &all[*place].1, plan, runs) == wanted)
        .collect()
}

fn counts(all: &[(&Attempt, Known)], plan: &Plan, runs: &Path) -> Counts {
    let mut counts = Counts {
        attempts: all.len(),
        ..Counts::default()
    };
    for (attempt, known) in all {
        if let Progress::Left(outcome) = &known.progress {
            counts.tokens += outcome.tokens;
            counts.microdollars += outcome.microdollars;
            counts.solved += usize::from(outcome.end.is_final() && outcome.solved == Some(true));
        }
        let count = match turn_of(attempt, known, plan, runs) {
            Turn::Done => &mut counts.done,
            Turn::Working => &mut counts.working,
            Turn::Waiting => &mut counts.waiting,
            Turn::Broken => &mut counts.broken,
            Turn::Limited => &mut counts.limited,
            Turn::Held => &mut counts.held,
            Turn::Ready | Turn::Later if known.progress == Progress::Missing => &mut counts.missing,
            Turn::Ready | Turn::Later => &mut counts.begun,
        };
        *count += 1;
    }
    counts
}

impl Counts {
    /// Counts a campaign's attempts as their directories say.
    ///
    /// # Errors
    /// When an outcome cannot be read.
    pub fn of(plan: &Plan, runs: &Path) -> Result<(Self, Vec<Progress>), Error> {
        let mut counts = Counts {
            attempts: plan.attempts.len(),
            ..Counts::default()
        };
        let mut all = Vec::new();
        for attempt in &plan.attempts {
            let progress = progress(runs, &attempt.id)?;
            let count = match &progress {
                Progress::Missing => &mut counts.missing,
                Progress::Working => &mut counts.working,
                Progress::Left(outcome) if outcome.end.is_final() => &mut counts.done,
                Progress::Left(outcome) if outcome.fault == Some(Fault::Limits) => {
                    &mut counts.limited
                }
                Progress::Left(outcome) if outcome.end == End::Broken => &mut counts.broken,
                Progress::Cut | Progress::Left(_) => &mut counts.begun,
            };
            *count += 1;
            if let Progress::Left(outcome) = &progress {
                counts.tokens += outcome.tokens;
                counts.microdollars += outcome.microdollars;
                counts.solved += usize::from(outcome.solved == Some(true));
            }
            all.push(progress);
        }
        Ok((counts, all))
    }
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;
