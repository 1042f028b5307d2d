//! Signals that reach the shim are meant for the program: they are blocked, read from a descriptor and sent on.

use crate::system::{self, Blocking};
use crate::wire;

const SIGKILL: u32 = 9;
const SIGPIPE: u32 = 13;
const SIGCHLD: u32 = 17;
const SIGSTOP: u32 = 19;
const SIGTSTP: u32 = 20;
const SIGTTIN: u32 = 21;
const SIGTTOU: u32 = 22;
const SIGURG: u32 = 23;

/// Signals 1 to 31; the real-time ones beyond end the shim, and with it the program.
const LAST: u32 = 31;

/// Cannot be caught, or would say something about the shim instead of the program.
const OWN: [u32; 7] = [SIGKILL, SIGSTOP, SIGPIPE, SIGCHLD, SIGTTIN, SIGTTOU, SIGURG];

/// Size of what one read gives, `struct signalfd_siginfo`; it begins with the signal's number.
const RECORD: usize = 128;

/// The signals that are being sent on.
pub(crate) struct Signals {
    /// Readable when one is waiting. Negative if there is none, which `poll` passes over.
    pub(crate) descriptor: i32,
}

impl Signals {
    /// Takes the signals over, except those that are ignored (as under `nohup`) or blocked from the start: these the program would not get either.
    pub(crate) fn take() -> Signals {
        let mut set = 0u64;
        for signal in 1..=LAST {
            if !OWN.contains(&signal) && !system::is_ignored(signal) {
                set |= 1 << (signal - 1);
            }
        }
        let before = system::block(Blocking::Add, set);
        Signals {
            descriptor: system::signal_descriptor(set & !before) as i32,
        }
    }

    /// Sends on what is waiting. A server that is gone shows at the next read.
    pub(crate) fn forward(&self, socket: i32) {
        let mut record = [0; RECORD];
        while system::read(self.descriptor, &mut record) == RECORD as isize {
            let [a, b, c, d, ..] = record;
            let signal = u32::from_le_bytes([a, b, c, d]);
            if signal == SIGTSTP {
                // The program runs in a session of its own, where the kernel would drop a stop from the terminal.
                system::send(socket, &wire::head(wire::SIGNAL, SIGSTOP));
                system::kill_self(SIGSTOP);
            } else {
                system::send(socket, &wire::head(wire::SIGNAL, signal));
            }
        }
    }
}

/// Ends the shim as the program ended, so that whoever waits sees the same. Returns if the signal did not end it.
pub(crate) fn die(signal: u32) {
    // Nothing ends by being stopped: whoever says so would have the shim wait for ever.
    let stops = matches!(signal, SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU);
    if stops || !(1..=wire::LAST_SIGNAL).contains(&signal) {
        return;
    }
    system::forbid_core_dump();
    system::set_disposition(signal, system::Disposition::Default);
    system::block(Blocking::Remove, 1 << (signal - 1));
    system::kill_self(signal);
}

/// A reader of standard output that went away is no reason to end before the server says so.
pub(crate) fn ignore_broken_pipes() {
    system::set_disposition(SIGPIPE, system::Disposition::Ignore);
}
