//! The journal of a run: every event durable before it takes effect.
//!
//! A run is a directory:
//!
//! | file | content |
//! | --- | --- |
//! | `run.toml` | what run this is; written last, so a directory without it is not a run |
//! | `journal.jsonl` | the events, one a line ([`agent::event`]); append-only; the truth |
//! | `journal.torn-<seq>` | the end of a write that was cut off by a crash, kept for whoever wants to look |
//! | `blobs/` | contents that events refer to, each once, by hash ([`Store`]) |
//! | `epochs/` | which processes have had the run open for writing, and which has it now |
//!
//! [`Run`] writes one, as the [`Recorder`](agent::event::Recorder) of a session. To read one while or after it is
//! written: [`read`], [`Store::open`] and [`restore`].
//!
//! Architecture invariant: nothing here is changed after it was written, but for a torn tail.

mod blobs;
mod boot;
mod control;
mod error;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod git;
mod header;
mod history;
mod index;
mod journal;
mod known;
mod lines;
mod owner;
mod read;
mod recorder;
mod redact;
mod restore;
mod tree;
mod walk;
mod worker;

pub use blobs::{MAX_BLOB, Store, digest};
pub use boot::boot;
pub use control::{Control, Wish, is_open};
pub use error::Error;
pub use header::{Header, Listed, list};
pub use index::{Index, Records};
pub use journal::{Journal, Opened, Torn};
pub use known::Known;
pub use lines::MAX_LINE;
pub use owner::{BEAT, Claimed, LEASE, Manner, Owner, Right, claim};
pub use read::{Reader, read};
pub use recorder::{OpenedRun, Run};
pub use redact::Redactor;
pub use restore::restore;
pub use tree::{Limits, Node, Tree};
pub use worker::Worker;
