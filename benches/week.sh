#!/bin/sh
# 10,000 runs of a week: what one step costs is measured here and now, what they come to is played on a scripted clock.
# Usage: week.sh SCALE-EXAMPLE WEEK-EXAMPLE TURNS-EXAMPLE [DIRECTORY], on the file system of the directory.
set -eu
scale=$1 week=$2 turns=$3
place=$(mktemp -d -p "${4:-${TMPDIR:-/tmp}}")
trap 'rm -rf "$place"' EXIT
"$scale" "$place" | tee "$place/measured"
number() { sed -n "s/.*$1: *\([0-9.]*\).*/\1/p" "$place/measured"; }
account=$(sed -n 's/^an account, .*: \([0-9]*\) requests a second/\1/p' "$place/measured" | sort -n | head -1)
look=$(awk "BEGIN { print $(number 'a look at 10,000 that are under way') / 1000 / 10000 }")
leases=$(number 'leases')
# A run of a thousand turns, with 1 kB of text each way and nothing else, and what one has before its first turn.
size() { du -sb --apparent-size "$1" | cut -f1; }
files() { find "$1" -type f | wc -l; }
journal() { find "$1" -name journal.jsonl -printf '%s\n'; }
for count in 1 1001; do "$turns" "$count" trim "$place/run-$count" >/dev/null; done
per() { awk "BEGIN { print ($1 - $2) / 1000 + 0.0001 }"; }
one=$place/run-1 many=$place/run-1001
all=$(per "$(size "$many")" "$(size "$one")")
journal=$(per "$(journal "$many")" "$(journal "$one")")
files=$(per "$(files "$many")" "$(files "$one")")
echo "a turn leaves: $journal bytes of journal, $all in all, $files files"
"$week" account="$account" look="$look" leases="$leases" journal="$journal" \
  rest="$(awk "BEGIN { r = $all - $journal; print (r > 0.0001) ? r : 0.0001 }")" files="$files" \
  start="$(size "$one")" start-files="$(files "$one")"
