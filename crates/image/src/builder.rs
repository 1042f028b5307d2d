//! Runs the package manager (mmdebstrap, which drives apt) and unpacks what it makes.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::child::{Event, Group};
use crate::diagnose::{Failure, UIDMAP, diagnose};
use crate::error::Context;
use crate::packages::Store;
use crate::root::make_directory;
use crate::unpack::{Limits, unpack};
use crate::{Error, Package, Progress, Recipe, Result, Variant};

/// Names a mirror other than the package manager's own default.
const MIRROR: &str = "MIRRORCODE_DEBIAN_MIRROR";

/// A fixed moment for everything that would otherwise carry the time of the build: the release of trixie.
pub(crate) const MOMENT: i64 = 1_754_697_600;

/// How often unpacking is reported, in bytes.
const REPORT: u64 = 16 << 20;

/// Fills `place/root` with the recipe's packages, and `place/packages` with their archives.
///
/// A pinned version that the mirror no longer has is taken from the store, where an earlier build left it.
pub(crate) fn build(
    recipe: &Recipe,
    place: &Path,
    store: &Store,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Package>> {
    let mut kept: Vec<Package> = Vec::new();
    loop {
        let repository = if kept.is_empty() {
            None
        } else {
            Some(Repository::make(&kept, store, cancel)?)
        };
        match attempt(recipe, place, repository.as_ref(), cancel, progress) {
            Err(Error::PackageNotFound { package, suite }) => {
                let found = kept_for(&package, recipe, &store.list()?);
                let before = kept.len();
                kept.extend(found);
                kept.sort();
                kept.dedup();
                if kept.len() == before {
                    return Err(Error::PackageNotFound { package, suite });
                }
                progress(Progress::Stage(format!(
                    "{package} is no longer on the mirror: using the copy in the cache"
                )));
            }
            other => return other,
        }
    }
}

/// The kept archives that stand in for a missing package: itself, the other packages of the same version (they
/// usually come from one source and need each other), and whatever else the recipe pins.
fn kept_for(package: &str, recipe: &Recipe, all: &[Package]) -> Vec<Package> {
    let Some((name, version)) = package.split_once('=') else {
        return Vec::new();
    };
    if !all
        .iter()
        .any(|kept| kept.name == name && kept.version == version)
    {
        return Vec::new();
    }
    let pinned = |kept: &Package| {
        recipe
            .packages
            .contains(&format!("{}={}", kept.name, kept.version))
    };
    all.iter()
        .filter(|kept| kept.version == version || pinned(kept))
        .cloned()
        .collect()
}

/// One run of the package manager.
fn attempt(
    recipe: &Recipe,
    place: &Path,
    repository: Option<&Repository>,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Package>> {
    let (root, arrivals) = (place.join("root"), place.join("packages"));
    for dir in [&root, &arrivals] {
        if dir.exists() {
            fs::remove_dir_all(dir).context("remove", dir)?;
        }
        make_directory(dir)?;
    }
    let scratch = Scratch::make(&std::env::temp_dir(), "build", 0o1777)?;
    let mut command = command(recipe, repository, &scratch);
    let shown = shown(&command);
    // Both the child's events and the arrival of packages are told to the caller, one at a time.
    let progress = std::cell::RefCell::new(progress);
    let (mut bytes, mut reported) = (0, 0);
    let mut event = |event: Event<'_>| match event {
        Event::Line(line) => progress.borrow_mut()(Progress::Output(line.to_owned())),
        Event::Output(count) => {
            bytes += count as u64;
            if bytes >= reported + REPORT {
                reported = bytes;
                progress.borrow_mut()(Progress::Unpacking { bytes });
            }
        }
    };
    let mut packages = Vec::new();
    let mut group = start(&mut command, cancel, &mut event)?;
    let unpacked = unpack(&mut group, &root, Limits::USUAL, &mut |name, reader| {
        let package = Store::receive(&arrivals, name, reader)?;
        progress.borrow_mut()(Progress::Package(package.clone()));
        packages.push(package);
        Ok(())
    });
    let interrupted = || cancel.load(Ordering::Relaxed);
    // An archive cut short is a symptom; why the package manager stopped is the cause.
    if !matches!(
        unpacked,
        Ok(()) | Err(Error::Io { .. } | Error::Refused { .. })
    ) || interrupted()
    {
        return Err(if interrupted() {
            Error::Interrupted
        } else {
            unpacked.err().unwrap_or(Error::Interrupted)
        });
    }
    let status = match group.finish() {
        Ok(status) => status,
        Err(_) if interrupted() => return Err(Error::Interrupted),
        Err(error) => return Err(error).context("read the output of", Path::new("mmdebstrap")),
    };
    if !status.success() {
        let failure = Failure {
            command: &shown,
            status: &status.to_string(),
            tail: &group.tail(),
        };
        return Err(diagnose(&failure, recipe));
    }
    unpacked?;
    packages.sort();
    Ok(packages)
}

fn command(recipe: &Recipe, repository: Option<&Repository>, scratch: &Scratch) -> Command {
    let mut command = program("mmdebstrap");
    // When it fails or is interrupted, it leaves a key ring there.
    command.env("TMPDIR", &scratch.0);
    let variant = match recipe.variant {
        Variant::Extract => "--variant=extract",
        Variant::Minimal => "--variant=apt",
    };
    command.args(["--mode=unshare", "--format=tar", variant]);
    // Archives stay where they can be found in the tree; package lists (60 MB) do not.
    command.arg("--skip=essential/unlink,cleanup/apt/cache");
    command.args([
        "--aptopt=Acquire::Retries \"3\"",
        "--aptopt=Acquire::http::Timeout \"60\"",
    ]);
    if !recipe.packages.is_empty() {
        command.arg(format!("--include={}", recipe.packages.join(",")));
    }
    if let Some(repository) = repository {
        command.arg(format!("--setup-hook={}", repository.hook()));
    }
    if !recipe.finish.is_empty() {
        // An extracted tree has no customize stage, but nothing comes after its extract stage either.
        let stage = match recipe.variant {
            Variant::Extract => "extract",
            Variant::Minimal => "customize",
        };
        command.arg(format!("--{stage}-hook={}", finish_script(&recipe.finish)));
    }
    command.arg(&recipe.suite).arg("-");
    if let Some(mirror) = std::env::var_os(MIRROR).filter(|mirror| !mirror.is_empty()) {
        command.arg(mirror);
    }
    command
}

/// The finishing commands as a shell script that gets the root as `$1`.
fn finish_script(commands: &[Vec<String>]) -> String {
    let mut script = String::from(
        "set -e; for d in bin sbin lib lib64; do \
         [ -e \"$1/$d\" ] || [ -L \"$1/$d\" ] || { mkdir -p \"$1/usr/$d\"; ln -s \"usr/$d\" \"$1/$d\"; }; done",
    );
    for command in commands {
        script.push_str("; chroot \"$1\"");
        for argument in command {
            script.push(' ');
            script.push_str(&quoted(argument));
        }
    }
    script
}

/// A host program, in an environment that makes its results and messages the same for everyone.
#[expect(
    clippy::disallowed_methods,
    reason = "images are what sandboxes are made of, so what builds them runs outside"
)]
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    // Administration tools (chroot, newuidmap) are not on every user's path.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env(
        "PATH",
        format!("{path}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"),
    );
    command
        .env("LC_ALL", "C.UTF-8")
        .env("SOURCE_DATE_EPOCH", MOMENT.to_string());
    // Compiled Python modules hold sets in the order of their hashes.
    command
        .env("PYTHONHASHSEED", "0")
        .env("DEBIAN_FRONTEND", "noninteractive");
    // The subordinate ids that do the work cannot enter a private directory.
    command.current_dir("/");
    command
}

fn start<'a>(
    command: &mut Command,
    cancel: &'a AtomicBool,
    event: &'a mut dyn FnMut(Event<'_>),
) -> Result<Group<'a>> {
    let tool = command.get_program().to_string_lossy().into_owned();
    Group::start(command, cancel, event).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::MissingTool {
            tool,
            install: UIDMAP.into(),
        },
        _ => Error::Io {
            what: "start",
            path: tool.into(),
            source,
        },
    })
}

/// The command as a person could paste it.
pub(crate) fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quoted(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.,:+~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A directory for one build, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn make(parent: &Path, purpose: &str, mode: u32) -> Result<Self> {
        let nanos = std::time::UNIX_EPOCH
            .elapsed()
            .map_or(0, |time| time.subsec_nanos());
        let path = parent.join(format!(
            "mirrorcode-{purpose}-{}-{nanos}",
            std::process::id()
        ));
        make_directory(&path)?;
        let scratch = Self(path);
        fs::set_permissions(&scratch.0, Permissions::from_mode(mode))
            .context("set the mode of", &scratch.0)?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A package repository of archives from the store, for one build.
struct Repository(Scratch);

impl Repository {
    fn make(packages: &[Package], store: &Store, cancel: &AtomicBool) -> Result<Self> {
        // Not TMPDIR: the same path must be free inside the tree, and subordinate ids must reach it.
        let repository = Self(Scratch::make(Path::new("/tmp"), "packages", 0o755)?);
        let dir = &repository.0.0;
        let mut index = Vec::new();
        for package in packages {
            let name = format!("{}.deb", package.sha256);
            let path = dir.join(&name);
            store.copy(package, &path)?;
            fs::set_permissions(&path, Permissions::from_mode(0o644))
                .context("set the mode of", &path)?;
            let size = fs::metadata(&path).context("look at", &path)?.len();
            let mut control = program("dpkg-deb");
            control.arg("--field").arg(&path);
            let mut nothing = |_: Event<'_>| ();
            let mut group = start(&mut control, cancel, &mut nothing)?;
            let copied = io::copy(&mut group, &mut index);
            if !copied
                .and_then(|_| group.finish())
                .context("read the output of", Path::new("dpkg-deb"))?
                .success()
            {
                return Err(Error::Damaged {
                    path,
                    reason: group.tail(),
                });
            }
            write!(
                index,
                "Filename: ./{name}\nSize: {size}\nSHA256: {}\n\n",
                package.sha256
            )
            .context("write", &path)?;
        }
        let path = dir.join("Packages");
        fs::write(&path, index).context("write", &path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o644))
            .context("set the mode of", &path)?;
        Ok(repository)
    }

    /// Shell that makes the repository known to apt outside and inside of the tree; `$1` is the root.
    /// The archives are trusted because their hashes were checked when they were copied.
    fn hook(&self) -> String {
        let dir = self.0.0.display();
        format!(
            "set -e; mkdir -p \"$1{dir}\" \"$1/etc/apt/sources.list.d\"; cp {dir}/* \"$1{dir}\"; \
             echo \"deb [trusted=yes] copy://{dir} ./\" > \"$1/etc/apt/sources.list.d/kept.list\""
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted_into_a_shell() {
        assert_eq!(quoted("--variant=extract"), "--variant=extract");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        let script = finish_script(&[vec!["/bin/a".into(), "b c".into()]]);
        assert!(script.ends_with("; chroot \"$1\" /bin/a 'b c'"), "{script}");
    }

    #[test]
    fn kept_packages_come_with_their_siblings() {
        let package = |name: &str, version: &str| Package {
            name: name.into(),
            version: version.into(),
            architecture: "amd64".into(),
            sha256: String::new(),
        };
        let all = [
            package("jq", "1.7"),
            package("libjq1", "1.7"),
            package("jq", "1.8"),
            package("bash", "5"),
        ];
        let recipe = Recipe::new("trixie", Variant::Extract, &["jq=1.7"]);
        let names: Vec<_> = kept_for("jq=1.7", &recipe, &all)
            .into_iter()
            .map(|kept| kept.name)
            .collect();
        assert_eq!(names, ["jq", "libjq1"]);
        assert!(kept_for("jq=1.6", &recipe, &all).is_empty());
        assert!(kept_for("jq", &recipe, &all).is_empty());
    }

    #[test]
    fn a_missing_tool_is_named_with_how_to_get_it() {
        let cancel = AtomicBool::new(false);
        let mut event = |_: Event<'_>| ();
        let error = start(&mut program("no-such-tool-here"), &cancel, &mut event)
            .err()
            .unwrap();
        assert!(error.to_string().contains("apt-get install"), "{error}");
    }
}
