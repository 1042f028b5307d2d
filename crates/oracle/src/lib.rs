//! Execute-only access to a reference: the broker beside the agent's sandbox, the shim inside it, the guard
//! in the reference.
//!
//! The reference lives only in the broker's sandboxes. The shim passes arguments, directory, environment and
//! its three descriptors over a Unix socket; the broker runs the reference with them. Nobody inside reads it:
//! its executable has mode 0111 on a read-only mount, and a dynamic program's libraries stop being readable
//! when the [`GUARD`] puts its Landlock rules in force, before `main`.
//!
//! # Architecture invariants
//!
//! - The broker does not know which case is asked: a call is a call.
//! - The broker never sends a descriptor.
//! - No variable of the caller reaches the reference unless the target names it.

mod broker;
mod call;
#[doc(hidden)]
pub mod fuzzing;
mod guard_fd;
mod listen;
pub mod protocol;
mod relay;
mod wire;

pub use broker::{Broker, Record, Reference, Shared};
pub use call::{Call, Descriptor, Hashed};
pub use guard_fd::{GUARD_FAILED, GUARD_FD};
pub use listen::{Connection, listen};

/// The shim: a static executable for x86-64 Linux, without a C library.
pub const SHIM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shim"));

/// The guard: a shared object for x86-64 Linux, without a C library.
pub const GUARD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guard.so"));
