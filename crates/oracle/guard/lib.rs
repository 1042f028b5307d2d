//! The guard: loaded into a dynamic reference before anything else, it takes the reference's right to
//! read files away after its libraries are mapped and before its own code runs.
//!
//! The rules come as a Landlock rule set on an inherited descriptor. A reference without them never starts.

#![no_std]

#[path = "../bare/syscall.rs"]
mod syscall;

use syscall::{exit, syscall};

/// Number of the descriptor on which the rules come; the broker's crate exports the same number.
const RULES: usize = 60;

const SYS_WRITE: usize = 1;
const SYS_CLOSE: usize = 3;
const SYS_PRCTL: usize = 157;
const SYS_LANDLOCK_RESTRICT_SELF: usize = 446;
const PR_SET_DUMPABLE: usize = 4;

const REFUSAL: &[u8] = b"oracle: the guard has no rules to put in force; the reference does not start\n";

extern "C" fn guard() {
    // Needed: system calls. Sound: the only pointer is a constant's, with its length.
    // SAFETY: see above.
    unsafe {
        if syscall(SYS_LANDLOCK_RESTRICT_SELF, [RULES, 0, 0, 0, 0, 0]) < 0 {
            syscall(SYS_WRITE, [2, REFUSAL.as_ptr() as usize, REFUSAL.len(), 0, 0, 0]);
            exit(125);
        }
        syscall(SYS_CLOSE, [RULES, 0, 0, 0, 0, 0]);
        // The executable's mode has made the process undumpable already; this holds for one whose
        // mode was lost.
        syscall(SYS_PRCTL, [PR_SET_DUMPABLE, 0, 0, 0, 0, 0]);
    }
}

// Needed: the loader calls what stands in this section after all libraries are mapped and before `main`.
// Sound: a function pointer of the type that the loader expects; `guard` ignores its arguments.
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = guard;
