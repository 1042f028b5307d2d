"""Stands before an S3 server: counts what is stored, fails or delays what it is told to."""

import http.client
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Proxy:
    def __init__(self, port):
        self.port = port
        self.failing = 0.0
        self.delay = 0.0
        self.requests = Counter()
        self.stored = Counter()
        self.received = 0
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle(self):
                try:
                    super().handle()
                except OSError:
                    pass  # whoever asked was killed

            def forward(self):
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                if len(body) < length:
                    self.close_connection = True
                    return  # half an upload never arrives
                with outer.lock:
                    outer.requests[self.command] += 1
                    outer.received += length
                time.sleep(outer.delay)
                if random.random() < outer.failing:
                    said = b"<Error><Code>InternalError</Code><Message>try again</Message></Error>"
                    self.send_response(500)
                    self.send_header("content-length", str(len(said)))
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(said)
                    return
                server = http.client.HTTPConnection("127.0.0.1", outer.port, timeout=60)
                server.request(self.command, self.path, body, dict(self.headers))
                answer = server.getresponse()
                content = answer.read()
                if self.command == "PUT" and answer.status == 200:
                    with outer.lock:
                        outer.stored[self.path] += 1
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                        self.send_header(name, value)
                size = answer.getheader("content-length") if self.command == "HEAD" else str(len(content))
                self.send_header("content-length", size or "0")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)
                server.close()

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
