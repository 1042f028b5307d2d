//! What a caller is told while a model answers, and how it stops it.

use crate::Failure;

/// Looks on while a model answers. Called on the thread that called the model.
pub trait Watch {
    /// Something happened.
    fn event(&mut self, event: Event<'_>);

    /// Whether to stop. Asked at least every 50 ms; another thread can say so through an `AtomicBool`.
    fn stop(&self) -> bool {
        false
    }
}

/// What happens while a model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The provider has begun to answer.
    Begun,
    /// Some text for the reader.
    Text(&'a str),
    /// Some reasoning that can be read.
    Thinking(&'a str),
    /// A call of this tool begins.
    ToolCall(&'a str),
    /// An attempt failed; the next one follows after a pause, and says everything from the beginning.
    Retry {
        /// Why.
        failure: &'a Failure,
        /// The pause, in milliseconds.
        pause_ms: u64,
    },
}

/// A watcher that looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Watch for Silent {
    fn event(&mut self, _: Event<'_>) {}
}
