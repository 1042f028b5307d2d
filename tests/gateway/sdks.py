"""The vendors' own SDKs against the gateway, with a provider's stand-in behind it.

    sdks.py GATEWAY_PROGRAM
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile

import anthropic
import openai
from google import genai
from google.genai import errors, types

HERE = os.path.dirname(os.path.abspath(__file__))
REAL = "sk-real-7"
FAKE = "worthless"


@contextlib.contextmanager
def place(name, suffix=""):
    """A stand-in, a gateway before it, the gateway's port, and the stand-in's log."""
    with tempfile.TemporaryDirectory() as directory:
        log, steps = f"{directory}/log", f"{directory}/steps"
        open(log, "w").close()
        json.dump(["ls", "pwd"], open(steps, "w"))
        provider = subprocess.Popen([sys.executable, f"{HERE}/provider.py", "0", log, steps], stdout=subprocess.PIPE, text=True)
        base = f"http://127.0.0.1:{int(provider.stdout.readline())}{suffix}"
        gateway = subprocess.Popen([sys.argv[1], name, base], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                   env=dict(os.environ, GATEWAY_KEY=REAL))
        heard = []
        try:
            yield f"http://127.0.0.1:{int(gateway.stdout.readline())}", log, heard
        finally:
            gateway.stdin.close()
            heard += [json.loads(line) for line in gateway.stdout]
            gateway.wait()
            provider.kill()
            asked = [json.loads(line) for line in open(log)]
            assert asked and all(request["key"] == REAL for request in asked), asked
            assert FAKE not in open(log).read()


def refused(heard, *reasons):
    found = [event["refused"] for event in heard if "refused" in event]
    assert found == list(reasons), heard


def expect(kind, status, call):
    try:
        call()
    except kind as error:
        code = getattr(error, "status_code", None) or getattr(error, "code", None)
        assert code == status, error
        return error
    raise AssertionError("it was not refused")


def messages():
    tools = [{"name": "bash", "description": "Runs.", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}]
    with place("anthropic/m") as (url, log, heard):
        client = anthropic.Anthropic(base_url=url, api_key=FAKE)
        ask = dict(model="m", max_tokens=500, tools=tools)
        talk = [{"role": "user", "content": "Go"}]
        for turn in range(3):
            if turn % 2:
                reply = client.messages.create(messages=talk, **ask)
            else:
                with client.messages.stream(messages=talk, **ask) as stream:
                    text = "".join(stream.text_stream)
                    reply = stream.get_final_message()
                assert text == reply.content[0].text
            talk.append({"role": "assistant", "content": reply.content})
            calls = [block for block in reply.content if block.type == "tool_use"]
            if calls:
                assert calls[0].input == {"command": ["ls", "pwd"][turn]}, calls
                talk.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": calls[0].id, "content": "x"}]})
        assert reply.stop_reason == "end_turn" and reply.usage.output_tokens == 50
        assert client.messages.count_tokens(model="m", messages=talk, tools=tools).input_tokens == 1000
        with client.beta.messages.stream(messages=talk, betas=["interleaved-thinking-2025-05-14"], **ask) as stream:
            stream.get_final_message()
        assert client.messages.create(model="small-1", max_tokens=5, messages=talk).model == "m"
        gone = anthropic.APIStatusError
        expect(gone, 404, lambda: client.messages.create(model="other", max_tokens=5, messages=talk))
        expect(gone, 404, lambda: client.models.list())
        expect(gone, 404, lambda: client.messages.batches.list())
        expect(gone, 404, lambda: client.beta.files.list())
        search = {"type": "web_search_20250305", "name": "web_search"}
        expect(gone, 400, lambda: client.messages.create(model="m", max_tokens=5, messages=talk, tools=[search]))
        image = {"type": "image", "source": {"type": "url", "url": "http://example.org/x.png"}}
        expect(gone, 400, lambda: client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": [image]}]))
        mcp = [{"type": "url", "url": "http://example.org", "name": "x"}]
        expect(gone, 400, lambda: client.beta.messages.create(model="m", max_tokens=5, messages=talk, mcp_servers=mcp, betas=[]))
    answered = [event for event in heard if "answered" in event]
    assert len(answered) == 5 and all(event["usage"]["input"] == 1000 for event in answered), heard
    refused(heard, "model", "path", "path", "path", "content", "content", "content")


def chat_and_responses():
    function = {"name": "bash", "description": "Runs.", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}}}
    with place("openai/m", "/v1") as (url, log, heard):
        client = openai.OpenAI(base_url=url + "/v1", api_key=FAKE)
        talk, tools = [{"role": "user", "content": "Go"}], [{"type": "function", "function": function}]
        for turn in range(3):
            if turn % 2:
                message = client.chat.completions.create(model="m", messages=talk, tools=tools).choices[0].message
            else:
                with client.chat.completions.stream(model="m", messages=talk, tools=tools) as stream:
                    for _ in stream:
                        pass
                    message = stream.get_final_completion().choices[0].message
            talk.append(message.to_dict())
            for call in message.tool_calls or []:
                assert json.loads(call.function.arguments) == {"command": ["ls", "pwd"][turn]}
                talk.append({"role": "tool", "tool_call_id": call.id, "content": "x"})
        assert message.content == "All done."
        items, tools = [{"role": "user", "content": "Go"}], [{"type": "function", **function}]
        for turn in range(3):
            if turn % 2:
                response = client.responses.create(model="m", input=items, tools=tools)
            else:
                with client.responses.stream(model="m", input=items, tools=tools) as stream:
                    for _ in stream:
                        pass
                    response = stream.get_final_response()
            items += [item.to_dict() for item in response.output]
            for call in [item for item in response.output if item.type == "function_call"]:
                assert json.loads(call.arguments) == {"command": ["ls", "pwd"][turn]}
                items.append({"type": "function_call_output", "call_id": call.call_id, "output": "x"})
        assert response.output_text == "All done." and response.usage.output_tokens == 50
        gone = openai.APIStatusError
        for status, call in [
            (404, lambda: client.responses.create(model="other", input="x")),
            (404, lambda: client.models.list()),
            (404, lambda: client.files.list()),
            (404, lambda: client.responses.retrieve("resp_1")),
            (404, lambda: client.embeddings.create(model="m", input="x")),
            (400, lambda: client.responses.create(model="m", input="x", tools=[{"type": "web_search"}])),
            (400, lambda: client.responses.create(model="m", input="x", tools=[{"type": "mcp", "server_label": "x", "server_url": "http://example.org"}])),
            (400, lambda: client.responses.create(model="m", input="x", tools=[{"type": "code_interpreter", "container": {"type": "auto"}}])),
            (400, lambda: client.responses.create(model="m", input="x", background=True)),
            (400, lambda: client.responses.create(model="m", input="x", previous_response_id="resp_1")),
            (400, lambda: client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], web_search_options={})),
            (400, lambda: client.chat.completions.create(model="m", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://example.org/x.png"}}]}])),
        ]:
            expect(gone, status, call)
        bodies = [json.loads(line)["body"] for line in open(log)]
        assert all(body.get("store") is False for body in bodies if "input" in body), bodies
    answered = [event for event in heard if "answered" in event]
    assert len(answered) == 6 and all(event["usage"]["output"] == 50 for event in answered), heard
    refused(heard, "model", *["path"] * 4, *["content"] * 7)


def generate_content():
    declaration = {"name": "run", "description": "Runs.", "parameters_json_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}
    with place("gemini/m") as (url, log, heard):
        client = genai.Client(api_key=FAKE, http_options=types.HttpOptions(base_url=url))
        config = types.GenerateContentConfig(
            tools=[types.Tool(function_declarations=[declaration])], system_instruction="Be brief.", max_output_tokens=500,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True))
        talk = [types.Content(role="user", parts=[types.Part(text="Go")])]
        for turn in range(3):
            if turn % 2:
                parts = client.models.generate_content(model="m", contents=talk, config=config).candidates[0].content.parts
            else:
                pieces = client.models.generate_content_stream(model="m", contents=talk, config=config)
                parts = [part for piece in pieces for part in piece.candidates[0].content.parts]
            talk.append(types.Content(role="model", parts=parts))
            calls = [part.function_call for part in parts if part.function_call]
            if calls:
                assert calls[0].args == {"command": ["ls", "pwd"][turn]}, calls
                talk.append(types.Content(role="user", parts=[types.Part.from_function_response(name="run", response={"output": "x"})]))
        assert parts[0].text == "All done."
        assert client.models.count_tokens(model="m", contents=talk).total_tokens == 1000
        gone = errors.APIError
        for status, call in [
            (404, lambda: client.models.generate_content(model="other", contents="x")),
            (404, lambda: list(client.models.list())),
            (404, lambda: list(client.files.list())),
            (400, lambda: client.models.generate_content(model="m", contents="x", config={"tools": [{"google_search": {}}]})),
            (400, lambda: client.models.generate_content(model="m", contents="x", config={"tools": [{"url_context": {}}]})),
            (400, lambda: client.models.generate_content(model="m", contents="x", config={"tools": [{"code_execution": {}}]})),
            (400, lambda: client.models.generate_content(model="m", contents=[types.Part.from_uri(file_uri="http://example.org/x.pdf", mime_type="application/pdf")])),
            (400, lambda: client.models.generate_content(model="m", contents="x", config={"cached_content": "cachedContents/1"})),
        ]:
            expect(gone, status, call)
    answered = [event for event in heard if "answered" in event]
    assert len(answered) == 3 and all(event["usage"]["output"] == 50 for event in answered), heard
    refused(heard, "model", "path", "path", *["content"] * 5)


for test in (messages, chat_and_responses, generate_content):
    test()
    print(f"{test.__name__}: ok")
print(f"anthropic {anthropic.__version__}, openai {openai.__version__}, google-genai {genai.__version__}")
