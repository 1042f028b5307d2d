//! Ways in for the fuzz targets, to what callers reach only through a running broker.

use std::path::Path;

use crate::{Hashed, Shared};

/// The shim, but for one thing: the variable `ORACLE_TEST_DIR` says where its sockets are.
pub const SHIM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shim-test"));

/// What is recorded of the files that an agent's arguments name.
pub fn named_files(argv: &[Vec<u8>], directory: &Path, shared: &[Shared]) -> Vec<Hashed> {
    crate::call::describe_files(argv, directory, shared)
}
