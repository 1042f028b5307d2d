#!/bin/sh
# What a call of the reference costs an agent: through the shim, from its sandbox, over the same program spawned bare.
# One driver times both: posix_spawn and wait, the median of many.
# Usage: oracle.sh MIRRORCODE
set -eu
mirrorcode=$1
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
cat >"$runs/driver.py" <<'PY'
import os, sys, time
program, count = sys.argv[1], int(sys.argv[2])
null = os.open("/dev/null", os.O_RDWR)
actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)]
def once():
    start = time.perf_counter()
    pid = os.posix_spawnp(program, [program, "--version"], os.environ, file_actions=actions)
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
    return time.perf_counter() - start
times = sorted(once() for _ in range(count))
print(f"{times[count // 2] * 1e6:.0f}")
PY
"$mirrorcode" target build gron --no-draw >/dev/null 2>&1
cache=${MIRRORCODE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mirrorcode}
# The package's own file, readable: the one that the reference's root was made from.
bare=$(find "$cache/images" -path '*/usr/bin/gron' -perm -444 2>/dev/null | head -n 1)
for round in 1 2 3; do
  shim=$("$mirrorcode" --runs "$runs/runs" shell gron/python -c "cat >driver.py <<'PY'
$(cat "$runs/driver.py")
PY
python3 driver.py gron 300" 2>/dev/null | tail -n 1)
  plain=$(python3 "$runs/driver.py" "$bare" 300)
  echo "bare $plain us, through the oracle $shim us, $((shim - plain)) us more"
done
