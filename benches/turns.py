"""Tables of what turns cost: `turns.py TURNS-EXAMPLE MIRRORCODE PYTHON-WITH-INSPECT`. See turns.sh.

Every measurement is a process of its own, of several the fastest: what a machine does besides makes things slower only.
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


def row(*command):
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def best(times, *command):
    return min((row(*command) for _ in range(times)), key=lambda row: row["seconds"])


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


ours = {}
for turns in (250, 500, 1000, 2000, 8000):
    floor = min(row(example, "floor", "500")["microseconds"] for _ in range(3))
    ours[turns] = best(3 if turns < 8000 else 2, example, str(turns), "trim")
    written = ours[turns]["journal_bytes"] + ours[turns]["blob_bytes"]
    part = written / ours[turns]["distinct_bytes"]
    line("mirrorcode", ours[turns], f", {written / 1e6:.2f} MB on disk, {part:.2f} of the distinct text; a bare write {floor:.0f} us")
line("  results cleared", best(3, example, "2000", "clear"))
line("  tool without effect", best(3, example, "2000", "pure"))


def a_turn(turns, key):
    return ours[turns][key] / turns


wall = [a_turn(turns, "seconds") for turns in ours]
used = [a_turn(turns, "processor_seconds") for turns in ours]
target(
    f"time per turn, slowest over fastest of these counts: {max(wall) / min(wall):.2f} by the clock, {max(used) / min(used):.2f} of the "
    f"processor (at most 1.20)",
    max(wall) / min(wall) <= 1.2,
)
target(f"2,000 turns: {ours[2000]['seconds']:.2f} s (at most 2 s)", ours[2000]["seconds"] <= 2)
target(f"8,000 turns: {ours[8000]['peak_kib'] / 1024:.1f} MB (less than 60 MB)", ours[8000]["peak_kib"] < 60 * 1024)
part = max((row["journal_bytes"] + row["blob_bytes"]) / row["distinct_bytes"] for row in ours.values())
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
