// Works on a task with the TypeScript SDK of the Model Context Protocol.
//
//     client.mjs begin|end URL|PROGRAM ARGUMENT...
//
// Over HTTP the token is in MCP_TOKEN. `begin` rebuilds the program and leaves; `end` looks whether everything is there, and
// submits. GOLDEN names the file to be written as main.py; SDK the directory of the SDK's package.

import assert from "node:assert";
import fs from "node:fs";

const sdk = (path) => import(`${process.env.SDK}/dist/esm/client/${path}.js`);
const { Client } = await sdk("index");
const [stage, server, ...args] = process.argv.slice(2);

async function connect() {
  if (server.startsWith("http")) {
    const { StreamableHTTPClientTransport } = await sdk("streamableHttp");
    const headers = { Authorization: `Bearer ${process.env.MCP_TOKEN}` };
    return new StreamableHTTPClientTransport(new URL(server), { requestInit: { headers } });
  }
  const { StdioClientTransport } = await sdk("stdio");
  return new StdioClientTransport({ command: server, args, env: process.env });
}

const client = new Client({ name: "typescript-sdk", version: process.env.VERSION });
await client.connect(await connect());
console.log(`   typescript: ${client.getServerVersion().name} ${client.getServerVersion().version}`);
assert.match(client.getInstructions(), /uuidparse/);

// Waits for as long as the server says that it is at work.
async function call(name, arguments_, fails = false) {
  const options = { timeout: 30_000, resetTimeoutOnProgress: true, onprogress: () => {} };
  const result = await client.callTool({ name, arguments: arguments_ }, undefined, options);
  const { text } = result.content[0];
  assert.equal(Boolean(result.isError), fails, `${name}: ${text}`);
  return text;
}

if (stage === "begin") {
  const { tools } = await client.listTools();
  assert.deepEqual(tools.map((tool) => tool.name), ["bash", "edit", "evaluate", "submit", "oracle"]);
  const { messages } = await client.getPrompt({ name: "task" });
  assert.match(messages[0].content.text, /hidden/i);
  assert.match(await call("oracle", { arguments: ["--version"] }), /\[exit status 0\]/);
  assert.match(await call("bash", {}, true), /missing field `command`/);
  assert.match(await call("look", {}, true), /there are bash, edit/);
  const text = fs.readFileSync(process.env.GOLDEN, "utf8");
  await call("edit", { action: "create", path: "main.py", text });
  await call("bash", { command: "printf 'a\\nb\\n' >NOTES.md" });
  assert.match(await call("evaluate", {}), /pass/);
} else {
  assert.match(await call("bash", { command: "wc -l NOTES.md" }), /^2 NOTES.md/);
  console.log("  ", (await call("submit", {})).trim());
  await call("bash", { command: "true" }, true);
}
await client.close();
