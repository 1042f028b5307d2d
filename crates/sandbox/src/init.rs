//! The first process of a worker's process namespace: it builds the root, then ends what commands leave.

use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::root;
use crate::spec::Spec;
use crate::sys;

/// First byte of an answer: done.
pub(crate) const DONE: u8 = 0;
/// First byte of an answer: failed; text follows.
pub(crate) const FAILED: u8 = 1;

/// Most rounds in which a session is looked for processes that were started since the last one.
const MOST_ROUNDS: usize = 1000;

/// What the keeper asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// End every other process. Process numbers go on behind this one, so that a command cannot tell from
    /// its own how many ran before it.
    Sweep(u32),
    /// End every process of this session.
    EndSession(u32),
}

impl Order {
    pub(crate) fn encode(self) -> [u8; 8] {
        let (kind, number) = match self {
            Order::Sweep(number) => (0_u32, number),
            Order::EndSession(number) => (1, number),
        };
        (u64::from(kind) << 32 | u64::from(number)).to_le_bytes()
    }

    fn decode(bytes: [u8; 8]) -> Self {
        let word = u64::from_le_bytes(bytes);
        let number = word as u32;
        match word >> 32 {
            0 => Order::Sweep(number),
            _ => Order::EndSession(number),
        }
    }
}

/// Ends the processes of a session, whatever groups they have made. One that is not dead yet may start
/// another, so this looks again until there is none.
fn end_session(session: u32) {
    for _ in 0..MOST_ROUNDS {
        let mut found = false;
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            if pid > 1
                && in_session(
                    &std::fs::read(entry.path().join("stat")).unwrap_or_default(),
                    session,
                )
            {
                found = true;
                sys::kill_process(pid);
            }
        }
        if !found {
            return;
        }
        std::thread::yield_now();
    }
}

/// Whether a line of `/proc/PID/stat` is of a living process of this session.
fn in_session(stat: &[u8], session: u32) -> bool {
    // The name, in brackets, may itself hold brackets and blanks.
    let Some(end) = stat.iter().rposition(|byte| *byte == b')') else {
        return false;
    };
    let rest = String::from_utf8_lossy(&stat[end + 1..]);
    let mut words = rest.split_whitespace();
    let state = words.next();
    let of = words.nth(2).and_then(|word| word.parse::<u32>().ok());
    !matches!(state, Some("Z" | "X")) && of == Some(session)
}

/// Builds the root from opened trees and answers once, then does what it is ordered. Ends when the keeper does.
pub(crate) fn run(mut keeper: UnixStream, spec: &Spec, trees: root::Trees) -> ! {
    sys::ignore_signal(libc::SIGCHLD);
    let result = sys::die_with_parent().and_then(|()| {
        // Opened before the root changes: commands see a process file system without it.
        let last_pid = std::fs::OpenOptions::new()
            .write(true)
            .open("/proc/sys/kernel/ns_last_pid");
        root::build(spec, trees)?;
        let keep = CapabilitySet::CHECKPOINT_RESTORE;
        set_capabilities(
            None,
            CapabilitySets {
                effective: keep,
                permitted: keep,
                inheritable: CapabilitySet::empty(),
            },
        )?;
        sys::make_undumpable()?;
        Ok(last_pid.ok())
    });
    let last_pid = match result {
        Ok(last_pid) => last_pid,
        Err(error) => {
            let mut answer = vec![FAILED];
            answer.extend_from_slice(error.to_string().as_bytes());
            let _ = keeper.write_all(&answer);
            sys::exit_now(1);
        }
    };
    if keeper.write_all(&[DONE]).is_err() {
        sys::exit_now(1);
    }
    let mut order = [0; 8];
    while keeper.read_exact(&mut order).is_ok() {
        match Order::decode(order) {
            Order::Sweep(last) => {
                sys::kill_everyone();
                sys::reap_all();
                if let Some(file) = &last_pid {
                    // At offset 0: the kernel ignores what is written elsewhere.
                    let _ = file.write_all_at(last.to_string().as_bytes(), 0);
                }
            }
            Order::EndSession(session) => end_session(session),
        }
        if keeper.write_all(&[DONE]).is_err() {
            break;
        }
    }
    sys::exit_now(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_told_apart() {
        for (line, expected) in [
            ("7 (sh) S 1 7 7 0 -1", true),
            ("8 (a) b) c) R 7 8 7 0 -1", true),
            ("9 (sleep) S 1 9 9 0 -1", false),
            ("10 (sh) Z 1 7 7 0 -1", false),
            ("", false),
        ] {
            assert_eq!(in_session(line.as_bytes(), 7), expected, "{line}");
        }
    }

    #[test]
    fn orders_arrive_as_they_were_sent() {
        for order in [Order::Sweep(1), Order::EndSession(u32::MAX)] {
            assert_eq!(Order::decode(order.encode()), order);
        }
    }
}
