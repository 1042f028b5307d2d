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

cd "$modules"
node "$here/tests/pages/check.mjs" "$out/screenshots" "$out/short.html" "$out/hostile.html" "$out/long.html"
