#!/bin/sh
# The gateway with the vendors' SDKs and with real agents, before a provider's stand-in on loopback.
# Needs python3 with venv, npm and pip3. MIRRORCODE_GATEWAY names the directory of the SDKs, to keep it between runs.
# Usage: run.sh MIRRORCODE GATEWAY [AGENT...]
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=${MIRRORCODE_GATEWAY:-${XDG_CACHE_HOME:-$HOME/.cache}/mirrorcode-gateway}
mirrorcode=$1
gateway=$2
shift 2
ANTHROPIC=2.14.0
OPENAI=3.57.0
GENAI=3.6.1
mark=$work/sdks-$ANTHROPIC-$OPENAI-$GENAI
if [ ! -e "$mark" ]; then
    echo "installing the SDKs"
    rm -rf "$work"
    mkdir -p "$work"
    python3 -m venv "$work/sdks"
    "$work/sdks/bin/pip" install --quiet --disable-pip-version-check \
        "anthropic==$ANTHROPIC" "openai==$OPENAI" "google-genai==$GENAI"
    : > "$mark"
fi
"$work/sdks/bin/python" "$here/sdks.py" "$gateway"
"$work/sdks/bin/python" "$here/agents.py" "$mirrorcode" "$@"
