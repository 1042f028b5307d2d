//! Targets, cases and languages: reading them, drawing cases from families, capturing expected output.
//!
//! A [`Family`] says one behaviour of a target and how to draw cases of it. [`draw()`] draws them from a seed,
//! [`split()`] chooses the hidden ones, and a [`Lock`] keeps what they came from. A [`Catalog`] finds targets and
//! languages on disk; a [`Target`] loads and saves what belongs to one. [`conformity::check`] says whether a submission
//! is written in the task's language.
//!
//! Architecture invariant: this crate knows no agent and no model.

pub mod build;
mod bytes;
pub mod capture;
mod case;
pub mod catalog;
pub mod check;
mod code;
mod compile;
pub mod conformity;
mod deal;
pub mod docs;
pub mod draw;
mod error;
mod execute;
mod expand;
pub mod fairness;
mod family;
mod fixtures;
mod json;
mod jsonl;
pub mod language;
pub mod lock;
mod memory;
mod near;
mod parallel;
mod places;
mod pool;
mod problem;
pub mod reference;
pub mod sealed;
mod source;
pub mod spec;
pub mod split;
mod store;
pub mod strength;
mod text;

pub use bytes::{Bytes, Digest};
pub use case::{Case, Drawn, Ending, Expect, Inputs};
pub use catalog::{Catalog, Summary, Task};
pub use code::Code;
pub use conformity::Violation;
pub use draw::{Retired, Round, draw};
pub use error::Error;
pub use execute::{
    CASE_DIRECTORY, Observed, Program, SCRATCH_DIRECTORY, SUBMISSION_DIRECTORY, case_sandbox,
    observe,
};
pub use family::{Family, MOST_CASES};
pub use fixtures::{Fixtures, NAMED_FROM};
pub use jsonl::{read_cases, write_cases};
pub use language::Language;
pub use lock::Lock;
pub use problem::{Problem, Problems};
pub use sealed::{Identities, Opened, Recipient};
pub use source::PackageSource;
pub use spec::Spec;
pub use split::{Balance, HIDDEN_PERCENT, Keep, Share, Signature, Split, duals, split, unpaired};
pub use store::{Target, Tests};

/// Debian suite that references, toolchains and runtimes come from.
pub const SUITE: &str = "trixie";

/// Host name that every sandboxed program sees.
pub const HOST_NAME: &str = "mirrorcode";
