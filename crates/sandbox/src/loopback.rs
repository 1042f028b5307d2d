//! One listening port on a sandbox's own loopback, held by the caller outside.
//!
//! A socket belongs to the network namespace in which it was made, whoever holds it. The keeper makes the listener
//! inside and hands it out, so what connects to the port inside is accepted outside, and nothing has to relay or to
//! decide: the namespace has no other device, no route and no name server, and no other address answers.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use crate::sys;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Brings this network namespace's loopback up and listens there.
pub(crate) fn open(port: u16) -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    sys::bring_loopback_up(&socket)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}
