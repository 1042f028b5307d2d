//! Ways in for the fuzz targets, to what otherwise only a worker's own processes say to each other.

use std::io;
use std::os::fd::AsFd;

use crate::wire::{self, Answer, Done, Order, Plan};

/// Receives messages of every kind, and the bytes that follow them, until the other side is gone or makes no sense;
/// gives their number.
///
/// # Errors
/// What made no sense.
pub fn receive_messages(socket: impl AsFd, kind: u8) -> io::Result<u32> {
    let mut count = 0;
    loop {
        match kind % 4 {
            0 => match wire::receive::<Plan>(&socket)? {
                None => return Ok(count),
                Some(_) => {}
            },
            1 => match wire::receive::<Order>(&socket)? {
                None => return Ok(count),
                Some((Order::Run { files, .. }, _)) => drop(wire::receive_files(&socket, files)?),
                Some(_) => {}
            },
            2 => match wire::receive::<Answer>(&socket)? {
                None => return Ok(count),
                Some((Answer::Ended { files, .. }, _)) => {
                    drop(wire::receive_files(&socket, files)?);
                }
                Some(_) => {}
            },
            _ => drop(Done::receive(&socket)?),
        }
        count += 1;
    }
}
