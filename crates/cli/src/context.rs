//! What commands share: where things are, and whether Ctrl-C was pressed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use image::Cache;
use target::build::Means;
use target::{Catalog, Identities, Opened, Target, sealed};
use tempfile::TempDir;

use crate::args::Places;
use crate::exit::{self, Failure};
use crate::terminal;

pub(crate) struct Context {
    places: Places,
    pub(crate) interrupted: Arc<AtomicBool>,
    /// The sealed targets, in memory until the program ends.
    opened: Mutex<Option<Opened>>,
}

impl Context {
    pub(crate) fn new(places: Places) -> Self {
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        // A second Ctrl-C ends the program where it stands; what is durable stays.
        let _ = ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(exit::INTERRUPTED.into());
            }
            terminal::note("ending; press Ctrl-C again to end at once");
        });
        Context {
            places,
            interrupted,
            opened: Mutex::new(None),
        }
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    pub(crate) fn catalog(&self) -> Result<Catalog, Failure> {
        let here = std::env::current_dir().map_err(|error| Failure::io(Path::new("."), &error))?;
        let found = Catalog::find(self.places.targets.as_deref(), None, &here);
        let mut catalog = match (found, &self.places.languages) {
            (Ok(catalog), None) => catalog,
            (Ok(catalog), Some(languages)) => Catalog {
                languages: languages.clone(),
                ..catalog
            },
            // Private targets stand elsewhere, with no languages beside them.
            (Err(target::Error::NoLanguages { targets }), Some(languages)) => Catalog {
                targets,
                languages: languages.clone(),
                opened: None,
            },
            (Err(error), _) => return Err(error.into()),
        };
        if self.places.identity.is_some() {
            let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            if opened.is_none() {
                *opened = sealed::open_all(&catalog.targets, &self.identities()?)?;
            }
            catalog.opened = opened.as_ref().map(|opened| opened.path().to_owned());
        }
        Ok(catalog)
    }

    /// What opens sealed targets.
    pub(crate) fn identities(&self) -> Result<Identities, Failure> {
        crate::sealed::identities(self.places.identity.as_deref())
    }

    pub(crate) fn cache(&self) -> Result<Cache, Failure> {
        Ok(Cache::open(self.places.cache.as_deref())?)
    }

    pub(crate) fn runs(&self) -> &Path {
        &self.places.runs
    }

    /// Where things are, as arguments for another process of this program in another directory or on another machine.
    pub(crate) fn places(&self) -> Result<Vec<OsString>, Failure> {
        let runs = std::fs::canonicalize(self.runs());
        let runs = runs.map_err(|error| Failure::io(self.runs(), &error))?;
        let mut places = self.places_for_strangers()?;
        places.extend(["--runs".into(), runs.into()]);
        Ok(places)
    }

    /// The same for a process that has nothing to do with the runs here.
    pub(crate) fn places_for_strangers(&self) -> Result<Vec<OsString>, Failure> {
        let whole =
            |path: &Path| std::fs::canonicalize(path).map_err(|error| Failure::io(path, &error));
        let catalog = self.catalog()?;
        let mut places = vec![
            "--targets".into(),
            whole(&catalog.targets)?.into(),
            "--languages".into(),
            whole(&catalog.languages)?.into(),
        ];
        if let Some(cache) = &self.places.cache {
            places.extend(["--cache".into(), whole(cache)?.into()]);
        }
        if let Some(identity) = &self.places.identity {
            places.extend(["--identity".into(), whole(identity)?.into()]);
        }
        Ok(places)
    }

    /// A run by id or directory.
    pub(crate) fn run_directory(&self, run: &str) -> Result<PathBuf, Failure> {
        let candidates = [PathBuf::from(run), self.runs().join(run)];
        let found = candidates
            .into_iter()
            .find(|dir| dir.join("run.toml").is_file());
        found.ok_or_else(|| {
            Failure::usage(format!(
                "there is no run {run}, neither as a directory nor in {}; `mirrorcode runs` lists them",
                self.runs().display()
            ))
        })
    }

    /// Where passing things of a target go: cases of a sealed one stay in memory, beside its plain form, whatever ends the
    /// program.
    pub(crate) fn scratch(&self, target: &Target) -> Result<PathBuf, Failure> {
        let catalog = self.catalog()?;
        Ok(match (&catalog.opened, catalog.is_sealed(target)) {
            (Some(opened), true) => opened.clone(),
            _ => std::env::temp_dir(),
        })
    }

    /// What building and measuring a target is given.
    pub(crate) fn means<'a>(&'a self, cache: &'a Cache) -> Means<'a> {
        Means {
            cache,
            guard: GUARD,
            jobs: self.jobs(),
            interrupted: &self.interrupted,
        }
    }

    /// Runs at the same time: as many as processors.
    pub(crate) fn jobs(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}

impl From<target::Error> for Failure {
    fn from(error: target::Error) -> Self {
        match &error {
            target::Error::Io { path, error } => Failure::io(path, error),
            _ => Failure::usage(error),
        }
    }
}

impl From<image::Error> for Failure {
    fn from(error: image::Error) -> Self {
        let code = match &error {
            image::Error::Interrupted => exit::INTERRUPTED,
            image::Error::MirrorUnreachable { .. }
            | image::Error::PackageNotFound { .. }
            | image::Error::Fetch { .. }
            | image::Error::Checksum { .. } => exit::OUTSIDE,
            image::Error::BadRecipe(_)
            | image::Error::NotARoot { .. }
            | image::Error::NoSuchImage(_) => exit::USAGE,
            _ => exit::MACHINE,
        };
        Failure::new(code, error)
    }
}

impl From<run::Error> for Failure {
    fn from(error: run::Error) -> Self {
        Failure {
            elsewhere: matches!(error, run::Error::Held { .. } | run::Error::Lost { .. }),
            ..Failure::usage(error)
        }
    }
}

impl From<agent::Error> for Failure {
    fn from(error: agent::Error) -> Self {
        Failure::machine(error)
    }
}

/// A directory that is removed again. Its name begins with a dot, so that nobody takes it for a target where those are.
pub(crate) fn passing(prefix: &str, place: &Path) -> Result<TempDir, Failure> {
    tempfile::Builder::new()
        .prefix(&format!(".mirrorcode-{prefix}-"))
        .tempdir_in(place)
        .map_err(|error| Failure::io(place, &error))
}

/// A guard library as the target crate wants it.
pub(crate) const GUARD: target::reference::GuardLibrary = target::reference::GuardLibrary {
    bytes: oracle::GUARD,
    descriptor: oracle::GUARD_FD,
};
