//! Shared input files of a target.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use crate::bytes::Digest;
use crate::near::did_you_mean;
use crate::problem::Problem;

/// Content shorter than this is written out rather than named: a reader sees it in place.
pub const NAMED_FROM: usize = 4096;
/// Largest fixture, in bytes.
const MOST_BYTES: u64 = 64 << 20;

/// The files below `targets/<name>/fixtures`, by path.
#[derive(Clone, Debug, Default)]
pub struct Fixtures {
    files: BTreeMap<String, Vec<u8>>,
    names: HashMap<Digest, String>,
}

impl Fixtures {
    /// No fixtures: byte strings are always written out.
    pub fn none() -> Self {
        Fixtures::default()
    }

    /// Fixtures from paths and contents. Of two with equal content the first by path gives its name.
    pub fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        let mut names = HashMap::new();
        for (path, content) in files
            .iter()
            .filter(|(_, content)| content.len() >= NAMED_FROM)
        {
            names
                .entry(Digest::of(content))
                .or_insert_with(|| path.clone());
        }
        Fixtures { files, names }
    }

    /// Reads a directory; one that does not exist holds no fixtures.
    ///
    /// # Errors
    /// A [`Problem`] for what cannot be read, is no regular file or directory, is larger than 64 MiB, or whose name
    /// is not UTF-8.
    pub fn load(dir: &Path) -> Result<Self, Problem> {
        let mut files = BTreeMap::new();
        if dir.exists() {
            collect(dir, "", &mut files)?;
        }
        Ok(Fixtures::new(files))
    }

    /// The content of a fixture.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// The fixture that holds exactly this content, if it is long enough to be named.
    pub fn named(&self, content: &[u8]) -> Option<&str> {
        if content.len() < NAMED_FROM || self.names.is_empty() {
            return None;
        }
        self.names.get(&Digest::of(content)).map(String::as_str)
    }

    /// That there is no such fixture.
    pub(crate) fn unknown(&self, path: &str) -> String {
        let near = did_you_mean(path, self.files.keys().map(String::as_str));
        format!("there is no fixture \"{path}\" in the target's fixtures directory{near}")
    }
}

fn collect(dir: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Result<(), Problem> {
    let shown = dir.display().to_string();
    for entry in fs::read_dir(dir).map_err(|error| Problem::whole(&shown, error.to_string()))? {
        let entry = entry.map_err(|error| Problem::whole(&shown, error.to_string()))?;
        let place = entry.path();
        let problem = |what: String| Problem::whole(&place.display().to_string(), what);
        let Ok(name) = entry.file_name().into_string() else {
            return Err(problem("the name is not valid UTF-8".to_owned()));
        };
        let path = format!("{prefix}{name}");
        let metadata = fs::symlink_metadata(&place).map_err(|error| problem(error.to_string()))?;
        if metadata.is_dir() {
            collect(&place, &format!("{path}/"), files)?;
        } else if !metadata.is_file() {
            return Err(problem("a fixture must be a regular file".to_owned()));
        } else if metadata.len() > MOST_BYTES {
            return Err(problem(format!(
                "a fixture may have at most {} MiB",
                MOST_BYTES >> 20
            )));
        } else {
            let content = fs::read(&place).map_err(|error| problem(error.to_string()))?;
            files.insert(path, content);
        }
    }
    Ok(())
}
