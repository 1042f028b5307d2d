//! A child process in a group of its own, which never outlives the value that stands for it.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::time::Timespec;

/// How soon a raised cancellation flag is seen.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// How long the group may clean up after itself before it is killed outright.
const GRACE: Duration = Duration::from_secs(10);

/// How many of the last lines are kept for an error message.
const TAIL: usize = 15;

/// A running command: reading it gives its standard output, while its standard error is taken in line by line.
///
/// Dropped before it has ended, it asks its whole group to end, waits for it, and then kills what is left.
pub(crate) struct Group<'a> {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    pending: Vec<u8>,
    tail: VecDeque<String>,
    cancel: &'a AtomicBool,
    line: &'a mut dyn FnMut(Event<'_>),
    ended: bool,
}

/// What a running command does.
pub(crate) enum Event<'a> {
    /// It wrote a line to standard error.
    Line(&'a str),
    /// So many bytes of its output were read.
    Output(usize),
}

impl<'a> Group<'a> {
    /// Starts the command. `event` is told what it writes; once `cancel` is true, reading fails.
    pub(crate) fn start(
        command: &mut Command,
        cancel: &'a AtomicBool,
        event: &'a mut dyn FnMut(Event<'_>),
    ) -> io::Result<Self> {
        let mut child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Ok(Self {
            child,
            stdout,
            stderr,
            pending: Vec::new(),
            tail: VecDeque::new(),
            cancel,
            line: event,
            ended: false,
        })
    }

    /// Reads what is left of both streams and waits for the end.
    pub(crate) fn finish(&mut self) -> io::Result<ExitStatus> {
        io::copy(self, &mut io::sink())?;
        self.stdout = None;
        while self.stderr.is_some() {
            self.wait_for_bytes()?;
        }
        let status = self.child.wait()?;
        self.ended = true;
        Ok(status)
    }

    /// The last lines of standard error.
    pub(crate) fn tail(&self) -> String {
        self.tail
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Waits until there is output or its end, taking in standard error meanwhile.
    fn wait_for_bytes(&mut self) -> io::Result<()> {
        loop {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(io::Error::other("cancelled"));
            }
            let streams: Vec<BorrowedFd<'_>> = self
                .stderr
                .iter()
                .map(AsFd::as_fd)
                .chain(self.stdout.iter().map(AsFd::as_fd))
                .collect();
            let mut polled: Vec<_> = streams
                .iter()
                .map(|stream| PollFd::new(stream, PollFlags::IN))
                .collect();
            match poll(&mut polled, Some(&LOOK)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => (),
                Err(error) => return Err(error.into()),
            }
            let ready: Vec<bool> = polled
                .iter()
                .map(|stream| !stream.revents().is_empty())
                .collect();
            let (errors, output) = if self.stderr.is_some() {
                (ready[0], ready.get(1).copied().unwrap_or(false))
            } else {
                (false, ready[0])
            };
            if errors {
                self.take_errors()?;
            }
            if output || self.stderr.is_none() || self.stdout.is_none() {
                return Ok(());
            }
        }
    }

    fn take_errors(&mut self) -> io::Result<()> {
        let Some(stream) = &mut self.stderr else {
            return Ok(());
        };
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer)?;
        self.pending.extend_from_slice(&buffer[..count]);
        if count == 0 {
            self.stderr = None;
        }
        // Progress bars end their lines with a carriage return.
        while let Some(end) = self
            .pending
            .iter()
            .position(|&byte| byte == b'\n' || byte == b'\r')
        {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            self.take_line(&line[..end]);
        }
        // A line without end must not cost memory without end.
        if !self.pending.is_empty() && (count == 0 || self.pending.len() > 1 << 16) {
            let line = std::mem::take(&mut self.pending);
            self.take_line(&line);
        }
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        (self.line)(Event::Line(line));
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
    }
}

impl Read for Group<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stdout.is_none() {
                return Ok(0);
            }
            self.wait_for_bytes()?;
            let Some(stdout) = &mut self.stdout else {
                return Ok(0);
            };
            // Without standard error nothing was polled for long, but the read below then waits for output alone.
            let mut polled = [PollFd::new(stdout, PollFlags::IN)];
            if !matches!(
                poll(
                    &mut polled,
                    Some(&Timespec {
                        tv_sec: 0,
                        tv_nsec: 0
                    })
                ),
                Ok(1)
            ) {
                continue;
            }
            let count = stdout.read(buffer)?;
            (self.line)(Event::Output(count));
            return Ok(count);
        }
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Closed first: a process that is blocked writing could not end.
        self.stdout = None;
        self.stderr = None;
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let signal = |signal| group.map(|group| kill_process_group(group, signal));
        // An error here means that nobody is left to be told.
        let _ = signal(Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < GRACE && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(
        clippy::disallowed_methods,
        reason = "tests of starting processes start some"
    )]
    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_are_read_at_once_and_the_tail_is_kept() {
        let cancel = AtomicBool::new(false);
        let mut lines = 0;
        let mut event = |event: Event<'_>| lines += usize::from(matches!(event, Event::Line(_)));
        let script = "i=0; while [ $i -lt 3000 ]; do echo long line of errors number $i >&2; i=$((i+1)); done; \
                      head -c 300000 /dev/zero; printf last >&2; exec >&-; exit 3";
        let mut group = Group::start(&mut shell(script), &cancel, &mut event).unwrap();
        let mut output = Vec::new();
        group.read_to_end(&mut output).unwrap();
        assert_eq!(group.finish().unwrap().code(), Some(3));
        assert_eq!(output.len(), 300_000);
        let tail = group.tail();
        assert_eq!(tail.lines().count(), TAIL);
        assert!(tail.ends_with("number 2999\nlast"), "{tail}");
        drop(group);
        assert_eq!(lines, 3001);
    }

    #[test]
    fn a_cancelled_command_ends_with_its_children() {
        let cancel = AtomicBool::new(false);
        let dir = tempfile::tempdir().unwrap();
        let note = dir.path().join("pid");
        let script = format!(
            "sleep 1000 & echo $! > {0}.tmp; mv {0}.tmp {0}; wait",
            note.display()
        );
        let mut event = |_: Event<'_>| ();
        let mut group = Group::start(&mut shell(&script), &cancel, &mut event).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !note.exists() {
                    std::thread::sleep(Duration::from_millis(10));
                }
                cancel.store(true, Ordering::Relaxed);
            });
            assert!(group.finish().is_err());
        });
        drop(group);
        let child = std::fs::read_to_string(&note).unwrap();
        let status = std::path::PathBuf::from(format!("/proc/{}/stat", child.trim()));
        // Where nobody adopts it at once, it may stay as a zombie, which is dead enough.
        let dead = |_| std::fs::read_to_string(&status).map_or(true, |text| text.contains(") Z"));
        assert!((0..200).any(|n| dead(n) || {
            std::thread::sleep(Duration::from_millis(10));
            false
        }));
    }
}
