//! A run with a workspace to be kept in it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::header;
use agent::event::{Event, RecordError, Recorder, TreeHash};
use run::{Known, Limits, Node, Run, Tree, restore};

/// A run and a workspace.
pub struct Place {
    pub runs: tempfile::TempDir,
    pub run: Run,
}

impl Place {
    pub fn new(limits: Limits) -> Self {
        let runs = tempfile::tempdir().unwrap();
        let run = Run::create(
            &runs.path().join("run"),
            &header(),
            Known::nothing(),
            limits,
        )
        .unwrap();
        fs::create_dir(runs.path().join("workspace")).unwrap();
        Place { runs, run }
    }

    pub fn at(&self, path: &str) -> std::path::PathBuf {
        self.runs.path().join("workspace").join(path)
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    pub fn snapshot(&mut self) -> Result<Option<TreeHash>, RecordError> {
        let tree = self.run.snapshot(&self.at(""))?;
        if let Some(tree) = tree {
            self.run.record(Event::Workspace { number: 1, tree })?;
        }
        Ok(tree)
    }

    pub fn nodes(&self) -> Vec<Node> {
        Tree::load(self.run.store(), self.run.tree().unwrap())
            .unwrap()
            .nodes
    }

    pub fn names(&self) -> Vec<String> {
        self.nodes()
            .iter()
            .map(|node| String::from_utf8_lossy(&node.path().0).into_owned())
            .collect()
    }

    pub fn restored(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        restore(
            self.run.store(),
            self.run.tree().unwrap(),
            dir.path(),
            Limits::WORKSPACE,
        )
        .unwrap();
        dir
    }
}

/// Everything below a directory, by path: what it is and what it holds.
pub fn contents(dir: &Path) -> BTreeMap<Vec<u8>, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut rest = vec![dir.to_owned()];
    while let Some(at) = rest.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let holds = if meta.is_symlink() {
                (
                    1,
                    fs::read_link(&path)
                        .unwrap()
                        .into_os_string()
                        .as_bytes()
                        .to_vec(),
                )
            } else if meta.is_dir() {
                rest.push(path.clone());
                (2, Vec::new())
            } else {
                (meta.permissions().mode() & 0o100, fs::read(&path).unwrap())
            };
            all.insert(
                path.strip_prefix(dir)
                    .unwrap()
                    .as_os_str()
                    .as_bytes()
                    .to_vec(),
                holds,
            );
        }
    }
    all
}
