//! The caller's own terminal, lent to a command through a pseudo-terminal of its own.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use sandbox::{Command, Outcome, Streams, Worker};

use crate::cast::Cast;
use crate::session::Error;

/// How often the window's size is looked at.
const INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// Standard input and output of this process, when they are a terminal.
pub struct Terminal {
    plain: Termios,
    cast: Option<Cast>,
}

/// What came of waiting for a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A line, without its end.
    Typed(String),
    /// None until now.
    Nothing,
    /// There is no more.
    End,
}

impl Terminal {
    /// The terminal, or `None` when standard input or output is something else.
    pub fn of_this_process() -> Option<Self> {
        let (input, output) = (rustix::stdio::stdin(), rustix::stdio::stdout());
        if !rustix::termios::isatty(input) || !rustix::termios::isatty(output) {
            return None;
        }
        tcgetattr(input)
            .ok()
            .map(|plain| Terminal { plain, cast: None })
    }

    /// Columns and rows of the window.
    pub fn size() -> (u16, u16) {
        match tcgetwinsize(rustix::stdio::stdin()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
            _ => (80, 24),
        }
    }

    /// From here on, what is shown is recorded.
    pub fn record(&mut self, cast: Cast) {
        self.cast = Some(cast);
    }

    /// A mark in the recording.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn mark(&mut self, text: &str) -> Result<(), Error> {
        self.recording(|cast| cast.mark(text))
    }

    fn recording(&mut self, write: impl FnOnce(&mut Cast) -> io::Result<()>) -> Result<(), Error> {
        let Some(cast) = &mut self.cast else {
            return Ok(());
        };
        write(cast).map_err(|error| Error::Io {
            path: "the terminal's recording".into(),
            error,
        })
    }

    /// Shows text.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub fn show(&mut self, text: &str) -> Result<(), Error> {
        let _ = write_all(rustix::stdio::stdout(), text.as_bytes());
        // The terminal itself turns a line's end into two characters.
        self.recording(|cast| cast.shown(text.replace('\n', "\r\n").as_bytes()))
    }

    /// Waits for a line, no longer than `time`.
    ///
    /// # Errors
    /// When the terminal cannot be read, or what was typed cannot be recorded.
    pub fn line(&mut self, time: std::time::Duration) -> Result<Line, Error> {
        let input = rustix::stdio::stdin();
        let time = Timespec {
            tv_sec: time.as_secs() as i64,
            tv_nsec: time.subsec_nanos().into(),
        };
        let failed = |error: Errno| Error::Io {
            path: "terminal".into(),
            error: error.into(),
        };
        match poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&time)) {
            Ok(0) | Err(Errno::INTR) => return Ok(Line::Nothing),
            Ok(_) => {}
            Err(error) => return Err(failed(error)),
        }
        // A terminal gives one line at a time, and no more than 4096 bytes of it.
        let mut buffer = [0; 4096];
        let count = match rustix::io::read(input, &mut buffer) {
            Ok(count) => count,
            Err(Errno::INTR) => return Ok(Line::Nothing),
            // A terminal that is gone.
            Err(Errno::IO) => 0,
            Err(error) => return Err(failed(error)),
        };
        if count == 0 {
            return Ok(Line::End);
        }
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        // The terminal has shown it already.
        self.recording(|cast| cast.shown(text.replace('\n', "\r\n").as_bytes()))?;
        Ok(Line::Typed(text.trim_end_matches('\n').to_owned()))
    }

    /// Runs a command on it; returns the outcome, what was printed, and whether something was typed.
    pub(crate) fn run(
        &mut self,
        worker: &mut Worker,
        command: &Command,
        tick: &mut dyn FnMut() -> Result<(), Error>,
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
        let relayed = relay(&main, &mut running, self.cast.as_mut(), tick);
        let _ = tcsetattr(input, OptionalActions::Drain, &self.plain);
        let (printed, typed) = relayed?;
        // What comes next begins on a line of its own.
        if printed.last().is_some_and(|&byte| byte != b'\n') {
            let _ = write_all(rustix::stdio::stdout(), b"\n");
            self.recording(|cast| cast.shown(b"\r\n"))?;
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

fn relay(
    main: &OwnedFd,
    running: &mut sandbox::Running<'_>,
    mut cast: Option<&mut Cast>,
    tick: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<(Vec<u8>, bool), Error> {
    let unrecorded = |error| Error::Io {
        path: "the terminal's recording".into(),
        error,
    };
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
            if let Some(cast) = &mut cast {
                cast.size(Terminal::size()).map_err(unrecorded)?;
            }
        }
        tick()?;
        if shown {
            if let Ok(count) = rustix::io::read(main, &mut buffer) {
                printed.extend_from_slice(&buffer[..count]);
                let _ = write_all(output, &buffer[..count]);
                if let Some(cast) = &mut cast {
                    cast.shown(&buffer[..count]).map_err(unrecorded)?;
                }
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
