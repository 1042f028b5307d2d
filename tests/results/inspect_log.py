"""Opens logs that `mirrorcode export` wrote with Inspect's own reader, and compares them with the runs' rows.

    python inspect_log.py ROWS.json LOG.eval...
"""

import json
import sys
import tempfile
from pathlib import Path

from inspect_ai.log import read_eval_log, read_eval_log_sample_summaries, write_eval_log

rows = {row["run"]: row for row in json.loads(Path(sys.argv[1]).read_text())["tables"]["runs"]}
messages = 0
for name in sys.argv[2:]:
    log = read_eval_log(name)
    header = read_eval_log(name, header_only=True)
    row = rows[log.eval.run_id]
    assert header.eval == log.eval and header.results == log.results
    assert log.eval.model == row["model"] and log.eval.task_args == {"target": row["target"], "language": row["language"]}
    [sample] = log.samples
    [summary] = read_eval_log_sample_summaries(name)
    assert sample.id == summary.id == row["task"] and summary.message_count == len(sample.messages)
    expected = {"failed": "error", "stopped": "cancelled", "cut-off": "cancelled", "open": "started"}.get(row["state"], "success")
    assert log.status == expected, (log.status, row["state"])
    assert (sample.error is not None) == (row["state"] == "failed")
    if row["solved"] is None:
        assert not sample.scores and not log.results.scores
    else:
        assert sample.scores["solved"].value == ("C" if row["solved"] else "I")
        assert sample.scores["hidden"].value == row["share"]
        accuracy = {score.name: score.metrics["accuracy"].value for score in log.results.scores}
        assert accuracy["solved"] == float(row["solved"]) and accuracy["hidden"] == row["share"]
    assert abs(sample.total_time - 3600 * row["hours"]) < 1e-3
    answers = [message for message in sample.messages if message.role == "assistant"]
    called = {call.id for message in answers for call in message.tool_calls or []}
    results = [message for message in sample.messages if message.role == "tool"]
    assert answers and results and all(message.tool_call_id in called for message in results)
    assert any(message.text for message in results)
    messages += len(sample.messages)
    # Inspect writes what it read, and reads that again.
    with tempfile.TemporaryDirectory() as place:
        again = str(Path(place) / "again.eval")
        write_eval_log(log, again)
        [other] = read_eval_log(again).samples
        assert [message.text for message in other.messages] == [message.text for message in sample.messages]
print(f"{len(sys.argv) - 2} logs, {messages} messages, opened by Inspect")
