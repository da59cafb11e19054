/*
 * What code of a guest asks of its objects past the host: that it means the same
 * as by way of it, and when it is not done.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { IdMaker } from "../src/ids.ts";
import type { Said } from "./support/frames.ts";
import { Host } from "./support/host.ts";

type Of<K extends Said["type"]> = Extract<Said, { type: K }>;

const source = `
import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  n = 0;
  async fetch(request) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/echo": {
        let frozen = "";
        try { request.headers.set("x", "y"); } catch (e) { frozen = e.message; }
        return new Response(await request.text(), { headers: { "x-got": request.headers.get("x-sent") ?? "none", "x-frozen": frozen, "x-length": request.headers.get("content-length") ?? "none", "x-cf": JSON.stringify(request.cf ?? null), "x-method": request.method } });
      }
      case "/write": await this.ctx.storage.put("n", ++this.n); return new Response("wrote");
      case "/sync": await this.ctx.storage.put("n", ++this.n); await this.ctx.storage.sync(); this.ctx.abort("synced"); break;
      case "/throw": throw Object.assign(new RangeError("thrown"), { why: 7 });
      case "/abort": this.ctx.abort("gone"); break;
      case "/hold": await new Promise((r) => (this.release = r)); return new Response("held");
      case "/release": this.release(); return new Response("released");
      case "/block": this.ctx.blockConcurrencyWhile(() => new Promise((r) => setTimeout(r, 50))); return new Response("blocked");
      case "/socket": { const [x, y] = new WebSocketPair(); this.ctx.acceptWebSocket(y, ["t"]); return new Response(null, { status: 101, webSocket: x }); }
      case "/begin": console.log("begun"); return new Response("answered");
      case "/compute": return new Response(this.compute());
      case "/pair": this.ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("a", "b")); return new Response("set");
      case "/stream": {
        let left = 40;
        return new Response(new ReadableStream({ pull(c) { if (left-- === 0) c.close(); else c.enqueue(new Uint8Array(65536).fill(left)); }, cancel(why) { console.log("cancelled " + why.message); } }));
      }
      case "/reuse": {
        const one = Buffer.alloc(4);
        let n = 0;
        return new Response(new ReadableStream({ pull(c) { if (n === 3) c.close(); else c.enqueue(one.fill("abc"[n++])); } }, { highWaterMark: 0 }));
      }
    }
    return new Response("nothing");
  }
  add(x, y) { return x + y; }
  compute() { const until = Date.now() + 2; while (Date.now() < until); return "computed"; }
  same(value) { this.last = value; return value; }
  look() { return this.last; }
  counter() { let n = 0; return { up: () => ++n }; }
  fail() { throw new TypeError("failed"); }
  reset() { this.ctx.abort("reset"); }
}
const text = async (r) => r.status + " " + (await r.text());
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const stub = env.ROOM.getByName("r");
    const failed = (e) => [e.name, e.message, e.why, e.remote, e.durableObjectReset].join();
    try {
      switch (url.pathname) {
        case "/both": return new Response((await Promise.all([stub.fetch("http://x/echo", { method: "POST", body: "a" }), stub.fetch("http://x/echo", { method: "POST", body: "b" })].map(async (r) => (await r).text()))).join());
        case "/echo": { const r = await stub.fetch("http://x/echo", { method: "PUT", body: "h\u00e9", headers: { "x-sent": "1" }, cf: { a: 1 } }); return new Response([...r.headers].map((h) => h.join("=")).join("&") + " " + (await r.text())); }
        case "/socket": case "/stream": return stub.fetch(request);
        case "/some": { const r = await stub.fetch("http://x/stream"); const reader = r.body.getReader(); await reader.read(); await reader.cancel(new Error("enough")); return new Response("some"); }
        case "/reuse": { const r = await stub.fetch(request); await new Promise((done) => setTimeout(done, 20)); return new Response(await r.text()); }
        case "/rpc": {
          const given = { list: [1, "two", null], deep: { a: true } };
          const got = await stub.same(given);
          got.deep.a = false;
          const kept = await stub.look();
          const counter = await stub.counter();
          return Response.json([await stub.add(1, 2), got === given, given.deep.a, kept.deep.a, await counter.up(), await counter.up(), await stub.fail().catch(failed)]);
        }
        case "/big": { const s = "x".repeat(1 << 20); return new Response(String((await stub.same(s)) === s)); }
        case "/reset": { const counter = await stub.counter(); const first = await stub.reset().catch(failed); return Response.json([first, await counter.up().catch(failed), await env.ROOM.getByName("r").add(1, 1).catch(failed)]); }
        case "/many": return new Response(String((await Promise.all(Array.from({ length: 300 }, async () => { const up = stub.counter().up(); await stub.fetch("http://x/begin"); return up; }))).join("") === "1".repeat(300)));
        case "/crowd": {
          const calls = Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? stub.compute() : stub.fetch("http://x/compute").then((r) => r.text())));
          const count = {};
          for (const { value, reason } of await Promise.allSettled(calls)) {
            const what = value ?? [reason.message, reason.overloaded, reason.remote].join();
            count[what] = (count[what] ?? 0) + 1;
          }
          return Response.json([count, await stub.add(1, 2)]);
        }
        case "/loop": { globalThis.go = true; let n = 0; while (globalThis.go) { await stub.add(1, 1); n++; } return new Response(String(n > 100)); }
        case "/stop": globalThis.go = false; return new Response("stopped");
        default: return new Response(await text(await stub.fetch("http://x" + url.pathname)));
      }
    } catch (e) { return new Response(failed(e)); }
  },
};`;

const id = new IdMaker("test-Room").fromName("r");

/** A guest in which the object is in memory. */
async function started(limits: Record<string, number> = {}): Promise<Host> {
  const host = await Host.start({ source, classes: ["Room"], config: { direct: true }, limits });
  host.write((f) => f.start({ object: 1, id, name: "r" }));
  await host.await("started");
  return host;
}

let exchange = 0;

/** What the Worker answers. */
async function ask(host: Host, path: string): Promise<string> {
  const x = (exchange += 2);
  host.write((f) => f.request({ exchange: x, url: `http://x${path}` }));
  return answer(host, x);
}

async function answer(host: Host, x: number): Promise<string> {
  await host.next((s) => (s.type === "bodyEnd" || s.type === "bodyAbort") && s.exchange === x);
  return Buffer.concat(host.of("body").filter((b) => b.exchange === x).map((b) => b.data)).toString();
}

function nothingAsked(host: Host): void {
  assert.deepEqual([host.of("request"), host.of("rpcOpen")], [[], []]);
}

test("a fetch of an object of this guest does not pass the host", async () => {
  await using host = await started();
  const got = await ask(host, "/echo");
  assert.equal(got, `content-length=3&content-type=text/plain;charset=UTF-8&x-cf={"a":1}&x-frozen=Can't modify immutable headers.&x-got=1&x-length=3&x-method=PUT h\u00e9`);
  assert.equal(await ask(host, "/both"), "a,b");
  nothingAsked(host);
  await host.next((s) => s.type === "direct" && s.object === 1);
  assert.equal(host.of("direct").reduce((n, d) => n + d.events, 0), 3);
  // They are none of those that the host has delivered.
  assert.ok(host.of("progress").every((p) => p.started === 0 && p.finished === 0));
});

test("a piece of a body is as it was when it was given, also if its Buffer is used again", async () => {
  await using host = await started();
  assert.equal(await ask(host, "/reuse"), "aaaabbbbcccc");
  nothingAsked(host);
});

test("an answer waits until what the object has written is durable", async () => {
  await using host = await started();
  host.durable = false;
  const x = (exchange += 2);
  host.write((f) => f.request({ exchange: x, url: "http://x/write" }));
  const asked = await host.await("awaitDurable");
  // A request behind it has its answer: of the Worker nothing waits.
  await ask(host, "/stop");
  assert.deepEqual(host.of("response").filter((r) => r.exchange === x), []);
  // Not even the wish to be asleep takes it away.
  host.write((f) => f.hibernate(1, 0, 1));
  await host.await("awake");
  host.durable = true;
  host.write((f) => f.durable(1, asked.commit));
  assert.equal(await answer(host, x), "200 wrote");
});

test("what waited for the disk is said before code that waited for it goes on", async () => {
  await using host = await started();
  host.durable = false;
  const [aborting, reading, calling] = [(exchange += 2), (exchange += 2), (exchange += 2)];
  host.write((f) => f.request({ exchange: aborting, url: "http://x/sync" }));
  const asked = await host.next<Of<"awaitDurable">>((s) => s.type === "awaitDurable" && s.commit === 1);
  host.write((f) => f.request({ exchange: reading, url: "http://x/read" }).request({ exchange: calling, url: "http://x/rpc" }));
  await ask(host, "/stop");
  host.write((f) => f.durable(1, asked.commit));
  assert.equal(await answer(host, reading), "200 nothing");
  assert.equal(await answer(host, aborting), "Error,synced,,true,true");
  await answer(host, calling); // ends, one way or the other
});

test("an event waits at the input gate", async () => {
  await using host = await started();
  assert.equal(await ask(host, "/block"), "200 blocked");
  assert.equal(await ask(host, "/echo2"), "200 nothing");
  nothingAsked(host);
});

test("errors arrive as by way of the host, and say where they came from", async () => {
  await using host = await started();
  assert.equal(await ask(host, "/throw"), "RangeError,thrown,7,true,");
  assert.match(host.of("log")[0]!.text, /Uncaught \(in fetch\): RangeError: thrown/);
  assert.ok(host.of("blame")[0]!.event >= 0x80000000);
});

test("an object that ends takes the answers that it owes with it", async () => {
  await using host = await started();
  const x = (exchange += 2);
  host.write((f) => f.request({ exchange: x, url: "http://x/hold" }));
  await host.next((s) => s.type === "progress" && s.tasks === 1);
  host.write((f) => f.hibernate(1, 0));
  await host.await("awake");
  assert.equal(await ask(host, "/abort"), "Error,gone,,true,true");
  assert.equal(await answer(host, x), "Error,gone,,true,true");
  // It is not in memory any more: the next one goes to the host.
  host.write((f) => f.request({ exchange: 900, url: "http://x/echo3" }));
  await host.await("request");
});

test("an event in progress keeps the object, and its end lets it go", async () => {
  await using host = await started();
  const x = (exchange += 2);
  host.write((f) => f.request({ exchange: x, url: "http://x/hold" }));
  await host.next((s) => s.type === "progress" && s.tasks === 1);
  host.write((f) => f.hibernate(1, 0));
  await host.await("awake");
  assert.equal(await ask(host, "/release"), "200 released");
  assert.equal(await answer(host, x), "200 held");
  await host.next((s) => s.type === "progress" && s.tasks === 0, host.said.findLastIndex((s) => s.type === "progress"));
  host.write((f) => f.hibernate(1, 0));
  await host.await("asleep");
});

test("a socket passes from the object over the Worker to the client", async () => {
  await using host = await started();
  const x = (exchange += 2);
  host.write((f) => f.request({ exchange: x, url: "http://x/socket", headers: [["Upgrade", "websocket"]] }));
  const r = await host.next<Of<"response">>((s) => s.type === "response" && s.exchange === x);
  const accepted = await host.await("accept");
  assert.deepEqual([r.status, r.socket, accepted.object], [101, accepted.socket - 1, 1]);
  nothingAsked(host);
});

test("an object with an auto-response is told of times by the host, so it is asked by way of it", async () => {
  await using host = await started();
  assert.equal(await ask(host, "/pair"), "200 set");
  nothingAsked(host);
  host.write((f) => f.request({ exchange: 800, url: "http://x/echo" }));
  await host.await("request");
});

test("a streamed body comes whole, and breaks off when nobody wants it", async () => {
  await using host = await started();
  const x = (exchange += 2);
  host.write((f) => f.request({ exchange: x, url: "http://x/stream" }));
  let granted = 0;
  const got = () => host.of("body").filter((b) => b.exchange === x).reduce((n, b) => n + b.data.length, 0);
  while (got() < 40 * 65536) {
    const from = host.said.length;
    if (got() > granted) host.write((f) => f.credit(x, got() - granted));
    granted = got();
    if (got() < 40 * 65536) await host.next((s) => s.type === "body", from);
  }
  await host.next((s) => s.type === "bodyEnd" && s.exchange === x);
  assert.equal(await ask(host, "/some"), "some");
  await host.next((s) => s.type === "log" && s.text === "cancelled Error: enough");
  nothingAsked(host);
});

test("calls of methods: copies, references, errors, all past the host", async () => {
  await using host = await started();
  assert.deepEqual(JSON.parse(await ask(host, "/rpc")), [3, false, true, true, 1, 2, "TypeError,failed,,true,"]);
  assert.equal(await ask(host, "/big"), "true");
  nothingAsked(host);
});

test("a reset breaks what came of the instance before its caller goes on", async () => {
  await using host = await started();
  const x = (exchange += 2);
  host.write((f) => f.request({ exchange: x, url: "http://x/reset" }));
  const opened = await host.await("rpcOpen");
  host.write((f) => f.rpcFailure(opened.session, { message: "not now" }));
  const gone = "Error,The execution context which hosts this callback is no longer running.,,,";
  assert.deepEqual(JSON.parse(await answer(host, x)), ["Error,reset,,,true", gone, "Error,not now,,,"]);
});

test("what waits past the host is bounded, and goes by way of it beyond", async () => {
  await using host = await started({ mailboxEvents: 2 });
  const held = [(exchange += 2), (exchange += 2)];
  for (const x of held) {
    host.write((f) => f.request({ exchange: x, url: "http://x/hold" }));
    const waiting = held.indexOf(x) + 1;
    await host.next((s) => s.type === "progress" && s.tasks === waiting);
  }
  nothingAsked(host);
  host.write((f) => f.request({ exchange: (exchange += 2), url: "http://x/echo3" }));
  await host.await("request");
});

test("an answer does not wait until all that was asked before it has begun", async () => {
  await using host = await started();
  assert.equal(await ask(host, "/begin"), "200 answered"); // and the host has said that what was there is durable
  host.clear();
  const x = exchange + 2;
  const all = 300;
  host.write((f) => {
    for (let i = 0; i < all; i++) f.request({ exchange: (exchange += 2), url: "http://x/begin" });
  });
  await answer(host, exchange);
  nothingAsked(host);
  let open = 0;
  let most = 0;
  for (const s of host.said) {
    if (s.type === "log" && s.text === "begun") most = Math.max(most, ++open);
    if (s.type === "response") open--;
  }
  assert.equal(open, 0);
  assert.ok(most <= 2, `${most} of ${all} had begun and were not answered`);
  assert.deepEqual(host.of("response").map((r) => r.exchange), Array.from({ length: all }, (_, i) => x + 2 * i));
});

test("what goes on with a call never gets there before the call, however much waits", async () => {
  await using host = await started();
  assert.equal(await ask(host, "/many"), "true");
  nothingAsked(host);
});

test("a call that waits too long for code to pause is refused", async () => {
  await using host = await started({ queueTime: 5 });
  // Those that there is room for in one macrotask take longer than that.
  assert.deepEqual(JSON.parse(await ask(host, "/crowd")), [{ computed: 64, "Durable Object is overloaded. Requests queued for too long.,true,": 136 }, 3]);
  nothingAsked(host);
  host.write((f) => f.hibernate(1, 0));
  await host.await("asleep");
});

test("calls without end leave room for others", async () => {
  await using host = await started();
  const x = (exchange += 2);
  host.write((f) => f.request({ exchange: x, url: "http://x/loop" }));
  await host.next((s) => s.type === "direct");
  await host.next((s) => s.type === "direct", host.said.length);
  assert.equal(await ask(host, "/stop"), "stopped");
  assert.equal(await answer(host, x), "true");
});
