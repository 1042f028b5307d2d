//! A campaign driven over an executor that misbehaves as schedulers do.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;

use agent::event::Budget;

use super::*;
use crate::executor::Queued;
use crate::kubernetes::KubernetesOptions;
use crate::plan::Resources;
use crate::slurm::SlurmOptions;

fn plan(attempts: u32, retries: u32) -> Plan {
    let attempt = |number| Attempt {
        id: format!("c.gron-c.x.{number}"),
        task: "gron/c".to_owned(),
        options: 0,
        priority: 0,
        budget: Budget::default(),
        number,
    };
    Plan {
        name: "c".to_owned(),
        retries,
        attempts: (1..=attempts).map(attempt).collect(),
        options: vec![BTreeMap::new()],
        limits: BTreeMap::new(),
        resources: Resources {
            cores: 1,
            memory_mib: 1,
            parallel: None,
        },
        slurm: SlurmOptions::default(),
        kubernetes: KubernetesOptions::default(),
    }
}

/// What becomes of the n-th start of an attempt.
type Fate = fn(attempt: &str, start: u32) -> Option<(End, Option<Fault>)>;

struct Fake {
    runs: PathBuf,
    fate: Fate,
    starts: BTreeMap<String, u32>,
    now: Vec<String>,
    /// Looks that fail before it answers.
    down: u32,
}

impl Fake {
    fn leave_run(&self, id: &str, end: End, fault: Option<Fault>) {
        let dir = self.runs.join(id);
        fs::create_dir_all(dir.join("epochs")).unwrap();
        let before = Outcome::read(&dir)
            .unwrap()
            .map_or(0, |outcome| outcome.breaks);
        let outcome = Outcome {
            id: id.to_owned(),
            task: "gron/c".to_owned(),
            end,
            fault,
            message: String::new(),
            breaks: before + u32::from(end == End::Broken),
            turns: 1,
            tokens: 10,
            microdollars: 5,
            solved: end.is_final().then_some(true),
        };
        outcome.write(&dir).unwrap();
    }
}

impl Executor for Fake {
    fn room(&mut self) -> Result<usize, Error> {
        Ok(2_usize.saturating_sub(self.now.len()))
    }

    fn start(&mut self, ids: &[&str]) -> Result<(), Error> {
        self.now.extend(ids.iter().map(|id| (*id).to_owned()));
        Ok(())
    }

    fn queued(&mut self) -> Result<Vec<Queued>, Error> {
        if self.down > 0 {
            self.down -= 1;
            return Err(Error::Scheduler {
                program: "squeue".to_owned(),
                reason: "no answer".to_owned(),
            });
        }
        // Everything is over as soon as it is looked at.
        for id in std::mem::take(&mut self.now) {
            let start = self.starts.entry(id.clone()).or_default();
            *start += 1;
            if let Some((end, fault)) = (self.fate)(&id, *start) {
                self.leave_run(&id, end, fault);
            }
        }
        Ok(Vec::new())
    }

    fn leave(&mut self) -> Result<bool, Error> {
        Ok(false)
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(1)
    }
}

fn driven(plan: &Plan, fake: &mut Fake) -> (Over, Vec<Event>) {
    let events = RefCell::new(Vec::new());
    let over = drive(Driver {
        plan,
        runs: &fake.runs.clone(),
        executor: fake,
        stop: &|| false,
        tell: &mut |event| events.borrow_mut().push(event),
    });
    (over.unwrap(), events.into_inner())
}

fn fake(runs: &Path, fate: Fate) -> Fake {
    Fake {
        runs: runs.to_owned(),
        fate,
        starts: BTreeMap::new(),
        now: Vec::new(),
        down: 0,
    }
}

#[test]
fn what_is_done_is_never_run_again() {
    let runs = tempfile::tempdir().unwrap();
    let plan = plan(5, 1);
    let mut first = fake(runs.path(), |_, _| Some((End::Submitted, None)));
    first.down = 2;
    let (over, events) = driven(&plan, &mut first);
    let Over::Done(counts) = over else {
        panic!("it is done");
    };
    assert_eq!((counts.done, counts.solved, counts.tokens), (5, 5, 50));
    assert!(first.starts.values().all(|starts| *starts == 1));
    let troubles = events
        .iter()
        .filter(|event| matches!(event, Event::Trouble(_)));
    assert_eq!(troubles.count(), 1);
    let mut second = fake(runs.path(), |_, _| None);
    driven(&plan, &mut second);
    assert!(second.starts.is_empty());
}

#[test]
fn what_was_stopped_goes_on_and_what_cannot_work_does_not() {
    let runs = tempfile::tempdir().unwrap();
    let plan = plan(4, 0);
    let fate: Fate = |id, start| match (id.rsplit('.').next().unwrap(), start) {
        // A job's time was over, twice.
        ("1", 1 | 2) => Some((End::Stopped, None)),
        ("2", _) => Some((End::Broken, Some(Fault::Setup))),
        ("3", _) => Some((End::Broken, Some(Fault::Limits))),
        ("4", _) => Some((End::Broken, Some(Fault::Provider))),
        _ => Some((End::Left, None)),
    };
    let mut executor = fake(runs.path(), fate);
    let (over, _) = driven(&plan, &mut executor);
    let Over::Done(counts) = over else {
        panic!("nothing more can be done");
    };
    assert_eq!((counts.done, counts.broken, counts.limited), (1, 2, 1));
    let starts: Vec<u32> = executor.starts.values().copied().collect();
    assert_eq!(starts, [3, 1, 1, 1]);
    // Another start of the campaign tries everything again that is not done.
    let mut again = fake(runs.path(), |_, _| Some((End::Submitted, None)));
    let (over, _) = driven(&plan, &mut again);
    assert!(matches!(over, Over::Done(counts) if counts.done == 4));
    assert_eq!(again.starts.len(), 3);
}

#[test]
fn what_an_executor_forgot_is_given_again() {
    let mut known = Known {
        progress: Progress::Missing,
        seen: Instant::now(),
        given: Some(Instant::now() - GRACE - Duration::from_secs(1)),
        started: true,
        place: None,
        broke_before: 0,
        forgotten: 0,
        gone: None,
    };
    let runs = tempfile::tempdir().unwrap();
    let plan = plan(1, 2);
    let attempt = &plan.attempts[0];
    assert_eq!(turn_of(attempt, &known, &plan, runs.path()), Turn::Waiting);
    let mut events = Vec::new();
    look(runs.path(), attempt, &mut known, None, &mut |event| {
        events.push(event);
    })
    .unwrap();
    assert_eq!(events, [Event::Forgotten(attempt.id.clone())]);
    assert_eq!(turn_of(attempt, &known, &plan, runs.path()), Turn::Ready);
    known.forgotten = 2;
    assert_eq!(turn_of(attempt, &known, &plan, runs.path()), Turn::Later);
    known.forgotten = 6;
    assert_eq!(turn_of(attempt, &known, &plan, runs.path()), Turn::Broken);
}

#[test]
fn broken_runs_are_waited_for_longer_each_time() {
    assert_eq!(pause(1), FIRST_PAUSE);
    assert_eq!(pause(3), FIRST_PAUSE * 4);
    assert_eq!(pause(60), LONGEST_PAUSE);
    let outcome = |breaks| Outcome {
        id: String::new(),
        task: String::new(),
        end: End::Broken,
        fault: Some(Fault::Provider),
        message: String::new(),
        breaks,
        turns: 0,
        tokens: 0,
        microdollars: 0,
        solved: None,
    };
    let known = |breaks, before| Known {
        progress: Progress::Left(outcome(breaks)),
        seen: Instant::now(),
        given: None,
        started: true,
        place: None,
        broke_before: before,
        forgotten: 0,
        gone: None,
    };
    let second = Some(Duration::from_secs(1));
    assert_eq!(turn(&known(1, 0), 2, second, false), Turn::Later);
    assert_eq!(turn(&known(1, 0), 2, Some(FIRST_PAUSE), false), Turn::Ready);
    assert_eq!(
        turn(&known(3, 0), 2, Some(LONGEST_PAUSE), false),
        Turn::Broken
    );
    assert_eq!(
        turn(&known(3, 2), 2, Some(LONGEST_PAUSE), false),
        Turn::Ready
    );
}
