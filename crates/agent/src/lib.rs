//! Who works on a task: a model with the tools of this program, another agent's program, somebody who calls tools from
//! outside, a person at a shell, or a replay of a recorded run.
//!
//! # Architecture invariant
//!
//! An agent has no way to name a hidden case: nothing in this crate is given one.

mod cast;
pub mod client;
mod clock;
mod control;
pub mod event;
pub mod gate;
pub mod jobs;
mod ledger;
pub mod program;
mod replay;
pub mod scaffold;
mod session;
mod standing;
mod terminal;

pub use cast::Cast;
pub use clock::Clock;
pub use control::{Evaluation, Evaluator};
pub use ledger::Ledger;
pub use replay::{
    Archive, Deed, Deviation, Recorded, RecordedResult, ReplayError, Step, recorded, repeat,
};
pub use session::{CommandOutcome, Error, PROGRAM, Request, Session, Setting, TASK, WORKSPACE};
pub use standing::Standing;
pub use terminal::{Line, Terminal};
