//! The original program: its package, its image, and the sandbox in which it runs unread.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use image::{Cache, ExtraFile, Image, Origin, Recipe, Variant};
use sandbox::{Guard, Mount, Source};

use crate::Digest;
use crate::build::BuildError;
use crate::compile::compile;
use crate::execute::{CASE_DIRECTORY, Program, SCRATCH_DIRECTORY, case_sandbox};
use crate::lock::{Lock, LockedPackage};
use crate::spec::{Kind, Provenance, Spec};

/// Where the guard stands in a reference's sandbox.
const GUARD_PATH: &str = "/guard.so";
/// The system's loader, which the kernel starts for a dynamic program.
pub const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// The library that a dynamic reference loads first, and which takes its right to read away.
#[derive(Clone, Copy, Debug)]
pub struct GuardLibrary {
    /// The shared object.
    pub bytes: &'static [u8],
    /// Number of the descriptor on which it finds its rules.
    pub descriptor: i32,
}

/// A reference that is ready to run.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The tree with its documentation: its package as it is, or its source.
    pub package: Image,
    /// The image in which it runs.
    pub image: Image,
    /// How it is started.
    pub program: Program,
    /// Digest of the program's bytes.
    pub digest: Digest,
    /// What it was built from, where it was built.
    pub source: Option<Origin>,
    /// The packages that built it, of those that target.toml names.
    pub toolchain: Vec<LockedPackage>,
}

/// The image with the reference's package as it is, readable: for its documentation and its program's
/// bytes. No agent and no case ever runs in it.
///
/// `version` pins the package; `None` takes the newest.
fn package_recipe(name: &str, version: Option<&str>, program: &str) -> Recipe {
    let package = match version {
        Some(version) => format!("{name}={version}"),
        None => name.to_owned(),
    };
    let mut recipe = Recipe::new(crate::SUITE, Variant::Extract, &[&package]);
    recipe.executables = Some(vec![program.to_owned()]);
    recipe.keep_docs = true;
    recipe
}

/// The image that holds a reference and what it loads, and nothing else that could be executed. The
/// program can be executed and not read: nobody but the kernel looks inside.
fn recipe(mut recipe: Recipe, spec: &Spec, program: Vec<u8>, beside: Vec<ExtraFile>) -> Recipe {
    recipe.keep_docs = false;
    recipe.files = beside;
    recipe.files.push(ExtraFile {
        path: spec.reference.program.clone(),
        mode: 0o111,
        bytes: program,
    });
    if spec.reference.kind == Kind::Dynamic {
        recipe.files.push(ExtraFile {
            path: "/etc/ld.so.preload".to_owned(),
            mode: 0o444,
            bytes: format!("{GUARD_PATH}\n").into_bytes(),
        });
    }
    recipe
}

/// How a reference is started in `image`.
pub fn program(spec: &Spec) -> Program {
    Program {
        executable: PathBuf::from(&spec.reference.program),
        name: spec.reference.command.clone(),
        before: Vec::new(),
        allowance: std::time::Duration::ZERO,
    }
}

/// Adds to a sandbox what keeps a reference from being read: the guard with its rules, and the list of
/// the only files that may be executed.
pub fn protect(
    sandbox: &mut sandbox::Spec,
    spec: &Spec,
    guard: GuardLibrary,
    read: &[PathBuf],
    write: &[PathBuf],
) {
    let mut execute = vec![PathBuf::from(&spec.reference.program)];
    if spec.reference.kind == Kind::Dynamic {
        execute.push(LOADER.into());
        sandbox.mounts.push(Mount {
            source: Source::Bytes {
                bytes: guard.bytes.to_vec(),
                mode: 0o444,
            },
            at: GUARD_PATH.into(),
            writable: false,
        });
        let readable = spec.reference.readable.iter().map(PathBuf::from);
        sandbox.guard = Some(Guard {
            descriptor: guard.descriptor,
            read: read
                .iter()
                .cloned()
                .chain(readable)
                .chain([PathBuf::from("/dev")])
                .collect(),
            write: write.to_vec(),
        });
    }
    sandbox.execute = Some(execute);
}

/// The sandbox in which cases of the reference run.
pub fn capture_sandbox(spec: &Spec, rootfs: &Path, guard: GuardLibrary) -> sandbox::Spec {
    let mut sandbox = case_sandbox(rootfs, &spec.limits);
    let scratch = [CASE_DIRECTORY, SCRATCH_DIRECTORY].map(PathBuf::from);
    protect(&mut sandbox, spec, guard, &[], &scratch);
    sandbox
}

/// Gets the reference's images, building those that the cache does not have. `lock` pins its version; without
/// one the newest is taken.
///
/// # Errors
/// As [`Cache::ensure`] and [`Cache::fetch`], when the reference cannot be built from its source, and when there is
/// no such program.
pub fn prepare(
    spec: &Spec,
    lock: Option<&Lock>,
    cache: &Cache,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(image::Progress),
) -> Result<Prepared, BuildError> {
    let reference = &spec.reference;
    match &reference.from {
        Provenance::Package(name) => {
            let version = lock.and_then(|lock| lock.reference_version(reference));
            let base = package_recipe(name, version, &reference.program);
            let package = cache.ensure(&base, cancel, progress)?;
            let bytes = read_program(spec, &package.root, &reference.program)?;
            let digest = Digest::of(&bytes);
            let image = cache.ensure(&recipe(base, spec, bytes, Vec::new()), cancel, progress)?;
            Ok(Prepared {
                package,
                image,
                program: program(spec),
                digest,
                source: None,
                toolchain: Vec::new(),
            })
        }
        Provenance::Source {
            source,
            runtime_packages,
        } => {
            let compiled = compile(source, cache, cancel, progress)?;
            let root = &compiled.tree.root;
            let bytes = read_program(spec, root, &source.built)?;
            let digest = Digest::of(&bytes);
            let mut beside = Vec::new();
            for path in &source.keep {
                files_below(root, &root.join(&path[1..]), &mut beside)?;
            }
            beside.retain(|file| file.path != reference.program);
            let packages: Vec<&str> = runtime_packages.iter().map(String::as_str).collect();
            let mut base = Recipe::new(crate::SUITE, Variant::Extract, &packages);
            base.executables = Some(Vec::new());
            let image = cache.ensure(&recipe(base, spec, bytes, beside), cancel, progress)?;
            let toolchain = crate::build::locked_packages(&compiled.toolchain)
                .into_iter()
                .filter(|package| source.build_packages.contains(&package.name))
                .collect();
            Ok(Prepared {
                package: compiled.tree,
                image,
                program: program(spec),
                digest,
                source: Some(source.origin.clone()),
                toolchain,
            })
        }
    }
}

/// Reads a program and looks whether it can be a reference as target.toml says.
fn read_program(spec: &Spec, root: &Path, program: &str) -> Result<Vec<u8>, BuildError> {
    let path = root.join(program.trim_start_matches('/'));
    let bytes = fs::read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => BuildError::NoProgram {
            package: spec.reference.package().to_owned(),
            program: program.to_owned(),
        },
        _ => BuildError::Io { path, error },
    })?;
    if bytes.starts_with(b"#!") {
        let program = program.to_owned();
        return Err(BuildError::Script { program });
    }
    let linked = if has_interpreter(&bytes) {
        Kind::Dynamic
    } else {
        Kind::Static
    };
    if linked != spec.reference.kind {
        return Err(BuildError::Kind {
            program: program.to_owned(),
            linked: if linked == Kind::Dynamic {
                "dynamic"
            } else {
                "static"
            },
        });
    }
    Ok(bytes)
}

/// A file, or every file below a directory, to be put where it stands in `root`. Libraries need no execute right,
/// and nothing else beside the program should have one.
fn files_below(root: &Path, path: &Path, found: &mut Vec<ExtraFile>) -> Result<(), BuildError> {
    let at = |error| BuildError::Io {
        path: path.to_owned(),
        error,
    };
    let kind = fs::symlink_metadata(path).map_err(at)?;
    if kind.is_dir() {
        for entry in fs::read_dir(path).map_err(at)? {
            files_below(root, &entry.map_err(at)?.path(), found)?;
        }
    } else if kind.is_file() {
        let inside = path.strip_prefix(root).unwrap_or(path);
        found.push(ExtraFile {
            path: Path::new("/").join(inside).to_string_lossy().into_owned(),
            mode: 0o444,
            bytes: fs::read(path).map_err(at)?,
        });
    }
    Ok(())
}

/// Whether an ELF program asks for a loader: the segment type `PT_INTERP` (3) among its program headers,
/// at the places that the 64-bit little-endian format gives them.
fn has_interpreter(elf: &[u8]) -> bool {
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = elf.get(at..at.checked_add(size)?)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |number, &byte| number << 8 | usize::from(byte)),
        )
    };
    let headers = || Some((number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?));
    let Some((start, size, count)) = headers() else {
        return false;
    };
    (0..count).any(|index| {
        let at = index
            .checked_mul(size)
            .and_then(|offset| start.checked_add(offset));
        at.and_then(|at| number(at, 4)) == Some(3)
    })
}
