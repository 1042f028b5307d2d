"""Prints what the stand-in makes an agent do: write a small gron in Python, try it, try what is forbidden, and submit."""

import json
import sys

PROGRAM = r'''
import json, re, sys
def walk(value, path):
    if isinstance(value, dict):
        print(f"{path} = {{}};")
        for key in sorted(value):
            plain = re.fullmatch(r"[A-Za-z_$][A-Za-z0-9_$]*", key)
            walk(value[key], f"{path}.{key}" if plain else f"{path}[{json.dumps(key, ensure_ascii=False)}]")
    elif isinstance(value, list):
        print(f"{path} = [];")
        for index, item in enumerate(value):
            walk(item, f"{path}[{index}]")
    else:
        print(f"{path} = {json.dumps(value, ensure_ascii=False)};")
arguments = [a for a in sys.argv[1:] if not a.startswith("-")]
text = open(arguments[0]).read() if arguments else sys.stdin.read()
walk(json.loads(text), "json")
'''

FORBIDDEN = r'''
import json, os, socket, urllib.request, urllib.error
def reaches(family, kind, address):
    s = socket.socket(family, kind); s.settimeout(2)
    try: s.connect(address); s.send(b"x"); return True
    except OSError: return False
addresses = [(2, ("192.0.2.1", 443)), (2, ("127.0.0.1", 22)), (2, ("127.0.0.1", int(os.environ.get("OUTSIDE", 9)))), (10, ("::1", 8484)), (10, ("2001:db8::1", 443))]
print("uid", os.getuid(), "reached", [a for f, a in addresses if reaches(f, 1, a)])
for raw in ((2, 3, 1), (10, 3, 58), (17, 3, 768)):
    try: socket.socket(*raw); print("raw socket", raw)
    except OSError: pass
try: print("resolved", socket.getaddrinfo("example.org", 443))
except OSError: pass
def ask(method, path, body=None):
    request = urllib.request.Request("http://127.0.0.1:8484" + path, method=method, data=json.dumps(body).encode() if body is not None else None)
    try: return urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error: return error.code
talk = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 5}
say = lambda **more: ask("POST", "/v1/chat/completions", {"model": "gpt-m", **talk, **more})
image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://example.org/x.png"}}]}]
print("answers", [ask("GET", "/v1/models"), ask("POST", "/v1/files", {}), ask("POST", "/v1/batches", {}), say(model="another"),
      say(tools=[{"type": "web_search"}]), say(web_search_options={}), say(messages=image)])
'''

SECOND = sys.argv[1:] == ["--forbidden"]
steps = [
    f"cat > /workspace/main.py <<'PROGRAM'{PROGRAM}PROGRAM",
    "cd /workspace && gron /task/cases/visible.jsonl >/dev/null; echo '{\"a\":[1,true]}' | gron; echo '{\"a\":[1,true]}' | python3 main.py",
    "ls -a /workspace && echo notes > /workspace/NOTES.md",
]
if SECOND:
    steps.append(f"python3 - <<'PROGRAM'{FORBIDDEN}PROGRAM")
steps.append("submit")
print(json.dumps(steps))
