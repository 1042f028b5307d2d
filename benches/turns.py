"""Tables of what turns cost: `turns.py TURNS-EXAMPLE MIRRORCODE PYTHON-WITH-INSPECT`. See turns.sh.

Every measurement is a process of its own, of several the fastest: what a machine does besides makes things slower only.
First in memory, where only the program is measured; then on the disk below the current directory, where each turn waits
for two writes. What a bare write takes is measured in the same process, in between.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

example, mirrorcode, python = sys.argv[1:]
here = os.path.dirname(os.path.abspath(__file__))
missed = []


def row(*command, place="."):
    done = subprocess.run([os.path.abspath(command[0]), *command[1:]], check=True, stdout=subprocess.PIPE, cwd=place)
    return json.loads(done.stdout.splitlines()[-1])


def best(times, *command, place="."):
    return min((row(*command, place=place) for _ in range(times)), key=lambda row: row["seconds"])


def target(text, holds):
    print(f"  {'holds ' if holds else 'MISSED'}  {text}", flush=True)
    if not holds:
        missed.append(text)


def line(name, row, more=""):
    turn = row["seconds"] / row["turns"] * 1e6
    used = row["processor_seconds"] / row["turns"] * 1e6
    print(
        f"{name:<22}{row['turns']:>6} turns {row['seconds']:>8.3f} s {turn:>8.0f} us a turn {used:>8.0f} us of processor "
        f"{row['peak_kib'] / 1024:>7.1f} MB at most{more}",
        flush=True,
    )


def share(row):
    return (row["journal_bytes"] + row["blob_bytes"]) / row["distinct_bytes"]


COUNTS = (250, 500, 1000, 2000, 8000)
print("In memory:")
pure = {}
with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
    for turns in COUNTS:
        pure[turns] = best(9 if turns < 8000 else 5, example, str(turns), "trim", place=place)
        line("mirrorcode", pure[turns])
    line("  results cleared", best(5, example, "2000", "clear", place=place))
for key, name in (("seconds", "clock"), ("processor_seconds", "processor")):
    turn = [pure[turns][key] / turns for turns in COUNTS]
    part = max(turn) / min(turn)
    target(f"time per turn by the {name}, slowest over fastest of these counts: {part:.2f} (at most 1.20)", part <= 1.2)

print("On disk:")
ours = {}
for turns in COUNTS:
    ours[turns] = best(3 if turns < 8000 else 2, example, str(turns), "trim")
    bare = ours[turns]["bare_write_seconds"]
    waits = ours[turns]["seconds"] / turns / bare
    line("mirrorcode", ours[turns], f", a bare write {bare * 1e6:.0f} us, a turn {waits:.1f} of them")
line("  tool without effect", best(3, example, "2000", "pure"))
bare = ours[2000]["bare_write_seconds"] * 1e6
target(
    f"2,000 turns: {ours[2000]['seconds']:.2f} s where a bare write takes {bare:.0f} us (at most 2 s)",
    ours[2000]["seconds"] <= 2,
)
target(f"8,000 turns: {ours[8000]['peak_kib'] / 1024:.1f} MB (less than 60 MB)", ours[8000]["peak_kib"] < 60 * 1024)
part = max(share(row) for row in ours.values())
target(f"a run on disk over its distinct text: {part:.2f} (at most 2)", part <= 2)

with tempfile.TemporaryDirectory(dir=".") as place:
    run = os.path.join(place, "run")
    written = row(example, "8000", "trim", run)["journal_bytes"]

    def export(name, *command):
        begun = time.perf_counter()
        done = subprocess.run([mirrorcode, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode:
            print(f"  {name} cannot be measured: {done.stderr.decode().strip().splitlines()[-1:]}")
            return
        page = os.path.join(place, "page.html")
        size = os.path.getsize(page) if os.path.exists(page) else len(done.stdout)
        took = time.perf_counter() - begun
        target(f"8,000 turns as {name}: {size / 1e6:.2f} MB of {written / 1e6:.2f} MB, {took:.2f} s", size <= written)

    export("a listing (runs ID)", "runs", run)
    commands = subprocess.run([mirrorcode, "--help"], stdout=subprocess.PIPE, text=True).stdout
    if "\n  view " in commands:
        export("a page (view ID)", "view", run, "--out", os.path.join(place, "page.html"))

resumed = row(example, "resume", "1024")
target(
    f"a journal of {resumed['resume'] / 1e6:.0f} MB resumes in {resumed['seconds']:.2f} s (less than 5 s), "
    f"{resumed['peak_kib'] / 1024:.1f} MB of memory",
    resumed["seconds"] < 5 and resumed["peak_kib"] < 60 * 1024,
)


def start():
    begun = time.perf_counter()
    subprocess.run([mirrorcode, "--help"], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begun) * 1e3


times = sorted(start() for _ in range(101))
target(f"mirrorcode --help: {times[50]:.1f} ms, the median of 101 (less than 10 ms)", times[50] < 10)

print("\nThe same conversation in Inspect, its scripted model, react() with its trimming at 100k tokens:", flush=True)
ratios = []
for turns in (250, 500, 1000):
    theirs = row(python, os.path.join(here, "turns_inspect.py"), str(turns))
    line("inspect", theirs, f", {theirs['log_bytes'] / 1e6:.2f} MB on disk")
    ratio = [theirs[key] / ours[turns][key] for key in ("seconds", "processor_seconds", "peak_kib")]
    ratios.append(f"{turns} turns: {ratio[0]:.0f} times the time, {ratio[1]:.0f} times the processor, {ratio[2]:.0f} times the memory")
print("inspect over mirrorcode")
for text in ratios:
    print(f"  {text}")
sys.exit(1 if missed else 0)
