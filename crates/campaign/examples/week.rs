//! 10,000 runs of a week on a scripted clock: what they ask of the shared directory, how much they leave there, and what breaks
//! first at which number of runs. What one step costs is given, measured by `scale` and by `turns`; `benches/week.sh` does.
//!
//! Usage: `week KEY=NUMBER...`, with the keys of [`Costs`].
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::collections::BTreeMap;

/// Seconds from one call of a run to its next: of a chat with quick tools, of an agent that compiles, of one with long
/// evaluations.
const PACES: [f64; 3] = [10.0, 30.0, 120.0];
/// Runs at the same time.
const SIZES: [usize; 5] = [1_000, 3_000, 10_000, 30_000, 100_000];
const WEEK: f64 = 7.0 * 86_400.0;
/// Simulated for the size that the question is about; the others settle within two hours.
const WHOLE: usize = 10_000;
const SHORT: f64 = 2.0 * 3_600.0;
/// Runs begin one after the other, within this time.
const RAMP: f64 = 600.0;
/// The clock's step, in seconds.
const TICK: f64 = 0.1;
/// Slots of the wheel of coming events: the longest pause is shorter.
const SLOTS: usize = 1 << 14;
/// How long a node lasts, and the time of one job, after which a run goes on in the next.
const NODE_LASTS: f64 = 30.0 * 86_400.0;
const JOB: f64 = 86_400.0;
/// How often the driver looks at runs that it does not hear of, as in `drive`.
const LOOK: f64 = 10.0;

/// What one step costs, as it was measured.
struct Costs {
    /// Requests that one account takes in a second.
    account: f64,
    /// Seconds for a look at one run that is under way.
    look: f64,
    /// Leases that the file server renews in a second: each run's takes one every 5 s, and one for each request.
    leases: f64,
    /// Bytes of journal, and of everything else, that a turn leaves.
    journal: f64,
    rest: f64,
    /// Files that a turn leaves.
    files: f64,
    /// Bytes and files that a run has besides.
    start: f64,
    start_files: f64,
}

impl Costs {
    fn read() -> Result<Self, String> {
        let mut given = BTreeMap::new();
        for word in std::env::args().skip(1) {
            let (key, value) = word.split_once('=').ok_or(format!("{word}: KEY=NUMBER"))?;
            let value: f64 = value.parse().map_err(|_| format!("{word}: no number"))?;
            if !(value > 0.0 && value.is_finite()) {
                return Err(format!("{word}: more than nothing"));
            }
            given.insert(key.to_owned(), value);
        }
        let mut take = |key: &str| given.remove(key).ok_or(format!("{key}= is missing"));
        Ok(Costs {
            account: take("account")?,
            look: take("look")?,
            leases: take("leases")?,
            journal: take("journal")?,
            rest: take("rest")?,
            files: take("files")?,
            start: take("start")?,
            start_files: take("start-files")?,
        })
    }
}

/// What a campaign came to.
#[derive(Default)]
struct Seen {
    calls: u64,
    seconds: f64,
    /// Waits for the account, by powers of two of a millisecond.
    waits: [u64; 32],
    busy: f64,
    resumes: u64,
}

impl Seen {
    /// The wait that so many of a hundred do not exceed, in seconds.
    fn wait(&self, percent: u64) -> f64 {
        let all: u64 = self.waits.iter().sum();
        let mut sum = 0;
        for (power, count) in self.waits.iter().enumerate() {
            sum += count;
            if sum * 100 >= all * percent {
                return f64::from(1u32 << power.min(30)) / 1000.0;
            }
        }
        0.0
    }
}

/// A stream of numbers that is the same in each run of this program.
struct Draws(u64);

impl Draws {
    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Lets so many runs go on for so many seconds. Each asks the account, calls its model, runs its tools, and asks again.
fn simulate(runs: usize, pace: f64, seconds: f64, costs: &Costs) -> Seen {
    let mut wheel: Vec<Vec<u32>> = vec![Vec::new(); SLOTS];
    let mut draws = Draws(0x9e37_79b9_7f4a_7c15);
    for run in 0..runs {
        let begin = RAMP * run as f64 / runs as f64;
        wheel[(begin / TICK) as usize % SLOTS].push(run as u32);
    }
    let mut seen = Seen {
        seconds,
        ..Seen::default()
    };
    let service = 1.0 / costs.account;
    let (mut free, mut now) = (0.0f64, 0.0f64);
    let mut due = Vec::new();
    let mut tick = 0usize;
    // Losses in each tick: of jobs that are over, and of nodes.
    let lost = TICK * runs as f64 * (1.0 / JOB + 1.0 / NODE_LASTS);
    let mut losses = 0.0;
    let longest = (SLOTS - 1) as f64 * TICK;
    while now < seconds {
        std::mem::swap(&mut due, &mut wheel[tick % SLOTS]);
        for run in due.drain(..) {
            // One entry of the account after the other.
            free = free.max(now) + service;
            let wait = free - now;
            seen.busy += service;
            seen.calls += 1;
            let power = ((wait * 1000.0) as u64).max(1).ilog2() + 1;
            seen.waits[power.min(31) as usize] += 1;
            // Between half and one and a half of the pace, and what was waited for besides.
            let next = (wait + pace * (0.5 + draws.unit())).min(longest);
            let slot = tick + (next / TICK).max(1.0) as usize;
            wheel[slot % SLOTS].push(run);
        }
        losses += lost;
        tick += 1;
        now += TICK;
    }
    seen.resumes = losses as u64;
    seen
}

fn main() -> Result<(), String> {
    let costs = Costs::read()?;
    println!(
        "a call every | runs | calls/s | account busy | waits, median / 99 % | leases/s | a look around | first to break"
    );
    let mut whole = Vec::new();
    for pace in PACES {
        for runs in SIZES {
            let seconds = if runs == WHOLE { WEEK } else { SHORT };
            let seen = simulate(runs, pace, seconds, &costs);
            row(runs, pace, &seen, &costs);
            if runs == WHOLE {
                whole.push((pace, seen));
            }
        }
    }
    println!("\n10,000 runs, a week | calls of a run | journals | everything | files | sessions");
    for (pace, seen) in whole {
        let (runs, calls) = (WHOLE as f64, seen.calls as f64);
        let journals = calls * costs.journal;
        let everything = journals + calls * costs.rest + runs * costs.start;
        let files = calls * costs.files + runs * costs.start_files + seen.resumes as f64;
        println!(
            "{pace:.0} s | {:.0} | {:.2} TB | {:.2} TB | {:.0} million | {}",
            calls / runs,
            journals / 1e12,
            everything / 1e12,
            files / 1e6,
            seen.resumes + WHOLE as u64,
        );
    }
    Ok(())
}

fn row(runs: usize, pace: f64, seen: &Seen, costs: &Costs) {
    let calls = seen.calls as f64 / seen.seconds;
    let leases = runs as f64 / run::BEAT.as_secs_f64() + calls;
    let look = runs as f64 * costs.look;
    let parts = [
        ("the account", seen.busy.min(seen.seconds) / seen.seconds),
        ("leases", leases / costs.leases),
        ("the look around", look / LOOK),
    ];
    let most = parts.iter().max_by(|one, other| one.1.total_cmp(&other.1));
    let breaks = most.filter(|part| part.1 >= 0.95).map_or("", |part| part.0);
    println!(
        "{pace:.0} s | {runs} | {calls:.0} | {:.0} % | {:.3} s / {:.3} s | {leases:.0} | {look:.1} s | {breaks}",
        parts[0].1 * 100.0,
        seen.wait(50),
        seen.wait(99),
    );
}
