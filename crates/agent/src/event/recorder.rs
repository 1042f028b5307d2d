//! Where events go.

use std::error::Error;
use std::path::Path;

use super::{Content, Event, TreeHash};

/// Where a session writes down what happens, before it takes effect.
pub trait Recorder {
    /// Takes an event and gives its sequence number. It is durable after the next [`Recorder::flush`], in its place
    /// before all later ones; until then, nothing that it tells of may have an effect outside.
    fn note(&mut self, event: Event) -> Result<u64, RecordError>;

    /// Makes all that was noted durable.
    fn flush(&mut self) -> Result<(), RecordError>;

    /// Makes an event durable, and all that was noted before it. When this fails, what the event announces must not
    /// happen.
    fn record(&mut self, event: Event) -> Result<(), RecordError> {
        self.note(event)?;
        self.flush()
    }

    /// Keeps bytes that an event is to refer to. They are durable when this returns.
    fn content(&mut self, bytes: &[u8]) -> Result<Content, RecordError>;

    /// The bytes behind a content that was kept before.
    fn bytes(&self, content: &Content) -> Result<Vec<u8>, RecordError>;

    /// Keeps the workspace as it is, for the caller to record as [`Event::Workspace`]; `None` when it
    /// is still what was last recorded, also by an earlier session.
    fn snapshot(&mut self, workspace: &Path) -> Result<Option<TreeHash>, RecordError>;

    /// The workspace as last recorded, also by an earlier session; `None` before the first time.
    fn tree(&self) -> Option<TreeHash>;
}

/// Why something was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Nothing can be recorded any more, so the run must stop.
    #[error("the run cannot be recorded, so it stops here")]
    Journal(#[source] Box<dyn Error + Send + Sync>),
    /// This state of the workspace cannot be recorded, and the agent can change that: too many files,
    /// or too large. The run may go on.
    #[error("the workspace cannot be recorded")]
    Workspace(#[source] Box<dyn Error + Send + Sync>),
}
