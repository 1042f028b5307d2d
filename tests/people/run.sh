#!/bin/sh
# Somebody at a real terminal, and the recording before asciinema. Needs python3 with venv and pip.
# MIRRORCODE_PEOPLE names the directory of asciinema, to keep it between runs.
# Usage: run.sh MIRRORCODE
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=${MIRRORCODE_PEOPLE:-${XDG_CACHE_HOME:-$HOME/.cache}/mirrorcode-people}
ASCIINEMA=2.4.0
mark=$work/asciinema-$ASCIINEMA
if [ ! -e "$mark" ]; then
    rm -rf "$work"
    mkdir -p "$work"
    python3 -m venv "$work/python"
    "$work/python/bin/pip" install --quiet --disable-pip-version-check "asciinema==$ASCIINEMA" "pyte==0.8.2"
    : > "$mark"
fi
"$work/python/bin/python" "$here/session.py" "$1"
