//! The runner: starts, watches, ends and cleans up after one command at a time.
//!
//! It gives up every right that a command must not have before it starts the first one: commands inherit
//! its filter and its rules, and nothing has to be put in force for each.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{PidfdFlags, Signal, pidfd_send_signal};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::init::{INIT_ID, Task};
use crate::keeper::{Broken, Step};
use crate::launch::{self, LaunchError, Stack};
use crate::scratch::{self, CollectError};
use crate::spec::{Command, Ending, Executed, File, Limit, Spec, Syscalls, Trace, Usage};
use crate::trace::Tracer;
use crate::watchdog::{self, Watchdog};
use crate::wire::{self, Answer, Done, Order};
use crate::{OWN_PROCESSES, confine, seccomp, sys};

/// Becomes a runner once the init has built the root; ends when owner or keeper do. `host` is the host's process file
/// system.
pub(crate) fn run(
    owner: &UnixStream,
    keeper: UnixStream,
    init: UnixStream,
    host: OwnedFd,
    spec: &Spec,
    trace: Option<&Trace>,
) -> ! {
    let status = match Runner::prepare(owner, keeper, init, host, spec, trace) {
        // The keeper failed, and has told why.
        Ok(None) => 1,
        Ok(Some(mut runner)) => match runner.serve() {
            Ok(()) => 0,
            Err(broken) => {
                broken.tell(owner);
                1
            }
        },
        Err(broken) => {
            broken.tell(owner);
            1
        }
    };
    sys::exit_now(status)
}

/// Longest that a process number is waited for.
const NUMBER_WAIT: Duration = Duration::from_secs(5);

struct Runner<'a> {
    owner: &'a UnixStream,
    keeper: UnixStream,
    init: UnixStream,
    spec: &'a Spec,
    stack: Stack,
    /// Says how ready the kernel is to end this process, and those it starts, when memory is used up.
    victim: std::fs::File,
    /// The guard's rules. Nobody who is handed them can add to them: seccomp lists no such call for programs.
    rules: Option<OwnedFd>,
    /// Whether the keeper was asked for fresh directories and rules and has not answered yet.
    renewing: bool,
    /// The process number of the next command, unless what the last one left lives on.
    number: Option<u32>,
    /// Where no control group holds memory and processes.
    watchdog: Option<Watchdog>,
    /// Where breakpoints are watched.
    tracer: Option<Tracer>,
    /// The breakpoints that the last command came to.
    executed: Vec<Executed>,
}

/// Why the runner ended a command itself.
enum Watch {
    Ended,
    Forced(Ending),
}

impl<'a> Runner<'a> {
    /// Waits for the place, gives up all rights, and has the first fresh directories made. `None` when the
    /// keeper is gone.
    fn prepare(
        owner: &'a UnixStream,
        keeper: UnixStream,
        init: UnixStream,
        host: OwnedFd,
        spec: &'a Spec,
        trace: Option<&Trace>,
    ) -> Result<Option<Self>, Broken> {
        sys::die_with_parent().step("parent")?;
        // This process's files there are its own only while it is dumpable, which it is not after a change of user. There
        // is no command yet.
        sys::make_dumpable().step("dumpable")?;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let victim = rustix::fs::openat(&host, "self/oom_score_adj", flags, Mode::empty())
            .map(std::fs::File::from)
            .step("readiness to be ended")?;
        drop(host);
        let Ok(Some(namespace)) = Done::receive(&keeper) else {
            return Ok(None);
        };
        let processes = Done::receive(&init).step("root")?;
        std::env::set_current_dir("/").step("root")?;
        sys::bear_children_in(&namespace).step("process namespace")?;
        set_capabilities(
            None,
            CapabilitySets {
                effective: CapabilitySet::empty(),
                permitted: CapabilitySet::empty(),
                inheritable: CapabilitySet::empty(),
            },
        )
        .step("capabilities")?;
        sys::make_undumpable().step("dumpable")?;
        if let Some(paths) = &spec.execute {
            let rules = confine::execute_only(paths).step("landlock")?;
            sys::restrict(rules).step("landlock")?;
        }
        let tracer = trace.map(Tracer::new).transpose().step("trace")?;
        let filter = seccomp::program(spec.syscalls).step("seccomp")?;
        seccompiler::apply_filter(&filter)
            .map_err(io::Error::other)
            .step("seccomp")?;
        let mut runner = Runner {
            owner,
            keeper,
            init,
            spec,
            stack: Stack::new(),
            victim,
            rules: None,
            renewing: false,
            number: Some(INIT_ID + 1),
            watchdog: processes
                .map(|processes| Watchdog::new(&processes, spec))
                .transpose()
                .step("watchdog")?,
            tracer,
            executed: Vec::new(),
        };
        runner.ask_to_renew()?;
        runner.wait_for_renewal()?;
        wire::send(owner, &Answer::Ready, &[], &[]).step("send")?;
        Ok(Some(runner))
    }

    fn serve(&mut self) -> Result<(), Broken> {
        loop {
            let Some((order, descriptors)) = wire::receive(self.owner).step("receive")? else {
                return Ok(());
            };
            match order {
                Order::Run { command, files } => {
                    let files = wire::receive_files(self.owner, files).step("receive")?;
                    self.run(&command, &files, descriptors)?;
                }
                // The command that was meant has ended by itself meanwhile.
                Order::End(_) | Order::Signal(_) => {}
            }
        }
    }

    /// Lets the keeper make the place for the next command, which nobody has to wait for until it comes.
    fn ask_to_renew(&mut self) -> Result<(), Broken> {
        self.renewing = true;
        self.keeper.write_all(&[0]).step("scratch")
    }

    fn wait_for_renewal(&mut self) -> Result<(), Broken> {
        if self.renewing {
            self.rules = Done::receive(&self.keeper).step("scratch")?;
            self.renewing = false;
        }
        Ok(())
    }

    /// Whether what one command leaves behind must not be there for the next. Rules name directories as they
    /// are now: fresh directories need fresh rules, and tools could add to the old ones.
    fn is_used_up(&self) -> bool {
        let adds = self.spec.guard.is_some() && self.spec.syscalls != Syscalls::Program;
        !self.spec.scratch.is_empty() || adds
    }

    fn run(
        &mut self,
        command: &Command,
        files: &[File],
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), Broken> {
        let Ok(stdio) = <[OwnedFd; 3]>::try_from(descriptors) else {
            return Err(io::Error::other("expected three descriptors")).step("receive");
        };
        self.wait_for_renewal()?;
        let (ending, usage, collected) =
            match scratch::place(files, command.conditions.reverse_files) {
                Ok(()) => {
                    let (ending, usage) = self.run_placed(command, stdio)?;
                    match command.keep_background {
                        true => self.number = None,
                        false => self.sweep(INIT_ID)?,
                    }
                    self.read_back(command, ending, usage)?
                }
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    (Ending::Limited(Limit::Disk), Usage::default(), Vec::new())
                }
                Err(error) => return Err(error).step("files"),
            };
        let answer = Answer::Ended {
            ending,
            usage,
            executed: std::mem::take(&mut self.executed),
            files: wire::headers(&collected),
        };
        wire::send(self.owner, &answer, &collected, &[]).step("send")?;
        // Last, since the keeper may take this processor at once.
        if self.is_used_up() {
            self.ask_to_renew()?;
        }
        Ok(())
    }

    fn run_placed(
        &mut self,
        command: &Command,
        stdio: [OwnedFd; 3],
    ) -> Result<(Ending, Usage), Broken> {
        if command.conditions.skip_process_ids > 0 {
            self.sweep(INIT_ID + command.conditions.skip_process_ids)?;
        }
        // A control group must refuse first, since it alone counts how often it did.
        let grouped = u64::from(self.watchdog.is_none());
        let processes = self.spec.processes.saturating_add(OWN_PROCESSES + grouped);
        let start = Instant::now();
        // A command that uses memory which counts for no process (files in memory, pipes) must not make the
        // kernel choose its runner, which shares its control group and may be larger than it.
        self.offer_to_oom("1000")?;
        let fds = [stdio[0].as_fd(), stdio[1].as_fd(), stdio[2].as_fd()];
        let launched = loop {
            let guard = match (&self.spec.guard, &self.rules) {
                (Some(guard), Some(rules)) => Some((rules.as_fd(), guard.descriptor)),
                _ => None,
            };
            let launched = launch::launch(
                command,
                fds,
                guard,
                processes,
                self.tracer.is_some(),
                self.number,
                &mut self.stack,
            );
            match (launched, self.number) {
                // The kernel gives back the number of a process after the last that can be waited for, and a command
                // could tell from its own how many there had been.
                (Err(LaunchError::Number), Some(number)) if start.elapsed() < NUMBER_WAIT => {
                    self.sweep(number - 1)?;
                    std::thread::yield_now();
                }
                (launched, _) => break launched,
            }
        };
        self.offer_to_oom("0")?;
        drop(stdio);
        let started = match launched {
            Ok(started) => started,
            Err(LaunchError::Program(code)) => {
                return Ok((Ending::NotStarted(code), Usage::default()));
            }
            Err(LaunchError::Number) => {
                return Err(io::Error::from(io::ErrorKind::TimedOut)).step("process number");
            }
            Err(LaunchError::Step(step, error)) => return Err(Broken { step, error }),
        };
        if let Some(tracer) = &self.tracer {
            let (reaped, executed) = tracer.follow(&started).step("trace")?;
            self.executed = executed;
            let usage = usage(start, &reaped);
            let ending = ended(command, reaped.status, usage.cpu);
            return Ok((ending, usage));
        }
        let watch = self.watch(&started, start + command.limits.wall)?;
        let crowded = match &mut self.watchdog {
            Some(watchdog) => watchdog.is_crowded().step("watchdog")?,
            None => false,
        };
        if let Watch::Forced(_) = watch {
            let _ = pidfd_send_signal(&started.handle, Signal::KILL);
            // Where what is left behind lives on, what was ended leaves nothing behind: neither its children nor
            // those that made process groups of their own.
            if command.keep_background {
                self.tell_init(Task::EndSession(started.session))?;
            }
        }
        let reaped = sys::wait_for(started.pid).step("wait")?;
        let usage = usage(start, &reaped);
        let ending = match watch {
            Watch::Forced(ending) => ending,
            Watch::Ended if crowded && reaped.status != 0 => Ending::Limited(Limit::Processes),
            Watch::Ended => ended(command, reaped.status, usage.cpu),
        };
        Ok((ending, usage))
    }

    /// What is started from here on inherits the value.
    fn offer_to_oom(&self, value: &str) -> Result<(), Broken> {
        self.victim
            .write_all_at(value.as_bytes(), 0)
            .step("readiness to be ended")
    }

    /// Waits for the command's end, its deadline, or a word from the owner.
    fn watch(&mut self, started: &launch::Started, deadline: Instant) -> Result<Watch, Broken> {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.begin();
        }
        loop {
            let mut left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Watch::Forced(Ending::Limited(Limit::WallTime)));
            }
            if let Some(watchdog) = &mut self.watchdog {
                left = left.min(watchdog::INTERVAL);
                if let Some(limit) = watchdog.look().step("watchdog")? {
                    return Ok(Watch::Forced(Ending::Limited(limit)));
                }
            }
            let timeout = Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut polled = [
                PollFd::new(&started.handle, PollFlags::IN),
                PollFd::new(self.owner, PollFlags::IN),
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
                match wire::receive(self.owner).step("receive")? {
                    Some((Order::End(ending), _)) => return Ok(Watch::Forced(ending)),
                    Some((Order::Signal(signal), _)) => signal_group(started, signal),
                    Some(_) => return Err(io::Error::other("message out of turn")).step("receive"),
                    // The owner is gone; the init goes with this process and takes the command along.
                    None => return Ok(Watch::Forced(Ending::Stopped)),
                }
            }
        }
    }

    /// Ends what commands left, and lets process numbers go on behind `last`.
    fn sweep(&mut self, last: u32) -> Result<(), Broken> {
        self.number = Some(last + 1);
        self.tell_init(Task::Sweep(last))
    }

    fn tell_init(&mut self, task: Task) -> Result<(), Broken> {
        self.init.write_all(&task.encode()).step("sweep")?;
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

fn usage(start: Instant, reaped: &sys::Reaped) -> Usage {
    Usage {
        wall: start.elapsed(),
        cpu: duration(reaped.user) + duration(reaped.system),
        peak_memory: u64::try_from(reaped.peak_kib).unwrap_or(0) << 10,
    }
}

/// How a command ended that nobody else did.
fn ended(command: &Command, status: i32, cpu: Duration) -> Ending {
    if !libc::WIFSIGNALED(status) {
        return Ending::Exited(libc::WEXITSTATUS(status));
    }
    let spent = cpu >= command.limits.cpu;
    match libc::WTERMSIG(status) {
        libc::SIGXCPU => Ending::Limited(Limit::CpuTime),
        libc::SIGKILL if spent => Ending::Limited(Limit::CpuTime),
        libc::SIGXFSZ => Ending::Limited(Limit::Disk),
        signal => Ending::Signaled(signal),
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
