//! The workspace's history as a Git repository, `workspace.git`: a commit for each change.
//!
//! It is made of the journal and the blobs and can be made again from them at any time, so nothing waits for it to be
//! durable: after a power failure it is made anew.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use agent::event::{Digest, Entry, Event, Time, TreeHash};

use crate::blobs::Store;
use crate::error::{Error, io as naming};
use crate::git::{Mode, Oid, Repository};
use crate::index::Index;
use crate::tree::{Node, Tree};

const NAME: &str = "workspace.git";
/// Says how far the repository has come: event, commit, turn, and the boot in which it was written.
const TIP: &str = "mirrorcode-tip";
/// Longest first line of a commit's message, in characters.
const SUBJECT: usize = 72;

/// The repository of a run that is being written.
#[derive(Debug)]
pub(crate) struct History {
    dir: PathBuf,
    repository: Repository,
    tip: Option<Oid>,
    /// Last event that is in it.
    seq: u64,
    turn: u64,
    label: String,
    /// Files of the last tree.
    known: HashMap<Digest, Oid>,
    waiting: Vec<(u64, Time, TreeHash, String)>,
}

impl History {
    /// Opens the history of the run in `dir`, and makes it as long as the journal.
    pub(crate) fn open(run: &Path, index: &Index, store: &Store) -> Result<Self, Error> {
        let dir = run.join(NAME);
        let boot = crate::boot().unwrap_or_default();
        let tip = fs::read_to_string(dir.join(TIP)).unwrap_or_default();
        let words: Vec<&str> = tip.split_whitespace().collect();
        let tip = match words[..] {
            [seq, oid, turn, of] if of == boot => {
                (|| Some((seq.parse().ok()?, Oid::parse(oid)?, turn.parse().ok()?)))()
            }
            _ => None,
        };
        if tip.is_none() && dir.exists() {
            fs::remove_dir_all(&dir).map_err(naming("remove", &dir))?;
        }
        let repository = Repository::open(&dir).map_err(naming("make", &dir))?;
        let mut history = History {
            dir,
            repository,
            tip: tip.map(|(_, oid, _)| oid),
            seq: tip.map_or(0, |(seq, _, _)| seq),
            turn: tip.map_or(0, |(_, _, turn)| turn),
            label: String::new(),
            known: HashMap::new(),
            waiting: Vec::new(),
        };
        if index
            .last("workspace")
            .is_some_and(|last| last > history.seq)
        {
            let mut failed = Ok(());
            index.each(
                history.seq + 1,
                u64::MAX,
                &mut |Entry { seq, time, event }| {
                    history.see(seq, time, &event);
                    failed = history.write(store);
                    failed.is_ok()
                },
            )?;
            failed?;
        }
        Ok(history)
    }

    /// Takes notice of an event; a change of the workspace is written with the next [`History::write`].
    pub(crate) fn see(&mut self, seq: u64, time: Time, event: &Event) {
        match event {
            Event::Call { turn: number, .. } | Event::ToolCall { number, .. } => {
                self.turn = *number
            }
            Event::Command { script, .. } => {
                let script = String::from_utf8_lossy(&script.0);
                self.label = script.lines().next().unwrap_or_default().to_owned();
            }
            Event::Edit { .. } => self.label = "edit".to_owned(),
            Event::Workspace { number, tree } => {
                let mut subject: String = match (self.turn, number) {
                    (0, 0) => "before the first command".to_owned(),
                    (0, number) => format!("command {number}: {}", self.label),
                    (turn, _) => format!("turn {turn}: {}", self.label),
                };
                if subject.chars().count() > SUBJECT {
                    subject = subject.chars().take(SUBJECT - 3).collect::<String>() + "...";
                }
                let message = format!(
                    "{subject}\n\nTurn: {}\nCommand: {number}\nTree: {tree}",
                    self.turn
                );
                self.waiting.push((seq, time, *tree, message));
            }
            _ => {}
        }
    }

    /// Writes what is waiting, once the journal has it.
    pub(crate) fn write(&mut self, store: &Store) -> Result<(), Error> {
        for (seq, time, tree, message) in std::mem::take(&mut self.waiting) {
            let nodes = Tree::load(store, tree)?.nodes;
            let mut known = HashMap::new();
            let top = self.directory(store, &nodes, 0, &mut known)?;
            let failed = naming::<io::Error>("write", &self.dir);
            let oid = self
                .repository
                .commit(top, self.tip, time.milliseconds() / 1000, &message)
                .map_err(failed)?;
            self.known = known;
            self.tip = Some(oid);
            self.seq = seq;
            let boot = crate::boot().unwrap_or_default();
            let text = format!("{seq} {oid} {} {boot}\n", self.turn);
            let (path, new) = (self.dir.join(TIP), self.dir.join("mirrorcode-tip.new"));
            fs::write(&new, text)
                .and_then(|()| fs::rename(&new, &path))
                .map_err(naming("write", &path))?;
        }
        Ok(())
    }

    /// Writes the directory that sorted nodes are in whose paths are alike up to `skip` bytes.
    fn directory(
        &self,
        store: &Store,
        nodes: &[Node],
        skip: usize,
        known: &mut HashMap<Digest, Oid>,
    ) -> Result<Oid, Error> {
        let failed = |error: io::Error| naming("write", &self.dir)(error);
        let mut entries = Vec::new();
        // Sorted by path, `a/b` and `a.c` need not stand beside their likes: directories are gathered by name.
        let mut below: Vec<(Vec<u8>, Vec<Node>)> = Vec::new();
        for node in nodes {
            let rest = &node.path().0[skip..];
            if let Some(slash) = rest.iter().position(|byte| *byte == b'/') {
                let name = &rest[..slash];
                match below.iter_mut().rev().find(|(known, _)| known == name) {
                    Some((_, nodes)) => nodes.push(node.clone()),
                    None => below.push((name.to_vec(), vec![node.clone()])),
                }
                continue;
            }
            match node {
                Node::File {
                    sha256, executable, ..
                } => {
                    let key = *sha256;
                    let oid = match known.get(&key).or_else(|| self.known.get(&key)) {
                        Some(oid) => *oid,
                        None => self.repository.blob(&store.get(sha256)?).map_err(failed)?,
                    };
                    known.insert(key, oid);
                    let mode = if *executable {
                        Mode::Executable
                    } else {
                        Mode::File
                    };
                    entries.push((rest.to_vec(), mode, oid));
                }
                Node::Link { to, .. } => {
                    let oid = self.repository.blob(&to.0).map_err(failed)?;
                    entries.push((rest.to_vec(), Mode::Link, oid));
                }
                // Git has no empty directories.
                Node::Directory { .. } | Node::Unreadable { .. } => {}
            }
        }
        for (name, nodes) in below {
            let oid = self.directory(store, &nodes, skip + name.len() + 1, known)?;
            entries.push((name, Mode::Directory, oid));
        }
        self.repository.tree(entries).map_err(failed)
    }
}
