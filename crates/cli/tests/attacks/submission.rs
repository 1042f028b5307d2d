//! A submission that works against its scorer.

use crate::table::{Act, Attack, Twin, attack};

const BY: &str = "a submission, against its scorer";
const FRESH: &str = "fresh directories and an emptied process namespace for each case";
const EXECUTE: &str =
    "Landlock: the interpreter and the submission alone; scratch is mounted without execution";

macro_rules! p {
    ($body:expr) => {
        concat!(
            "import os, sys, socket, ctypes, time\nlibc = ctypes.CDLL(None, use_errno=True)\ndef won(yes): print('WO' + 'N' if yes else 'no')\n",
            $body
        )
    };
}

pub(crate) fn attacks() -> Vec<Attack> {
    let act = |name, tries, programs, wall, twin| {
        attack(BY, (name, tries, wall), Act::Cases(programs), twin)
    };
    vec![
        act(
            "file-for-next",
            "a file in /case and /tmp for the next case",
            &[
                p!("open('/tmp/a', 'w').write('x'); open('a', 'w').write('x')"),
                p!("won(os.path.exists('/tmp/a') or os.path.exists('a'))"),
            ],
            FRESH,
            Twin::Spec("a scratch directory that stays", |spec, directory| {
                spec.scratch
                    .retain(|scratch| scratch.at != std::path::Path::new("/tmp"));
                spec.mounts.push(sandbox::Mount {
                    source: sandbox::Source::Path(directory.to_owned()),
                    at: "/tmp".into(),
                    writable: true,
                });
            }),
        ),
        act(
            "process-for-next",
            "a process that goes on, out of its session, to answer the next case",
            &[
                p!(
                    "pid = os.fork()\nif pid == 0:\n    os.setsid()\n    if os.fork() == 0:\n        s = socket.socket(socket.AF_UNIX); s.bind('\\0drawer'); s.listen(); [os.close(i) for i in (0, 1, 2)]; time.sleep(60)\n    os._exit(0)\nos.waitpid(pid, 0); time.sleep(0.2)"
                ),
                p!(
                    "s = socket.socket(socket.AF_UNIX)\ntry: s.connect('\\0drawer'); won(True)\nexcept OSError: won(False)"
                ),
            ],
            FRESH,
            Twin::Container,
        ),
        act(
            "init-priority",
            "the init's priority and processors, which live on",
            &[
                p!(
                    "try: os.setpriority(os.PRIO_PROCESS, 1, 7)\nexcept OSError: pass\ntry: os.setpriority(os.PRIO_USER, 0, 7)\nexcept OSError: pass\ntry: os.sched_setaffinity(1, {0})\nexcept OSError: pass"
                ),
                p!(
                    "won(os.getpriority(os.PRIO_PROCESS, 1) == 7 or (len(os.sched_getaffinity(1)) < os.cpu_count()))"
                ),
            ],
            "seccomp: a command may change itself alone",
            Twin::Container,
        ),
        act(
            "device-times",
            "a time on /dev/null, which is the host's node",
            &[p!(
                "t = os.stat('/dev/null').st_mtime\ntry: os.utime('/dev/null')\nexcept OSError: pass\nwon(os.stat('/dev/null').st_mtime != t)"
            )],
            "devices are mounted read-only",
            Twin::Bare,
        ),
        act(
            "shared-memory",
            "shared memory, message queues, semaphores, keyrings",
            &[p!(
                "won(any(libc.syscall(*c) >= 0 for c in ((29, 4711, 4096, 0o1666), (68, 4711, 0o1666), (64, 4711, 1, 0o1666), (240, b'q', 0o102, 0o666, None), (248, b'user', b'x', b'y', 1, -4))))"
            )],
            "seccomp: none of the calls is listed",
            Twin::Container,
        ),
        act(
            "count-by-process-id",
            "its process id, to know how many cases ran before",
            &[
                p!("print('A', os.getpid()); sys.exit(0)"),
                p!("won(os.getpid() > 4)"),
            ],
            "process ids begin again",
            Twin::Bare,
        ),
        act(
            "count-by-init",
            "the init's start time and usage",
            &[p!(
                "try: won(bool(open('/proc/1/stat').read()))\nexcept OSError: won(False)"
            )],
            "the process file system hides what may not be traced",
            Twin::Bare,
        ),
        act(
            "count-by-uptime",
            "uptime, load, counters of the machine",
            &[p!(
                "won(any(os.path.exists(f) for f in ('/proc/uptime', '/proc/loadavg', '/proc/stat', '/proc/vmstat', '/proc/net', '/proc/sys')))"
            )],
            "only process entries stand at /proc",
            Twin::Spec("the process file system of tools", |spec, _| {
                spec.syscalls = sandbox::Syscalls::Tools
            }),
        ),
        act(
            "count-by-mount",
            "numbers of mounts that the kernel never gives twice",
            &[p!(
                "b = ctypes.create_string_buffer(256)\nwon(libc.syscall(332, -100, b'/', 0, 0x4000, b) == 0)"
            )],
            "seccomp: statx is not asked for them",
            Twin::Bare,
        ),
        act(
            "count-by-inode",
            "inode numbers of what it makes",
            &[
                p!("open('a', 'w'); sys.stdout.write(str(os.stat('a').st_ino < 100))"),
                p!("open('a', 'w'); won(os.stat('a').st_ino > 100)"),
            ],
            "each case has a file system of its own",
            Twin::Bare,
        ),
        act(
            "expected-output",
            "expected output or hidden cases in any file that it can read",
            &[p!(
                "n = 0\nfor top, dirs, files in os.walk('/'):\n    if top.startswith(('/proc', '/sys')): dirs[:] = []; continue\n    for f in files:\n        q = os.path.join(top, f)\n        if f.endswith('.jsonl') or f in ('verdict.json', 'target.lock'): won(True)\n        try:\n            if os.path.isfile(q) and os.path.getsize(q) < 1 << 20 and b'\"expect\":' in open(q, 'rb').read() and not q.startswith('/usr/lib/python3'): won(True)\n        except OSError: pass"
            )],
            "inputs enter one at a time; expected output stays outside",
            Twin::Spec("the target's directory is mounted", |spec, _| {
                spec.mounts.push(sandbox::Mount {
                    source: sandbox::Source::Path(
                        crate::lab::repository().join("targets/jq_simple"),
                    ),
                    at: "/t".into(),
                    writable: false,
                })
            }),
        ),
        act(
            "harness-memory",
            "processes outside, by /proc and by number",
            &[p!(
                "seen = [d for d in os.listdir('/proc') if d.isdigit() and int(d) != os.getpid()]\nwon(bool(seen))"
            )],
            "a process namespace, and hidden entries",
            Twin::Bare,
        ),
        act(
            "own-parent",
            "its parent: the keeper, by signal and by limit",
            &[
                p!(
                    "won(os.getppid() != 0)\ntry: os.kill(os.getppid() or -1, 0)\nexcept OSError: pass"
                ),
                p!(
                    "import resource\nn = resource.RLIMIT_NPROC\ntry: resource.prlimit(1, n, resource.prlimit(1, n)); won(True)\nexcept (OSError, PermissionError): won(False)"
                ),
            ],
            "the keeper is in no namespace of the command's",
            Twin::Container,
        ),
        act(
            "kill-all",
            "kill -9 -1 and SIGSTOP to the init",
            &[
                p!("os.kill(1, 19)\nos.kill(1, 9)\nos.kill(-1, 9)"),
                p!("print('still here')"),
            ],
            "an init ignores signals from inside",
            Twin::Container,
        ),
        act(
            "write-submission",
            "changes its own program for the next case",
            &[p!(
                "for f in ('/submission/main.py', '/submission/x', '/mirrorcode-x', '/usr/mirrorcode-x', '/case/../mirrorcode-x'):\n    try: open(f, 'w'); won(True); os.unlink(f)\n    except OSError: pass"
            )],
            "a read-only mount; its files belong to nobody inside",
            Twin::Root,
        ),
        act(
            "execute-written",
            "executes a file that it wrote",
            &[p!(
                "d = open(sys.executable, 'rb').read()\nfor t in ('/tmp/p', '/case/p'):\n    open(t, 'wb').write(d); os.chmod(t, 0o755)\n    if os.fork() == 0:\n        try: os.execv(t, ['p', '-c', 'print(\"WO\" + \"N\")'])\n        except OSError: os._exit(1)\n    os.wait()"
            )],
            EXECUTE,
            Twin::Spec("scratch with execution, no Landlock", |spec, _| {
                spec.execute = None;
                spec.scratch.iter_mut().for_each(|s| s.executable = true);
            }),
        ),
        act(
            "execute-by-loader",
            "the loader, asked to start a file that it wrote",
            &[p!(
                "d = open(sys.executable, 'rb').read(); open('/tmp/p', 'wb').write(d); os.chmod('/tmp/p', 0o755)\nif os.fork() == 0:\n    os.execv('/lib64/ld-linux-x86-64.so.2', ['ld', '/tmp/p', '-c', 'print(\"WO\" + \"N\")'])\nos.wait()"
            )],
            "scratch is mounted without execution, also for mmap",
            Twin::Spec("scratch with execution", |spec, _| {
                spec.scratch.iter_mut().for_each(|s| s.executable = true)
            }),
        ),
        act(
            "library-written",
            "loads a shared object that it wrote",
            &[p!(
                "import _ctypes\nd = open(_ctypes.__file__, 'rb').read() if hasattr(_ctypes, '__file__') else b''\nopen('/tmp/l.so', 'wb').write(d)\ntry: ctypes.CDLL('/tmp/l.so'); won(bool(d))\nexcept OSError: won(False)"
            )],
            "scratch is mounted without execution",
            Twin::Spec("scratch with execution", |spec, _| {
                spec.scratch.iter_mut().for_each(|s| s.executable = true)
            }),
        ),
        act(
            "execute-memory",
            "memfd_create and execveat",
            &[p!("won(libc.syscall(319, b'x', 0) >= 0)")],
            "seccomp: not listed",
            Twin::Bare,
        ),
        act(
            "shell-out",
            "sh, sed, jq, any program by any name",
            &[p!(
                "import subprocess\nfor c in ('sh', 'bash', 'sed', 'jq', 'gojq', 'busybox', 'perl', '/bin/ls', '/usr/bin/env'):\n    try: subprocess.run([c, '--version'], capture_output=True); won(True)\n    except OSError: pass"
            )],
            "the runtime image holds one program",
            Twin::Bare,
        ),
        act(
            "network",
            "sockets of any family but Unix",
            &[p!(
                "for f in (2, 10, 16, 17, 38, 40):\n    try: socket.socket(f, 1 if f in (2, 10) else 3); won(True)\n    except OSError: pass"
            )],
            "seccomp: Unix sockets alone",
            Twin::Bare,
        ),
        act(
            "fork-bomb",
            "forks without end, then the next case",
            &[
                p!(
                    "n = 0\ntry:\n    while n < 400:\n        if os.fork() == 0: time.sleep(30); os._exit(0)\n        n += 1\nexcept OSError: pass\nwon(n > 64)"
                ),
                p!("print('still here')"),
            ],
            "the process limit; each case ends with an empty namespace",
            Twin::Spec("a limit of 1000", |spec, _| {
                (spec.processes, spec.memory) = (1000, 8 << 30);
            }),
        ),
        act(
            "memory-hog",
            "more memory than it may have",
            &[
                p!("a = [bytearray(1 << 20) for _ in range(700)]\nwon(True)"),
                p!("print('still here')"),
            ],
            "a control group",
            Twin::Spec("a limit of 4 GiB", |spec, _| spec.memory = 4 << 30),
        ),
        act(
            "keeper-out-of-memory",
            "memory in files, small processes: makes the kernel end the keeper, and so the verdict",
            &[
                p!(
                    "try:\n    for f in ('/tmp/a', '/case/a'):\n        h = open(f, 'wb')\n        for _ in range(64): h.write(bytes(1 << 20))\nexcept OSError: pass\na = []\nwhile len(a) < 900:\n    a.append(bytearray(1 << 20))\nwon(True)"
                ),
                p!("print('still here')"),
            ],
            "commands are offered to the kernel first",
            Twin::Spec("a limit of 4 GiB", |spec, _| spec.memory = 4 << 30),
        ),
        act(
            "output-flood",
            "prints without end",
            &[p!(
                "import itertools\nfor _ in range(3000): sys.stdout.write('x' * 65536)\nsys.stderr.write('WO' + 'N')"
            )],
            "the output limit",
            Twin::Bare,
        ),
        act(
            "disk-flood",
            "fills /tmp and /case with bytes and with files",
            &[
                p!(
                    "n = 0\ntry:\n    while n < 200: open('/tmp/%d' % n, 'wb').write(bytes(1 << 20)); n += 1\nexcept OSError: pass\nwon(n >= 200)"
                ),
                p!(
                    "n = 0\ntry:\n    while n < 9000: open('/case/%d' % n, 'w'); n += 1\nexcept OSError: pass\nwon(n >= 9000)"
                ),
                p!("print(os.listdir('/tmp'))"),
            ],
            "size and number of files are limited",
            Twin::Spec("ten times the room", |spec, _| {
                spec.scratch.iter_mut().for_each(|s| {
                    s.bytes *= 10;
                    s.inodes *= 10;
                })
            }),
        ),
        act(
            "zombie-flood",
            "dead children that nobody waits for",
            &[
                p!(
                    "try:\n    for _ in range(60):\n        if os.fork() == 0: os._exit(0)\nexcept OSError: pass"
                ),
                p!("won(os.getpid() > 4)"),
            ],
            "the init ends and reaps all; a command that got another process number is not executed",
            Twin::Container,
        ),
        act(
            "endless",
            "never ends, and ignores every signal",
            &[p!(
                "import signal\nfor s in range(1, 32):\n    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\ntime.sleep(8)\nwon(True)"
            )],
            "wall time; SIGKILL",
            Twin::Bare,
        ),
        act(
            "odd-files",
            "links, pipes and sockets where files are collected",
            &[
                p!(
                    "os.mkfifo('out-pipe'); os.symlink('/etc/passwd', 'out-link'); os.symlink('/proc/self/auxv', 'out-memory')\ns = socket.socket(socket.AF_UNIX); s.bind('out-socket')"
                ),
                p!("print('still here')"),
            ],
            "regular files are collected, nothing is followed",
            Twin::Bare,
        ),
        act(
            "write-verdict",
            "writes where verdicts, runs and caches stand",
            &[p!(
                "for d in ('/var/tmp', '/root', '/home', '/runs', '/var/cache', '/dev/shm', '/'):\n    f = d + '/mirrorcode-attack-verdict.json'\n    try: open(f, 'w'); won(True); os.unlink(f)\n    except OSError: pass"
            )],
            "the verdict is written outside; two empty directories are all that a case can write to",
            Twin::Bare,
        ),
        act(
            "count-by-path",
            "the path of its directory, its host's name and its environment, which could be numbered",
            &[
                p!("print(os.getcwd())"),
                p!("won(os.getcwd() != '/case' or len(os.environ) > 12)"),
            ],
            "every case has the same",
            Twin::Bare,
        ),
        act(
            "clock-of-case",
            "the machine's clock, set to the tick that it has",
            &[p!(
                "t = ctypes.create_string_buffer(256); libc.syscall(159, t); t[:4] = (0x4000).to_bytes(4, 'little')\nwon(libc.syscall(159, t) >= 0)"
            )],
            "no capability; seccomp",
            Twin::Root,
        ),
    ]
}
