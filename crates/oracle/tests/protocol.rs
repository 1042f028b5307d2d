//! The broker's end of the socket against callers that are not the shim.

use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use oracle::protocol::{self, ProtocolError, Reply, Request};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pipe::{PipeFlags, pipe_with};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

/// Sends bytes with descriptors.
fn send_with(stream: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    let sent = sendmsg(
        stream,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    );
    assert_eq!(sent, Ok(bytes.len()));
}

/// A whole request as the shim sends it.
fn message(request: &Request) -> Vec<u8> {
    let body = request.encode();
    [
        &protocol::VERSION.to_le_bytes()[..],
        &(body.len() as u32).to_le_bytes(),
        &body,
    ]
    .concat()
}

fn example() -> Request {
    Request {
        argv: vec![b"prog".to_vec(), b"".to_vec()],
        cwd: b"/w".to_vec(),
        env: vec![b"A=b".to_vec()],
    }
}

#[test]
fn a_request_in_pieces_arrives_with_its_descriptors_closed_on_exec() {
    let (client, server) = UnixStream::pair().unwrap();
    let (mut reader, writer) = pipe_with(PipeFlags::CLOEXEC)
        .map(|(a, b)| (File::from(a), b))
        .unwrap();
    let sender = thread::spawn(move || {
        let bytes = message(&example());
        let null = File::open("/dev/null").unwrap();
        send_with(
            &client,
            &bytes[..1],
            &[null.as_fd(), writer.as_fd(), writer.as_fd()],
        );
        for byte in &bytes[1..] {
            (&client).write_all(&[*byte]).unwrap();
        }
        client
    });
    let (request, descriptors) = protocol::receive_request(&server, LONG).unwrap();
    assert_eq!(request, example());
    for descriptor in &descriptors {
        assert!(
            rustix::io::fcntl_getfd(descriptor)
                .unwrap()
                .contains(rustix::io::FdFlags::CLOEXEC)
        );
    }
    let [_, stdout, _stderr] = descriptors;
    File::from(stdout).write_all(b"there").unwrap();
    drop(_stderr);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "there");
    drop(sender.join().unwrap());
}

/// Sends with `count` descriptors of one pipe; says how the request was refused, after every one was closed again.
fn refused_with(count: usize) -> ProtocolError {
    let (client, server) = UnixStream::pair().unwrap();
    let (mut reader, writer) = pipe_with(PipeFlags::CLOEXEC)
        .map(|(a, b)| (File::from(a), b))
        .unwrap();
    if count == 0 {
        (&client).write_all(&message(&example())).unwrap();
    } else {
        send_with(&client, &message(&example()), &vec![writer.as_fd(); count]);
    }
    let error = protocol::receive_request(&server, LONG).unwrap_err();
    drop(writer);
    // Ends only when no copy is left.
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    error
}

#[test]
fn another_number_of_descriptors_is_refused_and_none_stays() {
    for count in [0, 1, 2, 4, 8, 9, 64] {
        assert!(
            matches!(refused_with(count), ProtocolError::Descriptors(_)),
            "{count}"
        );
    }
}

#[test]
fn descriptors_that_come_later_are_refused_and_none_stays() {
    let (client, server) = UnixStream::pair().unwrap();
    let (mut reader, writer) = pipe_with(PipeFlags::CLOEXEC)
        .map(|(a, b)| (File::from(a), b))
        .unwrap();
    let bytes = message(&example());
    let three = [writer.as_fd(); 3];
    send_with(&client, &bytes[..10], &three);
    send_with(&client, &bytes[10..], &three);
    assert!(matches!(
        protocol::receive_request(&server, LONG),
        Err(ProtocolError::Descriptors(_))
    ));

    send_with(&client, &bytes, &three);
    let (_, descriptors) = protocol::receive_request(&server, LONG).unwrap();
    send_with(&client, &[1, 15, 0, 0, 0], &three);
    assert_eq!(protocol::receive_signal(&server).unwrap(), Some(15));
    drop((descriptors, writer));
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

#[test]
fn what_is_no_request_is_refused() {
    let head = |version: u32, length: u32| [version.to_le_bytes(), length.to_le_bytes()].concat();
    let check = |bytes: &[u8], expected: &str| {
        let (client, server) = UnixStream::pair().unwrap();
        (&client).write_all(bytes).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let error = protocol::receive_request(&server, LONG)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(b"", "gone");
    check(b"GET / HTTP", "version 542393671");
    check(&head(2, 0), "version 2");
    check(&head(1, u32::MAX), "4294967295 bytes");
    check(&head(1, protocol::MOST_REQUEST + 1), "more than");
    check(&head(1, protocol::MOST_REQUEST), "gone");
    check(&head(1, 0), "garbled");
    check(&[head(1, 4), vec![0xff; 4]].concat(), "garbled");
    check(
        &message(&Request {
            cwd: b"/\0".to_vec(),
            ..example()
        }),
        "garbled",
    );
}

#[test]
fn a_request_that_does_not_come_or_drips_is_given_up() {
    let (client, server) = UnixStream::pair().unwrap();
    let start = Instant::now();
    assert!(matches!(
        protocol::receive_request(&server, SHORT),
        Err(ProtocolError::Late)
    ));
    let drip = thread::spawn(move || {
        let bytes = message(&example());
        // The receiver gives up long before the end, so the last writes may fail.
        bytes.iter().all(|byte| {
            thread::sleep(Duration::from_millis(10));
            (&client).write_all(&[*byte]).is_ok()
        })
    });
    assert!(matches!(
        protocol::receive_request(&server, SHORT),
        Err(ProtocolError::Late)
    ));
    assert!(start.elapsed() < LONG);
    drop(server);
    assert!(!drip.join().unwrap());
}

#[test]
fn what_is_no_signal_is_refused_without_waiting() {
    let check = |bytes: &[u8]| {
        let (client, server) = UnixStream::pair().unwrap();
        (&client).write_all(bytes).unwrap();
        protocol::receive_signal(&server).map_err(|error| error.to_string())
    };
    let garbled = Err("the request is garbled".to_owned());
    assert_eq!(check(&[1, 2, 0, 0, 0]), Ok(Some(2)));
    assert_eq!(check(&[1, 64, 0, 0, 0, 1, 1, 0, 0, 0]), Ok(Some(64)));
    for bytes in [
        &[1][..],
        &[1, 2, 0, 0],
        &[2, 2, 0, 0, 0],
        &[1, 0, 0, 0, 0],
        &[1, 65, 0, 0, 0],
        &[1, 255, 255, 255, 255],
    ] {
        assert_eq!(check(bytes), garbled, "{bytes:?}");
    }
    let (client, server) = UnixStream::pair().unwrap();
    assert!(
        protocol::receive_signal(&server).is_err(),
        "nothing was sent"
    );
    drop(client);
    assert!(matches!(protocol::receive_signal(&server), Ok(None)));
}

#[test]
fn a_caller_that_is_gone_ends_a_reply() {
    let (client, server) = UnixStream::pair().unwrap();
    drop(client);
    assert!(protocol::send(&server, &Reply::Exited(0)).is_err());
}
