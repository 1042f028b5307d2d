"""A model's server that counts what it is asked: the only witness of what workers really sent.

The model's name says what it does: `solver` writes the golden rebuild, `idler` writes something wrong, `slow` is a
solver that thinks for long. A run is known by the key of its cache, which is the run's name."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Provider(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, golden, think):
        super().__init__(("127.0.0.1", 0), Handler)
        self.golden = golden
        self.think = think
        self.lock = threading.Lock()
        self.requests = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def turns(self, model):
        note = ("bash", {"command": "echo one more >> /tmp/log; uuidparse --help | head -3"})
        text = "print('no')\n" if model == "idler" else self.golden
        write = ("edit", {"action": "create", "path": "main.py", "text": text})
        more = 8 if model == "slow" else 1
        return [note, write] + [note] * more + [("submit", {})]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["content-length"]))
        body = json.loads(raw)
        server = self.server
        model, run = body["model"], body["prompt_cache_key"]
        turns = server.turns(model)
        # What was cut off is done again, as its agent is told to consider.
        turn = sum(message["role"] == "tool" and "was interrupted while this was under way" not in str(message["content"])
                   for message in body["messages"])
        name, arguments = turns[min(turn, len(turns) - 1)]
        usage = {"prompt_tokens": len(raw) // 4, "completion_tokens": 40}
        usage["total_tokens"] = sum(usage.values())
        with server.lock:
            server.requests.append({"time": time.time(), "run": run, "turn": turn, "usage": usage})
        time.sleep(server.think.get(model, 0.05))
        call = {"index": 0, "id": f"call-{turn}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        base = {"id": "c", "object": "chat.completion.chunk", "created": int(time.time()), "model": model}
        deltas = [{"role": "assistant", "content": f"turn {turn}"}, {"tool_calls": [call]}]
        events = [dict(base, choices=[{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
        events.append(dict(base, choices=[{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]))
        events.append(dict(base, choices=[], usage=usage))
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        data = text.encode()
        try:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            # The worker is gone.
            self.close_connection = True
