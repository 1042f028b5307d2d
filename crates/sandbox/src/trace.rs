//! Which breakpoints a command comes to.
//!
//! Whoever asks has replaced the first byte of some instructions, in a copy of the program or of a library, by the
//! byte that stops a process (`int3`). The runner is the tracer of its command: at each stop it notes the place, puts
//! the original byte back and lets the instruction run. A breakpoint so costs one stop for each command, not one for
//! each pass, and which of them are passed does not change what the command computes.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::sys::ptrace::{self, AddressType, Options};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::launch::Started;
use crate::spec::{Executed, Trace};
use crate::sys::{self, Reaped};

/// The instruction `int3`.
const BREAKPOINT: u8 = 0xCC;
/// Bytes that the kernel reads or writes at once.
const WORD: u64 = 8;

/// What breakpoints there may be.
pub(crate) struct Tracer {
    objects: Vec<Object>,
}

struct Object {
    /// As the kernel names it in a process's list of mappings.
    path: String,
    original: File,
}

/// A piece of one of the objects in the memory of a process.
struct Mapping {
    start: u64,
    end: u64,
    offset: u64,
    object: u32,
}

/// What is known about the processes of one command.
struct Pursuit<'a> {
    tracer: &'a Tracer,
    session: u32,
    mappings: Vec<Mapping>,
    threads: HashSet<i32>,
    executed: HashSet<Executed>,
}

impl Tracer {
    /// Opens the originals. Called inside the sandbox's root.
    pub(crate) fn new(trace: &Trace) -> io::Result<Self> {
        let objects = trace.objects.iter().map(|object| {
            Ok(Object {
                path: object.at.to_string_lossy().into_owned(),
                original: File::open(&object.original)?,
            })
        });
        Ok(Tracer {
            objects: objects.collect::<io::Result<_>>()?,
        })
    }

    /// Follows a command, which asked to be traced, and all that it starts, to the end of the last of them.
    pub(crate) fn follow(&self, started: &Started) -> io::Result<(Reaped, Vec<Executed>)> {
        let mut pursuit = Pursuit {
            tracer: self,
            session: started.session,
            mappings: Vec::new(),
            threads: HashSet::new(),
            executed: HashSet::new(),
        };
        let mut end = None;
        while let Some((id, reaped)) = sys::wait_for_any()? {
            if libc::WIFSTOPPED(reaped.status) {
                match pursuit.stopped(id, reaped.status) {
                    // It was ended by something else between its stop and this.
                    Err(nix::errno::Errno::ESRCH) => {}
                    result => result?,
                }
            } else if id == started.pid {
                end = Some(reaped);
            }
        }
        let mut executed: Vec<_> = pursuit.executed.into_iter().collect();
        executed.sort_unstable();
        end.map(|end| (end, executed))
            .ok_or_else(|| io::Error::other("the command was lost"))
    }

    /// The pieces of the objects that are in the memory of the command whose session has this number.
    fn mappings(&self, session: u32) -> io::Result<Vec<Mapping>> {
        let text = std::fs::read_to_string(format!("/proc/{session}/maps"))?;
        Ok(text
            .lines()
            .filter_map(|line| {
                let mapping = parse_mapping(line)?;
                let object = self
                    .objects
                    .iter()
                    .position(|object| object.path == mapping.3)?;
                Some(Mapping {
                    start: mapping.0,
                    end: mapping.1,
                    offset: mapping.2,
                    object: object as u32,
                })
            })
            .collect())
    }
}

/// Start, end, offset in the file, and the file, of a line such as
/// `55d0c0e02000-55d0c0e07000 r-xp 00002000 fe:00 1234    /usr/bin/cat` (proc_pid_maps(5)).
fn parse_mapping(line: &str) -> Option<(u64, u64, u64, &str)> {
    let mut parts = line.splitn(5, ' ');
    let (start, end) = parts.next()?.split_once('-')?;
    let offset = parts.nth(1)?;
    let (_, path) = parts.nth(1)?.split_once(' ')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((
        number(start)?,
        number(end)?,
        number(offset)?,
        path.trim_start(),
    ))
}

impl Pursuit<'_> {
    /// Deals with a stop and lets the thread go on.
    fn stopped(&mut self, id: i32, status: i32) -> nix::Result<()> {
        let pid = Pid::from_raw(id);
        let event = status >> 16;
        let new = self.threads.insert(id);
        if new && self.threads.len() == 1 {
            // The stop that every traced command makes when it is loaded.
            ptrace::setoptions(
                pid,
                Options::PTRACE_O_TRACECLONE
                    | Options::PTRACE_O_TRACEFORK
                    | Options::PTRACE_O_TRACEVFORK
                    | Options::PTRACE_O_TRACEEXEC
                    | Options::PTRACE_O_EXITKILL,
            )?;
            return ptrace::cont(pid, None);
        }
        if event == libc::PTRACE_EVENT_EXEC {
            self.mappings.clear();
        }
        if event != 0 {
            return ptrace::cont(pid, None);
        }
        let signal = Signal::try_from(libc::WSTOPSIG(status)).ok();
        match signal {
            // The stop with which a traced thread begins.
            Some(Signal::SIGSTOP) if new => ptrace::cont(pid, None),
            Some(Signal::SIGTRAP) if self.breakpoint(pid)? => ptrace::cont(pid, None),
            // Real-time signals, which have no name here, are what libraries use to wake their own threads: without
            // a name they cannot be delivered, and no program that is traced needs one.
            signal => ptrace::cont(pid, signal),
        }
    }

    /// Notes the breakpoint at which a thread stands and puts the original byte back; `false` when there is none.
    fn breakpoint(&mut self, pid: Pid) -> nix::Result<bool> {
        let mut registers = ptrace::getregs(pid)?;
        let address = registers.rip.wrapping_sub(1);
        if self.place(address).is_none() {
            self.mappings = self.tracer.mappings(self.session).unwrap_or_default();
        }
        let Some(executed) = self.place(address) else {
            return Ok(false);
        };
        let mut original = [0];
        let file = &self.tracer.objects[executed.object as usize].original;
        if file.read_exact_at(&mut original, executed.offset).is_err() || original[0] == BREAKPOINT
        {
            return Ok(false);
        }
        self.executed.insert(executed);
        // Another thread may have stood here before; then the byte is back already, and this changes nothing.
        let word = address - address % WORD;
        let mut bytes = ptrace::read(pid, word as AddressType)?.to_ne_bytes();
        bytes[(address % WORD) as usize] = original[0];
        ptrace::write(pid, word as AddressType, i64::from_ne_bytes(bytes))?;
        registers.rip = address;
        ptrace::setregs(pid, registers)?;
        Ok(true)
    }

    fn place(&self, address: u64) -> Option<Executed> {
        let mapping = self
            .mappings
            .iter()
            .find(|mapping| (mapping.start..mapping.end).contains(&address))?;
        Some(Executed {
            object: mapping.object,
            offset: address - mapping.start + mapping.offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::parse_mapping;

    #[test]
    fn lines_of_mappings_are_read() {
        for (line, expected) in [
            (
                "55d0-55e0 r-xp 00002000 fe:00 1234                       /usr/bin/cat",
                Some((0x55d0, 0x55e0, 0x2000, "/usr/bin/cat")),
            ),
            (
                "7f00-7f10 r--p 00000000 00:1f 9 /a b",
                Some((0x7f00, 0x7f10, 0, "/a b")),
            ),
            (
                "7f00-7f10 rw-p 00000000 00:00 0 ",
                Some((0x7f00, 0x7f10, 0, "")),
            ),
            ("7f00-7f10 rw-p 00000000 00:00 0", None),
            ("", None),
            ("x-y r-xp 0 0 0 /z", None),
        ] {
            assert_eq!(parse_mapping(line), expected, "{line}");
        }
    }
}
