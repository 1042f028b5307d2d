"""Turns the first failed case of a verdict into a pass, or the first pass into a failure, so that it still adds up."""

import json
import sys

path = sys.argv[1]
verdict = json.load(open(path))
case = verdict["cases"][0]
passed = case["outcome"] == "pass"
case["outcome"] = "stdout" if passed else "pass"
step = -1 if passed else 1
verdict[case["split"]]["passed"] += step
verdict["solved"] = all(case["outcome"] == "pass" for case in verdict["cases"])
json.dump(verdict, open(path, "w"), indent=2)
