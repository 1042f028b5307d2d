#!/bin/sh
# Runs to an S3-compatible server (moto) and back, killed at random instants, before a server that fails, and with a damaged
# object. Needs python3 with venv; installs moto once into ~/.cache/mirrorcode-sync.
# Usage: run.sh MIRRORCODE CAMPAIGN_RUNS. RUNS says how many runs (60), KILLS how many kills (40), SIZE how large files are.
set -eu
program=$(realpath "$1")
maker=$(realpath "$2")
cd "$(dirname "$0")"
place=${XDG_CACHE_HOME:-$HOME/.cache}/mirrorcode-sync
wanted=$(cksum < requirements.txt)
if [ "$(cat "$place/wanted" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$place"
  python3 -m venv "$place"
  "$place/bin/pip" install --quiet --disable-pip-version-check --requirement requirements.txt
  echo "$wanted" > "$place/wanted"
fi
exec "$place/bin/python" test.py "$program" "$maker" "$place/bin/moto_server"
