//! The shim: stands in the agent's sandbox under the reference's name, hands its arguments and descriptors
//! to the broker, passes signals on, and ends as the reference ended.

#![no_std]
#![no_main]

#[path = "../bare/syscall.rs"]
mod syscall;

use syscall::{exit, syscall};

mod number {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const OPEN: usize = 2;
    pub const POLL: usize = 7;
    pub const RT_SIGACTION: usize = 13;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const FCNTL: usize = 72;
    pub const GETPID: usize = 39;
    pub const SOCKET: usize = 41;
    pub const CONNECT: usize = 42;
    pub const SENDTO: usize = 44;
    pub const SENDMSG: usize = 46;
    pub const KILL: usize = 62;
    pub const GETCWD: usize = 79;
    pub const READLINK: usize = 89;
    pub const SETRLIMIT: usize = 160;
    pub const SIGNALFD4: usize = 289;
}

const O_RDWR: usize = 2;
const F_GETFD: usize = 1;
const RLIMIT_CORE: usize = 4;
const MSG_NOSIGNAL: usize = 0x4000;
const SIG_SETMASK: usize = 2;
const SIGKILL: u32 = 9;
const SIGCONT: u32 = 18;
const SIGSTOP: u32 = 19;
const SIGTSTP: u32 = 20;

/// Status when the broker is gone.
const GONE: i32 = 125;
/// Status when the broker refuses.
const REFUSED: i32 = 126;

/// Signals that are passed on: 1 HUP, 2 INT, 3 QUIT, 10 USR1, 12 USR2, 14 ALRM, 15 TERM, 18 CONT,
/// 20 TSTP, 28 WINCH.
const PASSED_ON: u64 = mask(1) | mask(2) | mask(3) | mask(10) | mask(12) | mask(14) | mask(15) | mask(18) | mask(20) | mask(28);

const fn mask(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// Version of the protocol; the broker's side has the same.
const VERSION: u32 = 1;

const DIRECTORY: &[u8] = b"/oracle/";
const SUFFIX: &[u8] = b".sock\0";

core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {entry}",
    "ud2",
    entry = sym entry,
);

fn call(number: usize, a: usize, b: usize, c: usize) -> isize {
    // Needed: every effect of this program. Sound: each caller passes live buffers with their lengths.
    // SAFETY: see above.
    unsafe { syscall(number, [a, b, c, 0, 0, 0]) }
}

fn write_all(fd: usize, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match call(number::WRITE, fd, bytes.as_ptr() as usize, bytes.len()) {
            -4 => {}
            count if count > 0 => bytes = &bytes[(count as usize).min(bytes.len())..],
            _ => return false,
        }
    }
    true
}

fn fail(name: &[u8], text: &[u8], status: i32) -> ! {
    for part in [name, b": oracle: ", text, b"\n"] {
        write_all(2, part);
    }
    exit(status)
}

/// A buffer in front of the socket. The first piece that leaves takes the three descriptors along.
struct Out {
    socket: usize,
    buffer: [u8; 8192],
    used: usize,
    with_descriptors: bool,
}

#[repr(C)]
struct ControlMessage {
    length: usize,
    level: i32,
    kind: i32,
    descriptors: [i32; 3],
    padding: i32,
}

#[repr(C)]
struct Piece {
    start: *const u8,
    length: usize,
}

#[repr(C)]
struct Message {
    name: usize,
    name_length: usize,
    pieces: *const Piece,
    piece_count: usize,
    control: *const ControlMessage,
    control_length: usize,
    flags: usize,
}

impl Out {
    fn put(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.used == self.buffer.len() && !self.flush() {
                return false;
            }
            let count = bytes.len().min(self.buffer.len() - self.used);
            self.buffer[self.used..self.used + count].copy_from_slice(&bytes[..count]);
            self.used += count;
            bytes = &bytes[count..];
        }
        true
    }

    fn put_sized(&mut self, bytes: &[u8]) -> bool {
        self.put(&(bytes.len() as u32).to_le_bytes()) && self.put(bytes)
    }

    fn flush(&mut self) -> bool {
        let mut at = 0;
        while at < self.used {
            let piece = Piece { start: self.buffer[at..].as_ptr(), length: self.used - at };
            // SOL_SOCKET, SCM_RIGHTS.
            let control = ControlMessage { length: 28, level: 1, kind: 1, descriptors: [0, 1, 2], padding: 0 };
            let message = Message {
                name: 0,
                name_length: 0,
                pieces: &piece,
                piece_count: 1,
                control: if self.with_descriptors { &control } else { core::ptr::null() },
                control_length: if self.with_descriptors { size_of::<ControlMessage>() } else { 0 },
                flags: 0,
            };
            match call(number::SENDMSG, self.socket, &raw const message as usize, MSG_NOSIGNAL) {
                -4 => {}
                count if count > 0 => {
                    self.with_descriptors = false;
                    at += count as usize;
                }
                _ => return false,
            }
        }
        self.used = 0;
        true
    }
}

/// A C string's bytes without the zero.
///
/// # Safety
/// `start` must point to a string that ends in a zero and lives as long as the program.
unsafe fn c_string(start: *const u8) -> &'static [u8] {
    let mut length = 0;
    // Needed: arguments come as C strings. Sound: the caller vouches for the end.
    // SAFETY: see above.
    unsafe {
        while *start.add(length) != 0 {
            length += 1;
        }
        core::slice::from_raw_parts(start, length)
    }
}

/// A vector of C strings that ends in a null pointer.
#[derive(Clone, Copy)]
struct Strings(*const *const u8);

impl Iterator for Strings {
    type Item = &'static [u8];

    fn next(&mut self) -> Option<&'static [u8]> {
        // Needed: the kernel's vectors of strings. Sound: both vectors that this is made from end in a
        // null pointer, at which the walk stops, and live on the initial stack.
        // SAFETY: see above.
        unsafe {
            let start = *self.0;
            if start.is_null() {
                return None;
            }
            self.0 = self.0.add(1);
            Some(c_string(start))
        }
    }
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

extern "C" fn entry(stack: *const usize) -> ! {
    // Needed: the kernel's initial stack. Sound: it holds the count, that many argument pointers, a
    // null, environment pointers, a null.
    // SAFETY: see above.
    let (argv, env) = unsafe {
        let count = *stack;
        (Strings(stack.add(1).cast()), Strings(stack.add(count + 2).cast()))
    };
    run(argv, env)
}

fn run(argv: Strings, env: Strings) -> ! {
    let mut own = [0u8; 4096];
    let length =
        call(number::READLINK, c"/proc/self/exe".as_ptr() as usize, own.as_mut_ptr() as usize, own.len());
    let name = match usize::try_from(length) {
        Ok(length) if length > 0 => base_name(&own[..length.min(own.len())]),
        _ => base_name(argv.clone().next().unwrap_or(b"oracle")),
    };
    for fd in 0..3 {
        if call(number::FCNTL, fd, F_GETFD, 0) < 0 {
            // The lowest free number is this one: those below are open by now.
            call(number::OPEN, c"/dev/null".as_ptr() as usize, O_RDWR, 0);
        }
    }
    // Blocked before the request leaves, so that none is lost between the two.
    let set = PASSED_ON;
    // Needed: four arguments. Sound: the mask is a live 8-byte word.
    // SAFETY: see above.
    let signals = unsafe {
        syscall(number::RT_SIGPROCMASK, [SIG_SETMASK, &raw const set as usize, 0, 8, 0, 0]);
        syscall(number::SIGNALFD4, [usize::MAX, &raw const set as usize, 8, 0o2000000, 0, 0])
    };
    let socket = connect(name);
    if !request(socket, argv, env) {
        fail(name, b"lost while the request was sent; is the session over?", GONE);
    }
    serve(name, socket, signals as usize)
}

fn connect(name: &[u8]) -> usize {
    // AF_UNIX, then the path.
    let mut address = [0u8; 110];
    address[0] = 1;
    let mut at = 2;
    for part in [DIRECTORY, name, SUFFIX] {
        let Some(room) = address.get_mut(at..at + part.len()) else {
            fail(name, b"the name is too long", GONE);
        };
        room.copy_from_slice(part);
        at += part.len();
    }
    // SOCK_STREAM | SOCK_CLOEXEC.
    let socket = call(number::SOCKET, 1, 1 | 0o2000000, 0);
    if socket < 0 || call(number::CONNECT, socket as usize, address.as_ptr() as usize, at) < 0 {
        fail(name, b"cannot be reached; is the session over?", GONE);
    }
    socket as usize
}

fn request(socket: usize, argv: Strings, env: Strings) -> bool {
    let mut cwd = [0u8; 4096];
    let length = call(number::GETCWD, cwd.as_mut_ptr() as usize, cwd.len(), 0);
    // The kernel counts the zero.
    let cwd = match usize::try_from(length) {
        Ok(length) if length > 0 => &cwd[..length - 1],
        _ => b"",
    };
    let sized = |strings: Strings| strings.fold(4, |sum, one| sum + 4 + one.len());
    let total = sized(argv) + 4 + cwd.len() + sized(env);
    let mut out = Out { socket, buffer: [0; 8192], used: 0, with_descriptors: true };
    let vector = |out: &mut Out, strings: Strings| {
        out.put(&(strings.count() as u32).to_le_bytes()) && { strings }.all(|one| out.put_sized(one))
    };
    out.put(&VERSION.to_le_bytes())
        && out.put(&(total as u32).to_le_bytes())
        && vector(&mut out, argv)
        && out.put_sized(cwd)
        && vector(&mut out, env)
        && out.flush()
}

#[repr(C)]
struct Poll {
    fd: i32,
    events: i16,
    found: i16,
}

fn serve(name: &[u8], socket: usize, signals: usize) -> ! {
    loop {
        let mut polled = [
            Poll { fd: socket as i32, events: 1, found: 0 },
            Poll { fd: signals as i32, events: 1, found: 0 },
        ];
        call(number::POLL, polled.as_mut_ptr() as usize, 2, usize::MAX);
        if polled[1].found & 1 != 0 {
            pass_on(socket, signals);
        }
        if polled[0].found != 0 {
            answer(name, socket);
        }
    }
}

fn pass_on(socket: usize, signals: usize) {
    // struct signalfd_siginfo: 128 bytes, the signal first.
    let mut info = [0u8; 128];
    if call(number::READ, signals, info.as_mut_ptr() as usize, info.len()) != 128 {
        return;
    }
    let signal = u32::from_le_bytes([info[0], info[1], info[2], info[3]]);
    let word = if signal == SIGTSTP { SIGSTOP } else { signal };
    let mut message = [1u8; 5];
    message[1..].copy_from_slice(&word.to_le_bytes());
    // Needed: six arguments. Sound: a live buffer with its length.
    // SAFETY: see above.
    unsafe { syscall(number::SENDTO, [socket, message.as_ptr() as usize, 5, MSG_NOSIGNAL, 0, 0]) };
    if signal == SIGTSTP {
        let own = call(number::GETPID, 0, 0, 0) as usize;
        call(number::KILL, own, SIGSTOP as usize, 0);
    }
    debug_assert!(signal != SIGKILL && SIGCONT == 18);
}

fn read_exact(name: &[u8], socket: usize, mut into: &mut [u8]) {
    while !into.is_empty() {
        match call(number::READ, socket, into.as_mut_ptr() as usize, into.len()) {
            -4 => {}
            count if count > 0 => into = &mut into[count as usize..],
            _ => fail(name, b"gone in the middle of a call; is the session over?", GONE),
        }
    }
}

/// One message of the broker: a kind, a number, and for text that many bytes.
fn answer(name: &[u8], socket: usize) {
    let mut head = [0u8; 5];
    read_exact(name, socket, &mut head);
    let value = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    match head[0] {
        stream @ (1 | 2) => copy(name, socket, stream.into(), value as usize),
        3 => exit(value as i32),
        4 => die(value),
        _ => {
            write_all(2, name);
            write_all(2, b": ");
            copy(name, socket, 2, value as usize);
            write_all(2, b"\n");
            exit(REFUSED)
        }
    }
}

fn copy(name: &[u8], socket: usize, to: usize, mut left: usize) {
    let mut buffer = [0u8; 8192];
    while left > 0 {
        let count = left.min(buffer.len());
        read_exact(name, socket, &mut buffer[..count]);
        write_all(to, &buffer[..count]);
        left -= count;
    }
}

/// Dies of the signal that the reference died of, without a core file.
fn die(signal: u32) -> ! {
    let none = [0u64; 2];
    call(number::SETRLIMIT, RLIMIT_CORE, none.as_ptr() as usize, 0);
    let default = [0u64; 4];
    let nothing = 0u64;
    let own = call(number::GETPID, 0, 0, 0) as usize;
    // Needed: four arguments. Sound: zeroed structures of the kernel's sizes.
    // SAFETY: see above.
    unsafe {
        syscall(number::RT_SIGACTION, [signal as usize, default.as_ptr() as usize, 0, 8, 0, 0]);
        syscall(number::KILL, [own, signal as usize, 0, 0, 0, 0]);
        syscall(number::RT_SIGPROCMASK, [SIG_SETMASK, &raw const nothing as usize, 0, 8, 0, 0]);
    }
    exit(128 + signal as i32)
}
