//! The shim against a server that speaks the broker's side of the protocol and does as each test says.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use oracle::protocol::{self, Reply, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;

/// The production shim but for one thing: `ORACLE_TEST_DIR` says where its sockets are.
const TEST_SHIM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shim-test"));

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// A directory with the shim under the name `prog`, and its socket.
struct Place {
    directory: TempDir,
    listener: UnixListener,
}

/// What a server has of one call.
type Caller = (UnixStream, Request, [OwnedFd; 3]);

impl Place {
    fn new() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("prog");
        fs::write(&program, TEST_SHIM).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o555)).unwrap();
        let listener = UnixListener::bind(directory.path().join("prog.sock")).unwrap();
        Place {
            directory,
            listener,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn shim(&self) -> Command {
        self.command(&self.path("prog"))
    }

    /// A shell script in which `$0` is the shim.
    fn shell(&self, script: &str) -> Command {
        let mut command = self.command(Path::new("/bin/sh"));
        command.args(["-c", script]).arg(self.path("prog"));
        command
    }

    fn command(&self, program: &Path) -> Command {
        #[expect(
            clippy::disallowed_methods,
            reason = "the shim is under test without a sandbox around it"
        )]
        let mut command = Command::new(program);
        command.env("ORACLE_TEST_DIR", self.directory.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Serves one call in a thread.
    fn serve<T: Send + 'static>(
        &self,
        act: impl FnOnce(Caller) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let listener = self.listener.try_clone().unwrap();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let (request, descriptors) = protocol::receive_request(&stream, LONG).unwrap();
            act((stream, request, descriptors))
        })
    }

    /// One call, answered with these replies.
    fn call(&self, command: &mut Command, replies: Vec<Reply>) -> (Output, Request) {
        let server = self.serve(move |(stream, request, _)| {
            for reply in replies {
                protocol::send(&stream, &reply).unwrap();
            }
            request
        });
        let output = start(command).wait_with_output().unwrap();
        (output, server.join().unwrap())
    }

    /// Starts a call that gets as many signals as asked for before it exits with status 9. When this returns, the shim is taking signals.
    fn call_for_signals(
        &self,
        command: &mut Command,
        count: usize,
    ) -> (Child, JoinHandle<Vec<Option<i32>>>) {
        let server = self.serve(move |(stream, _, [_, stdout, _])| {
            await_blocked_signals(&stream);
            File::from(stdout).write_all(b".").unwrap();
            let got = (0..count)
                .map(|_| protocol::receive_signal(ready(&stream)).unwrap())
                .collect();
            // A caller that was killed is not there to hear it.
            let _ = protocol::send(&stream, &Reply::Exited(9));
            got
        });
        let mut child = start(command);
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        (child, server)
    }
}

/// Starts a program that was written a moment ago: as long as a process that another test forked meanwhile has
/// not executed its own program, the file counts as open for writing.
fn start(command: &mut Command) -> Child {
    loop {
        match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(1));
            }
            child => return child.unwrap(),
        }
    }
}

/// Waits until the process at the other end has signals blocked.
fn await_blocked_signals(stream: &UnixStream) {
    let peer = rustix::net::sockopt::socket_peercred(stream).unwrap().pid;
    let status = format!("/proc/{peer}/status");
    let deadline = Instant::now() + LONG;
    while fs::read_to_string(&status)
        .unwrap()
        .contains("SigBlk:\t0000000000000000")
    {
        assert!(
            Instant::now() < deadline,
            "the shim does not block its signals"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until something can be read.
fn ready(stream: &UnixStream) -> &UnixStream {
    let timeout = Timespec {
        tv_sec: LONG.as_secs() as i64,
        tv_nsec: 0,
    };
    poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&timeout)).unwrap();
    stream
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn printed(stream: u8, bytes: &[u8]) -> Reply {
    Reply::Output {
        stream,
        bytes: bytes.to_vec(),
    }
}

#[test]
fn an_end_by_a_signal_that_ends_nothing_is_an_end() {
    let place = Place::new();
    for signal in [0, 17, 18, 19, 20, 21, 22, 65] {
        let (output, _) = place.call(&mut place.shim(), vec![Reply::Signaled(signal)]);
        assert_eq!(output.status.code(), Some(128 + signal as i32), "{signal}");
    }
}

#[test]
fn ends_as_the_program_ended() {
    let place = Place::new();
    for status in [0, 1, 2, 125, 255] {
        let (output, _) = place.call(&mut place.shim(), vec![Reply::Exited(status)]);
        assert_eq!(output.status.into_raw(), (status as i32) << 8);
        assert_eq!((output.stdout.len(), output.stderr.len()), (0, 0));
    }
    for signal in [1, 2, 3, 6, 9, 11, 13, 15, 31, 34, 64] {
        let (output, _) = place.call(&mut place.shim(), vec![Reply::Signaled(signal)]);
        // Without the bit that says that a core was written.
        assert_eq!(output.status.into_raw(), signal as i32);
    }
}

#[test]
fn sends_what_it_was_given() {
    let place = Place::new();
    let arguments: [&[u8]; 5] = [b"", b"two\nlines", b"\xff\xfe", b"", "ü".as_bytes()];
    let mut command = place.shim();
    command
        .args(arguments.map(OsStr::from_bytes))
        .current_dir("/usr/share");
    command
        .env_clear()
        .env("ORACLE_TEST_DIR", place.directory.path());
    command
        .env("EMPTY", "")
        .env("RAW", OsStr::from_bytes(b"\x80=\n"));
    let (_, request) = place.call(&mut command, vec![Reply::Exited(0)]);
    assert_eq!(request.argv[0], place.path("prog").as_os_str().as_bytes());
    assert_eq!(request.argv[1..], arguments);
    assert_eq!(request.cwd, b"/usr/share");
    assert_eq!(request.env.len(), 3);
    assert!(request.env.contains(&b"EMPTY=".to_vec()));
    assert!(request.env.contains(&b"RAW=\x80=\n".to_vec()));
}

#[test]
fn sends_as_many_arguments_as_the_kernel_takes() {
    let place = Place::new();
    let long = OsString::from_vec(vec![b'x'; 128 * 1024 - 1]);
    let (output, request) = place.call(place.shim().args(vec![&long; 14]), vec![Reply::Exited(0)]);
    assert!(output.status.success());
    assert_eq!(request.argv.len(), 15);
    assert!(
        request.argv[1..]
            .iter()
            .all(|argument| argument == long.as_bytes())
    );

    let (_, request) = place.call(
        place.shim().args(vec!["abc"; 100_000]),
        vec![Reply::Exited(0)],
    );
    assert_eq!(request.argv.len(), 100_001);
    assert!(request.argv[1..].iter().all(|argument| argument == b"abc"));
}

#[test]
fn a_request_that_is_refused_halfway_ends_with_the_reason() {
    let place = Place::new();
    let listener = place.listener.try_clone().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 8]).unwrap();
        protocol::send(&stream, &Reply::Refused("too much".to_owned())).unwrap();
    });
    let argument = OsString::from_vec(vec![b'x'; 100_000]);
    let output = start(place.shim().args(vec![&argument; 15]))
        .wait_with_output()
        .unwrap();
    server.join().unwrap();
    assert_eq!(text(&output.stderr), "prog: too much\n");
    assert_eq!(output.status.code(), Some(126));
}

#[test]
fn passes_its_own_streams() {
    let place = Place::new();
    let server = place.serve(|(stream, _, [stdin, stdout, stderr])| {
        let mut input = String::new();
        File::from(stdin).read_to_string(&mut input).unwrap();
        File::from(stdout)
            .write_all(input.to_uppercase().as_bytes())
            .unwrap();
        File::from(stderr).write_all(b"a warning").unwrap();
        protocol::send(&stream, &Reply::Exited(3)).unwrap();
    });
    let mut child = start(place.shim().stdin(Stdio::piped()));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"some input")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    server.join().unwrap();
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        ("SOME INPUT", "a warning")
    );
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn closed_streams_become_empty_ones() {
    let place = Place::new();
    for (closed, stdout, stderr) in [
        ("<&-", "out", "err"),
        (">&-", "", "err"),
        ("2>&-", "out", ""),
        ("<&- >&- 2>&-", "", ""),
    ] {
        let server = place.serve(|(stream, _, descriptors)| {
            let [mut stdin, mut stdout, mut stderr] = descriptors.map(File::from);
            assert_eq!(stdin.read(&mut [0; 9]).unwrap(), 0);
            stdout.write_all(b"out").unwrap();
            stderr.write_all(b"err").unwrap();
            protocol::send(&stream, &Reply::Exited(7)).unwrap();
        });
        let output = start(&mut place.shell(&format!("exec \"$0\" {closed}")))
            .wait_with_output()
            .unwrap();
        server.join().unwrap();
        assert_eq!(
            (text(&output.stdout), text(&output.stderr)),
            (stdout, stderr),
            "{closed}"
        );
        assert_eq!(output.status.code(), Some(7), "{closed}");
    }
}

/// Signals that this process, and so the shim, ignores from the start, as under `nohup`: bit 0 is signal 1.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    u64::from_str_radix(mask.unwrap().trim(), 16).unwrap()
}

#[test]
fn passes_signals_on_and_ends_when_the_program_does() {
    let place = Place::new();
    let ignored = ignored();
    for signal in [
        Signal::HUP,
        Signal::INT,
        Signal::QUIT,
        Signal::TERM,
        Signal::USR1,
        Signal::USR2,
        Signal::ALARM,
        Signal::WINCH,
    ] {
        if ignored >> (signal.as_raw() - 1) & 1 != 0 {
            continue;
        }
        let (mut child, server) = place.call_for_signals(&mut place.shim(), 1);
        kill_process(pid(&child), signal).unwrap();
        assert_eq!(server.join().unwrap(), [Some(signal.as_raw())]);
        assert_eq!(child.wait().unwrap().code(), Some(9));
    }
}

#[test]
fn stops_and_goes_on_with_the_program() {
    let place = Place::new();
    let (mut child, server) = place.call_for_signals(&mut place.shim(), 2);
    kill_process(pid(&child), Signal::TSTP).unwrap();
    let stopped = waitid(WaitId::Pid(pid(&child)), WaitIdOptions::STOPPED)
        .unwrap()
        .unwrap();
    assert!(stopped.stopped());
    kill_process(pid(&child), Signal::CONT).unwrap();
    let signals = [Signal::STOP, Signal::CONT].map(|signal| Some(signal.as_raw()));
    assert_eq!(server.join().unwrap(), signals);
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

#[test]
fn what_is_ignored_from_the_start_stays_ignored() {
    let place = Place::new();
    let (mut child, server) =
        place.call_for_signals(&mut place.shell("trap '' HUP; exec \"$0\""), 1);
    kill_process(pid(&child), Signal::HUP).unwrap();
    kill_process(pid(&child), Signal::TERM).unwrap();
    assert_eq!(server.join().unwrap(), [Some(Signal::TERM.as_raw())]);
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

#[test]
fn a_killed_caller_is_seen_as_gone() {
    let place = Place::new();
    let (mut child, server) = place.call_for_signals(&mut place.shim(), 1);
    child.kill().unwrap();
    assert_eq!(server.join().unwrap(), [None]);
    child.wait().unwrap();
}

#[test]
fn a_server_that_dies_is_told_of() {
    let place = Place::new();
    let told = "prog: the oracle is gone; the program may have been cut short\n";
    for (replies, stdout) in [(vec![], ""), (vec![printed(1, b"part")], "part")] {
        let (output, _) = place.call(&mut place.shim(), replies);
        assert_eq!((text(&output.stdout), text(&output.stderr)), (stdout, told));
        assert_eq!(output.status.code(), Some(125));
    }
    // One that is gone before it has read anything.
    let listener = place.listener.try_clone().unwrap();
    let server = thread::spawn(move || drop(listener.accept().unwrap()));
    let output = start(&mut place.shim()).wait_with_output().unwrap();
    server.join().unwrap();
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(125), told)
    );
}

#[test]
fn no_server_is_told_of() {
    let place = Place::new();
    let (path, mut command) = (place.path("prog.sock"), place.shim());
    let Place {
        directory: _keep,
        listener,
    } = place;
    drop(listener);
    // Refused, then absent.
    for error in [111, 2] {
        let output = start(&mut command).wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(125));
        let expected = format!(
            "prog: no oracle answers at {} (error {error}); is the session over?\n",
            path.display()
        );
        assert_eq!(text(&output.stderr), expected);
        let _ = fs::remove_file(&path);
    }
}

#[test]
fn output_comes_in_order_and_whole() {
    let place = Place::new();
    let big = vec![b'z'; 3 << 20];
    let replies = vec![
        printed(1, b"first\n"),
        printed(2, b"warning\n"),
        printed(1, b""),
        printed(1, &big),
        Reply::Exited(1),
    ];
    let (output, _) = place.call(&mut place.shim(), replies);
    assert!(output.stdout == [b"first\n", &big[..]].concat());
    assert_eq!(text(&output.stderr), "warning\n");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn output_that_nobody_reads_does_not_hide_the_end() {
    let place = Place::new();
    let server = place.serve(|(stream, ..)| {
        protocol::send(&stream, &printed(1, &[0; 200_000])).unwrap();
        protocol::send(&stream, &Reply::Exited(4)).unwrap();
    });
    let mut child = start(&mut place.shim());
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(4));
    server.join().unwrap();
}

#[test]
fn signals_pass_while_output_waits_for_its_reader() {
    let place = Place::new();
    let server = place.serve(|(stream, ..)| {
        await_blocked_signals(&stream);
        // More than the pipe holds, less than pipe and socket together.
        protocol::send(&stream, &printed(1, &[0; 100_000])).unwrap();
        let peer = rustix::net::sockopt::socket_peercred(&stream).unwrap().pid;
        kill_process(peer, Signal::INT).unwrap();
        let got = protocol::receive_signal(ready(&stream)).unwrap();
        protocol::send(&stream, &Reply::Signaled(2)).unwrap();
        got
    });
    let child = start(&mut place.shim());
    assert_eq!(server.join().unwrap(), Some(Signal::INT.as_raw()));
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.signal(), output.stdout.len()),
        (Some(2), 100_000)
    );
}

#[test]
fn a_refusal_is_told() {
    let place = Place::new();
    let (output, _) = place.call(
        &mut place.shim(),
        vec![Reply::Refused("cannot run in /etc".to_owned())],
    );
    assert_eq!(output.status.code(), Some(126));
    assert_eq!(text(&output.stderr), "prog: cannot run in /etc\n");
}

#[test]
fn is_known_by_its_file_s_name_then_by_the_name_it_was_called_by() {
    let place = Place::new();
    let (link, copy) = (place.path("link"), place.path("copy"));
    symlink(place.path("prog"), &link).unwrap();
    fs::copy(place.path("prog"), &copy).unwrap();
    let mut renamed = place.command(&copy);
    renamed.arg0("/any/where/prog");
    for mut command in [place.command(&link), renamed] {
        let (output, _) = place.call(&mut command, vec![Reply::Exited(5)]);
        assert_eq!(output.status.code(), Some(5), "{command:?}");
    }
}

#[test]
fn a_directory_that_was_removed_is_sent_as_none() {
    let place = Place::new();
    let mut shell = place.shell("mkdir gone; cd gone; rmdir ../gone; exec \"$0\"");
    let (_, request) = place.call(shell.current_dir(place.path("")), vec![Reply::Exited(0)]);
    assert_eq!(request.cwd, b"");
}

#[test]
fn the_production_shim_reads_no_variable_and_is_small() {
    let holds = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    assert!(holds(TEST_SHIM, b"ORACLE_TEST_DIR"));
    assert!(!holds(oracle::SHIM, b"ORACLE_TEST_DIR"));
    assert!(holds(oracle::SHIM, b"/oracle"));
    assert!(
        oracle::SHIM.len() < 32 << 10,
        "{} bytes",
        oracle::SHIM.len()
    );
}

/// What a call costs: `cargo test --release -p oracle --test shim -- --ignored --nocapture cost`
#[test]
#[ignore = "a measurement"]
fn cost_of_a_call() {
    const CALLS: usize = 1000;
    let place = Place::new();
    let listener = place.listener.try_clone().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let _request = protocol::receive_request(&stream, LONG).unwrap();
            protocol::send(&stream, &Reply::Exited(0)).unwrap();
        }
    });
    let time = |program: &Path| {
        let start = Instant::now();
        for _ in 0..CALLS {
            let mut command = place.command(program);
            assert!(
                command
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()
                    .unwrap()
                    .success()
            );
        }
        start.elapsed().as_secs_f64() * 1e6 / CALLS as f64
    };
    for _ in 0..3 {
        let (bare, shim) = (time(Path::new("/bin/true")), time(&place.path("prog")));
        writeln!(
            std::io::stderr(),
            "/bin/true {bare:.0} us, shim {shim:.0} us"
        )
        .unwrap();
    }
}
