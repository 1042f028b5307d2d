"""What the gateway adds to the time to the first byte, with many streams at once, and what memory it takes.

    gateway.py serve                        a provider that answers at once; prints its port
    gateway.py ask URL STREAMS ROUNDS       median milliseconds to the first byte, of ROUNDS streams one after the other in
                                            each of STREAMS callers, which are all under way at the same time
    gateway.py compare GATEWAY STREAMS ROUNDS
"""

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time

THINKS = 0.0
PIECES = 40
PAUSE = 0.05
START = {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [],
         "usage": {"input_tokens": 10, "output_tokens": 1}}}
FIRST = [START, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}]
MORE = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word " * 20}}
LAST = [{"type": "content_block_stop", "index": 0}, {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"}]
# A conversation of some 40 kB.
BODY = json.dumps({"model": "m", "max_tokens": 100, "stream": True,
                   "messages": [{"role": "user" if i % 2 == 0 else "assistant", "content": f"{i} " + "word " * 200} for i in range(41)]}).encode()


def events(values):
    text = "".join(f"event: {value['type']}\ndata: {json.dumps(value)}\n\n" for value in values).encode()
    return f"{len(text):x}\r\n".encode() + text + b"\r\n"


async def answer(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            await asyncio.sleep(THINKS)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + events(FIRST))
            for _ in range(PIECES):
                await asyncio.sleep(PAUSE)
                writer.write(events([MORE]))
            writer.write(events(LAST) + b"0\r\n\r\n")
            await writer.drain()
            if b"connection: close" in head.lower():
                break
        writer.close()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve():
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def stream(host, port):
    reader, writer = await asyncio.open_connection(host, port)
    head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(BODY)}\r\n\r\n".encode()
    begun = time.perf_counter()
    writer.write(head + BODY)
    first = await reader.read(1)
    took = time.perf_counter() - begun
    rest = await reader.read()
    assert (first + rest).startswith(b"HTTP/1.1 200"), first + rest[:300]
    assert b"message_stop" in rest
    writer.close()
    return took


async def caller(host, port, rounds, chance):
    # Callers do not begin at the same moment, as agents do not.
    await asyncio.sleep(chance.random() * (THINKS + PIECES * PAUSE))
    return [await stream(host, port) for _ in range(rounds)]


async def ask(url, streams, rounds):
    host, port = url.removeprefix("http://").split(":")
    chance = random.Random(streams)
    times = await asyncio.gather(*(caller(host, int(port), rounds, chance) for _ in range(streams)))
    return statistics.median(sum(times, [])) * 1000


def memory(pid):
    return int(next(line for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS")).split()[1]) / 1024


def compare(program, streams, rounds):
    provider = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    direct = f"http://127.0.0.1:{int(provider.stdout.readline())}"
    gateway = subprocess.Popen([program, "anthropic/m", direct], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env=dict(os.environ, GATEWAY_KEY="sk", GATEWAY_SILENT="1"))
    through = f"http://127.0.0.1:{int(gateway.stdout.readline())}"
    asyncio.run(ask(through, streams, 2))
    sizes = []
    for turn in range(3):
        sizes.append(memory(gateway.pid))
        plain, passed = asyncio.run(ask(direct, streams, rounds)), asyncio.run(ask(through, streams, rounds))
        print(f"{streams} callers at once: first byte after {plain:.2f} ms, through the gateway {passed:.2f} ms, {passed - plain:.2f} ms more")
    sizes.append(memory(gateway.pid))
    print(f"memory after 2, {', '.join(str(2 + rounds * turn) for turn in (1, 2, 3))} rounds: {', '.join(f'{size:.1f}' for size in sizes)} MiB")
    gateway.stdin.close()
    gateway.wait()
    provider.kill()


match sys.argv[1]:
    case "serve":
        asyncio.run(serve())
    case "ask":
        print(f"{asyncio.run(ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))):.2f}")
    case "compare":
        compare(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
