"""Looks for what a sealed target holds in the files of some directories.

usage: search.py patterns PLAIN OUT        lines of a plain form that say nothing unless one has it: OUT/hidden, OUT/visible, OUT/families
       search.py exempt OUT FILE...        forgets lines that stand in these files, which anybody has: the reference and its manual
       search.py look OUT NEWER DIR...     which of them stand in files of these directories that are newer than the file NEWER

`look` prints a line for each file in which it finds something: the kind, how many lines, the file. Names of files count as
their content, and what is compressed (zlib, gzip, zstd) is looked at in both forms.
"""

import gzip
import json
import os
import re
import stat
import subprocess
import sys
import zlib
from pathlib import Path

# Shorter lines may stand anywhere by chance.
SHORTEST = 24
# Written the same way as text and inside a JSON string.
PLAIN = re.compile(rb"[ !#-\[\]-~]+")
KINDS = ["hidden", "visible", "families"]


def texts(case):
    """Every text of a case, as bytes."""
    def of(value):
        if isinstance(value, str):
            yield value.encode()
        elif isinstance(value, dict):
            if set(value) == {"base64"}:
                return
            for name, below in value.items():
                yield name.encode()
                yield from of(below)
        elif isinstance(value, list):
            for below in value:
                yield from of(below)

    for key in ("argv", "stdin", "files", "env", "expect"):
        yield from of(case.get(key))


def pieces(texts):
    found = set()
    for text in texts:
        for piece in PLAIN.findall(text):
            piece = piece.strip()
            if len(piece) >= SHORTEST and len(set(piece)) > 8:
                found.add(piece[:200])
    return found


def patterns(plain, out):
    plain, out = Path(plain), Path(out)
    cases, written = {}, {}
    for split in ("visible", "hidden"):
        lines = (plain / "tests" / f"{split}.jsonl").read_bytes().splitlines()
        cases[split] = [json.loads(line) for line in lines]
        # The inputs as the file has them: short arguments say nothing alone, but all of them in a row do.
        found = (re.search(rb'"argv": *\[.*?\](?=,"|, ")', line) for line in lines)
        written[split] = {match[0] for match in found if match and len(match[0]) >= SHORTEST}
    whole = {split: b"\n".join(t for case in cases[split] for t in texts(case)) for split in cases}
    # Of what both splits hold, a hidden case's inputs cannot be told from a visible one's.
    hidden = {p for p in pieces(t for case in cases["hidden"] for t in texts(case)) if p not in whole["visible"]}
    hidden |= written["hidden"] - written["visible"]
    visible = {p for p in pieces(t for case in cases["visible"] for t in texts(case)) if p not in whole["hidden"]}
    visible |= written["visible"] - written["hidden"]
    families = set()
    for path in sorted((plain / "families").glob("*.toml")):
        # What a family is about, a site says as well.
        lines = [line.strip() for line in path.read_bytes().splitlines() if not line.startswith(b"about")]
        families |= {line for line in lines if len(line) >= SHORTEST and b"=" in line}
    # A program that a visible case runs stands in its family word for word.
    raw = (plain / "tests" / "visible.jsonl").read_bytes()
    families = {line for line in families if line not in whole["visible"] and line not in raw}
    out.mkdir(parents=True, exist_ok=True)
    for kind, found in zip(KINDS, (hidden, visible, families)):
        (out / kind).write_bytes(b"".join(p + b"\n" for p in sorted(found)))
        if not found:
            sys.exit(f"{plain}: nothing to look for in {kind}")


def exempt(out, *files):
    known = b"\n".join(unpacked(Path(file)) or Path(file).read_bytes() for file in files)
    for kind in KINDS:
        lines = Path(out, kind).read_bytes().splitlines()
        kept = [line for line in lines if line not in known]
        Path(out, kind).write_bytes(b"".join(line + b"\n" for line in kept))
        print(f"{len(kept)} lines of {kind}", end=", ")


def unpacked(path):
    """What a compressed file holds; nothing for one that is not."""
    with open(path, "rb") as file:
        start = file.read(4)
        try:
            if start[:2] == b"\x1f\x8b":
                return gzip.decompress(path.read_bytes())
            if start[:1] == b"\x78":
                return zlib.decompress(path.read_bytes())
            if start == b"\x28\xb5\x2f\xfd":
                return subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout
        except (EOFError, gzip.BadGzipFile, zlib.error, subprocess.CalledProcessError):
            pass
    return None


def recent(places, since):
    """Regular files below some directories that came or changed since then. Files may go while they are looked at."""
    for place in places:
        for above, below, names in os.walk(place):
            below[:] = [name for name in below if not os.path.islink(os.path.join(above, name))]
            for name in names:
                path = Path(above, name)
                try:
                    data = path.lstat()
                except OSError:
                    continue
                if stat.S_ISREG(data.st_mode) and max(data.st_mtime_ns, data.st_ctime_ns) >= since:
                    yield path


def grep(patterns, *arguments, data):
    command = ["grep", "-aF", "-f", patterns, *arguments]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, env={"LC_ALL": "C", "PATH": os.environ["PATH"]}).stdout


def look(out, newer, *places):
    paths = list(recent(places, os.stat(newer).st_mtime_ns))
    packed = {}
    for path in paths:
        try:
            content = unpacked(path)
        except OSError:
            continue
        if content is not None:
            packed[path] = content
    for kind in KINDS:
        lines = Path(out, kind)
        names = b"".join(os.fsencode(path) + b"\0" for path in paths)
        found = subprocess.run(
            ["xargs", "-0", "-r", "grep", "-sZlaF", "-f", lines], input=names, stdout=subprocess.PIPE, env={"LC_ALL": "C", "PATH": os.environ["PATH"]}
        ).stdout.split(b"\0")[:-1]
        found = {Path(os.fsdecode(name)) for name in found}
        found |= {path for path, content in packed.items() if grep(lines, "-c", data=content).strip() != b"0"}
        named = grep(lines, data=b"\n".join(os.fsencode(path) for path in paths)).splitlines()
        found |= {Path(os.fsdecode(name)) for name in named}
        for path in sorted(found):
            try:
                hits = set(grep(lines, "-o", data=packed.get(path, path.read_bytes())).splitlines())
            except OSError:
                hits = set()
            print(f"{kind}\t{len(hits)}\t{path}")
    print(f"{len(paths)} files looked at, {len(packed)} of them packed", file=sys.stderr)


if __name__ == "__main__":
    {"patterns": patterns, "exempt": exempt, "look": look}[sys.argv[1]](*sys.argv[2:])
