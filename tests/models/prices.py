"""Writes the price file from the price map that LiteLLM carries, or compares the two.

    prices.py MAP.json DATE VERSION > prices.toml     write
    prices.py MAP.json --check prices.toml            compare; models that the map no longer has are told, not an error
"""

import json
import re
import sys
import tomllib
from decimal import Decimal

PROVIDERS = ("anthropic", "openai", "gemini")
# Not text in and text out, or not for agents with tools of their own.
OTHER = re.compile(
    "audio|tts|image|live|realtime|robotics|lyria|omni|learnlm|gemma|search|research|computer-use|exp-|exp$|transcribe|ft:"
)
OPENAI = re.compile(r"^(gpt-[5-9]|gpt-4\.1|o[134])")
KINDS = (
    ("input", "input_cost_per_token"),
    ("cache_read", "cache_read_input_token_cost"),
    ("cache_write", "cache_creation_input_token_cost"),
    ("cache_write_hour", "cache_creation_input_token_cost_above_1hr"),
    ("output", "output_cost_per_token"),
)


def million(price):
    """Dollars for a million tokens, exactly as the map's decimal says."""
    text = format((Decimal(repr(price)) * 1_000_000).normalize(), "f")
    return text if "." in text else text + ".0"


def prices(entry, suffix):
    found = {}
    for kind, key in KINDS:
        key = key + suffix
        if entry.get(key) is not None:
            found[kind] = million(entry[key])
    return found


def models(path, date):
    with open(path) as file:
        table = json.load(file)
    found = {}
    for key, entry in table.items():
        provider = entry.get("litellm_provider")
        if provider not in PROVIDERS or entry.get("mode") not in ("chat", "responses"):
            continue
        name = key.split("/")[-1]
        gone = entry.get("deprecation_date")
        if OTHER.search(name) or provider == "openai" and not OPENAI.match(name):
            continue
        if key.count("/") > (provider == "gemini") or date and gone and gone < date:
            continue
        if not entry.get("input_cost_per_token") or not entry.get("output_cost_per_token"):
            continue
        # Reasoning at a price of its own has no place in the file; there is none today.
        assert entry.get("output_cost_per_reasoning_token", entry["output_cost_per_token"]) == entry["output_cost_per_token"], key
        model = {"context": entry.get("max_input_tokens"), **prices(entry, "")}
        tiers = []
        for field in entry:
            match = re.fullmatch(r"input_cost_per_token_above_(\d+)k_tokens", field)
            if match:
                tokens = int(match[1]) * 1000
                tiers.append((tokens, prices(entry, f"_above_{match[1]}k_tokens")))
        model["above"] = sorted(tiers, key=lambda tier: tier[0])
        found[f"{provider}/{name}"] = model
    return dict(sorted(found.items(), key=lambda item: (PROVIDERS.index(item[0].split("/")[0]), item[0])))


def write(path, date, version):
    print("# Prices in dollars for a million tokens, by kind. Written by tests/models/prices.py.")
    print("# A kind that is missing costs what `input` costs. A request of more than `above.tokens` tokens is charged at")
    print("# the prices there, all of it. `context` is the most tokens that the model reads.")
    print(f'date = "{date}"')
    print(f'source = "the price map that LiteLLM {version} carries, which names the pricing pages of Anthropic, OpenAI and Google"')
    for name, model in models(path, date).items():
        print(f'\n[[model]]\nname = "{name}"')
        for key, value in model.items():
            if key == "above":
                tiers = ", ".join(
                    "{ tokens = %d, %s }" % (tokens, ", ".join(f"{kind} = {price}" for kind, price in tier.items()))
                    for tokens, tier in value
                )
                if tiers:
                    print(f"above = [{tiers}]")
            elif value is not None:
                print(f"{key} = {value}")


def check(path, written):
    with open(written, "rb") as file:
        ours = tomllib.load(file, parse_float=str)["model"]
    theirs = models(path, None)
    wrong = missing = 0
    for model in ours:
        name = model["name"]
        if name not in theirs:
            missing += 1
            print(f"{name}: not in the map any more", file=sys.stderr)
            continue
        for kind, _ in KINDS:
            if model.get(kind) != theirs[name].get(kind):
                wrong += 1
                print(f"{name}: {kind} is {model.get(kind)} here and {theirs[name].get(kind)} there", file=sys.stderr)
    print(f"prices: {len(ours) - missing} models compared, {wrong} differences, {missing} not in the map")
    return wrong


if __name__ == "__main__":
    if sys.argv[2] == "--check":
        sys.exit(1 if check(sys.argv[1], sys.argv[3]) else 0)
    write(sys.argv[1], sys.argv[2], sys.argv[3])
