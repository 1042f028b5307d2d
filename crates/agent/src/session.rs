//! An agent's sandbox with everything in it: workspace, docs, visible cases, oracle, `evaluate`, `submit`.
//!
//! Architecture invariant: a session is given no hidden case and no way to name one.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use oracle::{Broker, Call, Reference, Shared};
use sandbox::{
    Collect, Command, Conditions, Limits, Mount, Source, Spec, Syscalls, TemporaryDirectory, Worker,
};

use crate::control::{self, Control, Evaluator};
use crate::event::{Bytes, Ending, Event, Reason, RecordError};
use crate::jobs;
use crate::ledger::Ledger;

/// Where the work is.
pub const WORKSPACE: &str = "/workspace";
/// Scratch, seen by the reference too.
const SCRATCH: &str = "/tmp";
/// Docs and visible cases.
pub const TASK: &str = "/task";
/// Another agent's program.
pub const PROGRAM: &str = "/agent";
/// Home directory: not in the workspace, so that no tool's cache becomes part of a submission.
pub(crate) const HOME: &str = "/tmp/home";
/// Where the shell keeps exported variables and its directory between commands.
const STATE: &str = "/tmp/.shell";
/// First on an agent's PATH.
const ORACLE_BIN: &str = "/oracle/bin";
/// Open descriptors of a tool.
const OPEN_FILES: u64 = 4096;
/// How often the workspace of a command on a terminal is recorded.
const SNAPSHOT: Duration = Duration::from_secs(60);
/// Processor time of what has no limit of its own.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Processes and threads of all tools together.
const PROCESSES: u64 = 512;

/// Runs one script and leaves its directory and exported variables to the next.
const WRAPPER: &str = r#"
__script=$1 __directory=$2
set --
[ -r /tmp/.shell/state ] && . /tmp/.shell/state
cd -- "$__directory" || cd /workspace || exit
trap '__status=$?; { export -p >/tmp/.shell/state; printf %s "$PWD" >/tmp/.shell/directory; } 2>/dev/null; exit $__status' EXIT
unset __directory
eval "$__script"
"#;

/// What a session is made of.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The agent's root filesystem.
    pub rootfs: PathBuf,
    /// README, docs and visible cases, on the host.
    pub task: PathBuf,
    /// The workspace, on the host.
    pub workspace: PathBuf,
    /// Scratch, on the host.
    pub scratch: PathBuf,
    /// Environment pinned by the target.
    pub environment: Vec<(String, String)>,
    /// The program to be rebuilt.
    pub reference: Reference,
    /// Time that one command may take.
    pub command_wall: Duration,
    /// Bytes that one command may print.
    pub command_output: u64,
    /// Memory of everything that runs at the same time, in bytes.
    pub memory: u64,
    /// Port of the sandbox's loopback that the caller listens on; without one, there is no network at all.
    pub port: Option<u16>,
    /// Another agent's program, on the host; it stands in [`PROGRAM`].
    pub program: Option<PathBuf>,
}

/// Why a session could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sandbox failed.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// What happens can no longer be recorded.
    #[error("{}", chain(.0))]
    Record(#[from] RecordError),
    /// A file of the run.
    #[error("{path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
}

fn chain(error: &RecordError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|error| Error::Io {
        path: path.to_owned(),
        error,
    })
}

/// What is to be run, and how.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What the shell is given.
    pub script: &'a [u8],
    /// Tool call that asks for it.
    pub tool: Option<&'a str>,
    /// Time that it may take instead of the session's limit.
    pub wall: Option<Duration>,
    /// Whether standard error goes where standard output goes.
    pub merged: bool,
    /// Whether it is started as a job, which goes on while other commands run.
    pub background: bool,
}

impl<'a> Request<'a> {
    /// A script with nothing special about it.
    pub fn plain(script: &'a [u8]) -> Self {
        Request {
            script,
            tool: None,
            wall: None,
            merged: false,
            background: false,
        }
    }
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOutcome {
    /// Its number in the run.
    pub number: u64,
    /// How it ended.
    pub ending: Ending,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Working directory after it.
    pub directory: PathBuf,
    /// Jobs in the background that have ended since the last command, with their status.
    pub finished: Vec<(u64, String)>,
    /// Why the workspace could not be recorded after it, when a tool call asked for it.
    pub unrecorded: Option<String>,
    /// Time that it took.
    pub elapsed: Duration,
}

/// An agent's sandbox at work. Dropping it ends everything inside.
pub struct Session {
    setting: Setting,
    worker: Worker,
    listener: Option<TcpListener>,
    ledger: Ledger,
    directory: PathBuf,
    number: u64,
    /// Jobs in the background that are not known to have ended.
    jobs: BTreeSet<u64>,
    /// Whether the command under way is a model's.
    of_a_tool: bool,
    _broker: Broker,
    _control: Control,
    _sockets: TemporaryDirectory,
}

impl Session {
    /// Builds the sandbox and starts the oracle. `number` is how many commands the run already has and
    /// `directory` where the last one ended.
    ///
    /// # Errors
    /// When a sandbox cannot be built or a directory of the run cannot be prepared.
    pub fn open(
        setting: Setting,
        ledger: Ledger,
        evaluator: Arc<dyn Evaluator>,
        number: u64,
        directory: PathBuf,
    ) -> Result<Self, Error> {
        for dir in [&setting.workspace, &setting.scratch] {
            at(
                dir,
                fs::create_dir_all(dir).and_then(|()| sandbox::give_to_inside(dir)),
            )?;
        }
        for below in ["home", ".shell"] {
            let dir = setting.scratch.join(below);
            if fs::symlink_metadata(&dir).is_err() {
                at(
                    &dir,
                    fs::create_dir(&dir).and_then(|()| sandbox::give_to_inside(&dir)),
                )?;
            }
        }
        let sockets = at(&std::env::temp_dir(), TemporaryDirectory::new("sockets"))?;
        let opened = at(sockets.path(), fs::File::open(sockets.path()))?;
        let listen = |name: &str| -> Result<(PathBuf, UnixListener), Error> {
            let path = sockets.path().join(name);
            // A socket's path has 107 bytes (unix(7)), and a directory for temporary files may well have a longer one.
            let short = format!("/proc/self/fd/{}/{name}", opened.as_raw_fd());
            let listener = at(&path, UnixListener::bind(short))?;
            // Whoever sees the socket may call; only this sandbox's mounts show it.
            at(
                &path,
                fs::set_permissions(&path, fs::Permissions::from_mode(0o666)),
            )?;
            Ok((path, listener))
        };
        let name = setting.reference.name.clone();
        let (oracle_path, oracle_socket) = listen(&name)?;
        let mut mounts = vec![
            Mount {
                source: Source::Path(setting.workspace.clone()),
                at: WORKSPACE.into(),
                writable: true,
            },
            Mount {
                source: Source::Path(setting.scratch.clone()),
                at: SCRATCH.into(),
                writable: true,
            },
            Mount {
                source: Source::Path(setting.task.clone()),
                at: TASK.into(),
                writable: false,
            },
        ];
        mounts.extend(setting.program.clone().map(|program| Mount {
            source: Source::Path(program),
            at: PROGRAM.into(),
            writable: false,
        }));
        let mut offer = |name: &str, socket: PathBuf| {
            mounts.push(Mount {
                source: Source::Bytes {
                    bytes: oracle::SHIM.to_vec(),
                    mode: 0o555,
                },
                at: Path::new(ORACLE_BIN).join(name),
                writable: false,
            });
            mounts.push(Mount {
                source: Source::Path(socket),
                at: PathBuf::from(format!("/oracle/{name}.sock")),
                writable: false,
            });
        };
        offer(&name, oracle_path);
        let mut controls = Vec::new();
        for word in control::WORDS {
            let (path, listener) = listen(word)?;
            offer(word, path);
            controls.push((word, listener));
        }
        let spec = Spec {
            rootfs: setting.rootfs.clone(),
            mounts,
            scratch: Vec::new(),
            hostname: "mirrorcode".to_owned(),
            proc: true,
            terminals: true,
            syscalls: Syscalls::Tools,
            execute: None,
            guard: None,
            memory: setting.memory,
            processes: PROCESSES,
        };
        let (worker, listener) = match setting.port {
            None => (Worker::start(&spec)?, None),
            Some(port) => {
                let (worker, listener) = Worker::start_with_port(&spec, port)?;
                (worker, Some(listener))
            }
        };
        let shared = vec![
            Shared {
                source: setting.workspace.clone(),
                at: WORKSPACE.into(),
                writable: true,
            },
            Shared {
                source: setting.scratch.clone(),
                at: SCRATCH.into(),
                writable: true,
            },
            Shared {
                source: setting.task.clone(),
                at: TASK.into(),
                writable: false,
            },
        ];
        let calls = ledger.clone();
        let record = Arc::new(move |call: Call| {
            let mut book = calls.open();
            let event = control::oracle_event(book.command, call);
            book.calls.push(event);
        });
        let broker = Broker::start(oracle_socket, setting.reference.clone(), shared, record)?;
        let control = Control::start(
            controls,
            ledger.clone(),
            evaluator,
            setting.workspace.clone(),
        );
        Ok(Session {
            setting,
            worker,
            listener,
            ledger,
            directory,
            number,
            jobs: BTreeSet::new(),
            of_a_tool: false,
            _broker: broker,
            _control: control,
            _sockets: sockets,
        })
    }

    /// The run's record.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What is behind [`Setting::port`]. It can be had once.
    pub(crate) fn listener(&mut self) -> Option<TcpListener> {
        self.listener.take()
    }

    /// The workspace on the host.
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// Whether the work has been submitted.
    pub fn is_submitted(&self) -> bool {
        self.ledger.is_submitted()
    }

    /// Where the next command starts.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// From here on, a command that has no terminal is ended when the flag is raised.
    pub fn stop_when(&mut self, flag: Arc<std::sync::atomic::AtomicBool>) {
        self.worker.stop_when(flag);
    }

    /// Runs a script with `stdin` as its input; `live` sees output as it comes.
    ///
    /// # Errors
    /// When the sandbox fails or the command cannot be recorded; then it has not started, or its result
    /// is unknown and the journal says so.
    pub fn command(
        &mut self,
        script: &[u8],
        stdin: &[u8],
        live: &mut dyn FnMut(u8, &[u8]),
    ) -> Result<CommandOutcome, Error> {
        let outcome = self.run(&Request::plain(script), stdin, live)?;
        self.ledger.flush()?;
        Ok(outcome)
    }

    /// Runs a script as a request says. Its result is noted, and durable with what is recorded next.
    ///
    /// # Errors
    /// As [`Session::command`].
    pub fn run(
        &mut self,
        request: &Request<'_>,
        stdin: &[u8],
        live: &mut dyn FnMut(u8, &[u8]),
    ) -> Result<CommandOutcome, Error> {
        self.begin(request, false)?;
        let start = std::time::Instant::now();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let command = self.shell(request, false);
        let outcome = self
            .worker
            .run_streaming(&command, stdin, &mut |stream, bytes| {
                live(stream, bytes);
                if stream == 1 {
                    &mut stdout
                } else {
                    &mut stderr
                }
                .extend_from_slice(bytes);
            })?;
        self.end(outcome, stdout, stderr, false, start.elapsed())
    }

    /// Runs a script on the caller's own terminal, for as long as `wall` and the session's limit allow. What is shown
    /// goes to the recording too. The workspace of a command that takes long is recorded now and then.
    ///
    /// # Errors
    /// As [`Session::command`].
    pub fn command_on_terminal(
        &mut self,
        script: &[u8],
        wall: Option<Duration>,
        terminal: &mut crate::terminal::Terminal,
    ) -> Result<CommandOutcome, Error> {
        let limit = self.setting.command_wall;
        let request = Request {
            wall: wall.map(|wall| wall.min(limit)),
            ..Request::plain(script)
        };
        self.begin(&request, true)?;
        let start = std::time::Instant::now();
        let command = self.shell(&request, true);
        let (ledger, workspace) = (self.ledger.clone(), self.setting.workspace.clone());
        let mut recorded = start;
        let (outcome, printed, typed) = terminal.run(&mut self.worker, &command, &mut || {
            if recorded.elapsed() > SNAPSHOT {
                ledger.note_calls()?;
                match ledger.snapshot(&workspace, ledger.command()) {
                    // Files may be half-written or too many for a moment; the end counts.
                    Err(RecordError::Workspace(_)) | Ok(()) => {}
                    Err(error) => return Err(error.into()),
                }
                ledger.flush()?;
                recorded = std::time::Instant::now();
            }
            Ok(())
        })?;
        let outcome = self.end(outcome, printed, Vec::new(), typed, start.elapsed())?;
        self.ledger.flush()?;
        Ok(outcome)
    }

    /// Takes the next number, for something that is not a command.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.number = self.number.saturating_add(1);
        self.number
    }

    fn begin(&mut self, request: &Request<'_>, terminal: bool) -> Result<(), Error> {
        let number = self.next_number();
        let mut book = self.ledger.open();
        book.recorder.record(Event::Command {
            number,
            script: Bytes(request.script.to_vec()),
            directory: Bytes(self.directory.as_os_str().as_bytes().to_vec()),
            terminal,
            tool: request.tool.map(str::to_owned),
            background: request.background,
            limit_milliseconds: request.wall.map(|wall| wall.as_millis() as u64),
        })?;
        book.command = Some(number);
        drop(book);
        self.of_a_tool = request.tool.is_some();
        Ok(())
    }

    fn end(
        &mut self,
        outcome: sandbox::Outcome,
        stdout: Vec<u8>,
        stderr: Vec<u8>,
        interactive: bool,
        elapsed: Duration,
    ) -> Result<CommandOutcome, Error> {
        let mut finished = Vec::new();
        for file in outcome.files {
            if file.path == Path::new(STATE).join("directory") {
                // The agent writes this file as it likes: what is no path, or is none any more, is as if it had not
                // been written, and never keeps the next command from starting.
                self.directory = if file.bytes.starts_with(b"/") && !file.bytes.contains(&0) {
                    PathBuf::from(OsString::from_vec(file.bytes))
                } else {
                    PathBuf::from(WORKSPACE)
                };
            } else if let Some(job) = jobs::number(&file.path).filter(|job| self.jobs.remove(job)) {
                finished.push((job, String::from_utf8_lossy(&file.bytes).trim().to_owned()));
            }
        }
        let ending = control::ending(outcome.ending);
        let mut book = self.ledger.open();
        book.command = None;
        for call in std::mem::take(&mut book.calls) {
            book.recorder.note(call)?;
        }
        let (out, err) = (
            book.recorder.content(&stdout)?,
            book.recorder.content(&stderr)?,
        );
        book.recorder.note(Event::Result {
            number: self.number,
            ending,
            stdout: out,
            stderr: err,
            directory: Bytes(self.directory.as_os_str().as_bytes().to_vec()),
            interactive,
            milliseconds: elapsed.as_millis() as u64,
        })?;
        drop(book);
        let unrecorded = match self.ledger.snapshot(&self.setting.workspace, self.number) {
            // A model can be told, and can change it.
            Err(error @ RecordError::Workspace(_)) if self.of_a_tool => Some(chain(&error)),
            kept => kept.map(|()| None)?,
        };
        Ok(CommandOutcome {
            number: self.number,
            ending,
            stdout,
            stderr,
            directory: self.directory.clone(),
            finished,
            unrecorded,
            elapsed,
        })
    }

    /// Records the workspace as it is before the first command, if the record does not have it yet.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub fn record_workspace(&mut self) -> Result<(), Error> {
        self.ledger.snapshot(&self.setting.workspace, self.number)?;
        Ok(self.ledger.flush()?)
    }

    /// The workspace as last recorded.
    pub fn tree(&self) -> Option<crate::event::TreeHash> {
        self.ledger.tree()
    }

    /// Ends the session.
    ///
    /// # Errors
    /// When the end cannot be recorded.
    pub fn close(self, reason: Reason) -> Result<(), Error> {
        Ok(self.ledger.record(Event::End { reason })?)
    }

    fn shell(&mut self, request: &Request<'_>, terminal: bool) -> Command {
        let mut env: BTreeMap<OsString, OsString> = self
            .setting
            .environment
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let path = format!("{ORACLE_BIN}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        env.extend(
            [
                ("PATH", path.as_str()),
                ("HOME", HOME),
                ("USER", "agent"),
                ("SHELL", "/bin/bash"),
            ]
            .map(|(name, value)| (name.into(), value.into())),
        );
        if terminal && let Some(kind) = std::env::var_os("TERM") {
            env.insert("TERM".into(), kind);
        }
        let mut collect = vec![Collect {
            path: format!("{STATE}/directory").into(),
            bytes: 4096,
        }];
        collect.extend(self.jobs.iter().map(|job| Collect {
            path: jobs::status(*job),
            bytes: 64,
        }));
        let wrapper = if request.background {
            self.jobs.insert(self.number);
            jobs::WRAPPER.to_owned()
        } else if request.merged {
            format!("exec 2>&1\n{WRAPPER}")
        } else {
            WRAPPER.to_owned()
        };
        let wall = request.wall.unwrap_or(self.setting.command_wall);
        Command {
            program: "/bin/bash".into(),
            argv: vec![
                "bash".into(),
                "--norc".into(),
                "-c".into(),
                wrapper.into(),
                "bash".into(),
                OsString::from_vec(request.script.to_vec()),
                self.directory.clone().into(),
                self.number.to_string().into(),
            ],
            env: env.into_iter().collect(),
            cwd: "/".into(),
            files: Vec::new(),
            collect,
            limits: Limits {
                wall,
                // Jobs in the background inherit it, and have no end of their own.
                cpu: if request.background {
                    FOREVER
                } else {
                    self.setting.command_wall.max(wall)
                },
                output: self.setting.command_output,
                file_size: 4 << 30,
                open_files: OPEN_FILES,
            },
            conditions: Conditions::default(),
            keep_background: true,
            terminal,
        }
    }
}
