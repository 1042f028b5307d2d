//! Runs a command that sees only the files it is given, under limits, and returns bytes, status and usage.
//!
//! A [`Worker`] is a process in its own user, mount, process, network, IPC, host-name and cgroup
//! namespaces. It is built once from a [`Spec`] and then runs one [`Command`] after another, each with
//! fresh scratch directories and with nothing left of the one before.
//!
//! Four processes make a worker:
//!
//! - the *keeper*, which holds the capabilities of the namespaces. It builds the place and puts fresh
//!   directories where commands write;
//! - the *runner*, which starts each command, watches it and waits for it. It has no capability and stands
//!   under the same seccomp filter and Landlock rules as commands do, which inherit them: they are in force
//!   before a command exists;
//! - the *init* of the process namespace, which holds nothing but the right to end what runs there;
//! - the command.
//!
//! Keeper and runner live outside the command's process namespace, so no command can name them.
//!
//! A worker that is started with [`Worker::start_tracing`] tells of each command which of the planted breakpoints it came
//! to; its runner is then the tracer of the command.
//!
//! # Architecture invariants
//!
//! - This crate knows no targets, models or benchmark words.
//! - A program never starts with a capability, with a descriptor it was not given, or before every
//!   confinement of its `Spec` is in force: a step that fails ends the start.
//! - A worker that cannot promise a clean place for the next command reports an error instead of running it.

mod cgroup;
mod confine;
#[doc(hidden)]
pub mod fuzzing;
mod init;
mod keeper;
mod launch;
mod loopback;
mod machine;
mod root;
mod runner;
mod scratch;
mod seccomp;
mod spec;
mod sys;
mod temporary;
mod trace;
mod watchdog;
mod wire;
mod worker;

pub use keeper::entry;
pub use machine::{Finding, Need, examine};
pub use spec::{
    Collect, Command, Conditions, Ending, Executed, File, Guard, Limit, Limits, Mount, Outcome,
    Scratch, Source, Spec, Syscalls, Trace, Traced, Usage,
};
pub use temporary::TemporaryDirectory;
pub use worker::{Captured, Error, Running, Streams, Worker, set_worker_program};

/// User and group id of every sandboxed process as it sees itself.
pub const INNER_ID: u32 = 1000;

/// Host user and group id that sandboxed processes have when the caller is root.
///
/// Root outside must never be the same user as anybody inside: several kernel interfaces (`/proc/sys`,
/// for one) ask for user 0 and not for a capability. The number lies above Debian's ranges for people
/// and services (policy manual, 9.2.2) and below `nobody`.
pub const OUTER_ID_WHEN_ROOT: u32 = 64_999;

/// Processes of a worker that are not the command's: keeper, runner and init. They count where a limit on
/// processes counts.
const OWN_PROCESSES: u64 = 3;

/// Makes a file or directory belong to the user that sandboxed processes are on the host.
///
/// # Errors
/// When the system refuses. For an ordinary user, who is that user already, nothing is done.
pub fn give_to_inside(path: &std::path::Path) -> std::io::Result<()> {
    if sys::effective_user() != 0 {
        return Ok(());
    }
    std::os::unix::fs::lchown(path, Some(OUTER_ID_WHEN_ROOT), Some(OUTER_ID_WHEN_ROOT))
}
