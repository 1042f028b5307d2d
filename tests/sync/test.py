"""Runs to an S3-compatible server and back: killed at random instants, before a server that fails, with a damaged object."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3
from botocore.config import Config

from proxy import Proxy

PROGRAM, MAKER, MOTO = (str(Path(path).absolute()) for path in sys.argv[1:4])
RUNS = int(os.environ.get("RUNS", 60))
KILLS = int(os.environ.get("KILLS", 40))
# Bytes of the largest file of a run.
SIZE = int(os.environ.get("SIZE", 3_000_000))
KEY, SECRET = "AKIAEXAMPLE", "a-secret-that-nobody-prints"
SEED = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
random.seed(SEED)


def free():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def moto(port, **more):
    server = subprocess.Popen(
        [MOTO, "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, **more}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    for _ in range(1200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return server
        except OSError:
            time.sleep(0.1)
    sys.exit("moto does not start")


def client(port, key=KEY):
    return boto3.client(
        "s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1",
        aws_access_key_id=key, aws_secret_access_key=SECRET, config=Config(retries={"max_attempts": 1}),
    )


def make_runs(work):
    """Short journals and verdicts from the maker; the rest of what runs hold from here."""
    runs = work / "runs"
    subprocess.run([MAKER, str(runs), "1"], check=True, stdout=subprocess.DEVNULL)
    all_runs = sorted(path for path in runs.iterdir() if (path / "run.toml").is_file())
    for extra in all_runs[RUNS:]:
        shutil.rmtree(extra)
    docs = {f"docs/page-{n}.md": random.randbytes(random.randint(100, SIZE // 75)) for n in range(60)}
    for run in all_runs[:RUNS]:
        for name, content in docs.items():
            path = run / "task" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        workspace = run / "workspace"
        (workspace / "src/empty").mkdir(parents=True, exist_ok=True)
        for n in range(random.randint(1, 40)):
            (workspace / f"src/{n}.py").write_bytes(random.randbytes(random.randint(0, 5000)))
        Path(os.fsdecode(os.fsencode(workspace) + b"/\xff odd")).write_bytes(b"x")
        (workspace / "link").symlink_to("/etc/passwd")
        program = workspace / "main"
        program.write_bytes(random.randbytes(random.randint(1000, SIZE)))
        program.chmod(0o755)
        (run / "tmp").mkdir(exist_ok=True)
        (run / "tmp/scratch").write_bytes(b"not copied")
    return runs


def contents(top):
    found = {}
    for directory, names, files in os.walk(os.fsencode(top)):
        for name in names + files:
            path = os.path.join(directory, name)
            below = os.path.relpath(path, os.fsencode(top))
            data = os.lstat(path)
            if b"/tmp/" in b"/" + below:
                continue
            if os.path.islink(path):
                found[below] = ("link", os.readlink(path))
            elif os.path.isdir(path):
                found[below] = ("directory", data.st_mode)
            else:
                found[below] = (data.st_mode, open(path, "rb").read())
    return found


class Test:
    def __init__(self, work):
        self.work = work
        self.said = []

    def start(self, words, **more):
        env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        env |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET} | more
        env = {name: value for name, value in env.items() if value is not None}
        return subprocess.Popen(
            [PROGRAM, "sync", *map(str, words)], env=env, cwd=self.work, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )

    def end(self, process, expected, what):
        out, err = process.communicate(timeout=1200)
        self.said += [out, err]
        if process.returncode != expected:
            sys.exit(f"{what}: status {process.returncode} instead of {expected}\n{out[-3000:]}\n{err[-3000:]}")
        return out, err

    def run(self, words, expected=0, what="", **more):
        begun = time.monotonic()
        out, err = self.end(self.start(words, **more), expected, what or " ".join(map(str, words)))
        return out, err, time.monotonic() - begun

    def done(self, words, expected=0, **more):
        out, _, seconds = self.run([*words, "--json"], expected, **more)
        return json.loads(out.splitlines()[-1]), seconds

    def kill(self, words, longest, how=signal.SIGKILL):
        """True when it was still at work."""
        process = self.start(words)
        time.sleep(random.uniform(0, longest))
        alive = process.poll() is None
        if alive:
            os.killpg(process.pid, how)
        out, err = process.communicate(timeout=600)
        self.said += [out, err]
        if alive and how == signal.SIGINT and process.returncode not in (130, 0):
            sys.exit(f"Ctrl-C: status {process.returncode}\n{err}")
        return alive


def figure(what, value):
    print(f"{what:<70} {value}", flush=True)


def main():
    work = Path(tempfile.mkdtemp(prefix="mirrorcode-sync-"))
    port, locked_port = free(), free()
    servers = [moto(port)]
    try:
        check(Test(work), work, port, locked_port, servers)
    finally:
        for server in servers:
            server.kill()
        shutil.rmtree(work, ignore_errors=True)


def check(test, work, port, locked_port, servers):
    figure("seed", SEED)
    bucket = client(port)
    bucket.create_bucket(Bucket="bucket")
    proxy = Proxy(port)
    at = ["--endpoint", proxy.address]
    store = "s3://bucket/a/prefix"
    runs = make_runs(work)
    original = contents(runs)
    size = sum(len(value[1]) for value in original.values() if isinstance(value[0], int))
    figure("runs", RUNS)
    figure("files, MB", f"{len(original)}, {size / 1e6:.1f}")

    # How long it takes undisturbed, into another prefix.
    _, seconds = test.done(["runs", "s3://bucket/whole", *at])
    figure("undisturbed upload, s", f"{seconds:.1f}")
    proxy.stored.clear()
    proxy.received = 0

    killed = rounds = 0
    while killed < KILLS and rounds < 4 * KILLS:
        rounds += 1
        # Later ones find more there, and need longer to get to the rest.
        killed += test.kill(["runs", store, *at], seconds * 0.5)
        heads = [item["Key"] for item in bucket.list_objects_v2(Bucket="bucket", Prefix="a/prefix/runs/").get("Contents", [])]
        if heads and rounds % 10 == 0:
            # What has a head is whole, in the middle of everything.
            name = Path(random.choice(heads)).stem
            test.run([store, work / f"middle-{rounds}", "--only", name, *at])
            if contents(work / f"middle-{rounds}" / name) != contents(runs / name):
                sys.exit(f"{name} has a head and is not whole")
            shutil.rmtree(work / f"middle-{rounds}")
        if len(heads) == RUNS:
            break
    figure("uploads killed, of", f"{killed}, {rounds}")
    interrupted = sum(test.kill(["runs", store, *at], seconds * 0.5, signal.SIGINT) for _ in range(3))
    figure("uploads ended by Ctrl-C", interrupted)
    summary, _ = test.done(["runs", store, *at])
    again, again_seconds = test.done(["runs", store, *at])
    if (again["uploaded"], again["were_there"]) != (0, RUNS):
        sys.exit(f"uploaded again: {again}")
    figure("upload of what is there, s", f"{again_seconds:.1f}")
    objects = {path: count for path, count in proxy.stored.items() if "/objects/" in path}
    twice = [path for path, count in objects.items() if count > 1]
    figure("objects stored; more than once", f"{len(objects)}; {len(twice)}")
    sizes = {item["Key"]: item["Size"] for page in bucket.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix="a/prefix/")
             for item in page.get("Contents", [])}
    figure("MB in the bucket; MB sent, with what was cut off", f"{sum(sizes.values()) / 1e6:.1f}; {proxy.received / 1e6:.1f}")
    # Two requests of one process can carry the same new object, and a kill can come between a write and its answer.
    if len(twice) > len(objects) // 100:
        sys.exit(f"{len(twice)} objects were stored more than once")

    # Back, killed too.
    back = work / "back"
    begun = time.monotonic()
    test.done([store, work / "other", *at])
    seconds = time.monotonic() - begun
    figure("undisturbed download, s", f"{seconds:.1f}")
    killed = rounds = 0
    while killed < KILLS // 2 and rounds < 2 * KILLS:
        rounds += 1
        killed += test.kill([store, back, *at], seconds * 0.4)
        for run in back.glob("*/run.toml"):
            if not (runs / run.parent.name).is_dir():
                sys.exit(f"{run.parent.name} is no run")
    figure("downloads killed, of", f"{killed}, {rounds}")
    test.done([store, back, *at])
    for copy in (back, work / "other"):
        if contents(copy) != original:
            differing = [name for name in original if contents(copy).get(name) != original[name]]
            sys.exit(f"{copy} differs: {differing[:5]}")
    figure("downloads equal, byte for byte", "2 of 2")
    shutil.rmtree(work / "other")

    # A damaged object is named and refused, the rest comes, and an upload replaces it.
    key = random.choice([key for key in sizes if "/objects/" in key])
    content = bytearray(bucket.get_object(Bucket="bucket", Key=key)["Body"].read())
    content[len(content) // 2] ^= 1
    bucket.put_object(Bucket="bucket", Key=key, Body=bytes(content))
    out, err, _ = test.run([store, work / "damaged", *at], 4)
    if Path(key).name not in out or "damaged" not in err:
        sys.exit(f"the damaged object is not named:\n{out}\n{err}")
    came = [path.name for path in (work / "damaged").iterdir()]
    lost = out.count(": damaged: ")
    if len(came) + lost != RUNS or lost == 0:
        sys.exit(f"{len(came)} came and {lost} were refused")
    figure("runs refused for a damaged object, others fetched", f"{lost}, {len(came)}")
    summary, _ = test.done(["runs", store, *at])
    if summary["replaced"] != 1:
        sys.exit(f"the damaged object is not replaced: {summary}")
    test.done([store, work / "damaged", *at])
    if contents(work / "damaged") != original:
        sys.exit("what was damaged does not come back whole")
    shutil.rmtree(work / "damaged")

    # A server that fails now and then, or is slow; and one that fails always.
    proxy.failing = 0.2
    _, failing = test.done(["runs", "s3://bucket/failing", *at])
    proxy.failing, proxy.delay = 0.0, 0.1
    _, slow = test.done(["runs", "s3://bucket/slow", *at])
    proxy.delay = 0.0
    figure("upload with 20 % of requests failing; 100 ms late, s", f"{failing:.1f}; {slow:.1f}")
    proxy.failing = 1.0
    _, err, seconds = test.run(["runs", store, *at, "--patience", "5s"], 4)
    proxy.failing = 0.0
    if "s3://bucket/a/prefix" not in err or proxy.address not in err or seconds > 60:
        sys.exit(f"a failing server: {seconds} s, {err}")
    figure("given up on a server that always fails after, s", f"{seconds:.1f}")
    nobody = f"http://127.0.0.1:{free()}"
    test.run(["runs", store, "--endpoint", nobody, "--patience", "3s"], 4)
    _, err, _ = test.run(["runs", "s3://missing", *at, "--patience", "3s"], 4)
    figure("a bucket that is missing", err.strip().splitlines()[-1][:150])

    # Keys.
    servers.append(moto(locked_port, INITIAL_NO_AUTH_ACTION_COUNT="1"))
    client(locked_port).create_bucket(Bucket="bucket")
    locked = ["--endpoint", f"http://127.0.0.1:{locked_port}", "--patience", "3s"]
    _, err, _ = test.run(["runs", store, *locked], 4)
    figure("wrong keys", err.strip().splitlines()[-1][:150])
    _, err, _ = test.run(["runs", store, *at], 2, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    file = work / "keys"
    file.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    test.run(["runs", store, *at, "--credentials", file], AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    test.run(["runs", store, *at, "--credentials", runs], 2)
    if any(SECRET in said for said in test.said):
        sys.exit("the secret was printed")

    # An image, where there is one.
    listed = subprocess.run([PROGRAM, "image", "list", "--json"], capture_output=True, text=True)
    images = json.loads(listed.stdout) if listed.returncode == 0 else []
    for image in sorted(images, key=lambda image: image["bytes"]):
        only = ["--images", "--only", image["digest"], *at]
        process = test.start([*only, "s3://bucket/images"])
        out, err = process.communicate(timeout=1200)
        if process.returncode == 1:
            continue  # sealed
        if process.returncode != 0:
            sys.exit(f"image: {out}{err}")
        test.run([*only, "s3://bucket/images", work / "cache"])
        copy = subprocess.run([PROGRAM, "--cache", str(work / "cache"), "image", "list", "--json"], capture_output=True, text=True)
        if json.loads(copy.stdout) != [image]:
            sys.exit(f"the image came back as {copy.stdout}")
        figure("image to the bucket and into another cache, MB", f"{image['bytes'] / 1e6:.1f}")
        break
    print("ok")


main()
