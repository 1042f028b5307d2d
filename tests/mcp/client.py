"""Works on a task with the Python SDK of the Model Context Protocol.

    client.py begin|end URL|PROGRAM ARGUMENT...

Over HTTP the token is in MCP_TOKEN. `begin` rebuilds the program and leaves; `end` looks whether everything is there, and
submits. GOLDEN names the file to be written as main.py.
"""

import asyncio
import os
import pathlib
import sys

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

STAGE, SERVER, ARGUMENTS = sys.argv[1], sys.argv[2], sys.argv[3:]
MODE = os.environ.get("MCP_MODE", "auto")


def server():
    if SERVER.startswith("http"):
        fields = {"Authorization": f"Bearer {os.environ['MCP_TOKEN']}"}
        return streamable_http_client(SERVER, http_client=httpx2.AsyncClient(headers=fields, timeout=600))
    # The SDK hands on few variables unless it is told to.
    return StdioServerParameters(command=SERVER, args=ARGUMENTS, env=dict(os.environ))


async def main():
    async with Client(server(), mode=MODE, read_timeout_seconds=600) as client:
        async def call(name, arguments, fails=False):
            result = await client.call_tool(name, arguments)
            text = result.content[0].text
            assert bool(result.is_error) == fails, (name, text)
            return text

        print(f"   python: protocol {client.protocol_version}, {client.server_info.name} {client.server_info.version}")
        assert "uuidparse" in client.instructions, client.instructions
        if STAGE == "begin":
            tools = [tool.name for tool in (await client.list_tools()).tools]
            assert tools == ["bash", "edit", "evaluate", "submit", "oracle"], tools
            prompt = await client.get_prompt("task")
            assert "hidden" in prompt.messages[0].content.text.lower()
            text = await call("oracle", {"arguments": ["-n", "-o", "TYPE"], "stdin": "c6f06bb2-4d33-4f3d-9d3e-8a4d4cd4cf80\n"})
            assert "[exit status 0]" in text and "random" in text, text
            text = await call("edit", {"action": "create", "path": "main.py"}, fails=True)
            assert "text" in text, text
            text = await call("bash", {"cmd": "ls"}, fails=True)
            assert "missing field `command`" in text, text
            golden = pathlib.Path(os.environ["GOLDEN"]).read_text()
            await call("edit", {"action": "create", "path": "main.py", "text": golden})
            # Several at once are done one after the other.
            both = await asyncio.gather(call("bash", {"command": "sleep 1; echo a >>NOTES.md"}), call("bash", {"command": "echo b >>NOTES.md"}))
            assert len(both) == 2, both
            text = await call("evaluate", {})
            # How many is for the verdict: a busy machine may not give each case its time.
            assert "of 623 visible cases pass" in text, text
        else:
            text = await call("bash", {"command": "wc -l NOTES.md"})
            assert text.startswith("2 NOTES.md"), text
            print("  ", (await call("submit", {})).strip())
            await call("bash", {"command": "true"}, fails=True)


asyncio.run(main())
