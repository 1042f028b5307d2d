//! The files in which changes are made, and the sandboxes that see them instead of the reference's own.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sandbox::{Mount, Source, TemporaryDirectory};

use super::object::{Object, Site};
use super::{Error, Means};
use crate::lock::Lock;
use crate::reference::{GuardLibrary, Prepared, capture_sandbox};
use crate::spec::{Kind as Linked, Provenance};
use crate::{Digest, Spec};

/// Where the loader looks for libraries, in this order (ld.so(8) and Debian's multiarch directory).
const LIBRARY_DIRECTORIES: [&str; 4] = [
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib",
    "lib",
];
/// The loader's list of libraries to load first.
const PRELOAD: &str = "/etc/ld.so.preload";

/// A program or library of the reference.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Absolute path inside the sandbox, without links.
    pub(super) at: PathBuf,
    pub(super) digest: Digest,
    pub(super) object: Object,
}

/// The reference's executable and those libraries that were made from the same source.
pub(super) fn parts(spec: &Spec, lock: &Lock, prepared: &Prepared) -> Result<Vec<Part>, Error> {
    let root = &prepared.image.root;
    let program = match &spec.reference.from {
        Provenance::Package(_) => &spec.reference.program,
        Provenance::Source { source, .. } => &source.built,
    };
    let program = prepared.package.root.join(program.trim_start_matches('/'));
    let mut parts = vec![part(&program, spec.reference.program.clone().into())?];
    let mut next = 0;
    while next < parts.len() {
        for name in parts[next].object.needed.clone() {
            let Some((file, at)) = library(root, &name)? else {
                continue;
            };
            if is_own(spec, lock, &name, &at) && parts.iter().all(|part| part.at != at) {
                parts.push(part(&file, at)?);
            }
        }
        next += 1;
    }
    Ok(parts)
}

fn part(file: &Path, at: PathBuf) -> Result<Part, Error> {
    let bytes = fs::read(file).map_err(Error::io(file))?;
    let digest = Digest::of(&bytes);
    let object = Object::read(bytes).map_err(|what| Error::NotCode {
        path: at.clone(),
        what,
    })?;
    Ok(Part { at, digest, object })
}

/// The file behind a library's name: on the host, and inside the sandbox.
fn library(root: &Path, name: &str) -> Result<Option<(PathBuf, PathBuf)>, Error> {
    if name.contains('/') {
        return Ok(None);
    }
    let whole = fs::canonicalize(root).map_err(Error::io(root))?;
    for directory in LIBRARY_DIRECTORIES {
        let Ok(file) = fs::canonicalize(root.join(directory).join(name)) else {
            continue;
        };
        // A link with an absolute path leads out of the root, where another machine's file may stand.
        if let Ok(inside) = file.strip_prefix(&whole) {
            let at = Path::new("/").join(inside);
            return Ok(Some((file, at)));
        }
    }
    Ok(None)
}

/// Whether a library is the program's own: what was built with it and kept, or a package of the same version.
fn is_own(spec: &Spec, lock: &Lock, soname: &str, at: &Path) -> bool {
    match &spec.reference.from {
        Provenance::Source { source, .. } => source.keep.iter().any(|kept| at.starts_with(kept)),
        Provenance::Package(_) => {
            let version = |name: &str| {
                let package = lock.packages.iter().find(|package| package.name == name)?;
                Some(without_rebuild(&package.version))
            };
            let own = lock
                .reference_package(&spec.reference)
                .map(|package| without_rebuild(&package.version));
            package_of(soname)
                .iter()
                .any(|name| own.is_some() && version(name) == own)
        }
    }
}

/// A version without the number that says how often the same source was built again.
fn without_rebuild(version: &str) -> &str {
    match version.rsplit_once("+b") {
        Some((source, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => source,
        _ => version,
    }
}

/// Names that the package of a library may have (Debian's policy, 8.1; `t64` since the change of `time_t`).
fn package_of(soname: &str) -> Vec<String> {
    let Some((name, version)) = soname.split_once(".so.") else {
        return Vec::new();
    };
    let name = name.to_lowercase().replace('_', "-");
    let dash = if name.ends_with(|c: char| c.is_ascii_digit()) {
        "-"
    } else {
        ""
    };
    let package = format!("{name}{dash}{version}");
    vec![format!("{package}t64"), package]
}

/// Copies of the reference's files, in a directory of their own.
pub(super) struct Copies {
    directory: TemporaryDirectory,
}

impl Copies {
    pub(super) fn new(parts: &[Part]) -> Result<Self, Error> {
        let directory =
            TemporaryDirectory::new("strength").map_err(Error::io(&std::env::temp_dir()))?;
        set_mode(directory.path(), 0o755)?;
        let copies = Copies { directory };
        for (index, part) in parts.iter().enumerate() {
            // What was changed in it is put back by its owner alone.
            copies.write(&format!("changed-{index}"), &part.object.bytes, 0o755)?;
        }
        Ok(copies)
    }

    fn write(&self, name: &str, bytes: &[u8], mode: u32) -> Result<PathBuf, Error> {
        let path = self.directory.path().join(name);
        fs::write(&path, bytes).map_err(Error::io(&path))?;
        set_mode(&path, mode)?;
        Ok(path)
    }

    /// Makes a change in a copy; `back` undoes it.
    pub(super) fn change(
        &self,
        index: usize,
        part: &Part,
        site: &Site,
        back: bool,
    ) -> Result<(), Error> {
        let path = self.directory.path().join(format!("changed-{index}"));
        let byte = match back {
            true => part.object.bytes[site.at as usize],
            false => site.byte,
        };
        let write = || -> io::Result<()> {
            let file = fs::OpenOptions::new().write(true).open(&path)?;
            file.write_all_at(&[byte], site.at)
        };
        write().map_err(Error::io(&path))
    }

    /// The sandbox of capturing, with the copies where the reference's files stand.
    pub(super) fn sandbox(
        &self,
        spec: &Spec,
        prepared: &Prepared,
        parts: &[Part],
        guard: GuardLibrary,
    ) -> sandbox::Spec {
        let mut sandbox = capture_sandbox(spec, &prepared.image.root, guard);
        for (index, part) in parts.iter().enumerate() {
            let copy = self.directory.path().join(format!("changed-{index}"));
            sandbox.mounts.push(mount(copy, &part.at));
        }
        sandbox
    }

    /// The same with breakpoints in the files, at the conditions whose numbers are marked, and without the guard, since nobody can look into a process that the guard
    /// has closed.
    pub(super) fn traced(
        &self,
        spec: &Spec,
        prepared: &Prepared,
        parts: &[Part],
        planted: &[bool],
        means: &Means<'_>,
    ) -> Result<(sandbox::Spec, sandbox::Trace), Error> {
        let mut sandbox = capture_sandbox(spec, &prepared.image.root, means.guard);
        sandbox.guard = None;
        if spec.reference.kind == Linked::Dynamic {
            let empty = self.write("empty", b"", 0o444)?;
            sandbox.mounts.push(mount(empty, Path::new(PRELOAD)));
        }
        let mut trace = sandbox::Trace {
            objects: Vec::new(),
        };
        let mut before = 0;
        for (index, part) in parts.iter().enumerate() {
            let bytes = part.object.planted(|number| planted[before + number]);
            before += part.object.sites.len();
            let planted = self.write(&format!("planted-{index}"), &bytes, 0o555)?;
            let whole = self.write(&format!("whole-{index}"), &part.object.bytes, 0o444)?;
            let original = PathBuf::from(format!("/original-{index}"));
            sandbox.mounts.push(mount(planted, &part.at));
            sandbox.mounts.push(mount(whole, &original));
            let at = part.at.clone();
            trace.objects.push(sandbox::Traced { at, original });
        }
        Ok((sandbox, trace))
    }
}

fn mount(from: PathBuf, at: &Path) -> Mount {
    Mount {
        source: Source::Path(from),
        at: at.to_owned(),
        writable: false,
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn libraries_have_the_packages_that_policy_gives_them() {
        for (soname, package) in [
            ("libjq.so.1", Some("libjq1")),
            ("libsmartcols.so.1", Some("libsmartcols1")),
            ("libstdc++.so.6", Some("libstdc++6")),
            ("libdb-5.3.so", None),
            ("libmd4c_html0.so.2", Some("libmd4c-html0-2")),
        ] {
            assert_eq!(package_of(soname).last().map(String::as_str), package);
        }
        assert_eq!(without_rebuild("1.7.1-6+deb13u1"), "1.7.1-6+deb13u1");
        assert_eq!(without_rebuild("0.7.1-1+b9"), "0.7.1-1");
        assert_eq!(without_rebuild("1.0+b"), "1.0");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_change_is_one_byte_of_the_file_and_can_be_undone(choice in any::<prop::sample::Index>(), planted in any::<u64>()) {
            let bytes = fs::read("/bin/true").unwrap();
            let part = Part {
                at: "/test".into(),
                digest: Digest::of(b""),
                object: Object::read(bytes.clone()).unwrap(),
            };
            let site = *choice.get(&part.object.sites);
            let copies = Copies::new(std::slice::from_ref(&part)).unwrap();
            let file = copies.directory.path().join("changed-0");
            copies.change(0, &part, &site, false).unwrap();
            let changed = fs::read(&file).unwrap();
            let different: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != changed[at]).collect();
            prop_assert_eq!(different, [site.at as usize]);
            prop_assert_eq!(changed[site.at as usize], site.byte);
            copies.change(0, &part, &site, true).unwrap();
            prop_assert!(fs::read(&file).unwrap() == bytes);

            let wanted = |number: usize| planted >> (number % 64) & 1 == 1;
            let with_breakpoints = part.object.planted(wanted);
            let different: Vec<u64> = (0..bytes.len())
                .filter(|&at| bytes[at] != with_breakpoints[at])
                .map(|at| at as u64)
                .collect();
            let expected: Vec<u64> = part.object.sites.iter().enumerate()
                .filter(|(number, _)| wanted(*number))
                .map(|(_, site)| site.offset)
                .collect();
            prop_assert_eq!(different, expected);
        }
    }
}
