//! Reads inputs that are changed at random, target by target, and prints a table of what was found.

use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fuzz::hunt::{Amount, Found, Report, hunt, one};
use fuzz::{TARGETS, Target, find};
use rustix::process::{Resource, Rlimit, setrlimit};

const USAGE: &str = "usage: fuzz [--inputs N] [--minutes N] [--seed N] [--corpus DIRECTORY] [TARGET]...
       fuzz --list | --prepare DIRECTORY | --again TARGET FILE...

Reads N inputs for each target (ten million), those of N minutes at most, and saves in fuzz-found/ what a target panics
or takes more than a second with. Inputs are made of the target's seeds, and of the files in DIRECTORY/TARGET where such
a directory is. --again reads saved inputs. --prepare writes seeds and words of each target for `guided`. How far it is
goes to stderr; Ctrl-C ends it with the table so far.
";

/// Address space of the whole program: an input that asks for far more memory than it has bytes ends it.
const ADDRESS_SPACE: u64 = 2 << 30;
/// Where inputs are saved.
const SAVED: &str = "fuzz-found";
/// Time between two lines about a target, where a line cannot be written again.
const LINES: Duration = Duration::from_secs(60);

/// Whether Ctrl-C was pressed.
static ENOUGH: AtomicBool = AtomicBool::new(false);

struct Options {
    amount: Amount,
    corpus: Option<PathBuf>,
    targets: Vec<&'static Target>,
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever closes the pipe has seen enough.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["--list"] => {
            for target in TARGETS {
                say(&format!(
                    "{}\t{}\t{}",
                    target.name, target.reads, target.from
                ));
            }
            Ok(ExitCode::SUCCESS)
        }
        ["--prepare", directory] => fuzz::prepare(Path::new(directory))
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| format!("{directory}: {error}")),
        ["--again", target, ref files @ ..] => again(target, files),
        _ => options(&words).and_then(|options| all(&options)),
    };
    match done {
        Ok(code) => code,
        Err(message) => {
            let _ = write!(std::io::stderr(), "fuzz: {message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn code(clean: bool) -> ExitCode {
    if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn named(name: &str) -> Result<&'static Target, String> {
    find(name).ok_or_else(|| format!("there is no target {name}; --list names them"))
}

fn options(words: &[&str]) -> Result<Options, String> {
    let mut options = Options {
        amount: Amount {
            inputs: 10_000_000,
            time: Duration::MAX,
            seed: 1,
        },
        corpus: None,
        targets: Vec::new(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if *word == "--corpus" {
            let directory = words.next().ok_or("--corpus wants a directory")?;
            options.corpus = Some(directory.into());
            continue;
        }
        let mut number = || -> Result<u64, String> {
            let next = words.next().and_then(|next| next.parse().ok());
            next.ok_or_else(|| format!("{word} wants a number"))
        };
        match *word {
            "--inputs" => options.amount.inputs = number()?,
            "--minutes" => options.amount.time = Duration::from_secs(60 * number()?),
            "--seed" => options.amount.seed = number()?,
            name => options.targets.push(named(name)?),
        }
    }
    if options.targets.is_empty() {
        options.targets = TARGETS.iter().collect();
    }
    Ok(options)
}

fn scratch() -> Result<tempfile::TempDir, String> {
    // In memory where that can be had: nothing here must outlive the program.
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.map_err(|error| format!("no directory to work in: {error}"))
}

fn all(options: &Options) -> Result<ExitCode, String> {
    let limit = Rlimit {
        current: Some(ADDRESS_SPACE),
        maximum: Some(ADDRESS_SPACE),
    };
    setrlimit(Resource::As, limit).map_err(|error| error.to_string())?;
    // What is found is told in the table.
    std::panic::set_hook(Box::new(|_| {}));
    say(&format!(
        "{:<16} {:>10} {:>8} {:>9}  found",
        "target", "inputs", "seconds", "peak MiB"
    ));
    ctrlc::set_handler(|| ENOUGH.store(true, Ordering::Relaxed))
        .map_err(|error| error.to_string())?;
    let mut clean = true;
    for target in &options.targets {
        let scratch = scratch()?;
        let mut progress = Progress::of(target, options.amount);
        // Forgets the highest use of memory so far.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let report = hunt(
            target,
            corpus(target, options.corpus.as_deref())?,
            options.amount,
            scratch.path(),
            hangs,
            &mut |so_far| {
                progress.tell(so_far);
                if ENOUGH.load(Ordering::Relaxed) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        );
        progress.end();
        let found = match &report.found {
            None => "nothing".to_owned(),
            Some(found) => save(target, found),
        };
        clean &= report.found.is_none();
        let (seconds, peak) = (report.time.as_secs_f64(), peak());
        say(&format!(
            "{:<16} {:>10} {seconds:>8.1} {peak:>9}  {found}",
            target.name, report.inputs
        ));
        if ENOUGH.load(Ordering::Relaxed) {
            return Ok(ExitCode::from(130));
        }
    }
    Ok(code(clean))
}

/// How far a target is: one line that is written again on a terminal, a line a minute elsewhere.
struct Progress {
    target: &'static str,
    inputs: u64,
    terminal: bool,
    next: Duration,
}

impl Progress {
    fn of(target: &Target, amount: Amount) -> Progress {
        Progress {
            target: target.name,
            inputs: amount.inputs,
            terminal: std::io::stderr().is_terminal(),
            next: LINES,
        }
    }

    fn tell(&mut self, report: &Report) {
        if !self.terminal && report.time < self.next {
            return;
        }
        self.next = report.time + LINES;
        let (begin, end) = if self.terminal {
            ("\r", "\x1b[K")
        } else {
            ("", "\n")
        };
        let _ = write!(
            std::io::stderr(),
            "{begin}{}: {} of {} inputs in {} s{end}",
            self.target,
            report.inputs,
            self.inputs,
            report.time.as_secs()
        );
    }

    fn end(&self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// The target's seeds, then what is in its directory.
fn corpus(target: &Target, directory: Option<&Path>) -> Result<Vec<Vec<u8>>, String> {
    let mut inputs = (target.seeds)();
    let Some(directory) = directory.map(|directory| directory.join(target.name)) else {
        return Ok(inputs);
    };
    let bad = |error: std::io::Error| format!("{}: {error}", directory.display());
    if directory.is_dir() {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&directory).map_err(bad)? {
            files.push(entry.map_err(bad)?.path());
        }
        files.sort();
        for file in files {
            inputs.push(std::fs::read(file).map_err(bad)?);
        }
    }
    Ok(inputs)
}

fn hangs(target: &Target, found: Found) -> ! {
    say(&format!("{:<16} {}", target.name, save(target, &found)));
    std::process::exit(1)
}

/// Writes an input down; says where, and what it does.
fn save(target: &Target, found: &Found) -> String {
    let name = run::digest(&found.input).to_string();
    let path: PathBuf = [SAVED, &format!("{}-{}", target.name, &name[..12])]
        .iter()
        .collect();
    let saved = std::fs::create_dir_all(SAVED).and_then(|()| std::fs::write(&path, &found.input));
    match saved {
        Ok(()) => format!("{}: {}", path.display(), found.what),
        Err(error) => format!("{} (cannot be saved: {error})", found.what),
    }
}

/// The most memory that was in use, in MiB; 0 where the system does not say.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() >> 10
}

fn again(name: &str, files: &[&str]) -> Result<ExitCode, String> {
    let target = named(name)?;
    let mut clean = true;
    for file in files {
        let scratch = scratch()?;
        let input = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        let what = one(target, &input, scratch.path());
        clean &= what.is_none();
        say(&format!(
            "{file}: {}",
            what.as_deref().unwrap_or("nothing is wrong")
        ));
    }
    Ok(code(clean))
}
