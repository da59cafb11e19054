import assert from "node:assert/strict";
import { test } from "node:test";
import { Host } from "./support/host.ts";

const a = 0x100000000;

/** Code that Node itself continues, outside any turn of ours. */
const source = `
import { promisify } from "node:util";
import { gzip } from "node:zlib";
export class Room {
  constructor(ctx) {
    this.ctx = ctx;
    if (ctx.id.name === "abort") ctx.abort("in the constructor");
    if (ctx.id.name === "section") ctx.blockConcurrencyWhile(async () => { await scheduler.wait(1); ctx.abort("in a section"); });
  }
  async digest() { await crypto.subtle.digest("SHA-256", new Uint8Array(10)); }
  async webSocketMessage(ws, message) {
    switch (message) {
      case "digest": await this.digest(); ws.send("digested"); break;
      case "write": await this.digest(); ws.send("before"); this.ctx.storage.put("k", 1); ws.send("after"); break;
      case "gzip": await promisify(gzip)("x"); ws.send("zipped"); break;
      case "stream": for await (const x of ReadableStream.from([1, 2])) ws.send("part " + x); break;
      case "abort": await this.digest(); this.ctx.abort("after a digest"); break;
      case "timer": setTimeout(() => this.ctx.abort("in a timer"), 1); break;
      case "unhandled": await this.digest(); throw new Error("after a digest"); break;
      case "listener": { const t = new EventTarget(); t.addEventListener("x", () => this.ctx.abort("in a listener")); t.dispatchEvent(new Event("x")); ws.send("never"); break; }
      case "getter": ws.send({ toString: () => this.ctx.abort("in toString") }); break;
      case "sort": [3, 1, 2].sort(() => this.ctx.abort("in sort")); break;
      case "sync": this.ctx.storage.transactionSync(() => { this.ctx.storage.sql.exec("CREATE TABLE t (x)"); this.ctx.abort("in a transaction"); }); break;
      default: ws.send("echo " + message);
    }
  }
}
export default {};
`;

async function room(): Promise<Host> {
  const host = await Host.start({ source, classes: ["Room"] });
  host.write((f) => f.start({ object: 1, sockets: 1 }).sockets(1, [{ socket: a }]));
  await host.await("started");
  host.clear();
  return host;
}

test("outputs of what Node continues leave at once", async () => {
  await using host = await room();
  for (const [ask, answer] of [["digest", "digested"], ["gzip", "zipped"], ["stream", "part 2"]] as const) {
    host.write((f) => f.message(a, ask));
    await host.next((s) => s.type === "send" && s.data === answer);
  }
  await host.next((s) => s.type === "progress" && s.finished === 3);
});

test("so do its commits, in their order", async () => {
  await using host = await room();
  host.write((f) => f.message(a, "write"));
  await host.next((s) => s.type === "progress" && s.finished === 1);
  const order = host.said.filter((s) => s.type === "send" || s.type === "commit").map((s) => (s.type === "send" ? s.data : "commit"));
  assert.deepEqual(order, ["before", "commit", "after"]);
});

for (const [how, text] of [
  ["abort", "after a digest"], ["timer", "in a timer"], ["listener", "in a listener"], ["getter", "in toString"], ["sort", "in sort"], ["sync", "in a transaction"],
] as const) {
  test(`an abort ${text} ends only its object`, async () => {
    await using host = await room();
    host.write((f) => f.start({ object: 2, id: "22".repeat(32), sockets: 1 }).sockets(2, [{ socket: 2 * a }]).message(a, how).message(2 * a, "digest"));
    const aborted = await host.await("aborted");
    assert.deepEqual([aborted.object, aborted.error.message], [1, text]);
    await host.next((s) => s.type === "send" && s.data === "digested");
    host.write((f) => f.message(2 * a, "x"));
    await host.next((s) => s.type === "send" && s.data === "echo x");
    // The same object again: its database is whole, and it works.
    host.write((f) => f.start({ object: 3, sockets: 1 }).sockets(3, [{ socket: 3 * a }]).message(3 * a, "write"));
    await host.next((s) => s.type === "send" && s.data === "after");
  });
}

test("an abort in the constructor, or in its section, fails the start", async () => {
  await using host = await room();
  host.write((f) => f.start({ object: 2, id: "22".repeat(32), name: "abort" }).start({ object: 3, id: "33".repeat(32), name: "section" }).message(a, "x"));
  await host.next((s) => s.type === "send" && s.data === "echo x");
  await host.next((s) => s.type === "startFailed" && s.object === 3);
  assert.deepEqual(host.of("startFailed").map((s) => [s.object, s.error.message]), [[2, "in the constructor"], [3, "in a section"]]);
});

test("an error after Node's continuation has its object in the log", async () => {
  await using host = await room();
  host.write((f) => f.message(a, "unhandled"));
  const log = await host.await("log");
  assert.deepEqual([log.object, log.level], [1, 3]);
});

test("32,768 sockets at a start", async () => {
  await using host = await Host.start({ source, classes: ["Room"] });
  const n = 32_768;
  host.write((f) => {
    f.start({ object: 1, sockets: n });
    for (let i = 0; i < n; i += 512) f.sockets(1, Array.from({ length: 512 }, (_, j) => ({ socket: a + 2 * (i + j), tags: [`t${j}`], attachment: Buffer.from([0xff, 15, 0x5f]) })));
    f.message(a, "x");
  });
  await host.next((s) => s.type === "send" && s.data === "echo x");
});
