//! From the runner to the running program: one `clone` that shares memory, a fixed list of steps, `execve`.
#![expect(
    unsafe_code,
    reason = "the child shares the runner's memory between clone and execve"
)]

use std::ffi::{CString, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use crate::spec::Command;

/// Bytes of the child's stack. Its deepest use is a system call wrapper, a few hundred bytes.
const STACK: usize = 64 << 10;

/// A started command.
pub(crate) struct Started {
    pub(crate) pid: i32,
    /// Its number in its own namespace, which is its session's number there.
    pub(crate) session: u32,
    pub(crate) handle: OwnedFd,
}

/// Why a command did not start.
pub(crate) enum LaunchError {
    /// The program itself: absent, not executable, refused.
    Program(i32),
    /// It would not have had the process number that it must have, and was not executed.
    Number,
    /// A confinement step failed: the sandbox is not what it must be.
    Step(&'static str, io::Error),
}

/// Memory of a worker. Reserved once, because each command needs it again.
pub(crate) struct Stack(Box<[u8]>);

impl Stack {
    pub(crate) fn new() -> Self {
        Stack(vec![0; STACK].into_boxed_slice())
    }
}

/// Steps of the child, in order; its number tells which one failed.
const STEPS: [&str; 10] = [
    "session",
    "descriptors",
    "limits",
    "processors",
    "addresses",
    "directory",
    "terminal",
    "trace",
    "program",
    NUMBER,
];
/// Looked at first, and numbered last.
const NUMBER: &str = "number";

/// Everything that the child reads, prepared before it exists, and the three words that it writes.
struct Plan {
    program: *const libc::c_char,
    argv: *const *const libc::c_char,
    env: *const *const libc::c_char,
    cwd: *const libc::c_char,
    stdio: [RawFd; 3],
    guard: Option<(RawFd, RawFd)>,
    limits: [(libc::__rlimit_resource_t, libc::rlimit); 6],
    processors: Option<libc::cpu_set_t>,
    fixed_addresses: bool,
    terminal: bool,
    traced: bool,
    mask: libc::sigset_t,
    number: Option<i32>,
    session: i32,
    failed_step: usize,
    error: i32,
}

fn strings(items: impl Iterator<Item = Vec<u8>>) -> io::Result<Vec<CString>> {
    items
        .map(|item| CString::new(item).map_err(Into::into))
        .collect()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|s| s.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}

fn limit(value: u64) -> libc::rlimit {
    libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    }
}

/// Starts a command in the process namespace for the runner's children. A `traced` one stops when it is loaded, and
/// the runner is its tracer. Only as process `number` is it executed, if one is named.
pub(crate) fn launch(
    command: &Command,
    stdio: [BorrowedFd<'_>; 3],
    guard: Option<(BorrowedFd<'_>, RawFd)>,
    processes: u64,
    traced: bool,
    number: Option<u32>,
    stack: &mut Stack,
) -> Result<Started, LaunchError> {
    let bad = |_| LaunchError::Program(libc::EINVAL);
    let program = CString::new(command.program.as_os_str().as_bytes())
        .map_err(|_| LaunchError::Program(libc::EINVAL))?;
    let cwd = CString::new(command.cwd.as_os_str().as_bytes())
        .map_err(|_| LaunchError::Program(libc::EINVAL))?;
    let argv = strings(command.argv.iter().map(|a| a.as_bytes().to_vec())).map_err(bad)?;
    let env = strings(
        command
            .env
            .iter()
            .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat()),
    )
    .map_err(bad)?;
    let (argv, env) = ((pointers(&argv), argv), (pointers(&env), env));
    let seconds = command.limits.cpu.as_secs().max(1);
    // Needed: C structures without constructors. Sound: all zeroes are valid values of both.
    // SAFETY: see above.
    let (mask, mut processors): (libc::sigset_t, libc::cpu_set_t) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    if command.conditions.one_processor {
        // SAFETY: as above; processor 0 is inside the set.
        unsafe { libc::CPU_SET(first_processor(), &mut processors) };
    }
    let mut plan = Plan {
        program: program.as_ptr(),
        argv: argv.0.as_ptr(),
        env: env.0.as_ptr(),
        cwd: cwd.as_ptr(),
        stdio: stdio.map(|fd| fd.as_raw_fd()),
        guard: guard.map(|(fd, number)| (fd.as_raw_fd(), number)),
        limits: [
            (
                libc::RLIMIT_CPU,
                libc::rlimit {
                    rlim_cur: seconds,
                    rlim_max: seconds + 1,
                },
            ),
            (libc::RLIMIT_FSIZE, limit(command.limits.file_size)),
            (libc::RLIMIT_NOFILE, limit(command.limits.open_files)),
            (libc::RLIMIT_NPROC, limit(processes)),
            (libc::RLIMIT_CORE, limit(0)),
            (libc::RLIMIT_MEMLOCK, limit(64 << 10)),
        ],
        processors: command.conditions.one_processor.then_some(processors),
        fixed_addresses: command.conditions.fixed_addresses,
        terminal: command.terminal,
        traced,
        mask,
        number: number.map(u32::cast_signed),
        session: 0,
        failed_step: 0,
        error: 0,
    };
    let mut handle: RawFd = -1;
    let top = stack.0.as_mut_ptr_range().end;
    // The x86-64 calling convention wants the stack 16-byte aligned.
    let top = top.map_addr(|address| address & !15);
    // Needed: vfork's cost with a stack and a process handle of its own. Sound: CLONE_VFORK stops this
    // thread, the only one, until the child has called execve or exited, so `plan`, the strings it points
    // to and the stack outlive every use; `child` makes system calls only and allocates nothing.
    // SAFETY: see above.
    let pid = unsafe {
        libc::clone(
            child,
            top.cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD,
            (&raw mut plan).cast(),
            &raw mut handle,
        )
    };
    if pid < 0 {
        return Err(LaunchError::Step("clone", io::Error::last_os_error()));
    }
    // SAFETY: the kernel stored a new descriptor, owned by nobody else, in `handle`.
    let handle = unsafe { OwnedFd::from_raw_fd(handle) };
    if plan.error == 0 {
        return Ok(Started {
            pid,
            session: plan.session.unsigned_abs(),
            handle,
        });
    }
    let _ = crate::sys::wait_for(pid);
    match STEPS[plan.failed_step] {
        // A working directory that is not there is the command's mistake, as the program is.
        "program" | "directory" => Err(LaunchError::Program(plan.error)),
        NUMBER => Err(LaunchError::Number),
        step => Err(LaunchError::Step(
            step,
            io::Error::from_raw_os_error(plan.error),
        )),
    }
}

/// First processor that this process may run on.
fn first_processor() -> usize {
    rustix::thread::sched_getaffinity(None)
        .ok()
        .and_then(|set| (0..rustix::thread::CpuSet::MAX_CPU).find(|&cpu| set.is_set(cpu)))
        .unwrap_or(0)
}

extern "C" fn child(plan: *mut c_void) -> i32 {
    // Needed: clone hands over an untyped pointer. Sound: `launch` passes its `Plan`, which lives until
    // this process has left the shared memory, and the parent thread is stopped meanwhile.
    // SAFETY: see above.
    let plan = unsafe { &mut *plan.cast::<Plan>() };
    // Needed: only the process itself knows its number in its namespace. Sound: cannot fail, no pointers.
    // SAFETY: see above.
    plan.session = unsafe { libc::getpid() };
    let step = steps(plan);
    plan.failed_step = step;
    // Needed: reading the C library's error number. Sound: it belongs to this stopped thread.
    plan.error = match STEPS[step] {
        NUMBER => libc::EAGAIN,
        // SAFETY: see above.
        _ => unsafe { *libc::__errno_location() },
    };
    // Needed: leave without running the runner's exit handlers. Sound: never returns.
    // SAFETY: see above.
    unsafe { libc::_exit(127) }
}

/// Goes through [`STEPS`] and returns the number of the one that failed.
fn steps(plan: &Plan) -> usize {
    // Needed: plain system calls between clone and execve. Sound: every pointer comes from `Plan` or
    // from this stack frame and is live; no call allocates, locks or runs code of ours.
    // SAFETY: see above.
    unsafe {
        if plan.number.is_some_and(|number| number != plan.session) {
            return 9;
        }
        if libc::setsid() < 0 {
            return 0;
        }
        for (number, fd) in plan.stdio.iter().enumerate() {
            if libc::dup2(*fd, number as i32) < 0 {
                return 1;
            }
        }
        if let Some((fd, number)) = plan.guard
            && libc::dup2(fd, number) < 0
        {
            return 1;
        }
        for (resource, limit) in &plan.limits {
            if libc::setrlimit(*resource, limit) < 0 {
                return 2;
            }
        }
        if let Some(set) = &plan.processors
            && libc::sched_setaffinity(0, size_of_val(set), set) < 0
        {
            return 3;
        }
        if plan.fixed_addresses && libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) < 0 {
            return 4;
        }
        if libc::chdir(plan.cwd) < 0 {
            return 5;
        }
        if plan.terminal && libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
            return 6;
        }
        if plan.traced && libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) < 0 {
            return 7;
        }
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::sigprocmask(
            libc::SIG_SETMASK,
            &raw const plan.mask,
            std::ptr::null_mut(),
        );
        libc::execve(plan.program, plan.argv, plan.env);
    }
    8
}
