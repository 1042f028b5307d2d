//! Finding targets and languages, and the tasks they make.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::Error;
use crate::language::Language;
use crate::near::nearest;
use crate::sealed::{self, sealed_in};
use crate::spec::Size;
use crate::store::{Target, entries, shown};

/// The environment variable that names the directory of targets.
pub const VARIABLE: &str = "MIRRORCODE_TARGETS";

/// Where targets and languages are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// The directory of targets.
    pub targets: PathBuf,
    /// The directory of languages.
    pub languages: PathBuf,
    /// A directory with targets that were sealed ([`crate::Opened::path`]).
    pub opened: Option<PathBuf>,
}

/// One line of the list of targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// The kind of program.
    pub domain: String,
    /// How large it is.
    pub size: Size,
    /// The languages it can be rebuilt in.
    pub languages: Vec<String>,
    /// Visible cases; 0 before it is built.
    pub visible: u32,
    /// Hidden cases; 0 before it is built.
    pub hidden: u32,
    /// Families.
    pub families: u32,
}

/// A target and the language to rebuild it in, written `gron/python`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Task {
    /// The target's name.
    pub target: String,
    /// The language's name.
    pub language: String,
}

impl fmt::Display for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.target, self.language)
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split('/').collect::<Vec<_>>()[..] {
            [target, language] if !target.is_empty() && !language.is_empty() => Ok(Task {
                target: target.to_owned(),
                language: language.to_owned(),
            }),
            _ => Err(Error::NoTask(text.to_owned())),
        }
    }
}

impl Catalog {
    /// The directory of targets that was given, or the one that [`VARIABLE`] names, or `targets` in `from` or above it.
    /// Languages stand beside it.
    ///
    /// # Errors
    /// [`Error::NoTargets`], [`Error::NoLanguages`], or the directory that was named and is none.
    pub fn find(
        given: Option<&Path>,
        variable: Option<&OsStr>,
        from: &Path,
    ) -> Result<Self, Error> {
        let named = given.or_else(|| variable.filter(|value| !value.is_empty()).map(Path::new));
        let targets = match named {
            Some(named) => {
                fs::read_dir(named).map_err(Error::io(named))?;
                named.to_owned()
            }
            None => upward(from, "targets").ok_or_else(|| Error::NoTargets {
                from: from.to_owned(),
            })?,
        };
        let beside = fs::canonicalize(&targets)
            .map_err(Error::io(&targets))?
            .with_file_name("languages");
        let languages = Some(beside)
            .filter(|dir| dir.is_dir())
            .or_else(|| upward(from, "languages"))
            .ok_or_else(|| Error::NoLanguages {
                targets: targets.clone(),
            })?;
        Ok(Catalog {
            targets,
            languages,
            opened: None,
        })
    }

    /// The names of all targets, sorted: the directories that hold a `target.toml`.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn target_names(&self) -> Result<Vec<String>, Error> {
        let mut dirs = entries(&self.targets)?;
        if let Some(opened) = &self.opened {
            dirs.extend(entries(opened)?);
        }
        dirs.retain(|dir| dir.join("target.toml").is_file());
        let mut names: Vec<_> = dirs
            .iter()
            .filter_map(|dir| dir.file_name()?.to_str().map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Where a target's directory is.
    fn place(&self, name: &str) -> PathBuf {
        let opened = self.opened.as_ref().map(|opened| opened.join(name));
        opened
            .filter(|dir| dir.is_dir())
            .unwrap_or_else(|| self.targets.join(name))
    }

    /// Whether a target was sealed: what is written into its directory is lost.
    pub fn is_sealed(&self, target: &Target) -> bool {
        self.opened
            .as_ref()
            .is_some_and(|opened| target.dir.starts_with(opened))
    }

    /// What to say of sealed targets where a name is unknown.
    fn closed(&self) -> String {
        let sealed = sealed_in(&self.targets).map_or(0, |files| files.len());
        let opened = self.opened.as_deref().map(entries);
        let opened = opened.map_or(0, |found| found.map_or(0, |dirs| dirs.len()));
        let there = match sealed.saturating_sub(opened) {
            0 => return String::new(),
            1 => "a sealed target is there that no identity opens".to_owned(),
            count => format!("{count} sealed targets are there that no identity opens"),
        };
        format!(
            "; {there}: name a file with yours by --identity or {}",
            sealed::VARIABLE
        )
    }

    /// The names of all languages, sorted.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn language_names(&self) -> Result<Vec<String>, Error> {
        let names = entries(&self.languages)?;
        Ok(names
            .iter()
            .filter_map(|path| {
                path.file_name()?
                    .to_str()?
                    .strip_suffix(".toml")
                    .map(str::to_owned)
            })
            .collect())
    }

    /// A target by name.
    ///
    /// # Errors
    /// [`Error::UnknownTarget`] with names that may have been meant, or what is wrong with its `target.toml`.
    pub fn target(&self, name: &str) -> Result<Target, Error> {
        let names = self.target_names()?;
        if !names.iter().any(|known| known == name) {
            let near = suggestion(name, &names) + &self.closed();
            return Err(Error::UnknownTarget {
                name: name.to_owned(),
                dir: self.targets.clone(),
                near,
            });
        }
        Target::load(&self.place(name))
    }

    /// A language by name.
    ///
    /// # Errors
    /// [`Error::UnknownLanguage`] with names that may have been meant, or what is wrong with its file.
    pub fn language(&self, name: &str) -> Result<Language, Error> {
        let names = self.language_names()?;
        if !names.iter().any(|known| known == name) {
            let near = suggestion(name, &names);
            return Err(Error::UnknownLanguage {
                name: name.to_owned(),
                dir: self.languages.clone(),
                near,
            });
        }
        let path = self.languages.join(format!("{name}.toml"));
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        Ok(Language::parse(&shown(&path), &bytes)?)
    }

    /// The target and the language of a task.
    ///
    /// # Errors
    /// As for [`Catalog::target`] and [`Catalog::language`]; [`Error::NotOffered`] when the target is not to be rebuilt
    /// in that language.
    pub fn task(&self, task: &Task) -> Result<(Target, Language), Error> {
        let target = self.target(&task.target)?;
        let language = self.language(&task.language)?;
        if !target.spec.languages.contains(&task.language) {
            let reason = target.spec.excluded.get(&task.language).cloned();
            return Err(Error::NotOffered {
                target: task.target.clone(),
                language: task.language.clone(),
                reason: reason
                    .unwrap_or_else(|| format!("it has {}", target.spec.languages.join(", "))),
            });
        }
        Ok((target, language))
    }

    /// All targets with their counts, sorted by name.
    ///
    /// # Errors
    /// The first target that cannot be read.
    pub fn list(&self) -> Result<Vec<Summary>, Error> {
        let summary = |name: String| {
            let target = Target::load(&self.place(&name))?;
            let counts = target.lock()?.map(|lock| lock.counts).unwrap_or_default();
            Ok(Summary {
                families: u32::try_from(target.family_count()?).unwrap_or(u32::MAX),
                name: target.spec.name,
                domain: target.spec.domain,
                size: target.spec.size,
                languages: target.spec.languages,
                visible: counts.visible,
                hidden: counts.hidden,
            })
        };
        self.target_names()?.into_iter().map(summary).collect()
    }
}

/// The nearest directory of that name in `from` or above it.
fn upward(from: &Path, name: &str) -> Option<PathBuf> {
    from.ancestors()
        .map(|dir| dir.join(name))
        .find(|dir| dir.is_dir())
}

/// Up to this many names are listed in full.
const FEW: usize = 12;

fn suggestion(name: &str, known: &[String]) -> String {
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("; did you mean \"{near}\"?"),
        None if known.is_empty() => "; there are none".to_owned(),
        None if known.len() <= FEW => format!("; there are {}", known.join(", ")),
        None => format!(
            "; there are {}, for instance {}",
            known.len(),
            known[..FEW].join(", ")
        ),
    }
}
