//! The system calls the shim makes, as safe functions where safety can be had.
//!
//! A result is what the kernel returns: negative error numbers, otherwise a value.

use crate::syscall::syscall;

pub(crate) const EINTR: isize = -4;
pub(crate) const ENOENT: isize = -2;
pub(crate) const EAGAIN: isize = -11;
pub(crate) const ENAMETOOLONG: isize = -36;

/// Bytes of a socket's path, with the zero byte that ends it.
pub(crate) const PATH_ROOM: usize = 108;

pub(crate) const POLLIN: i16 = 1;
pub(crate) const POLLOUT: i16 = 4;

const AF_UNIX: u16 = 1;

/// One entry of `poll`.
#[repr(C)]
pub(crate) struct Poll {
    pub(crate) descriptor: i32,
    pub(crate) events: i16,
    pub(crate) returned: i16,
}

impl Poll {
    pub(crate) fn new(descriptor: i32, events: i16) -> Poll {
        Poll {
            descriptor,
            events,
            returned: 0,
        }
    }
}

#[repr(C)]
struct Address {
    family: u16,
    path: [u8; PATH_ROOM],
}

#[repr(C)]
struct Slice {
    base: usize,
    length: usize,
}

#[repr(C)]
struct Message {
    name: usize,
    name_length: u32,
    slices: usize,
    slice_count: usize,
    control: usize,
    control_length: usize,
    flags: i32,
}

/// A control message of three descriptors: `cmsghdr`, then its data.
#[repr(C)]
struct Rights {
    length: usize,
    level: i32,
    kind: i32,
    descriptors: [i32; 3],
}

/// Calls the kernel with numbers alone.
macro_rules! plain {
    ($number:expr $(, $argument:expr)*) => {{
        let mut arguments = [0usize; 6];
        let given = [$($argument as usize),*];
        arguments[..given.len()].copy_from_slice(&given);
        // Needed: there is no C library. SAFETY: used only for calls none of whose arguments is an address.
        unsafe { syscall($number, arguments) }
    }};
}

pub(crate) fn exit(status: u32) -> ! {
    loop {
        plain!(231, status);
    }
}

/// Ends this process by a signal; returns if it survives, as the first process of a PID namespace does.
pub(crate) fn kill_self(signal: u32) {
    let this = plain!(39, 0);
    plain!(62, this, signal);
}

/// No core file: what dies here is the shim, and its picture would only mislead.
pub(crate) fn forbid_core_dump() {
    const PR_SET_DUMPABLE: usize = 4;
    const RLIMIT_CORE: usize = 4;
    let none = [0u64; 2];
    // Needed: there is no C library. SAFETY: the kernel reads 16 bytes, which `none` has.
    unsafe { syscall(160, [RLIMIT_CORE, none.as_ptr() as usize, 0, 0, 0, 0]) };
    // A core that is piped to a program ignores the limit, but not this.
    plain!(157, PR_SET_DUMPABLE, 0, 0, 0, 0);
}

pub(crate) fn write(descriptor: i32, bytes: &[u8]) -> isize {
    // Needed: there is no C library. SAFETY: the kernel reads the slice and no more.
    unsafe {
        syscall(
            1,
            [
                descriptor as usize,
                bytes.as_ptr() as usize,
                bytes.len(),
                0,
                0,
                0,
            ],
        )
    }
}

pub(crate) fn read(descriptor: i32, room: &mut [u8]) -> isize {
    // Needed: there is no C library. SAFETY: the kernel writes into the slice and no further.
    unsafe {
        syscall(
            0,
            [
                descriptor as usize,
                room.as_mut_ptr() as usize,
                room.len(),
                0,
                0,
                0,
            ],
        )
    }
}

/// Waits without end.
pub(crate) fn poll(entries: &mut [Poll]) -> isize {
    // Needed: there is no C library. SAFETY: the layout is `struct pollfd`, and the length is the slice's.
    unsafe {
        syscall(
            7,
            [
                entries.as_mut_ptr() as usize,
                entries.len(),
                usize::MAX,
                0,
                0,
                0,
            ],
        )
    }
}

pub(crate) fn close(descriptor: i32) {
    plain!(3, descriptor);
}

/// Whether a descriptor is open.
pub(crate) fn is_open(descriptor: i32) -> bool {
    const F_GETFD: usize = 1;
    plain!(72, descriptor, F_GETFD) >= 0
}

/// Opens a path that ends in a zero byte; the lowest free number is taken.
pub(crate) fn open(path: &core::ffi::CStr, flags: usize) -> isize {
    // Needed: there is no C library. SAFETY: a `CStr` ends in a zero byte.
    unsafe { syscall(2, [path.as_ptr() as usize, flags, 0, 0, 0, 0]) }
}

pub(crate) fn read_link(path: &core::ffi::CStr, room: &mut [u8]) -> isize {
    // Needed: there is no C library. SAFETY: the path ends in a zero byte; the kernel writes into the slice and no further.
    unsafe {
        syscall(
            89,
            [
                path.as_ptr() as usize,
                room.as_mut_ptr() as usize,
                room.len(),
                0,
                0,
                0,
            ],
        )
    }
}

/// The working directory and a zero byte; returns the length of both.
pub(crate) fn working_directory(room: &mut [u8]) -> isize {
    // Needed: there is no C library. SAFETY: the kernel writes into the slice and no further.
    unsafe { syscall(79, [room.as_mut_ptr() as usize, room.len(), 0, 0, 0, 0]) }
}

/// Connects to a socket in the file system, whose path is followed by zero bytes.
pub(crate) fn connect(path: &[u8; PATH_ROOM]) -> isize {
    const SOCK_STREAM_CLOEXEC: usize = 0o2000001;
    let address = Address {
        family: AF_UNIX,
        path: *path,
    };
    let socket = plain!(41, AF_UNIX, SOCK_STREAM_CLOEXEC, 0);
    if socket < 0 {
        return socket;
    }
    loop {
        // Needed: there is no C library. SAFETY: the layout is `struct sockaddr_un`, read for its size.
        let result = unsafe {
            syscall(
                42,
                [
                    socket as usize,
                    &raw const address as usize,
                    size_of::<Address>(),
                    0,
                    0,
                    0,
                ],
            )
        };
        match result {
            0 => return socket,
            EINTR => {}
            error => {
                close(socket as i32);
                return error;
            }
        }
    }
}

const MSG_NOSIGNAL: usize = 0x4000;

/// Sends bytes, or a first part of them, with descriptors 0, 1 and 2.
pub(crate) fn send_with_streams(socket: i32, bytes: &[u8]) -> isize {
    const SOL_SOCKET: i32 = 1;
    const SCM_RIGHTS: i32 = 1;
    let slice = Slice {
        base: bytes.as_ptr() as usize,
        length: bytes.len(),
    };
    let rights = Rights {
        length: 16 + 12,
        level: SOL_SOCKET,
        kind: SCM_RIGHTS,
        descriptors: [0, 1, 2],
    };
    let message = Message {
        name: 0,
        name_length: 0,
        slices: &raw const slice as usize,
        slice_count: 1,
        control: &raw const rights as usize,
        control_length: size_of::<Rights>(),
        flags: 0,
    };
    // Needed: there is no C library. SAFETY: the layout is `struct msghdr`; what it points to lives until the call
    // returns: one slice, valid for its length, and one control message of the size given.
    unsafe {
        syscall(
            46,
            [
                socket as usize,
                &raw const message as usize,
                MSG_NOSIGNAL,
                0,
                0,
                0,
            ],
        )
    }
}

/// Sends bytes, or a first part of them.
pub(crate) fn send(socket: i32, bytes: &[u8]) -> isize {
    // Needed: there is no C library. SAFETY: the kernel reads the slice and no more.
    unsafe {
        syscall(
            44,
            [
                socket as usize,
                bytes.as_ptr() as usize,
                bytes.len(),
                MSG_NOSIGNAL,
                0,
                0,
            ],
        )
    }
}

/// Fresh memory for the rest of the process's life.
pub(crate) fn memory(bytes: usize) -> Option<&'static mut [u8]> {
    const READ_WRITE: usize = 3;
    const PRIVATE_ANONYMOUS_POPULATE: usize = 0x8022;
    let address = plain!(
        9,
        0,
        bytes,
        READ_WRITE,
        PRIVATE_ANONYMOUS_POPULATE,
        -1isize,
        0
    );
    if address <= 0 {
        return None;
    }
    // Needed: the kernel hands memory out as a number. SAFETY: a new mapping of that size, zeroed, which nothing else knows and nobody unmaps.
    Some(unsafe { core::slice::from_raw_parts_mut(address as *mut u8, bytes) })
}

/// `struct sigaction` as the kernel has it.
#[repr(C)]
struct Action {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

/// What a signal does when it arrives, as far as a program without handlers can choose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    Default,
    Ignore,
}

pub(crate) fn set_disposition(signal: u32, disposition: Disposition) {
    let action = Action {
        handler: disposition as usize,
        flags: 0,
        restorer: 0,
        mask: 0,
    };
    // Needed: there is no C library. SAFETY: the layout is the kernel's; no handler is set, so no restorer is needed.
    unsafe {
        syscall(
            13,
            [signal as usize, &raw const action as usize, 0, 8, 0, 0],
        )
    };
}

pub(crate) fn is_ignored(signal: u32) -> bool {
    let mut action = Action {
        handler: 0,
        flags: 0,
        restorer: 0,
        mask: 0,
    };
    // Needed: there is no C library. SAFETY: the layout is the kernel's, which fills it in.
    unsafe { syscall(13, [signal as usize, 0, &raw mut action as usize, 8, 0, 0]) };
    action.handler == Disposition::Ignore as usize
}

/// How a set of signals changes the blocked ones.
#[derive(Clone, Copy)]
pub(crate) enum Blocking {
    Add = 0,
    Remove = 1,
}

/// Changes which signals are blocked; returns those that were before. Signal n is bit n - 1.
pub(crate) fn block(how: Blocking, set: u64) -> u64 {
    let mut before = 0u64;
    // Needed: there is no C library. SAFETY: both sets have the 8 bytes that are named as their size.
    unsafe {
        syscall(
            14,
            [
                how as usize,
                &raw const set as usize,
                &raw mut before as usize,
                8,
                0,
                0,
            ],
        )
    };
    before
}

/// A descriptor from which the signals of a set can be read while they are blocked.
pub(crate) fn signal_descriptor(set: u64) -> isize {
    const CLOEXEC_NONBLOCK: usize = 0o2004000;
    // Needed: there is no C library. SAFETY: the set has the 8 bytes that are named as its size.
    unsafe {
        syscall(
            289,
            [
                usize::MAX,
                &raw const set as usize,
                8,
                CLOEXEC_NONBLOCK,
                0,
                0,
            ],
        )
    }
}
