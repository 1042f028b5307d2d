"""The same conversation in Inspect: its scripted model, its own agent, a tool that does nothing, 1 kB of text each way.

    inspect_turns.py TURNS

Prints one line of JSON. Each count of turns is a process of its own, so that each has its own peak memory.
"""

import json
import os
import random
import resource
import sys
import tempfile
import time

import tiktoken


class FourBytes:
    """Inspect counts tokens with a vocabulary that it fetches. Here four bytes are a token, as on the other side."""

    def encode(self, text, **_):
        return range(len(text.encode()) // 4)


tiktoken.get_encoding = lambda name: FourBytes()

from inspect_ai import Task, eval as evaluate  # noqa: E402
from inspect_ai.agent import react  # noqa: E402
from inspect_ai.dataset import Sample  # noqa: E402
from inspect_ai.model import CompactionTrim, ModelOutput, ModelUsage, get_model  # noqa: E402
from inspect_ai.tool import tool  # noqa: E402

TEXT = 1000
COMPACT_AT = 100_000


def text(seed):
    return random.Random(seed).randbytes(TEXT // 2).hex()


@tool
def trivial():
    calls = 0

    async def execute(text: str) -> str:
        """Does nothing.

        Args:
            text: What it is given.
        """
        nonlocal calls
        calls += 1
        return globals()["text"](1_000_000 + calls)

    return execute


def length(message):
    calls = getattr(message, "tool_calls", None) or []
    return len(message.text) + sum(len(str(call.arguments)) for call in calls)


def model(turns):
    turn = 0

    def answer(messages, tools, choice, config):
        nonlocal turn
        turn += 1
        if turn > turns:
            return ModelOutput.for_tool_call("bench", "submit", {"answer": "done"})
        output = ModelOutput.for_tool_call("bench", "trivial", {"text": text(turn)}, content="")
        sent = 2_000 + sum(length(message) for message in messages) // 4
        output.usage = ModelUsage(input_tokens=sent, output_tokens=260, total_tokens=sent + 260)
        return output

    return get_model("mockllm/model", custom_outputs=answer, memoize=False)


def main(turns):
    with tempfile.TemporaryDirectory(dir=".") as logs:
        agent = react(tools=[trivial()], compaction=CompactionTrim(threshold=COMPACT_AT, memory=False))
        task = Task(dataset=[Sample(input="Begin.")], solver=agent)
        begun, used = time.perf_counter(), time.process_time()
        log = evaluate(task, model=model(turns), log_dir=logs, display="none", log_level="error")[0]
        took, used = time.perf_counter() - begun, time.process_time() - used
        assert log.status == "success", log.error
        calls = sum(message.role == "tool" for message in log.samples[0].messages)
        written = sum(entry.stat().st_size for entry in os.scandir(logs))
    print(
        json.dumps(
            {
                "turns": turns,
                "calls": calls,
                "seconds": took,
                "processor_seconds": used,
                "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                "log_bytes": written,
            }
        )
    )


main(int(sys.argv[1]))
