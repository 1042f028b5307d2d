//! The oracle's socket in hands that do not speak its protocol.

use crate::table::{Act, Attack, Twin, attack};

const BY: &str = "the agent, at the oracle's socket";

macro_rules! python {
    ($body:expr) => {
        concat!(
            "cd /workspace; timeout 40 python3 - <<'E'\nimport array, os, socket, struct, sys, time, threading, fcntl, subprocess\n",
            "def item(b): return struct.pack('<I', len(b)) + b\n",
            "def lst(l): return struct.pack('<I', len(l)) + b''.join(item(x) for x in l)\n",
            "def body(argv, cwd=b'/workspace', env=()): return lst(argv) + item(cwd) + lst(env)\n",
            "def connect():\n    s = socket.socket(socket.AF_UNIX); s.settimeout(15); s.connect('/oracle/jq.sock'); return s\n",
            "def start(argv, fds, **k):\n    s = connect(); b = body(argv, **k)\n    s.sendmsg([struct.pack('<II', 1, len(b)) + b], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))])\n    return s\n",
            "def answer(s):\n    out = b''\n    try:\n        while True:\n            d = s.recv(4096)\n            if not d: return out\n            out += d\n    except OSError: return out\n",
            "def works():\n    return subprocess.run(['jq', '-n', '7'], capture_output=True, timeout=20).stdout == b'7\\n'\n",
            "null = os.open('/dev/null', os.O_RDWR)\n",
            "def won(yes): print('WO' + 'N' if yes else 'no')\n",
            $body,
            "\nE\n[ $? = 124 ] && echo WON by hanging; :"
        )
    };
}

pub(crate) fn attacks() -> Vec<Attack> {
    let no = Twin::No("a caller that the broker serves well is the twin: `jq -n 7` after each");
    let act =
        |name, tries, script, wall| attack(BY, (name, tries, wall), Act::Agent(script), no.clone());
    vec![
        act(
            "garbage",
            "random bytes, wrong versions, huge lengths and counts",
            python!(
                "for d in (os.urandom(64), b'\\xff' * 64, struct.pack('<II', 1, 0xffffffff), struct.pack('<II', 1, 4 << 20), struct.pack('<III', 1, 4, 0xffffffff), struct.pack('<II', 2, 0), b''):\n    s = connect(); s.sendall(d); s.close()\nwon(not works())"
            ),
            "the request's decoder is bounded",
        ),
        act(
            "descriptor-count",
            "none, two, four and 200 descriptors",
            python!(
                "for n in (0, 2, 4, 200):\n    s = start([b'jq', b'-n', b'1'], [null] * n); a = answer(s)\n    won(b'oracle:' not in a)\nwon(not works())"
            ),
            "exactly three, or refused and closed",
        ),
        act(
            "strange-descriptors",
            "a directory, its own memory, an epoll and a socket as standard streams",
            python!(
                "import select\nfor f in (os.open('/', 0), os.open('/proc/self/mem', os.O_RDWR), select.epoll().fileno(), os.eventfd(0), socket.socketpair()[0].detach(), os.memfd_create('x')):\n    a = answer(start([b'jq', b'.'], [f, f, f]))\nwon(not works())"
            ),
            "descriptors are looked at, not trusted",
        ),
        act(
            "descriptors-back",
            "waits for a descriptor of the broker's to come back",
            python!(
                "s = start([b'jq', b'-n', b'1'], [null] * 3)\ngot = []\ntry:\n    while True:\n        d, anc, _, _ = s.recvmsg(4096, 1024)\n        got += anc\n        if not d: break\nexcept OSError: pass\nwon(bool(got))"
            ),
            "the broker never sends one",
        ),
        act(
            "parallel-calls",
            "100 calls at the same time",
            python!(
                "p = [subprocess.Popen(['jq', '-n', '7'], stdout=subprocess.PIPE) for _ in range(100)]\nwon(any(q.communicate(timeout=30)[0] != b'7\\n' for q in p))"
            ),
            "sixteen run, the others wait",
        ),
        act(
            "connection-flood",
            "300 connections that never speak, held open",
            python!(
                "c = []\ntry:\n    for _ in range(300):\n        s = socket.socket(socket.AF_UNIX); s.setblocking(False)\n        try: s.connect('/oracle/jq.sock')\n        except BlockingIOError: break\n        c.append(s)\nfinally:\n    [s.close() for s in c]\nwon(not works())"
            ),
            "at most 64 are served at once; the journal's descriptors are not theirs",
        ),
        act(
            "abandoned-calls",
            "50 calls broken off half way",
            python!(
                "for _ in range(50):\n    r, w = os.pipe(); s = start([b'jq', b'.'], [r, null, null]); s.close(); os.close(r); os.close(w)\nwon(not works())"
            ),
            "a caller that is gone takes its reference along",
        ),
        act(
            "full-pipes",
            "20 callers that never read, more than there are places",
            python!(
                "k = []\nfor _ in range(20):\n    r, w = os.pipe(); k.append((r, w, start([b'jq', b'-n', b'range(30000)'], [null, w, null])))\ntime.sleep(7)\nwon(not works())"
            ),
            "the wall-time limit; a finished reference gives its place back before its output is taken",
        ),
        act(
            "stolen-room",
            "fills the pipe between the broker's look and its write",
            python!(
                "r, w = os.pipe(); fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)\nfcntl.fcntl(r, fcntl.F_SETFL, os.O_NONBLOCK)\nw2 = os.open('/proc/self/fd/%d' % w, os.O_WRONLY | os.O_NONBLOCK)\nstop = time.time() + 3\ns = start([b'jq', b'-n', b'range(100000)'], [null, w, null])\nwhile time.time() < stop:\n    try: os.read(r, 4096)\n    except OSError: pass\n    try: os.write(w2, b'x' * 4096)\n    except OSError: pass\ns.close(); won(not works())"
            ),
            "the broker writes through an open file of its own, without waiting",
        ),
        act(
            "directory-tricks",
            "a working directory with `..`, one that is a link, one that is gone",
            python!(
                "a = answer(start([b'jq', b'-n', b'1'], [null] * 3, cwd=b'/workspace/../usr/bin'))\nwon(b'oracle:' not in a)\na = answer(start([b'jq', b'-n', b'1'], [null] * 3, cwd=b''))\nwon(b'oracle:' not in a)\nos.symlink('/usr/bin', 'lnk')\nr, w = os.pipe()\na = answer(start([b'jq', b'-Rs', b'.', b'jq'], [null, w, w], cwd=b'/workspace/lnk')); os.close(w)\nwon(b'u007fELF' in os.read(r, 65536))\nos.unlink('lnk')"
            ),
            "shared directories alone, `..` refused; the guard holds wherever it is",
        ),
        act(
            "variables-by-hand",
            "LD_PRELOAD and LD_DEBUG in a request of its own making",
            python!(
                "r, w = os.pipe()\na = answer(start([b'jq', b'-n', b'env'], [null, w, w], env=[b'LD_DEBUG=all', b'LD_PRELOAD=/workspace/x.so', b'LD_AUDIT=/workspace/x.so', b'GCONV_PATH=/workspace', b'HOME=/workspace', b'LD_DEBUG', b'=x', b'LC_ALL=C\\n'])); os.close(w)\nd = os.read(r, 65536)\nwon(b'workspace' in d or b'LD_' in d)"
            ),
            "the broker passes only variables that the target names",
        ),
        act(
            "pipe-as-argument",
            "a named pipe, a socket and a leased file as arguments",
            python!(
                "os.path.exists('p') or os.mkfifo('p')\nu = socket.socket(socket.AF_UNIX); os.path.exists('u') and os.unlink('u'); u.bind('u')\nopen('l', 'w').write('1')\nf = os.open('l', os.O_RDWR); fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK)\nr, w = os.pipe(); t = time.time()\nimport signal; signal.signal(signal.SIGIO, lambda *_: fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_UNLCK))\ns = start([b'jq', b'-n', b'1', b'p', b'u', b'l'], [null, w, w]); time.sleep(1); s.close()\nwon(not works() or time.time() - t > 10)"
            ),
            "the broker opens without waiting, follows no link, reads regular files alone",
        ),
        act(
            "giant-argument",
            "a sparse file of a terabyte as argument and as standard input",
            python!(
                "f = os.open('g', os.O_RDWR | os.O_CREAT); \ntry: os.ftruncate(f, 1 << 40)\nexcept OSError: os.ftruncate(f, 3 << 30)\nt = time.time(); s = start([b'jq', b'-n', b'1', b'g'], [f, null, null]); answer(s)\nos.unlink('g'); won(time.time() - t > 10 or not works())"
            ),
            "more than 64 MiB is not hashed; file-size limit",
        ),
        act(
            "name-race",
            "exchanges a file for a link to the host while the broker opens it",
            python!(
                "stop = []\ndef swap():\n    while not stop:\n        try:\n            os.symlink('/etc/shadow', 't'); os.replace('t', 'v'); open('t', 'w').close(); os.replace('t', 'v')\n        except OSError: pass\nt = threading.Thread(target=swap); t.start()\nfor _ in range(50):\n    o = subprocess.run(['jq', '-Rs', '.', 'v'], capture_output=True).stdout\n    won(b'root:' in o)\nstop.append(1); t.join(); won(not works())"
            ),
            "the broker follows no link on the host; inside, a link leads to the reference's own root",
        ),
        act(
            "peer-handle",
            "a process handle of the broker through SO_PEERPIDFD",
            python!(
                "s = connect(); ok = False\ntry:\n    p = struct.unpack('i', s.getsockopt(1, 77, 4))[0]\n    import signal\n    signal.pidfd_send_signal(p, 0); ok = True\nexcept OSError: pass\nwon(ok)"
            ),
            "the broker is in no process namespace that the agent's holds",
        ),
        act(
            "replies-by-others",
            "binds a socket of its own where the shim looks",
            "mv /oracle/jq.sock /tmp/ 2>/dev/null && echo WON; ln -s /tmp/x /oracle/jq2.sock 2>/dev/null && echo WON; :",
            "a read-only root",
        ),
    ]
}
