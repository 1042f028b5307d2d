//! The owner's side of a worker: start it, run commands in it, read what they print.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::cgroup::{Events, Group};
use crate::keeper::KEEPER_NAME;
use crate::spec::{Command, Ending, Limit, Outcome, Spec};
use crate::wire::{self, Answer, Order, Plan};
use crate::{INNER_ID, OUTER_ID_WHEN_ROOT, sys};

/// Time that a keeper has, beyond a command's own limit, to clean up and answer.
const GRACE: Duration = Duration::from_secs(30);
/// How soon a raised flag is seen.
const LOOK: Duration = Duration::from_millis(100);
/// Read size for output pipes: what a pipe holds.
const CHUNK: usize = 64 << 10;

/// Why a sandbox did not do its work. None of these says anything about the command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel, or whoever configured it, lets this user make no namespaces.
    #[error(
        "this machine refuses user namespaces to this user ({step}: {error}); \
         `mirrorcode doctor` says what to change"
    )]
    NoNamespaces {
        /// What was tried.
        step: String,
        /// The system's answer.
        error: String,
    },
    /// The place could not be built.
    #[error("cannot build the sandbox: {step}: {error}")]
    Build {
        /// What was tried.
        step: String,
        /// The system's answer.
        error: String,
    },
    /// The place can no longer be promised to be clean.
    #[error("the sandbox broke: {step}: {error}")]
    Broken {
        /// What was tried.
        step: String,
        /// The system's answer.
        error: String,
    },
    /// The keeper ended or stopped answering.
    #[error("the sandbox's keeper is gone: {0}")]
    Lost(String),
    /// A call on the owner's side failed.
    #[error("sandbox: {what}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        error: io::Error,
    },
}

fn io_error(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |error| Error::Io { what, error }
}

static WORKER_PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Names the program that is started as a keeper; its `main` must call [`crate::entry`] first.
/// Without this call it is the running program itself. Only the first call counts.
pub fn set_worker_program(path: &Path) {
    let _ = WORKER_PROGRAM.set(path.to_owned());
}

/// Where the bytes of a command go.
pub struct Streams<'a> {
    /// Descriptor 0.
    pub stdin: BorrowedFd<'a>,
    /// Descriptor 1.
    pub stdout: BorrowedFd<'a>,
    /// Descriptor 2.
    pub stderr: BorrowedFd<'a>,
}

/// What a command left and printed.
#[derive(Clone, Debug)]
pub struct Captured {
    /// What it left.
    pub outcome: Outcome,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// A place in which commands run one after another. Dropping it ends everything inside.
pub struct Worker {
    keeper: Child,
    socket: UnixStream,
    group: Option<Group>,
    seen: Events,
    stop: Option<Arc<AtomicBool>>,
}

impl Worker {
    /// Builds the place that `spec` describes.
    ///
    /// # Errors
    /// [`Error::NoNamespaces`] when the machine does not allow it, [`Error::Build`] when a file that
    /// `spec` names is missing or a step fails.
    pub fn start(spec: &Spec) -> Result<Self, Error> {
        Self::build(spec, None).map(|(worker, _)| worker)
    }

    /// Builds the place with one way out: what connects to this port of its loopback is accepted on the listener.
    /// Nothing else on any network is there. Commands must be allowed [`crate::Syscalls::Tools`] to make such sockets.
    ///
    /// # Errors
    /// As [`Worker::start`].
    pub fn start_with_port(spec: &Spec, port: u16) -> Result<(Self, TcpListener), Error> {
        let (worker, listener) = Self::build(spec, Some(port))?;
        let listener =
            listener.ok_or_else(|| Error::Lost("it handed over no listener".to_owned()))?;
        Ok((worker, TcpListener::from(listener)))
    }

    fn build(spec: &Spec, port: Option<u16>) -> Result<(Self, Option<OwnedFd>), Error> {
        let (socket, theirs) = UnixStream::pair().map_err(io_error("socket pair"))?;
        let own;
        let program = match WORKER_PROGRAM.get() {
            Some(program) => program,
            None => {
                own = std::env::current_exe().map_err(io_error("own executable"))?;
                &own
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the keeper is what makes the sandbox"
        )]
        let keeper = std::process::Command::new(program)
            .arg0(KEEPER_NAME)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // Ctrl-C on the owner's terminal is for the owner to handle.
            .process_group(0)
            .spawn()
            .map_err(io_error("start of the keeper"))?;
        let group = Group::new(spec.memory, spec.processes)
            .and_then(|group| group.add(keeper.id()).map(|()| group))
            .ok();
        let worker = Worker {
            keeper,
            socket,
            group,
            seen: Events::default(),
            stop: None,
        };
        worker.send(&Plan::Build {
            spec: Box::new(spec.clone()),
            watch: worker.group.is_none(),
            port,
        })?;
        let handed = worker.expect_setup(|message| matches!(message, Answer::Unshared))?;
        worker.write_maps()?;
        worker.send(&Plan::Mapped)?;
        worker.expect_setup(|message| matches!(message, Answer::Ready))?;
        Ok((worker, handed.into_iter().next()))
    }

    fn send(&self, message: &impl serde::Serialize) -> Result<(), Error> {
        wire::send(&self.socket, message, &[], &[]).map_err(|error| Error::Lost(error.to_string()))
    }

    fn receive(&self) -> Result<(Answer, Vec<OwnedFd>), Error> {
        match wire::receive(&self.socket) {
            Ok(Some(received)) => Ok(received),
            Ok(None) => Err(Error::Lost("it ended".to_owned())),
            Err(error) => Err(Error::Lost(error.to_string())),
        }
    }

    fn expect_setup(&self, wanted: impl Fn(&Answer) -> bool) -> Result<Vec<OwnedFd>, Error> {
        let (message, handed) = self.receive()?;
        match message {
            message if wanted(&message) => Ok(handed),
            Answer::Broken { step, error, code }
                if step.contains("namespace")
                    && [libc::EPERM, libc::ENOSPC, libc::EINVAL, libc::ENOSYS].contains(&code) =>
            {
                // The kernel's words for a limit on namespaces are those for a full disk.
                let error = match code {
                    libc::ENOSPC => "the limit on their number is reached".to_owned(),
                    _ => error,
                };
                Err(Error::NoNamespaces { step, error })
            }
            Answer::Broken { step, error, .. } => Err(Error::Build { step, error }),
            _ => Err(Error::Lost("it spoke out of turn".to_owned())),
        }
    }

    /// Gives the namespace its one user and one group.
    fn write_maps(&self) -> Result<(), Error> {
        let pid = self.keeper.id();
        let (user, group) = match sys::effective_user() {
            0 => (OUTER_ID_WHEN_ROOT, OUTER_ID_WHEN_ROOT),
            user => (user, rustix::process::getegid().as_raw()),
        };
        let write = |file: &str, text: String| {
            std::fs::write(format!("/proc/{pid}/{file}"), text).map_err(|error| {
                Error::NoNamespaces {
                    step: format!("user namespace: {file}"),
                    error: error.to_string(),
                }
            })
        };
        if user != OUTER_ID_WHEN_ROOT {
            write("setgroups", "deny".to_owned())?;
        }
        write("uid_map", format!("{INNER_ID} {user} 1\n"))?;
        write("gid_map", format!("{INNER_ID} {group} 1\n"))
    }

    /// Whether memory and processes are held by a control group, and not by process limits alone.
    pub fn has_control_group(&self) -> bool {
        self.group.is_some()
    }

    /// From here on, [`Worker::run`] ends a command with [`Ending::Stopped`] once the flag is raised.
    pub fn stop_when(&mut self, flag: Arc<AtomicBool>) {
        self.stop = Some(flag);
    }

    fn is_stopped(&self) -> bool {
        let raised = |flag: &Arc<AtomicBool>| flag.load(Ordering::Relaxed);
        self.stop.as_ref().is_some_and(raised)
    }

    /// Starts a command on these descriptors.
    ///
    /// # Errors
    /// When the keeper is gone. A program that cannot be started is an [`Outcome`], not an error.
    pub fn begin(
        &mut self,
        command: &Command,
        streams: &Streams<'_>,
    ) -> Result<Running<'_>, Error> {
        let message = Order::Run {
            command: Box::new(command.clone()),
            files: wire::headers(&command.files),
        };
        let fds = [streams.stdin, streams.stdout, streams.stderr];
        wire::send(&self.socket, &message, &command.files, &fds)
            .map_err(|error| Error::Lost(error.to_string()))?;
        let deadline = Instant::now() + command.limits.wall + GRACE;
        Ok(Running {
            worker: self,
            deadline,
            forced: None,
        })
    }

    /// Runs a command to its end with `stdin` as input and returns what it printed.
    ///
    /// # Errors
    /// As [`Worker::begin`].
    pub fn run(&mut self, command: &Command, stdin: &[u8]) -> Result<Captured, Error> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let outcome = self.run_streaming(command, stdin, &mut |stream, bytes| match stream {
            1 => stdout.extend_from_slice(bytes),
            _ => stderr.extend_from_slice(bytes),
        })?;
        Ok(Captured {
            outcome,
            stdout,
            stderr,
        })
    }

    /// As [`Worker::run`], but hands each piece of output over as it comes, with its descriptor number.
    ///
    /// # Errors
    /// As [`Worker::begin`].
    pub fn run_streaming(
        &mut self,
        command: &Command,
        stdin: &[u8],
        sink: &mut dyn FnMut(u8, &[u8]),
    ) -> Result<Outcome, Error> {
        let pipe = |what| {
            pipe_with(PipeFlags::CLOEXEC).map_err(|e| Error::Io {
                what,
                error: e.into(),
            })
        };
        let (in_read, in_write) = pipe("pipe for standard input")?;
        let (out_read, out_write) = pipe("pipe for standard output")?;
        let (err_read, err_write) = pipe("pipe for standard error")?;
        let streams = Streams {
            stdin: in_read.as_fd(),
            stdout: out_write.as_fd(),
            stderr: err_write.as_fd(),
        };
        let mut running = self.begin(command, &streams)?;
        drop((in_read, out_write, err_write));
        let mut pump = Pump {
            input: Some(in_write),
            rest: stdin,
            outputs: [Some(out_read), Some(err_read)],
            left: command.limits.output,
            sink,
        };
        pump.start()?;
        loop {
            if pump.step(&mut running)? {
                let outcome = running.finish()?;
                pump.drain();
                return Ok(outcome);
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// A command under way. It ends with [`Running::finish`]; dropping it without that loses the worker.
pub struct Running<'a> {
    worker: &'a mut Worker,
    deadline: Instant,
    forced: Option<Ending>,
}

impl AsFd for Running<'_> {
    /// Readable when the command has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.worker.socket.as_fd()
    }
}

impl Running<'_> {
    /// Ends the command; its outcome will say `ending`.
    ///
    /// # Errors
    /// When the keeper is gone.
    pub fn end(&mut self, ending: Ending) -> Result<(), Error> {
        if self.forced.is_none() {
            self.forced = Some(ending);
            self.worker.send(&Order::End(ending))?;
        }
        Ok(())
    }

    /// Sends a signal to the command and the processes of its group.
    ///
    /// # Errors
    /// When the keeper is gone.
    pub fn signal(&mut self, signal: i32) -> Result<(), Error> {
        self.worker.send(&Order::Signal(signal))
    }

    /// Time until the keeper itself counts as hung.
    pub fn patience(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When the place broke or the keeper is gone.
    pub fn finish(self) -> Result<Outcome, Error> {
        loop {
            let timeout = timespec(self.patience());
            let mut polled = [PollFd::new(&self.worker.socket, PollFlags::IN)];
            match poll(&mut polled, Some(&timeout)) {
                Ok(0) => {
                    let _ = self.worker.keeper.kill();
                    return Err(Error::Lost("it stopped answering".to_owned()));
                }
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => {
                    return Err(Error::Io {
                        what: "poll",
                        error: error.into(),
                    });
                }
            }
        }
        match self.worker.receive()?.0 {
            Answer::Ended {
                ending,
                usage,
                files,
            } => {
                let files = wire::receive_files(&self.worker.socket, files)
                    .map_err(|error| Error::Lost(error.to_string()))?;
                let ending = self.worker.explain(ending);
                Ok(Outcome {
                    ending,
                    usage,
                    files,
                })
            }
            Answer::Broken { step, error, .. } => Err(Error::Broken { step, error }),
            _ => Err(Error::Lost("it spoke out of turn".to_owned())),
        }
    }
}

impl Worker {
    /// Names the limit behind an ending, where the control group knows it.
    fn explain(&mut self, ending: Ending) -> Ending {
        let Some(group) = &self.group else {
            return ending;
        };
        // Asking costs two file reads: only an ending that a limit can cause is worth it.
        let suspicious = match ending {
            Ending::Exited(status) => status != 0,
            Ending::Signaled(_) => true,
            _ => false,
        };
        if !suspicious {
            return ending;
        }
        let (now, before) = (group.events(), self.seen);
        self.seen = now;
        if now.out_of_memory > before.out_of_memory {
            Ending::Limited(Limit::Memory)
        } else if now.forks_refused > before.forks_refused {
            Ending::Limited(Limit::Processes)
        } else {
            ending
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// Feeds a command's input and reads its output, neither waiting for the other.
struct Pump<'a> {
    input: Option<OwnedFd>,
    rest: &'a [u8],
    outputs: [Option<OwnedFd>; 2],
    left: u64,
    sink: &'a mut dyn FnMut(u8, &[u8]),
}

impl Pump<'_> {
    fn start(&mut self) -> Result<(), Error> {
        for fd in self.input.iter().chain(self.outputs.iter().flatten()) {
            rustix::fs::fcntl_setfl(fd, rustix::fs::OFlags::NONBLOCK).map_err(|error| {
                Error::Io {
                    what: "pipe",
                    error: error.into(),
                }
            })?;
        }
        // Whatever fits into the pipe costs no turn of the loop.
        self.feed();
        Ok(())
    }

    fn feed(&mut self) {
        while let Some(input) = &self.input {
            if self.rest.is_empty() {
                self.input = None;
                return;
            }
            match rustix::io::write(input, self.rest) {
                Ok(written) => self.rest = &self.rest[written..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // The command does not want more.
                Err(_) => self.input = None,
            }
        }
    }

    /// Waits for something to do and does it; true when the command has ended.
    fn step(&mut self, running: &mut Running<'_>) -> Result<bool, Error> {
        let look = match running.worker.stop {
            Some(_) if running.forced.is_none() => LOOK,
            _ => Duration::MAX,
        };
        let timeout = timespec(running.patience().min(look));
        if running.worker.is_stopped() {
            running.end(Ending::Stopped)?;
        }
        let mut polled = vec![PollFd::new(&running.worker.socket, PollFlags::IN)];
        polled.extend(
            self.outputs
                .iter()
                .flatten()
                .map(|fd| PollFd::new(fd, PollFlags::IN)),
        );
        polled.extend(self.input.iter().map(|fd| PollFd::new(fd, PollFlags::OUT)));
        match poll(&mut polled, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => return Ok(running.patience().is_zero()),
            Ok(_) => {}
            Err(error) => {
                return Err(Error::Io {
                    what: "poll",
                    error: error.into(),
                });
            }
        }
        let ended = !polled[0].revents().is_empty();
        self.feed();
        if self.read() {
            running.end(Ending::Limited(Limit::Output))?;
        }
        Ok(ended)
    }

    /// Reads what there is; true when there was more than allowed.
    fn read(&mut self) -> bool {
        let mut buffer = [0; CHUNK];
        let mut overflow = false;
        for (index, slot) in self.outputs.iter_mut().enumerate() {
            while let Some(fd) = slot {
                match rustix::io::read(&*fd, &mut buffer) {
                    Ok(0) => *slot = None,
                    Ok(count) => {
                        let taken = self.left.min(count as u64) as usize;
                        self.left -= taken as u64;
                        (self.sink)(index as u8 + 1, &buffer[..taken]);
                        if taken < count {
                            overflow = true;
                            break;
                        }
                    }
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => break,
                    Err(_) => *slot = None,
                }
            }
        }
        overflow
    }

    /// Takes what was printed before the end and not yet read.
    fn drain(&mut self) {
        self.read();
    }
}
