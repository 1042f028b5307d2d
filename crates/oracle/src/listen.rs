//! A listener that can be told to end.

use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Hands each connection to `accept` until `stop` is set, which is looked at once every `interval`.
pub fn listen(
    listener: &UnixListener,
    stop: &AtomicBool,
    interval: Duration,
    mut accept: impl FnMut(UnixStream),
) {
    let timeout = Timespec {
        tv_sec: interval.as_secs() as i64,
        tv_nsec: i64::from(interval.subsec_nanos()),
    };
    while !stop.load(Ordering::Relaxed) {
        let ready = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&timeout));
        if matches!(ready, Ok(count) if count > 0)
            && let Ok((stream, _)) = listener.accept()
        {
            accept(stream);
        }
    }
}
