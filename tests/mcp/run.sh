#!/bin/sh
# Clients of the Model Context Protocol that others wrote, at work on a task. Needs python3 with venv, node and npm.
# MIRRORCODE_MCP_CLIENTS names the directory of the clients, to keep it between runs.
# Usage: run.sh MIRRORCODE
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=${MIRRORCODE_MCP_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/mirrorcode-mcp}
PYTHON=2.3.0
TYPESCRIPT=1.32.2
INSPECTOR=0.15.0
mark=$work/clients-$PYTHON-$TYPESCRIPT-$INSPECTOR
if [ ! -e "$mark" ]; then
    echo "installing the clients"
    rm -rf "$work"
    mkdir -p "$work"
    python3 -m venv "$work/python"
    "$work/python/bin/pip" install --quiet --disable-pip-version-check "mcp==$PYTHON"
    (cd "$work" && npm install --silent --no-fund --no-audit --prefix . \
        "@modelcontextprotocol/sdk@$TYPESCRIPT" "@modelcontextprotocol/inspector@$INSPECTOR")
    : > "$mark"
fi
python3 "$here/drive.py" "$1" "$work"
