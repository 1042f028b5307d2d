#!/bin/sh
# What the gateway adds to the time to the first byte at 50 streams at once, and whether its memory stays flat.
# One client and one provider, both in Python, with and without the gateway between them.
# Usage: gateway.sh GATEWAY
set -eu
python3 "$(dirname "$0")/gateway.py" compare "$1" 50 6
