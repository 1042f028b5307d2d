#!/bin/sh
# Scores the golden submissions: one whole rebuild in each language. Each has to pass every visible and hidden case.
# usage: tests/golden.sh path/to/mirrorcode
set -eu
mirrorcode=$1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
failed=0
count=0

passed() { sed -n "s/.*\"$1\": *{ *\"passed\": *\([0-9]*\), *\"total\": *\([0-9]*\) *}.*/\1\/\2/p"; }

printf '%-20s %-8s %-8s %-8s %s\n' task visible hidden seconds verdict
for directory in tests/golden/*/; do
  name=$(basename "$directory")
  target=${name%-*}
  task=$target/${name##*-}
  # Images are fetched before the clock starts: what is measured is the build and the cases.
  "$mirrorcode" target build "$target" --no-draw >"$out/log" 2>&1 || { cat "$out/log" >&2; exit 3; }
  start=$(date +%s.%N)
  status=0
  "$mirrorcode" score "$task" "$directory" --again --json --out "$out/$name" >"$out/$name.json" 2>"$out/log" || status=$?
  seconds=$(echo "$(date +%s.%N) $start" | awk '{ printf "%.1f", $1 - $2 }')
  case $status in
    0) verdict=solved ;;
    1) verdict='not solved' failed=1 ;;
    *) cat "$out/log" >&2; exit $status ;;
  esac
  joined=$(tr -d '\n' <"$out/$name.json")
  printf '%-20s %-8s %-8s %-8s %s\n' "$task" "$(echo "$joined" | sed 's/"families".*//' | passed visible)" \
    "$(echo "$joined" | sed 's/"families".*//' | passed hidden)" "$seconds" "$verdict"
  count=$((count + 1))
done
[ $failed = 0 ] || { echo "not every golden submission passes" >&2; exit 1; }
echo "$count golden submissions pass every case"
