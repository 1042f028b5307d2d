//! The two sandboxes of scoring: one builds, with a toolchain; one runs cases, with a runtime and nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sandbox::{
    Collect, Command, Conditions, Ending, File, Limits, Mount, Scratch, Source, Spec, Syscalls,
    TemporaryDirectory, Worker,
};
use target::spec::Limits as CaseLimits;
use target::{Language, Program, SUBMISSION_DIRECTORY};

use crate::submission::Submission;

/// Most bytes that a build may write.
const BUILD_BYTES: u64 = 2 << 30;
/// Most files that a build may make.
const BUILD_INODES: u64 = 200_000;
/// Most bytes of what a build leaves to be run.
const ARTIFACT_BYTES: u64 = 256 << 20;
/// Most bytes of a build's log.
const LOG_BYTES: u64 = 4 << 20;
/// Processes and threads of a build.
const BUILD_PROCESSES: u64 = 512;
/// The system's loader, which the kernel starts for a dynamic program.
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// What a build gave.
pub struct Built {
    /// Files to be run, below [`SUBMISSION_DIRECTORY`].
    pub files: Vec<File>,
    /// What the build printed.
    pub log: Vec<u8>,
}

/// How a build can end.
pub enum BuildResult {
    /// There is something to run.
    Built(Built),
    /// There is not; the reason in a line, and the log.
    Failed {
        /// The reason.
        reason: String,
        /// What the build printed.
        log: Vec<u8>,
    },
    /// The caller asked for the end.
    Stopped,
}

fn inside(path: &str) -> PathBuf {
    Path::new(SUBMISSION_DIRECTORY).join(path)
}

fn source_files(submission: &Submission) -> Vec<File> {
    submission
        .files
        .iter()
        .map(|file| File {
            path: inside(&file.path),
            bytes: file.bytes.clone(),
            executable: file.executable,
        })
        .collect()
}

/// Builds a submission in a sandbox that holds its source, a toolchain and nothing else. Raising `stop` ends it.
///
/// # Errors
/// Only the sandbox's own: a build that fails is a [`BuildResult`].
pub fn build(
    submission: &Submission,
    language: &Language,
    toolchain: &Path,
    stop: &Arc<AtomicBool>,
) -> Result<BuildResult, sandbox::Error> {
    if language.build.is_empty() {
        let files = source_files(submission);
        return Ok(BuildResult::Built(Built {
            files,
            log: Vec::new(),
        }));
    }
    let scratch = |at: &str| Scratch {
        at: at.into(),
        bytes: BUILD_BYTES,
        inodes: BUILD_INODES,
        executable: true,
    };
    let mut worker = Worker::start(&Spec {
        rootfs: toolchain.to_owned(),
        mounts: Vec::new(),
        scratch: vec![scratch(SUBMISSION_DIRECTORY), scratch("/tmp")],
        hostname: target::HOST_NAME.to_owned(),
        proc: true,
        terminals: false,
        syscalls: Syscalls::Tools,
        execute: None,
        guard: None,
        memory: u64::from(language.limits.build_memory_mib) << 20,
        processes: BUILD_PROCESSES,
    })?;
    let wall = Duration::from_secs(language.limits.build_wall_seconds.into());
    let env = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("HOME", "/tmp"),
        ("LC_ALL", "C.UTF-8"),
        ("TZ", "UTC"),
        // The date in a built program must not depend on the day of scoring.
        ("SOURCE_DATE_EPOCH", "0"),
    ];
    let command = Command {
        program: language.build[0].clone().into(),
        argv: language.build.iter().map(Into::into).collect(),
        env: env
            .map(|(name, value)| (name.into(), value.into()))
            .to_vec(),
        cwd: SUBMISSION_DIRECTORY.into(),
        files: source_files(submission),
        collect: language
            .artifacts
            .iter()
            .map(|path| Collect {
                path: inside(path),
                bytes: ARTIFACT_BYTES,
            })
            .collect(),
        limits: Limits {
            wall,
            cpu: wall * 4,
            output: LOG_BYTES,
            file_size: ARTIFACT_BYTES,
            open_files: 4096,
        },
        conditions: Conditions::default(),
        keep_background: false,
        terminal: false,
    };
    worker.stop_when(Arc::clone(stop));
    let captured = worker.run(&command, b"")?;
    let log = [captured.stdout, captured.stderr].concat();
    let reason = match captured.outcome.ending {
        Ending::Exited(0) => None,
        Ending::Exited(status) => Some(format!("exit status {status}")),
        Ending::Signaled(signal) => Some(format!("signal {signal}")),
        Ending::Limited(limit) => Some(format!("limit on {}", crate::limit_name(limit))),
        Ending::NotStarted(code) => Some(format!(
            "cannot start: {}",
            std::io::Error::from_raw_os_error(code)
        )),
        Ending::Stopped => return Ok(BuildResult::Stopped),
    };
    let files = captured.outcome.files;
    let reason = reason.or_else(|| {
        let missing = language.artifacts.iter().find(|artifact| {
            let path = inside(artifact);
            !files.iter().any(|file| file.path.starts_with(&path))
        })?;
        Some(format!("it left no {missing}"))
    });
    Ok(match reason {
        None => BuildResult::Built(Built { files, log }),
        Some(reason) => BuildResult::Failed { reason, log },
    })
}

/// Where built files stand on the host, read-only for cases.
pub struct Installed {
    directory: TemporaryDirectory,
}

impl Installed {
    /// Writes built files to a fresh directory.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new(files: &[File]) -> std::io::Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let directory = TemporaryDirectory::new("submission")?;
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        };
        set(directory.path(), 0o755)?;
        for file in files {
            let relative = file
                .path
                .strip_prefix(SUBMISSION_DIRECTORY)
                .map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
            let path = directory.path().join(relative);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
                for dir in parent
                    .ancestors()
                    .take_while(|dir| dir.starts_with(directory.path()))
                {
                    set(dir, 0o755)?;
                }
            }
            std::fs::write(&path, &file.bytes)?;
            set(&path, if file.executable { 0o555 } else { 0o444 })?;
        }
        Ok(Installed { directory })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// What a case runs and where.
pub struct TestStage {
    /// The sandbox.
    pub sandbox: Spec,
    /// The program.
    pub program: Program,
}

impl TestStage {
    /// A submission on its language's runtime: nothing but it, its interpreter and the loader can be
    /// executed.
    pub fn for_submission(
        language: &Language,
        runtime: &Path,
        installed: &Installed,
        limits: &CaseLimits,
    ) -> Self {
        let mut sandbox = target::case_sandbox(runtime, limits);
        sandbox.mounts.push(Mount {
            source: Source::Path(installed.path().to_owned()),
            at: SUBMISSION_DIRECTORY.into(),
            writable: false,
        });
        let executable = PathBuf::from(&language.start[0]);
        let mut execute = vec![PathBuf::from(SUBMISSION_DIRECTORY), executable.clone()];
        execute.extend(runtime.join(&LOADER[1..]).exists().then(|| LOADER.into()));
        sandbox.execute = Some(execute);
        let program = Program {
            executable,
            name: language.start[0].clone(),
            before: language.start[1..].to_vec(),
            allowance: Duration::from_millis(language.limits.start_allowance_ms.into()),
        };
        TestStage { sandbox, program }
    }

    /// A finished program on a root of its own.
    pub fn for_prebuilt(rootfs: &Path, executable: &Path, limits: &CaseLimits, name: &str) -> Self {
        let mut sandbox = target::case_sandbox(rootfs, limits);
        let mut execute = vec![executable.to_owned()];
        execute.extend(rootfs.join(&LOADER[1..]).exists().then(|| LOADER.into()));
        sandbox.execute = Some(execute);
        let program = Program {
            executable: executable.to_owned(),
            name: name.to_owned(),
            before: Vec::new(),
            allowance: Duration::ZERO,
        };
        TestStage { sandbox, program }
    }
}
