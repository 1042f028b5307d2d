#!/bin/sh
# Builds and checks every target from an empty cache, and scores each reference against its own expected output.
# usage: tests/targets.sh path/to/mirrorcode [TARGET...]
set -eu
mirrorcode=$1
shift
[ $# -gt 0 ] || set -- $(ls targets)
MIRRORCODE_CACHE=$(mktemp -d)
export MIRRORCODE_CACHE
out=$(mktemp -d)
trap 'rm -rf "$MIRRORCODE_CACHE" "$out"' EXIT

say() { printf '%-12s %6s %8s %7s %8s %8s  %s\n' "$@"; }
megabytes() { wc -c | awk '{ printf "%.2f", $1 / 1e6 }'; }

# Runs a step; what it wrote is shown if it fails.
step() {
  "$@" >"$out/step" 2>&1 || { status=$?; tail -n 20 "$out/step" >&2; echo "failed: $*" >&2; return $status; }
}

begin=$(date +%s)
failed=0
cases=0
say target cases hidden 'share %' seconds MB result
for target in "$@"; do
  start=$(date +%s)
  result=holds
  step "$mirrorcode" target build "$target" --no-draw &&
    step "$mirrorcode" target check "$target" &&
    step "$mirrorcode" score "$target" --prebuilt reference --out "$out/$target" || { result=fails; failed=$((failed + 1)); }
  visible=$(wc -l <"targets/$target/tests/visible.jsonl")
  hidden=$(wc -l <"targets/$target/tests/hidden.jsonl")
  cases=$((cases + visible + hidden))
  say "$target" $((visible + hidden)) "$hidden" "$(echo "$visible $hidden" | awk '{ printf "%.1f", 100 * $2 / ($1 + $2) }')" \
    $(($(date +%s) - start)) "$(cat targets/"$target"/tests/*.jsonl | megabytes)" $result
done
say all "$cases" '' '' $(($(date +%s) - begin)) "$(for target in "$@"; do cat targets/"$target"/tests/*.jsonl; done | megabytes)" ''
[ $failed = 0 ] || { echo "$failed of $# targets fail" >&2; exit 1; }
echo "$# targets hold, $(awk "BEGIN { printf \"%.1f\", ($(date +%s) - $begin) / 60 }") min from an empty cache"
