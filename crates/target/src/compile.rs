//! Builds a reference from its source: in a sandbox that holds a toolchain and what was fetched, without a network.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use image::{Cache, Image};
use sandbox::{
    Collect, Command, Conditions, Ending, File, Limits, Mount, Scratch, Source, Syscalls, Worker,
};

use crate::build::BuildError;
use crate::source::{BUILD_DIRECTORY, PackageSource, SOURCE_DIRECTORY};

/// Changes whenever the same source and toolchain would give another tree.
const FORMAT: &[u8] = b"reference 1";
/// Longest build. The largest that is known, qsv, takes minutes on two processors.
const WALL: Duration = Duration::from_secs(3 * 3600);
/// Most memory of a build, with the files that it writes.
const MEMORY: u64 = 12 << 30;
/// Most bytes of files in each directory that a build writes to.
const BUILD_BYTES: u64 = 8 << 30;
/// Most files in each directory that a build writes to.
const BUILD_INODES: u64 = 400_000;
/// Largest file.
const FILE_BYTES: u64 = 1 << 30;
/// Most bytes of source, program and what stays beside it.
const KEPT_BYTES: u64 = 1 << 30;
/// Most bytes that a build prints.
const LOG_BYTES: u64 = 64 << 20;
/// Processes and threads of a build.
const PROCESSES: u64 = 1024;
/// How many of the last lines are shown of a build that fails.
const TAIL: usize = 15;

/// A reference that was built.
pub(crate) struct Compiled {
    /// The tree with the source in `/source`, the program at [`PackageSource::built`], and what it keeps.
    pub(crate) tree: Image,
    /// The image that built it.
    pub(crate) toolchain: Image,
}

/// Builds a reference, or takes it from the cache.
///
/// # Errors
/// As [`Cache::ensure`] and [`Cache::fetch`], the sandbox's, and [`BuildError::Compile`] with the builder's last
/// lines. Nothing half-made is left.
pub(crate) fn compile(
    source: &PackageSource,
    cache: &Cache,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(image::Progress),
) -> Result<Compiled, BuildError> {
    let fetched = cache.fetch(&source.origin, crate::SUITE, cancel, progress)?;
    let toolchain = cache.ensure(&source.toolchain(), cancel, progress)?;
    let script = source.script();
    let origin = source.origin.to_string();
    let mut parts = vec![
        FORMAT,
        toolchain.content_digest.as_bytes(),
        origin.as_bytes(),
        source.origin.checksum.as_bytes(),
        script.as_bytes(),
        source.built.as_bytes(),
    ];
    parts.extend(source.keep.iter().map(String::as_bytes));
    let about = format!("reference: {}", source.origin);
    let tree = cache.made(&parts, &about, cancel, progress, |tree, progress| {
        progress(image::Progress::Stage(format!(
            "building {}",
            source.origin
        )));
        let files = run(source, &script, &toolchain, &fetched, cancel)?;
        write(tree, &files)
    })?;
    Ok(Compiled { tree, toolchain })
}

/// Runs the build, and gives what it left.
fn run(
    source: &PackageSource,
    script: &str,
    toolchain: &Image,
    fetched: &Image,
    cancel: &AtomicBool,
) -> Result<Vec<File>, BuildError> {
    let scratch = |at: &str| Scratch {
        at: at.into(),
        bytes: BUILD_BYTES,
        inodes: BUILD_INODES,
        executable: true,
    };
    let mut worker = Worker::start(&sandbox::Spec {
        rootfs: toolchain.root.clone(),
        mounts: ["source", "vendor"]
            .iter()
            .filter(|part| fetched.root.join(part).is_dir())
            .map(|part| Mount {
                source: Source::Path(fetched.root.join(part)),
                at: Path::new("/fetched").join(part),
                writable: false,
            })
            .collect(),
        scratch: [SOURCE_DIRECTORY, BUILD_DIRECTORY, "/tmp"]
            .map(scratch)
            .to_vec(),
        hostname: crate::HOST_NAME.to_owned(),
        proc: true,
        terminals: false,
        syscalls: Syscalls::Tools,
        execute: None,
        guard: None,
        memory: MEMORY,
        processes: PROCESSES,
    })?;
    let env = [
        ("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/tmp"),
        ("CARGO_HOME", "/tmp/cargo"),
        ("LC_ALL", "C.UTF-8"),
        ("TZ", "UTC"),
        // The program must not depend on the day on which it is built.
        ("SOURCE_DATE_EPOCH", "0"),
    ];
    let paths = [SOURCE_DIRECTORY, &source.built]
        .into_iter()
        .chain(source.keep.iter().map(String::as_str));
    let command = Command {
        program: "/bin/sh".into(),
        argv: ["/bin/sh", "-c", script].map(Into::into).to_vec(),
        env: env
            .map(|(name, value)| (name.into(), value.into()))
            .to_vec(),
        cwd: "/".into(),
        files: Vec::new(),
        collect: paths
            .map(|path| Collect {
                path: path.into(),
                bytes: KEPT_BYTES,
            })
            .collect(),
        limits: Limits {
            wall: WALL,
            cpu: WALL,
            output: LOG_BYTES,
            file_size: FILE_BYTES,
            open_files: 4096,
        },
        conditions: Conditions::default(),
        keep_background: false,
        terminal: false,
    };
    let captured = stoppable(&mut worker, cancel, |worker| worker.run(&command, b""))?;
    let failed = |reason: String| BuildError::Compile {
        origin: source.origin.to_string(),
        reason,
        tail: tail(&[&captured.stdout[..], &captured.stderr[..]].concat()),
    };
    match captured.outcome.ending {
        Ending::Exited(0) => {}
        Ending::Exited(status) => return Err(failed(format!("exit status {status}"))),
        Ending::Signaled(signal) => return Err(failed(format!("signal {signal}"))),
        Ending::Limited(limit) => return Err(failed(format!("limit {limit:?}"))),
        Ending::NotStarted(code) => {
            return Err(failed(io::Error::from_raw_os_error(code).to_string()));
        }
        Ending::Stopped => return Err(image::Error::Interrupted.into()),
    }
    let files = captured.outcome.files;
    for path in [&source.built].into_iter().chain(&source.keep) {
        if !files.iter().any(|file| file.path.starts_with(path)) {
            return Err(failed(format!("it left no {path}")));
        }
    }
    Ok(files)
}

/// Runs `work` on a worker that stops soon after the caller raises `cancel`.
fn stoppable<T>(
    worker: &mut Worker,
    cancel: &AtomicBool,
    work: impl FnOnce(&mut Worker) -> T,
) -> T {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    worker.stop_when(Arc::clone(&stop));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                stop.fetch_or(cancel.load(Ordering::Relaxed), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let result = work(worker);
        done.store(true, Ordering::Relaxed);
        result
    })
}

fn tail(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

/// Writes what a build left to the tree that is kept. A file that was asked for twice is written once.
fn write(tree: &Path, files: &[File]) -> Result<(), BuildError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| BuildError::Io { path, error }
    };
    for file in files {
        let path: PathBuf = tree.join(file.path.strip_prefix("/").unwrap_or(&file.path));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(at(parent))?;
        }
        fs::write(&path, &file.bytes).map_err(at(&path))?;
        let mode = if file.executable { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(at(&path))?;
    }
    Ok(())
}
