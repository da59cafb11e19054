/*
 * Objects that use everything that lies outside of them: KV, R2, objects of
 * another class, and their own past.
 */

import { DurableObject } from "cloudflare:workers";

export class Shelf extends DurableObject {
  async fetch() {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  // Each message is a number. It is put into KV and R2, another object counts it,
  // and what all of them have is the answer. Handlers overlap while they wait.
  async webSocketMessage(ws, message) {
    await this.env.KV.put(`m${message}`, message);
    await this.env.BUCKET.put(`m${message}`, message.padEnd(100_000, "."));
    const counted = await this.env.CLERKS.getByName("clerk").count();
    const box = await (await this.env.BUCKET.get(`m${message}`)).text();
    ws.send(`${message} ${counted} ${await this.env.KV.get(`m${message}`)} ${parseInt(box, 10)} ${box.length}`);
  }

  bookmark() {
    return this.ctx.storage.getCurrentBookmark();
  }

  write(n) {
    this.ctx.storage.kv.put("n", n);
  }

  read() {
    return this.ctx.storage.kv.get("n");
  }

  back(bookmark) {
    return this.ctx.storage.onNextSessionRestoreBookmark(bookmark);
  }
}

export class Clerk extends DurableObject {
  count() {
    const n = (this.ctx.storage.kv.get("count") ?? 0) + 1;
    this.ctx.storage.kv.put("count", n);
    return n;
  }
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === "/") return new Response("ready");
    const [, name, method, argument] = url.pathname.split("/");
    if (!method) return env.SHELVES.getByName(name).fetch(request);
    return Response.json((await env.ALSO_SHELVES.getByName(name)[method](argument)) ?? null);
  },
};
