//! What sessions, brokers, controls and scaffolds write to: one recorder for all of them.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::{Content, Event, RecordError, Recorder, TreeHash};

/// The one record of a run, shared by all who take part in it.
#[derive(Clone)]
pub struct Ledger(Arc<Mutex<Book>>);

/// What the ledger holds.
pub(crate) struct Book {
    pub(crate) recorder: Box<dyn Recorder + Send>,
    pub(crate) command: Option<u64>,
    /// Calls of the reference, recorded with the result of the command that made them: they change
    /// nothing outside the sandbox, so nothing waits for each of them to be durable.
    pub(crate) calls: Vec<Event>,
    pub(crate) submitted: bool,
    /// Cases that passed and that were run in the last evaluation.
    pub(crate) evaluated: Option<(u64, u64)>,
}

impl Ledger {
    /// A ledger over this recorder.
    pub fn new(recorder: Box<dyn Recorder + Send>) -> Self {
        Ledger(Arc::new(Mutex::new(Book {
            recorder,
            command: None,
            calls: Vec::new(),
            submitted: false,
            evaluated: None,
        })))
    }

    pub(crate) fn open(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event; durable with the next that is recorded. Gives its sequence number.
    ///
    /// # Errors
    /// When nothing can be recorded any more.
    pub fn note(&self, event: Event) -> Result<u64, RecordError> {
        self.open().recorder.note(event)
    }

    /// Makes an event durable, and all that was noted before.
    ///
    /// # Errors
    /// When nothing can be recorded any more.
    pub fn record(&self, event: Event) -> Result<(), RecordError> {
        self.open().recorder.record(event)
    }

    /// Makes all that was noted durable.
    ///
    /// # Errors
    /// When nothing can be recorded any more.
    pub fn flush(&self) -> Result<(), RecordError> {
        self.open().recorder.flush()
    }

    /// Takes down the calls of the reference that a command has made so far, which would otherwise wait for its end.
    pub(crate) fn note_calls(&self) -> Result<(), RecordError> {
        let mut book = self.open();
        for call in std::mem::take(&mut book.calls) {
            book.recorder.note(call)?;
        }
        Ok(())
    }

    /// Number of the command under way; 0 for none.
    pub(crate) fn command(&self) -> u64 {
        self.open().command.unwrap_or(0)
    }

    /// Keeps bytes that an event is to refer to.
    ///
    /// # Errors
    /// When nothing can be recorded any more.
    pub fn content(&self, bytes: &[u8]) -> Result<Content, RecordError> {
        self.open().recorder.content(bytes)
    }

    /// The bytes behind a content that was kept before.
    ///
    /// # Errors
    /// When they are missing or damaged.
    pub fn bytes(&self, content: &Content) -> Result<Vec<u8>, RecordError> {
        self.open().recorder.bytes(content)
    }

    /// The workspace as last recorded.
    pub fn tree(&self) -> Option<TreeHash> {
        self.open().recorder.tree()
    }

    /// Keeps the workspace as it is, if that is news.
    pub(crate) fn snapshot(&self, workspace: &Path, number: u64) -> Result<(), RecordError> {
        let mut book = self.open();
        if let Some(tree) = book.recorder.snapshot(workspace)? {
            book.recorder.note(Event::Workspace { number, tree })?;
        }
        Ok(())
    }

    /// Whether the work has been submitted.
    pub fn is_submitted(&self) -> bool {
        self.open().submitted
    }

    /// Cases that passed and cases that were run in the last evaluation of this session.
    pub fn evaluated(&self) -> Option<(u64, u64)> {
        self.open().evaluated
    }
}
