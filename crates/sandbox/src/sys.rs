//! The system calls that the safe libraries do not offer, each behind a function that cannot be misused.
#![expect(unsafe_code, reason = "raw system calls that rustix does not wrap")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Sets mount flags (`MOUNT_ATTR_*`) on the mount that `fd` refers to and on all below it.
pub(crate) fn set_mount_flags(fd: impl AsFd, set: u64) -> io::Result<()> {
    mount_setattr(fd, set, libc::AT_RECURSIVE)
}

/// Sets mount flags on the mount that `fd` refers to alone.
pub(crate) fn set_one_mount_flags(fd: impl AsFd, set: u64) -> io::Result<()> {
    mount_setattr(fd, set, 0)
}

fn mount_setattr(fd: impl AsFd, set: u64, depth: libc::c_int) -> io::Result<()> {
    let attr = MountAttr {
        attr_set: set,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | depth;
    // Needed: rustix has no mount_setattr. Sound: the path is an empty C string and `attr` is a live
    // structure of exactly the size that is passed; the kernel only reads both.
    // SAFETY: see above.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    check(result).map(drop)
}

/// Mount flag: nothing can be written.
pub(crate) const MOUNT_READ_ONLY: u64 = 0x1;
/// Mount flag: set-user-id bits are ignored.
pub(crate) const MOUNT_NO_SUID: u64 = 0x2;
/// Mount flag: device files do not work.
pub(crate) const MOUNT_NO_DEVICES: u64 = 0x4;
/// Mount flag: nothing can be executed.
pub(crate) const MOUNT_NO_EXEC: u64 = 0x8;

/// What [`fork`] returns.
pub(crate) enum Fork {
    /// In the child.
    Child,
    /// In the parent.
    Parent,
}

/// Forks. The caller must have a single thread, so that the child may go on like any program.
pub(crate) fn fork() -> io::Result<Fork> {
    // Needed: starting the namespace's init without a second executable. Sound: only the keeper calls
    // this, and it never has a second thread, so no lock can be held by a thread that the child lacks.
    // SAFETY: see above.
    let pid = unsafe { libc::fork() };
    match check(pid.into())? {
        0 => Ok(Fork::Child),
        _ => Ok(Fork::Parent),
    }
}

/// Ends this process at once, without running destructors or flushing.
pub(crate) fn exit_now(status: i32) -> ! {
    // Needed: a forked child must not run the parent's exit handlers. Sound: never returns.
    // SAFETY: see above.
    unsafe { libc::_exit(status) }
}

/// Sets the signal that this process gets when its parent dies.
pub(crate) fn die_with_parent() -> io::Result<()> {
    // Needed: no wrapper with this exact meaning after fork. Sound: no pointers.
    // SAFETY: see above.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }.into()).map(drop)
}

/// Makes this process's memory and `/proc` entries inaccessible to its own user.
pub(crate) fn make_undumpable() -> io::Result<()> {
    // Needed: rustix's setter would do the same call. Sound: no pointers.
    // SAFETY: see above.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) }.into()).map(drop)
}

/// Ignores a signal.
pub(crate) fn ignore_signal(signal: i32) {
    // Needed: std has no signal dispositions. Sound: SIG_IGN runs no code of ours.
    // SAFETY: see above.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Sends SIGKILL to every process of this process namespace except the caller and the init.
pub(crate) fn kill_everyone() {
    // Needed: rustix refuses process id -1. Sound: no pointers; the caller is the namespace's init, so
    // nobody outside the namespace can be meant.
    // SAFETY: see above.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// Sends SIGKILL to one process.
pub(crate) fn kill_process(pid: i32) {
    // Needed: rustix has a type for process numbers that must be proven positive. Sound: no pointers; the caller
    // names processes of its own namespace.
    // SAFETY: see above.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Reaps children until none is left.
pub(crate) fn reap_all() {
    loop {
        // Needed: one loop over all children, whatever they are. Sound: a null status pointer is allowed.
        // SAFETY: see above.
        let pid = unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) };
        if pid < 0 && io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return;
        }
    }
}

/// Status and usage of a finished child.
pub(crate) struct Reaped {
    pub(crate) status: i32,
    pub(crate) user: libc::timeval,
    pub(crate) system: libc::timeval,
    pub(crate) peak_kib: i64,
}

/// Waits for one child and returns its status and resource usage.
pub(crate) fn wait_for(pid: i32) -> io::Result<Reaped> {
    let mut status = 0;
    // Needed: std and rustix have no wait4. Sound: zeroed is a valid rusage, both pointers are live.
    // SAFETY: see above.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: as above.
        let result = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        match check(result.into()) {
            Ok(_) => {
                return Ok(Reaped {
                    status,
                    user: usage.ru_utime,
                    system: usage.ru_stime,
                    peak_kib: usage.ru_maxrss,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Drops all supplementary groups.
pub(crate) fn drop_groups() -> io::Result<()> {
    // Needed: std only does this for children. Sound: size 0 with a null list is defined.
    // SAFETY: see above.
    check(unsafe { libc::setgroups(0, std::ptr::null()) }.into()).map(drop)
}

/// Becomes this user and group. The caller must have a single thread.
pub(crate) fn become_user(id: u32) -> io::Result<()> {
    // Needed: rustix changes single threads only, by design. Sound: no pointers.
    // SAFETY: see above.
    check(unsafe { libc::setresgid(id, id, id) }.into())?;
    // SAFETY: as above.
    check(unsafe { libc::setresuid(id, id, id) }.into()).map(drop)
}

/// Effective user id of this process.
pub(crate) fn effective_user() -> u32 {
    // Needed: kept here so that the uid calls stand together. Sound: cannot fail.
    // SAFETY: see above.
    unsafe { libc::geteuid() }
}

/// Mounts a memory file system.
pub(crate) fn mount_tmpfs(at: &CStr, flags: libc::c_ulong, data: &CStr) -> io::Result<()> {
    // Needed: one call where the new mount interface takes five; this runs once per command. Sound: all
    // pointers are live C strings that the kernel only reads.
    // SAFETY: see above.
    let result = unsafe {
        libc::mount(
            c"tmpfs".as_ptr(),
            at.as_ptr(),
            c"tmpfs".as_ptr(),
            flags,
            data.as_ptr().cast(),
        )
    };
    check(result.into()).map(drop)
}

/// Takes ownership of a descriptor number that was inherited for this purpose.
pub(crate) fn adopt(fd: RawFd) -> OwnedFd {
    // Needed: the keeper is started with its socket as descriptor 0. Sound: called once, at entry,
    // before anything else could own that number.
    // SAFETY: see above.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Closes every descriptor from this number on.
pub(crate) fn close_from(first: u32) {
    // Needed: rustix has no close_range. Sound: called once, at entry, before anything owns a descriptor.
    // A kernel too old for the call (5.9) is too old for Landlock, which is tried for later.
    // SAFETY: see above.
    unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
}

/// Leaves namespaces for new ones. Only for a process with a single thread.
pub(crate) fn unshare(flags: i32) -> io::Result<()> {
    // Needed: rustix marks its own as unsafe for the sake of CLONE_FILES, which is not used here. Sound:
    // no pointers, no sharing of descriptors.
    // SAFETY: see above.
    check(unsafe { libc::unshare(flags) }.into()).map(drop)
}

/// Brings the loopback device of a socket's network namespace up.
pub(crate) fn bring_loopback_up(socket: impl AsFd) -> io::Result<()> {
    // Needed: a C structure without a constructor. Sound: all zeroes are a valid value of it.
    // SAFETY: see above.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // Needed: rustix does not know this request. Sound: the kernel reads the live structure and keeps nothing of it.
    // SAFETY: see above.
    let result = unsafe {
        libc::ioctl(
            socket.as_fd().as_raw_fd(),
            libc::SIOCSIFFLAGS,
            &raw const request,
        )
    };
    check(result.into()).map(drop)
}

/// Lets this process's children be born in a process namespace; it stays where it is itself.
pub(crate) fn bear_children_in(namespace: impl AsFd) -> io::Result<()> {
    // Needed: rustix's own wants a thread's namespaces of more kinds. Sound: no pointers.
    // SAFETY: see above.
    check(unsafe { libc::setns(namespace.as_fd().as_raw_fd(), libc::CLONE_NEWPID) }.into())
        .map(drop)
}

/// Puts Landlock rules in force for this thread and all that it will start.
pub(crate) fn restrict(rules: impl AsFd) -> io::Result<()> {
    // Needed: the landlock crate consumes its rules; these come as a descriptor. Sound: no pointers.
    // SAFETY: see above.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_restrict_self,
            rules.as_fd().as_raw_fd(),
            0,
        )
    })
    .map(drop)
}

/// Gives up a capability for all programs that this process and its children will execute.
pub(crate) fn drop_bounding(capability: u32) -> io::Result<()> {
    // Needed: rustix's version wants a known capability; this one runs to the end of the kernel's list.
    // Sound: no pointers.
    // SAFETY: see above.
    check(
        unsafe {
            libc::prctl(
                libc::PR_CAPBSET_DROP,
                libc::c_ulong::from(capability),
                0,
                0,
                0,
            )
        }
        .into(),
    )
    .map(drop)
}

/// Sends a signal to a process group.
pub(crate) fn signal_group(group: i32, signal: i32) {
    // Needed: rustix has no way to send a signal by its bare number. Sound: no pointers.
    // SAFETY: see above.
    unsafe { libc::kill(-group, signal) };
}
