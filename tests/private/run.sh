#!/bin/sh
# The three sealed sample targets, from an empty cache: what those meet who have no identity for them, that they are targets
# like any other for who has one, and that nothing of them is on the disk afterwards that docs/src/sealed.md does not name,
# also when the program was killed.
# usage: tests/private/run.sh path/to/mirrorcode
# MIRRORCODE_CACHE names a cache that is there already.
set -eu
mirrorcode=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp -d)
# Names and lines of the plain forms are known to this test alone: in memory.
known=$(mktemp -d -p /dev/shm)
trap 'rm -rf "$out" "$known"' EXIT
trap 'exit 130' INT TERM
unset MIRRORCODE_IDENTITY
export MIRRORCODE_CACHE="${MIRRORCODE_CACHE:-$out/cache}" MIRRORCODE_RUNS="$out/runs" MIRRORCODE_TARGETS="$here" \
  MIRRORCODE_LANGUAGES="$here/../../languages"
identity=$here/key.txt
cd "$out"
mkdir runs scores
touch "$known/begin"

fail() { echo "$*" >&2; exit 1; }
now() { date +%s.%N; }
since() { echo "$(now) $1" | awk '{ printf "%.1f", $1 - $2 }'; }

# Runs the program; shows what it wrote if its status is another one than the first argument.
expect() {
  wanted=$1
  shift
  status=0
  "$mirrorcode" "$@" >"$out/stdout" 2>"$out/stderr" || status=$?
  [ "$status" = "$wanted" ] || { tail -n 20 "$out/stdout" "$out/stderr" >&2; fail "status $status, not $wanted: $*"; }
}

echo "== Without an identity, and with a stranger's"
expect 0 target list
grep -q '^0 targets' stdout || fail "sealed targets are listed without an identity"
sed -n 's/^/   target list: /; $p' stdout
for stranger in "" "$here/stranger.txt"; do
  for command in 'target show' 'target build' 'target check' 'target fairness' 'target strength'; do
    # shellcheck disable=SC2086
    expect 2 $command private_jo ${stranger:+--identity "$stranger"}
    grep -q '3 sealed targets are there that no identity opens' stderr || fail "$command does not say that something is sealed: $(cat stderr)"
  done
  expect 2 run private_jo/python --model scripted:/dev/null ${stranger:+--identity "$stranger"}
  grep -q '3 sealed targets are there that no identity opens' stderr || fail "run does not say that something is sealed: $(cat stderr)"
  expect 2 shell private_jo/python -c true ${stranger:+--identity "$stranger"}
  expect 2 score private_jo --prebuilt reference ${stranger:+--identity "$stranger"}
  echo "   status 2: $(cat stderr)"
done
expect 2 target open "$here/s.age"
echo "   status 2: $(cat stderr)"
expect 2 target open "$here/s.age" --identity "$here/stranger.txt"
echo "   status 2: $(cat stderr)"

echo "== With it"
for sealed in s m l; do
  expect 0 target open "$here/$sealed.age" --identity "$identity" --output "$known/plain"
done
targets=$(ls "$known/plain")
for target in $targets; do
  python3 "$here/search.py" patterns "$known/plain/$target" "$known/$target"
done
rm -r "$known/plain"

export MIRRORCODE_IDENTITY="$identity"
expect 0 target list
cat stdout
say() { printf '%-16s %8s %8s %8s %8s  %s\n' "$@"; }
say target 'build s' 'check s' 'score s' 'run s' verdict
cat >script.json <<'END'
{ "turns": [
  { "text": "look", "calls": [{ "name": "bash", "input": { "command": "cat /task/README.md | head -n 5; ls /task/docs /task/cases; echo 'import sys' > main.py; evaluate | tail -n 1" } }],
    "usage": { "input": 1000, "cache_read": 0, "cache_write": 0, "output": 20, "reasoning": 0 } },
  { "text": "done", "calls": [{ "name": "submit", "input": {} }],
    "usage": { "input": 1000, "cache_read": 0, "cache_write": 0, "output": 20, "reasoning": 0 } }
] }
END
for target in $targets; do
  begin=$(now)
  expect 0 target build "$target" --no-draw
  built=$(since "$begin") begin=$(now)
  expect 0 target check "$target"
  checked=$(since "$begin") begin=$(now)
  expect 0 score "$target" --prebuilt reference --out "scores/$target"
  scored=$(since "$begin") begin=$(now)
  verdict=$(tail -n 3 stdout | tr '\n' ' ')
  # The program that was handed in does nothing: the answer is no.
  expect 1 run "$target/python" --model scripted:script.json
  say "$target" "$built" "$checked" "$scored" "$(since "$begin")" "$verdict"
done
expect 0 runs
[ "$(ls runs | wc -l)" = 3 ] || fail "there are other runs than three: $(ls runs)"

for command in build strength; do
  expect 2 target $command private_jo
  echo "   status 2: $(cat stderr)"
done
begin=$(now)
expect 0 target strength private_jo --sample 20 --json
grep -q '"target": "private_jo"' stdout || fail "strength prints no record"
echo "   target strength private_jo --sample 20 --json: $(since "$begin") s"
for target in $targets; do expect 0 target fairness "$target"; done
expect 0 report --out site
for target in $targets; do
  [ -s "site/targets/$target.html" ] || fail "the site has no page of $target"
  grep -q "site shows $target, which is sealed" stderr || fail "nobody is told that the site shows $target"
done
expect 0 report "$here/../../demo/gron-python" --out other-site
! grep -rlq private_ other-site || fail "a site without runs of sealed targets names them"

echo "== Killed in the middle"
# Waits for something to be true, for five minutes and more.
wait_for() {
  tries=0
  until eval "$1"; do
    tries=$((tries + 1))
    [ $tries -lt 15000 ] || fail "never: $1"
    sleep 0.02
  done
}
# Where a process has its plain forms, as the lock says that it holds there.
opened() {
  for file in "/proc/$1/fd"/*; do readlink "$file" || true; done | sed -n 's|^\(.*/mirrorcode-open-[^/]*\)/lock$|\1/files|p'
}
there() { [ -d "$1" ] && echo "left in memory" || echo gone; }
for target in $targets; do
  # One case at a time, and again if it was over before it was looked at.
  attempt=0
  while :; do
    rm -rf "scores/killed-$target"
    "$mirrorcode" score "$target" --prebuilt reference --again --jobs 1 --out "scores/killed-$target" >/dev/null 2>&1 &
    process=$!
    wait_for '[ "$(cat "scores/killed-$target/results.jsonl" 2>/dev/null | wc -l)" -ge 25 ]'
    plain=$(opened $process)
    kill -KILL $process 2>/dev/null || true
    wait $process 2>/dev/null || true
    [ -e "scores/killed-$target/verdict.json" ] || break
    attempt=$((attempt + 1))
    [ $attempt -lt 20 ] || fail "every score of $target was over before it was killed"
  done
  left=$(there "$plain")
  expect 0 target list
  [ -n "$plain" ] && [ ! -d "$plain" ] || fail "the next command did not remove what was left in memory: $plain"
  echo "   $target: killed after $(wc -l <"scores/killed-$target/results.jsonl") results; its plain form was $left, and is $(there "$plain") after the next command"
done
sed 's/evaluate | tail -n 1/evaluate; touch evaluated; sleep 600/' script.json >slow.json
"$mirrorcode" run private_miller/python --model scripted:slow.json >/dev/null 2>&1 &
process=$!
wait_for '[ "$(ls runs | wc -l)" = 4 ]'
# In the middle of an evaluation, which has its results somewhere.
sleep 8
plain=$(opened $process)
ls -A "$plain" >"$known/beside"
kill -KILL $process
wait $process 2>/dev/null || true
echo "   a run, killed while it evaluated: beside the plain forms were $(grep -c '^[.]mirrorcode-results' "$known/beside" || true) directories of results"
expect 0 target list
[ -n "$plain" ] && [ ! -d "$plain" ] || fail "the next command did not remove what was left in memory: $plain"

echo "== What is on the disk"
# The path of a target's reference.
program() {
  "$mirrorcode" target show "$1" | sed -n 's/^reference *\([^ ]*\) from .*/\1/p'
}
bad=0
for target in $targets; do
  name=$(basename "$(program "$target")")
  {
    find "$MIRRORCODE_CACHE/docs/$target" -type f -print0
    find "$MIRRORCODE_CACHE/images" -type f \( -path "*/usr/bin/$name" -o -name "$name.1.gz" \) -print0
  } |
    xargs -0 python3 "$here/search.py" exempt "$known/$target" >"$known/counts"
  python3 "$here/search.py" look "$known/$target" "$known/begin" "$out" "$MIRRORCODE_CACHE" /tmp /var/tmp >"$known/found" 2>"$known/looked"
  # A directory below another one is looked at twice.
  sort -u "$known/found" | grep -v "	$known/" >"$known/all" || true
  # What the documentation names: runs hold what their agent got, and the site shows them.
  grep -v "^visible	[0-9]*	$out/\(runs\|site\)/" "$known/all" >"$known/undocumented" || true
  echo "   $target: $(cat "$known/counts") $(cat "$known/looked"): $(grep -c "^visible	[0-9]*	$out/\(runs\|site\)/" "$known/all") files of runs and of their site with visible cases, $(wc -l <"$known/undocumented") others"
  [ ! -s "$known/undocumented" ] || { cat "$known/undocumented" >&2; bad=1; }
done
[ $bad = 0 ] || fail "a plain form is where it must not be"
echo "three sealed targets behave as any other, and are nowhere but where the documentation says"
