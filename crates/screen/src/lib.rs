//! Whether a model knows a program's source by heart.
//!
//! [`Sources`] cuts functions out of a tree of source code, [`sample`] draws some of them, [`Question`] asks a model for
//! one by its program, file and signature, and [`score`] says how much of the original came back. What was answered is
//! kept in a [`Journal`], so that a screen that was cut off goes on and asks nothing twice.
//!
//! # Architecture invariants
//!
//! - This crate knows no run, no agent and no score: what it finds is joined with them elsewhere.
//! - Source code and answers are a stranger's bytes: they are parsed within bounds, and what cannot be parsed is left out.

mod ask;
mod cut;
mod error;
mod grammar;
mod journal;
mod round;
mod row;
mod sources;
mod tokens;

pub use ask::{Answer, Question, score};
pub use cut::{Function, LINES, TOKENS, cut, find};
pub use error::Error;
pub use grammar::Grammar;
pub use journal::{Answered, Journal, Kept};
pub use round::{Broken, End, Means, Open, ask_all};
pub use row::{Outcome, Row, read_rows, write_rows};
pub use sources::{Sources, sample};
pub use tokens::{similarity, tokens};
