//! The request: everything about this call that the program could notice, in one piece of memory.

use core::slice;

use crate::memory::strlen;
use crate::{system, wire};

/// Longest path that the kernel gives as a working directory, with its zero byte.
const PATH_MAX: usize = 4096;

/// What the kernel put on the stack of a new process.
pub(crate) struct Start {
    pub(crate) argv: &'static [*const u8],
    pub(crate) env: &'static [*const u8],
}

impl Start {
    /// Reads the stack of a new process.
    ///
    /// # Safety
    ///
    /// `stack` is the stack pointer with which the kernel started the process.
    pub(crate) unsafe fn read(stack: *const usize) -> Start {
        // Needed: there is no other way to the arguments. SAFETY: the kernel lays out a count, that many pointers, a null pointer, then
        // the environment's pointers up to another null pointer, and all of it stays for the life of the process.
        unsafe {
            let count = *stack;
            let argv: *const *const u8 = stack.add(1).cast();
            let env = argv.add(count + 1);
            let mut variables = 0;
            while !(*env.add(variables)).is_null() {
                variables += 1;
            }
            Start {
                argv: slice::from_raw_parts(argv, count),
                env: slice::from_raw_parts(env, variables),
            }
        }
    }

    /// The first argument, empty if there is none.
    pub(crate) fn name(&self) -> &'static [u8] {
        self.argv.first().map_or(&[], |&string| bytes(string))
    }

    /// What follows `prefix` in the first variable that begins with it.
    #[cfg(test_dir)]
    pub(crate) fn variable(&self, prefix: &[u8]) -> Option<&'static [u8]> {
        self.env
            .iter()
            .find_map(|&string| bytes(string).strip_prefix(prefix))
    }
}

/// The bytes of a string of the process's start. Private to this module's two callers: only such pointers may come here.
fn bytes(string: *const u8) -> &'static [u8] {
    // Needed: the kernel passes C strings. SAFETY: every pointer of `Start` is a string that ends in a zero byte and stays for the life of the process.
    unsafe { slice::from_raw_parts(string, strlen(string)) }
}

/// The whole request as sent: version, length and body. `None` when memory is short, or the length does not fit.
pub(crate) fn encode(start: &Start) -> Option<&'static [u8]> {
    let mut room = [0; PATH_MAX];
    // A directory that was removed has no path. Then none is sent, and the server says what it thinks of it.
    let length = usize::try_from(system::working_directory(&mut room)).unwrap_or(0);
    let cwd = room.get(..length.saturating_sub(1)).unwrap_or_default();

    let strings = start.argv.iter().chain(start.env);
    let text: usize = strings.map(|&string| 4 + bytes(string).len()).sum();
    // Two counts, and the length of the directory.
    let body = 4 + 4 + 4 + text + cwd.len();
    let mut writer = Writer {
        room: system::memory(4 + 4 + body)?,
        used: 0,
    };
    writer.put(&wire::VERSION.to_le_bytes());
    writer.put(&u32::try_from(body).ok()?.to_le_bytes());
    writer.list(start.argv);
    writer.string(cwd);
    writer.list(start.env);
    Some(writer.room)
}

struct Writer {
    room: &'static mut [u8],
    used: usize,
}

impl Writer {
    fn put(&mut self, bytes: &[u8]) {
        if let Some(room) = self.room.get_mut(self.used..self.used + bytes.len()) {
            room.copy_from_slice(bytes);
            self.used += bytes.len();
        }
    }

    /// Numbers here are below the body's length, which fits.
    fn number(&mut self, number: usize) {
        self.put(&(number as u32).to_le_bytes());
    }

    fn list(&mut self, strings: &[*const u8]) {
        self.number(strings.len());
        for &string in strings {
            self.string(bytes(string));
        }
    }

    fn string(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.put(bytes);
    }
}
