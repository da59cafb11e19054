import assert from "node:assert/strict";
import { test } from "node:test";
import { Host } from "./support/host.ts";

const source = `
export class Room {
  constructor(ctx, env) { this.ctx = ctx; this.n = 0; }
  async fetch(request) {
    const pair = new WebSocketPair();
    this.ctx.acceptWebSocket(pair[1], ["a"]);
    pair[1].serializeAttachment({ who: "me" });
    return new Response(null, { status: 101, webSocket: pair[0] });
  }
  async webSocketMessage(ws, message) { ws.send(message + ++this.n); }
}
export default { async fetch(request, env) { return new Response("hello " + new URL(request.url).pathname + await request.text()); } };
`;

test("a simple class starts, upgrades, echoes and hibernates", async () => {
  await using host = await Host.start({ source, classes: ["Room"] });
  assert.equal(host.said[0]!.type, "ready", JSON.stringify(host.said));
  host.write((f) => f.start({ object: 1 }).request({ exchange: 2, object: 1, headers: [["Upgrade", "websocket"]] }));
  const response = await host.await("response");
  const accept = await host.await("accept");
  assert.equal(response.status, 101);
  assert.equal(accept.socket, response.socket + 1);
  host.write((f) => {
    for (let i = 0; i < 3; i++) f.message(accept.socket, "m");
  });
  await host.next((s) => s.type === "send" && s.data === "m3");
  const p = await host.next((s) => s.type === "progress" && s.finished === 4);
  assert.deepEqual(p, { type: "progress", object: 1, started: 4, finished: 4, tasks: 0 });
  host.write((f) => f.hibernate(1, 4));
  await host.await("asleep");
});

test("the Worker answers a request with a body", async () => {
  await using host = await Host.start({ source, classes: ["Room"] });
  host.write((f) => f.request({ exchange: 2, url: "http://x/p", method: "POST", body: true }).body(2, " wor").body(2, "ld").bodyEnd(2));
  const body = await host.await("body");
  assert.equal(body.data.toString(), "hello /p world");
  await host.await("bodyEnd");
});
