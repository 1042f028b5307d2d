//! The first process of a worker's process namespace: it builds the root, then ends what commands leave.

use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::root;
use crate::spec::Spec;
use crate::sys;
use crate::wire::Done;

/// Process number of the init in its namespace.
pub(crate) const INIT_ID: u32 = 1;
/// Answer to a number: it is done.
const DONE: u8 = 0;

/// Most rounds in which a session is looked for processes that were started since the last one.
const MOST_ROUNDS: usize = 1000;

/// What the runner asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// End every other process. Process numbers go on behind this one, so that a command cannot tell from
    /// its own how many ran before it.
    Sweep(u32),
    /// End every process of this session.
    EndSession(u32),
}

impl Task {
    pub(crate) fn encode(self) -> [u8; 8] {
        let (kind, number) = match self {
            Task::Sweep(number) => (0_u32, number),
            Task::EndSession(number) => (1, number),
        };
        (u64::from(kind) << 32 | u64::from(number)).to_le_bytes()
    }

    fn decode(bytes: [u8; 8]) -> Self {
        let word = u64::from_le_bytes(bytes);
        let number = word as u32;
        match word >> 32 {
            0 => Task::Sweep(number),
            _ => Task::EndSession(number),
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

/// Builds the root from opened trees and says so once, then does what it is told. Ends when the runner does. With
/// `watch`, the runner gets a process file system of this namespace.
pub(crate) fn run(mut runner: UnixStream, spec: &Spec, trees: root::Trees, watch: bool) -> ! {
    sys::ignore_signal(libc::SIGCHLD);
    let mut last_pid = None;
    let result = sys::die_with_parent().and_then(|()| {
        // Opened before the root changes: commands see a process file system without it.
        last_pid = std::fs::OpenOptions::new()
            .write(true)
            .open("/proc/sys/kernel/ns_last_pid")
            .ok();
        let processes = watch.then(root::processes).transpose()?;
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
        Ok(processes)
    });
    let failed = result.is_err();
    if Done::send(&runner, result).is_err() || failed {
        sys::exit_now(1);
    }
    let mut task = [0; 8];
    while runner.read_exact(&mut task).is_ok() {
        match Task::decode(task) {
            Task::Sweep(last) => {
                sys::kill_everyone();
                sys::reap_all();
                if let Some(file) = &last_pid {
                    // At offset 0: the kernel ignores what is written elsewhere.
                    let _ = file.write_all_at(last.to_string().as_bytes(), 0);
                }
            }
            Task::EndSession(session) => end_session(session),
        }
        if runner.write_all(&[DONE]).is_err() {
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
    fn tasks_arrive_as_they_were_sent() {
        for task in [Task::Sweep(1), Task::EndSession(u32::MAX)] {
            assert_eq!(Task::decode(task.encode()), task);
        }
    }
}
