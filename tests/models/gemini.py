"""A Gemini server made of the official SDK's own types: `gemini.py PORT LOG`.

A request is read into them, and they take no field that they do not know; what is answered is written by them. So what
the SDK would send and read is what is asked for and answered here. The model looks, calls two tools, thinks with a
signature, is asked for it again, and submits. Each request leaves a line in LOG: what was wrong with it, or nothing.
"""

import http.server
import json
import re
import sys

from google.genai import types

SIGNATURE = bytes(range(200, 256)) * 3
TURNS = [
    [
        [types.Part(text="I should look.", thought=True)],
        [
            types.Part(
                function_call=types.FunctionCall(id="first", name="bash", args={"command": "echo ä > main.py; ls"}),
                thought_signature=SIGNATURE,
            )
        ],
        [types.Part(function_call=types.FunctionCall(id="second", name="bash", args={"command": "pwd"}))],
    ],
    [[types.Part(text="One more"), types.Part(text=" word.", thought_signature=SIGNATURE[:60])],
     [types.Part(function_call=types.FunctionCall(name="bash", args={"command": "cat main.py"}))]],
    [[types.Part(function_call=types.FunctionCall(id="last", name="submit", args={}))]],
]
PATH = re.compile(r"/v1beta/models/tiny:streamGenerateContent\?alt=sse")
turn = 0
charged = 0


def check(body):
    """What is wrong with a request, as far as types and the conversation so far can say."""
    wrong = []
    config = types.GenerationConfig.model_validate(body.pop("generationConfig"))
    if not config.max_output_tokens:
        wrong.append("no limit of the answer")
    types.Content.model_validate(body.pop("systemInstruction"))
    tools = [types.Tool.model_validate(tool) for tool in body.pop("tools")]
    names = {declaration.name for tool in tools for declaration in tool.function_declarations}
    if not {"bash", "edit", "evaluate", "submit"} <= names:
        wrong.append(f"tools: {names}")
    contents = [types.Content.model_validate(content) for content in body.pop("contents")]
    if body:
        wrong.append(f"unknown fields: {list(body)}")
    roles = [content.role for content in contents]
    if roles != ["user", "model"] * (len(roles) // 2) + ["user"]:
        wrong.append(f"roles: {roles}")
    said = [content for content in contents if content.role == "model"]
    if len(said) != turn:
        wrong.append(f"{len(said)} answers are sent back, of {turn}")
    for content, chunks in zip(said, TURNS):
        sent = [part for chunk in chunks for part in chunk]
        signed = [part.thought_signature for part in content.parts if part.thought_signature]
        if signed != [part.thought_signature for part in sent if part.thought_signature]:
            wrong.append("signatures do not come back as they were")
        calls = [part.function_call for part in content.parts if part.function_call]
        if calls != [part.function_call for part in sent if part.function_call]:
            wrong.append(f"calls do not come back as they were: {calls}")
    for content, chunks in zip(contents[2::2], TURNS):
        calls = [part.function_call for chunk in chunks for part in chunk if part.function_call]
        answers = [part.function_response for part in content.parts if part.function_response]
        if [(call.id, call.name) for call in calls] != [(answer.id, answer.name) for answer in answers]:
            wrong.append(f"answers to other calls: {answers}")
    return wrong


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        global turn, charged
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        try:
            wrong = check(body)
        except ValueError as error:
            wrong = [str(error)]
        if not PATH.fullmatch(self.path):
            wrong.append(f"path {self.path}")
        if self.headers["x-goog-api-key"] != "sk-gemini":
            wrong.append("no key")
        chunks = TURNS[turn]
        turn += 1
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number, parts in enumerate(chunks):
            last = number + 1 == len(chunks)
            response = types.GenerateContentResponse(
                candidates=[
                    types.Candidate(
                        index=0,
                        content=types.Content(role="model", parts=parts),
                        finish_reason=types.FinishReason.STOP if last else None,
                    )
                ],
                usage_metadata=types.GenerateContentResponseUsageMetadata(
                    prompt_token_count=1000 * turn,
                    cached_content_token_count=900 * (turn - 1) or None,
                    candidates_token_count=10 + number,
                    thoughts_token_count=7 if turn == 1 else None,
                    total_token_count=1000 * turn + 10 + number + (7 if turn == 1 else 0),
                ),
                model_version="tiny-1",
                response_id=f"response-{turn}",
            )
            text = response.model_dump_json(by_alias=True, exclude_none=True)
            chunk = f"data: {text}\r\n\r\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            if last:
                charged += response.usage_metadata.total_token_count
        self.wfile.write(b"0\r\n\r\n")
        with open(sys.argv[2], "a") as log:
            log.write(json.dumps({"turn": turn, "wrong": wrong, "charged": charged}) + "\n")


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
