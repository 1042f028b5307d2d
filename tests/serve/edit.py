"""Changes one byte in the middle of a bundle's manifest, and packs it again."""

import subprocess
import sys

old, new = sys.argv[1:]
plain = bytearray(subprocess.run(["zstd", "-dc", old], check=True, capture_output=True).stdout)
place = plain.index(b'"sha256": "') + 12
plain[place] = ord("0") if plain[place] != ord("0") else ord("1")
packed = subprocess.run(["zstd", "-c"], input=bytes(plain), check=True, capture_output=True).stdout
open(new, "wb").write(packed)
