//! Targets, cases and languages: reading them, drawing cases from families, capturing expected output.
//!
//! A [`Family`] says one behaviour of a target and how to draw cases of it. [`draw`] draws them from a seed.

mod bytes;
mod case;
mod deal;
pub mod draw;
mod expand;
mod family;
mod fixtures;
mod json;
mod jsonl;
mod near;
mod places;
mod pool;
mod problem;
mod text;

pub use bytes::{Bytes, Digest};
pub use case::{Case, Drawn, Ending, Expect, Inputs};
pub use draw::{Retired, Round, draw};
pub use family::{Family, MOST_CASES};
pub use fixtures::{Fixtures, NAMED_FROM};
pub use jsonl::{read_cases, write_cases};
pub use problem::{Problem, Problems};
