//! An agent's sandbox with everything in it: workspace, docs, visible cases, oracle, `evaluate`, `submit`.
//!
//! Architecture invariant: a session is given no hidden case and no way to name one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oracle::{Broker, Call, Reference, Shared};
use sandbox::{Collect, Command, Conditions, Limits, Mount, Source, Spec, Syscalls, Worker};

use crate::control::{self, Control, Evaluator};
use crate::event::{Bytes, Ending, Event, Reason, RecordError, Recorder};

/// Where the work is.
pub const WORKSPACE: &str = "/workspace";
/// Scratch, seen by the reference too.
const SCRATCH: &str = "/tmp";
/// Docs and visible cases.
pub const TASK: &str = "/task";
/// Home directory: not in the workspace, so that no tool's cache becomes part of a submission.
const HOME: &str = "/tmp/home";
/// Where the shell keeps exported variables and its directory between commands.
const STATE: &str = "/tmp/.shell";
/// First on an agent's PATH.
const ORACLE_BIN: &str = "/oracle/bin";
/// Open descriptors of a tool.
const OPEN_FILES: u64 = 4096;
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

/// What sessions, broker and controls write to.
pub(crate) struct Book {
    pub(crate) recorder: Box<dyn Recorder + Send>,
    pub(crate) command: Option<u64>,
    /// Calls of the reference, recorded with the result of the command that made them: they change
    /// nothing outside the sandbox, so nothing waits for each of them to be durable.
    pub(crate) calls: Vec<Event>,
    pub(crate) submitted: bool,
}

pub(crate) fn open_book(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOutcome {
    /// How it ended.
    pub ending: Ending,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Working directory after it.
    pub directory: PathBuf,
}

/// An agent's sandbox at work. Dropping it ends everything inside.
pub struct Session {
    setting: Setting,
    worker: Worker,
    book: Arc<Mutex<Book>>,
    directory: PathBuf,
    number: u64,
    _broker: Broker,
    _control: Control,
    _sockets: tempfile::TempDir,
}

impl Session {
    /// Builds the sandbox and starts the oracle. `number` is how many commands the run already has and
    /// `directory` where the last one ended.
    ///
    /// # Errors
    /// When a sandbox cannot be built or a directory of the run cannot be prepared.
    pub fn open(
        setting: Setting,
        recorder: Box<dyn Recorder + Send>,
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
        let sockets = at(
            &std::env::temp_dir(),
            tempfile::Builder::new().prefix("mirrorcode-").tempdir(),
        )?;
        let book = Arc::new(Mutex::new(Book {
            recorder,
            command: None,
            calls: Vec::new(),
            submitted: false,
        }));
        let listen = |name: &str| -> Result<(PathBuf, UnixListener), Error> {
            let path = sockets.path().join(name);
            let listener = at(&path, UnixListener::bind(&path))?;
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
        let worker = Worker::start(&Spec {
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
        })?;
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
        let calls = Arc::clone(&book);
        let record = Arc::new(move |call: Call| {
            let mut book = open_book(&calls);
            let event = control::oracle_event(book.command, call);
            book.calls.push(event);
        });
        let broker = Broker::start(oracle_socket, setting.reference.clone(), shared, record)?;
        let control = Control::start(
            controls,
            Arc::clone(&book),
            evaluator,
            setting.workspace.clone(),
        );
        Ok(Session {
            setting,
            worker,
            book,
            directory,
            number,
            _broker: broker,
            _control: control,
            _sockets: sockets,
        })
    }

    /// Whether the work has been submitted.
    pub fn is_submitted(&self) -> bool {
        open_book(&self.book).submitted
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
        self.begin(script, false)?;
        let start = std::time::Instant::now();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let command = self.shell(script, false);
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

    /// Runs a script on the caller's own terminal.
    ///
    /// # Errors
    /// As [`Session::command`].
    pub fn command_on_terminal(
        &mut self,
        script: &[u8],
        terminal: &mut crate::terminal::Terminal,
    ) -> Result<CommandOutcome, Error> {
        self.begin(script, true)?;
        let start = std::time::Instant::now();
        let command = self.shell(script, true);
        let (outcome, printed, typed) = terminal.run(&mut self.worker, &command)?;
        self.end(outcome, printed, Vec::new(), typed, start.elapsed())
    }

    fn begin(&mut self, script: &[u8], terminal: bool) -> Result<(), Error> {
        self.number += 1;
        let mut book = open_book(&self.book);
        book.recorder.record(Event::Command {
            number: self.number,
            script: Bytes(script.to_vec()),
            directory: Bytes(self.directory.as_os_str().as_bytes().to_vec()),
            terminal,
        })?;
        book.command = Some(self.number);
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
        // The agent writes this file as it likes: what is no path, or is none any more, is as if it had not been
        // written, and never keeps the next command from starting.
        self.directory = match outcome.files.into_iter().next() {
            Some(file) if file.bytes.starts_with(b"/") && !file.bytes.contains(&0) => {
                PathBuf::from(OsString::from_vec(file.bytes))
            }
            Some(_) => PathBuf::from(WORKSPACE),
            None => std::mem::take(&mut self.directory),
        };
        let ending = control::ending(outcome.ending);
        let mut book = open_book(&self.book);
        book.command = None;
        for call in std::mem::take(&mut book.calls) {
            book.recorder.record(call)?;
        }
        let (out, err) = (
            book.recorder.content(&stdout)?,
            book.recorder.content(&stderr)?,
        );
        book.recorder.record(Event::Result {
            number: self.number,
            ending,
            stdout: out,
            stderr: err,
            directory: Bytes(self.directory.as_os_str().as_bytes().to_vec()),
            interactive,
            milliseconds: elapsed.as_millis() as u64,
        })?;
        if let Some(tree) = book.recorder.snapshot(&self.setting.workspace)? {
            book.recorder.record(Event::Workspace {
                number: self.number,
                tree,
            })?;
        }
        Ok(CommandOutcome {
            ending,
            stdout,
            stderr,
            directory: self.directory.clone(),
        })
    }

    /// Records the workspace as it is before the first command, if the record does not have it yet.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub fn record_workspace(&mut self) -> Result<(), Error> {
        let mut book = open_book(&self.book);
        if let Some(tree) = book.recorder.snapshot(&self.setting.workspace)? {
            book.recorder.record(Event::Workspace {
                number: self.number,
                tree,
            })?;
        }
        Ok(())
    }

    /// The workspace as last recorded.
    pub fn tree(&self) -> Option<crate::event::TreeHash> {
        open_book(&self.book).recorder.tree()
    }

    /// Ends the session.
    ///
    /// # Errors
    /// When the end cannot be recorded.
    pub fn close(self, reason: Reason) -> Result<(), Error> {
        open_book(&self.book)
            .recorder
            .record(Event::End { reason })?;
        Ok(())
    }

    fn shell(&self, script: &[u8], terminal: bool) -> Command {
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
        Command {
            program: "/bin/bash".into(),
            argv: vec![
                "bash".into(),
                "--norc".into(),
                "-c".into(),
                WRAPPER.into(),
                "bash".into(),
                OsString::from_vec(script.to_vec()),
                self.directory.clone().into(),
            ],
            env: env.into_iter().collect(),
            cwd: "/".into(),
            files: Vec::new(),
            collect: vec![Collect {
                path: format!("{STATE}/directory").into(),
                bytes: 4096,
            }],
            limits: Limits {
                wall: self.setting.command_wall,
                cpu: self.setting.command_wall,
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
