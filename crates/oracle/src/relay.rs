//! Output on its way from the reference to the caller's pipe, counted and hashed as it passes.
//!
//! Standard input and regular files go to the reference as they are: a relay would take more from a
//! shared input than the reference does, and `while read line; do program; done` would lose lines.
//! Terminals go as they are so that they stay terminals. Output pipes and sockets pass through here.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use sha2::{Digest, Sha256};

use crate::call::{Descriptor, hash_range, kind};

/// Bytes that a ready pipe takes without blocking, and so the size of one move.
const CHUNK: usize = 4096;

/// One output stream through the broker.
struct Lane {
    from: Option<OwnedFd>,
    to: OwnedFd,
    pending: Vec<u8>,
    hash: Sha256,
    bytes: u64,
}

/// A caller's three descriptors, and what the reference gets in their place.
pub(crate) struct Descriptors {
    caller: [OwnedFd; 3],
    kinds: [&'static str; 3],
    offsets: [Option<u64>; 3],
    input: Option<(u64, Option<[u8; 32]>)>,
    /// Pipe ends for the reference, by output descriptor; both may name the same pipe.
    replaced: [Option<OwnedFd>; 2],
}

/// The running relay.
pub(crate) struct Pump {
    lanes: Vec<Lane>,
    /// Lane of standard output and of standard error.
    of: [Option<usize>; 2],
    left: u64,
}

fn offset(fd: &OwnedFd) -> Option<u64> {
    rustix::fs::tell(fd).ok()
}

fn same_file(a: &OwnedFd, b: &OwnedFd) -> bool {
    match (rustix::fs::fstat(a), rustix::fs::fstat(b)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}

/// The caller's end of a pipe, opened anew so that writing to it never waits: others may fill the pipe after
/// it was found ready. The caller's own open file keeps its flags. Sockets are written to without waiting anyway.
fn never_waits(fd: &OwnedFd) -> io::Result<OwnedFd> {
    let writable = rustix::fs::fcntl_getfl(fd)?.intersects(OFlags::WRONLY | OFlags::RDWR);
    if kind(fd) != "pipe" || !writable {
        return fd.try_clone();
    }
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(own) => Ok(own),
        // Nobody reads any more (for a named pipe): the copy gives the same answer when written to.
        Err(_) => fd.try_clone(),
    }
}

impl Descriptors {
    /// Looks at the caller's descriptors and makes the pipes that stand in for output pipes. `output` is
    /// the most bytes that may pass.
    pub(crate) fn new(caller: [OwnedFd; 3], output: u64) -> io::Result<(Self, Pump)> {
        let kinds = [kind(&caller[0]), kind(&caller[1]), kind(&caller[2])];
        let offsets = std::array::from_fn(|index| {
            (kinds[index] == "file")
                .then(|| offset(&caller[index]))
                .flatten()
        });
        let input = offsets[0].and_then(|start| hash_range(&caller[0], start, None));
        let mut pump = Pump {
            lanes: Vec::new(),
            of: [None, None],
            left: output,
        };
        let mut replaced = [None, None];
        for index in [0, 1] {
            let fd = &caller[index + 1];
            if !matches!(kinds[index + 1], "pipe" | "socket") {
                continue;
            }
            // `2>&1`: one pipe keeps the order of what is written to either.
            if index == 1 && pump.of[0].is_some() && same_file(&caller[1], fd) {
                pump.of[1] = Some(0);
                replaced[1] = replaced[0].as_ref().map(OwnedFd::try_clone).transpose()?;
                continue;
            }
            let (from, to) = pipe_with(PipeFlags::CLOEXEC)?;
            rustix::fs::fcntl_setfl(&from, rustix::fs::OFlags::NONBLOCK)?;
            pump.of[index] = Some(pump.lanes.len());
            pump.lanes.push(Lane {
                from: Some(from),
                to: never_waits(fd)?,
                pending: Vec::new(),
                hash: Sha256::new(),
                bytes: 0,
            });
            replaced[index] = Some(to);
        }
        Ok((
            Descriptors {
                caller,
                kinds,
                offsets,
                input,
                replaced,
            },
            pump,
        ))
    }

    /// What the reference gets.
    pub(crate) fn for_reference(&self) -> [BorrowedFd<'_>; 3] {
        let output = |index: usize| {
            self.replaced[index]
                .as_ref()
                .unwrap_or(&self.caller[index + 1])
                .as_fd()
        };
        [self.caller[0].as_fd(), output(0), output(1)]
    }

    /// Closes the reference's ends here, so that the relay sees their end.
    pub(crate) fn hand_over(&mut self) {
        self.replaced = [None, None];
    }

    /// The record, once the call has ended.
    pub(crate) fn describe(&self, pump: &Pump) -> [Descriptor; 3] {
        std::array::from_fn(|index| {
            let content = match index {
                0 => self.input,
                _ => match pump.of[index - 1] {
                    Some(lane) => {
                        let lane = &pump.lanes[lane];
                        Some((lane.bytes, Some(lane.hash.clone().finalize().into())))
                    }
                    None => self.offsets[index].and_then(|start| {
                        let end = offset(&self.caller[index])?;
                        hash_range(&self.caller[index], start, Some(end))
                    }),
                },
            };
            Descriptor {
                kind: self.kinds[index],
                content,
            }
        })
    }
}

impl Pump {
    /// What to wait for.
    pub(crate) fn interests(&self) -> Vec<PollFd<'_>> {
        self.lanes
            .iter()
            .filter_map(|lane| {
                if lane.pending.is_empty() {
                    lane.from
                        .as_ref()
                        .map(|from| PollFd::new(from, PollFlags::IN))
                } else {
                    Some(PollFd::new(&lane.to, PollFlags::OUT))
                }
            })
            .collect()
    }

    /// Moves what can be moved without waiting; true when more was printed than may be.
    pub(crate) fn step(&mut self) -> bool {
        let left = &mut self.left;
        self.lanes.iter_mut().any(|lane| lane.step(left))
    }

    /// Whether everything has passed.
    pub(crate) fn is_done(&self) -> bool {
        self.lanes
            .iter()
            .all(|lane| lane.from.is_none() && lane.pending.is_empty())
    }
}

impl Lane {
    fn step(&mut self, left: &mut u64) -> bool {
        loop {
            if !self.pending.is_empty() && !self.write() {
                return false;
            }
            let Some(from) = &self.from else { return false };
            let mut buffer = [0; CHUNK];
            match rustix::io::read(from, &mut buffer) {
                Ok(0) => self.from = None,
                Ok(count) => {
                    let Some(rest) = left.checked_sub(count as u64) else {
                        self.from = None;
                        return true;
                    };
                    *left = rest;
                    self.hash.update(&buffer[..count]);
                    self.bytes += count as u64;
                    self.pending.extend_from_slice(&buffer[..count]);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return false,
                Err(_) => self.from = None,
            }
        }
    }

    /// Writes one chunk if the caller's end takes it; false when it must wait.
    fn write(&mut self) -> bool {
        let mut polled = [PollFd::new(&self.to, PollFlags::OUT)];
        let ready = rustix::event::poll(
            &mut polled,
            Some(&rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            }),
        );
        if !matches!(ready, Ok(count) if count > 0) {
            return false;
        }
        let written = match rustix::net::send(
            &self.to,
            &self.pending,
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        ) {
            Err(Errno::NOTSOCK) => rustix::io::write(&self.to, &self.pending),
            sent => sent,
        };
        match written {
            Ok(count) => {
                self.pending.drain(..count);
                self.pending.is_empty()
            }
            Err(Errno::INTR | Errno::AGAIN) => false,
            Err(_) => {
                // Nobody reads any more: let the reference meet its broken pipe.
                self.pending.clear();
                self.from = None;
                true
            }
        }
    }
}
