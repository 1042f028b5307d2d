//! A listener that can be told to end.

use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Connections of one listener that are served at the same time.
const MOST_CONNECTIONS: usize = 64;
/// How often a listener with that many looks for a free place.
const BUSY_INTERVAL: Duration = Duration::from_millis(1);

/// A caller, who takes a place at the listener for as long as this lives.
pub struct Connection {
    stream: UnixStream,
    _place: Arc<()>,
}

impl std::ops::Deref for Connection {
    type Target = UnixStream;

    fn deref(&self) -> &UnixStream {
        &self.stream
    }
}

/// Hands each connection to `accept` until `stop` is set, which is looked at once every `interval`.
pub fn listen(
    listener: &UnixListener,
    stop: &AtomicBool,
    interval: Duration,
    mut accept: impl FnMut(Connection),
) {
    let timeout = Timespec {
        tv_sec: interval.as_secs() as i64,
        tv_nsec: i64::from(interval.subsec_nanos()),
    };
    let served = Arc::new(());
    while !stop.load(Ordering::Relaxed) {
        // The others wait in the socket's queue: a flood of callers must not use up this process's
        // descriptors, in which the journal is written too.
        if Arc::strong_count(&served) > MOST_CONNECTIONS {
            std::thread::sleep(BUSY_INTERVAL);
            continue;
        }
        let ready = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&timeout));
        if matches!(ready, Ok(count) if count > 0)
            && let Ok((stream, _)) = listener.accept()
        {
            accept(Connection {
                stream,
                _place: Arc::clone(&served),
            });
        }
    }
}
