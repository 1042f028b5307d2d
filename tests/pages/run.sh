#!/bin/sh
# Makes runs without a model or a sandbox, writes their pages, and looks at them in Chromium.
# usage: tests/pages/run.sh OUT
set -eu
cd "$(dirname "$0")/../.."
out=${1:?usage: tests/pages/run.sh OUT}
here=$PWD
modules=${XDG_CACHE_HOME:-$HOME/.cache}/mirrorcode-pages

for program in node npm; do
  command -v $program >/dev/null || { echo "$program is missing: install Node.js 18 or newer with npm (Debian: nodejs, npm)" >&2; exit 3; }
done

mkdir -p "$out" "$modules"
out=$(cd "$out" && pwd)
cp tests/pages/package.json tests/pages/package-lock.json "$modules"
[ -d "$modules/node_modules/axe-core" ] || (cd "$modules" && npm ci --no-audit --no-fund --ignore-scripts)

${CARGO:-cargo} build --release --quiet -p report --example journals
make=$here/target/release/examples/journals
runs=$(mktemp -d)
held=
trap 'kill $held 2>/dev/null || true; rm -rf "$runs"' EXIT
"$make" "$runs/short" turns 120
"$make" "$runs/long" turns 5000
"$make" "$runs/hostile" hostile
for run in short long hostile; do
  "$make" "$runs/$run" page "$out/$run.html"
done

# A site of a thousand runs, timed: it has to be there in five seconds. What the machine does otherwise counts too, so the
# best of three is taken.
${CARGO:-cargo} build --release --quiet -p report --example campaign_runs
${CARGO:-cargo} build --release --quiet --bin mirrorcode
"$here/target/release/examples/campaign_runs" "$runs/campaign"
program=$here/target/release/mirrorcode
mkdir "$runs/screened"
sh tests/results/screen.sh "$program" "$runs/screened"
best=
for round in 1 2 3; do
  begun=$(date +%s%N)
  "$program" report "$runs/campaign" -o "$out/site" --screen "$runs/screened/screen.json" --force >/dev/null
  took=$(( ($(date +%s%N) - begun) / 1000000 ))
  [ -n "$best" ] && [ "$best" -le "$took" ] || best=$took
done
echo "a site of $(ls "$runs/campaign" | wc -l) runs in $best ms"
[ "$best" -lt 5000 ] || { echo "a site of a thousand runs takes more than five seconds" >&2; exit 1; }

# What only a server has: runs under way, held as their writer holds them; and the API.
mkdir "$runs/open"
for turns in 40 2000; do
  run=$runs/open/$turns
  "$make" "$run" turns $turns
  sed -i '$d' "$run/journal.jsonl"
  flock -F "$run/journal.jsonl" sleep 600 &
  held="$held $!"
done
"$program" serve "$runs/open" --data "$runs/data" --listen 127.0.0.1:0 > "$runs/url" &
held="$held $!"
tries=0
until url=$(head -n 1 "$runs/url") && [ -n "$url" ] && curl -sf "${url}live.html" > "$out/site/live.html" && [ "$(grep -o '<th scope="row"' "$out/site/live.html" | wc -l)" = 2 ]; do
  tries=$((tries + 1))
  [ $tries -lt 300 ] || { echo "the server does not show the runs that are under way" >&2; exit 1; }
  sleep 0.1
done
curl -sf "${url}api.html" > "$out/site/api.html"
mkdir -p "$out/site/api/v1"
curl -sf "${url}api/v1/openapi.json" > "$out/site/api/v1/openapi.json"
kill $held
held=

cd "$modules"
node "$here/tests/pages/site.mjs" "$out/site-screenshots" "$out/site"
node "$here/tests/pages/check.mjs" "$out/screenshots" "$out/short.html" "$out/hostile.html" "$out/long.html"
