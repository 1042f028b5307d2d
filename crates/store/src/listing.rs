//! What a directory holds, as it is written down in a store; and the check of what a stranger wrote down.
//!
//! A listing is JSON Lines: the objects that the files were cut into, then one line for each directory, file and link. It
//! is stored in objects itself. The head beside them (`runs/ID.json`) names these and is written last, so a directory whose
//! head is there is whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::hash::{Hash, hex, unhex};

/// Version of all this.
pub(crate) const FORMAT: u32 = 1;
/// Most bytes of an object before it is compressed.
pub(crate) const MAX_OBJECT: usize = 16 << 20;
/// Most bytes of a listing.
pub(crate) const MAX_LISTING: u64 = 256 << 20;
/// Most bytes of a head.
pub(crate) const MAX_HEAD: u64 = 1 << 20;
/// Most bytes of all files of one directory.
pub(crate) const MAX_BYTES: u64 = 256 << 30;
/// Most bytes of a path, as the kernel has it.
const MAX_PATH: usize = 4096;

/// What a stored directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A run.
    Run,
    /// A root filesystem.
    Image,
}

impl Kind {
    /// Where its heads are.
    pub(crate) fn directory(self) -> &'static str {
        match self {
            Kind::Run => "runs",
            Kind::Image => "images",
        }
    }

    /// The file that says which run or image it is.
    pub(crate) fn identity(self) -> &'static [u8] {
        match self {
            Kind::Run => b"run.toml",
            Kind::Image => b"manifest.json",
        }
    }

    /// Whether a link may stand there. Elsewhere, one could lead whoever reads the directory to files outside it.
    pub(crate) fn may_link(self, path: &[u8]) -> bool {
        match self {
            Kind::Run => path.starts_with(b"workspace/"),
            Kind::Image => path.starts_with(b"root/"),
        }
    }

    /// Whether what is there is scratch that nobody needs.
    pub(crate) fn is_scratch(self, path: &[u8]) -> bool {
        self == Kind::Run && path.starts_with(b"tmp/")
    }
}

/// An object: its name is the SHA-256 of the bytes that are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    /// Of the stored bytes.
    pub(crate) sha256: Hash,
    /// How many are stored.
    pub(crate) bytes: u64,
    /// How many they are uncompressed.
    pub(crate) raw: u64,
}

impl Object {
    /// Where it is stored.
    pub(crate) fn key(&self) -> String {
        let name = self.sha256.to_string();
        format!("objects/{}/{name}", &name[..2])
    }
}

/// Something that is not in the store, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Path in the directory.
    pub path: String,
    /// Why.
    pub why: String,
}

/// What says that a directory is in a store, and whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Head {
    pub(crate) format: u32,
    /// What it is.
    pub kind: Kind,
    /// Its name: a run's id, an image's digest.
    pub id: String,
    /// SHA-256 of `run.toml` or `manifest.json`: another one is another run of the same name.
    pub identity: Hash,
    /// Number of files.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// SHA-256 of the listing.
    pub(crate) listing: Hash,
    /// The objects that hold it.
    pub(crate) objects: Vec<Object>,
    /// What was left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

impl Head {
    /// Reads a head that a stranger may have written.
    pub(crate) fn parse(text: &[u8], kind: Kind, id: &str) -> Result<Self, String> {
        let head: Head = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if head.format != FORMAT {
            return Err(format!(
                "it is of format {}, and this program reads {FORMAT}",
                head.format
            ));
        }
        if head.kind != kind || head.id != id {
            return Err("it is of another directory".to_owned());
        }
        let bytes = head.objects.iter().try_fold(0u64, |sum, object| {
            check_object(object)?;
            Ok::<_, String>(sum + object.raw)
        })?;
        if bytes > MAX_LISTING {
            return Err(format!("its listing has {bytes} bytes"));
        }
        Ok(head)
    }
}

/// Whether this can be the name of a directory: of letters, digits, dots, dashes and underscores, no dot first.
pub fn is_name(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=200).contains(&id.len()) && !id.starts_with('.') && id.bytes().all(allowed)
}

fn check_object(object: &Object) -> Result<(), String> {
    // What does not compress grows by a little.
    let most = MAX_OBJECT as u64;
    if object.raw > most || object.bytes > most + most / 64 {
        return Err(format!("object {} is too large", object.sha256));
    }
    Ok(())
}

/// A piece of a file: which object it is in, from which byte on, how many bytes.
pub(crate) type Part = (u32, u64, u64);

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Directory {
        mode: u32,
    },
    File {
        mode: u32,
        bytes: u64,
        sha256: Hash,
        parts: Vec<Part>,
    },
    Link {
        to: Vec<u8>,
    },
}

/// What a directory holds. Paths are in the order of their bytes' components: what is in a directory follows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) objects: Vec<Object>,
    pub(crate) entries: BTreeMap<Vec<u8>, Node>,
}

/// A line of a listing.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// In hexadecimal, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Hash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<Vec<Part>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_hex: Option<String>,
}

/// Bytes as text, or else in hexadecimal.
fn told(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(hex(bytes))),
    }
}

fn heard(text: Option<String>, hex: Option<String>) -> Option<Vec<u8>> {
    match (text, hex) {
        (Some(text), None) => Some(text.into_bytes()),
        (None, Some(hex)) => unhex(&hex),
        _ => None,
    }
}

impl Listing {
    /// As it is stored.
    pub(crate) fn write(&self) -> Vec<u8> {
        let objects = self.objects.iter().map(|object| Line {
            object: Some(*object),
            ..Line::default()
        });
        let entries = self.entries.iter().map(|(path, node)| {
            let (path, path_hex) = told(path);
            let line = Line {
                path,
                path_hex,
                ..Line::default()
            };
            match node {
                Node::Directory { mode } => Line {
                    mode: Some(*mode),
                    ..line
                },
                Node::File {
                    mode,
                    bytes,
                    sha256,
                    parts,
                } => Line {
                    mode: Some(*mode),
                    bytes: Some(*bytes),
                    sha256: Some(*sha256),
                    parts: Some(parts.clone()),
                    ..line
                },
                Node::Link { to } => {
                    let (to, to_hex) = told(to);
                    Line { to, to_hex, ..line }
                }
            }
        });
        let mut text = Vec::new();
        for line in objects.chain(entries) {
            serde_json::to_writer(&mut text, &line).expect("a line is always JSON");
            text.push(b'\n');
        }
        text
    }

    /// Reads a listing that a stranger may have written. Nothing in it leads out of the directory, and its pieces are
    /// where it says.
    pub(crate) fn parse(text: &[u8], kind: Kind) -> Result<Self, String> {
        let mut listing = Listing::default();
        let lines = text.split(|byte| *byte == b'\n').filter(|l| !l.is_empty());
        for (number, line) in lines.enumerate() {
            let wrong = |what: String| format!("line {} of its listing: {what}", number + 1);
            let line: Line =
                serde_json::from_slice(line).map_err(|error| wrong(error.to_string()))?;
            listing.add(line, kind).map_err(wrong)?;
        }
        let total = listing.check(kind)?;
        if total > MAX_BYTES {
            return Err(format!(
                "its files have {total} bytes, more than {MAX_BYTES}"
            ));
        }
        Ok(listing)
    }

    fn add(&mut self, line: Line, kind: Kind) -> Result<(), String> {
        if let Some(object) = line.object {
            check_object(&object)?;
            self.objects.push(object);
            return Ok(());
        }
        let path = heard(line.path, line.path_hex).ok_or("no path")?;
        check_path(&path)?;
        let mode = line.mode.unwrap_or_default() & 0o777;
        let node = match (line.sha256, line.to, line.to_hex) {
            (Some(sha256), None, None) => Node::File {
                mode,
                bytes: line.bytes.ok_or("no size")?,
                sha256,
                parts: line.parts.unwrap_or_default(),
            },
            (None, None, None) => Node::Directory { mode },
            (None, to, hex) => {
                let to = heard(to, hex).ok_or("no target")?;
                if to.is_empty() || to.len() >= MAX_PATH || to.contains(&0) {
                    return Err("a link that leads nowhere".to_owned());
                }
                if !kind.may_link(&path) {
                    return Err(format!("a link at {}", String::from_utf8_lossy(&path)));
                }
                Node::Link { to }
            }
            _ => return Err("neither a file nor a link".to_owned()),
        };
        let twice = self.entries.insert(path, node).is_some();
        (!twice)
            .then_some(())
            .ok_or("a path for the second time".to_owned())
    }

    /// Checks how the entries fit together; counts the bytes of all files.
    fn check(&self, kind: Kind) -> Result<u64, String> {
        let mut total = 0u64;
        for (path, node) in &self.entries {
            let name = || String::from_utf8_lossy(path).into_owned();
            if let Some(end) = path.iter().rposition(|byte| *byte == b'/') {
                let parent = self.entries.get(&path[..end]);
                if !matches!(parent, Some(Node::Directory { .. })) {
                    return Err(format!("{} is in no directory", name()));
                }
            }
            let Node::File { bytes, parts, .. } = node else {
                continue;
            };
            let mut sum = 0u64;
            for (object, offset, length) in parts {
                let object = self
                    .objects
                    .get(*object as usize)
                    .ok_or_else(|| format!("{} is in no object", name()))?;
                let end = offset.checked_add(*length);
                if *length == 0 || end.is_none_or(|end| end > object.raw) {
                    return Err(format!("{} is beyond its object", name()));
                }
                sum = sum.saturating_add(*length);
            }
            if sum != *bytes {
                return Err(format!("{} has pieces of {sum} bytes", name()));
            }
            total = total.saturating_add(sum);
        }
        match self.entries.get(kind.identity()) {
            Some(Node::File { .. }) => Ok(total),
            _ => Err(format!(
                "it has no {}",
                String::from_utf8_lossy(kind.identity())
            )),
        }
    }

    /// Number of files.
    pub(crate) fn files(&self) -> u64 {
        let is_file = |node: &&Node| matches!(node, Node::File { .. });
        self.entries.values().filter(is_file).count() as u64
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = |node: &Node| match node {
            Node::File { bytes, .. } => *bytes,
            _ => 0,
        };
        self.entries.values().map(bytes).sum()
    }

    /// Hash of the file that says which run or image this is.
    pub(crate) fn identity(&self, kind: Kind) -> Option<Hash> {
        match self.entries.get(kind.identity())? {
            Node::File { sha256, .. } => Some(*sha256),
            _ => None,
        }
    }
}

fn check_path(path: &[u8]) -> Result<(), String> {
    let part = |part: &[u8]| !part.is_empty() && part != b"." && part != b"..";
    let good =
        path.len() < MAX_PATH && !path.contains(&0) && path.split(|byte| *byte == b'/').all(part);
    good.then_some(())
        .ok_or_else(|| format!("a path out of it: {}", String::from_utf8_lossy(path)))
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
