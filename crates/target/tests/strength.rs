//! Conditions in a small program: breakpoints say which are executed, turning those around shows, and turning others
//! around does not. Without the usual harness, because the sandbox's keeper is this program started again.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use sandbox::{
    Collect, Command, Conditions, Ending, File, Limits, Mount, Scratch, Source, Spec, Syscalls,
    Trace, Traced, Worker,
};
use target::strength::object::{Kind, Object};

/// Two threads, so that breakpoints are met in more than one at once.
const SOURCE: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void *count(void *text) {
    long sum = 0;
    for (const char *p = text; *p; p++)
        if (*p == 'x')
            sum++;
    return (void *)sum;
}

int main(int argc, char **argv) {
    pthread_t threads[2];
    void *sums[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], 0, count, argc > 1 ? argv[1] : "");
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], &sums[i]);
    printf("%ld %ld\n", (long)sums[0], (long)sums[1]);
    if (argc > 2)
        puts(strcmp(argv[2], "long") == 0 ? "long" : "short");
    return argc > 3 ? 3 : 0;
}
"#;
const RUNS: [&[&str]; 4] = [&[], &["axbx"], &["x", "long"], &["x", "no", "more"]];

fn spec(mounts: Vec<Mount>) -> Spec {
    Spec {
        rootfs: "/".into(),
        mounts,
        scratch: vec![Scratch {
            at: "/tmp".into(),
            bytes: 64 << 20,
            inodes: 1000,
            executable: true,
        }],
        hostname: "sandbox".to_owned(),
        proc: true,
        terminals: false,
        syscalls: Syscalls::Tools,
        execute: None,
        guard: None,
        memory: 512 << 20,
        processes: 32,
    }
}

fn command(argv: &[&str]) -> Command {
    Command {
        program: argv[0].into(),
        argv: argv.iter().map(Into::into).collect(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: "/tmp".into(),
        files: Vec::new(),
        collect: Vec::new(),
        limits: Limits {
            wall: Duration::from_secs(30),
            cpu: Duration::from_secs(30),
            output: 1 << 20,
            file_size: 64 << 20,
            open_files: 64,
        },
        conditions: Conditions::default(),
        keep_background: false,
        terminal: false,
    }
}

fn compile() -> Vec<u8> {
    let mut command = command(&[
        "/usr/bin/cc",
        "-O0",
        "-pthread",
        "-o",
        "program",
        "program.c",
    ]);
    command.files = vec![File {
        path: "/tmp/program.c".into(),
        bytes: SOURCE.as_bytes().to_vec(),
        executable: false,
    }];
    command.collect = vec![Collect {
        path: "/tmp/program".into(),
        bytes: 8 << 20,
    }];
    let mut worker = Worker::start(&spec(Vec::new())).unwrap();
    let mut captured = worker.run(&command, b"").unwrap();
    let stderr = String::from_utf8_lossy(&captured.stderr);
    assert_eq!(captured.outcome.ending, Ending::Exited(0), "{stderr}");
    captured.outcome.files.remove(0).bytes
}

fn mount(path: &Path, at: &str) -> Mount {
    Mount {
        source: Source::Path(path.to_owned()),
        at: at.into(),
        writable: false,
    }
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn arguments<'a>(run: &[&'a str]) -> Vec<&'a str> {
    [&["/program"], run].concat()
}

fn main() {
    sandbox::entry();
    let object = Object::read(compile()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (whole, planted) = (
        directory.path().join("whole"),
        directory.path().join("planted"),
    );
    write(&whole, &object.bytes);
    write(&planted, &object.planted(|_| true));

    let answers = |program: &Path| -> Vec<(Ending, Vec<u8>)> {
        let mut worker = Worker::start(&spec(vec![mount(program, "/program")])).unwrap();
        let run = |run: &&[&str]| {
            let mut command = command(&arguments(run));
            command.limits.wall = Duration::from_secs(2);
            let captured = worker.run(&command, b"").unwrap();
            (captured.outcome.ending, captured.stdout)
        };
        RUNS.iter().map(run).collect()
    };
    let expected = answers(&whole);
    assert_eq!(expected[1], (Ending::Exited(0), b"2 2\n".to_vec()));
    assert_eq!(expected[3], (Ending::Exited(3), b"1 1\nshort\n".to_vec()));

    let place = spec(vec![
        mount(&planted, "/program"),
        mount(&whole, "/original"),
    ]);
    let trace = Trace {
        objects: vec![Traced {
            at: "/program".into(),
            original: "/original".into(),
        }],
    };
    let mut worker = Worker::start_tracing(&place, trace).unwrap();
    let mut executed: Vec<BTreeSet<u64>> = Vec::new();
    for (run, expected) in RUNS.iter().zip(&expected) {
        let captured = worker.run(&command(&arguments(run)), b"").unwrap();
        let seen = (captured.outcome.ending, captured.stdout);
        assert_eq!(&seen, expected, "breakpoints change nothing");
        executed.push(
            captured
                .outcome
                .executed
                .iter()
                .map(|one| one.offset)
                .collect(),
        );
    }
    assert!(
        executed[0].is_subset(&executed[1]),
        "a longer word only adds"
    );
    assert!(executed[1].is_subset(&executed[3]), "so does a longer line");
    assert!(executed[0].len() >= 4 && executed[0].len() < executed[3].len());
    // In the last place of `main`: only a second argument is compared.
    assert_ne!(executed[1], executed[2]);

    let (mut noticed, mut tried) = (0, 0);
    for site in &object.sites {
        let mut changed = object.bytes.clone();
        changed[site.at as usize] = site.byte;
        let path = directory.path().join("changed");
        write(&path, &changed);
        let seen = answers(&path);
        for ((run, seen), expected) in executed.iter().zip(&seen).zip(&expected) {
            assert!(
                run.contains(&site.offset) || seen == expected,
                "what is not executed changes nothing: {site:x?}"
            );
        }
        let named = object
            .names
            .at(site.address)
            .is_some_and(|name| ["main", "count"].contains(&name));
        if named && site.kind == Kind::Jump && executed.iter().any(|run| run.contains(&site.offset))
        {
            tried += 1;
            noticed += usize::from(seen != expected);
        }
    }
    assert!(tried >= 6, "{tried} jumps of the program's own");
    assert_eq!(noticed, tried, "each of them shows");
}
