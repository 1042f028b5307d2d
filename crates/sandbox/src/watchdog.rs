//! Limits on memory and processes where no control group holds them: it looks at what runs, again and again.
//!
//! Between two looks a command can take what the machine gives in that time. The kernel's own limit on the
//! number of a user's processes holds meanwhile, and so do the sizes of scratch directories.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{Dir, Mode, OFlags};

use crate::init::INIT_ID;
use crate::spec::{Limit, Scratch, Spec};

/// Time between two looks. A processor fills some 50 MB of fresh memory in it.
pub(crate) const INTERVAL: Duration = Duration::from_millis(20);
/// Longest `status` file of a process that is read; the kernel's are below 2 KiB.
const STATUS: usize = 8 << 10;

/// What all processes of a command use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Use {
    /// Bytes of memory that belong to processes.
    memory: u64,
    /// Processes and their threads.
    threads: u64,
}

/// Looks at the processes of a namespace through a process file system of its own, in which none can hide.
pub(crate) struct Watchdog {
    processes: OwnedFd,
    most: Use,
    scratch: Vec<Scratch>,
    /// Whether the limit on processes was seen reached since the command's start.
    crowded: bool,
}

impl Watchdog {
    pub(crate) fn new(mount: impl AsFd, spec: &Spec) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let processes = rustix::fs::openat(mount, ".", flags, Mode::empty())?;
        Ok(Watchdog {
            processes,
            most: Use {
                memory: spec.memory,
                threads: spec.processes,
            },
            scratch: spec.scratch.clone(),
            crowded: false,
        })
    }

    /// A command starts.
    pub(crate) fn begin(&mut self) {
        self.crowded = false;
    }

    /// The limit that must end the command now.
    pub(crate) fn look(&mut self) -> io::Result<Option<Limit>> {
        let used = self.used()?;
        self.crowded |= used.threads >= self.most.threads;
        Ok((used.memory > self.most.memory).then_some(Limit::Memory))
    }

    /// Whether a command that failed was refused a process. Asked before what it left is ended.
    pub(crate) fn is_crowded(&mut self) -> io::Result<bool> {
        self.look()?;
        Ok(self.crowded)
    }

    fn used(&self) -> io::Result<Use> {
        let mut sum = Use::default();
        for entry in Dir::read_from(&self.processes)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().ok().and_then(|name| name.parse().ok());
            if number.is_none_or(|number: u32| number == INIT_ID) {
                continue;
            }
            let path = format!("{}/status", name.to_string_lossy());
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            // It may end between the two calls.
            let Ok(file) = rustix::fs::openat(self.processes.as_fd(), path, flags, Mode::empty())
            else {
                continue;
            };
            let mut room = [0; STATUS];
            let Ok(length) = rustix::io::read(&file, &mut room) else {
                continue;
            };
            let used = parse(&String::from_utf8_lossy(&room[..length]));
            sum.memory = sum.memory.saturating_add(used.memory);
            sum.threads = sum.threads.saturating_add(used.threads);
        }
        for scratch in &self.scratch {
            if let Ok(fs) = rustix::fs::statvfs(&scratch.at) {
                let blocks = fs.f_blocks.saturating_sub(fs.f_bfree);
                sum.memory = sum
                    .memory
                    .saturating_add(blocks.saturating_mul(fs.f_frsize));
            }
        }
        Ok(sum)
    }
}

/// Reads a process's `status` (`proc_pid_status(5)`). Shared memory counts for each process that has touched
/// it: to count it once would need rights over the process.
fn parse(status: &str) -> Use {
    let field = |name: &str| -> u64 {
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?.strip_prefix(':')?;
            rest.split_whitespace().next()?.parse().ok()
        };
        status.lines().find_map(value).unwrap_or(0)
    };
    Use {
        memory: (field("RssAnon") + field("RssShmem")) << 10,
        threads: field("Threads"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_process_uses() {
        let status =
            "Name:\tx\nRssAnon:\t    1024 kB\nRssFile:\t  77 kB\nRssShmem:\t 8 kB\nThreads:\t3\n";
        let memory = 1032 << 10;
        assert_eq!(parse(status), Use { memory, threads: 3 });
        assert_eq!(parse("Name:\tzombie\n"), Use::default());
        let own = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(parse(&own).memory > 0 && parse(&own).threads > 0);
    }
}
