"""Two clients that others wrote complete a task over standard streams and over HTTP; each leaves in between and comes back.

    drive.py MIRRORCODE DIRECTORY_OF_CLIENTS [CLIENT]
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden/uuidparse-python/main.py"
TASK = "uuidparse/python"
TOKEN = "a-token-that-tests-know"
MIRRORCODE, CLIENTS = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
SDK = CLIENTS / "node_modules/@modelcontextprotocol/sdk"
PROGRAMS = {
    "python": [CLIENTS / "python/bin/python", HERE / "client.py"],
    "typescript": ["node", HERE / "client.mjs"],
}
VERSION = json.loads((SDK / "package.json").read_text())["version"]


def work(client, stage, server, runs, **more):
    environment = dict(os.environ, GOLDEN=GOLDEN, SDK=SDK, VERSION=VERSION, MCP_TOKEN=TOKEN, MIRRORCODE_RUNS=runs, **more)
    subprocess.run([*PROGRAMS[client], stage, *server], check=True, env=environment, timeout=900)


def only_run(runs):
    [run] = [path for path in runs.iterdir() if (path / "run.toml").is_file()]
    return run


def until(what, seconds=900):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.2)


def over_stdio(client, runs):
    work(client, "begin", [MIRRORCODE, "mcp", TASK, "--time-limit", "1h"], runs)
    run = only_run(runs)
    work(client, "end", [MIRRORCODE, "mcp", "--resume", run], runs)
    # The SDKs end the server when they leave; scoring goes on.
    until((run / "verdict.json").is_file)
    return run


class Server:
    def __init__(self, runs, *arguments):
        environment = dict(os.environ, MIRRORCODE_MCP_TOKEN=TOKEN, MIRRORCODE_RUNS=runs)
        command = [MIRRORCODE, "mcp", *arguments, "--http", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "serving http://" in line:
                self.url = line.split()[1].rstrip(";")
                return
        raise AssertionError("the server does not begin")


def over_http(client, runs, **more):
    server = Server(runs, TASK, "--time-limit", "1h")
    work(client, "begin", [server.url], runs, **more)
    work(client, "end", [server.url], runs, **more)
    _, said = server.process.communicate(timeout=900)
    assert server.process.returncode in (0, 1), said
    return only_run(runs)


def check(name, run):
    verdict = json.loads((run / "verdict.json").read_text())
    failed = {case["outcome"] for case in verdict["cases"]} - {"pass"}
    if failed == {"wall-time"}:
        # A machine that does much else says nothing of the client: once more.
        print(f"{name}: cases took too long on this busy machine, scored again", flush=True)
        command = [MIRRORCODE, "score", TASK, run, "--again", "--out", run]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        verdict = json.loads((run / "verdict.json").read_text())
    assert verdict["solved"] is True, verdict["hidden"]
    events = [json.loads(line) for line in open(run / "journal.jsonl")]
    kinds = [event["type"] for event in events]
    assert kinds.count("tool-call") == kinds.count("tool-result") >= 8, kinds
    clients = sorted({f"{event['name']} {event['version']} over {event['transport']}" for event in events if event["type"] == "client"})
    visible, hidden = verdict["visible"], verdict["hidden"]
    print(f"{name}: solved, {visible['passed']}/{visible['total']} visible, {hidden['passed']}/{hidden['total']} hidden; "
          f"{kinds.count('tool-call')} calls, {', '.join(clients)}", flush=True)


def inspect(runs):
    """The inspector's command line: a run for each call, which leaves without submitting."""
    inspector = CLIENTS / "node_modules/.bin/mcp-inspector"
    environment = dict(os.environ, MIRRORCODE_RUNS=runs)
    for what in (["tools/list"], ["tools/call", "--tool-name", "bash", "--tool-arg", "command=ls /task"]):
        command = [inspector, "--cli", MIRRORCODE, "mcp", TASK, "--method", *what]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=120)
        assert done.returncode == 0 and ("README.md" in done.stdout or "oracle" in done.stdout), done.stdout
    version = json.loads((CLIENTS / "node_modules/@modelcontextprotocol/inspector/package.json").read_text())["version"]
    print(f"inspector {version}: lists and calls tools over standard streams")


def main():
    subprocess.run([MIRRORCODE, "target", "build", TASK.split("/")[0], "--no-draw"], check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as temporary:
        def runs(name):
            path = pathlib.Path(temporary) / name
            path.mkdir()
            return path
        wanted = sys.argv[3:] or [*PROGRAMS, "inspector"]
        if "inspector" in wanted:
            inspect(runs("inspector"))
        for client in wanted:
            if client in PROGRAMS:
                check(f"{client}, HTTP", over_http(client, runs(f"{client}-http")))
                check(f"{client}, stdio", over_stdio(client, runs(f"{client}-stdio")))
        if "python" in wanted:
            # The way in which clients of before 2026-07-28 are connected, where the SDK knows a newer one.
            check("python, HTTP, with a session", over_http("python", runs("python-legacy"), MCP_MODE="legacy"))


main()
