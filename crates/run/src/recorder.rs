//! A run being written: journal, contents and workspace history together.

use std::path::Path;

use agent::event::{Content, Event, RecordError, Recorder, TreeHash};

use crate::blobs::Store;
use crate::error::Error;
use crate::header::Header;
use crate::history::History;
use crate::index::{Index, Records};
use crate::journal::{Journal, Opened, Torn};
use crate::known::Known;
use crate::owner::{Claimed, Right};
use crate::redact::Redactor;
use crate::tree::Limits;
use crate::walk::{self, Memory};

/// A run, open for writing by this process alone.
#[derive(Debug)]
pub struct Run {
    journal: Journal,
    store: Store,
    limits: Limits,
    memory: Memory,
    tree: Option<TreeHash>,
    history: Option<History>,
    /// Why the history is no longer written.
    history_error: Option<Error>,
}

/// A run that was opened again.
#[derive(Debug)]
pub struct OpenedRun {
    /// The run.
    pub run: Run,
    /// What a crash had left of an event that was never acknowledged.
    pub recovered: Option<Torn>,
    /// Where its events stand.
    pub index: Index,
    /// Whether all who had it open before are known to have ended. Otherwise one of them may still change the workspace.
    pub clean: bool,
}

impl OpenedRun {
    /// The record so far, as a scaffold reads it.
    pub fn records(&self) -> Records<'_> {
        Records {
            index: &self.index,
            store: &self.run.store,
        }
    }
}

impl Run {
    /// Begins a run in `dir`, which must not exist. `known` is what its task provides; `limits` are those
    /// of its workspace.
    pub fn create(
        dir: &Path,
        header: &Header,
        known: Known,
        limits: Limits,
    ) -> Result<Self, Error> {
        Ok(Run::new(Journal::create(dir, header)?, None, known, limits))
    }

    /// The same in a directory that was claimed and may have the beginnings of a run.
    pub fn create_in(
        dir: &Path,
        header: &Header,
        claimed: Claimed,
        known: Known,
        limits: Limits,
    ) -> Result<Self, Error> {
        let journal = Journal::create_in(dir, header, claimed)?;
        Ok(Run::new(journal, None, known, limits))
    }

    /// Goes on with the run in `dir`.
    pub fn open(dir: &Path, known: Known, limits: Limits) -> Result<OpenedRun, Error> {
        Run::opened(Journal::open(dir)?, known, limits)
    }

    /// The same for whoever has claimed the run already.
    pub fn open_as(
        dir: &Path,
        claimed: Claimed,
        known: Known,
        limits: Limits,
    ) -> Result<OpenedRun, Error> {
        Run::opened(Journal::open_as(dir, claimed)?, known, limits)
    }

    fn opened(opened: Opened, known: Known, limits: Limits) -> Result<OpenedRun, Error> {
        let run = Run::new(opened.journal, opened.tree, known, limits);
        run.store.clean()?;
        Ok(OpenedRun {
            run,
            recovered: opened.recovered,
            index: opened.index,
            clean: opened.clean,
        })
    }

    fn new(journal: Journal, tree: Option<TreeHash>, known: Known, limits: Limits) -> Self {
        let store = Store::open(journal.dir(), known);
        Run {
            journal,
            store,
            limits,
            memory: Memory::default(),
            tree,
            history: None,
            history_error: None,
        }
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// From here on, each change of the workspace becomes a commit in `workspace.git`; those before it are caught up with.
    /// It is made of what is recorded, so when it cannot be written the run goes on without it.
    pub fn keep_history(&mut self, index: &Index) {
        match History::open(self.journal.dir(), index, &self.store) {
            Ok(history) => self.history = Some(history),
            Err(error) => self.history_error = Some(error),
        }
    }

    /// Why the history is no longer written, if that is so.
    pub fn history_error(&self) -> Option<&Error> {
        self.history_error.as_ref()
    }

    /// From here on, what this hides is not recorded.
    pub fn hide(&mut self, redactor: Redactor) {
        self.journal.hide(redactor);
    }

    /// A way to ask whether this process still owns the run.
    pub fn right(&self) -> Right {
        self.journal.right()
    }

    /// The contents.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A failure that leaves a hole: nothing may be recorded after it as if all before were there.
    fn stop(&mut self, error: Error) -> RecordError {
        self.journal.refuse(&error);
        RecordError::Journal(Box::new(error))
    }
}

impl Recorder for Run {
    fn note(&mut self, event: Event) -> Result<u64, RecordError> {
        match self.journal.note(&event) {
            Ok(seq) => {
                if let Some(history) = &mut self.history {
                    history.see(seq, self.journal.last_time(), &event);
                }
                if let Event::Workspace { tree, .. } = event {
                    self.tree = Some(tree);
                }
                Ok(seq)
            }
            Err(error) => Err(self.stop(error)),
        }
    }

    fn flush(&mut self) -> Result<(), RecordError> {
        if let Err(error) = self.journal.flush() {
            return Err(self.stop(error));
        }
        if let Some(history) = &mut self.history
            && let Err(error) = history.write(&self.store)
        {
            self.history = None;
            self.history_error = Some(error);
        }
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<Content, RecordError> {
        let redacted = self.journal.redactor().redact(bytes);
        let bytes = redacted.as_deref().unwrap_or(bytes);
        if let Some(content) = Content::inline(bytes) {
            return Ok(content);
        }
        match self.store.put(bytes) {
            Ok(sha256) => Ok(Content::Blob {
                sha256,
                bytes: bytes.len() as u64,
            }),
            Err(error) => Err(self.stop(error)),
        }
    }

    fn bytes(&self, content: &Content) -> Result<Vec<u8>, RecordError> {
        let read = match content {
            Content::Inline(text) => Ok(text.clone().into_bytes()),
            Content::Blob { sha256, .. } => self.store.get(sha256),
        };
        read.map_err(|error| RecordError::Journal(Box::new(error)))
    }

    fn snapshot(&mut self, workspace: &Path) -> Result<Option<TreeHash>, RecordError> {
        match walk::snapshot(&mut self.store, &mut self.memory, workspace, self.limits) {
            Ok(tree) => Ok((self.tree != Some(tree)).then_some(tree)),
            Err(error) if error.is_about_workspace() => {
                Err(RecordError::Workspace(Box::new(error)))
            }
            Err(error) => Err(self.stop(error)),
        }
    }

    fn tree(&self) -> Option<TreeHash> {
        self.tree
    }
}
