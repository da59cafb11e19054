import assert from "node:assert/strict";
import { test } from "node:test";
import { Host, type Options } from "./support/host.ts";
import type { Said } from "./support/frames.ts";

const a = 0x100000000;

function worker(code: string, options: Partial<Options> = {}): Promise<Host> {
  return Host.start({ source: code, classes: ["Room"], ...options });
}

async function bodyOf(host: Host, exchange: number): Promise<string> {
  await host.next((s) => (s.type === "bodyEnd" || s.type === "bodyAbort") && s.exchange === exchange);
  return Buffer.concat(host.of("body").filter((b) => b.exchange === exchange).map((b) => b.data)).toString();
}

type Of<K extends Said["type"]> = Extract<Said, { type: K }>;
const response = (host: Host, exchange: number) => host.next<Of<"response">>((s) => s.type === "response" && s.exchange === exchange);
const failure = (host: Host, exchange: number) => host.next<Of<"failure">>((s) => s.type === "failure" && s.exchange === exchange);

const echo = `
export class Room {}
export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/head": return new Response(null, { status: 204, headers: { "x-a": "1", "set-cookie": "b=2", "x-utf": "żółw" } });
      case "/echo": return new Response(request.body, { headers: request.headers });
      case "/text": return new Response(await request.text());
      case "/none": return undefined;
      case "/throw": throw new RangeError("thrown");
      case "/cf": return Response.json([request.cf, request.headers.get("x-latin"), request.method]);
      case "/slow": return new Response(new ReadableStream({
        async pull(c) { await scheduler.wait(5); c.enqueue(new TextEncoder().encode("tick ")); },
        cancel(reason) { console.log("cancelled " + reason.message); },
      }));
      case "/big": return new Response("x".repeat(1 << 20));
      case "/bytes": return new Response(new Uint8Array(300000).fill(65));
      case "/broken": return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array([65])); throw new Error("source broke"); } }));
      case "/signal": {
        request.signal.addEventListener("abort", () => console.log("aborted " + request.signal.reason.name));
        console.log("listening");
        await new Promise(() => {});
      }
      case "/twice": { const r = new Response("x"); await r.text(); return r; }
      case "/fixed": {
        const { readable, writable } = new FixedLengthStream(5);
        const w = writable.getWriter(); w.write(new TextEncoder().encode("fixed")); w.close();
        return new Response(readable);
      }
      case "/wait": ctx.waitUntil(Promise.reject(new Error("waited"))); ctx.passThroughOnException(); return new Response("ok");
      case "/socket": { const [x] = new WebSocketPair(); return new Response(null, { status: 101, webSocket: x }); }
      case "/accepted": { const [x] = new WebSocketPair(); x.accept(); return new Response(null, { status: 101, webSocket: x }); }
      case "/unread": return new Response("done");
    }
    return new Response("not found", { status: 404, statusText: "Nope" });
  },
};`;

test("a response: status, headers, text, length", async () => {
  await using host = await worker(echo);
  host.write((f) => f.request({ exchange: 2, url: "http://x/other" }).request({ exchange: 4, url: "http://x/head" }));
  const one = await response(host, 2);
  assert.deepEqual([one.status, one.statusText, one.flags], [404, "Nope", 1]);
  assert.deepEqual(one.headers, [["content-type", "text/plain;charset=UTF-8"], ["content-length", "9"]]);
  assert.equal(await bodyOf(host, 2), "not found");
  const two = await response(host, 4);
  assert.deepEqual([two.status, two.flags], [204, 0]);
  assert.deepEqual(two.headers, [["x-a", "1"], ["set-cookie", "b=2"], ["x-utf", Buffer.from("żółw").toString("latin1")]]);
});

test("request.cf, header bytes and the method arrive", async () => {
  await using host = await worker(echo);
  host.write((f) => f.request({ exchange: 2, url: "http://x/cf", method: "PATCH", cf: '{"country":"PL"}', headers: [["X-Latin", Buffer.from("café").toString("latin1")]] }));
  assert.deepEqual(JSON.parse(await bodyOf(host, 2)), [{ country: "PL" }, "café", "PATCH"]);
});

test("a body streams both ways with credit", async () => {
  await using host = await worker(echo);
  const chunk = Buffer.alloc(64 << 10, "a");
  host.write((f) => f.request({ exchange: 2, url: "http://x/echo", method: "POST", body: true }));
  let credit = 256 << 10;
  let granted = 0;
  let sent = 0;
  const total = 2 << 20;
  // We keep to our credit, and grant what we have got: 2 MiB go through both windows of 256 KiB.
  while (sent < total) {
    while (credit < chunk.length) {
      await host.next((s) => s.type === "credit" || s.type === "body", host.said.length);
      const given = host.of("credit").reduce((n, c) => n + c.bytes, 0);
      credit = (256 << 10) + given - sent;
      const got = host.of("body").reduce((n, b) => n + b.data.length, 0);
      if (got > granted) host.write((f) => f.credit(2, got - granted));
      granted = Math.max(granted, got);
    }
    host.write((f) => f.body(2, chunk));
    sent += chunk.length;
    credit -= chunk.length;
  }
  host.write((f) => f.bodyEnd(2));
  const timer = setInterval(() => {
    const got = host.of("body").reduce((n, b) => n + b.data.length, 0);
    if (got > granted) host.write((f) => f.credit(2, got - granted));
    granted = Math.max(granted, got);
  }, 5);
  await host.await("bodyEnd");
  clearInterval(timer);
  assert.equal(host.of("body").reduce((n, b) => n + b.data.length, 0), total);
  assert.ok(host.of("body").every((b) => b.data.length <= 64 << 10));
});

test("without credit no more than 256 KiB of a body leave", async () => {
  await using host = await worker(echo);
  host.write((f) => f.request({ exchange: 2, url: "http://x/big" }).request({ exchange: 4, url: "http://x/unread" }));
  await host.next((s) => s.type === "bodyEnd" && s.exchange === 4);
  assert.equal(host.of("body").filter((b) => b.exchange === 2).reduce((n, b) => n + b.data.length, 0), 256 << 10);
  host.write((f) => f.credit(2, 1 << 20));
  assert.equal((await bodyOf(host, 2)).length, 1 << 20);
});

test("a host that exceeds the credit it was given ends the guest", async () => {
  await using host = await worker(echo);
  host.write((f) => {
    f.request({ exchange: 2, url: "http://x/signal", method: "POST", body: true });
    for (let i = 0; i < 5; i++) f.body(2, Buffer.alloc(64 << 10));
  });
  assert.equal(await host.exited, 70);
  assert.match(host.stderr, /exceeds its credit/);
});

test("cancel: the source of the body is cancelled, and the signal aborts", async () => {
  await using host = await worker(echo);
  host.write((f) => f.request({ exchange: 2, url: "http://x/slow" }).request({ exchange: 4, url: "http://x/signal" }));
  await host.await("body");
  await host.next((s) => s.type === "log" && s.text === "listening");
  host.write((f) => f.cancel(2, "").cancel(4, ""));
  await host.next((s) => s.type === "log" && s.text === "cancelled The client disconnected.");
  await host.next((s) => s.type === "log" && s.text === "aborted AbortError");
});

test("a body that breaks off says so", async () => {
  await using host = await worker(echo);
  host.write((f) => f.request({ exchange: 2, url: "http://x/broken" }));
  assert.equal((await host.await("bodyAbort")).reason, "source broke");
  host.write((f) => f.request({ exchange: 4, url: "http://x/text", method: "POST", body: true }).body(4, "half").bodyAbort(4, "gone"));
  const f = await failure(host, 4);
  assert.deepEqual([f.error.message, f.error.flags & 3], ["gone", 3]);
});

test("a body that nobody read is refused when the answer has been said", async () => {
  await using host = await worker(echo);
  host.write((f) => f.request({ exchange: 2, url: "http://x/unread", method: "POST", body: true }).body(2, "ignored"));
  await host.next((s) => s.type === "bodyEnd" && s.exchange === 2);
  assert.deepEqual(await host.await("cancel"), { type: "cancel", exchange: 2, reason: "" });
  // What was on the way is dropped.
  host.write((f) => f.body(2, "more").bodyEnd(2).request({ exchange: 4, url: "http://x/text", method: "POST", body: true }).body(4, "read").bodyEnd(4));
  assert.equal(await bodyOf(host, 4), "read");
  assert.equal(host.of("cancel").length, 1);
});

test("an answer that comes after its cancel is dropped, and its source is told", async () => {
  await using host = await worker(`export class Room {} export default { async fetch() {
    await scheduler.wait(20);
    return new Response(new ReadableStream({ cancel() { console.log("source told"); } }));
  } };`);
  host.write((f) => f.request({ exchange: 2 }).cancel(2, ""));
  await host.next((s) => s.type === "log" && s.text === "source told");
  assert.deepEqual(host.of("response"), []);
});

test("failures: a handler that throws, answers nothing, or answers what cannot be sent", async () => {
  await using host = await worker(echo);
  host.write((f) => {
    ["throw", "none", "twice", "socket", "accepted"].forEach((path, i) => {
      f.request({ exchange: 2 * i + 2, url: `http://x/${path}`, headers: path === "accepted" ? [["upgrade", "WebSocket"]] : [] });
    });
  });
  const seen = [];
  for (const x of [2, 4, 6, 8]) {
    const { error } = await failure(host, x);
    seen.push([error.name, error.message, error.flags]);
  }
  assert.deepEqual(seen, [
    ["RangeError", "thrown", 1],
    ["TypeError", "Incorrect type for Promise: the Promise did not resolve to 'Response'.", 1],
    ["TypeError", "Body has already been used. It can only be used once. Use tee() first if you need to read it twice.", 1],
    ["TypeError", 'Worker tried to return a WebSocket in a response to a request which did not contain the header "Upgrade: websocket".', 1],
  ]);
  assert.match(host.of("failure")[0]!.error.stack, /index\.js/);
  // As in workerd: the asking side gets a socket that ends at once, the author the reason.
  const { socket } = await response(host, 10);
  await host.next((s) => s.type === "release" && s.socket === socket + 1);
  assert.ok(host.of("log").some((l) => l.text.includes("Can't return WebSocket in a Response after calling accept().")));
});

test("a FixedLengthStream is a Content-Length, waitUntil of the Worker logs", async () => {
  await using host = await worker(echo);
  host.write((f) => f.request({ exchange: 2, url: "http://x/fixed" }).request({ exchange: 4, url: "http://x/wait" }));
  assert.ok((await response(host, 2)).headers.some(([n, v]) => n === "content-length" && v === "5"));
  assert.equal(await bodyOf(host, 2), "fixed");
  await host.next((s) => s.type === "log" && s.level === 3 && s.text.includes("waited"));
});

test("a body is encoded on its way to a client as its header says, but not between objects", async () => {
  const { gunzipSync, gzipSync } = await import("node:zlib");
  await using host = await worker(`
    const answer = (request) => new Response("hello hello", { headers: { "content-encoding": "gzip" }, encodeBody: new URL(request.url).pathname.slice(1) });
    export class Room { fetch(request) { return answer(request); } }
    export default {
      async fetch(request, env) {
        if (request.method === "GET") return answer(request);
        const r = await (request.method === "PUT" ? env.OTHER : env.ROOM.getByName("x")).fetch("http://x/");
        return request.method === "POST" ? r : new Response(await r.text());
      },
    };`, { bindings: { services: [{ name: "OTHER" }] } });
  host.write((f) => f.request({ exchange: 2, url: "http://x/automatic" }).request({ exchange: 4, url: "http://x/manual" }).start({ object: 1 }).request({ exchange: 6, object: 1, url: "http://x/automatic" }));
  const raw = async (x: number) => {
    await host.next((s) => s.type === "bodyEnd" && s.exchange === x);
    return Buffer.concat(host.of("body").filter((b) => b.exchange === x).map((b) => b.data));
  };
  assert.equal(gunzipSync(await raw(2)).toString(), "hello hello");
  assert.equal(await bodyOf(host, 4), "hello hello");
  assert.equal(await bodyOf(host, 6), "hello hello");
  assert.ok((await response(host, 6)).headers.some(([n, v]) => n === "content-encoding" && v === "gzip"));
  host.write((f) => f.request({ exchange: 8, method: "POST" }).request({ exchange: 10, method: "PUT" }));
  const call = await host.next<Of<"request">>((s) => s.type === "request" && s.target === 0);
  host.write((f) => f.response({ exchange: call.exchange, headers: [["content-encoding", "gzip"]], body: true }).body(call.exchange, "as it is").bodyEnd(call.exchange));
  assert.equal(gunzipSync(await raw(8)).toString(), "as it is");
  const service = await host.next<Of<"request">>((s) => s.type === "request" && s.target === 2);
  host.write((f) => f.response({ exchange: service.exchange, headers: [["content-encoding", "gzip"]], body: true }).body(service.exchange, gzipSync("of a Worker")).bodyEnd(service.exchange));
  assert.equal(await bodyOf(host, 10), "of a Worker");
});

test("entrypoints: classes, by name, and one that is not there", async () => {
  await using host = await worker(`
    import { WorkerEntrypoint, DurableObject } from "cloudflare:workers";
    export class Room extends DurableObject {}
    export default class extends WorkerEntrypoint { fetch(request) { return new Response("main " + this.env.GREETING); } }
    export class Admin extends WorkerEntrypoint { fetch(request) { return new Response("admin"); } }`, { bindings: { vars: { GREETING: "hi" } } });
  assert.deepEqual((host.said[0] as Of<"ready">).json["worker"], { fetch: true });
  host.write((f) => f.request({ exchange: 2 }).request({ exchange: 4, entrypoint: "Admin" }).request({ exchange: 6, entrypoint: "Nobody" }));
  assert.equal(await bodyOf(host, 2), "main hi");
  assert.equal(await bodyOf(host, 4), "admin");
  assert.equal((await failure(host, 6)).error.message, "Handler does not export a fetch() function.");
});

const caller = `
export class Room {
  constructor(ctx, env) { this.ctx = ctx; this.env = env; }
  async webSocketMessage(ws, message) {
    const stub = this.env.ROOM.getByName("other");
    switch (message) {
      case "order":
        ws.send("before");
        this.ctx.storage.put("a", 1);
        stub.fetch("http://x/1"); ws.send("between"); stub.fetch("http://x/2", { method: "POST", body: "body" });
        break;
      case "call": {
        const r = await stub.fetch("http://x/3", { headers: { h: "v" }, cf: { a: 1 } });
        ws.send([r.status, r.statusText, r.headers.get("x"), await r.text()].join());
        break;
      }
      case "fail":
        for (let i = 0; i < 2; i++) {
          try { await stub.fetch("http://x/4"); } catch (e) { ws.send([e.constructor.name, e.message, e.remote, e.retryable, e.durableObjectReset, e.extra].join()); }
        }
        break;
      case "abort": {
        const c = new AbortController();
        setTimeout(() => c.abort(), 1);
        try { await stub.fetch("http://x/5", { signal: c.signal }); } catch (e) { ws.send(e.name); }
        break;
      }
      case "next":
        ws.send("next");
        break;
      case "unread": {
        const r = await stub.fetch("http://x/6");
        await r.body.cancel("enough");
        ws.send("cancelled");
        break;
      }
      case "relay": {
        const r = await stub.fetch("http://x/ws", { headers: { upgrade: "websocket" } });
        r.webSocket.accept();
        r.webSocket.addEventListener("message", (e) => { ws.send("got " + e.data); r.webSocket.send("reply"); });
        r.webSocket.addEventListener("close", (e) => ws.send("closed " + e.code));
        break;
      }
      case "assets":
        ws.send(await (await this.env.ASSETS.fetch("http://x/style.css")).text());
        break;
    }
  }
}
export default {
  async fetch(request, env) {
    const r = await env.ROOM.getByName("other").fetch(request);
    if (r.webSocket) return new Response(null, { status: 101, webSocket: r.webSocket, headers: r.headers });
    return r;
  },
};`;

async function called(options: Partial<Options> = {}): Promise<Host> {
  const host = await worker(caller, options);
  host.write((f) => f.start({ object: 1, sockets: 1 }).sockets(1, [{ socket: a }]));
  await host.await("started");
  host.clear();
  return host;
}

test("calls to a stub leave in order with everything else, behind the commit", async () => {
  await using host = await called();
  host.write((f) => f.message(a, "order"));
  await host.next((s) => s.type === "progress" && s.finished === 1);
  const kinds = host.said
    .filter((s) => s.type !== "progress")
    .map((s) => (s.type === "send" ? s.data : s.type === "request" ? `${s.method} ${s.url}` : s.type));
  assert.deepEqual(kinds, ["before", "commit", "GET http://x/1", "between", "POST http://x/2", "body", "bodyEnd"]);
  const [one, two] = host.of("request");
  assert.deepEqual([one!.exchange, two!.exchange, one!.from, one!.target, one!.index, one!.name], [1, 3, 1, 0, 0, "other"]);
  assert.match(one!.id, /^[0-9a-f]{64}$/);
  assert.deepEqual(two!.headers, [["content-type", "text/plain;charset=UTF-8"], ["content-length", "4"]]);
});

test("the answer to a call", async () => {
  await using host = await called();
  host.write((f) => f.message(a, "call"));
  const call = await host.await("request");
  assert.deepEqual([call.headers, call.cf], [[["h", "v"]], '{"a":1}']);
  host.write((f) => f.response({ exchange: call.exchange, status: 201, statusText: "Made", headers: [["X", "y"]], body: true }).body(call.exchange, "he").body(call.exchange, "llo").bodyEnd(call.exchange));
  assert.equal((await host.await("send")).data, "201,Made,y,hello");
  await host.next((s) => s.type === "progress" && s.finished === 1 && s.tasks === 0);
});

test("a failure keeps its flags, and the stub of an object that was reset stays broken", async () => {
  await using host = await called();
  host.write((f) => f.message(a, "fail"));
  const call = await host.await("request");
  host.write((f) => f.failure(call.exchange, { name: "RangeError", message: "reset", flags: 1 | 2 | 8 }));
  await host.next((s) => s.type === "progress" && s.finished === 1);
  assert.deepEqual(host.of("send").map((s) => s.data), ["RangeError,reset,true,true,true,", "RangeError,reset,true,true,true,"]);
  assert.equal(host.of("request").length, 1);
});

test("an abort of the caller's signal cancels the call", async () => {
  await using host = await called();
  host.write((f) => f.message(a, "abort"));
  assert.equal((await host.await("send")).data, "AbortError");
  const call = await host.await("request");
  assert.equal((await host.await("cancel")).exchange, call.exchange);
});

test("a response that is not read to its end is cancelled", async () => {
  await using host = await called();
  host.write((f) => f.message(a, "unread"));
  const call = await host.await("request");
  host.write((f) => f.response({ exchange: call.exchange, body: true }).body(call.exchange, "x"));
  await host.next((s) => s.type === "send" && s.data === "cancelled");
  const cancel = await host.await("cancel");
  assert.deepEqual([cancel.exchange, cancel.reason], [call.exchange, "enough"]);
  // What was on the way is dropped.
  host.write((f) => f.body(call.exchange, "more").bodyEnd(call.exchange).message(a, "next"));
  assert.equal((await host.next<Of<"send">>((s) => s.type === "send" && s.data !== "cancelled")).data, "next");
});

test("a socket in an answer: accepted here, its messages are events", async () => {
  await using host = await called();
  host.write((f) => f.message(a, "relay"));
  const call = await host.await("request");
  const far = 99 * a + 1;
  host.write((f) => f.response({ exchange: call.exchange, status: 101, socket: far }));
  assert.deepEqual(await host.await("open"), { type: "open", socket: far, object: 1 });
  host.write((f) => f.message(far, "hi"));
  await host.next((s) => s.type === "send" && s.data === "got hi");
  assert.deepEqual(await host.next((s) => s.type === "send" && s.socket === far), { type: "send", socket: far, data: "reply" });
  await host.next((s) => s.type === "progress" && s.tasks === 1);
  host.write((f) => f.closed(far, 4000, "bye"));
  await host.next((s) => s.type === "send" && s.data === "closed 4000");
  assert.deepEqual(await host.await("close"), { type: "close", socket: far, code: 4000, reason: "bye" });
  await host.next((s) => s.type === "progress" && s.tasks === 0 && s.finished === 1);
});

test("the Worker passes an object's answer and its socket on", async () => {
  await using host = await called();
  host.write((f) => f.request({ exchange: 2, headers: [["Upgrade", "websocket"]] }).request({ exchange: 4, method: "POST", body: true }).body(4, "ping").bodyEnd(4));
  const [up, plain] = [await host.next<Of<"request">>((s) => s.type === "request" && s.method === "GET"), await host.next<Of<"request">>((s) => s.type === "request" && s.method === "POST")];
  const far = 99 * a + 1;
  host.write((f) => f.response({ exchange: up.exchange, status: 101, headers: [["sec-websocket-protocol", "p"]], socket: far }));
  const passed = await response(host, 2);
  assert.deepEqual([passed.status, passed.socket, passed.headers], [101, far, [["sec-websocket-protocol", "p"]]]);
  assert.equal(await bodyOf(host, plain.exchange), "ping");
  host.write((f) => f.response({ exchange: plain.exchange, body: true }).body(plain.exchange, "pong").bodyEnd(plain.exchange));
  assert.equal(await bodyOf(host, 4), "pong");
});

test("a socket that is never accepted is released when nobody can reach it", async () => {
  await using host = await worker(`
    export class Room {
      constructor(ctx, env) { this.env = env; }
      async webSocketMessage(ws, message) {
        if (message === "gc") { for (let i = 0; i < 20; i++) { gc(); await scheduler.wait(1); } return; }
        await this.env.ROOM.getByName("o").fetch("http://x/", { headers: { upgrade: "websocket" } });
      }
    }
    export default {};`);
  host.write((f) => f.start({ object: 1, sockets: 1 }).sockets(1, [{ socket: a }]).message(a, "x"));
  const call = await host.await("request");
  host.write((f) => f.response({ exchange: call.exchange, status: 101, socket: 99 * a + 1 }));
  await host.next((s) => s.type === "progress" && s.finished === 1);
  host.write((f) => f.message(a, "gc"));
  assert.deepEqual(await host.await("release"), { type: "release", socket: 99 * a + 1 });
});

test("assets and services are asked by their number", async () => {
  await using host = await called({ bindings: { assets: [{ name: "ASSETS" }] } });
  host.write((f) => f.message(a, "assets"));
  const call = await host.await("request");
  assert.deepEqual([call.target, call.index, call.id, call.name, call.url], [1, 0, "0".repeat(64), null, "http://x/style.css"]);
  host.write((f) => f.response({ exchange: call.exchange, body: true }).body(call.exchange, "css").bodyEnd(call.exchange));
  assert.equal((await host.await("send")).data, "css");
});

test("a request for an object that has left fails as reset", async () => {
  await using host = await called();
  host.write((f) => f.hibernate(1, 0, 2).request({ exchange: 8, object: 1 }).message(a, "x"));
  await host.await("asleep");
  assert.equal((await failure(host, 8)).error.flags, 9);
});

test("a binding that is missing throws by name when it is used", async () => {
  await using host = await worker(
    `export class Room {} export default { fetch(r, env) { try { env.AI.run("x"); } catch (e) { return new Response(e.message); } } };`,
    { bindings: { missing: [{ name: "AI", kind: "ai" }] } },
  );
  host.write((f) => f.request({ exchange: 2 }));
  assert.match(await bodyOf(host, 2), /^The binding AI \(ai\) is not supported/);
});
