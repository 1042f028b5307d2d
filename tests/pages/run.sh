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
trap 'rm -rf "$runs"' EXIT
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
best=
for round in 1 2 3; do
  begun=$(date +%s%N)
  "$here/target/release/mirrorcode" report "$runs/campaign" -o "$out/site" --force >/dev/null
  took=$(( ($(date +%s%N) - begun) / 1000000 ))
  [ -n "$best" ] && [ "$best" -le "$took" ] || best=$took
done
echo "a site of $(ls "$runs/campaign" | wc -l) runs in $best ms"
[ "$best" -lt 5000 ] || { echo "a site of a thousand runs takes more than five seconds" >&2; exit 1; }

cd "$modules"
node "$here/tests/pages/site.mjs" "$out/site-screenshots" "$out/site"
node "$here/tests/pages/check.mjs" "$out/screenshots" "$out/short.html" "$out/hostile.html" "$out/long.html"
