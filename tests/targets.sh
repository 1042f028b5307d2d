#!/bin/sh
# Builds and checks every target from an empty cache, and scores each reference against its own expected output.
# usage: tests/targets.sh path/to/mirrorcode
set -eu
mirrorcode=$1
MIRRORCODE_CACHE=$(mktemp -d)
export MIRRORCODE_CACHE
out=$(mktemp -d)
trap 'rm -rf "$MIRRORCODE_CACHE" "$out"' EXIT
start=$(date +%s)
count=0
for directory in targets/*/; do
  target=$(basename "$directory")
  "$mirrorcode" target build "$target" --no-draw 2>/dev/null
  "$mirrorcode" target check "$target" 2>/dev/null
  "$mirrorcode" score "$target" --prebuilt reference --out "$out/$target" 2>/dev/null | tail -n 2 | head -n 1
  count=$((count + 1))
done
echo "$count targets hold, $(($(date +%s) - start)) s"
