//! What belongs to one target on disk: loading it, and saving what was built.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::bytes::Digest;
use crate::case::Case;
use crate::error::Error;
use crate::family::Family;
use crate::fixtures::Fixtures;
use crate::jsonl::{read_cases, write_cases};
use crate::lock::{Counts, Lock};
use crate::problem::{Problem, Problems};
use crate::spec::Spec;

/// A target in its directory.
#[derive(Clone, Debug)]
pub struct Target {
    /// `targets/<name>`.
    pub dir: PathBuf,
    /// Its `target.toml`.
    pub spec: Spec,
}

/// The cases of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tests {
    /// What agents see.
    pub visible: Vec<Case>,
    /// What they never see.
    pub hidden: Vec<Case>,
}

impl Target {
    /// Reads `target.toml` in a target's directory.
    ///
    /// # Errors
    /// What cannot be read, or what is wrong with it.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("target.toml");
        let name = dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        Ok(Target {
            dir: dir.to_owned(),
            spec: Spec::parse(&shown(&path), &name, &bytes)?,
        })
    }

    /// Its families, by name.
    ///
    /// # Errors
    /// What cannot be read, or what is wrong with the families: one problem for each.
    pub fn families(&self) -> Result<Vec<Family>, Error> {
        let (mut families, mut problems) = (Vec::new(), Vec::new());
        for path in self.family_files()? {
            let bytes = fs::read(&path).map_err(Error::io(&path))?;
            match Family::parse(&shown(&path), &bytes) {
                Ok(family) => families.push(family),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(Problems(problems).into());
        }
        if families.is_empty() {
            let dir = shown(&self.dir.join("families"));
            return Err(
                Problem::whole(&dir, "there are no families; a target needs at least one").into(),
            );
        }
        Ok(families)
    }

    fn family_files(&self) -> Result<Vec<PathBuf>, Error> {
        let dir = self.dir.join("families");
        let mut files = entries(&dir)?;
        files.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        });
        Ok(files)
    }

    /// How many families there are, without reading them.
    pub(crate) fn family_count(&self) -> Result<usize, Error> {
        self.family_files().map(|files| files.len())
    }

    /// Its fixtures.
    ///
    /// # Errors
    /// A [`Problem`] for what is not a readable, regular file.
    pub fn fixtures(&self) -> Result<Fixtures, Error> {
        Ok(Fixtures::load(&self.dir.join("fixtures"))?)
    }

    /// Where the lock stands.
    pub fn lock_path(&self) -> PathBuf {
        self.dir.join("target.lock")
    }

    /// Its lock; `None` before it was first built.
    ///
    /// # Errors
    /// What cannot be read, or what is wrong with it.
    pub fn lock(&self) -> Result<Option<Lock>, Error> {
        let path = self.lock_path();
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(Lock::parse(&shown(&path), &bytes)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&path)(error)),
        }
    }

    /// Its lock, which must be there.
    ///
    /// # Errors
    /// [`Error::NotBuilt`] when it is not, and as for [`Target::lock`].
    pub fn locked(&self) -> Result<Lock, Error> {
        self.lock()?
            .ok_or_else(|| Error::NotBuilt(self.spec.name.clone()))
    }

    /// The visible cases, for what must never come near hidden ones.
    ///
    /// # Errors
    /// [`Error::NotBuilt`], [`Error::Changed`] when they are not what the lock says, or what is wrong with them.
    pub fn visible(&self) -> Result<Vec<Case>, Error> {
        self.cases("visible.jsonl", self.locked()?.visible)
    }

    /// All cases.
    ///
    /// # Errors
    /// As for [`Target::visible`], and when a case is both visible and hidden.
    pub fn tests(&self) -> Result<Tests, Error> {
        let lock = self.locked()?;
        let visible = self.cases("visible.jsonl", lock.visible)?;
        let hidden = self.cases("hidden.jsonl", lock.hidden)?;
        let inputs: HashMap<Digest, &str> = visible
            .iter()
            .map(|case| (case.inputs.digest(), case.id.as_str()))
            .collect();
        for (index, case) in hidden.iter().enumerate() {
            let same = inputs.get(&case.inputs.digest()).copied();
            if let Some(id) = same.or_else(|| inputs.values().copied().find(|id| *id == case.id)) {
                let file = shown(&self.tests_dir().join("hidden.jsonl"));
                let what = format!(
                    "\"{}\" has the id or the inputs of the visible case \"{id}\"",
                    case.id
                );
                return Err(Problem::at(&file, index + 1, what).into());
            }
        }
        Ok(Tests { visible, hidden })
    }

    fn tests_dir(&self) -> PathBuf {
        self.dir.join("tests")
    }

    fn cases(&self, name: &str, expected: Digest) -> Result<Vec<Case>, Error> {
        let path = self.tests_dir().join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::NotBuilt(self.spec.name.clone()));
            }
            Err(error) => return Err(Error::io(&path)(error)),
        };
        // What is wrong with a line says more than that the file has changed.
        let cases = read_cases(&shown(&path), &bytes, &self.fixtures()?)?;
        if Digest::of(&bytes) != expected {
            return Err(Error::Changed {
                path,
                target: self.spec.name.clone(),
            });
        }
        Ok(cases)
    }

    /// Writes both files of cases, then the lock with their counts and digests filled in. Each file is replaced at
    /// once; when the writing stops in between, the lock and the cases do not fit and loading says so.
    ///
    /// # Errors
    /// What cannot be written.
    pub fn save(&self, tests: &Tests, lock: Lock) -> Result<Lock, Error> {
        let fixtures = self.fixtures()?;
        let visible = write_cases(&tests.visible, &fixtures);
        let hidden = write_cases(&tests.hidden, &fixtures);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let lock = Lock {
            counts: Counts {
                visible: count(tests.visible.len()),
                hidden: count(tests.hidden.len()),
                families: count(self.family_count()?),
            },
            visible: Digest::of(visible.as_bytes()),
            hidden: Digest::of(hidden.as_bytes()),
            ..lock
        };
        let path = self.lock_path();
        let text = lock
            .to_toml()
            .map_err(|what| Problem::whole(&shown(&path), what))?;
        let dir = self.tests_dir();
        fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
        replace(&dir.join("visible.jsonl"), &visible)?;
        replace(&dir.join("hidden.jsonl"), &hidden)?;
        replace(&path, &text)?;
        Ok(lock)
    }
}

/// The path as it is shown to people.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// What a directory holds, sorted; nothing when it does not exist. Hidden files are left out.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let listing = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.map_err(Error::io(dir))?,
    };
    let mut paths = Vec::new();
    for entry in listing {
        let entry = entry.map_err(Error::io(dir))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Replaces a file at once: readers see the old content or the new.
fn replace(path: &Path, text: &str) -> Result<(), Error> {
    let partial = path.with_extension("partial");
    let write = || {
        let mut file = File::create(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().map_err(|error| {
        // A full disk must not keep half a file; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&partial);
        Error::io(path)(error)
    })
}
