//! A state of the workspace as a list of files: one JSON object a line, sorted by path.
//!
//! ```json
//! {"kind": "file", "path": "src/main.py", "sha256": "...", "bytes": 120, "executable": true}
//! {"kind": "link", "path": "latest", "to": "src/main.py"}
//! ```

use agent::event::{Bytes, Digest, TreeHash};
use serde::{Deserialize, Serialize};

use crate::blobs::Store;
use crate::error::Error;

/// How much of a workspace is kept. Every field is a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most files, links and directories.
    pub files: u64,
    /// Most bytes in all files together; a single one has at most [`MAX_BLOB`](crate::MAX_BLOB).
    pub bytes: u64,
    /// Most directories inside each other; each needs two descriptors while it is read.
    pub depth: usize,
}

impl Limits {
    /// What suits a workspace of source code, with room for what building leaves behind.
    pub const WORKSPACE: Limits = Limits {
        files: 50_000,
        bytes: 1 << 30,
        depth: 64,
    };
}

/// Something in a workspace. Directories are listed only when nothing in them is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Node {
    /// A regular file.
    File {
        /// Path from the workspace on.
        path: Bytes,
        /// Its content.
        sha256: Digest,
        /// Its length.
        bytes: u64,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A symbolic link, which nobody followed.
    Link {
        /// Path from the workspace on.
        path: Bytes,
        /// What it says.
        to: Bytes,
    },
    /// A directory without anything that is listed.
    Directory {
        /// Path from the workspace on.
        path: Bytes,
    },
    /// A file or directory that could not be read for want of permission. It is not restored.
    Unreadable {
        /// Path from the workspace on.
        path: Bytes,
    },
}

impl Node {
    /// Path from the workspace on, without `.`, `..` or empty parts.
    pub fn path(&self) -> &Bytes {
        match self {
            Node::File { path, .. }
            | Node::Link { path, .. }
            | Node::Directory { path }
            | Node::Unreadable { path } => path,
        }
    }
}

/// A state of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// What is in it, sorted by path, each path once.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// Reads a tree back, whoever wrote it: paths that lead out of the workspace, or into `.git`, are refused.
    pub fn load(store: &Store, tree: TreeHash) -> Result<Self, Error> {
        let list = store.get(&tree.0)?;
        let mut nodes: Vec<Node> = Vec::new();
        for (index, line) in list.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let wrong = |reason: String| Error::Tree {
                tree,
                line: index + 1,
                reason,
            };
            let node: Node =
                serde_json::from_slice(line).map_err(|error| wrong(error.to_string()))?;
            let path = node.path();
            if !path.0.split(|byte| *byte == b'/').all(is_plain) {
                return Err(wrong(format!("path {path:?} cannot be in a workspace")));
            }
            if nodes.last().is_some_and(|before| before.path() >= path) {
                return Err(wrong(format!("path {path:?} is out of order")));
            }
            nodes.push(node);
        }
        Ok(Tree { nodes })
    }

    /// Keeps the list among the run's contents; durable after [`Store::flush`].
    pub(crate) fn stage(&self, store: &mut Store) -> Result<TreeHash, Error> {
        let mut list = Vec::new();
        for node in &self.nodes {
            serde_json::to_writer(&mut list, node)
                .expect("a node is always JSON, and memory takes it");
            list.push(b'\n');
        }
        store.stage(&list).map(TreeHash)
    }
}

/// Whether a name can be a part of a path.
fn is_plain(name: &[u8]) -> bool {
    !(name.is_empty() || name == b"." || name == b".." || name == b".git" || name.contains(&0))
}
