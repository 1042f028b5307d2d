//! The caller's own terminal, lent to a command through a pseudo-terminal of its own.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use sandbox::{Command, Outcome, Streams, Worker};

use crate::session::Error;

/// How often the window's size is looked at.
const INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// Standard input and output of this process, when they are a terminal.
pub struct Terminal {
    plain: Termios,
}

impl Terminal {
    /// The terminal, or `None` when standard input or output is something else.
    pub fn of_this_process() -> Option<Self> {
        let (input, output) = (rustix::stdio::stdin(), rustix::stdio::stdout());
        if !rustix::termios::isatty(input) || !rustix::termios::isatty(output) {
            return None;
        }
        tcgetattr(input).ok().map(|plain| Terminal { plain })
    }

    /// Runs a command on it; returns the outcome, what was printed, and whether something was typed.
    pub(crate) fn run(
        &mut self,
        worker: &mut Worker,
        command: &Command,
    ) -> Result<(Outcome, Vec<u8>, bool), Error> {
        let (main, inner) = open_pair().map_err(|error| Error::Io {
            path: "/dev/ptmx".into(),
            error,
        })?;
        let input = rustix::stdio::stdin();
        if let Ok(size) = tcgetwinsize(input) {
            let _ = tcsetwinsize(&main, size);
        }
        let streams = Streams {
            stdin: inner.as_fd(),
            stdout: inner.as_fd(),
            stderr: inner.as_fd(),
        };
        let mut running = worker.begin(command, &streams)?;
        drop(inner);
        let mut raw = self.plain.clone();
        raw.make_raw();
        let _ = tcsetattr(input, OptionalActions::Drain, &raw);
        let relayed = relay(&main, &mut running);
        let _ = tcsetattr(input, OptionalActions::Drain, &self.plain);
        let (printed, typed) = relayed?;
        // What comes next begins on a line of its own.
        if printed.last().is_some_and(|&byte| byte != b'\n') {
            let _ = write_all(rustix::stdio::stdout(), b"\n");
        }
        Ok((running.finish()?, printed, typed))
    }
}

fn open_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&main)?;
    unlockpt(&main)?;
    let name = ptsname(&main, Vec::new())?;
    let inner = rustix::fs::open(
        name,
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    Ok((main, inner))
}

fn relay(main: &OwnedFd, running: &mut sandbox::Running<'_>) -> Result<(Vec<u8>, bool), Error> {
    let (input, output) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    let (mut printed, mut typed) = (Vec::new(), false);
    let mut buffer = [0; 16 << 10];
    loop {
        let (ended, shown, entered) = {
            let mut polled = [
                PollFd::new(&*running, PollFlags::IN),
                PollFd::new(main, PollFlags::IN),
                PollFd::new(&input, PollFlags::IN),
            ];
            match poll(&mut polled, Some(&INTERVAL)) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => {
                    return Err(Error::Io {
                        path: "terminal".into(),
                        error: error.into(),
                    });
                }
            }
            let ready = |index: usize| polled[index].revents().contains(PollFlags::IN);
            (!polled[0].revents().is_empty(), ready(1), ready(2))
        };
        if let Ok(size) = tcgetwinsize(input) {
            let _ = tcsetwinsize(main, size);
        }
        if shown {
            if let Ok(count) = rustix::io::read(main, &mut buffer) {
                printed.extend_from_slice(&buffer[..count]);
                let _ = write_all(output, &buffer[..count]);
            }
        } else if ended {
            return Ok((printed, typed));
        }
        if entered && let Ok(count) = rustix::io::read(input, &mut buffer) {
            typed |= count > 0;
            let _ = write_all(main, &buffer[..count]);
        }
    }
}

fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&fd, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
