//! Which system calls exist for a command. What is not listed answers "function not implemented".
//!
//! The kernel refuses nothing here that the mounts, the namespaces and the missing capabilities would
//! allow; the list keeps most of the kernel's code out of a command's reach.

use std::collections::BTreeMap;
use std::io;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::spec::Syscalls;

/// Reading, writing and finding files.
const FILES: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_stat,
    libc::SYS_fstat,
    libc::SYS_lstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_access,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_dup,
    libc::SYS_dup2,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_truncate,
    libc::SYS_ftruncate,
    libc::SYS_getdents,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_rmdir,
    libc::SYS_creat,
    libc::SYS_link,
    libc::SYS_linkat,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_symlink,
    libc::SYS_symlinkat,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_chmod,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_chown,
    libc::SYS_fchown,
    libc::SYS_lchown,
    libc::SYS_fchownat,
    libc::SYS_umask,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_utimensat,
    libc::SYS_futimesat,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_readahead,
    libc::SYS_sendfile,
    libc::SYS_copy_file_range,
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_sync,
    libc::SYS_syncfs,
    libc::SYS_getxattr,
    libc::SYS_lgetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_flistxattr,
    libc::SYS_mknod,
    libc::SYS_mknodat,
];

/// Waiting and telling readiness.
const EVENTS: &[c_long] = &[
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_select,
    libc::SYS_pselect6,
    libc::SYS_epoll_create,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd,
    libc::SYS_eventfd2,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_signalfd,
    libc::SYS_signalfd4,
    libc::SYS_pipe,
    libc::SYS_pipe2,
    libc::SYS_inotify_init,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
];

/// Memory of the process itself.
const MEMORY: &[c_long] = &[
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_brk,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_mincore,
    libc::SYS_madvise,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_munlock,
    libc::SYS_mlockall,
    libc::SYS_munlockall,
    libc::SYS_membarrier,
    libc::SYS_rseq,
    libc::SYS_pkey_alloc,
    libc::SYS_pkey_free,
    libc::SYS_pkey_mprotect,
];

/// Processes, threads and signals. `clone` stands apart because its flags are checked.
const PROCESSES: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_rt_sigsuspend,
    libc::SYS_sigaltstack,
    libc::SYS_pause,
    libc::SYS_alarm,
    libc::SYS_getitimer,
    libc::SYS_setitimer,
    libc::SYS_restart_syscall,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_arch_prctl,
    libc::SYS_prctl,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getpgid,
    libc::SYS_getpgrp,
    libc::SYS_setpgid,
    libc::SYS_getsid,
    libc::SYS_setsid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getattr,
    libc::SYS_getpriority,
    libc::SYS_ioprio_get,
    libc::SYS_getcpu,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    // Gives rights up and can gain none: a guard calls it inside the program.
    libc::SYS_landlock_restrict_self,
];

/// Who and where the process is, clocks and limits.
const IDENTITY: &[c_long] = &[
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getgroups,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capget,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_times,
    libc::SYS_time,
    libc::SYS_gettimeofday,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_timer_create,
    libc::SYS_timer_settime,
    libc::SYS_timer_gettime,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_delete,
    libc::SYS_getrandom,
    libc::SYS_getrlimit,
    libc::SYS_setrlimit,
    libc::SYS_getrusage,
];

/// Sockets between a command's own processes. `socket` and `socketpair` stand apart: their family is checked.
const SOCKETS: &[c_long] = &[
    libc::SYS_connect,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
];

/// What debuggers, compilers and language runtimes ask for beyond [`Syscalls::Program`].
const TOOLS: &[c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_memfd_create,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmdt,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semctl,
    libc::SYS_semtimedop,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setattr,
    libc::SYS_ioprio_set,
    libc::SYS_personality,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_add_rule,
    libc::SYS_seccomp,
];

/// Flags of `clone` that make namespaces.
const NAMESPACE_FLAGS: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

/// Terminal requests that put input into another process's mouth.
const REFUSED_TERMINAL_REQUESTS: [u64; 2] = [libc::TIOCSTI, TIOCLINUX];
/// `asm-generic/ioctls.h`.
const TIOCLINUX: u64 = 0x541C;

/// `linux/stat.h`, since Linux 6.8.
const STATX_MNT_ID_UNIQUE: u64 = 0x4000;

fn argument(index: u8, length: SeccompCmpArgLen, op: SeccompCmpOp, value: u64) -> SeccompCondition {
    SeccompCondition::new(index, length, op, value)
        .expect("argument indexes are constants below six")
}

fn rule(conditions: Vec<SeccompCondition>) -> SeccompRule {
    SeccompRule::new(conditions).expect("rules have at least one condition")
}

fn rules(syscalls: Syscalls) -> BTreeMap<c_long, Vec<SeccompRule>> {
    use SeccompCmpArgLen::{Dword, Qword};
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> = BTreeMap::new();
    for list in [FILES, EVENTS, MEMORY, PROCESSES, IDENTITY, SOCKETS] {
        rules.extend(list.iter().map(|&call| (call, Vec::new())));
    }
    if syscalls == Syscalls::Tools {
        rules.extend(TOOLS.iter().map(|&call| (call, Vec::new())));
    }
    // `clone3` is not listed: its flags stand in memory, where a filter cannot see them. The C library
    // falls back to `clone`.
    rules.insert(
        libc::SYS_clone,
        vec![rule(vec![argument(
            0,
            Qword,
            SeccompCmpOp::MaskedEq(NAMESPACE_FLAGS),
            0,
        )])],
    );
    let families: &[i32] = match syscalls {
        Syscalls::Program => &[libc::AF_UNIX],
        Syscalls::Tools => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6],
    };
    let families: Vec<_> = families
        .iter()
        .map(|&family| rule(vec![argument(0, Dword, SeccompCmpOp::Eq, family as u64)]))
        .collect();
    rules.insert(libc::SYS_socket, families.clone());
    rules.insert(libc::SYS_socketpair, families);
    rules.insert(
        libc::SYS_ioctl,
        vec![rule(
            REFUSED_TERMINAL_REQUESTS
                .iter()
                .map(|&request| argument(1, Dword, SeccompCmpOp::Ne, request))
                .collect(),
        )],
    );
    // Limits of the process itself only: a neighbour of the same user could be starved through it.
    rules.insert(
        libc::SYS_prlimit64,
        vec![rule(vec![argument(0, Dword, SeccompCmpOp::Eq, 0)])],
    );
    // The init lives from one command to the next and is of the same user: what is set on it stays, and
    // would be a message. A command may change itself; tools run in one command or trust each other.
    let which = argument(0, Dword, SeccompCmpOp::Eq, u64::from(libc::PRIO_PROCESS));
    let own_priority = vec![rule(vec![which, argument(1, Dword, SeccompCmpOp::Eq, 0)])];
    let own_processors = vec![rule(vec![argument(0, Dword, SeccompCmpOp::Eq, 0)])];
    let (own_priority, own_processors) = match syscalls {
        Syscalls::Program => (own_priority, own_processors),
        Syscalls::Tools => (Vec::new(), Vec::new()),
    };
    rules.insert(libc::SYS_setpriority, own_priority);
    rules.insert(libc::SYS_sched_setaffinity, own_processors);
    // A runner under this filter starts commands with fixed addresses; what a program may do to itself otherwise
    // (executable data, other kernels' habits) stays away.
    if syscalls == Syscalls::Program {
        let fixed = argument(0, Qword, SeccompCmpOp::Eq, libc::ADDR_NO_RANDOMIZE as u64);
        rules.insert(libc::SYS_personality, vec![rule(vec![fixed])]);
    }
    // Numbers of mounts that the kernel never gives twice would count what ran before.
    if syscalls == Syscalls::Program {
        let unique = argument(3, Dword, SeccompCmpOp::MaskedEq(STATX_MNT_ID_UNIQUE), 0);
        rules.insert(libc::SYS_statx, vec![rule(vec![unique])]);
    }
    rules
}

/// The filter for a policy, ready to be installed.
pub(crate) fn program(syscalls: Syscalls) -> io::Result<BpfProgram> {
    let filter = SeccompFilter::new(
        rules(syscalls),
        SeccompAction::Errno(libc::ENOSYS as u32),
        SeccompAction::Allow,
        TargetArch::x86_64,
    )
    .map_err(io::Error::other)?;
    BpfProgram::try_from(filter).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_policies_compile() {
        for syscalls in [Syscalls::Program, Syscalls::Tools] {
            assert!(program(syscalls).is_ok_and(|program| program.len() < 4096));
        }
    }

    #[test]
    fn nothing_that_reaches_the_host_is_listed() {
        let rules = rules(Syscalls::Tools);
        for call in [
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_clone3,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_open_by_handle_at,
            libc::SYS_fanotify_init,
            libc::SYS_pidfd_getfd,
            libc::SYS_init_module,
            libc::SYS_kexec_load,
            libc::SYS_reboot,
            libc::SYS_settimeofday,
            libc::SYS_clock_settime,
            libc::SYS_move_mount,
            libc::SYS_open_tree,
            libc::SYS_fsopen,
            libc::SYS_quotactl,
            libc::SYS_swapon,
            libc::SYS_vmsplice,
            libc::SYS_mq_open,
        ] {
            assert!(!rules.contains_key(&call), "system call {call} is listed");
        }
    }
}
