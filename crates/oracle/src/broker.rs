//! The broker: runs the reference beside the agent's sandbox, on the agent's own descriptors.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sandbox::{
    Command, Conditions, Ending, Guard, Limit, Mount, Source, Spec, Streams, Syscalls, Worker,
};

use crate::GUARD_FD;
use crate::call::{Call, describe_files};
use crate::protocol::{self, Reply, Request};
use crate::relay::{Descriptors, Pump};

/// References that run at the same time; more callers wait.
const MOST_AT_ONCE: usize = 16;
/// Status that the shim leaves with when the reference was stopped at a limit, as `timeout` does.
const LIMIT_STATUS: u32 = 124;
/// Processes of a reference. Language runtimes start a handful.
const PROCESSES: u64 = 64;
/// Open descriptors of a reference.
const OPEN_FILES: u64 = 256;
/// Signals that ask a program for its state: QUIT, ILL, TRAP, ABRT, BUS, FPE, SEGV, XCPU, XFSZ and SYS, by
/// their numbers on x86-64. The reference dies of them at once and handles none.
const DUMPING: [i32; 10] = [3, 4, 5, 6, 7, 8, 11, 24, 25, 31];
/// How often the listener looks whether it should end.
const LISTEN_INTERVAL: Duration = Duration::from_millis(100);

/// A reference program, ready to be run and not to be read.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Root filesystem that holds it; its executable has mode 0111.
    pub rootfs: PathBuf,
    /// Executable in that root.
    pub program: PathBuf,
    /// Name by which it is called, and knows itself.
    pub name: String,
    /// Whether it loads libraries, and so the guard; `None` for a static program. Paths that stay readable.
    pub guarded: Option<Vec<PathBuf>>,
    /// What its sandbox must mount besides: the guard, for one.
    pub mounts: Vec<Mount>,
    /// Environment that it always has.
    pub environment: Vec<(String, String)>,
    /// Names of variables that a caller may set.
    pub settable: BTreeSet<String>,
    /// Wall time of a call.
    pub wall: Duration,
    /// Processor time of a call.
    pub cpu: Duration,
    /// Bytes that a call may print.
    pub output: u64,
    /// Memory of a call, in bytes.
    pub memory: u64,
}

/// A directory that agent and reference see at the same path.
#[derive(Clone, Debug)]
pub struct Shared {
    /// On the host.
    pub source: PathBuf,
    /// In both sandboxes.
    pub at: PathBuf,
    /// Whether the reference may write there.
    pub writable: bool,
}

/// Receives each call when it has ended, before the caller learns that it has.
pub type Record = Arc<dyn Fn(Call) + Send + Sync>;

/// A running broker. Dropping it ends every call.
pub struct Broker {
    stop: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

struct Office {
    reference: Reference,
    shared: Vec<Shared>,
    spec: Spec,
    record: Record,
    idle: Mutex<Desk>,
    free: Condvar,
    stop: Arc<AtomicBool>,
}

#[derive(Default)]
struct Desk {
    workers: Vec<Worker>,
    busy: usize,
}

/// The sandbox in which a reference runs, with these directories shared.
pub(crate) fn reference_sandbox(reference: &Reference, shared: &[Shared]) -> Spec {
    let paths = |writable: bool| -> Vec<PathBuf> {
        shared
            .iter()
            .filter(|dir| dir.writable == writable)
            .map(|dir| dir.at.clone())
            .collect()
    };
    let guard = reference.guarded.as_ref().map(|readable| Guard {
        descriptor: GUARD_FD,
        read: [paths(false), readable.clone(), vec![PathBuf::from("/dev")]].concat(),
        write: paths(true),
    });
    Spec {
        rootfs: reference.rootfs.clone(),
        mounts: reference
            .mounts
            .iter()
            .cloned()
            .chain(shared.iter().map(|dir| Mount {
                source: Source::Path(dir.source.clone()),
                at: dir.at.clone(),
                writable: dir.writable,
            }))
            .collect(),
        scratch: Vec::new(),
        hostname: "mirrorcode".to_owned(),
        proc: true,
        terminals: false,
        syscalls: Syscalls::Program,
        // The reference starts nothing: not even another copy of itself.
        execute: Some(executables(reference)),
        guard,
        memory: reference.memory,
        processes: PROCESSES,
    }
}

/// The only files that a reference's sandbox executes: the program, and the loader that the kernel
/// starts for a dynamic one.
fn executables(reference: &Reference) -> Vec<PathBuf> {
    let mut executables = vec![reference.program.clone()];
    if reference.guarded.is_some() {
        executables.push("/lib64/ld-linux-x86-64.so.2".into());
    }
    executables
}

impl Broker {
    /// Serves calls on a socket until it is dropped.
    ///
    /// # Errors
    /// When the first worker cannot be built: a machine or image problem that callers cannot mend.
    pub fn start(
        listener: UnixListener,
        reference: Reference,
        shared: Vec<Shared>,
        record: Record,
    ) -> Result<Self, sandbox::Error> {
        let spec = reference_sandbox(&reference, &shared);
        let first = Worker::start(&spec)?;
        let stop = Arc::new(AtomicBool::new(false));
        let office = Arc::new(Office {
            reference,
            shared,
            spec,
            record,
            idle: Mutex::new(Desk {
                workers: vec![first],
                busy: 0,
            }),
            free: Condvar::new(),
            stop: Arc::clone(&stop),
        });
        let thread = std::thread::spawn(move || {
            crate::listen(&listener, &office.stop.clone(), LISTEN_INTERVAL, |stream| {
                let office = Arc::clone(&office);
                std::thread::spawn(move || office.serve(&stream));
            });
        });
        Ok(Broker {
            stop,
            listener: Some(thread),
        })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.listener.take() {
            let _ = thread.join();
        }
    }
}

impl Office {
    fn serve(&self, stream: &UnixStream) {
        let (request, descriptors) = match protocol::receive_request(stream, protocol::REQUEST_TIME)
        {
            Ok(received) => received,
            Err(error) => {
                let _ = protocol::send(stream, &Reply::Refused(format!("oracle: {error}")));
                return;
            }
        };
        let reply = match self.call(stream, &request, descriptors) {
            Ok(reply) => reply,
            Err(Trouble::Refused(text)) => Reply::Refused(format!("oracle: {text}")),
            Err(Trouble::Sandbox(error)) => Reply::Refused(format!("oracle: {error}")),
            Err(Trouble::Io(error)) => Reply::Refused(format!("oracle: {error}")),
        };
        let _ = protocol::send(stream, &reply);
    }

    fn call(
        &self,
        stream: &UnixStream,
        request: &Request,
        descriptors: [OwnedFd; 3],
    ) -> Result<Reply, Trouble> {
        let start = Instant::now();
        let directory = Path::new(OsStr::from_bytes(&request.cwd));
        if directory
            .components()
            .any(|part| part == Component::ParentDir)
            || !self.shared.iter().any(|dir| directory.starts_with(&dir.at))
        {
            let shared: Vec<_> = self
                .shared
                .iter()
                .map(|dir| dir.at.display().to_string())
                .collect();
            return Err(Trouble::Refused(format!(
                "cannot run in {}: only {} exist there; change into one of them",
                directory.display(),
                shared.join(", ")
            )));
        }
        let argv: Vec<Vec<u8>> = request.argv.iter().skip(1).cloned().collect();
        let files = describe_files(&argv, directory, &self.shared);
        let command = self.command(request, directory);
        let (mut descriptors, mut pump) =
            Descriptors::new(descriptors, self.reference.output).map_err(Trouble::Io)?;
        let mut worker = self.take_worker()?;
        let outcome = {
            let [stdin, stdout, stderr] = descriptors.for_reference();
            worker.begin(
                &command,
                &Streams {
                    stdin,
                    stdout,
                    stderr,
                },
            )
        };
        let outcome = outcome.and_then(|running| {
            descriptors.hand_over();
            self.watch(stream, running, &mut pump)
        });
        match outcome {
            Ok(outcome) => {
                // First: a caller that never reads must not keep a place from the others.
                self.return_worker(Some(worker));
                self.flush(stream, &mut pump);
                let record = Call {
                    argv,
                    directory: request.cwd.clone(),
                    descriptors: descriptors.describe(&pump),
                    files,
                    ending: outcome.ending,
                    wall: start.elapsed(),
                    cpu: outcome.usage.cpu,
                };
                (self.record)(record);
                Ok(self.reply(stream, outcome.ending))
            }
            Err(error) => {
                self.return_worker(None);
                Err(Trouble::Sandbox(error))
            }
        }
    }

    /// The agent's words, in the reference's place. Variables that no case uses stay outside: those that
    /// make a loader or a runtime talk are among them.
    fn command(&self, request: &Request, directory: &Path) -> Command {
        let reference = &self.reference;
        let mut env: std::collections::BTreeMap<OsString, OsString> = reference
            .environment
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        for entry in &request.env {
            let mut parts = entry.splitn(2, |&byte| byte == b'=');
            if let (Some(name), Some(value)) = (parts.next(), parts.next())
                && std::str::from_utf8(name).is_ok_and(|name| reference.settable.contains(name))
            {
                env.insert(
                    OsString::from_vec(name.to_vec()),
                    OsString::from_vec(value.to_vec()),
                );
            }
        }
        let argv = std::iter::once(OsString::from(&reference.name)).chain(
            request
                .argv
                .iter()
                .skip(1)
                .map(|argument| OsString::from_vec(argument.clone())),
        );
        Command {
            program: reference.program.clone(),
            argv: argv.collect(),
            env: env.into_iter().collect(),
            cwd: directory.to_owned(),
            files: Vec::new(),
            collect: Vec::new(),
            limits: sandbox::Limits {
                wall: reference.wall,
                cpu: reference.cpu,
                // What passes through the relay is counted there.
                output: u64::MAX,
                file_size: reference.output,
                open_files: OPEN_FILES,
            },
            conditions: Conditions::default(),
            keep_background: false,
            terminal: false,
        }
    }

    fn watch(
        &self,
        stream: &UnixStream,
        mut running: sandbox::Running<'_>,
        pump: &mut Pump,
    ) -> Result<sandbox::Outcome, sandbox::Error> {
        let mut caller_is_there = true;
        loop {
            let mut polled = vec![
                PollFd::new(&running, PollFlags::IN),
                PollFd::new(
                    stream,
                    if caller_is_there {
                        PollFlags::IN
                    } else {
                        PollFlags::empty()
                    },
                ),
            ];
            polled.extend(pump.interests());
            let timeout = Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            };
            let ready = poll(&mut polled, Some(&timeout));
            let (ended, spoken) = match ready {
                Ok(_) => (
                    !polled[0].revents().is_empty(),
                    !polled[1].revents().is_empty(),
                ),
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => (true, false),
            };
            drop(polled);
            if pump.step() {
                running.end(Ending::Limited(Limit::Output))?;
            }
            if ended || running.patience().is_zero() {
                break;
            }
            if self.stop.load(Ordering::Relaxed) {
                running.end(Ending::Stopped)?;
            }
            if spoken && caller_is_there {
                match protocol::receive_signal(stream) {
                    // A runtime that handles these tells of itself: Go prints its functions and lines.
                    Ok(Some(signal)) if DUMPING.contains(&signal) => {
                        running.end(Ending::Signaled(signal))?;
                    }
                    Ok(Some(signal)) => running.signal(signal)?,
                    // A caller that is gone takes the reference along.
                    Ok(None) | Err(_) => {
                        caller_is_there = false;
                        running.end(Ending::Stopped)?;
                    }
                }
            }
        }
        running.finish()
    }

    /// Brings the rest of the output to a caller that may be slow, as long as the caller is there.
    fn flush(&self, stream: &UnixStream, pump: &mut Pump) {
        while !pump.step() && !pump.is_done() && !self.stop.load(Ordering::Relaxed) {
            let mut polled = vec![PollFd::new(stream, PollFlags::HUP)];
            polled.extend(pump.interests());
            let timeout = Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            };
            let _ = poll(&mut polled, Some(&timeout));
            if polled[0].revents().contains(PollFlags::HUP) {
                return;
            }
        }
    }

    fn reply(&self, stream: &UnixStream, ending: Ending) -> Reply {
        let stopped = |text: &str| {
            let message = format!("{}: oracle: {text}\n", self.reference.name);
            let _ = protocol::send(
                stream,
                &Reply::Output {
                    stream: 2,
                    bytes: message.into_bytes(),
                },
            );
            Reply::Exited(LIMIT_STATUS)
        };
        match ending {
            Ending::Exited(status) => Reply::Exited(status as u32),
            Ending::Signaled(signal) => Reply::Signaled(signal as u32),
            Ending::Limited(limit) => {
                stopped(&format!("stopped at the limit on {}", limit_name(limit)))
            }
            Ending::Stopped => stopped("stopped"),
            Ending::NotStarted(code) => Reply::Refused(format!(
                "oracle: cannot start here: {}",
                io::Error::from_raw_os_error(code)
            )),
        }
    }

    fn take_worker(&self) -> Result<Worker, Trouble> {
        let mut desk = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(worker) = desk.workers.pop() {
                desk.busy += 1;
                return Ok(worker);
            }
            if desk.busy < MOST_AT_ONCE {
                desk.busy += 1;
                drop(desk);
                return Worker::start(&self.spec).map_err(|error| {
                    self.return_worker(None);
                    Trouble::Sandbox(error)
                });
            }
            desk = self.free.wait(desk).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes a worker back, or learns that it is lost.
    fn return_worker(&self, worker: Option<Worker>) {
        let mut desk = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        desk.busy -= 1;
        desk.workers.extend(worker);
        self.free.notify_one();
    }
}

enum Trouble {
    Refused(String),
    Sandbox(sandbox::Error),
    Io(io::Error),
}

fn limit_name(limit: Limit) -> &'static str {
    match limit {
        Limit::WallTime => "wall time",
        Limit::CpuTime => "processor time",
        Limit::Memory => "memory",
        Limit::Processes => "processes",
        Limit::Output => "output",
        Limit::Disk => "file size",
    }
}
