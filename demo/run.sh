#!/bin/sh
# The whole line on a real program: a recorded rebuild of gron in Python is done again, then scored.
# usage: demo/run.sh path/to/mirrorcode
set -u
cd "$(dirname "$0")/.." || exit 2
mirrorcode=$1
out=$(mktemp -d) || exit 3
trap 'rm -rf "$out"' EXIT

say() { printf '\n== %s\n\n' "$*"; }

say "This machine"
"$mirrorcode" doctor || exit

say "The target: reference fetched and checked, documentation extracted"
"$mirrorcode" target build gron --no-draw || exit

say "A recorded rebuild of gron in Python, done again command by command (it says where it differs)"
"$mirrorcode" replay demo/gron-python --workspace "$out/workspace"
replayed=$?
[ $replayed -le 1 ] || exit $replayed

say "Its verdict: every visible and every hidden case"
"$mirrorcode" score gron/python demo/gron-python --out "$out/verdict" --again
scored=$?

say "The reference against its own expected output"
"$mirrorcode" score gron --prebuilt reference --out "$out/reference" --again | tail -n 3
exit $scored
