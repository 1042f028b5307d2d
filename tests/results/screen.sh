#!/bin/sh
# A screen of this program's own source, as if it were that of targets, by a model that has some of it by heart:
# DIR/screen.json for the model example/medium-3, and the rows that it was made of in DIR/screen and DIR/baseline.
# usage: tests/results/screen.sh MIRRORCODE DIR
set -eu
program=${1:?usage: tests/results/screen.sh MIRRORCODE DIR}
dir=${2:?usage: tests/results/screen.sh MIRRORCODE DIR}
screen() {
  out=$1
  shift
  "$program" screen --functions 25 "$@" --model scripted:none --list --json > "$dir/list.json"
  python3 tests/results/answers.py "$dir/list.json" "$dir/script.json" gron cal
  "$program" screen --functions 25 "$@" --model "scripted:$dir/script.json" --out "$out" > /dev/null
}
set --
for name in mcp model oracle run sandbox score; do set -- "$@" --source "b-$name=crates/$name/src"; done
screen "$dir/baseline" "$@"
screen "$dir/screen" --source gron=crates/image/src --source cal=crates/agent/src --source bc=crates/target/src \
  --source sed=crates/report/src --source lzip=crates/campaign/src --baseline "$dir/baseline/rows.jsonl"
sed 's/"model": "scripted"/"model": "example\/medium-3"/' "$dir/screen/screen.json" > "$dir/screen.json"
