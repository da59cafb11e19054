// A debugger of a guest that runs: it speaks the protocol of DevTools. For each
// line that it is given it waits until the guest stands at the breakpoint, and
// lets it go on.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";

const { INSPECT, AT } = process.env;
const socket = new WebSocket(INSPECT);
await new Promise((resolve, reject) => {
  socket.onopen = resolve;
  socket.onerror = () => reject(new Error(`nobody at ${INSPECT}`));
});

let last = 0;
const asked = new Map();
const heard = [];
let listener = null;
socket.onmessage = ({ data }) => {
  const m = JSON.parse(data);
  if (m.id !== undefined) {
    const { resolve, reject } = asked.get(m.id);
    if (m.error) reject(new Error(m.error.message));
    else resolve(m.result);
    return;
  }
  heard.push(m);
  listener?.();
};
const ask = (method, params = {}) =>
  new Promise((resolve, reject) => {
    asked.set(++last, { resolve, reject });
    socket.send(JSON.stringify({ id: last, method, params }));
  });
async function hear(method) {
  for (;;) {
    const i = heard.findIndex((m) => m.method === method);
    if (i >= 0) return heard.splice(i, 1)[0].params;
    await new Promise((resolve) => (listener = resolve));
  }
}

await ask("Debugger.enable");
// The author's code, by what it says, and his own file, by the source map.
let found = null;
for (const { params } of heard.filter((m) => m.method === "Debugger.scriptParsed")) {
  const { scriptSource } = await ask("Debugger.getScriptSource", { scriptId: params.scriptId });
  const at = scriptSource.split("\n").findIndex((line) => line.includes(AT));
  if (at >= 0) found = { ...params, line: at };
}
assert.ok(found, `no script has ${AT}: ${heard.map((m) => m.params?.url).filter((u) => u && !u.startsWith("node:"))}`);
assert.notEqual(found.sourceMapURL, "", "the bundle has a source map");
await ask("Debugger.setBreakpointByUrl", { url: found.url, lineNumber: found.line });
process.stdout.write('{"set":true}\n');

for await (const _ of createInterface({ input: process.stdin })) {
  const { callFrames } = await hear("Debugger.paused");
  assert.equal(callFrames[0].location.lineNumber, found.line);
  process.stdout.write('{"stood":true}\n');
  await ask("Debugger.resume");
}
socket.close();
