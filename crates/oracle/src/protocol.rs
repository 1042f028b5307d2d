//! What shim and broker say to each other over a Unix stream socket. All numbers are little endian.
//!
//! | from | bytes |
//! | --- | --- |
//! | shim, once | version `u32`, length `u32`, then arguments, directory, environment; three descriptors come with the first byte |
//! | shim, any time later | `1`, signal `u32` |
//! | broker | `1` or `2`, length `u32`, bytes: for standard output or error |
//! | broker, once | `3`, status `u32`, or `4`, signal `u32`, or `5`, length `u32`, text: refused |
//!
//! A list is a count `u32` and its items; an item is a length `u32` and its bytes.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recv, recvmsg,
    send as send_bytes,
};

use crate::wire::{
    self, EXITED, HEAD, LAST_SIGNAL, REFUSED, SIGNAL, SIGNALED, STDERR, STDOUT, head, parse_head,
};

/// Version of the protocol.
pub const VERSION: u32 = wire::VERSION;
/// Longest request, in bytes: the kernel allows 2 MiB of arguments and environment.
pub const MOST_REQUEST: u32 = 4 << 20;
/// Longest wait for a whole request.
pub const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Descriptors of a request.
const DESCRIPTORS: usize = 3;
/// Descriptors for which there is room, so that too many are seen and closed.
const ROOM: usize = 8;

/// What a caller wants to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Arguments, the program's name first.
    pub argv: Vec<Vec<u8>>,
    /// Working directory; empty when it is unreachable.
    pub cwd: Vec<u8>,
    /// Environment, as `NAME=VALUE`.
    pub env: Vec<Vec<u8>>,
}

/// What the broker answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Bytes for the caller's standard output (1) or error (2).
    Output {
        /// 1 or 2.
        stream: u8,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The program ended with this status.
    Exited(u32),
    /// The program died of this signal.
    Signaled(u32),
    /// The program was not run, for this reason.
    Refused(String),
}

/// What is wrong with what a caller sent.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// Another version.
    #[error("the caller speaks version {0} of the protocol, this is version {VERSION}")]
    Version(u32),
    /// Longer than [`MOST_REQUEST`].
    #[error("the arguments and environment have {0} bytes, more than {MOST_REQUEST}")]
    TooLong(u32),
    /// Lengths that do not fit each other.
    #[error("the request is garbled")]
    Garbled,
    /// Not exactly three descriptors.
    #[error("the request comes with {0} descriptors instead of three")]
    Descriptors(usize),
    /// Not whole in time.
    #[error("the request did not come in time")]
    Late,
    /// The caller is gone.
    #[error("the caller is gone")]
    Gone,
    /// The system refused.
    #[error("the request cannot be read: {0}")]
    Io(#[from] io::Error),
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    fn item(&mut self) -> Option<Vec<u8>> {
        let length = self.number()? as usize;
        let (item, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(item.to_vec())
    }

    fn list(&mut self) -> Option<Vec<Vec<u8>>> {
        let count = self.number()? as usize;
        // Each item has at least its length: a count beyond that is a lie, and reserves nothing.
        if count > self.0.len() / 4 {
            return None;
        }
        (0..count).map(|_| self.item()).collect()
    }
}

impl Request {
    /// Reads a request's body. Never panics, and takes no more memory than the body has bytes, times a constant.
    ///
    /// # Errors
    /// [`ProtocolError::Garbled`] when lengths do not fit, or when a string holds a zero byte.
    pub fn decode(body: &[u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor(body);
        let request = (|| {
            let (argv, cwd, env) = (cursor.list()?, cursor.item()?, cursor.list()?);
            Some(Request { argv, cwd, env })
        })();
        match request {
            Some(request) if cursor.0.is_empty() && !request.holds_zero() => Ok(request),
            _ => Err(ProtocolError::Garbled),
        }
    }

    /// Writes a request's body.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let number = |body: &mut Vec<u8>, number: usize| body.extend((number as u32).to_le_bytes());
        let item = |body: &mut Vec<u8>, item: &[u8]| {
            number(body, item.len());
            body.extend_from_slice(item);
        };
        for list in [&self.argv, &self.env] {
            if std::ptr::eq(list, &raw const self.env) {
                item(&mut body, &self.cwd);
            }
            number(&mut body, list.len());
            list.iter().for_each(|one| item(&mut body, one));
        }
        body
    }

    fn holds_zero(&self) -> bool {
        self.argv
            .iter()
            .chain([&self.cwd])
            .chain(&self.env)
            .any(|item| item.contains(&0))
    }
}

/// Waits for a request and its descriptors, no longer than `within`.
///
/// # Errors
/// [`ProtocolError`]; every descriptor that came is closed then.
pub fn receive_request(
    stream: impl AsFd,
    within: Duration,
) -> Result<(Request, [OwnedFd; DESCRIPTORS]), ProtocolError> {
    let deadline = Instant::now() + within;
    let mut descriptors = Vec::new();
    let mut start = [0; 8];
    fill(&stream, &mut start, &mut descriptors, deadline)?;
    let number =
        |at: usize| u32::from_le_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
    let (version, length) = (number(0), number(4));
    if version != VERSION {
        return Err(ProtocolError::Version(version));
    }
    if length > MOST_REQUEST {
        return Err(ProtocolError::TooLong(length));
    }
    let mut body = vec![0; length as usize];
    fill(&stream, &mut body, &mut descriptors, deadline)?;
    let request = Request::decode(&body)?;
    let count = descriptors.len();
    let descriptors = descriptors
        .try_into()
        .map_err(|_| ProtocolError::Descriptors(count))?;
    Ok((request, descriptors))
}

fn fill(
    stream: impl AsFd,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
    deadline: Instant,
) -> Result<(), ProtocolError> {
    let mut filled = 0;
    while filled < buffer.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(&stream, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err(ProtocolError::Late),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(ProtocolError::Io(error.into())),
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(ROOM))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            stream.as_fd(),
            &mut [IoSliceMut::new(&mut buffer[filled..])],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        );
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                descriptors.extend(fds);
            }
        }
        // More than three are refused at the end of the request; those beyond the room, the kernel closes.
        descriptors.truncate(DESCRIPTORS + 1);
        match received {
            Ok(received) if received.bytes == 0 => return Err(ProtocolError::Gone),
            Ok(received) => filled += received.bytes,
            Err(Errno::INTR) => {}
            Err(error) => return Err(ProtocolError::Io(error.into())),
        }
    }
    Ok(())
}

/// Reads one signal that the caller passes on; `None` when the caller is gone. For a stream that is ready to be
/// read: never waits, so a caller cannot hold the broker up with half a message.
///
/// # Errors
/// When the caller says something else, or nothing. Half a message is something else: the shim's leave in one piece.
pub fn receive_signal(stream: impl AsFd) -> Result<Option<i32>, ProtocolError> {
    let mut message = [0; HEAD];
    // Without room for them, the kernel closes descriptors that come along.
    let (_, count) = loop {
        match recv(&stream, &mut message, RecvFlags::DONTWAIT) {
            Err(Errno::INTR) => {}
            // A caller that is killed with replies unread looks like this.
            Err(Errno::CONNRESET) => return Ok(None),
            received => break received.map_err(io::Error::from)?,
        }
    };
    match (count, parse_head(message)) {
        (0, _) => Ok(None),
        (HEAD, (SIGNAL, signal @ 1..=LAST_SIGNAL)) => Ok(Some(signal as i32)),
        _ => Err(ProtocolError::Garbled),
    }
}

/// Sends a reply.
///
/// # Errors
/// When the caller is gone.
pub fn send(stream: impl AsFd, reply: &Reply) -> io::Result<()> {
    let (kind, number, bytes): (u8, u32, &[u8]) = match reply {
        Reply::Output { stream: 2, bytes } => (STDERR, bytes.len() as u32, bytes),
        Reply::Output { bytes, .. } => (STDOUT, bytes.len() as u32, bytes),
        Reply::Exited(status) => (EXITED, *status, &[]),
        Reply::Signaled(signal) => (SIGNALED, *signal, &[]),
        Reply::Refused(text) => (REFUSED, text.len() as u32, text.as_bytes()),
    };
    let mut message = head(kind, number).to_vec();
    message.extend_from_slice(bytes);
    let mut rest: &[u8] = &message;
    while !rest.is_empty() {
        match send_bytes(stream.as_fd(), rest, SendFlags::NOSIGNAL) {
            Ok(count) => rest = &rest[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(1u8.., 0..40)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            argv in proptest::collection::vec(item(), 0..9),
            cwd in item(),
            env in proptest::collection::vec(item(), 0..9),
        ) {
            let request = Request { argv, cwd, env };
            prop_assert_eq!(Request::decode(&request.encode()).unwrap(), request);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(request) = Request::decode(&bytes) {
                prop_assert_eq!(request.encode(), bytes);
            }
        }
    }

    #[test]
    fn a_count_that_cannot_be_true_reserves_nothing() {
        assert!(Request::decode(&[0xff; 12]).is_err());
    }
}
