//! Reading the reference's bytes with the agent's own tools, around a call that is under way.

use crate::table::{Act, Attack, Twin, attack};

const BY: &str = "the agent, for the reference's bytes";
const AWAY: &str = "the reference is in no mount or process namespace of the agent's; a stand-in of a few kilobytes is";

/// `running()` starts the program and waits for its first answer, so that it is there and has loaded all it loads.
/// It is a child of the script: nobody may refuse the script to trace it but the sandbox. The needle is the name
/// of a library that the reference needs, which its file and its memory hold and the stand-in's do not.
macro_rules! python {
    ($body:expr) => {
        concat!(
            "cd /workspace; python3 - <<'E'\nimport ctypes, glob, mmap, os, shutil, struct, subprocess as sp, sys, threading\n",
            "libc = ctypes.CDLL(None, use_errno=True)\nlibc.ptrace.restype = ctypes.c_long\nlibc.ptrace.argtypes = [ctypes.c_long] * 2 + [ctypes.c_void_p] * 2\n",
            "needle = b'lib' + b'jq.so'\n",
            "def running():\n    p = sp.Popen(['jq', '--unbuffered', '.'], stdin=sp.PIPE, stdout=sp.PIPE)\n    p.stdin.write(b'1\\n'); p.stdin.flush(); p.stdout.readline(); return p\n",
            "def regions(p):\n    for line in open('/proc/%d/maps' % p.pid):\n        a, b = (int(x, 16) for x in line.split()[0].split('-'))\n        if 'vvar' not in line and 'vsyscall' not in line and b - a < 1 << 24: yield a, b\n",
            "def read(path):\n    try: return open(path, 'rb').read(1 << 24)\n    except OSError: return b''\n",
            "def found(data): print('WO' + 'N' if needle in data else 'no')\n",
            $body,
            "\nE\n:"
        )
    };
}

pub(crate) fn attacks() -> Vec<Attack> {
    let act =
        |name, tries, script| attack(BY, (name, tries, AWAY), Act::Agent(script), Twin::Inside);
    vec![
        act(
            "copy-program",
            "cat, dd, cp, head and a link, of every `jq` on the path",
            "cd /workspace; for f in $(type -ap jq) /usr/bin/jq; do cat $f; dd if=$f; cp -f $f copy && cat copy; ln -sfn $f link; cat link; head -c 99999 $f; done 2>/dev/null | grep -aq 'libj[q].so' && echo WON; rm -f copy link; :",
        ),
        act(
            "start-by-loader",
            "the loader, asked to list and to start every `jq` on the path",
            "for f in $(type -ap jq) /usr/bin/jq; do /lib64/ld-linux-x86-64.so.2 --list $f; LD_TRACE_LOADED_OBJECTS=1 LD_DEBUG=libs $f -n 1; done 2>&1 </dev/null | grep -aq 'libj[q]\\.so' && echo WON; :",
        ),
        act(
            "map-file",
            "mmap of every `jq` on the path, to be read and to be executed",
            python!(
                "for d in os.environ['PATH'].split(':'):\n    try: f = open(d + '/jq', 'rb')\n    except OSError: continue\n    found(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[:]); found(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE)[:])"
            ),
        ),
        act(
            "process-files",
            "`/proc/*/exe`, `root`, `cwd`, `fd` and `map_files` while a call is under way",
            python!(
                "p = running(); d = '/proc/%d/' % p.pid\nfor f in [d + 'exe', d + 'root/usr/bin/jq', d + 'cwd/jq'] + glob.glob(d + 'map_files/*') + [d + 'fd/%d' % n for n in range(3, 20)]:\n    if os.path.isfile(f): found(read(f))\np.stdin.close(); p.wait()"
            ),
        ),
        act(
            "process-maps",
            "`/proc/*/maps`, `smaps`, `auxv` and `stack` of every process",
            python!(
                "p = running()\nfor d in glob.glob('/proc/[0-9]*'):\n    if d != '/proc/%d' % os.getpid(): found(b''.join(read(d + '/' + f) for f in ('maps', 'smaps', 'auxv', 'stack')))\np.stdin.close(); p.wait()"
            ),
        ),
        act(
            "process-memory",
            "`/proc/*/mem` while a call is under way",
            python!(
                "p = running(); m = open('/proc/%d/mem' % p.pid, 'rb', 0)\nfor a, b in regions(p):\n    try: found(os.pread(m.fileno(), b - a, a))\n    except OSError: pass\np.stdin.close(); p.wait()"
            ),
        ),
        act(
            "process-vm-readv",
            "process_vm_readv while a call is under way",
            python!(
                "p = running()\nfor a, b in regions(p):\n    t = ctypes.create_string_buffer(b - a)\n    n = libc.syscall(ctypes.c_long(310), ctypes.c_long(p.pid), struct.pack('QQ', ctypes.addressof(t), b - a), ctypes.c_long(1), struct.pack('QQ', a, b - a), ctypes.c_long(1), ctypes.c_long(0))\n    found(t.raw[:max(n, 0)])\np.stdin.close(); p.wait()"
            ),
        ),
        act(
            "trace",
            "ptrace while a call is under way, word by word, as a debugger does",
            python!(
                "p = running(); seen = b''\nif libc.ptrace(16, p.pid, None, None) == 0:\n    os.waitpid(p.pid, 0)\n    for a, b in regions(p):\n        for at in range(a, min(b, a + 65536), 8):\n            w = libc.ptrace(2, p.pid, at, None)\n            seen += struct.pack('q', w)\n        if needle in seen: break\n    libc.ptrace(17, p.pid, None, None)\nfound(seen); p.stdin.close(); p.wait()"
            ),
        ),
        act(
            "dump-by-itself",
            "LD_PRELOAD and LD_AUDIT of a library, and `LD_DEBUG`, on a call from the agent's sandbox",
            python!(
                "import _ctypes\nlib = _ctypes.__file__\nfor n in ('LD_PRELOAD', 'LD_AUDIT'):\n    found(sp.run(['jq', '-n', '1'], env=dict(os.environ, LD_DEBUG='files', **{n: lib}), capture_output=True).stderr)"
            ),
        ),
        act(
            "start-race",
            "reads whatever runs at the moment when the broker starts the reference, 40 times",
            python!(
                "stop = []; seen = []\ndef look():\n    while not stop:\n        for d in os.listdir('/proc'):\n            if d.isdigit() and int(d) != os.getpid():\n                for f in ('maps', 'exe', 'fd/3', 'fd/4', 'fd/5'):\n                    if f == 'maps' or os.path.isfile('/proc/%s/%s' % (d, f)): seen.append(needle in read('/proc/%s/%s' % (d, f)))\nt = threading.Thread(target=look); t.start()\nfor _ in range(40): sp.run(['jq', '-n', '[range(20000)] | length'], stdout=sp.DEVNULL)\nstop.append(1); t.join(); found(needle if any(seen) else b'')"
            ),
        ),
    ]
}
