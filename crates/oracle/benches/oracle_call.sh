#!/bin/sh
# Cost of an oracle call: the shim in the agent's sandbox against the same program spawned bare, 500 calls each.
# Usage: oracle_call.sh MIRRORCODE ROOT, ROOT being an unpacked jq package (the image without guard, in the cache).
set -eu
loop='
import os, sys, time
argv = sys.argv[1:]
null = os.open("/dev/null", os.O_RDWR)
actions = [(os.POSIX_SPAWN_DUP2, null, n) for n in (0, 1, 2)]
def call():
    pid = os.posix_spawn(argv[0], argv, {"LC_ALL": "C.UTF-8"}, file_actions=actions)
    os.waitpid(pid, 0)
for _ in range(20): call()
best = []
for _ in range(3):
    start = time.perf_counter()
    for _ in range(500): call()
    best.append((time.perf_counter() - start) * 2)
print("ms:", " ".join(f"{b:.3f}" for b in best))
'
root=$2
lib=$root/usr/lib/x86_64-linux-gnu
echo "bare";  python3 -c "$loop" "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$root/usr/bin/jq" -n 1
echo "shim";  "$1" shell jq_simple/python -c "cat >/tmp/loop.py <<'P'
$loop
P
python3 /tmp/loop.py /oracle/bin/jq -n 1" 2>/dev/null
