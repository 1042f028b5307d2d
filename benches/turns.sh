#!/bin/sh
# What a turn of an agent costs besides the model and the tool, at 250 to 8,000 turns, held against its targets; and what the
# same conversation costs in Inspect. Needs python3 with venv; installs Inspect into a directory of its own, once.
# Usage: turns.sh MIRRORCODE TURNS-EXAMPLE
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=${XDG_CACHE_HOME:-$HOME/.cache}/mirrorcode-bench
INSPECT=0.3.285
if ! [ -e "$work/inspect-$INSPECT/done" ]; then
    echo "installing inspect-ai $INSPECT"
    python3 -m venv --clear "$work/inspect-$INSPECT"
    "$work/inspect-$INSPECT/bin/pip" install --quiet --disable-pip-version-check "inspect-ai==$INSPECT"
    : >"$work/inspect-$INSPECT/done"
fi
exec python3 "$here/turns.py" "$2" "$1" "$work/inspect-$INSPECT/bin/python"
