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
        let there = match kind % 4 {
            0 => wire::receive::<Plan>(&socket)?.is_some(),
            1 => match wire::receive::<Order>(&socket)? {
                Some((Order::Run { files, .. }, _)) => {
                    wire::receive_files(&socket, files)?;
                    true
                }
                other => other.is_some(),
            },
            2 => match wire::receive::<Answer>(&socket)? {
                Some((Answer::Ended { files, .. }, _)) => {
                    wire::receive_files(&socket, files)?;
                    true
                }
                other => other.is_some(),
            },
            _ => {
                Done::receive(&socket)?;
                true
            }
        };
        if !there {
            return Ok(count);
        }
        count += 1;
    }
}
