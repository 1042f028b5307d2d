//! What a bundle says of itself.

use std::collections::BTreeMap;

use agent::event::{Digest, TreeHash};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Fault, fault};
use crate::limits::Limits;

/// Version of the form of bundles that is written, and the only one that is read.
pub const FORMAT: u32 = 1;
/// Name of the run's header.
pub const RUN: &str = "run.toml";
/// Name of the journal.
pub const JOURNAL: &str = "journal.jsonl";
/// Name of the verdict.
pub const VERDICT: &str = "verdict.json";
/// Longest id of a run, in bytes.
const LONGEST_ID: usize = 120;

/// What a bundle says of itself: the part that is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Id of the run.
    pub run: String,
    /// Task, as in `gron/python`.
    pub task: String,
    /// The workspace that was scored.
    pub submission: TreeHash,
    /// What it was scored with, as the verdict says: name to version or hash.
    pub versions: BTreeMap<String, String>,
    /// Version of the program that wrote the bundle.
    pub mirrorcode: String,
    /// The files, sorted by path.
    pub files: Vec<Listed>,
}

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Path in the run's directory.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its hash.
    pub sha256: Digest,
}

impl Manifest {
    /// The manifest's text: the same manifest is always the same bytes.
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("a manifest holds only text and numbers");
        text.push('\n');
        text
    }

    /// Reads a manifest that anybody may have written.
    pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let wrong = |message: String| fault(Fault::Form, format!("manifest.json: {message}"));
        let found: Format =
            serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if found.format != FORMAT {
            return Err(wrong(format!(
                "format {} is not the one that this mirrorcode reads, {FORMAT}",
                found.format
            )));
        }
        let manifest: Manifest =
            serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if manifest.to_json().as_bytes() != bytes {
            return Err(wrong("it is not written as this program writes it".into()));
        }
        manifest.check(limits)?;
        Ok(manifest)
    }

    fn check(&self, limits: &Limits) -> Result<(), Error> {
        let wrong = |message: String| Err(fault(Fault::Form, format!("manifest.json: {message}")));
        if !is_id(&self.run) {
            return wrong(format!("{:?} is no id of a run", self.run));
        }
        if !is_task(&self.task) {
            return wrong(format!("{:?} is no task", self.task));
        }
        if self.files.len() > limits.files {
            return Err(fault(
                Fault::TooLarge,
                format!(
                    "the bundle has {} files, more than {}",
                    self.files.len(),
                    limits.files
                ),
            ));
        }
        let mut room = limits.unpacked;
        for (index, file) in self.files.iter().enumerate() {
            if !is_path(&file.path) {
                return wrong(format!("{:?} has no place in a bundle", file.path));
            }
            if index > 0 && self.files[index - 1].path >= file.path {
                return wrong(format!("{:?} is out of order", file.path));
            }
            room = room.checked_sub(file.bytes).ok_or_else(|| {
                fault(
                    Fault::TooLarge,
                    format!("the bundle unpacks to more than {} bytes", limits.unpacked),
                )
            })?;
        }
        for needed in [RUN, JOURNAL, VERDICT] {
            if !self.files.iter().any(|file| file.path == needed) {
                return wrong(format!("{needed} is missing"));
            }
        }
        Ok(())
    }

    /// The contents: their hashes, as their names tell.
    pub fn blobs(&self) -> impl Iterator<Item = Digest> {
        self.files.iter().filter_map(|file| blob(&file.path))
    }
}

/// Letters, digits, `-`, `_` and `.`, not a dot first.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Whether a run can have this id.
pub(crate) fn is_id(id: &str) -> bool {
    id.len() <= LONGEST_ID && is_plain(id)
}

fn is_task(task: &str) -> bool {
    task.len() <= LONGEST_ID
        && task
            .split_once('/')
            .is_some_and(|(target, language)| is_plain(target) && is_plain(language))
}

/// The paths that there are: a list, so that no other can be written to.
fn is_path(path: &str) -> bool {
    [RUN, JOURNAL, VERDICT].contains(&path) || blob(path).is_some()
}

/// The content that `blobs/ab/cdef...` holds.
pub(crate) fn blob(path: &str) -> Option<Digest> {
    let rest = path.strip_prefix("blobs/")?;
    let (start, end) = rest.split_once('/')?;
    let hex = |text: &str, length: usize| {
        text.len() == length
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    (hex(start, 2) && hex(end, 62))
        .then(|| format!("{start}{end}").parse().ok())
        .flatten()
}

/// Where a content stands.
pub(crate) fn blob_path(digest: &Digest) -> String {
    let name = digest.to_string();
    format!("blobs/{}/{}", &name[..2], &name[2..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_anywhere() {
        let digest = run::digest(b"content");
        assert_eq!(blob(&blob_path(&digest)), Some(digest));
        assert!(is_path(RUN) && is_path(&blob_path(&digest)));
        let sixty = "a".repeat(62);
        for path in [
            "",
            "/etc/passwd",
            "../run.toml",
            "blobs/../run.toml",
            "./run.toml",
            "run.toml/",
            "control.json",
            "blobs/aa",
            &format!("blobs/aa/{sixty}/b"),
            &format!("blobs/AA/{sixty}"),
            &format!("blobs//aa/{sixty}"),
            &format!("blobs/aa/{}é", "a".repeat(60)),
        ] {
            assert!(!is_path(path), "{path}");
        }
        for id in ["", ".", "..", "a/b", "a\0", "é", &"a".repeat(121)] {
            assert!(!is_id(id), "{id}");
        }
        for task in ["gron", "gron/", "/c", "../c", "gron/c/d", "gron/.."] {
            assert!(!is_task(task), "{task}");
        }
    }
}
