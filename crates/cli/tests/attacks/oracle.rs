//! The oracle's socket in hands that do not speak its protocol.

use crate::table::{Act, Attack, Twin, attack};

const BY: &str = "the agent, at the oracle's socket";

/// Starts the broker of the twin, in the agent's own sandbox, where it hurts nobody: one caller after another, no
/// time-outs, and every length, count, directory, variable and descriptor is believed. Ends the one before, with all
/// that the attack before left.
pub(crate) const NAIVE: &str = r#"pkill -9 python3; pkill -9 jq; rm -rf /tmp/naive; mkdir /tmp/naive; cd /workspace
cat >/tmp/naive/broker.py <<'E'
import array, hashlib, os, socket, struct, subprocess
listener = socket.socket(socket.AF_UNIX); listener.bind('/tmp/naive/jq.sock'); listener.listen(1)
null = os.open('/dev/null', os.O_RDWR)
def items(b):
    n, = struct.unpack_from('<I', b); b = b[4:]; all = []
    for _ in range(n):
        m, = struct.unpack_from('<I', b); all.append(b[4:4 + m]); b = b[4 + m:]
    return all, b
while True:
    s, _ = listener.accept()
    head, fds, _, _ = socket.recv_fds(s, 8, 250)
    version, length = struct.unpack('<II', head)
    body = b''
    while len(body) < length: body += s.recv(length - len(body)) or struct.unpack('<I', b'')
    argv, b = items(body)
    n, = struct.unpack_from('<I', b); cwd = b[4:4 + n]
    env, _ = items(b[4 + n:])
    for name in argv[1:]:
        if os.path.exists(os.path.join(cwd, name)):
            with open(os.path.join(cwd, name), 'rb') as f: hashlib.file_digest(f, 'sha256')
    env = dict(e.partition(b'=')[::2] for e in env if e[:1] != b'=')
    streams = (fds + [null] * 3)[:3]
    done = subprocess.run(argv, executable='/usr/bin/jq', cwd=cwd or None, env=env, stdin=streams[0], stdout=streams[1], stderr=streams[2])
    try: socket.send_fds(s, [struct.pack('<BI', 3, done.returncode & 255)], [null])
    except OSError: pass
    for f in fds: os.close(f)
    s.close()
E
python3 /tmp/naive/broker.py </dev/null >/tmp/naive/log 2>&1 &
until [ -S /tmp/naive/jq.sock ]; do sleep 0.05; done
export ORACLE=/tmp/naive/jq.sock
"#;

/// `jq()` asks the program something, through the shim, or, for the twin, whose broker the shim does not know, by hand.
/// `works()` says whether others are still served.
macro_rules! python {
    ($body:expr) => {
        concat!(
            "cd /workspace; timeout 100 python3 - <<'E'\nimport array, os, select, socket, struct, sys, time, threading, fcntl, subprocess\nfrom concurrent.futures import ThreadPoolExecutor\n",
            "NAIVE = os.environ.get('ORACLE'); PATIENCE = 3 if NAIVE else 40\n",
            "def item(b): return struct.pack('<I', len(b)) + b\n",
            "def lst(l): return struct.pack('<I', len(l)) + b''.join(item(x) for x in l)\n",
            "def body(argv, cwd=b'/workspace', env=()): return lst(argv) + item(cwd) + lst(env)\n",
            "def connect():\n    s = socket.socket(socket.AF_UNIX); s.settimeout(PATIENCE); s.connect(NAIVE or '/oracle/jq.sock'); return s\n",
            "def start(argv, fds, **k):\n    s = connect(); b = body(argv, **k)\n    s.sendmsg([struct.pack('<II', 1, len(b)) + b], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))])\n    return s\n",
            "def answer(s):\n    out = b''\n    try:\n        while True:\n            d = s.recv(4096)\n            if not d: return out\n            out += d\n    except OSError: return out\n",
            "def call(*argv, **k):\n    r, w = os.pipe()\n    try: s = start([b'jq', *argv], [null, w, w], **k)\n    except OSError: return b''\n    finally: os.close(w)\n    out = b''; end = time.time() + PATIENCE\n    while select.select([r], [], [], max(0, end - time.time()))[0]:\n        d = os.read(r, 65536)\n        if not d: break\n        out += d\n    answer(s); return out\n",
            "def jq(*argv):\n    if NAIVE: return call(*(a.encode() for a in argv))\n    try: return subprocess.run(['jq', *argv], capture_output=True, timeout=PATIENCE).stdout\n    except subprocess.TimeoutExpired: return b''\n",
            "def works(): return jq('-n', '7') == b'7\\n'\n",
            "null = os.open('/dev/null', os.O_RDWR)\n",
            "def won(yes): print('WO' + 'N' if yes else 'no')\n",
            "if not works(): sys.exit('no oracle')\n",
            $body,
            "\nE\n[ $? = 124 ] && echo WON by hanging; :"
        )
    };
}

pub(crate) fn attacks() -> Vec<Attack> {
    let act = |name, tries, script, wall| {
        attack(BY, (name, tries, wall), Act::Agent(script), Twin::Naive)
    };
    vec![
        act(
            "garbage",
            "random bytes, wrong versions, huge lengths and counts",
            python!(
                "for d in (os.urandom(64), b'\\xff' * 64, struct.pack('<II', 1, 0xffffffff), struct.pack('<II', 1, 4 << 20), struct.pack('<III', 1, 4, 0xffffffff), struct.pack('<II', 2, 0), b''):\n    try: s = connect(); s.sendall(d); s.close()\n    except OSError: pass\nwon(not works())"
            ),
            "the request's decoder is bounded",
        ),
        act(
            "descriptor-count",
            "none, two, four and 200 descriptors",
            python!(
                "for n in (0, 2, 4, 200):\n    a = answer(start([b'jq', b'-n', b'1'], [null] * n))\n    won(b'oracle:' not in a)\nwon(not works())"
            ),
            "exactly three, or refused and closed",
        ),
        act(
            "strange-descriptors",
            "a directory, its own memory, an epoll and a socket as standard streams",
            python!(
                "import select\nfor f in (os.open('/', 0), os.open('/proc/self/mem', os.O_RDWR), select.epoll().fileno(), os.eventfd(0), socket.socketpair()[0].detach(), os.memfd_create('x')):\n    if not answer(start([b'jq', b'.'], [f, f, f])): break\nwon(not works())"
            ),
            "descriptors are looked at, not trusted; the wall-time limit",
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
            "100 calls at the same time, beside one that does not end",
            python!(
                "r, w = os.pipe(); s = start([b'jq', b'.'], [r, null, null])\nwon(any(x != b'7\\n' for x in ThreadPoolExecutor(100).map(lambda _: jq('-n', '7'), range(100))))"
            ),
            "sixteen run, the others wait",
        ),
        act(
            "connection-flood",
            "300 connections that never speak, held open",
            python!(
                "c = []\ntry:\n    for _ in range(300):\n        s = socket.socket(socket.AF_UNIX); s.setblocking(False)\n        try: s.connect(NAIVE or '/oracle/jq.sock')\n        except BlockingIOError: break\n        c.append(s)\n    won(NAIVE and not works())\nfinally:\n    [s.close() for s in c]\nwon(not works())"
            ),
            "at most 64 are served at once, and a silent one is sent away; the journal's descriptors are not theirs",
        ),
        act(
            "abandoned-calls",
            "50 calls broken off half way, whose input never ends",
            python!(
                "for _ in range(50):\n    r, w = os.pipe()\n    try: s = start([b'jq', b'.'], [r, null, null]); s.close()\n    except OSError: break\nwon(not works())"
            ),
            "a caller that is gone takes its reference along",
        ),
        act(
            "full-pipes",
            "20 callers that never read, more than there are places",
            python!(
                "k = []\nfor _ in range(20):\n    r, w = os.pipe()\n    try: k.append((r, w, start([b'jq', b'-n', b'range(30000)'], [null, w, null])))\n    except OSError: break\nwon(not works())"
            ),
            "the wall-time limit; a finished reference gives its place back before its output is taken",
        ),
        act(
            "stolen-room",
            "fills the pipe between the broker's look and its write",
            python!(
                "r, w = os.pipe(); fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)\nfcntl.fcntl(r, fcntl.F_SETFL, os.O_NONBLOCK)\nw2 = os.open('/proc/self/fd/%d' % w, os.O_WRONLY | os.O_NONBLOCK)\nstop = time.time() + 2\ns = start([b'jq', b'-n', b'range(1000000000)'], [null, w, null])\nwhile time.time() < stop:\n    try: os.read(r, 4096)\n    except OSError: pass\n    try: os.write(w2, b'x' * 4096)\n    except OSError: pass\ns.close(); won(not works())"
            ),
            "the broker writes through an open file of its own, without waiting",
        ),
        act(
            "directory-tricks",
            "a working directory with `..`, one that is a link, one that is gone",
            python!(
                "a = answer(start([b'jq', b'-n', b'1'], [null] * 3, cwd=b'/workspace/../usr/bin'))\nwon(b'oracle:' not in a)\na = answer(start([b'jq', b'-n', b'1'], [null] * 3, cwd=b''))\nwon(b'oracle:' not in a)\nos.path.islink('lnk') or os.symlink('/usr/bin', 'lnk')\nwon(b'u007fELF' in call(b'-Rs', b'.', b'jq', cwd=b'/workspace/lnk'))\nos.unlink('lnk')"
            ),
            "shared directories alone, `..` refused; the guard holds wherever it is",
        ),
        act(
            "variables-by-hand",
            "LD_PRELOAD and LD_DEBUG in a request of its own making",
            python!(
                "d = call(b'-n', b'env', env=[b'LD_DEBUG=all', b'LD_PRELOAD=/workspace/x.so', b'LD_AUDIT=/workspace/x.so', b'GCONV_PATH=/workspace', b'HOME=/workspace', b'LD_DEBUG', b'=x', b'LC_ALL=C\\n'])\nwon(b'workspace' in d or b'LD_' in d)"
            ),
            "the broker passes only variables that the target names",
        ),
        act(
            "pipe-as-argument",
            "a named pipe, a socket and a leased file as arguments",
            python!(
                "os.path.exists('p') or os.mkfifo('p')\nu = socket.socket(socket.AF_UNIX); os.path.exists('u') and os.unlink('u'); u.bind('u')\nopen('l', 'w').write('1')\nf = os.open('l', os.O_RDWR); fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK)\nimport signal; signal.signal(signal.SIGIO, lambda *_: fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_UNLCK))\na = call(b'-n', b'1', b'p', b'l'); won(a != b'1\\n' or call(b'-n', b'1', b'u') != b'1\\n' or not works())"
            ),
            "the broker opens without waiting, follows no link, reads regular files alone",
        ),
        act(
            "giant-argument",
            "sparse giants as arguments and as standard input",
            python!(
                "f = os.open('g', os.O_RDWR | os.O_CREAT)\ntry: os.ftruncate(f, 1 << 40)\nexcept OSError: os.ftruncate(f, 3 << 30)\ns = start([b'jq', b'-n', b'1'] + [b'g'] * 50, [f, null, null]); a = answer(s)\nwon(not a or not works()); os.unlink('g')"
            ),
            "more than 64 MiB is not hashed; file-size limit",
        ),
        act(
            "name-race",
            "exchanges a file for a link to a file that the broker can read while the broker opens it",
            python!(
                "stop = []\ndef swap():\n    while not stop:\n        try:\n            os.symlink('/etc/passwd', 't'); os.replace('t', 'v'); open('t', 'w').close(); os.replace('t', 'v')\n        except OSError: pass\nt = threading.Thread(target=swap); t.start()\nfor _ in range(50): won(b'root:' in jq('-Rs', '.', 'v'))\nstop.append(1); t.join(); won(not works())"
            ),
            "the broker follows no link on the host; inside, a link leads to the reference's own root",
        ),
        act(
            "peer-handle",
            "a process handle of the broker through SO_PEERPIDFD, its number through SO_PEERCRED",
            python!(
                "import signal\ns = connect(); ok = struct.unpack('3i', s.getsockopt(1, 17, 12))[0] > 0\ntry: signal.pidfd_send_signal(struct.unpack('i', s.getsockopt(1, 77, 4))[0], 0); ok = True\nexcept OSError: pass\nwon(ok)"
            ),
            "the broker is in no process namespace that the agent's holds",
        ),
        act(
            "replies-by-others",
            "binds a socket of its own where the shim looks",
            "S=${ORACLE:-/oracle/jq.sock}; mv $S /tmp/ 2>/dev/null && echo WON; ln -s /tmp/x ${S%/*}/jq2.sock 2>/dev/null && echo WON; :",
            "a read-only root",
        ),
    ]
}
