//! What 10,000 week-long runs ask of a campaign: measured where it can be, worked out where it cannot.
//!
//! Usage: `scale [DIRECTORY]`, on the file system that is to be asked, such as a shared one; a temporary one otherwise.
//! Written is a line for each figure, and what follows from it for 10,000 runs.
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent::event::Budget;
use agent::gate::Amount;
use campaign::{
    Account, Attempt, Counts, End, KubernetesOptions, Limits, Need, Outcome, Plan, Resources,
    SlurmOptions,
};

const RUNS: usize = 10_000;
/// Time in which an account is asked.
const TIME: Duration = Duration::from_secs(3);
/// Seconds from one call of a run to its next, between a chat with quick tools and long evaluations.
const SECONDS_PER_CALL: [u64; 3] = [10, 30, 120];
const WEEK: u64 = 7 * 86_400;

fn plan() -> Plan {
    let attempts = (1..=RUNS).map(|number| Attempt {
        id: format!("scale.gron-python.model.{number}"),
        task: "gron/python".to_owned(),
        options: 0,
        priority: 0,
        budget: Budget::default(),
        number: 1,
    });
    Plan {
        name: "scale".to_owned(),
        retries: 5,
        attempts: attempts.collect(),
        options: vec![BTreeMap::new()],
        limits: BTreeMap::new(),
        resources: Resources {
            cores: 1,
            memory_mib: 4096,
            parallel: None,
        },
        slurm: SlurmOptions::default(),
        kubernetes: KubernetesOptions::default(),
    }
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    println!("{what}: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    result
}

/// Requests for which an account is asked and settled in a second, by so many workers at the same time.
fn requests(dir: &Path, workers: usize) -> f64 {
    let dir = dir.join(format!("account-{workers}"));
    let begun = Instant::now();
    let asked: u64 = std::thread::scope(|scope| {
        let all: Vec<_> = (0..workers)
            .map(|_| {
                let dir = &dir;
                scope.spawn(move || {
                    let account =
                        Account::open(dir, Limits::default(), "scale").expect("a directory");
                    let mut asked = 0;
                    while begun.elapsed() < TIME {
                        let most = Amount {
                            tokens: 1000,
                            microdollars: 1000,
                        };
                        let Need::Granted(grant) = account.ask(most).expect("it can be asked")
                        else {
                            panic!("there is no limit");
                        };
                        account
                            .settle(grant, Amount::default())
                            .expect("it can be settled");
                        asked += 1;
                    }
                    asked
                })
            })
            .collect();
        all.into_iter()
            .map(|worker| worker.join().expect("no panic"))
            .sum()
    });
    asked as f64 / begun.elapsed().as_secs_f64()
}

/// Leases that so many runs at once can renew in a second, each in a directory of its own.
fn leases(dir: &Path) -> f64 {
    let begun = Instant::now();
    let renewed: u64 = std::thread::scope(|scope| {
        let one = |number: u32| {
            let dir = dir.join(format!("leases-{number}"));
            let (old, new) = (dir.join("lease"), dir.join("lease-new"));
            move || {
                fs::create_dir(&dir).expect("a directory");
                let mut count = 0;
                while begun.elapsed() < TIME {
                    fs::write(&new, "1")
                        .and_then(|()| fs::rename(&new, &old))
                        .expect("a lease");
                    count += 1;
                }
                count
            }
        };
        let all: Vec<_> = (0..16).map(|number| scope.spawn(one(number))).collect();
        all.into_iter()
            .map(|worker| worker.join().expect("no panic"))
            .sum()
    });
    renewed as f64 / begun.elapsed().as_secs_f64()
}

fn main() {
    let directory = std::env::args_os()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let place = directory.join(format!("mirrorcode-scale-{}", std::process::id()));
    fs::create_dir_all(&place).expect("a directory");
    let plan = plan();
    timed("a plan of 10,000 attempts is written", || {
        plan.write(&place)
    })
    .expect("it can be");
    timed("and read, by each worker", || Plan::read(&place)).expect("it can be");
    let runs = place.join("runs");
    timed("a look at 10,000 that have not begun", || {
        Counts::of(&plan, &runs)
    })
    .expect("it can be");
    for attempt in &plan.attempts {
        let dir = runs.join(&attempt.id);
        fs::create_dir_all(dir.join("epochs")).expect("a directory");
        let outcome = Outcome {
            id: attempt.id.clone(),
            task: attempt.task.clone(),
            end: End::Stopped,
            fault: None,
            message: String::new(),
            breaks: 0,
            turns: 1000,
            tokens: 1_000_000,
            microdollars: 1_000_000,
            solved: None,
        };
        let text = serde_json::to_vec(&outcome).expect("JSON");
        fs::write(dir.join("outcome.json"), text).expect("a file");
    }
    timed("a look at 10,000 that are under way", || {
        Counts::of(&plan, &runs)
    })
    .expect("it can be");
    println!("leases: {:.0} renewed a second", leases(&place));
    let mut least = f64::MAX;
    for workers in [1, 4, 16] {
        let rate = requests(&place, workers);
        println!("an account, {workers} workers at once: {rate:.0} requests a second");
        least = least.min(rate);
    }
    for seconds in SECONDS_PER_CALL {
        let rate = RUNS as f64 / seconds as f64;
        println!(
            "10,000 runs with a call every {seconds} s: {rate:.0} requests a second, {:.0} % of what one account takes; \
             {} calls of each run in a week; leases {:.0} a second",
            rate / least * 100.0,
            WEEK / seconds,
            RUNS as f64 / run::BEAT.as_secs_f64(),
        );
    }
    fs::remove_dir_all(&place).expect("it can be removed");
}
