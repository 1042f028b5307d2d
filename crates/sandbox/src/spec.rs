//! What a sandbox is made of, what runs in it, and what comes back.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A place to run commands in. Every field is a decision, so there is no default.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// Root filesystem, always mounted read-only.
    pub rootfs: PathBuf,
    /// More of the host's files, in the order given.
    pub mounts: Vec<Mount>,
    /// Directories in memory that are empty at the start of each command.
    pub scratch: Vec<Scratch>,
    /// Host name that commands see.
    pub hostname: String,
    /// Whether a process file system for this sandbox stands at `/proc`.
    pub proc: bool,
    /// Whether new pseudo-terminals can be opened under `/dev/pts`.
    pub terminals: bool,
    /// Which system calls exist.
    pub syscalls: Syscalls,
    /// The only files and directories from which programs may be executed, held by Landlock; `None`
    /// allows whatever the mounts allow.
    pub execute: Option<Vec<PathBuf>>,
    /// Rules handed to the command as a descriptor, to be put in force by a library that it loads.
    pub guard: Option<Guard>,
    /// Memory of all processes together, in bytes; held by a control group where one can be had.
    pub memory: u64,
    /// Processes and threads at the same time.
    pub processes: u64,
}

/// Files of the host inside the sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub source: Source,
    /// Absolute path inside.
    pub at: PathBuf,
    /// Whether commands may write there.
    pub writable: bool,
}

/// Where a mount comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Source {
    /// A file or directory of the host.
    Path(PathBuf),
    /// A file that is made of these bytes, with this mode.
    Bytes {
        /// Content.
        bytes: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
}

/// A directory in memory, fresh for each command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scratch {
    /// Absolute path inside.
    pub at: PathBuf,
    /// Most bytes that it holds.
    pub bytes: u64,
    /// Most files and directories that it holds.
    pub inodes: u64,
    /// Whether programs may be executed from it.
    pub executable: bool,
}

/// How much of the kernel a command may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Syscalls {
    /// What a finished program needs to read, compute and write.
    Program,
    /// The same, and what compilers, debuggers and shells need.
    Tools,
}

/// Landlock rules that take effect inside the program, after its libraries are mapped: it may read and
/// write only what is named here, and execute nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Guard {
    /// Number of the descriptor on which the program finds the rules.
    pub descriptor: i32,
    /// Files and directories that may be read.
    pub read: Vec<PathBuf>,
    /// Files and directories that may be read and written.
    pub write: Vec<PathBuf>,
}

/// One program to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Command {
    /// Absolute path inside the sandbox.
    pub program: PathBuf,
    /// Arguments, the program's own name first.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Working directory.
    pub cwd: PathBuf,
    /// Files to be put in place before the start.
    #[serde(skip)]
    pub files: Vec<File>,
    /// What to bring back after the end.
    pub collect: Vec<Collect>,
    /// Limits for this command.
    pub limits: Limits,
    /// Circumstances to vary when a program's determinism is examined.
    pub conditions: Conditions,
    /// Whether processes that the command leaves behind live on.
    pub keep_background: bool,
    /// Whether descriptor 0 becomes the controlling terminal.
    pub terminal: bool,
}

/// A file with content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Absolute path inside the sandbox; parent directories are made.
    pub path: PathBuf,
    /// Content.
    pub bytes: Vec<u8>,
    /// Whether it may be executed.
    pub executable: bool,
}

/// Files to bring back: a file, or everything below a directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Collect {
    /// Absolute path inside the sandbox.
    pub path: PathBuf,
    /// Most bytes in all; more is the outcome [`Limit::Disk`].
    pub bytes: u64,
}

/// Limits of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Time from start to end.
    pub wall: Duration,
    /// Processor time of a process.
    pub cpu: Duration,
    /// Bytes on standard output and standard error together.
    pub output: u64,
    /// Bytes in one file.
    pub file_size: u64,
    /// Open descriptors of a process.
    pub open_files: u64,
}

/// Circumstances that must not change what a deterministic program prints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// Run on the first of the caller's processors alone.
    pub one_processor: bool,
    /// Turn address randomisation off.
    pub fixed_addresses: bool,
    /// How many process ids to skip before the start.
    pub skip_process_ids: u32,
    /// Create the files in reverse order, which also reverses how directories are read.
    pub reverse_files: bool,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
    /// By a limit.
    Limited(Limit),
    /// It could not be started; the number is the system's error code.
    NotStarted(i32),
    /// The caller asked for its end.
    Stopped,
}

/// A limit that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// [`Limits::wall`].
    WallTime,
    /// [`Limits::cpu`].
    CpuTime,
    /// [`Spec::memory`].
    Memory,
    /// [`Spec::processes`].
    Processes,
    /// [`Limits::output`].
    Output,
    /// [`Limits::file_size`], a full scratch directory, or more to collect than allowed.
    Disk,
}

/// Programs and libraries whose breakpoints are watched while commands run. Only for programs that are trusted not to
/// look for a tracer: what is found is what they execute while somebody looks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trace {
    /// The files.
    pub objects: Vec<Traced>,
}

/// A file in which instructions were replaced by breakpoints (the byte `0xCC`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Traced {
    /// Absolute path inside the sandbox, without links: the file that is executed or loaded.
    pub at: PathBuf,
    /// Absolute path inside the sandbox of the same file without breakpoints, readable.
    pub original: PathBuf,
}

/// A breakpoint that a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Executed {
    /// Which of [`Trace::objects`].
    pub object: u32,
    /// Where in its file, in bytes.
    pub offset: u64,
}

/// What a command used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Time from start to end.
    pub wall: Duration,
    /// Processor time of the command and of the children it waited for.
    pub cpu: Duration,
    /// Largest resident set of one process, in bytes.
    pub peak_memory: u64,
}

/// What a command left.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// What it used.
    pub usage: Usage,
    /// Collected regular files, sorted by path. Links and special files are not followed and not here.
    pub files: Vec<File>,
    /// The breakpoints that it came to, sorted; empty where nothing is traced.
    pub executed: Vec<Executed>,
}
