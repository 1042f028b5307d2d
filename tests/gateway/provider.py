"""A provider's stand-in on loopback that speaks four dialects and follows a script: it makes an agent run commands and
end. What it is asked is written down, one JSON line a request.

    provider.py PORT LOG STEPS.json

STEPS.json is a list of shell commands; the answer to a conversation with N tool results calls the agent's shell with
command N, and says goodbye after the last. Where a request offers no shell, it is answered with a word.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, LOG, STEPS = int(sys.argv[1]), sys.argv[2], json.load(open(sys.argv[3]))
KEY = "sk-real-7"
SHELLS = ["Bash", "bash", "shell", "shell_command", "exec_command", "run_shell_command", "local_shell", "run"]
LOCK = threading.Lock()
USAGE_IN, USAGE_OUT = 1000, 50


def note(path, headers, body):
    with LOCK, open(LOG, "a") as log:
        key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ") or headers.get("x-goog-api-key")
        log.write(json.dumps({"path": path, "key": key, "body": body}) + "\n")


def arguments(name, schema, command):
    """The shell's arguments as its schema wants them."""
    properties = (schema or {}).get("properties", {})
    filled = {}
    for field, kind in properties.items():
        if field in ("command", "cmd", "script"):
            filled[field] = ["bash", "-lc", command] if kind.get("type") == "array" else command
        elif field in (schema.get("required") or []):
            filled[field] = {"string": "work", "boolean": False, "integer": 1000, "number": 1000}.get(kind.get("type"), "work")
    return filled or {"command": command}


def shell(tools):
    for wanted in SHELLS:
        for name, schema in tools:
            if name == wanted:
                return name, schema
    return None


class Dialogue:
    """What a dialect's request says, and how it is answered."""

    def __init__(self, body):
        self.body = body

    def step(self):
        tool = shell(self.tools())
        done = self.results()
        if tool is None:
            return "Hello.", None
        if done >= len(STEPS):
            return "All done.", None
        name, schema = tool
        return f"Step {done + 1}.", (f"call_{done}", name, arguments(name, schema, STEPS[done]))


class Anthropic(Dialogue):
    def tools(self):
        return [(tool["name"], tool.get("input_schema")) for tool in self.body.get("tools", [])]

    def results(self):
        content = [m["content"] for m in self.body["messages"] if isinstance(m["content"], list)]
        return sum(block.get("type") == "tool_result" for blocks in content for block in blocks)

    def whole(self):
        text, call = self.step()
        content = [{"type": "text", "text": text}]
        if call:
            content.append({"type": "tool_use", "id": "toolu_" + call[0], "name": call[1], "input": call[2]})
        return {
            "id": "msg_1", "type": "message", "role": "assistant", "model": self.body["model"], "content": content,
            "stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None,
            "usage": {"input_tokens": USAGE_IN, "output_tokens": USAGE_OUT, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0},
        }

    def events(self):
        whole = self.whole()
        content, stop, usage = whole["content"], whole["stop_reason"], whole["usage"]
        start = dict(whole, content=[], stop_reason=None, usage=dict(usage, output_tokens=1))
        yield "message_start", {"message": start}
        for index, block in enumerate(content):
            if block["type"] == "text":
                yield "content_block_start", {"index": index, "content_block": {"type": "text", "text": ""}}
                yield "content_block_delta", {"index": index, "delta": {"type": "text_delta", "text": block["text"]}}
            else:
                yield "content_block_start", {"index": index, "content_block": dict(block, input={})}
                text = json.dumps(block["input"])
                for part in (text[: len(text) // 2], text[len(text) // 2 :]):
                    yield "content_block_delta", {"index": index, "delta": {"type": "input_json_delta", "partial_json": part}}
            yield "content_block_stop", {"index": index}
        yield "message_delta", {"delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": usage["output_tokens"]}}
        yield "message_stop", {}


class Responses(Dialogue):
    def tools(self):
        tools = self.body.get("tools") or []
        return [(tool.get("name", tool["type"]), tool.get("parameters")) for tool in tools]

    def results(self):
        items = self.body["input"]
        return sum(item.get("type") in ("function_call_output", "custom_tool_call_output") for item in items) if isinstance(items, list) else 0

    def whole(self):
        text, call = self.step()
        output = [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                   "content": [{"type": "output_text", "text": text, "annotations": []}]}]
        if call:
            output.append({"type": "function_call", "id": "fc_1", "call_id": call[0], "name": call[1],
                           "arguments": json.dumps(call[2]), "status": "completed"})
        return {
            "id": "resp_1", "object": "response", "created_at": int(time.time()), "model": self.body["model"], "status": "completed", "output": output,
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None, "incomplete_details": None,
            "instructions": None, "metadata": {}, "temperature": 1.0, "top_p": 1.0,
            "usage": {"input_tokens": USAGE_IN, "output_tokens": USAGE_OUT, "total_tokens": USAGE_IN + USAGE_OUT,
                      "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}},
        }

    def events(self):
        whole, number = self.whole(), 0
        yield "response.created", {"sequence_number": 0, "response": dict(whole, status="in_progress", output=[], usage=None)}
        for index, item in enumerate(whole["output"]):
            number += 1
            yield "response.output_item.added", {"sequence_number": number, "output_index": index, "item": dict(item, status="in_progress", content=[]) if item["type"] == "message" else item}
            if item["type"] == "message":
                part = item["content"][0]
                at = {"item_id": item["id"], "output_index": index, "content_index": 0}
                yield "response.content_part.added", {"sequence_number": number + 1, "part": dict(part, text=""), **at}
                yield "response.output_text.delta", {"sequence_number": number + 2, "delta": part["text"], "logprobs": [], **at}
                yield "response.output_text.done", {"sequence_number": number + 3, "text": part["text"], "logprobs": [], **at}
                yield "response.content_part.done", {"sequence_number": number + 4, "part": part, **at}
                number += 4
            number += 1
            yield "response.output_item.done", {"sequence_number": number, "output_index": index, "item": item}
        yield "response.completed", {"sequence_number": number + 1, "response": whole}


class Chat(Dialogue):
    def tools(self):
        return [(tool["function"]["name"], tool["function"].get("parameters")) for tool in self.body.get("tools") or []]

    def results(self):
        return sum(message["role"] == "tool" for message in self.body["messages"])

    def parts(self):
        text, call = self.step()
        calls = [{"index": 0, "id": call[0], "type": "function", "function": {"name": call[1], "arguments": json.dumps(call[2])}}] if call else None
        return text, calls, "tool_calls" if call else "stop"

    usage = {"prompt_tokens": USAGE_IN, "completion_tokens": USAGE_OUT, "total_tokens": USAGE_IN + USAGE_OUT}

    def whole(self):
        text, calls, finish = self.parts()
        message = {"role": "assistant", "content": text}
        if calls:
            message["tool_calls"] = calls
        return {"id": "chatcmpl_1", "object": "chat.completion", "created": int(time.time()), "model": self.body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": self.usage}

    def events(self):
        text, calls, finish = self.parts()
        base = {"id": "chatcmpl_1", "object": "chat.completion.chunk", "created": int(time.time()), "model": self.body["model"]}
        deltas = [{"role": "assistant", "content": text}] + ([{"tool_calls": calls}] if calls else [])
        for delta in deltas:
            yield None, dict(base, choices=[{"index": 0, "delta": delta, "finish_reason": None}])
        yield None, dict(base, choices=[{"index": 0, "delta": {}, "finish_reason": finish}])
        if (self.body.get("stream_options") or {}).get("include_usage"):
            yield None, dict(base, choices=[], usage=self.usage)


class Gemini(Dialogue):
    def tools(self):
        declared = [d for tool in self.body.get("tools") or [] for d in tool.get("functionDeclarations", [])]
        return [(d["name"], d.get("parametersJsonSchema") or d.get("parameters")) for d in declared]

    def results(self):
        return sum("functionResponse" in part for content in self.body["contents"] for part in content.get("parts", []))

    def whole(self):
        text, call = self.step()
        parts = [{"text": text}]
        if call:
            parts.append({"functionCall": {"id": call[0], "name": call[1], "args": call[2]}})
        return {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}], "modelVersion": "m", "responseId": "r",
                "usageMetadata": {"promptTokenCount": USAGE_IN, "candidatesTokenCount": USAGE_OUT, "totalTokenCount": USAGE_IN + USAGE_OUT}}

    def events(self):
        whole = self.whole()
        parts = whole["candidates"][0]["content"]["parts"]
        for part in parts[:-1]:
            yield None, {"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}], "modelVersion": "m", "responseId": "r"}
        whole["candidates"][0]["content"]["parts"] = parts[-1:]
        yield None, whole


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        note(self.path, self.headers, None)
        self.answer(404, {"error": {"message": "no"}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        note(self.path, self.headers, body)
        path = self.path.split("?")[0]
        if path.endswith("/count_tokens"):
            return self.answer(200, {"input_tokens": USAGE_IN})
        if path.endswith(":countTokens"):
            return self.answer(200, {"totalTokens": USAGE_IN})
        kinds = {"/v1/messages": Anthropic, "/v1/responses": Responses, "/v1/chat/completions": Chat}
        dialogue = (kinds.get(path) or Gemini)(body)
        if not (body.get("stream") or "streamGenerateContent" in path):
            return self.answer(200, dialogue.whole())
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for name, data in dialogue.events():
            if name:
                data = dict(data, type=name)
            text = (f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n"
            self.chunk(text)
        if isinstance(dialogue, Chat):
            self.chunk("data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def chunk(self, text):
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


server = Server(("127.0.0.1", PORT), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
