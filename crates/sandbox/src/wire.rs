//! Messages between a worker's owner and its processes: a header, bytes, and descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::spec::{Command, Ending, File, Spec, Usage};

/// From the owner, while the place is built; the keeper listens.
#[derive(Serialize, Deserialize)]
pub(crate) enum Plan {
    /// Build the place. The answer is [`Answer::Unshared`], then [`Answer::Ready`].
    Build {
        spec: Box<Spec>,
        /// Whether memory and processes must be watched, because no control group holds them.
        watch: bool,
        /// Port of the sandbox's loopback on which to listen for the owner.
        port: Option<u16>,
    },
    /// The user and group maps are written.
    Mapped,
}

/// From the owner, once the place is built; the runner listens.
#[derive(Serialize, Deserialize)]
pub(crate) enum Order {
    /// Run; standard input, output and error come as descriptors.
    Run {
        command: Box<Command>,
        files: Vec<FileHeader>,
    },
    /// End the running command, for this reason.
    End(Ending),
    /// Deliver a signal to the running command's process group.
    Signal(i32),
}

/// To the owner.
#[derive(Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The namespaces exist and wait for their user and group maps. The listener on loopback comes as a descriptor.
    Unshared,
    /// The place is built.
    Ready,
    /// It could not be built, or can no longer be kept clean.
    Broken {
        step: String,
        error: String,
        code: i32,
    },
    /// The command has ended.
    Ended {
        ending: Ending,
        usage: Usage,
        files: Vec<FileHeader>,
    },
}

/// Between a worker's own processes: what was asked for is done, or why not. What it made comes as a descriptor.
#[derive(Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) failed: Option<String>,
}

impl Done {
    /// Says how something went, and hands over what came of it.
    pub(crate) fn send(socket: impl AsFd, result: io::Result<Option<OwnedFd>>) -> io::Result<()> {
        let (failed, made) = match result {
            Ok(made) => (None, made),
            Err(error) => (Some(error.to_string()), None),
        };
        let made: Vec<BorrowedFd<'_>> = made.iter().map(AsFd::as_fd).collect();
        send(socket, &Done { failed }, &[], &made)
    }

    /// Waits for such a word.
    pub(crate) fn receive(socket: impl AsFd) -> io::Result<Option<OwnedFd>> {
        match receive::<Done>(socket)? {
            Some((Done { failed: None }, made)) => Ok(made.into_iter().next()),
            Some((Done { failed: Some(why) }, _)) => Err(io::Error::other(why)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A file whose bytes follow the header.
#[derive(Serialize, Deserialize)]
pub(crate) struct FileHeader {
    path: std::ffi::OsString,
    length: u64,
    executable: bool,
}

/// Largest header: arguments and environment are bounded by the kernel at 2 MiB, as text at most six times that.
const MOST_HEADER: u64 = 16 << 20;
/// Largest sum of files in one message.
pub(crate) const MOST_BYTES: u64 = 4 << 30;
/// Descriptors in one message.
const MOST_DESCRIPTORS: usize = 3;

pub(crate) fn headers(files: &[File]) -> Vec<FileHeader> {
    files
        .iter()
        .map(|file| FileHeader {
            path: file.path.clone().into(),
            length: file.bytes.len() as u64,
            executable: file.executable,
        })
        .collect()
}

/// Sends a message, the bytes of its files, and descriptors.
pub(crate) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    files: &[File],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let header = serde_json::to_vec(message)?;
    let mut frame = (header.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(&header);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let mut rest: &[u8] = &frame;
    while !rest.is_empty() {
        let sent = retry(|| {
            sendmsg(
                socket.as_fd(),
                &[IoSlice::new(rest)],
                &mut ancillary,
                SendFlags::NOSIGNAL,
            )
        })?;
        rest = &rest[sent..];
        ancillary.clear();
    }
    for file in files {
        let mut rest: &[u8] = &file.bytes;
        while !rest.is_empty() {
            let sent = retry(|| rustix::net::send(socket.as_fd(), rest, SendFlags::NOSIGNAL))?;
            rest = &rest[sent..];
        }
    }
    Ok(())
}

/// Receives a message and its descriptors; `None` when the other side is gone.
pub(crate) fn receive<M: DeserializeOwned>(
    socket: impl AsFd,
) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut descriptors = Vec::new();
    let mut length = [0; 4];
    if !fill(&socket, &mut length, Some(&mut descriptors))? {
        return Ok(None);
    }
    let length = u64::from(u32::from_le_bytes(length));
    if length > MOST_HEADER {
        return Err(io::Error::other("message header too large"));
    }
    let mut header = vec![0; length as usize];
    if !fill(&socket, &mut header, None)? {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&header)?, descriptors)))
}

/// Receives the bytes that follow a message.
pub(crate) fn receive_files(socket: impl AsFd, headers: Vec<FileHeader>) -> io::Result<Vec<File>> {
    let total = headers
        .iter()
        .fold(0u64, |sum, header| sum.saturating_add(header.length));
    if total > MOST_BYTES {
        return Err(io::Error::other("message files too large"));
    }
    let mut files = Vec::with_capacity(headers.len());
    for header in headers {
        let mut bytes = vec![0; header.length as usize];
        if !fill(&socket, &mut bytes, None)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        files.push(File {
            path: header.path.into(),
            bytes,
            executable: header.executable,
        });
    }
    Ok(files)
}

fn fill(
    socket: impl AsFd,
    buffer: &mut [u8],
    mut descriptors: Option<&mut Vec<OwnedFd>>,
) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = retry(|| {
            recvmsg(
                socket.as_fd(),
                &mut [IoSliceMut::new(&mut buffer[filled..])],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            )
        })?;
        for message in ancillary.drain() {
            if let (RecvAncillaryMessage::ScmRights(fds), Some(into)) =
                (message, descriptors.as_deref_mut())
            {
                into.extend(fds);
            }
        }
        if received.bytes == 0 {
            return if filled == 0 {
                Ok(false)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
        filled += received.bytes;
    }
    Ok(true)
}

/// Repeats a call that a signal interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map_err(Into::into),
        }
    }
}
