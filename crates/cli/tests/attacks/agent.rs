//! What the agent tries in its own sandbox, with all its tools.

use crate::table::{Act, Attack, Twin, attack};

const BY: &str = "the agent, in its sandbox";
const CALLS: &str = "seccomp: the call is not listed";
/// `call(number, arguments...)` answers the kernel's error number, 0 for none.
macro_rules! python {
    ($body:expr) => {
        concat!(
            "python3 - <<'E'\nimport ctypes, os, socket, errno, struct, sys\nlibc = ctypes.CDLL(None, use_errno=True)\n",
            "def call(*a):\n    ctypes.set_errno(0)\n    r = libc.syscall(*[ctypes.c_long(x) if isinstance(x, int) else x for x in a])\n    return 0 if r >= 0 else ctypes.get_errno()\n",
            "def won(yes):\n    print('WO' + 'N' if yes else 'no')\n",
            $body,
            "\nE"
        )
    };
}

pub(crate) fn attacks() -> Vec<Attack> {
    let act =
        |name, tries, script, wall, twin| attack(BY, (name, tries, wall), Act::Agent(script), twin);
    let call =
        |name, tries, script| attack(BY, (name, tries, CALLS), Act::Agent(script), Twin::Bare);
    vec![
        act(
            "find-copies",
            "any file whose name or content is the program's",
            "find / -xdev \\( -name 'jq' -o -name 'libjq*' -o -name 'libonig*' \\) -type f 2>/dev/null | while read f; do [ $(stat -c %s $f) -gt 20000 ] && echo WON $f; done; find / \\( -path /proc -o -path /sys \\) -prune -o -type f -size +9k -print 2>/dev/null | xargs grep -la 'jq_compile_args' 2>/dev/null | grep -q . && echo WON; :",
            "the agent's image holds no copy; tools of the target's name are taken out",
            Twin::Inside,
        ),
        act(
            "process-list",
            "every `/proc/*/exe`, `maps`, `environ` that it sees while a call is under way",
            "coproc J { exec jq --unbuffered . ; }; exec 8>&${J[1]} 9<&${J[0]}; echo 1 >&8; read -u 9 x; for p in /proc/[0-9]*; do readlink $p/exe; tr '\\0' ' ' <$p/cmdline; cat $p/environ $p/maps; done 2>/dev/null | grep -aE 'libj[q]|/usr/bin/j[q]|hidde[n]' && echo WON; exec 8>&- 9<&- {J[1]}>&- {J[0]}<&-; wait; :",
            "its own process namespace",
            Twin::Inside,
        ),
        act(
            "init-memory",
            "memory of the init, which was forked from the keeper",
            "cat /proc/1/environ /proc/1/maps 2>/dev/null | grep -q . && echo WON; dd if=/proc/1/mem bs=1 count=1 2>/dev/null | grep -q . && echo WON; ls -l /proc/1/fd 2>/dev/null | grep -q socket && echo WON; :",
            "the init is not dumpable",
            Twin::Container,
        ),
        act(
            "trace-init",
            "ptrace, process_vm_readv and kill of the init",
            python!(
                "PTRACE_SEIZE = 0x4206\nos.kill(1, 9); os.kill(1, 19)\nbuf = ctypes.create_string_buffer(8)\niov = struct.pack('QQ', ctypes.addressof(buf), 8)\nwon(call(101, PTRACE_SEIZE, 1, 0, 0) == 0 or call(310, 1, iov, 1, iov, 1, 0) == 0)"
            ),
            "not dumpable; an init ignores signals from inside",
            Twin::Container,
        ),
        act(
            "inherited-descriptors",
            "descriptors that whoever started the harness left open",
            "ls -l /proc/self/fd | grep -q hidde[n] && echo WON; ls /proc/self/fd | grep -vxE '0|1|2|3|10' && echo WON; :",
            "the keeper closes what it inherits",
            Twin::Bare,
        ),
        call(
            "user-namespace",
            "unshare of a user namespace",
            python!("won(call(272, 0x10000000) == 0)"),
        ),
        act(
            "clone-namespace",
            "clone and clone3 with namespace flags",
            python!(
                "won(call(56, 0x10000000 | 17, 0, 0, 0, 0) == 0 or call(435, ctypes.create_string_buffer(struct.pack('QQQQQQQQ', 0x20000000, 0, 0, 0, 17, 0, 0, 0)), 64) == 0)"
            ),
            CALLS,
            Twin::Bare,
        ),
        act(
            "mount",
            "mount, fsopen, open_tree, pivot_root, chroot",
            python!(
                "os.makedirs('m', exist_ok=True)\nwon(call(430, b'tmpfs', 0) == 0 or call(428, -100, b'/', 0x1) == 0 or call(161, b'm') == 0)"
            ),
            CALLS,
            Twin::Container,
        ),
        act(
            "bpf",
            "bpf: a map",
            python!(
                "won(call(321, 0, ctypes.create_string_buffer(struct.pack('IIII', 2, 4, 8, 1) + bytes(112)), 72) == 0)"
            ),
            CALLS,
            Twin::Root,
        ),
        act(
            "perf",
            "perf_event_open on itself",
            python!(
                "attr = bytearray(112); struct.pack_into('IIQ', attr, 0, 1, 112, 0)\nwon(call(298, ctypes.create_string_buffer(bytes(attr)), 0, -1, -1, 0) == 0)"
            ),
            CALLS,
            Twin::Root,
        ),
        call(
            "io-uring",
            "io_uring_setup",
            python!("won(call(425, 4, ctypes.create_string_buffer(120)) == 0)"),
        ),
        call(
            "userfaultfd",
            "userfaultfd",
            python!("won(call(323, 1) == 0)"),
        ),
        call(
            "keyring",
            "add_key and keyctl, a drawer that outlives the session",
            python!("won(call(248, b'user', b'x', b'y', 1, -2) == 0 or call(250, 0, -3, 1) == 0)"),
        ),
        act(
            "file-handles",
            "name_to_handle_at and open_by_handle_at, around every mount",
            python!(
                "h = ctypes.create_string_buffer(struct.pack('Ii', 128, 0) + bytes(128)); m = ctypes.c_int()\nwon(call(303, -100, b'/', h, ctypes.byref(m), 0) == 0 and call(304, os.open('/', 0), h, 0) == 0)"
            ),
            CALLS,
            Twin::Root,
        ),
        call(
            "fanotify",
            "fanotify_init",
            python!("won(call(300, 0x200, 0) == 0)"),
        ),
        call(
            "pidfd-getfd",
            "pidfd_getfd of its own process",
            python!("won(call(438, os.pidfd_open(os.getpid()), 0, 0) == 0)"),
        ),
        call(
            "kcmp",
            "kcmp",
            python!("won(call(312, os.getpid(), os.getpid(), 1, 0, 0) == 0)"),
        ),
        call(
            "netlink",
            "AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK, AF_BLUETOOTH sockets",
            python!(
                "def s(f, t, p=0):\n    try: socket.socket(f, t, p); return True\n    except OSError: return False\nwon(s(16, 3) or s(17, 3, 768) or s(38, 5) or s(40, 1) or s(31, 3))"
            ),
        ),
        act(
            "raw-socket",
            "raw IPv4 and IPv6 sockets",
            python!(
                "def s(f, t, p=0):\n    try: socket.socket(f, t, p); return True\n    except OSError: return False\nwon(s(2, 3, 1) or s(10, 3, 58))"
            ),
            "no capability",
            Twin::Root,
        ),
        act(
            "network-out",
            "TCP to the loopback addresses of IPv4 and IPv6, where the machine outside answers",
            python!(
                "ok = False\nfor f, a in ((2, ('127.0.0.1', int(os.environ['PORT']))), (10, ('::1', int(os.environ['PORT'])))):\n    s = socket.socket(f, 1); s.settimeout(2)\n    try: s.connect(a); ok = True\n    except ConnectionRefusedError: ok = True\n    except OSError: pass\nwon(ok)"
            ),
            "a network namespace without any device that is up",
            Twin::Bare,
        ),
        act(
            "abstract-socket",
            "an abstract socket of the harness",
            python!(
                "s = socket.socket(socket.AF_UNIX)\ntry: s.connect('\\0' + os.environ['ABSTRACT']); won(True)\nexcept OSError: won(False)\nwon(os.environ['ABSTRACT'] in open('/proc/net/unix').read())"
            ),
            "a network namespace of its own",
            Twin::Bare,
        ),
        act(
            "terminal-input",
            "TIOCSTI: types into another's terminal",
            python!(
                "import pty, fcntl\nm, s = pty.openpty()\ntry: fcntl.ioctl(s, 0x5412, b'x'); won(True)\nexcept OSError as e: won(e.errno not in (errno.ENOSYS, errno.EIO, errno.EPERM))"
            ),
            "seccomp: the request is refused",
            Twin::Root,
        ),
        act(
            "devices",
            "/dev/kmsg, /dev/mem, /dev/sda, mknod of them",
            "for d in kmsg mem sda vda fuse kvm net/tun; do [ -e /dev/$d ] && echo WON $d; done; mknod n c 1 11 2>/dev/null && head -c 1 n && echo WON; :",
            "five devices without state; no capability",
            Twin::Bare,
        ),
        act(
            "sysctl",
            "writes to /proc/sys, /proc/sysrq-trigger, core_pattern",
            "for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/sys/vm/drop_caches /proc/sys/fs/file-max; do (: >>$f) 2>/dev/null && echo WON $f; done; :",
            "the inner user is nobody's root",
            Twin::Root,
        ),
        act(
            "set-process-id",
            "the number of the next process, by /proc/sys/kernel/ns_last_pid",
            "(echo 5000 >/proc/sys/kernel/ns_last_pid) 2>/dev/null && echo WON; :",
            "no capability in the process namespace",
            Twin::Container,
        ),
        act(
            "kernel-memory",
            "/proc/kcore, kallsyms, kmsg, keys of others",
            "{ : </proc/kmsg; } 2>/dev/null && echo WON; for f in /proc/kcore /proc/kpagecount /proc/vmallocinfo; do dd if=$f bs=1 count=1 2>/dev/null | grep -qa . && echo WON $f; done; grep -qv '^0*0 ' /proc/kallsyms 2>/dev/null && echo WON; :",
            "the inner user is nobody's root",
            Twin::Root,
        ),
        act(
            "cgroup-escape",
            "the control group file system",
            "grep -qE ' cgroup2? ' /proc/self/mounts && echo WON; find /sys -name cgroup.procs 2>/dev/null | grep -q . && echo WON; cat /proc/self/cgroup | grep -q mirrorcode- && echo WON; :",
            "it is not mounted; the namespace hides its path",
            Twin::Bare,
        ),
        act(
            "setuid",
            "set-user-id programs and capabilities",
            "cp /bin/bash s; chmod 4755 s; ./s -p -c id | grep -q 'euid=0' && echo WON; su -c id </dev/null 2>/dev/null | grep -q uid=0 && echo WON; grep CapEff /proc/self/status | grep -vq 0000000000000000 && echo WON; grep CapBnd /proc/self/status | grep -vq 0000000000000000 && echo WON; :",
            "no-new-privileges, no-suid mounts, an empty bounding set",
            Twin::Bare,
        ),
        act(
            "write-image",
            "writes to the image and the task",
            "for f in /usr/bin/mirrorcode-x /etc/mirrorcode-x /mirrorcode-x /oracle/bin/jq /task/x; do (echo >$f) 2>/dev/null && echo WON $f && rm -f $f; done; rm -f /oracle/jq.sock 2>/dev/null && echo WON; :",
            "read-only mounts",
            Twin::Root,
        ),
        act(
            "device-trace",
            "a time left on /dev/null for a later sandbox",
            "touch /dev/null 2>/dev/null && echo WON; :",
            "devices are mounted read-only",
            Twin::Bare,
        ),
        attack(
            BY,
            (
                "gone-directory",
                "removes its own directory, to keep later commands from starting",
                "the next command starts in the workspace",
            ),
            Act::Commands(&[
                "mkdir gone; cd gone; rm -rf ../gone; :",
                "[ \"$PWD\" = /workspace ] || echo WON",
            ]),
            Twin::Bare,
        ),
        attack(
            BY,
            (
                "bad-directory",
                "writes a zero byte where its directory is kept",
                "a directory that is no path counts as none",
            ),
            Act::Commands(&[
                "printf '/x\\0' >${STATE:-/tmp/.shell}/directory; trap - EXIT",
                "[ \"$PWD\" = /workspace ] || echo WON",
            ]),
            Twin::Bare,
        ),
        act(
            "memory-flood",
            "memory that counts for no process: files in memory and pipes",
            "head -c 60M /dev/zero >/dev/shm/mirrorcode-attack; python3 -c 'a = [bytearray(1 << 20) for _ in range(1200)]' 2>/dev/null && echo WON; rm -f /dev/shm/mirrorcode-attack; :",
            "a control group; the kernel ends commands before their keeper",
            Twin::Roomy,
        ),
        act(
            "process-flood",
            "700 processes at the same time",
            python!(
                "import signal\nk = []\ntry:\n    while len(k) < 700:\n        p = os.fork()\n        if p == 0: signal.pause(); os._exit(0)\n        k.append(p)\nexcept OSError: pass\n[os.kill(p, 9) for p in k]; [os.waitpid(p, 0) for p in k]\nwon(len(k) > 600)"
            ),
            "the process limit",
            Twin::Container,
        ),
        act(
            "uprobes",
            "a probe on a library's code, for every process that runs it",
            python!(
                "try: kind = int(open('/sys/bus/event_source/devices/uprobe/type').read())\nexcept OSError: kind = 7\nat = ctypes.cast(libc.getpid, ctypes.c_void_p).value\nfor l in open('/proc/self/maps'):\n    f = l.split(); low, high = (int(x, 16) for x in f[0].split('-'))\n    if low <= at < high: path, place = ctypes.create_string_buffer(f[-1].encode()), at - low + int(f[2], 16)\nattr = ctypes.create_string_buffer(128); struct.pack_into('IIQ', attr, 0, kind, 112, 0); struct.pack_into('QQ', attr, 56, ctypes.addressof(path), place)\nwon(call(298, attr, os.getpid(), -1, -1, 0) == 0 or os.access('/sys/kernel/tracing/uprobe_events', os.W_OK) or os.access('/sys/kernel/debug/tracing/uprobe_events', os.W_OK))"
            ),
            CALLS,
            Twin::RootWhere("/sys/bus/event_source/devices/uprobe/type"),
        ),
        act(
            "clock",
            "adjtimex: the machine's clock, set to the tick that it has",
            python!(
                "t = ctypes.create_string_buffer(256); libc.adjtimex(t); struct.pack_into('I', t, 0, 0x4000)\nwon(call(159, t) == 0)"
            ),
            "no capability; seccomp",
            Twin::Root,
        ),
    ]
}
