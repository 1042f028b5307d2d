//! Prints the cost of one `/bin/true` in a worker, over the same program spawned bare, in one run.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement for people"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sandbox::{Command, Conditions, Limits, Scratch, Spec, Syscalls, Worker};

fn main() {
    sandbox::entry();
    let n = 2000;
    let scratch = |at: &str| Scratch {
        at: at.into(),
        bytes: 8 << 20,
        inodes: 1000,
        executable: false,
    };
    let mut worker = Worker::start(&Spec {
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
    })
    .expect("a worker");
    let command = Command {
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
    };
    for _ in 0..3 {
        let start = Instant::now();
        for _ in 0..n {
            std::process::Command::new("/usr/bin/true")
                .output()
                .expect("true runs");
        }
        let bare = start.elapsed() / n;
        let start = Instant::now();
        for _ in 0..n {
            worker.run(&command, b"").expect("true runs");
        }
        let boxed = start.elapsed() / n;
        println!(
            "bare {bare:?}, in a worker {boxed:?}, ratio {:.2}",
            boxed.as_secs_f64() / bare.as_secs_f64()
        );
    }
}
