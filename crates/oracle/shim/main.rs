//! The shim: stands in the agent's sandbox under the reference's name, and passes each call to the broker.
//!
//! It sends its arguments, environment, working directory and three standard streams over `/oracle/NAME.sock`, sends
//! signals on while the program runs elsewhere, and ends as the program ended. NAME is its own file name, so one file serves
//! the reference under any name, and `evaluate` and `submit` too. No C library, no runtime: starting it is most of what a
//! call costs. It holds nothing that must not be read.

#![no_std]
#![no_main]

#[path = "../bare/memory.rs"]
mod memory;
mod request;
mod signals;
#[path = "../bare/syscall.rs"]
mod syscall;
mod system;
#[path = "../src/wire.rs"]
mod wire;

use request::Start;
use signals::Signals;
use system::{POLLIN, POLLOUT, Poll};

/// Exit status when there is no oracle to ask.
const NO_ORACLE: u32 = 125;
/// Exit status when the oracle does not run the program.
const NOT_STARTED: u32 = 126;

const DIRECTORY: &[u8] = b"/oracle";

/// Bytes passed on at once: as many as a pipe that is ready takes without making the writer wait.
const CHUNK: usize = 4096;

/// Where a new process begins: the kernel gives no return address and no arguments but the stack.
// Needed: the linker looks for this name. SAFETY: no other symbol has it, and nothing but the kernel comes here.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _start() -> ! {
    core::arch::naked_asm!("xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {run}", "ud2", run = sym run)
}

extern "C" fn run(stack: *const usize) -> ! {
    // Needed: see `Start::read`. SAFETY: `_start` passes on the stack pointer it was given.
    let start = unsafe { Start::read(stack) };
    open_missing_streams();
    let mut link = [0; 4096];
    let name = own_name(&mut link).unwrap_or(last_part(start.name()));

    let mut shim = Shim {
        name,
        socket: -1,
        signals: Signals { descriptor: -1 },
    };
    shim.connect(&start);
    shim.ask(&start);
    // From here on, and not before: a caller that waits for the broker to listen can be interrupted, and a program
    // that has just started has no handlers yet, so dying with the shim is what the signal would have done to it.
    shim.signals = Signals::take();
    signals::ignore_broken_pipes();
    shim.follow()
}

/// Gives closed standard streams something harmless: otherwise the socket would get one of their numbers.
fn open_missing_streams() {
    for stream in 0..3 {
        // The lowest free number is taken, which is this one. Reading from 0, writing to the others.
        if !system::is_open(stream) && system::open(c"/dev/null", usize::from(stream != 0)) < 0 {
            say(&[b"oracle: a standard stream is closed, and there is no /dev/null to put in its place\n"]);
            system::exit(NO_ORACLE);
        }
    }
}

/// The name of the file that is being executed, whatever it was called by.
fn own_name(room: &mut [u8]) -> Option<&[u8]> {
    let length = usize::try_from(system::read_link(c"/proc/self/exe", room)).ok()?;
    let path = room.get(..length)?;
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    Some(last_part(path)).filter(|name| !name.is_empty())
}

fn last_part(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

struct Shim<'a> {
    name: &'a [u8],
    socket: i32,
    signals: Signals,
}

impl Shim<'_> {
    /// Connects under the file's own name; a copy under another name, under the name it was called by.
    fn connect(&mut self, start: &Start) {
        let result = match connect(start, self.name) {
            system::ENOENT => match connect(start, last_part(start.name())) {
                result @ 0.. => result,
                _ => system::ENOENT,
            },
            result => result,
        };
        if result < 0 {
            let mut digits = [0; 8];
            let error = decimal(result.unsigned_abs(), &mut digits);
            self.fail(&[
                b"no oracle answers at ",
                directory(start),
                b"/",
                self.name,
                b".sock (error ",
                error,
                b"); is the session over?",
            ]);
        }
        self.socket = result as i32;
    }

    /// Sends the request. A server that stops reading has said why, or is gone: reading its answer tells.
    fn ask(&self, start: &Start) {
        let Some(mut rest) = request::encode(start) else {
            self.fail(&[b"not enough memory to pass the arguments on"]);
        };
        let mut first = true;
        while !rest.is_empty() {
            let result = if first {
                system::send_with_streams(self.socket, rest)
            } else {
                system::send(self.socket, rest)
            };
            match usize::try_from(result) {
                Ok(sent) => {
                    first = false;
                    rest = rest.get(sent..).unwrap_or_default();
                }
                Err(_) if result == system::EINTR => {}
                Err(_) => return,
            }
        }
    }

    /// Passes signals there and output here until the program's end is known.
    fn follow(&self) -> ! {
        loop {
            self.wait_for(self.socket, POLLIN);
            let mut head = [0; wire::HEAD];
            self.receive(&mut head);
            let (tag, value) = wire::parse_head(head);
            match tag {
                wire::STDOUT => self.pass_on(1, value),
                wire::STDERR => self.pass_on(2, value),
                wire::EXITED => system::exit(value),
                wire::SIGNALED => {
                    signals::die(value);
                    system::exit(128 + value);
                }
                wire::REFUSED => {
                    say(&[self.name, b": "]);
                    self.pass_on(2, value);
                    say(&[b"\n"]);
                    system::exit(NOT_STARTED);
                }
                _ => self.fail(&[b"the oracle gave an answer that this program does not know"]),
            }
        }
    }

    /// Waits until a descriptor is ready (or broken), sending signals on meanwhile.
    fn wait_for(&self, descriptor: i32, events: i16) {
        loop {
            let mut entries = [
                Poll::new(descriptor, events),
                Poll::new(self.signals.descriptor, POLLIN),
            ];
            let result = system::poll(&mut entries);
            if result < 0 && result != system::EINTR {
                return;
            }
            if entries[1].returned != 0 {
                self.signals.forward(self.socket);
            }
            if entries[0].returned != 0 {
                return;
            }
        }
    }

    /// Fills `room` from the server.
    fn receive(&self, mut room: &mut [u8]) {
        while !room.is_empty() {
            let result = system::read(self.socket, room);
            match usize::try_from(result) {
                Ok(0) => self.gone(),
                Ok(got) => room = room.get_mut(got..).unwrap_or_default(),
                Err(_) if result == system::EINTR => {}
                Err(_) => self.gone(),
            }
        }
    }

    /// Copies bytes from the server to a standard stream; when that is broken, they are dropped.
    fn pass_on(&self, stream: i32, length: u32) {
        let mut left = length as usize;
        let mut chunk = [0; CHUNK];
        let mut broken = false;
        while left > 0 {
            let (part, _) = chunk.split_at_mut(left.min(CHUNK));
            self.wait_for(self.socket, POLLIN);
            self.receive(part);
            left -= part.len();
            let mut rest: &[u8] = part;
            while !rest.is_empty() && !broken {
                self.wait_for(stream, POLLOUT);
                match system::write(stream, rest) {
                    written @ 1.. => rest = rest.get(written as usize..).unwrap_or_default(),
                    system::EINTR | system::EAGAIN => {}
                    _ => broken = true,
                }
            }
        }
    }

    fn gone(&self) -> ! {
        self.fail(&[b"the oracle is gone; the program may have been cut short"])
    }

    fn fail(&self, parts: &[&[u8]]) -> ! {
        say(&[self.name, b": "]);
        say(parts);
        say(&[b"\n"]);
        system::exit(NO_ORACLE)
    }
}

/// Where the sockets are.
#[cfg(not(test_dir))]
fn directory(_: &Start) -> &'static [u8] {
    DIRECTORY
}

/// Where the sockets are: in the tests' copy, a variable may say so.
#[cfg(test_dir)]
fn directory(start: &Start) -> &'static [u8] {
    start.variable(b"ORACLE_TEST_DIR=").unwrap_or(DIRECTORY)
}

fn connect(start: &Start, name: &[u8]) -> isize {
    let mut path = [0; system::PATH_ROOM];
    let mut used = 0;
    for part in [directory(start), b"/", name, b".sock"] {
        let Some(room) = path.get_mut(used..used + part.len()) else {
            return system::ENAMETOOLONG;
        };
        room.copy_from_slice(part);
        used += part.len();
    }
    system::connect(&path)
}

fn decimal(mut number: usize, digits: &mut [u8; 8]) -> &[u8] {
    let mut first = digits.len();
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        first = place;
        if number == 0 {
            break;
        }
    }
    digits.get(first..).unwrap_or_default()
}

fn say(parts: &[&[u8]]) {
    for part in parts {
        system::write(2, part);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    say(&[b"oracle: this program has a fault and cannot go on\n"]);
    system::exit(NO_ORACLE)
}
