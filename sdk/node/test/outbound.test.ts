import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import http from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { exchange } from "../src/http/client.ts";
import type { Said } from "./support/frames.ts";
import { Host } from "./support/host.ts";

const a = 0x100000000;
type Of<K extends Said["type"]> = Extract<Said, { type: K }>;

interface Server extends AsyncDisposable {
  origin: string;
  requests: { method: string; url: string; headers: http.IncomingHttpHeaders; body: string }[];
  sockets: Duplex[];
  /** How many answers that have no end have lost their connection. */
  lost(): number;
  /** Begins the answers to /later. */
  answer(): void;
}

/** An origin: answers requests by their path, and upgrades to a WebSocket that echoes. */
async function origin(): Promise<Server> {
  const requests: Server["requests"] = [];
  const sockets: Duplex[] = [];
  const refused: Duplex[] = [];
  let lost = 0;
  const later: http.ServerResponse[] = [];
  const server = http.createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (d: Buffer) => parts.push(d));
    request.on("end", () => {
      requests.push({ method: request.method!, url: request.url!, headers: request.headers, body: Buffer.concat(parts).toString() });
      switch (request.url) {
        case "/gzip":
          response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync("unpacked"));
          break;
        case "/redirect":
          response.writeHead(302, { location: "/there" }).end();
          break;
        case "/hang":
          break;
        case "/later":
          response.on("close", () => lost++);
          later.push(response);
          break;
        case "/endless":
          response.on("close", () => lost++);
          response.write("so far");
          break;
        case "/parts":
          response.write("one ");
          setTimeout(() => response.end("two"), 5);
          break;
        default:
          response.writeHead(201, "Made", { "x-a": "1", "set-cookie": ["a=1", "b=2"] }).end(`you said ${Buffer.concat(parts).toString()}`);
      }
    });
  });
  server.on("upgrade", (request, socket: Duplex) => {
    requests.push({ method: request.method!, url: request.url!, headers: request.headers, body: "" });
    if (request.url === "/no") {
      // As a server that answers no second request on a connection, which the client cannot know in time.
      refused.push(socket);
      socket.on("error", () => {});
      socket.on("end", () => socket.end());
      socket.on("data", () => socket.destroy());
      socket.write("HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\nx-why: because\r\n\r\nnope");
      return;
    }
    if (request.url === "/no-end") {
      refused.push(socket);
      socket.on("close", () => lost++);
      socket.on("error", () => {});
      socket.on("end", () => socket.end());
      socket.resume();
      socket.write("HTTP/1.1 403 Forbidden\r\ncontent-length: 100\r\n\r\nso far");
      return;
    }
    sockets.push(socket);
    const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\nsec-websocket-protocol: p\r\n\r\n`);
    if (request.url === "/greet") socket.write(frame(1, Buffer.from("welcome")));
    echo(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    sockets,
    lost: () => lost,
    answer: () => later.forEach((response) => response.write("so far")),
    async [Symbol.asyncDispose]() {
      for (const s of [...sockets, ...refused]) s.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function frame(opcode: number, body: Buffer): Buffer {
  const head = body.length < 126 ? Buffer.of(0x80 | opcode, body.length) : Buffer.of(0x80 | opcode, 126, body.length >> 8, body.length & 255);
  return Buffer.concat([head, body]);
}

/** Answers each frame with itself; small frames only. */
function echo(socket: Duplex): void {
  let rest = Buffer.alloc(0);
  socket.on("error", () => {});
  socket.on("data", (d: Buffer) => {
    rest = Buffer.concat([rest, d]);
    while (rest.length >= 6) {
      const length = rest[1]! & 0x7f;
      if (rest.length < 6 + length) return;
      const body = Buffer.from(rest.subarray(6, 6 + length)).map((b, i) => b ^ rest[2 + (i & 3)]!);
      const opcode = rest[0]! & 0x0f;
      rest = rest.subarray(6 + length);
      if (body.toString() === "die") socket.destroy();
      else if (body.toString() === "bad") socket.write(Buffer.of(0xf1, 0x00));
      else socket.write(frame(opcode, Buffer.from(body)));
      if (opcode === 8) socket.end();
    }
  });
}

async function room(code: string): Promise<Host> {
  const source = `export class Room { constructor(ctx, env) { this.ctx = ctx; this.env = env; } ${code} }
    export default { fetch(request, env) { return fetch("http://" + new URL(request.url).searchParams.get("to"), request); } };`;
  const host = await Host.start({ source, classes: ["Room"], flags: { websocket_standard_binary_type: true, web_socket_auto_reply_to_close: true } });
  host.write((f) => f.start({ object: 1, sockets: 1 }).sockets(1, [{ socket: a }]));
  await host.await("started");
  host.clear();
  return host;
}

const sent = async (host: Host) => JSON.parse(String((await host.await("send")).data)) as unknown;

test("fetch: what goes out and what comes back", async () => {
  await using server = await origin();
  await using host = await room(`async webSocketMessage(ws, to) {
    const r = await fetch("http://" + to + "/p?q", { method: "POST", body: "hi", headers: { x: "y", connection: "upgrade" } });
    const gz = await fetch("http://" + to + "/gzip");
    const manual = await fetch("http://" + to + "/redirect", { redirect: "manual" });
    const followed = await fetch(new Request("http://" + to + "/redirect"));
    ws.send(JSON.stringify([r.status, r.statusText, r.headers.get("x-a"), r.headers.getSetCookie(), await r.text(), r.url.slice(-4),
      await gz.text(), gz.headers.get("content-encoding"), manual.status, followed.status, followed.redirected, r instanceof Response]));
    try { r.headers.set("a", "b"); } catch (e) { ws.send(e.message); }
  }`);
  host.write((f) => f.message(a, server.origin));
  assert.deepEqual(await sent(host), [201, "Made", "1", ["a=1", "b=2"], "you said hi", "/p?q", "unpacked", "gzip", 302, 201, true, true]);
  assert.deepEqual([server.requests[0]!.method, server.requests[0]!.url, server.requests[0]!.headers["x"], server.requests[0]!.body], ["POST", "/p?q", "y", "hi"]);
});

/** What has been sent by now has arrived when this returns: it is behind it, again and again. */
async function meanwhile(server: Server): Promise<void> {
  for (let i = 0; i < 20; i++) await (await fetch(`http://${server.origin}/meanwhile`)).text();
}

async function until(holds: () => boolean): Promise<void> {
  for (const limit = Date.now() + 30_000; !holds(); ) {
    if (Date.now() > limit) throw new Error(`not within 30 s: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("fetch waits until what the object wrote is durable, and tells what for", async () => {
  await using server = await origin();
  await using host = await room(`async webSocketMessage(ws, to) {
    this.ctx.storage.put("a", 1);
    await fetch("http://" + to + "/");
    ws.send('"done"');
  }`);
  host.durable = false;
  host.write((f) => f.message(a, server.origin));
  assert.deepEqual(await host.await("awaitDurable"), { type: "awaitDurable", object: 1, commit: 1 });
  await host.next((s) => s.type === "progress" && s.tasks === 1);
  await meanwhile(server);
  assert.deepEqual(server.requests.filter((r) => r.url === "/"), []);
  host.write((f) => f.durable(1, 1));
  assert.equal(await sent(host), "done");
  assert.equal(server.requests.filter((r) => r.url === "/").length, 1);
});

test("an answer of fetch waits for a critical section of others", async () => {
  await using server = await origin();
  await using host = await room(`async webSocketMessage(ws, to) {
    const answered = fetch("http://" + to + "/").then(() => ws.send("answered"));
    this.ctx.blockConcurrencyWhile(async () => {
      await fetch("http://" + to + "/parts").then((r) => r.text());
      await scheduler.wait(30);
      ws.send("section over");
    });
  }`);
  host.write((f) => f.message(a, server.origin));
  await host.next((s) => s.type === "send" && s.data === "answered");
  assert.deepEqual(host.of("send").map((s) => s.data), ["section over", "answered"]);
});

test("a pending fetch is a task with its line; abort ends it", async () => {
  await using server = await origin();
  await using host = await room(`async webSocketMessage(ws, to) {
    if (to === "abort") return this.c.abort();
    this.c = new AbortController();
    try { await fetch("http://" + to + "/hang", { signal: this.c.signal }); } catch (e) { ws.send(JSON.stringify(e.name)); }
  }`);
  host.write((f) => f.message(a, server.origin));
  await host.next((s) => s.type === "progress" && s.tasks === 1);
  host.write((f) => f.why(1, 1));
  const report = await host.await("report");
  assert.equal(report.reasons[0]!.kind, "fetch");
  assert.match(report.reasons[0]!.stack, /webSocketMessage.*index\.js/);
  host.write((f) => f.message(a, "abort"));
  assert.equal(await sent(host), "AbortError");
});

test("a body that nobody has read to its end does not outlive its object, whether or not garbage was collected", async () => {
  await using server = await origin();
  await using host = await room(`async webSocketMessage(ws, to) {
    const upgrade = await fetch("http://" + to + "/no-end", { headers: { Upgrade: "websocket" } });
    const r = await fetch("http://" + to + "/endless");
    ws.send(JSON.stringify([upgrade.status, r.status]));
    for (let i = 0; i < 20; i++) { gc(); await scheduler.wait(1); }
    this.body = r.body;
  }`);
  host.write((f) => f.message(a, server.origin));
  assert.deepEqual(await sent(host), [403, 200]);
  await host.next((s) => s.type === "progress" && s.finished === 1 && s.tasks === 0);
  host.write((f) => f.hibernate(1, 1, 0));
  await host.await("asleep");
  await until(() => server.lost() === 2);
});

test("an answer that comes when its object has left is not kept", async () => {
  await using server = await origin();
  await using host = await room(`async webSocketMessage(ws, to) { await fetch("http://" + to + "/later"); }`);
  host.write((f) => f.message(a, server.origin));
  await until(() => server.requests.length === 1);
  host.write((f) => f.hibernate(1, 1, 2));
  await host.await("asleep");
  server.answer();
  await until(() => server.lost() === 1);
});

test("an answer is over when its body has been read", async () => {
  await using server = await origin();
  const ask = (path: string) => exchange({ method: "GET", url: new URL(`http://${server.origin}${path}`), headers: [], content: { kind: "none" }, follow: false, signal: null });
  const read = await ask("/parts");
  assert.equal(read.over, false);
  while ((await read.body!.read()) !== null);
  await until(() => read.over);
  const unread = await ask("/endless");
  assert.equal(unread.over, false);
  unread.close();
  await until(() => unread.over);
});

test("the Worker as a plain proxy: bodies stream through", async () => {
  await using server = await origin();
  await using host = await room("");
  host.write((f) => f.request({ exchange: 2, url: `http://x/?to=${server.origin}/parts` }).request({ exchange: 4, url: `http://x/?to=${server.origin}/`, method: "PUT", body: true }).body(4, "streamed").bodyEnd(4));
  const text = async (x: number) => {
    await host.next((s) => s.type === "bodyEnd" && s.exchange === x);
    return Buffer.concat(host.of("body").filter((b) => b.exchange === x).map((b) => b.data)).toString();
  };
  assert.equal(await text(2), "one two");
  assert.equal(await text(4), "you said streamed");
});

test("fetch with Upgrade: the socket is accepted, and talks", async () => {
  await using server = await origin();
  await using host = await room(`async webSocketMessage(ws, to) {
    const no = await fetch("http://" + to + "/no", { headers: { Upgrade: "websocket" } });
    ws.send(JSON.stringify([no.status, no.webSocket, no.headers.get("x-why"), await no.text()]));
    const r = await fetch("http://" + to + "/greet", { headers: { Upgrade: "websocket", "sec-websocket-protocol": "p", authorization: "me" } });
    const s = r.webSocket;
    const seen = [r.status, s.readyState, s.protocol];
    s.accept();
    s.addEventListener("message", (e) => {
      seen.push(typeof e.data === "string" ? e.data : e.data.constructor.name);
      if (e.data === "welcome") { s.send("hi"); s.send(new Uint8Array([1])); s.send("x".repeat(120)); }
      if (seen.length === 7) s.close(4002, "enough");
    });
    s.addEventListener("close", (e) => { seen.push([e.code, e.reason, e.wasClean, s.readyState]); ws.send(JSON.stringify(seen)); });
  }`);
  host.write((f) => f.message(a, server.origin));
  assert.deepEqual(await sent(host), [403, null, "because", "nope"]);
  await host.next((s) => s.type === "progress" && s.tasks === 1 && s.finished === 1);
  const two = await host.next<Of<"send">>((s) => s.type === "send" && String(s.data).includes("welcome"));
  assert.deepEqual(JSON.parse(String(two.data)), [101, 1, "p", "welcome", "hi", "Blob", "x".repeat(120), [4002, "enough", true, 3]]);
  assert.equal(server.requests.at(-1)!.headers["authorization"], "me");
  await host.next((s) => s.type === "progress" && s.tasks === 0);
});

test("new WebSocket: opens, talks, learns that it was lost or that the other side is broken", async () => {
  await using server = await origin();
  await using host = await room(`async webSocketMessage(ws, to) {
    for (const word of ["die", "bad"]) {
      const s = new WebSocket("ws://" + to + "/", ["p"]);
      const seen = [s.readyState];
      await new Promise((done) => {
        s.onopen = () => { seen.push("open", s.readyState, s.protocol); s.send(word); };
        s.onerror = (e) => { seen.push(e.message); done(); };
        s.onclose = (e) => { seen.push([e.code, e.wasClean, s.readyState]); done(); };
      });
      ws.send(JSON.stringify(seen));
    }
  }`);
  host.write((f) => f.message(a, server.origin));
  await host.next((s) => s.type === "progress" && s.finished === 1);
  assert.deepEqual(host.of("send").map((s) => JSON.parse(String(s.data)) as unknown), [
    [0, "open", 1, "p", [1006, false, 1]],
    [0, "open", 1, "p", "Uncaught Error: reserved bits are set"],
  ]);
});

test("an outbound socket waits for what the object wrote, to connect and to speak", async () => {
  await using server = await origin();
  await using host = await room(`webSocketMessage(ws, to) {
    this.ctx.storage.put("a", to);
    if (to === "speak") return this.socket.send("held");
    this.socket = new WebSocket("ws://" + to + "/");
    this.socket.onopen = () => ws.send('"open"');
    this.socket.onmessage = (e) => ws.send(JSON.stringify(e.data));
  }`);
  host.durable = false;
  host.write((f) => f.message(a, server.origin));
  await host.await("awaitDurable");
  await meanwhile(server);
  assert.deepEqual(server.sockets, []);
  host.write((f) => f.durable(1, 1));
  assert.equal(await sent(host), "open");
  host.clear();
  host.write((f) => f.message(a, "speak"));
  assert.deepEqual(await host.await("awaitDurable"), { type: "awaitDurable", object: 1, commit: 2 });
  await meanwhile(server);
  assert.deepEqual(host.of("send"), []);
  host.write((f) => f.durable(1, 2));
  assert.equal(await sent(host), "held");
});

test("an outbound socket passed on in a response: messages, closes and loss both ways", async () => {
  await using server = await origin();
  await using host = await room("");
  const up = (exchange: number, path: string) =>
    host.write((f) => f.request({ exchange, url: `http://x/?to=${server.origin}${path}`, headers: [["Upgrade", "websocket"]] }));
  up(2, "/greet");
  const response = await host.next<Of<"response">>((s) => s.type === "response" && s.exchange === 2);
  assert.equal(response.status, 101);
  const far = response.socket + 1;
  assert.deepEqual(host.of("open"), [{ type: "open", socket: far, object: 0 }]);
  assert.deepEqual(await host.await("send"), { type: "send", socket: far, data: "welcome" });
  host.write((f) => f.message(far, "from the client").closed(far, 4003, "bye"));
  await host.next((s) => s.type === "send" && s.data === "from the client");
  assert.deepEqual(await host.await("close"), { type: "close", socket: far, code: 4003, reason: "bye" });
  host.clear();
  up(4, "/");
  const second = await host.next<Of<"response">>((s) => s.type === "response" && s.exchange === 4);
  host.write((f) => f.message(second.socket + 1, "die"));
  assert.deepEqual(await host.await("release"), { type: "release", socket: second.socket + 1 });
});

test("an eviction closes outbound sockets with 1012", async () => {
  await using server = await origin();
  await using host = await room(`async webSocketMessage(ws, to) { this.s = new WebSocket("ws://" + to + "/"); }`);
  host.write((f) => f.message(a, server.origin));
  while (server.sockets.length === 0) await host.next((s) => s.type === "progress", host.said.length);
  await host.next((s) => s.type === "progress" && s.tasks === 1 && s.finished === 1);
  const closed = new Promise<Buffer>((resolve) => {
    const parts: Buffer[] = [];
    server.sockets[0]!.on("data", (d: Buffer) => parts.push(d));
    server.sockets[0]!.on("end", () => resolve(Buffer.concat(parts)));
  });
  host.write((f) => f.hibernate(1, 1, 0).hibernate(1, 1, 1));
  await host.await("awake");
  await host.await("asleep");
  const bytes = await closed;
  assert.equal(bytes[0], 0x88);
  assert.equal(((bytes[6]! ^ bytes[2]!) << 8) | (bytes[7]! ^ bytes[3]!), 1012);
});
