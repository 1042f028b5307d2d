"""Makes every figure of `mirrorcode results` again, from the table of runs alone, with pandas, scipy and statsmodels.

    python check.py CSV PARQUET JSON SCREEN

CSV and PARQUET are directories of tables, JSON is what `--json` printed, SCREEN is what `--screen` was given. Says what differs, and ends with status 1 if anything does.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import comb
from statsmodels.duration.survfunc import SurvfuncRight

LEVEL = 0.95
Z = stats.norm.ppf(0.5 + LEVEL / 2)
STEADY = 0.25
problems = 0
compared = 0


def say(what):
    global problems
    problems += 1
    if problems <= 40:
        print(what, file=sys.stderr)


def same(what, found, expected, tolerance=1e-9):
    global compared
    compared += 1
    nothing = [value is None or (isinstance(value, float) and math.isnan(value)) for value in (found, expected)]
    if all(nothing):
        return
    if any(nothing) or not math.isclose(found, expected, rel_tol=tolerance, abs_tol=tolerance):
        say(f"{what}: {found} is written, {expected} is what the runs give")


def wilson(solved, runs):
    found = stats.binomtest(int(solved), int(runs)).proportion_ci(LEVEL, method="wilson")
    return found.low, found.high


def around(estimate, values):
    """The interval over targets, as the docs have it."""
    values = np.asarray(values, float)
    k = len(values)
    if k < 2:
        return math.nan, math.nan
    weights = k + 2 * STEADY
    middle = (values.sum() + STEADY) / weights
    squares = ((values - middle) ** 2).sum() + STEADY * (middle**2 + (1 - middle) ** 2)
    trials = max(middle * (1 - middle) / (squares / (weights - 1) / weights), k - 1)
    t = stats.t.ppf(0.5 + LEVEL / 2, k - 1)
    centre = estimate + t * t / (2 * trials)
    half = t * math.sqrt(estimate * (1 - estimate) / trials + t * t / (4 * trials**2))
    whole = 1 + t * t / trials
    return min(max((centre - half) / whole, 0), estimate), max(min((centre + half) / whole, 1), estimate)


def over_targets(runs, value):
    """The mean of each target's tasks: `value` gives one number for the solved runs and the runs of a task, or None."""
    tasks = runs.groupby(["target", "language"]).solved.agg(["sum", "count"]).reset_index()
    tasks["value"] = [value(solved, count) for solved, count in zip(tasks["sum"], tasks["count"])]
    tasks = tasks.dropna(subset="value")
    return tasks.groupby("target").value.mean(), len(tasks)


def rate(solved, count):
    return solved / count


def pass_at(k):
    return lambda solved, count: None if count < k else 1 - comb(count - solved, k, exact=True) / comb(count, k, exact=True)


def km(outcomes):
    """Spent, at risk, solved, share, its error, by statsmodels; points where nothing was solved left out."""
    found = SurvfuncRight(outcomes.spent, (outcomes.end == "solved").astype(int))
    return pd.DataFrame({
        "spent": found.surv_times, "at_risk": found.n_risk, "solved": found.n_events,
        "share": 1 - found.surv_prob, "error": found.surv_prob_se,
    })


def incidence(outcomes):
    """Aalen and Johansen's share of solved runs, step by step."""
    left, share, steps = 1.0, 0.0, {}
    ordered = outcomes.sort_values("spent")
    for spent, here in ordered.groupby("spent"):
        at_risk = (outcomes.spent >= spent).sum()
        solved, wrong = (here.end == "solved").sum(), (here.end == "wrong").sum()
        share += left * solved / at_risk
        left *= 1 - (solved + wrong) / at_risk
        if solved:
            steps[spent] = share
    return steps


def at(steps, spent, column="share"):
    before = steps[steps.spent <= spent]
    return before[column].iloc[-1] if len(before) else 0.0


csv, parquet = Path(sys.argv[1]), Path(sys.argv[2])
written = json.loads(Path(sys.argv[3]).read_text())
names = sorted(path.stem for path in csv.glob("*.csv"))
tables = {name: pd.read_csv(csv / f"{name}.csv", keep_default_na=False, na_values=[""], float_precision="round_trip") for name in names}

# The same in each form.
for name in names:
    other = pd.read_parquet(parquet / f"{name}.parquet")
    third = written["tables"][name]
    one = tables[name]
    if list(one.columns) != list(other.columns) or len(one) != len(other) or len(one) != len(third):
        say(f"{name}: CSV, Parquet and JSON differ in shape")
        continue
    for column in one.columns:
        values = (one[column], other[column], pd.Series([row[column] for row in third], dtype=object))
        for place, cells in enumerate(zip(*values)):
            empty = [bool(pd.isna(cell)) for cell in cells]
            # CSV does not tell empty text from nothing.
            if all(empty) or (empty[0] and cells[1] == cells[2] == ""):
                continue
            if any(empty):
                say(f"{name}.{column} row {place}: {cells}")
            elif isinstance(cells[1], (bool, np.bool_)):
                if not (str(cells[0]).lower() == str(cells[1]).lower() == str(cells[2]).lower()):
                    say(f"{name}.{column} row {place}: {cells}")
            elif isinstance(cells[1], str):
                if not (str(cells[0]) == cells[1] == cells[2]) and column != "mirrorcode":
                    say(f"{name}.{column} row {place}: {cells}")
            elif not (float(cells[0]) == float(cells[1]) == float(cells[2])):
                say(f"{name}.{column} row {place}: {cells}")
            compared += 1

every = tables["runs"]
runs = every[every.counted.astype(str).str.lower() == "true"].copy()
for column in ["solved", "near"]:
    runs[column] = (runs[column].astype(str).str.lower() == "true").astype(int)
systems = sorted(runs.system.unique())
of = {system: runs[runs.system == system] for system in systems}

# Rows themselves.
for _, row in runs.iterrows():
    same(f"{row.run} share", row.share, row.hidden_passed / row.hidden_total)
    same(f"{row.run} near", row.near, int(bool(row.solved) or row.share >= 0.99))
    end = "solved" if row.solved else "wrong" if row.state == "submitted" else "censored"
    if row.end != end:
        say(f"{row.run}: end {row.end}, not {end}")

found = tables["systems"]
if sorted(found.system) != sorted(every.system.unique()):
    say("systems: not those of the runs")
if list(found["mean"].fillna(-1)) != sorted(found["mean"].fillna(-1), reverse=True):
    say("systems: not best first")
for _, row in found.iterrows():
    own = of.get(row.system, runs[:0])
    what = f"systems {row.system}"
    values, tasks = over_targets(own, rate)
    low, high = around(values.mean(), values)
    solved = own.solved.sum()
    for name, expected in {
        "targets": own.target.nunique(), "tasks": tasks, "runs": len(own), "solved": solved,
        "excluded": (every.system == row.system).sum() - len(own), "mean": values.mean(), "mean_low": low, "mean_high": high,
        "tokens": own.tokens.sum(), "dollars": own.dollars.sum(skipna=False), "hours": own.hours.sum(),
        "dollars_per_solved": own.dollars.sum(skipna=False) / solved if solved else math.nan,
        "hours_per_solved": own.hours.sum() / solved if solved else math.nan,
    }.items():
        same(f"{what} {name}", row[name], expected)

expected_rates = 0
for system in systems:
    for by, column in {"all": None, "size": "size", "language": "language", "domain": "domain", "target": "target", "task": "task"}.items():
        expected_rates += 1 if column is None else of[system][column].nunique()
if len(tables["rates"]) != expected_rates:
    say(f"rates: {len(tables['rates'])} rows, not {expected_rates}")
for _, row in tables["rates"].iterrows():
    own = of[row.system]
    own = own if row.by == "all" else own[own[row.by] == row.value]
    what = f"rates {row.system} {row.by} {row.value}"
    values, tasks = over_targets(own, rate)
    low, high = wilson(own.solved.sum(), len(own))
    mean_low, mean_high = around(values.mean(), values)
    for name, expected in {
        "targets": own.target.nunique(), "tasks": tasks, "runs": len(own), "solved": own.solved.sum(), "rate": own.solved.mean(),
        "rate_low": low, "rate_high": high, "mean": values.mean(), "mean_low": mean_low, "mean_high": mean_high,
    }.items():
        same(f"{what} {name}", row[name], expected)

for _, row in tables["attempts"].iterrows():
    own = of[row.system]
    own = own if row.by == "all" else own[own["size"] == row.value]
    values, tasks = over_targets(own, pass_at(row.k))
    low, high = around(values.mean(), values)
    for name, expected in {"targets": len(values), "tasks": tasks, "pass": values.mean(), "low": low, "high": high}.items():
        same(f"attempts {row.system} {row.value} k={row.k} {name}", row[name], expected)

for _, row in tables["reach"].iterrows():
    own = runs if pd.isna(row.system) else of[row.system]
    best = own.groupby("target")[["solved", "near"]].max()
    for kind in ["solved", "near"]:
        count = best[kind].sum()
        low, high = wilson(count, len(best))
        for name, expected in {kind: count, f"{kind}_share": count / len(best), f"{kind}_low": low, f"{kind}_high": high}.items():
            same(f"reach {row.system} {name}", row[name], expected)
    never = " ".join(sorted(best.index[best.solved == 0]))
    if ("" if pd.isna(row.never_solved) else row.never_solved) != never:
        say(f"reach {row.system}: never solved {row.never_solved}, not {never}")

for _, row in tables["targets"].iterrows():
    own = runs if pd.isna(row.system) else of[row.system]
    own = own[own.target == row.target]
    for name, expected in {
        "tasks": own.language.nunique(), "runs": len(own), "solved": own.solved.sum(),
        "tasks_solved": own.groupby("language").solved.max().sum(), "best": own.share.max(),
        "near": own.near.max(),
    }.items():
        value = row[name] if name != "near" else int(str(row[name]).lower() == "true")
        same(f"targets {row.system} {row.target} {name}", value, expected)

for _, row in tables["comparisons"].iterrows():
    one, other = (of[name].groupby(["target", "language"]).solved.mean() for name in (row.one, row.other))
    both = (one - other).dropna()
    values = both.groupby("target").mean()
    low, high = around((values.mean() + 1) / 2, (values + 1) / 2)
    for name, expected in {
        "targets": len(values), "tasks": len(both), "difference": values.mean(), "low": 2 * low - 1, "high": 2 * high - 1,
    }.items():
        same(f"comparisons {row.one} {row.other} {name}", row[name], expected)


def outcomes(own, axis):
    own = own[own.tokens > 0] if axis != "hours" else own
    return pd.DataFrame({"spent": own[axis].astype(float), "end": own.end, "target": own.target}).dropna(subset="spent")


for (system, axis), found in tables["curves"].groupby(["system", "axis"]):
    own = outcomes(of[system], axis)
    steps = km(own)
    steps = steps[steps.solved > 0].reset_index(drop=True)
    shares = incidence(own)
    if len(steps) != len(found):
        say(f"curves {system} {axis}: {len(found)} steps, not {len(steps)}")
        continue
    for (_, row), (_, step) in zip(found.iterrows(), steps.iterrows()):
        what = f"curves {system} {axis} {row.spent}"
        for name in ["spent", "at_risk", "solved", "share"]:
            same(f"{what} {name}", row[name], step[name])
        same(f"{what} incidence", row.incidence, shares[step.spent])
        left = 1 - step.share
        if left > 1e-12:
            same(f"{what} error", row.error, step.error, 1e-7)
            # On the scale of the double logarithm.
            spread = Z * step.error / (left * math.log(left))
            same(f"{what} low", row.low, 1 - left ** math.exp(spread), 1e-7)
            same(f"{what} high", row.high, 1 - left ** math.exp(-spread), 1e-7)
        elif not (pd.isna(row.low) and pd.isna(row.high)):
            say(f"{what}: an interval where nothing is left")

for _, row in tables["profile"].iterrows():
    own = of[row.system]
    own = outcomes(own[own["size"] == row["size"]], "hours")
    what = f"profile {row.system} {row['size']} {row.hours}"
    within = own[(own.spent <= row.hours) & (own.end == "solved")]
    longer = (own.spent > row.hours).sum()
    seen = longer > 0 or (own.end == "solved").all()
    same(f"{what} runs", row.runs, len(own))
    same(f"{what} solved", row.solved, len(within))
    same(f"{what} at_risk", row.at_risk, longer)
    share = at(km(own), row.hours)
    targets = sorted(own.target.unique())
    k = len(targets)
    pseudo = [k * share - (k - 1) * at(km(own[own.target != target]), row.hours) for target in targets] if k > 1 else []
    low, high = around(share, pseudo) if k > 1 else (math.nan, math.nan)
    steps = incidence(own)
    reached = [value for spent, value in steps.items() if spent <= row.hours]
    same(f"{what} share", row.share, share if seen else math.nan)
    same(f"{what} low", row.low, low if seen else math.nan, 1e-7)
    same(f"{what} high", row.high, high if seen else math.nan, 1e-7)
    same(f"{what} incidence", row.incidence, (reached[-1] if reached else 0.0) if seen else math.nan)

# Solved rates by what the screen says, and beside what it found.
screen = json.loads(Path(sys.argv[4]).read_text())
says = {target["target"]: {True: "flagged", False: "not flagged", None: "not tested"}[target["flagged"]] for target in screen["targets"]}
screened = [system for system in systems if of[system].model.iloc[0] == screen["model"]]
if set(tables["memorization"].system) != set(screened) or not screened:
    say(f"memorization: {set(tables['memorization'].system)}, not {screened}")
groups = 0
for system in screened:
    kinds = of[system].target.map(says).fillna("not tested")
    groups += 1 + kinds.nunique() + of[system]["size"].nunique() + of[system].groupby(["size", kinds]).ngroups
if len(tables["memorization"]) != groups:
    say(f"memorization: {len(tables['memorization'])} rows, not {groups}")
for _, row in tables["memorization"].iterrows():
    own = of[row.system]
    own = own if row.by == "all" else own[own["size"] == row.value]
    own = own if row.kept == "all" else own[own.target.map(says).fillna("not tested") == row.kept]
    values, tasks = over_targets(own, rate)
    low, high = wilson(own.solved.sum(), len(own))
    mean_low, mean_high = around(values.mean(), values)
    for name, expected in {
        "targets": own.target.nunique(), "tasks": tasks, "runs": len(own), "solved": own.solved.sum(), "rate": own.solved.mean(),
        "rate_low": low, "rate_high": high, "mean": values.mean(), "mean_low": mean_low, "mean_high": mean_high,
    }.items():
        same(f"memorization {row.system} {row.value} {row.kept} {name}", row[name], expected)
if len(tables["screen"]) != len(screen["targets"]) * len(screened):
    say(f"screen: {len(tables['screen'])} rows")
for _, row in tables["screen"].iterrows():
    own = of[row.system][of[row.system].target == row.target]
    target = next(target for target in screen["targets"] if target["target"] == row.target)
    low, high = wilson(own.solved.sum(), len(own)) if len(own) else (math.nan, math.nan)
    for name, expected in {
        "functions": target["functions"], "files": target["files"], "refused": target["refused"], "similarity": target["mean"],
        "similarity_low": target["low"], "similarity_high": target["high"], "p": target["p"], "p_corrected": target["p_corrected"],
        "p_files": target["p_files"], "baseline": screen["baseline"]["mean"], "programs": len(screen["baseline"]["programs"]),
        "runs": len(own), "solved": own.solved.sum(), "rate": own.solved.mean() if len(own) else math.nan, "rate_low": low, "rate_high": high,
    }.items():
        same(f"screen {row.system} {row.target} {name}", row[name], expected)

print(f"{compared} figures of {len(every)} runs compared, {problems} differ")
sys.exit(1 if problems else 0)
