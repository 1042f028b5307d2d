#!/bin/sh
# Installs real servers into a directory of their own, starts them on loopback, and talks to them.
# Needs python3 with venv, openssl and curl. MIRRORCODE_MODELS names the directory, to keep it between runs.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=${MIRRORCODE_MODELS:-${XDG_CACHE_HOME:-$HOME/.cache}/mirrorcode-models}
LITELLM=1.108.7
XLLAMACPP=2026.10.11549
GGUF=0.19.0
GENAI=3.6.1
mkdir -p "$work"

venv() {
    directory=$1
    shift
    [ -e "$work/$directory/$1" ] && return
    echo "installing $*"
    rm -rf "${work:?}/$directory"
    python3 -m venv "$work/$directory"
    "$work/$directory/bin/pip" install --quiet --disable-pip-version-check "$@"
    : > "$work/$directory/$1"
}
venv litellm "litellm[proxy]==$LITELLM"
venv llama "xllamacpp==$XLLAMACPP" "gguf==$GGUF" numpy
venv genai "google-genai==$GENAI"

run=$(mktemp -d)
pids=
finish() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$run"
}
trap finish EXIT
trap 'exit 130' INT TERM

free() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
llama=$(free)
litellm=$(free)
gemini=$(free)

# An authority and a certificate of its own, so that TLS is checked and not switched off.
cd "$run"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=test authority" -keyout ca.key -out ca.pem 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj "/CN=127.0.0.1" -keyout server.key -out server.csr 2>/dev/null
printf 'subjectAltName=IP:127.0.0.1\n' > server.ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem 2>/dev/null

"$work/llama/bin/python" "$here/tiny.py" "$run/tiny.gguf"
"$work/llama/bin/python" "$here/tiny.py" "$run/tiny.gguf" "$llama" sk-tiny > llama.log 2>&1 &
pids="$pids $!"
TINY_BASE=http://127.0.0.1:$llama/v1 LITELLM_LOCAL_MODEL_COST_MAP=True \
    "$work/litellm/bin/litellm" --config "$here/litellm.yaml" --host 127.0.0.1 --port "$litellm" \
    --ssl_keyfile_path "$run/server.key" --ssl_certfile_path "$run/server.pem" > litellm.log 2>&1 &
pids="$pids $!"

"$work/genai/bin/python" "$here/gemini.py" "$gemini" "$run/gemini.log" > gemini.err 2>&1 &
pids="$pids $!"

wait_for() {
    for _ in $(seq 180); do
        if curl --silent --max-time 2 --cacert "$run/ca.pem" --output /dev/null "$1"; then return; fi
        sleep 1
    done
    echo "$1 does not answer" >&2
    tail -n 20 "$run"/*.log >&2
    exit 4
}
wait_for "http://127.0.0.1:$llama/health"
wait_for "https://127.0.0.1:$litellm/health/liveliness"
wait_for "http://127.0.0.1:$gemini/"
echo "llama.cpp (xllamacpp $XLLAMACPP), LiteLLM $LITELLM and google-genai $GENAI answer"

cd "$here/../.."
MIRRORCODE_TEST_LLAMA=http://127.0.0.1:$llama MIRRORCODE_TEST_LITELLM=https://127.0.0.1:$litellm \
    SSL_CERT_FILE="$run/ca.pem" "${CARGO:-cargo}" test --locked -p model --test servers -- --ignored --nocapture --test-threads 1 ||
    { status=$?; tail -n 40 "$run"/*.log >&2; exit $status; }

map=$("$work/litellm/bin/python" -c 'import importlib.util as u; print(u.find_spec("litellm").submodule_search_locations[0])')
python3 "$here/prices.py" "$map/model_prices_and_context_window_backup.json" --check crates/model/prices.toml

# A whole run of an agent against the server of the official SDK's types; what it is billed is what the server counted.
"${CARGO:-cargo}" build --release --quiet --locked --bin mirrorcode
GEMINI_API_KEY=sk-gemini target/release/mirrorcode --runs "$run/runs" run gron/python --model gemini/tiny \
    --base-url "http://127.0.0.1:$gemini" --no-score --json > "$run/gemini.json"
python3 - "$run/gemini.log" "$run/gemini.json" "$GENAI" <<'PY'
import json, sys
requests = [json.loads(line) for line in open(sys.argv[1])]
run = json.load(open(sys.argv[2]))[0]
for request in requests:
    assert not request["wrong"], request
assert run["end"] == "submitted" and run["turns"] == len(requests) == 3, run
assert run["tokens"] == requests[-1]["charged"], (run, requests)
print(f"google-genai {sys.argv[3]}: {len(requests)} requests read, signatures and ids came back, {run['tokens']} tokens billed as counted")
PY
