"""Every figure of a screen again, with numpy, scipy and statsmodels.

    python screen.py ROWS BASELINE SCREEN
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests


def summary(rows):
    answered = rows.dropna(subset="similarity")
    files = answered.groupby("path").similarity
    mean, n, g = answered.similarity.mean(), len(answered), files.ngroups
    low = high = math.nan
    if g > 1:
        sums = files.apply(lambda values: (values - mean).sum())
        error = math.sqrt(g / (g - 1) * (sums**2).sum()) / n
        half = stats.t.ppf(0.975, g - 1) * error
        low, high = max(mean - half, 0), min(mean + half, 1)
    counts = {"functions": n, "refused": len(rows) - n, "found": int(rows.found.sum()), "files": g}
    return counts | {"mean": mean, "low": low, "high": high}, files.mean()


def check(rows, baseline, screen):
    problems = compared = 0

    def same(what, found, expected):
        nonlocal problems, compared
        compared += 1
        nothing = [value is None or (isinstance(value, float) and math.isnan(value)) for value in (found, expected)]
        if not all(nothing) and (any(nothing) or not math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12)):
            problems += 1
            print(f"{what}: {found} is written, {expected} is what the rows give", file=sys.stderr)

    programs = {name: summary(own) for name, own in baseline.groupby("target")}
    means = np.array([one["mean"] for one, _ in programs.values()])
    files = np.concatenate([by_file for _, by_file in programs.values()])
    same("baseline", screen["baseline"]["mean"], means.mean())
    for program in screen["baseline"]["programs"]:
        for name, expected in programs[program["target"]][0].items():
            same(f"{program['target']} {name}", program[name], expected)
    k = len(means)
    tested = {}
    for target in screen["targets"]:
        name = target["target"]
        own, by_file = summary(rows[rows.target == name])
        for key, expected in own.items():
            same(f"{name} {key}", target[key], expected)
        t = (own["mean"] - means.mean()) / (means.std(ddof=1) * math.sqrt(1 + 1 / k))
        tested[name] = stats.t.sf(t, k - 1)
        same(f"{name} t", target["t"], t)
        same(f"{name} p", target["p"], tested[name])
        ranks = stats.mannwhitneyu(by_file, files, alternative="greater", method="asymptotic")
        same(f"{name} p_files", target["p_files"], ranks.pvalue)
    flags, corrected, *_ = multipletests(list(tested.values()), alpha=screen["alpha"], method="holm")
    for target, flag, p in zip(screen["targets"], flags, corrected):
        same(f"{target['target']} p_corrected", target["p_corrected"], p)
        same(f"{target['target']} flagged", target["flagged"], bool(flag))
    print(f"{compared} figures of {len(rows)} functions compared, {problems} differ")
    return problems


rows, baseline = (pd.read_json(path, lines=True) for path in sys.argv[1:3])
sys.exit(1 if check(rows, baseline, json.loads(Path(sys.argv[3]).read_text())) else 0)
