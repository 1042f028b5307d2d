//! The leaderboard server: the pages of `mirrorcode report`, runs that are under way, and an HTTP API through which
//! others submit bundles of their runs.
//!
//! # Architecture invariants
//!
//! - Nothing that a visitor sends is trusted. A bundle is read bounded and once ([`bundle`]), its journal is held against
//!   itself, and its submission is scored again here. What is published is the verdict that was seen here.
//! - What is accepted is durable: it is in the queue, in SQLite, before its sender is told so, and a server that is killed
//!   in the middle of scoring scores it again.
//! - Reading needs no database: pages and tables are made when something is published, and served from memory.
//! - Nothing here knows how to score, or what a target is: it is handed a [`Scorer`] and what pages say of targets.

mod answer;
mod api;
mod app;
mod auth;
mod http;
mod intake;
mod limits;
mod live;
mod openapi;
mod pages;
mod queue;
mod server;
mod store;

pub use app::{Config, Limits};
pub use openapi::document;
pub use queue::{Scorer, Unscored};
pub use server::{Server, ServerError};
pub use store::{Created, Role, Store, StoreError, Token};
