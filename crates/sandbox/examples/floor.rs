//! Prints the cost of one `/bin/true` in a worker over the same program spawned bare, in one run: each round
//! takes one of each kind in turn, so that what else the machine does falls on all alike.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement for people"
)]

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use sandbox::{Command, Conditions, Limits, Scratch, Spec, Syscalls, Worker};

const ROUNDS: usize = 1000;

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
        cwd: "/".into(),
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

fn main() {
    sandbox::entry();
    let command = command();
    let variants: Vec<(&str, Spec)> = vec![
        ("everything on", spec()),
        (
            "no execute rules",
            Spec {
                execute: None,
                ..spec()
            },
        ),
        (
            "no scratch",
            Spec {
                scratch: Vec::new(),
                ..spec()
            },
        ),
        (
            "neither",
            Spec {
                scratch: Vec::new(),
                execute: None,
                ..spec()
            },
        ),
    ];
    let mut workers: Vec<(&str, Worker, Vec<Duration>)> = variants
        .into_iter()
        .map(|(name, spec)| (name, Worker::start(&spec).expect("a worker"), Vec::new()))
        .collect();
    let mut bare = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        std::process::Command::new("/usr/bin/true")
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("true runs");
        bare.push(start.elapsed());
        for (_, worker, times) in &mut workers {
            let start = Instant::now();
            worker.run(&command, b"").expect("true runs");
            times.push(start.elapsed());
        }
    }
    let base = quartiles(&mut bare);
    println!("bare: {base:.0?} us");
    for (name, _, times) in &mut workers {
        let q = quartiles(times);
        println!(
            "{name}: {q:.0?} us, ratio {:.2} {:.2} {:.2}",
            q[0] / base[0],
            q[1] / base[1],
            q[2] / base[2]
        );
    }
}

fn quartiles(times: &mut [Duration]) -> [f64; 3] {
    times.sort_unstable();
    [times.len() / 4, times.len() / 2, times.len() * 3 / 4]
        .map(|index| times[index].as_secs_f64() * 1e6)
}
