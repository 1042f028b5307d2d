"""Real agents in the sandbox, before a provider's stand-in that makes them work, and their work scored.

    agents.py MIRRORCODE [AGENT...]
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
AGENTS = {
    "claude-code": "anthropic/claude-m",
    "codex": "openai/gpt-m",
    "mini-swe-agent": "openai-chat/gpt-m",
    "gemini-cli": "gemini/gemini-m",
}
VARIABLES = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY", "openai-chat": "OPENAI_API_KEY", "gemini": "GEMINI_API_KEY"}


def attempt(mirrorcode, agent, model, directory):
    log, steps, runs = directory / "log", directory / "steps", directory / "runs"
    log.touch()
    program = [sys.executable, str(HERE / "steps.py")] + (["--forbidden"] if agent == "mini-swe-agent" else [])
    steps.write_bytes(subprocess.run(program, check=True, stdout=subprocess.PIPE).stdout)
    provider = subprocess.Popen([sys.executable, HERE / "provider.py", "0", log, steps], stdout=subprocess.PIPE, text=True)
    try:
        version = "/v1" if model.startswith("openai") else ""
        base = f"http://127.0.0.1:{int(provider.stdout.readline())}{version}"
        environment = dict(os.environ, **{VARIABLES[model.split("/")[0]]: "sk-real-7"})
        ran = subprocess.run(
            [mirrorcode, "--runs", runs, "run", "gron/python", "--agent", agent, "--model", model, "--base-url", base,
             "--token-limit", "10M", "--time-limit", "15m", "--json"],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=1500)
    finally:
        provider.kill()
    assert ran.returncode in (0, 1), f"status {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    [row] = json.loads(ran.stdout)
    run = runs / row["id"]
    events = [json.loads(line) for line in open(run / "journal.jsonl")]
    asked = [json.loads(line) for line in open(log)]
    verdict = json.load(open(run / "verdict.json"))
    kinds = lambda kind: [event for event in events if event["type"] == kind]
    assert row["end"] == "submitted", row
    assert all(request["key"] == "sk-real-7" for request in asked if request["body"]), asked
    assert kinds("call") and len(kinds("reply")) == len(kinds("call")) == len(kinds("request")), row
    assert row["tokens"] == 1050 * len(kinds("reply")), row
    assert (run / "workspace/main.py").is_file() and verdict["visible"]["passed"] > 100, verdict["visible"]
    text = (run / "journal.jsonl").read_bytes() + b"".join(p.read_bytes() for p in run.glob("blobs/*/*"))
    assert b"sk-real-7" not in text
    refused = [(event["reason"], event["place"], event["what"]) for event in kinds("refused")]
    for line in sorted(set(refused)):
        print("   refused", *line)
    if agent == "mini-swe-agent":
        reasons = sorted(reason for reason, _, _ in refused if reason != "closed")
        assert reasons == ["content"] * 3 + ["model"] + ["path"] * 3, refused
        results = [m["content"] for request in asked for m in request["body"]["messages"] if m["role"] == "tool"]
        said = "\n".join(map(str, results))
        assert "uid 1000 reached []" in said and "answers [404, 404, 404, 404, 400, 400, 400]" in said, said
        assert "raw socket" not in said and "resolved" not in said, said
    start = events[0]
    print(f"{agent} {start['versions'][agent]}: {row['end']} after {row['turns']} answers, {row['tokens']} tokens, "
          f"{verdict['visible']['passed']}/{verdict['visible']['total']} visible, {verdict['hidden']['passed']}/{verdict['hidden']['total']} hidden", flush=True)


mirrorcode = os.path.abspath(sys.argv[1])
for name in sys.argv[2:] or AGENTS:
    with tempfile.TemporaryDirectory() as directory:
        attempt(mirrorcode, name, AGENTS[name], pathlib.Path(directory))
