#!/bin/sh
# Makes a thousand runs without a model or a sandbox, their results in each form, and logs of some; has Python's libraries make every
# figure again and Inspect open the logs.
# usage: tests/results/run.sh
set -eu
cd "$(dirname "$0")/../.."
here=$PWD
place=${XDG_CACHE_HOME:-$HOME/.cache}/mirrorcode-results
wanted=$(cksum < tests/results/requirements.txt)
if [ "$(cat "$place/wanted" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$place"
  python3 -m venv "$place"
  "$place/bin/pip" install --quiet --requirement tests/results/requirements.txt
  echo "$wanted" > "$place/wanted"
fi

${CARGO:-cargo} build --release --quiet --bin mirrorcode
${CARGO:-cargo} build --release --quiet -p report --example campaign_runs --example journals
program=$here/target/release/mirrorcode
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$here/target/release/examples/campaign_runs" "$work/runs"

sh tests/results/screen.sh "$program" "$work"
"$place/bin/python" tests/results/screen.py "$work/screen/rows.jsonl" "$work/baseline/rows.jsonl" "$work/screen/screen.json"

"$program" results "$work/runs" --screen "$work/screen.json" --csv "$work/csv" --parquet "$work/parquet" --json > "$work/results.json"
"$place/bin/python" tests/results/check.py "$work/csv" "$work/parquet" "$work/results.json" "$work/screen.json"

logs=
for run in $(ls "$work/runs" | awk 'NR % 100 == 1'); do
  "$program" export "$work/runs/$run" -o "$work/$run.eval" > /dev/null
  logs="$logs $work/$run.eval"
done
"$place/bin/python" tests/results/inspect_log.py "$work/results.json" $logs
# A run with compactions, long outputs and edits; and one that prints whatever may break a reader.
for kind in "turns 900" hostile; do
  name=${kind%% *}
  "$here/target/release/examples/journals" "$work/$name" $kind
  "$program" results "$work/$name" --json > "$work/$name.json"
  "$program" export "$work/$name" -o "$work/$name.eval" > /dev/null
  "$place/bin/python" tests/results/inspect_log.py "$work/$name.json" "$work/$name.eval"
done
