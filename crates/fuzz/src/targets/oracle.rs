//! What the agent's sandbox says to the harness, and what its shim hears.

use std::cell::Cell;
use std::fs::{self, File, Permissions};
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use oracle::protocol::{self, Request};
use oracle::{Shared, fuzzing};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::plant::{self, CANARY, Outside};

/// Longer than anything here takes, and shorter than a hang.
const LONG: Duration = Duration::from_secs(30);

pub(super) fn request(input: &[u8], _: &Path) {
    if let Ok(request) = Request::decode(input) {
        assert_eq!(request.encode(), input, "a request has one form");
    }
}

/// The first byte says how the rest is sent.
pub(super) fn stream(input: &[u8], _: &Path) {
    let Some((&how, bytes)) = input.split_first() else {
        return;
    };
    let (client, server) = UnixStream::pair().expect("a pair of sockets");
    let mut message = Vec::new();
    if how & 1 != 0 {
        let length = bytes.len().min(usize::from(how) << 2) as u32;
        message.extend(protocol::VERSION.to_le_bytes());
        message.extend(length.to_le_bytes());
    }
    message.extend_from_slice(bytes);
    let null = File::open("/dev/null").expect("there is /dev/null");
    let count = usize::from(how >> 1 & 7);
    // Whoever stops reading has said what is wrong, and many small pieces fill a socket that nobody reads yet.
    let pieces = message.chunks(if how & 0x80 == 0 { 2048 } else { 9 });
    for (number, piece) in pieces.enumerate() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = vec![null.as_fd(); count];
        if count > 0 && (number == 0 || how & 0x40 != 0) {
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        if sendmsg(
            &client,
            &[IoSlice::new(piece)],
            &mut control,
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        )
        .is_err()
        {
            break;
        }
    }
    client.shutdown(Shutdown::Write).expect("it is connected");
    if let Ok((request, _)) = protocol::receive_request(&server, LONG) {
        assert!(request.encode().len() <= message.len());
    }
    while let Ok(Some(signal)) = protocol::receive_signal(&server) {
        assert!((1..=64).contains(&signal));
    }
}

/// A tree, then arguments, each after a zero byte.
pub(super) fn files(input: &[u8], scratch: &Path) {
    let outside = Outside::new(scratch);
    let root = scratch.join("workspace");
    let mut parts = input.split(|&byte| byte == 0);
    let planted = plant::plant(parts.next().unwrap_or_default(), &root);
    let mut argv: Vec<Vec<u8>> = parts.map(<[u8]>::to_vec).collect();
    for name in ["a", "b", "a/canary", "b/../a", "/w/a", "/w/b/b"] {
        argv.push(name.into());
    }
    let shared = [Shared {
        source: root.clone(),
        at: "/w".into(),
        writable: true,
    }];
    for file in fuzzing::named_files(&argv, Path::new("/w"), &shared) {
        let length = CANARY.len() as u64;
        assert_ne!(file.bytes, length, "{:?} leads outside", file.path);
    }
    planted.clear();
    outside.check();
}

thread_local! {
    /// Where the shims call.
    static LISTENER: Cell<Option<UnixListener>> = const { Cell::new(None) };
}

/// A process of the shim for each input: what a server says is the input.
pub(super) fn shim(input: &[u8], scratch: &Path) {
    let program = scratch.join("prog");
    if !program.exists() {
        fs::write(&program, fuzzing::SHIM).expect("the scratch directory can be written to");
        fs::set_permissions(&program, Permissions::from_mode(0o555)).expect("it is ours");
        let socket = UnixListener::bind(scratch.join("prog.sock"));
        LISTENER.set(Some(socket.expect("no socket is there yet")));
    }
    let listener = LISTENER.take().expect("it is made with the program");
    let mut child = start(&program, scratch);
    let (stream, _) = listener.accept().expect("the shim calls");
    LISTENER.set(Some(listener));
    drop(protocol::receive_request(&stream, LONG).expect("the shim asks as it should"));
    // Nobody reads output that is longer than a pipe before the shim has ended.
    let _ = (&stream).write_all(input);
    drop(stream);
    let mut stderr = child.stderr.take().expect("it is a pipe");
    let mut bytes = Vec::new();
    loop {
        let limit = Timespec {
            tv_sec: LONG.as_secs() as i64,
            tv_nsec: 0,
        };
        let ready = poll(&mut [PollFd::new(&stderr, PollFlags::IN)], Some(&limit));
        if ready != Ok(1) {
            child.kill().expect("it is ours");
            panic!("the shim does not end");
        }
        let mut chunk = [0; 4096];
        match stderr.read(&mut chunk).expect("a pipe is read") {
            0 => break,
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
    let said = String::from_utf8_lossy(&bytes);
    let status = child.wait().expect("it is ours");
    assert!(!said.contains("has a fault"), "{said}");
    assert!(status.code().is_some() || !input.is_empty(), "{status}");
}

fn start(program: &Path, scratch: &Path) -> std::process::Child {
    #[expect(
        clippy::disallowed_methods,
        reason = "the shim is under test without a sandbox around it"
    )]
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("ORACLE_TEST_DIR", scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command.spawn().expect("the shim starts")
}

/// The first byte says which kind of message comes; with its high bit, a length is set before the rest.
pub(super) fn worker(input: &[u8], _: &Path) {
    let Some((&kind, bytes)) = input.split_first() else {
        return;
    };
    let (client, server) = UnixStream::pair().expect("a pair of sockets");
    if kind & 0x80 != 0 {
        let header = bytes.iter().position(|&byte| byte == b'\n');
        let header = header.unwrap_or(bytes.len()) as u32;
        (&client)
            .write_all(&header.to_le_bytes())
            .expect("there is room");
    }
    (&client).write_all(bytes).expect("there is room");
    drop(client);
    drop(sandbox::fuzzing::receive_messages(&server, kind));
}
