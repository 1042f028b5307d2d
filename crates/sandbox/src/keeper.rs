//! The keeper: builds the place, then starts, watches, ends and cleans up after one command at a time.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, Signal, pidfd_send_signal};
use rustix::thread::{CapabilitiesSecureBits, UnshareFlags};

use crate::launch::{self, Confinement, LaunchError, Stack};
use crate::scratch::{self, CollectError};
use crate::spec::{Command, Ending, File, Limit, Spec, Syscalls, Usage};
use crate::wire::{self, FromKeeper, ToKeeper};
use crate::{INNER_ID, confine, init, root, seccomp, sys};

/// Name under which this program is started again to become a keeper.
pub(crate) const KEEPER_NAME: &str = "mirrorcode-sandbox-keeper";

/// Becomes a keeper and never returns, when this program was started as one; otherwise does nothing.
///
/// A program that uses [`crate::Worker`] calls this first in `main`, before it starts a thread: the
/// keeper must be alone in its process to fork.
pub fn entry() {
    if std::env::args_os()
        .next()
        .is_some_and(|name| name == KEEPER_NAME)
    {
        // Whoever started the owner may have left descriptors open for its children; nothing that runs
        // here may have one of them.
        sys::close_from(3);
        let socket = UnixStream::from(sys::adopt(0));
        let status = match serve(&socket) {
            Ok(()) => 0,
            Err(broken) => {
                let code = broken.error.raw_os_error().unwrap_or(0);
                let message = FromKeeper::Broken {
                    step: broken.step.to_owned(),
                    error: broken.error.to_string(),
                    code,
                };
                let _ = wire::send(&socket, &message, &[], &[]);
                1
            }
        };
        sys::exit_now(status);
    }
}

/// Process number of the init in its namespace.
const INIT_ID: u32 = 1;

struct Broken {
    step: &'static str,
    error: io::Error,
}

trait Step<T> {
    fn step(self, step: &'static str) -> Result<T, Broken>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: &'static str) -> Result<T, Broken> {
        self.map_err(|error| Broken {
            step,
            error: error.into(),
        })
    }
}

fn expect<T>(received: Option<(T, Vec<OwnedFd>)>) -> io::Result<(T, Vec<OwnedFd>)> {
    received.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn serve(socket: &UnixStream) -> Result<(), Broken> {
    let (message, _) = wire::receive(socket).and_then(expect).step("receive")?;
    let ToKeeper::Build(spec) = message else {
        return Err(io::Error::other("expected a description of the sandbox")).step("receive");
    };
    // Opened while the host's process file system is in sight.
    let victim = std::fs::OpenOptions::new()
        .write(true)
        .open("/proc/self/oom_score_adj")
        .ok();
    let init = build(socket, &spec)?;
    wire::send(socket, &FromKeeper::Ready, &[], &[]).step("send")?;
    let common = Confinement {
        filter: seccomp::program(spec.syscalls).step("seccomp")?,
        execute: spec
            .execute
            .as_deref()
            .map(confine::execute_only)
            .transpose()
            .step("landlock")?,
        // The init and the keeper are of the same user.
        processes: spec.processes.saturating_add(2),
    };
    let mut keeper = Keeper {
        socket,
        spec: &spec,
        init,
        common,
        stack: Stack::new(),
        victim,
        rules: None,
    };
    loop {
        let Some((message, descriptors)) = wire::receive(socket).step("receive")? else {
            return Ok(());
        };
        match message {
            ToKeeper::Run { command, files } => {
                let files = wire::receive_files(socket, files).step("receive")?;
                keeper.run(&command, &files, descriptors)?;
            }
            // The command that was meant has ended by itself meanwhile.
            ToKeeper::End(_) | ToKeeper::Signal(_) => {}
            ToKeeper::Build(_) | ToKeeper::Mapped => {
                return Err(io::Error::other("message out of turn")).step("receive");
            }
        }
    }
}

/// Makes the namespaces and the root; returns the line to the init.
fn build(socket: &UnixStream, spec: &Spec) -> Result<UnixStream, Broken> {
    sys::die_with_parent().step("parent")?;
    rustix::thread::set_no_new_privs(true).step("no-new-privileges")?;
    let was_root = sys::effective_user() == 0;
    // The namespaces' owner must exist before them.
    unshare(UnshareFlags::NEWUSER).step("user namespace")?;
    unshare(
        UnshareFlags::NEWNS
            | UnshareFlags::NEWPID
            | UnshareFlags::NEWNET
            | UnshareFlags::NEWIPC
            | UnshareFlags::NEWUTS
            | UnshareFlags::NEWCGROUP,
    )
    .step("namespaces")?;
    wire::send(socket, &FromKeeper::Unshared, &[], &[]).step("send")?;
    match wire::receive(socket).and_then(expect).step("receive")? {
        (ToKeeper::Mapped, _) => {}
        _ => return Err(io::Error::other("expected user maps")).step("receive"),
    }
    rustix::system::sethostname(spec.hostname.as_bytes()).step("host name")?;
    let trees = root::open_trees(spec).step("mounts")?;
    if was_root {
        sys::drop_groups().step("groups")?;
        sys::become_user(INNER_ID).step("user")?;
    }
    // No program started from here on can gain a capability by being executed, whatever its file says.
    for capability in 0..64 {
        if remove_from_bounding_set(capability).is_err() {
            break;
        }
    }
    rustix::thread::set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    )
    .step("secure bits")?;
    let (mut mine, theirs) = UnixStream::pair().step("init")?;
    match sys::fork().step("init")? {
        sys::Fork::Child => {
            // The owner notices the keeper's end by this socket; a copy here would hide it.
            let _ = open_null().and_then(|null| Ok(rustix::stdio::dup2_stdin(&null)?));
            drop(mine);
            init::run(theirs, spec, trees)
        }
        sys::Fork::Parent => {}
    }
    drop(theirs);
    let mut answer = [0];
    mine.read_exact(&mut answer).step("root")?;
    if answer[0] == init::FAILED {
        let mut text = String::new();
        let _ = mine.read_to_string(&mut text);
        return Err(io::Error::other(text)).step("root");
    }
    std::env::set_current_dir("/").step("root")?;
    sys::make_undumpable().step("dumpable")?;
    Ok(mine)
}

fn open_null() -> io::Result<std::fs::File> {
    std::fs::File::open("/dev/null")
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    sys::unshare(flags.bits() as i32)
}

fn remove_from_bounding_set(capability: u32) -> io::Result<()> {
    sys::drop_bounding(capability)
}

struct Keeper<'a> {
    socket: &'a UnixStream,
    spec: &'a Spec,
    init: UnixStream,
    common: Confinement,
    stack: Stack,
    /// Says how ready the kernel is to end this process, and those it starts, when memory is used up.
    victim: Option<std::fs::File>,
    /// The guard's rules, where one command's serve the next.
    rules: Option<OwnedFd>,
}

/// Why the keeper ended a command itself.
enum Watch {
    Ended,
    Forced(Ending),
}

impl Keeper<'_> {
    fn run(
        &mut self,
        command: &Command,
        files: &[File],
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), Broken> {
        let Ok([stdin, stdout, stderr]) = <[OwnedFd; 3]>::try_from(descriptors) else {
            return Err(io::Error::other("expected three descriptors")).step("receive");
        };
        for scratch in &self.spec.scratch {
            scratch::mount(scratch).step("scratch")?;
        }
        let (ending, usage, collected) =
            match scratch::place(files, command.conditions.reverse_files) {
                Ok(()) => {
                    let stdio = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
                    let (ending, usage) = self.run_placed(command, stdio)?;
                    drop((stdin, stdout, stderr));
                    if !command.keep_background {
                        self.sweep(INIT_ID)?;
                    }
                    self.read_back(command, ending, usage)?
                }
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    (Ending::Limited(Limit::Disk), Usage::default(), Vec::new())
                }
                Err(error) => return Err(error).step("files"),
            };
        for scratch in &self.spec.scratch {
            scratch::unmount(scratch).step("scratch")?;
        }
        let answer = FromKeeper::Ended {
            ending,
            usage,
            files: wire::headers(&collected),
        };
        wire::send(self.socket, &answer, &collected, &[]).step("send")
    }

    fn run_placed(
        &mut self,
        command: &Command,
        stdio: [std::os::fd::BorrowedFd<'_>; 3],
    ) -> Result<(Ending, Usage), Broken> {
        if command.conditions.skip_process_ids > 0 {
            self.sweep(INIT_ID + command.conditions.skip_process_ids)?;
        }
        // Rules name directories as they are now: fresh scratch directories need fresh rules. Nobody who is
        // handed rules can add to them, since seccomp lists no such call for programs.
        if !self.spec.scratch.is_empty() || self.spec.syscalls != Syscalls::Program {
            self.rules = None;
        }
        if let (Some(guard), None) = (&self.spec.guard, &self.rules) {
            self.rules = Some(confine::read_and_write(&guard.read, &guard.write).step("guard")?);
        }
        let guard = match (&self.spec.guard, &self.rules) {
            (Some(guard), Some(rules)) => Some((rules.as_fd(), guard.descriptor)),
            _ => None,
        };
        let start = Instant::now();
        // A command that uses memory which counts for no process (files in memory, pipes) must not make the
        // kernel choose its keeper, which shares its control group and may be larger than it.
        self.offer_to_oom("1000");
        let launched = launch::launch(command, stdio, guard, &self.common, &mut self.stack);
        self.offer_to_oom("0");
        let started = match launched {
            Ok(started) => started,
            Err(LaunchError::Program(code)) => {
                return Ok((Ending::NotStarted(code), Usage::default()));
            }
            Err(LaunchError::Step(step, error)) => return Err(Broken { step, error }),
        };
        let watch = self.watch(&started, start + command.limits.wall)?;
        if let Watch::Forced(_) = watch {
            let _ = pidfd_send_signal(&started.handle, Signal::KILL);
            // Where what is left behind lives on, what was ended leaves nothing behind: neither its children nor
            // those that made process groups of their own.
            if command.keep_background {
                self.tell_init(init::Order::EndSession(started.session))?;
            }
        }
        let reaped = sys::wait_for(started.pid).step("wait")?;
        let usage = Usage {
            wall: start.elapsed(),
            cpu: duration(reaped.user) + duration(reaped.system),
            peak_memory: u64::try_from(reaped.peak_kib).unwrap_or(0) << 10,
        };
        let ending = match watch {
            Watch::Forced(ending) => ending,
            Watch::Ended if libc::WIFSIGNALED(reaped.status) => {
                let signal = libc::WTERMSIG(reaped.status);
                let spent = usage.cpu >= command.limits.cpu;
                match signal {
                    libc::SIGXCPU => Ending::Limited(Limit::CpuTime),
                    libc::SIGKILL if spent => Ending::Limited(Limit::CpuTime),
                    libc::SIGXFSZ => Ending::Limited(Limit::Disk),
                    signal => Ending::Signaled(signal),
                }
            }
            Watch::Ended => Ending::Exited(libc::WEXITSTATUS(reaped.status)),
        };
        Ok((ending, usage))
    }

    /// What is started from here on inherits the value.
    fn offer_to_oom(&self, value: &str) {
        if let Some(file) = &self.victim {
            let _ = file.write_all_at(value.as_bytes(), 0);
        }
    }

    /// Waits for the command's end, its deadline, or a word from the owner.
    fn watch(&self, started: &launch::Started, deadline: Instant) -> Result<Watch, Broken> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Watch::Forced(Ending::Limited(Limit::WallTime)));
            }
            let timeout = Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut polled = [
                PollFd::new(&started.handle, PollFlags::IN),
                PollFd::new(self.socket, PollFlags::IN),
            ];
            wire::retry(|| poll(&mut polled, Some(&timeout))).step("wait")?;
            let (ended, spoken) = (
                !polled[0].revents().is_empty(),
                !polled[1].revents().is_empty(),
            );
            if ended {
                return Ok(Watch::Ended);
            }
            if spoken {
                match wire::receive(self.socket).step("receive")? {
                    Some((ToKeeper::End(ending), _)) => return Ok(Watch::Forced(ending)),
                    Some((ToKeeper::Signal(signal), _)) => signal_group(started, signal),
                    Some(_) => return Err(io::Error::other("message out of turn")).step("receive"),
                    // The owner is gone; the init goes with this process and takes the command along.
                    None => return Ok(Watch::Forced(Ending::Stopped)),
                }
            }
        }
    }

    /// Ends what commands left, and lets process numbers go on behind `last`.
    fn sweep(&mut self, last: u32) -> Result<(), Broken> {
        self.tell_init(init::Order::Sweep(last))
    }

    fn tell_init(&mut self, order: init::Order) -> Result<(), Broken> {
        self.init.write_all(&order.encode()).step("sweep")?;
        let mut answer = [0];
        self.init.read_exact(&mut answer).step("sweep")
    }

    fn read_back(
        &self,
        command: &Command,
        ending: Ending,
        usage: Usage,
    ) -> Result<(Ending, Usage, Vec<File>), Broken> {
        let full = self.spec.scratch.iter().any(scratch::is_full);
        let ending = match ending {
            Ending::Exited(_) | Ending::Signaled(_) if full => Ending::Limited(Limit::Disk),
            ending => ending,
        };
        match scratch::collect(&command.collect) {
            Ok(files) => Ok((ending, usage, files)),
            Err(CollectError::TooMuch) => Ok((Ending::Limited(Limit::Disk), usage, Vec::new())),
            Err(CollectError::Io(error)) => Err(error).step("collect"),
        }
    }
}

fn signal_group(started: &launch::Started, signal: i32) {
    // The command called setsid: its group has its number. The handle proves that the number is still its.
    if rustix::process::pidfd_open(
        rustix::process::Pid::from_raw(started.pid).expect("a started process has a positive id"),
        PidfdFlags::empty(),
    )
    .is_ok()
    {
        sys::signal_group(started.pid, signal);
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec.unsigned_abs())
        + Duration::from_micros(time.tv_usec.unsigned_abs())
}
