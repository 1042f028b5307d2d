//! One case, run once: the same for the reference when expected output is captured and for a submission
//! when it is scored, so that neither has circumstances that the other lacks.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox::{Collect, Command, Conditions, File, Scratch, Syscalls, Worker};

use crate::case::{Case, Inputs};
use crate::spec::{Limits, Spec};

/// Working directory of a case, fresh and empty but for the case's files.
pub const CASE_DIRECTORY: &str = "/case";
/// Scratch directory of a case, fresh and empty.
pub const SCRATCH_DIRECTORY: &str = "/tmp";
/// Where the built submission stands.
pub const SUBMISSION_DIRECTORY: &str = "/submission";

/// Most bytes that a case may write, in each of its two directories.
const CASE_BYTES: u64 = 64 << 20;
/// Most files that a case may make, in each of its two directories.
const CASE_INODES: u64 = 4096;
/// Open descriptors of a case.
const OPEN_FILES: u64 = 256;
/// Processes and threads of a case. Language runtimes start a handful.
const PROCESSES: u64 = 64;

/// What is run for every case of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Executable, inside the sandbox.
    pub executable: PathBuf,
    /// First argument, by which a program knows its name.
    pub name: String,
    /// Arguments before the case's own: an interpreter's script, for one.
    pub before: Vec<String>,
    /// Time that its interpreter or runtime needs to start, on top of a case's limits.
    pub allowance: Duration,
}

/// What a case did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// How it ended.
    pub ending: sandbox::Ending,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Declared files that exist, by path relative to the working directory.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What it used.
    pub usage: sandbox::Usage,
}

/// The sandbox in which cases of a target run on this root, before what the program needs is mounted.
pub fn case_sandbox(rootfs: &Path, limits: &Limits) -> sandbox::Spec {
    let scratch = |at: &str| Scratch {
        at: at.into(),
        bytes: CASE_BYTES,
        inodes: CASE_INODES,
        executable: false,
    };
    sandbox::Spec {
        rootfs: rootfs.to_owned(),
        mounts: Vec::new(),
        scratch: vec![scratch(CASE_DIRECTORY), scratch(SCRATCH_DIRECTORY)],
        hostname: crate::HOST_NAME.to_owned(),
        proc: true,
        terminals: false,
        syscalls: Syscalls::Program,
        execute: None,
        guard: None,
        memory: u64::from(limits.memory_mib) << 20,
        processes: PROCESSES,
    }
}

/// The command that a case is.
pub(crate) fn case_command(
    program: &Program,
    target: &Spec,
    inputs: &Inputs,
    conditions: Conditions,
) -> Command {
    let inside = |path: &str| Path::new(CASE_DIRECTORY).join(path);
    let mut argv: Vec<OsString> = vec![program.name.clone().into()];
    argv.extend(program.before.iter().map(Into::into));
    argv.extend(
        inputs
            .argv
            .iter()
            .map(|argument| OsString::from_vec(argument.0.clone())),
    );
    let mut env: BTreeMap<String, OsString> = target
        .environment
        .iter()
        .map(|(name, value)| (name.clone(), value.into()))
        .collect();
    env.extend(
        inputs
            .env
            .iter()
            .map(|(name, value)| (name.clone(), OsString::from_vec(value.0.clone()))),
    );
    let output = u64::from(target.limits.output_mib) << 20;
    Command {
        program: program.executable.clone(),
        argv,
        env: env
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect(),
        cwd: CASE_DIRECTORY.into(),
        files: inputs
            .files
            .iter()
            .map(|(path, content)| File {
                path: inside(path),
                bytes: content.0.clone(),
                executable: false,
            })
            .collect(),
        collect: inputs
            .outputs
            .iter()
            .map(|path| Collect {
                path: inside(path),
                bytes: output,
            })
            .collect(),
        limits: sandbox::Limits {
            wall: Duration::from_secs(target.limits.wall_seconds.into()) + program.allowance,
            cpu: Duration::from_secs(target.limits.cpu_seconds.into()) + program.allowance,
            output,
            file_size: CASE_BYTES,
            open_files: OPEN_FILES,
        },
        conditions,
        keep_background: false,
        terminal: false,
    }
}

/// Runs a case.
///
/// # Errors
/// Only the sandbox's own: whatever the program does is an observation.
pub fn observe(
    worker: &mut Worker,
    program: &Program,
    target: &Spec,
    case: &Case,
    conditions: Conditions,
) -> Result<Observed, sandbox::Error> {
    observe_inputs(worker, program, target, &case.inputs, conditions)
}

/// Runs a case that has no expected output yet.
///
/// # Errors
/// As [`observe`].
pub(crate) fn observe_inputs(
    worker: &mut Worker,
    program: &Program,
    target: &Spec,
    inputs: &Inputs,
    conditions: Conditions,
) -> Result<Observed, sandbox::Error> {
    let command = case_command(program, target, inputs, conditions);
    Ok(observe_command(worker, &command, &inputs.stdin.0)?.0)
}

/// Runs a case's command; with it come the breakpoints at which it stopped, where they are traced.
///
/// # Errors
/// As [`observe`].
pub(crate) fn observe_command(
    worker: &mut Worker,
    command: &Command,
    stdin: &[u8],
) -> Result<(Observed, Vec<sandbox::Executed>), sandbox::Error> {
    let captured = worker.run(command, stdin)?;
    let files = captured.outcome.files.into_iter().filter_map(|file| {
        let path = file
            .path
            .strip_prefix(CASE_DIRECTORY)
            .ok()?
            .to_str()?
            .to_owned();
        Some((path, file.bytes))
    });
    let observed = Observed {
        ending: captured.outcome.ending,
        stdout: captured.stdout,
        stderr: captured.stderr,
        files: files.collect(),
        usage: captured.outcome.usage,
    };
    Ok((observed, captured.outcome.executed))
}
