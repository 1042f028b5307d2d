//! Prints the cost of one `/bin/true` in a worker over the same program spawned bare, and beside it what other
//! sandboxes cost. Each round takes one of each kind in turn, so that what else the machine does falls on all alike.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement for people"
)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};
use std::time::{Duration, Instant};

use sandbox::{Command, Conditions, Limits, Scratch, Spec, Syscalls, Worker};

const ROUNDS: usize = 1000;
/// Rounds of what takes some tens of milliseconds.
const SLOW_ROUNDS: usize = 40;

fn spec() -> Spec {
    let scratch = |at: &str| Scratch {
        at: at.into(),
        bytes: 8 << 20,
        inodes: 1000,
        executable: false,
    };
    Spec {
        rootfs: PathBuf::from("/"),
        mounts: Vec::new(),
        scratch: vec![scratch("/case"), scratch("/tmp")],
        hostname: "sandbox".to_owned(),
        proc: true,
        terminals: false,
        syscalls: Syscalls::Program,
        execute: Some(vec!["/usr".into()]),
        guard: None,
        memory: 256 << 20,
        processes: 32,
    }
}

fn command() -> Command {
    Command {
        program: "/usr/bin/true".into(),
        argv: vec!["true".into()],
        env: Vec::new(),
        cwd: "/case".into(),
        files: Vec::new(),
        collect: Vec::new(),
        limits: Limits {
            wall: Duration::from_secs(20),
            cpu: Duration::from_secs(10),
            output: 1 << 20,
            file_size: 64 << 20,
            open_files: 64,
        },
        conditions: Conditions::default(),
        keep_background: false,
        terminal: false,
    }
}

/// One way to run the program.
struct Way {
    name: &'static str,
    rounds: usize,
    once: Box<dyn FnMut() -> Result<(), Box<dyn Error>>>,
    times: Vec<Duration>,
}

impl Way {
    fn new(
        name: &'static str,
        rounds: usize,
        once: impl FnMut() -> Result<(), Box<dyn Error>> + 'static,
    ) -> Self {
        Way {
            name,
            rounds,
            once: Box::new(once),
            times: Vec::new(),
        }
    }

    fn quartiles(&mut self) -> [f64; 3] {
        self.times.sort_unstable();
        let last = self.times.len() - 1;
        [last / 4, last / 2, last * 3 / 4].map(|index| self.times[index].as_secs_f64() * 1e6)
    }
}

fn spawn(program: &mut Program) -> Result<(), Box<dyn Error>> {
    let quiet = program.stdin(Stdio::null()).stdout(Stdio::null());
    match quiet.stderr(Stdio::null()).status()?.success() {
        true => Ok(()),
        false => Err(format!("{program:?} failed").into()),
    }
}

fn bubblewrap() -> Result<(), Box<dyn Error>> {
    let words = "--unshare-all --ro-bind / / --proc /proc --dev /dev --tmpfs /tmp /usr/bin/true";
    spawn(Program::new("bwrap").args(words.split(' ')))
}

/// A bundle for runc: its own default configuration, on a root that holds `true` and its libraries.
fn bundle(at: &Path) -> Result<(), Box<dyn Error>> {
    for file in [
        "/usr/bin/true",
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/x86_64-linux-gnu/libc.so.6",
    ] {
        let to = at.join("rootfs").join(file.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap_or(at))?;
        std::fs::copy(file, to)?;
    }
    spawn(Program::new("runc").arg("spec").current_dir(at))?;
    let path = at.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    config["process"]["args"] = serde_json::json!(["/usr/bin/true"]);
    config["process"]["terminal"] = false.into();
    // Where control groups are of version one, it cannot show them inside.
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts.retain(|mount| mount["type"] != "cgroup");
    }
    std::fs::write(&path, config.to_string())?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    sandbox::entry();
    let mut ways = vec![Way::new("spawned bare", ROUNDS, || {
        spawn(Program::new("/usr/bin/true").env_clear())
    })];
    let full = spec();
    let bare = Spec {
        scratch: Vec::new(),
        execute: None,
        ..spec()
    };
    for (name, spec) in [
        ("in a worker, everything on", full),
        ("in a worker, no scratch, no execution rules", bare),
    ] {
        let mut worker = Worker::start(&spec)?;
        let mut command = command();
        if spec.scratch.is_empty() {
            command.cwd = "/".into();
        }
        ways.push(Way::new(name, ROUNDS, move || {
            worker.run(&command, b"")?;
            Ok(())
        }));
    }
    if bubblewrap().is_ok() {
        ways.push(Way::new("bubblewrap", ROUNDS / 4, bubblewrap));
    }
    let place = tempfile::tempdir()?;
    let at = place.path().to_owned();
    let mut serial = 0;
    let mut runc = move || {
        serial += 1;
        let id = format!("floor-{}-{serial}", std::process::id());
        spawn(Program::new("runc").args(["run", &id]).current_dir(&at))
    };
    if bundle(place.path()).is_ok() && runc().is_ok() {
        ways.push(Way::new("runc", SLOW_ROUNDS, runc));
    }
    for round in 0..ROUNDS {
        for way in &mut ways {
            if round % (ROUNDS / way.rounds) == 0 {
                let start = Instant::now();
                (way.once)()?;
                way.times.push(start.elapsed());
            }
        }
    }
    let base = ways[0].quartiles();
    println!(
        "one /usr/bin/true, microseconds: first quartile, median, third quartile; ratio of medians"
    );
    for way in &mut ways {
        let [low, middle, high] = way.quartiles();
        let ratio = middle / base[1];
        println!(
            "{ratio:6.2}  {low:6.0} {middle:6.0} {high:6.0}  {}",
            way.name
        );
    }
    Ok(())
}
