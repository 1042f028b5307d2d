#!/bin/sh
# A real server: a recorded rebuild is submitted, the server is killed while it scores it, and publishes it after a restart;
# changed bundles are refused; schemathesis looks for answers that it should not give; wrk measures how fast it reads.
# usage: tests/serve/run.sh MIRRORCODE
set -eu
cd "$(dirname "$0")/../.."
program=$(cd "$(dirname "${1:?usage: tests/serve/run.sh MIRRORCODE}")" && pwd)/$(basename "$1")
place=${XDG_CACHE_HOME:-$HOME/.cache}/mirrorcode-serve
wanted=$(cksum < tests/serve/requirements.txt)
if [ "$(cat "$place/wanted" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$place"
  python3 -m venv "$place"
  "$place/bin/pip" install --quiet --requirement tests/serve/requirements.txt
  echo "$wanted" > "$place/wanted"
fi
${CARGO:-cargo} build --release --quiet -p report --example campaign_runs

work=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null || true; rm -rf "$work"' EXIT
data=$work/data
say() { printf '\n== %s\n' "$*"; }
fail() { echo "$*" >&2; cat "$work/log" >&2; exit 1; }

# Sets $server and $url.
serve() {
  "$program" serve "$work/runs" --data "$data" --listen 127.0.0.1:0 --requests 1000000 > "$work/url" 2>> "$work/log" &
  server=$!
  tries=0
  until url=$(head -n 1 "$work/url") && [ -n "$url" ]; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || fail "the server does not begin"
    kill -0 $server 2>/dev/null || fail "the server ended"
    sleep 0.1
  done
  url=${url%/}
}

field() { "$place/bin/python" -c 'import json, sys; print(json.load(sys.stdin).get(sys.argv[1]))' "$1"; }
submit() { curl -s --data-binary "@$1" -H "Authorization: Bearer $token" "$url/api/v1/submissions"; }
state() { curl -s -H "Authorization: Bearer $token" "$url/api/v1/submissions/$1" | field state; }

# Waits until submission $1 is in state $2.
settle() {
  tries=0
  until now=$(state "$1") && [ "$now" = "$2" ]; do
    tries=$((tries + 1))
    case $now in queued | scoring) ;; *) fail "submission $1 is $now, not $2" ;; esac
    [ $tries -lt 3000 ] || fail "submission $1 is still $now"
    sleep 0.2
  done
}

say "a run, scored and put into a bundle"
"$program" target build gron --no-draw > "$work/log" 2>&1 || fail "the target cannot be built"
cp -r demo/gron-python "$work/run"
"$program" score "$work/run" --out "$work/run" --json > /dev/null 2>> "$work/log" || fail "the recorded rebuild does not solve its task"
"$program" bundle --new-key "$work/key" > /dev/null 2>&1
"$program" bundle "$work/run" --out "$work/run.bundle" --key "$work/key"
"$program" bundle --check "$work/run.bundle" --public-key "$work/key.pub"
ls -l "$work/run.bundle" | awk '{ print $5 " bytes" }'
mkdir "$work/minisign"
zstd -dc < "$work/run.bundle" | tar -x -C "$work/minisign"
minisign -V -q -p "$work/key.pub" -m "$work/minisign/manifest.json" -x "$work/minisign/manifest.json.minisig"
echo "minisign finds the signature right"

say "killed while it scores, it scores again and publishes"
"${CARGO_TARGET_DIR:-target}/release/examples/campaign_runs" "$work/runs"
token=$("$program" serve token add lab --role submitter --key "$work/key.pub" --data "$data" 2> /dev/null)
admin=$("$program" serve token add boss --role admin --data "$data" 2> /dev/null)
serve
[ "$(submit "$work/run.bundle" | field status)" = /api/v1/submissions/1 ] || fail "the bundle was not taken"
tries=0
until [ "$(state 1)" = scoring ]; do
  tries=$((tries + 1))
  [ $tries -lt 200 ] || fail "scoring does not begin"
  sleep 0.05
done
sleep 1
kill -9 $server
wait $server 2>/dev/null || true
serve
settle 1 published
curl -s -H "Authorization: Bearer $token" "$url/api/v1/submissions/1" | field verdict
id=$(sed -n 's/^id = "\(.*\)"/\1/p' "$work/run/run.toml")
tries=0
until curl -sf "$url/runs/$id.html" > /dev/null; do
  tries=$((tries + 1))
  [ $tries -lt 100 ] || fail "the run has no page"
  sleep 0.1
done

say "a signed lie is a mismatch, and shown to nobody"
cp -r "$work/run" "$work/lie"
sed -i "s/^id = .*/id = \"$id-b\"/" "$work/lie/run.toml"
"$place/bin/python" tests/serve/lie.py "$work/lie/verdict.json"
"$program" bundle "$work/lie" --out "$work/lie.bundle" --key "$work/key"
submit "$work/lie.bundle" > /dev/null
settle 2 mismatch
curl -s -H "Authorization: Bearer $token" "$url/api/v1/submissions/2" | field differences
curl -s "$url/runs.html" | grep -q "$id-b" && fail "it is shown"

say "an edited bundle is refused"
"$place/bin/python" tests/serve/edit.py "$work/run.bundle" "$work/edited.bundle"
submit "$work/edited.bundle"
echo

say "schemathesis"
"$place/bin/schemathesis" run "$url/api/v1/openapi.json" --header "Authorization: Bearer $admin" \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
  --max-examples "${EXAMPLES:-50}" --continue-on-failure --suppress-health-check all --warnings off --no-color
curl -sf "$url/api/v1/health" > /dev/null || fail "the server is gone"
grep -c "a request failed" "$work/log" && fail "the server failed" || true

say "reads, over $(ls "$work/runs" | wc -l) runs"
slow=0
page=$(ls "$work/runs" | head -n 1)
for path in / /api/v1/runs /api/v1/results "/runs/$page.html" /live.html; do
  wrk -t1 -c64 -d10s "$url$path" > "$work/wrk"
  rate=$(sed -n 's/^Requests.sec: *//p' "$work/wrk")
  bad=$(grep -c 'Non-2xx\|Socket errors' "$work/wrk" || true)
  size=$(curl -s "$url$path" | wc -c)
  printf '%-60s %10s requests/s, %8s bytes each\n' "$path" "$rate" "$size"
  [ "$bad" = 0 ] || { cat "$work/wrk"; slow=1; }
  [ "${rate%.*}" -ge 1000 ] || slow=1
done
[ $slow = 0 ] || fail "fewer than 1,000 requests a second, or failed ones"
