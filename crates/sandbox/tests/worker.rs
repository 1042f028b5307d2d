//! A worker on this machine's own root: what commands can do, what they cannot, and what they leave.

use std::path::PathBuf;
use std::time::Duration;

use sandbox::{
    Captured, Collect, Command, Conditions, Ending, File, Limit, Limits, Mount, Scratch, Source,
    Spec, Syscalls, Worker,
};

/// Names the keeper's program where the one that was built is out of a user's reach.
const KEEPER: &str = "SANDBOX_TEST_KEEPER";

/// Says whether limits must be held by control groups (`some`) or cannot be (`none`), where that is known.
const CONTROL_GROUPS: &str = "SANDBOX_TEST_CONTROL_GROUPS";

fn keeper_program() -> PathBuf {
    std::env::var_os(KEEPER).map_or(env!("CARGO_BIN_EXE_sandbox-keeper").into(), PathBuf::from)
}

fn spec() -> Spec {
    sandbox::set_worker_program(&keeper_program());
    Spec {
        rootfs: PathBuf::from("/"),
        mounts: Vec::new(),
        scratch: vec![
            Scratch {
                at: "/case".into(),
                bytes: 8 << 20,
                inodes: 1000,
                executable: false,
            },
            Scratch {
                at: "/tmp".into(),
                bytes: 8 << 20,
                inodes: 1000,
                executable: false,
            },
        ],
        hostname: "sandbox".to_owned(),
        proc: true,
        terminals: false,
        syscalls: Syscalls::Program,
        execute: None,
        guard: None,
        memory: 256 << 20,
        processes: 32,
    }
}

fn command(argv: &[&str]) -> Command {
    Command {
        program: argv[0].into(),
        argv: argv.iter().map(Into::into).collect(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: "/case".into(),
        files: Vec::new(),
        collect: Vec::new(),
        limits: Limits {
            wall: Duration::from_secs(120),
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

fn shell(script: &str) -> Command {
    command(&["/bin/sh", "-c", script])
}

fn run(worker: &mut Worker, command: &Command, stdin: &[u8]) -> Captured {
    worker.run(command, stdin).expect("the sandbox works")
}

fn text(captured: &Captured) -> (Ending, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        captured.outcome.ending,
        text(&captured.stdout),
        text(&captured.stderr),
    )
}

#[test]
fn returns_bytes_status_and_signal() {
    let mut worker = Worker::start(&spec()).unwrap();
    let captured = run(&mut worker, &shell("cat; echo err >&2; exit 7"), b"in\0put");
    assert_eq!(captured.outcome.ending, Ending::Exited(7));
    assert_eq!(captured.stdout, b"in\0put");
    assert_eq!(captured.stderr, b"err\n");
    let captured = run(&mut worker, &shell("kill -SEGV $$"), b"");
    assert_eq!(captured.outcome.ending, Ending::Signaled(libc::SIGSEGV));
    let captured = run(&mut worker, &command(&["/no/such/program"]), b"");
    assert_eq!(captured.outcome.ending, Ending::NotStarted(libc::ENOENT));
}

#[test]
fn every_command_finds_the_same_place() {
    let mut worker = Worker::start(&spec()).unwrap();
    let look =
        shell("echo $$; ls -A /case /tmp; touch /case/left /tmp/left; sleep 300 & hostname; id -u");
    let first = text(&run(&mut worker, &look, b""));
    assert_eq!(first, text(&run(&mut worker, &look, b"")));
    assert_eq!(first.1, "2\n/case:\n\n/tmp:\nsandbox\n1000\n");
}

#[test]
fn directories_are_fresh_however_many_lie_under_them() {
    let mut worker = Worker::start(&spec()).unwrap();
    let look = "cat /case/x /tmp/x 2>/dev/null; ls -A /case /case/../case /tmp; grep -c ' /case ' /proc/self/mountinfo";
    let mut most = 0;
    for round in 0..40 {
        let (ending, out, _) = text(&run(&mut worker, &shell(look), b""));
        assert_eq!(ending, Ending::Exited(0));
        let (listing, piled) = out.trim_end().rsplit_once('\n').unwrap();
        assert_eq!(
            listing, "/case:\n\n/case/../case:\n\n/tmp:",
            "round {round}"
        );
        most = most.max(piled.parse().unwrap());
        // Nothing changes what lies there, then something does: each in any height of the pile.
        if round % 5 == 4 {
            // Of what earlier commands wrote nothing is kept: it would not fit.
            let write = "head -c 6000000 /dev/zero > /case/x && head -c 6000000 /dev/zero > /tmp/x";
            let (ending, _, _) = text(&run(&mut worker, &shell(write), b""));
            assert_eq!(ending, Ending::Exited(0));
        }
        if round % 13 == 12 {
            let (ending, _, _) = text(&run(
                &mut worker,
                &shell("mkdir /case/x; chmod 0 /case"),
                b"",
            ));
            assert_eq!(ending, Ending::Exited(0));
        }
    }
    // However many commands there were: some pile up, and not for ever.
    assert!((2..=8).contains(&most), "{most}");

    let mut alone = spec();
    alone.scratch.truncate(1);
    let mut worker = Worker::start(&alone).unwrap();
    let look = shell("ls -A /case; grep -c ' /case ' /proc/self/mountinfo");
    for round in 0..20 {
        let piled = text(&run(&mut worker, &look, b"")).1;
        assert_eq!(piled, format!("{}\n", round % 8 + 1));
    }
}

#[test]
fn conditions_vary_what_a_command_could_depend_on() {
    let mut worker = Worker::start(&spec()).unwrap();
    let mut look = shell("echo $$; nproc; ls -U in");
    look.files = ["a", "b"]
        .map(|name| File {
            path: format!("/case/in/{name}").into(),
            bytes: Vec::new(),
            executable: false,
        })
        .to_vec();
    let plain = text(&run(&mut worker, &look, b"")).1;
    look.conditions = Conditions {
        one_processor: true,
        fixed_addresses: true,
        skip_process_ids: 500,
        reverse_files: true,
    };
    let varied = text(&run(&mut worker, &look, b"")).1;
    let order = |text: &str| text.lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
    assert!(varied.starts_with("502\n1\n"), "{varied}");
    assert_eq!(
        order(&plain),
        order(&varied).into_iter().rev().collect::<Vec<_>>()
    );
    look.conditions = Conditions::default();
    assert_eq!(text(&run(&mut worker, &look, b"")).1, plain);
}

#[test]
fn nothing_is_left_running_and_a_command_cannot_name_its_keeper() {
    let mut worker = Worker::start(&spec()).unwrap();
    run(
        &mut worker,
        &shell("(setsid sleep 300 &) ; (trap '' TERM HUP; sleep 300) &"),
        b"",
    );
    let seen = run(&mut worker, &shell("echo /proc/[0-9]*"), b"");
    // The shell; the init is out of sight.
    assert_eq!(text(&seen).1, "/proc/2\n");
    let (ending, _, _) = text(&run(
        &mut worker,
        &shell("kill -KILL 1; kill -STOP 1; kill -KILL -1"),
        b"",
    ));
    assert!(
        matches!(ending, Ending::Exited(_) | Ending::Signaled(_)),
        "{ending:?}"
    );
    assert_eq!(
        text(&run(&mut worker, &shell("echo alive"), b"")).1,
        "alive\n"
    );
}

#[test]
fn a_command_cannot_tell_from_its_number_what_ran_before() {
    let mut roomy = spec();
    roomy.processes = 400;
    let mut worker = Worker::start(&roomy).unwrap();
    // Nobody waits for its children: the kernel reaps them while the next command is started.
    let flood = shell("i=0; while [ $i -lt 300 ]; do sleep 0.1 & i=$((i+1)); done; exec sleep 0.3");
    for round in 0..10 {
        run(&mut worker, &flood, b"");
        let number = text(&run(&mut worker, &shell("echo $$"), b"")).1;
        assert_eq!(number, "2\n", "round {round}");
    }
}

#[test]
fn files_go_in_and_come_back() {
    let mut worker = Worker::start(&spec()).unwrap();
    let mut copy =
        shell("cp in/a out && mkdir d && ln -s /etc/passwd d/link && mkfifo d/pipe && echo x >d/f");
    copy.files = vec![File {
        path: "/case/in/a".into(),
        bytes: b"\xff\0".to_vec(),
        executable: false,
    }];
    copy.collect = ["/case/out", "/case/d", "/case/absent"]
        .map(|path| Collect {
            path: path.into(),
            bytes: 1000,
        })
        .to_vec();
    let captured = run(&mut worker, &copy, b"");
    let files: Vec<_> = captured
        .outcome
        .files
        .iter()
        .map(|f| (f.path.to_str().unwrap(), &f.bytes[..]))
        .collect();
    assert_eq!(
        files,
        [("/case/d/f", &b"x\n"[..]), ("/case/out", b"\xff\0")]
    );
    copy.collect[0].bytes = 1;
    assert_eq!(
        run(&mut worker, &copy, b"").outcome.ending,
        Ending::Limited(Limit::Disk)
    );
}

/// An ordinary user cannot make control groups here, where nobody delegates any: limits are held without.
#[test]
fn limits_are_named_without_control_groups() {
    if !rustix::process::geteuid().is_root() {
        return limits_are_named();
    }
    let place = tempfile::tempdir().unwrap();
    let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.path(), everyone).unwrap();
    let (own, keeper) = (place.path().join("test"), place.path().join("keeper"));
    std::fs::copy(std::env::current_exe().unwrap(), &own).unwrap();
    std::fs::copy(keeper_program(), &keeper).unwrap();
    #[expect(clippy::disallowed_methods, reason = "this test, as an ordinary user")]
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=64998", "--regid=64998", "--clear-groups"])
        .arg(own)
        .args(["--exact", "limits_are_named"])
        .env(CONTROL_GROUPS, "none")
        .env(KEEPER, keeper)
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
fn limits_are_named() {
    let mut worker = Worker::start(&spec()).unwrap();
    if let Some(expected) = std::env::var_os(CONTROL_GROUPS) {
        assert_eq!(worker.has_control_group(), expected != "none");
    }
    let mut slow = shell("sleep 300 & sleep 300");
    slow.limits.wall = Duration::from_millis(200);
    assert_eq!(
        run(&mut worker, &slow, b"").outcome.ending,
        Ending::Limited(Limit::WallTime)
    );
    let mut busy = shell("while :; do :; done");
    busy.limits.cpu = Duration::from_secs(1);
    assert_eq!(
        run(&mut worker, &busy, b"").outcome.ending,
        Ending::Limited(Limit::CpuTime)
    );
    let flood = run(&mut worker, &shell("cat /dev/zero"), b"");
    assert_eq!(flood.outcome.ending, Ending::Limited(Limit::Output));
    assert_eq!(flood.stdout.len(), 1 << 20);
    let full = run(&mut worker, &shell("cat /dev/zero >/case/f"), b"");
    assert_eq!(full.outcome.ending, Ending::Limited(Limit::Disk));
    let inodes = run(
        &mut worker,
        &shell("i=0; while : >/tmp/$i; do i=$((i+1)); done"),
        b"",
    );
    assert_eq!(inodes.outcome.ending, Ending::Limited(Limit::Disk));
    // Each child stays, so that the limit is still reached when the command ends.
    let bomb = run(
        &mut worker,
        &shell("i=0; while [ $i -lt 100 ]; do sleep 30 & i=$((i+1)); done"),
        b"",
    );
    assert_eq!(bomb.outcome.ending, Ending::Limited(Limit::Processes));
    let hog = command(&["/usr/bin/perl", "-e", "push @a, 'x' x 1e6 while 1"]);
    assert_eq!(
        run(&mut worker, &hog, b"").outcome.ending,
        Ending::Limited(Limit::Memory)
    );
    assert_eq!(
        text(&run(&mut worker, &shell("echo alive"), b"")).1,
        "alive\n"
    );
}

#[test]
fn the_root_and_the_kernel_are_out_of_reach() {
    let mut outside = spec();
    outside.mounts = vec![Mount {
        source: Source::Bytes {
            bytes: b"hello".to_vec(),
            mode: 0o444,
        },
        at: "/given/file".into(),
        writable: false,
    }];
    let mut worker = Worker::start(&outside).unwrap();
    for script in [
        "echo x >/new",
        "echo x >/usr/new",
        "echo x >/etc/passwd",
        "echo x >/given/file",
        "chmod 777 /usr",
        "mount -t tmpfs none /case",
        "unshare -U true",
        "echo 1 >/proc/sys/kernel/panic",
        "mknod /case/m c 1 1",
        "cp /bin/true /case/true && /case/true",
        "python3 -c 'import socket; socket.socket(socket.AF_INET)'",
    ] {
        let (ending, _, _) = text(&run(&mut worker, &shell(script), b""));
        assert!(
            matches!(ending, Ending::Exited(status) if status != 0),
            "{script}: {ending:?}"
        );
    }
    assert_eq!(
        text(&run(&mut worker, &shell("cat /given/file"), b"")).1,
        "hello"
    );
    let status = text(&run(
        &mut worker,
        &shell("grep -E '^(Cap|NoNewPrivs|Seccomp):?' /proc/self/status"),
        b"",
    ))
    .1;
    assert!(
        status.contains("CapEff:\t0000000000000000")
            && status.contains("CapBnd:\t0000000000000000"),
        "{status}"
    );
    assert!(
        status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"),
        "{status}"
    );
}

#[test]
fn only_named_programs_run() {
    let mut one = spec();
    one.execute = Some(vec![
        "/bin/dash".into(),
        "/lib64".into(),
        "/usr/lib".into(),
        "/lib".into(),
    ]);
    let mut worker = Worker::start(&one).unwrap();
    let (ending, stdout, _) = text(&run(
        &mut worker,
        &shell("echo yes; /bin/cat </dev/null"),
        b"",
    ));
    assert_eq!((ending, stdout.as_str()), (Ending::Exited(126), "yes\n"));
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let mut wrong = spec();
    wrong.rootfs = "/no/such/root".into();
    let error = Worker::start(&wrong).err().unwrap().to_string();
    assert!(error.contains("/no/such/root"), "{error}");
}

#[test]
fn what_is_ended_at_a_limit_leaves_nothing_of_its_session() {
    let place = Spec {
        scratch: Vec::new(),
        syscalls: Syscalls::Tools,
        ..spec()
    };
    let mut worker = Worker::start(&place).unwrap();
    let tools = |script: &str| Command {
        cwd: "/".into(),
        keep_background: true,
        ..shell(script)
    };
    // A group of its own does not save a child; a session of its own, which is what a job in the background has, does.
    let mut hangs = tools("sleep 401 & timeout 402 sleep 403 & setsid sleep 404 & sleep 405");
    let list = tools(
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | tr ';' '\\n' | grep -o 'sleep 40[0-9]'; true",
    );
    // A slow machine needs longer to come to the last of them.
    let listed = [400, 5_000, 30_000]
        .into_iter()
        .find_map(|milliseconds| {
            hangs.limits.wall = Duration::from_millis(milliseconds);
            let captured = run(&mut worker, &hangs, b"");
            assert_eq!(
                captured.outcome.ending,
                Ending::Limited(Limit::WallTime),
                "{captured:?}"
            );
            let listed = run(&mut worker, &list, b"");
            text(&listed).1.contains("sleep 404").then_some(listed)
        })
        .expect("what has a session of its own lives on");
    for gone in ["401", "403", "405"] {
        assert!(!text(&listed).1.contains(gone), "{listed:?}");
    }
}

#[test]
fn a_port_of_its_loopback_is_all_that_a_sandbox_reaches() {
    use std::io::{Read, Write};

    let place = Spec {
        scratch: Vec::new(),
        syscalls: Syscalls::Tools,
        ..spec()
    };
    let (mut worker, listener) = Worker::start_with_port(&place, 8484).unwrap();
    // The same number outside is another port.
    let outside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = outside.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let (mut stream, from) = listener.accept().unwrap();
        let mut word = [0; 4];
        stream.read_exact(&mut word).unwrap();
        stream.write_all(&word).unwrap();
        from
    });
    let script = format!(
        r#"
import os, socket
def reaches(family, kind, address):
    s = socket.socket(family, kind); s.settimeout(2)
    try: s.connect(address); s.send(b"x"); return True
    except OSError as e: return e.errno
s = socket.create_connection(("127.0.0.1", 8484)); s.sendall(b"ping"); print(s.recv(4))
print(reaches(2, 1, ("127.0.0.1", {port})) is not True, reaches(10, 1, ("::1", 8484)) is not True)
print([reaches(2, k, a) for k in (1, 2) for a in (("192.0.2.1", 53), ("10.0.0.1", 80), ("169.254.169.254", 80))])
print([reaches(10, k, ("2001:db8::1", 443)) for k in (1, 2)])
for raw in ((2, 3, 1), (2, 3, 255), (10, 3, 58), (17, 3, 768), (16, 3, 0)):
    try: socket.socket(*raw); print("raw", raw)
    except OSError: pass
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
try: s.bind(("127.0.0.1", 8484)); s.listen(); print("taken over")
except OSError: print("held")
try: socket.getaddrinfo("example.org", 80); print("resolved")
except OSError: print("no names")
"#
    );
    let command = Command {
        cwd: "/".into(),
        ..command(&["/usr/bin/python3", "-c", &script])
    };
    let captured = run(&mut worker, &command, b"");
    assert_eq!(
        text(&captured).1,
        "b'ping'\nTrue True\n[101, 101, 101, 101, 101, 101]\n[101, 101]\nheld\nno names\n",
        "{captured:?}"
    );
    assert!(served.join().unwrap().ip().is_loopback());
    drop(outside);
}
