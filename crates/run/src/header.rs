//! `run.toml`: what run a directory holds. And the runs that there are.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use agent::event::{FORMAT, Time};
use serde::{Deserialize, Serialize};

use crate::error::{Error, io};
use crate::files;

const NAME: &str = "run.toml";

/// Largest `run.toml` that is read, in bytes.
const MAX_HEADER: u64 = 1 << 20;

/// What `run.toml` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The run's name, and that of its directory. Names sort by the time of the start:
    /// `20261124T021000-gron-python-3f9a`.
    pub id: String,
    /// Task, as in `gron/python`.
    pub task: String,
    /// When the run was made.
    pub created: Time,
    /// [`FORMAT`] of the journal.
    pub format: u32,
    /// Version of the program that made the run.
    pub mirrorcode: String,
    /// Digests of what the task is made of, by name.
    #[serde(default)]
    pub digests: BTreeMap<String, String>,
}

impl Header {
    /// The header of a run that begins now, with a new name.
    pub fn new(
        task: &str,
        mirrorcode: &str,
        digests: BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let wrong = || Error::TaskName {
            task: task.to_owned(),
        };
        let (target, language) = task.split_once('/').ok_or_else(wrong)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if [target, language]
            .iter()
            .any(|part| part.is_empty() || !part.bytes().all(plain))
        {
            return Err(wrong());
        }
        let mut random = [0; 2];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(io("read", Path::new("/dev/urandom")))?;
        let created = Time::now();
        let stamp: String = created
            .to_string()
            .chars()
            .filter(|letter| !"-:".contains(*letter))
            .take(15)
            .collect();
        Ok(Header {
            id: format!(
                "{stamp}-{target}-{language}-{:04x}",
                u16::from_ne_bytes(random)
            ),
            task: task.to_owned(),
            created,
            format: FORMAT,
            mirrorcode: mirrorcode.to_owned(),
            digests,
        })
    }

    /// Reads the header of the run in `dir`.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let path = dir.join(NAME);
        let mut text = String::new();
        files::open(&path)
            .and_then(|file| file.take(MAX_HEADER).read_to_string(&mut text))
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::NotARun {
                    dir: dir.to_owned(),
                },
                _ => io("read", &path)(error),
            })?;
        let damaged = |source| Error::Header {
            path: path.clone(),
            source: Box::new(source),
        };
        let Format { format: found } = toml::from_str(&text).map_err(damaged)?;
        if found > FORMAT {
            return Err(Error::TooNew { path, found });
        }
        toml::from_str(&text).map_err(damaged)
    }

    /// Turns `dir` into a run.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(NAME);
        let text =
            toml::to_string(self).map_err(|error| io("write", &path)(io::Error::other(error)))?;
        files::write_whole(&path, text.as_bytes())
    }
}

/// A directory that is or should be a run.
#[derive(Debug)]
pub struct Listed {
    /// The directory.
    pub dir: PathBuf,
    /// Its header, or why there is none to be had.
    pub header: Result<Header, Error>,
}

/// The runs in a directory, oldest first. A directory that does not exist holds none; what has no
/// `run.toml` is not a run.
pub fn list(runs: &Path) -> Result<Vec<Listed>, Error> {
    let entries = match fs::read_dir(runs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io("read", runs))?,
    };
    let mut listed = Vec::new();
    for entry in entries {
        let dir = entry.map_err(io("read", runs))?.path();
        match Header::read(&dir) {
            Err(Error::NotARun { .. }) => {}
            header => listed.push(Listed { dir, header }),
        }
    }
    listed.sort_by(|one, other| one.dir.cmp(&other.dir));
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time() {
        let header = Header::new("jq_simple/python", "0.1.0", BTreeMap::new()).unwrap();
        let (stamp, rest) = header.id.split_once('-').unwrap();
        assert_eq!(stamp.len(), 15);
        assert_eq!(stamp.as_bytes()[8], b'T');
        assert_eq!(rest.rsplit_once('-').unwrap().0, "jq_simple-python");
        for task in [
            "gron",
            "gron/",
            "/c",
            "../../etc/c",
            "gron/a/b",
            "gron/a b",
            "",
        ] {
            assert!(
                matches!(
                    Header::new(task, "", BTreeMap::new()),
                    Err(Error::TaskName { .. })
                ),
                "{task}"
            );
        }
    }

    #[test]
    fn runs_are_listed_oldest_first() {
        let runs = tempfile::tempdir().unwrap();
        assert!(list(&runs.path().join("none")).unwrap().is_empty());
        let header =
            Header::new("gron/c", "0.1.0", [("rootfs".into(), "ab".into())].into()).unwrap();
        for name in ["b", "a", "newer", "broken", "other"] {
            fs::create_dir(runs.path().join(name)).unwrap();
        }
        header.write(&runs.path().join("b")).unwrap();
        header.write(&runs.path().join("a")).unwrap();
        fs::write(
            runs.path().join("newer/run.toml"),
            "format = 99\nnews = true\n",
        )
        .unwrap();
        fs::write(runs.path().join("broken/run.toml"), "format = \n").unwrap();
        let listed = list(runs.path()).unwrap();
        let names: Vec<_> = listed
            .iter()
            .map(|run| run.dir.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["a", "b", "broken", "newer"]);
        assert_eq!(listed[0].header.as_ref().unwrap(), &header);
        assert!(matches!(listed[2].header, Err(Error::Header { .. })));
        assert!(matches!(
            listed[3].header,
            Err(Error::TooNew { found: 99, .. })
        ));
    }
}
