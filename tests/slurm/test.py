"""A campaign on a real Slurm that misbehaves, and what has to hold all the same. Run by run.sh."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from provider import Provider

place = Path(sys.argv[1])
work = place / "work"
repository = work / "repository"
program = str(work / "mirrorcode")
RUNS = int(os.environ.get("RUNS", "200"))
SLOW = max(2, RUNS // 50)
NAME = "probe"
# What all runs together may ask.
REQUESTS = 240
DOLLARS = 40.0
# Dollars for a million tokens, sent and answered.
PRICES = (1.0, 3.0)
PATIENCE = 3 * 3600
begun = time.time()


def say(text):
    print(f"{time.time() - begun:6.0f} s  {text}", flush=True)


def run(*words, check=True, **more):
    done = subprocess.run(words, capture_output=True, text=True, **more)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class Slurm:
    """munged, slurmctld and two slurmd, all as this user."""

    def __init__(self, directory, cpus):
        self.directory = directory
        for name in ("state", "log", "run", "spool-n1", "spool-n2"):
            (directory / name).mkdir(parents=True)
        directory.chmod(0o755)
        key = directory / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        user = run("id", "-un").stdout.strip()
        host = socket.gethostname()
        (directory / "slurm.conf").write_text(f"""
ClusterName=probe
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={directory}/munge.sock
SlurmctldPort=26817
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool-%n
SlurmctldPidFile={directory}/run/slurmctld.pid
SlurmdPidFile={directory}/run/slurmd-%n.pid
SlurmctldLogFile={directory}/log/slurmctld.log
SlurmdLogFile={directory}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={directory}/log/jobcomp.txt
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
KillWait=3
MinJobAge=600
DefMemPerCPU=100
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[27001-27002] CPUs={cpus} RealMemory=8000
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
""")
        os.environ["SLURM_CONF"] = str(directory / "slurm.conf")
        d = str(directory)
        self.daemons = {}
        self.start("munged", "munged", "--foreground", f"--key-file={d}/munge.key", f"--socket={d}/munge.sock",
                   f"--pid-file={d}/munged.pid", f"--log-file={d}/munged.log", f"--seed-file={d}/munge.seed")
        until((directory / "munge.sock").exists, 20, "munged")
        self.controller()
        for node in ("n1", "n2"):
            self.node(node)
        until(lambda: run("sinfo", "-h", "-o", "%T", check=False).stdout.split() == ["idle"], 60, "idle nodes")

    def start(self, what, *words):
        out = open(self.directory / "log" / f"{what}.out", "a")
        self.daemons[what] = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)

    def controller(self):
        self.start("slurmctld", "slurmctld", "-D")

    def node(self, name):
        self.start(f"slurmd-{name}", "slurmd", "-D", "-N", name)

    def kill(self, what):
        self.daemons[what].kill()
        self.daemons[what].wait()

    def jobs(self, *more):
        text = run("squeue", "-h", "--array", "-o", "%i|%T|%N|%j|%K", *more, check=False).stdout
        return [line.strip().split("|") for line in text.splitlines()]

    def end(self):
        run("scancel", "--user", str(os.getuid()), check=False)
        time.sleep(3)
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()


def until(what, seconds, name):
    end = time.time() + seconds
    while not what():
        if time.time() > end:
            sys.exit(f"{name}: not within {seconds} s")
        time.sleep(0.2)


def tiny():
    """A target of two families, so that scoring is short."""
    target = work / "targets/tiny"
    source = repository / "targets/uuidparse"
    (target / "families").mkdir(parents=True)
    for family in ("nil-and-max", "raw"):
        shutil.copy(source / f"families/{family}.toml", target / "families")
    if (source / "fixtures").is_dir():
        shutil.copytree(source / "fixtures", target / "fixtures")
    text = (source / "target.toml").read_text()
    text = text.replace('name = "uuidparse"', 'name = "tiny"', 1)
    # A machine that is busy with many runs is no reason to fail a case.
    text = text.replace("wall-seconds = 10", "wall-seconds = 120", 1)
    (target / "target.toml").write_text(text)
    shutil.copytree(repository / "languages", work / "languages", dirs_exist_ok=True)
    say("building the target and its images")
    mirrorcode("target", "build", "tiny")


def environment(runs):
    return dict(os.environ, MIRRORCODE_TARGETS=str(work / "targets"), MIRRORCODE_LANGUAGES=str(work / "languages"),
                MIRRORCODE_RUNS=str(runs), MIRRORCODE_CACHE=str(place / "cache"))


def mirrorcode(*words, runs=work / "runs", check=True):
    return run(program, *words, check=check, env=environment(runs))


def campaign(provider):
    (work / "key").write_text("no-key")
    models = ("solver", "idler", "slow")
    (work / "prices.toml").write_text("date = \"2026-11-01\"\nsource = \"a test\"\n" + "".join(
        f"[[model]]\nname = \"openai-chat/{name}\"\ninput = {PRICES[0]}\ncache_read = {PRICES[0]}\noutput = {PRICES[1]}\n"
        for name in models))
    many = (RUNS - SLOW) // 2
    path = work / f"{NAME}.toml"
    path.write_text(f"""
name = "{NAME}"
budget = {{ dollars = 5, turns = 60 }}

[[set]]
tasks = "tiny/python"
attempts = {many}
models = ["solver", "idler"]

[[set]]
tasks = "tiny/python"
attempts = {RUNS - 2 * many}
models = ["slow"]
priority = 1

[limits.openai-chat]
requests-per-minute = {REQUESTS}
dollars = {DOLLARS}

[resources]
memory = "600M"
parallel = 4

[slurm]
time = "00:02:00"
notice = 60
queue = {max(12, RUNS // 5)}
look = 2
""" + "".join(f"""
[[model]]
name = "openai-chat/{name}"
base-url = "{provider.base}"
key-file = "key"
prices = "prices.toml"
max-output = 2000
""" for name in models))
    return path


class Campaign:
    """`campaign run`, and what it says."""

    drivers = []

    def __init__(self, path, runs, executor):
        self.events = []
        self.drivers.append(self)
        self.process = subprocess.Popen(
            [program, "campaign", "run", str(path), "--executor", executor, "--json"],
            stdout=subprocess.PIPE, stderr=open(work / f"driver-{executor}.log", "a"), text=True, env=environment(runs))
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def counts(self):
        for event in reversed(self.events):
            if event["event"] == "counts":
                return event["counts"]
        return {"done": 0, "working": 0}

    def started(self):
        return sum(event["event"] == "started" for event in self.events)

    def is_over(self):
        return self.process.poll() is not None

    def reach(self, done, name):
        until(lambda: self.is_over() or self.counts()["done"] >= done, PATIENCE, name)
        if self.is_over():
            sys.exit(f"the campaign ended before {name}: {(work / 'driver-slurm.log').read_text()[-3000:]}")

    def finish(self):
        end = time.time() + PATIENCE
        last = None
        while not self.is_over():
            if time.time() > end:
                sys.exit("the campaign does not end")
            counts = self.counts()
            if counts.get("done") != last and counts.get("done", 0) % max(1, RUNS // 10) == 0:
                last = counts["done"]
                say(f"{last}/{RUNS} done")
            time.sleep(0.5)
        if self.process.returncode != 0:
            sys.exit(f"the campaign ended with status {self.process.returncode}: {self.events[-1:]}")


def with_faults(path, runs, slurm):
    """The campaign under faults; says which there were."""
    driver = Campaign(path, runs, "slurm")
    faults = {}

    def running(node):
        return [job for job in slurm.jobs() if job[1] == "RUNNING" and job[2] == node]

    # The controller dies right after it accepted jobs.
    driver.reach(1, "the first fault")
    number = driver.started()
    until(lambda: driver.is_over() or driver.started() > number, 300, "a submission")
    slurm.kill("slurmctld")
    say("slurmctld is killed right after a submission")
    time.sleep(8)
    slurm.controller()
    until(lambda: run("squeue", check=False).returncode == 0, 60, "slurmctld back")
    # One node's daemon dies, and its jobs run on; one of them for longer than Slurm waits.
    slow = {f"1_{number}" for number in range(SLOW)}
    until(lambda: driver.is_over() or {job[0] for job in running("n1")} & slow, 300, "a slow job on n1")
    orphans = len(running("n1"))
    slurm.kill("slurmd-n1")
    say(f"slurmd of n1 is killed; {orphans} jobs run on")
    faults["jobs that ran on without slurmd"] = orphans
    down = time.time()
    until(lambda: run("sinfo", "-h", "-n", "n1", "-o", "%T", check=False).stdout.startswith("down"), 120, "n1 down")
    say(f"Slurm gives n1 up after {time.time() - down:.0f} s")
    time.sleep(15)
    slurm.node("n1")
    # Jobs are queued again by an operator while they run.
    until(lambda: driver.is_over() or [job for job in slurm.jobs() if job[1] == "RUNNING"], 120, "a running job")
    again = [job for job in slurm.jobs() if job[1] == "RUNNING"][:3]
    for job in again:
        run("scontrol", "requeue", job[0], check=False)
    say(f"{len(again)} running jobs are queued again")
    faults["jobs queued again"] = len(again)
    # Whoever drives the campaign is killed, and another one takes its place.
    driver.reach(RUNS // 2, "the last fault")
    driver.process.kill()
    driver.process.wait()
    say("the driver is killed and started again")
    second = Campaign(path, runs, "slurm")
    second.finish()
    events = driver.events + second.events
    faults["attempts given again because their jobs were forgotten"] = sum(event["event"] == "forgotten" for event in events)
    faults["times that Slurm did not answer"] = sum(event["event"] == "trouble" for event in events)
    return faults


def check(runs, provider, dollars):
    """What has to hold of every run, whatever happened."""
    status = json.loads(mirrorcode("campaign", "status", NAME, "--json", runs=runs).stdout)
    assert status["counts"]["done"] == RUNS == len(status["attempts"]), status["counts"]
    tally = dict(runs=0, events=0, sessions=0, unanswered=0, cost=0)
    asked = {}
    for request in provider.requests:
        asked.setdefault(request["run"], []).append(request)
    for attempt in status["attempts"]:
        journal = runs / attempt["id"] / "journal.jsonl"
        events = [json.loads(line) for line in journal.read_text().splitlines()]
        kinds = [event["type"] for event in events]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1)), f"{journal}: an event is lost or doubled"
        assert kinds.count("start") == 1 and kinds.count("submit") == 1, f"{journal}: {kinds}"
        ends = [event for event in events if event["type"] == "end"]
        assert [end["reason"] for end in ends].count("submitted") == 1 and kinds[-1] == "end", f"{journal}: {ends}"
        epochs = [event["epoch"] for event in events if event["type"] == "attach"]
        assert epochs == sorted(set(epochs)), f"{journal}: epochs {epochs}"
        calls = [event["number"] for event in events if event["type"] == "call"]
        assert calls == list(range(1, len(calls) + 1)), f"{journal}: calls {calls}"
        replies = [event["call"] for event in events if event["type"] == "reply"]
        assert len(replies) == len(set(replies)), f"{journal}: replies {replies}"
        # Nothing was sent that is not on record.
        sent = asked.get(attempt["id"], [])
        assert len(sent) <= len(calls), f"{journal}: {len(sent)} requests, {len(calls)} calls on record"
        tally["runs"] += 1
        tally["events"] += len(events)
        tally["sessions"] += len(epochs)
        tally["unanswered"] += kinds.count("unanswered")
        tally["cost"] += attempt["outcome"]["microdollars"]
        solved = attempt["outcome"]["solved"]
        assert solved == ("idler" not in attempt["id"]), f"{attempt}"
    tally["requests"] = len(provider.requests)
    cost = sum(r["usage"]["prompt_tokens"] * PRICES[0] + r["usage"]["completion_tokens"] * PRICES[1] for r in provider.requests) / 1e6
    account = status["providers"][0]
    tally["dollars as the provider counts"] = round(cost, 2)
    tally["dollars of the account"] = round(account["dollars"], 2)
    assert cost <= account["dollars"] + 0.01 <= dollars + 0.01, (cost, account)
    assert tally["requests"] <= account["requests"], (tally, account)
    times = sorted(r["time"] for r in provider.requests)
    most, first = 0, 0
    for last, now in enumerate(times):
        while times[first] <= now - 60:
            first += 1
        most = max(most, last - first + 1)
    tally["most requests in a minute"] = most
    # Between its reservation and its arrival a request takes its time.
    assert most <= REQUESTS * 1.05, most
    return tally


def out_of_money(path, provider):
    """All runs together have less than they need: they stop before they pass it, and go on when there is more."""
    runs = work / "runs-poor"
    few = work / "poor.toml"
    text = path.read_text().replace(f'name = "{NAME}"', 'name = "poor"', 1)
    text = text.replace(f"attempts = {(RUNS - SLOW) // 2}\n", "attempts = 3\n", 1)
    text = text.replace(f"attempts = {RUNS - 2 * ((RUNS - SLOW) // 2)}\n", "attempts = 1\n", 1)
    limit = 0.05
    few.write_text(text.replace(f"dollars = {DOLLARS}", f"dollars = {limit}", 1))
    provider.requests.clear()
    done = mirrorcode("campaign", "run", str(few), runs=runs, check=False)
    assert done.returncode == 1, done
    cost = sum(r["usage"]["prompt_tokens"] * PRICES[0] + r["usage"]["completion_tokens"] * PRICES[1] for r in provider.requests) / 1e6
    counts = json.loads(mirrorcode("campaign", "status", "poor", "--json", runs=runs).stdout)["counts"]
    assert cost <= limit and counts["limited"] > 0, (cost, counts)
    say(f"of ${limit:.2f} for all, ${cost:.4f} were spent; {counts['done']} runs done, {counts['limited']} wait for more")
    few.write_text(text)
    assert mirrorcode("campaign", "run", str(few), runs=runs).returncode == 0
    counts = json.loads(mirrorcode("campaign", "status", "poor", "--json", runs=runs).stdout)["counts"]
    assert counts["done"] == counts["attempts"] == 7, counts


def verdicts(runs):
    return {path.parent.name: path.read_bytes() for path in runs.glob(f"{NAME}.*/verdict.json")}


def main():
    golden = (repository / "tests/golden/uuidparse-python/main.py").read_text()
    tiny()
    # Few runs have to last until there were all faults.
    think = 1.0 if RUNS >= 100 else 3.0
    provider = Provider(golden, {"slow": 12.0, "solver": think, "idler": think})
    path = campaign(provider)
    slurm = Slurm(work / "slurm", cpus=3)
    say(f"Slurm {run('sinfo', '--version').stdout.split()[1]} with two nodes, {RUNS} runs, as {run('id', '-un').stdout.strip()}")
    try:
        faults = with_faults(path, work / "runs", slurm)
    finally:
        for driver in Campaign.drivers:
            driver.process.kill()
        slurm.end()
    tally = check(work / "runs", provider, DOLLARS)
    lost = sum(log.read_text(errors="replace").count("was taken over by") for log in (work / f"runs/{NAME}.campaign/logs").glob("*.log"))
    say(f"on Slurm: {json.dumps(tally)}")
    say(f"faults: {json.dumps(dict(faults, **{'workers that stopped because another had their run': lost}))}")
    # The same without Slurm, and without waiting.
    provider.requests.clear()
    provider.think = {}
    local = work / "runs-local"
    driver = Campaign(path, local, "local")
    driver.finish()
    tally = check(local, provider, DOLLARS)
    say(f"locally: {json.dumps(tally)}")
    one, other = verdicts(work / "runs"), verdicts(local)
    assert len(one) == RUNS and one == other, "verdicts differ"
    say(f"{len(one)} verdicts are the same, byte for byte")
    # Started once more, there is nothing to do.
    before = len(provider.requests)
    assert mirrorcode("campaign", "run", str(path), runs=local).returncode == 0
    assert len(provider.requests) == before
    out_of_money(path, provider)
    say("ok")
    if not os.environ.get("KEEP"):
        shutil.rmtree(work, ignore_errors=True)


main()
