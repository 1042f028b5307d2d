//! The guard: a shared object that shuts a program off from files before its first own instruction.
//!
//! A dynamic reference is started with its libraries readable, because the loader has to read them. The loader also
//! loads this object (through `/etc/ld.so.preload` in the reference's root) and runs its constructor first of all, when
//! every library is mapped and `main` has not begun. From then on the process may open only what the ruleset
//! names, which the starter made and left open under an agreed number. There is no way past: if anything fails, the process ends.
//!
//! No C library may be called here: constructors of others have not run. Nothing is exported either, so
//! no function of the program can be replaced by one of these.

#![no_std]

#[path = "../src/guard_fd.rs"]
mod guard_fd;
#[path = "../bare/syscall.rs"]
mod syscall;

use guard_fd::{GUARD_FAILED, GUARD_FD};
use syscall::syscall;

const WRITE: usize = 1;
const CLOSE: usize = 3;
const PRCTL: usize = 157;
const EXIT_GROUP: usize = 231;
const LANDLOCK_RESTRICT_SELF: usize = 446;

const PR_SET_DUMPABLE: usize = 4;

const MESSAGE: &[u8] =
    b"oracle: the guard could not close this program in, so it was not started\n";

// Needed: the loader finds constructors by the name of this section.
// SAFETY: the section is an array of pointers to functions of this ABI, and `guard` is one.
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = guard;

extern "C" fn guard() {
    // Needed: raw calls are all there is. SAFETY: no argument is an address.
    let (dumpable, restricted, closed) = unsafe {
        (
            // An execute-only file makes the process undumpable already; this holds when the mode was lost.
            syscall(PRCTL, [PR_SET_DUMPABLE, 0, 0, 0, 0, 0]),
            syscall(LANDLOCK_RESTRICT_SELF, [GUARD_FD as usize, 0, 0, 0, 0, 0]),
            syscall(CLOSE, [GUARD_FD as usize, 0, 0, 0, 0, 0]),
        )
    };
    if (dumpable, restricted, closed) != (0, 0, 0) {
        give_up();
    }
}

fn give_up() -> ! {
    // Needed: raw calls are all there is. SAFETY: the message is valid for reading as long as it says.
    unsafe {
        syscall(
            WRITE,
            [2, MESSAGE.as_ptr() as usize, MESSAGE.len(), 0, 0, 0],
        )
    };
    loop {
        // Needed: raw calls are all there is. SAFETY: no argument is an address; the call does not return.
        unsafe { syscall(EXIT_GROUP, [GUARD_FAILED as usize, 0, 0, 0, 0, 0]) };
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    give_up()
}
