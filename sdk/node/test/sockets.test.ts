import assert from "node:assert/strict";
import { test } from "node:test";
import type { Said } from "./support/frames.ts";
import { Host, type Options } from "./support/host.ts";

const a = 0x100000000;
type Of<K extends Said["type"]> = Extract<Said, { type: K }>;

const source = `
export class Room {
  constructor(ctx, env) { this.ctx = ctx; this.env = env; }

  show(ws) {
    const listed = this.ctx.getWebSockets().includes(ws);
    const tagged = this.ctx.getWebSockets("t").includes(ws);
    return [ws.readyState, listed, tagged, this.ctx.getTags(ws), ws.deserializeAttachment()];
  }

  async fetch(request) {
    const [client, server] = new WebSocketPair();
    switch (new URL(request.url).pathname) {
      case "/early":
        server.serializeAttachment({ early: true });
        this.ctx.acceptWebSocket(server, ["t"]);
        server.send("hello");
        server.send(new Uint8Array([1, 2, 3]));
        return new Response(null, { status: 101, webSocket: client, headers: { "Sec-WebSocket-Protocol": "p" } });
      case "/standard":
        server.accept();
        server.addEventListener("message", (e) => server.send("re: " + (typeof e.data === "string" ? e.data : e.data.constructor.name)));
        server.addEventListener("close", (e) => { console.log(JSON.stringify([e.code, e.reason, e.wasClean, server.readyState])); });
        server.addEventListener("error", (e) => { console.log(e.message + " " + server.readyState); });
        server.send("early");
        return new Response(null, { status: 101, webSocket: client });
      case "/dropped":
        this.ctx.acceptWebSocket(server);
        return new Response("no socket after all");
      case "/used": {
        this.ctx.acceptWebSocket(server);
        const r = new Response(null, { status: 101, webSocket: client });
        this.kept = client;
        return r;
      }
      case "/again":
        try { this.ctx.acceptWebSocket(this.kept); } catch (e) { console.log(e.message); }
        try { this.kept.accept(); } catch (e) { console.log(e.message); }
        return new Response(null, { status: 101, webSocket: this.kept });
    }
  }

  webSocketMessage(ws, message) {
    if (typeof message !== "string") { ws.send([message.constructor.name, message.byteLength, ws.binaryType].join()); return; }
    const [verb, ...rest] = message.split(" ");
    if (verb === "close") { ws.close(...JSON.parse(rest.join(" ") || "[]")); console.log(JSON.stringify(this.show(ws))); }
    if (verb === "own") this.webSocketMessage = (w) => w.send("own property");
    if (verb === "buffered") ws.send(String(ws.bufferedAmount));
    if (verb === "bytes") { const b = new Uint8Array([1, 2, 3, 4]).subarray(1, 3); ws.send(b); b[0] = 9; ws.send(b.buffer); ws.send(5); ws.send(null); }
    if (verb === "try") { try { ws.send("tried"); console.log("silent"); } catch (e) { console.log(e.message); } }
    if (verb === "identity") { ws.mark = (ws.mark ?? 0) + 1; ws.send(String(ws.mark) + (this.ctx.getWebSockets()[0] === ws)); }
  }

  async webSocketClose(ws, code, reason, wasClean) {
    console.log(JSON.stringify(["close", code, reason, wasClean, ...this.show(ws)]));
    let thrown = "silent";
    try { ws.send("in close"); } catch (e) { thrown = e.message; }
    if (reason === "answer") ws.close(4001, "answered");
    if (reason === "throw") throw new Error("from close");
    await null;
    if (reason === "answer later") ws.close(4001, "answered");
    console.log(JSON.stringify(["later", thrown, ...this.show(ws)]));
  }

  webSocketError(ws, error) {
    console.log(JSON.stringify(["error", error.constructor.name, error.message, ...this.show(ws)]));
  }
}
export class Silent { constructor(ctx) { this.ctx = ctx; } fetch() { return Response.json(this.ctx.getWebSockets().length); } }
export default {};
`;

async function room(options: Partial<Options> = {}, row: object = {}): Promise<Host> {
  const host = await Host.start({ source, classes: ["Room", "Silent"], ...options });
  host.write((f) => f.start({ object: 1, sockets: 1 }).sockets(1, [{ socket: a, tags: ["t"], ...row }]));
  await host.await("started");
  host.clear();
  return host;
}

const logs = (host: Host) => host.of("log").map((l) => l.text);
const finished = (host: Host, n: number) => host.next((s) => s.type === "progress" && s.finished === n);

test("accept, attachment and sends leave before the 101", async () => {
  await using host = await room();
  host.write((f) => f.request({ exchange: 2, object: 1, url: "http://x/early", headers: [["Upgrade", "websocket"]] }));
  const response = await host.await("response");
  const server = response.socket + 1;
  assert.equal(Math.floor(response.socket / a), 7, "the incarnation");
  assert.equal(response.socket % 2, 0);
  const { serialize } = await import("../src/storage/clone.ts");
  assert.deepEqual(host.said.filter((s) => s.type !== "progress").slice(0, -1), [
    { type: "accept", object: 1, socket: server, tags: ["t"] },
    { type: "attachment", socket: server, value: Buffer.from(serialize({ early: true })) },
    { type: "send", socket: server, data: "hello" },
    { type: "send", socket: server, data: Buffer.from([1, 2, 3]) },
  ]);
  assert.deepEqual([response.status, response.flags, response.headers], [101, 2, [["sec-websocket-protocol", "p"]]]);
});

test("messages: text is a string, binary an ArrayBuffer whatever binaryType says", async () => {
  await using host = await room({ flags: { websocket_standard_binary_type: true } });
  host.write((f) => f.message(a, Buffer.from([1, 2, 3])).message(a, "bytes"));
  await finished(host, 2);
  assert.deepEqual(host.of("send").map((s) => s.data), ["ArrayBuffer,3,blob", Buffer.from([2, 3]), Buffer.from([1, 9, 3, 4]), "5", "null"]);
});

test("handlers are looked up on the instance, and a socket's object stays the same", async () => {
  await using host = await room();
  host.write((f) => f.message(a, "identity").message(a, "identity").message(a, "own").message(a, "x"));
  await finished(host, 4);
  assert.deepEqual(host.of("send").map((s) => s.data), ["1true", "2true", "own property"]);
});

test("bufferedAmount is what the host says", async () => {
  await using host = await room();
  host.write((f) => f.buffered(a, 12345).message(a, "buffered").buffered(a, 0).message(a, "buffered"));
  await finished(host, 2);
  assert.deepEqual(host.of("send").map((s) => s.data), ["12345", "0"]);
});

test("our close: the socket stays listed and hears on, send throws, a second close is silent", async () => {
  await using host = await room();
  host.write((f) => f.message(a, 'close [4001,"srv"]').message(a, "try").message(a, "close").closed(a, 4001, "srv"));
  await finished(host, 4);
  assert.deepEqual(host.of("close"), [{ type: "close", socket: a, code: 4001, reason: "srv" }]);
  assert.deepEqual(logs(host), [
    '[2,true,true,["t"],null]',
    "Can't call WebSocket send() after close().",
    '[2,true,true,["t"],null]',
    '["close",4001,"srv",true,3,true,true,["t"],null]',
    '["later","Can\'t call WebSocket send() after close().",3,false,false,["t"],null]',
  ]);
});

test("a close of ours is remembered over a hibernation", async () => {
  await using host = await room({}, { weClosed: true });
  host.write((f) => f.message(a, "try").message(a, "close [1000]"));
  await finished(host, 2);
  assert.deepEqual(logs(host), ["Can't call WebSocket send() after close().", '[2,true,true,["t"],null]']);
  assert.deepEqual(host.of("close"), []);
});

test("auto-reply on: the host has answered before the handler, in which everything is silent", async () => {
  await using host = await room();
  host.write((f) => f.closed(a, 3000, "answer", true, true));
  await finished(host, 1);
  assert.deepEqual(host.of("close"), []);
  assert.deepEqual(host.of("send"), []);
  assert.deepEqual(logs(host), ['["close",3000,"answer",true,3,true,true,["t"],null]', '["later","silent",3,false,false,["t"],null]']);
});

test("auto-reply off: half open until the handler closes", async () => {
  await using host = await room({ flags: { web_socket_auto_reply_to_close: false } });
  host.write((f) => f.closed(a, 3000, "answer"));
  await finished(host, 1);
  assert.deepEqual(host.said.filter((s) => s.type === "send" || s.type === "close"), [
    { type: "send", socket: a, data: "in close" },
    { type: "close", socket: a, code: 4001, reason: "answered" },
  ]);
  assert.deepEqual(logs(host), ['["close",3000,"answer",true,2,true,true,["t"],null]', '["later","silent",3,false,false,["t"],null]']);
});

test("auto-reply off: what nobody closed is released with its object", async () => {
  await using host = await room({ flags: { web_socket_auto_reply_to_close: false } });
  host.write((f) => f.closed(a, 1000, "").hibernate(1, 1));
  await host.await("asleep");
  assert.deepEqual(host.of("close"), []);
  assert.deepEqual(host.of("release"), [{ type: "release", socket: a }]);
});

test("auto-reply off: what the handler closed after a pause is not released again", async () => {
  await using host = await room({ flags: { web_socket_auto_reply_to_close: false } });
  host.write((f) => f.closed(a, 3000, "answer later"));
  await finished(host, 1);
  host.write((f) => f.hibernate(1, 1));
  await host.await("asleep");
  assert.deepEqual(host.of("close"), [{ type: "close", socket: a, code: 4001, reason: "answered" }]);
  assert.deepEqual(host.of("release"), []);
  assert.deepEqual(logs(host)[1], '["later","silent",3,false,false,["t"],null]');
});

test("a connection that was lost: 1006, nothing can be sent", async () => {
  await using host = await room();
  host.write((f) => f.closed(a, 1006, "WebSocket disconnected without sending Close frame.", false, true));
  await finished(host, 1);
  assert.deepEqual([host.of("close"), host.of("send")], [[], []]);
  assert.deepEqual(logs(host), [
    '["close",1006,"WebSocket disconnected without sending Close frame.",false,2,true,true,["t"],null]',
    '["later","silent",2,false,false,["t"],null]',
  ]);
});

test("a close handler that throws is logged", async () => {
  await using host = await room();
  host.write((f) => f.closed(a, 3000, "throw"));
  await finished(host, 1);
  assert.match(logs(host)[1]!, /from close/);
});

test("an error: the handler, and no close follows", async () => {
  await using host = await room();
  host.write((f) => f.errored(a, "broken"));
  await finished(host, 1);
  assert.deepEqual(logs(host), ['["error","Error","broken",2,true,true,["t"],null]']);
});

test("a class without handlers drops events, and its sockets leave the list", async () => {
  await using host = await room();
  host.write((f) =>
    f.start({ object: 2, classIndex: 1, id: "22".repeat(32), sockets: 1 }).sockets(2, [{ socket: 2 * a }])
      .message(2 * a, "x").closed(2 * a, 1000, "").request({ exchange: 2, object: 2 }));
  const body = await host.await("body");
  assert.equal(body.data.toString(), "0");
  await host.next((s) => s.type === "progress" && s.object === 2 && s.finished === 3);
});

test("a standard socket: told to the host when its peer leaves, early sends behind that", async () => {
  await using host = await room({ flags: { websocket_standard_binary_type: true } });
  host.write((f) => f.request({ exchange: 2, object: 1, url: "http://x/standard", headers: [["Upgrade", "websocket"]] }));
  const response = await host.await("response");
  const server = response.socket + 1;
  assert.deepEqual(host.said.filter((s) => s.type === "open" || s.type === "send"), [
    { type: "open", socket: server, object: 1 },
    { type: "send", socket: server, data: "early" },
  ]);
  await host.next((s) => s.type === "progress" && s.finished === 1 && s.tasks === 1);
  host.write((f) => f.message(server, "x").message(server, Buffer.from([1])).closed(server, 3000, "bye"));
  await host.next((s) => s.type === "progress" && s.tasks === 0);
  assert.deepEqual(host.of("send").map((s) => s.data), ["early", "re: x", "re: Blob"]);
  assert.deepEqual(host.of("close"), [{ type: "close", socket: server, code: 3000, reason: "bye" }]);
  assert.deepEqual(logs(host), ['[3000,"bye",true,3]']);
});

test("a standard socket whose connection was lost, or broke", async () => {
  await using host = await room();
  host.write((f) => f.request({ exchange: 2, object: 1, url: "http://x/standard", headers: [["Upgrade", "websocket"]] }).request({ exchange: 4, object: 1, url: "http://x/standard", headers: [["Upgrade", "websocket"]] }));
  const one = await host.next<Of<"response">>((s) => s.type === "response" && s.exchange === 2);
  const two = await host.next<Of<"response">>((s) => s.type === "response" && s.exchange === 4);
  host.write((f) => f.closed(one.socket + 1, 1006, "lost", false, true).errored(two.socket + 1, "broke"));
  await host.next((s) => s.type === "progress" && s.finished === 2 && s.tasks === 0);
  assert.deepEqual(logs(host), ['[1006,"lost",false,1]', "Uncaught Error: broke 3"]);
});

test("an eviction closes standard sockets with 1012", async () => {
  await using host = await room();
  host.write((f) => f.request({ exchange: 2, object: 1, url: "http://x/standard", headers: [["Upgrade", "websocket"]] }));
  const response = await host.await("response");
  await finished(host, 1);
  host.clear();
  host.write((f) => f.hibernate(1, 1, 0).hibernate(1, 1, 1));
  await host.await("asleep");
  assert.deepEqual(host.said.map((s) => s.type), ["awake", "close", "release", "asleep", "databaseClosed"]);
  assert.deepEqual(host.of("close"), [{ type: "close", socket: response.socket + 1, code: 1012, reason: "" }]);
});

test("an end that was used in a response cannot be used again", async () => {
  await using host = await room();
  host.write((f) => f.request({ exchange: 2, object: 1, url: "http://x/used", headers: [["Upgrade", "websocket"]] }).request({ exchange: 4, object: 1, url: "http://x/again", headers: [["Upgrade", "websocket"]] }));
  await host.await("release");
  assert.match(logs(host).pop()!, /^Uncaught \(in fetch\): TypeError: Can't return WebSocket that was already used in a response\./);
  assert.deepEqual(logs(host).slice(0, 2), [
    "Cannot call `acceptWebSocket()` on this WebSocket because its pair has already been accepted or used in a Response.",
    "Can't accept() WebSocket that was already used in a response.",
  ]);
});

test("a pair in one object never meets the host", async () => {
  await using host = await Host.start({
    source: `export class Room { async fetch() {
      const [x, y] = new WebSocketPair();
      const got = [];
      x.accept(); y.accept();
      y.addEventListener("message", (e) => { got.push(e.data); y.send("re " + e.data); });
      x.addEventListener("message", (e) => got.push(e.data));
      x.send("1"); x.send("2");
      await scheduler.wait(5);
      x.close(1000);
      await scheduler.wait(5);
      return Response.json(got);
    } } export default {};`,
    classes: ["Room"],
  });
  host.write((f) => f.start({ object: 1 }).request({ exchange: 2, object: 1 }));
  const body = await host.await("body");
  assert.deepEqual(JSON.parse(body.data.toString()), ["1", "2", "re 1", "re 2"]);
  const types = new Set(host.said.map((s) => s.type));
  for (const t of ["open", "send", "accept", "close", "release"] as const) assert.ok(!types.has(t), t);
});

test("11 tags, a 32,769th socket", async () => {
  await using host = await Host.start({
    source: `export class Room { constructor(ctx) { this.ctx = ctx; } fetch() {
      const seen = [];
      for (let i = 0; i < 4; i++) { try { this.ctx.acceptWebSocket(new WebSocketPair()[0]); } catch (e) { seen.push(e.message); } }
      return Response.json(seen);
    } } export default {};`,
    classes: ["Room"],
    limits: { socketsPerObject: 3 },
  });
  host.write((f) => f.start({ object: 1 }).request({ exchange: 2, object: 1 }));
  const body = await host.await("body");
  assert.deepEqual(JSON.parse(body.data.toString()), ["only 3 websockets can be accepted on a single Durable Object instance"]);
});

test("a pair of the Worker's own: it needs no object", async () => {
  await using host = await Host.start({
    source: `export default { fetch() {
      const [client, server] = new WebSocketPair();
      server.accept();
      server.addEventListener("message", (e) => server.send("worker: " + e.data));
      return new Response(null, { status: 101, webSocket: client });
    } };`,
  });
  host.write((f) => f.request({ exchange: 2, headers: [["Upgrade", "websocket"]] }));
  const { socket } = await host.await("response");
  assert.deepEqual(await host.await("open"), { type: "open", socket: socket + 1, object: 0 });
  host.write((f) => f.message(socket + 1, "hi"));
  assert.deepEqual(await host.await("send"), { type: "send", socket: socket + 1, data: "worker: hi" });
});
