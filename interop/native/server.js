// The bare API, in the shapes that its documentation and Cloudflare's chat demo
// have: a plain class with a history in keys and values, and one that extends
// DurableObject.
import { DurableObject } from "cloudflare:workers";

export class Room {
  constructor(state, env) {
    this.state = state;
    this.env = env;
    this.sessions = new Map();
    this.last = 0;
    for (const ws of state.getWebSockets()) this.sessions.set(ws, ws.deserializeAttachment());
    state.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
  }

  async fetch(request) {
    const url = new URL(request.url);
    if (url.pathname.endsWith("/pinged")) {
      return Response.json(this.state.getWebSockets().map((ws) => this.state.getWebSocketAutoResponseTimestamp(ws)?.getTime() ?? null));
    }
    if (request.headers.get("Upgrade") !== "websocket") return new Response("expected websocket", { status: 400 });
    const pair = new WebSocketPair();
    this.state.acceptWebSocket(pair[1]);
    const session = { limiterId: this.env.limiters.idFromName(request.headers.get("CF-Connecting-IP")).toString() };
    pair[1].serializeAttachment(session);
    this.sessions.set(pair[1], session);
    const history = await this.state.storage.list({ reverse: true, limit: 100 });
    for (const value of [...history.values()].reverse()) pair[1].send(value);
    return new Response(null, { status: 101, webSocket: pair[0] });
  }

  async webSocketMessage(ws, message) {
    const session = this.sessions.get(ws);
    const data = JSON.parse(message);
    if (session.name === undefined) {
      session.name = data.name;
      ws.serializeAttachment({ ...ws.deserializeAttachment(), name: session.name });
      this.broadcast({ joined: session.name });
      return;
    }
    const limiter = this.env.limiters.get(this.env.limiters.idFromString(session.limiterId));
    const cooldown = Number(await (await limiter.fetch("https://limiter/", { method: "POST" })).text());
    const said = { name: session.name, message: data.message, timestamp: (this.last = Math.max(Date.now(), this.last + 1)), limited: cooldown > 0 };
    this.broadcast(said);
    await this.state.storage.put(new Date(said.timestamp).toISOString(), JSON.stringify(said));
  }

  webSocketClose(ws) {
    const { name } = this.sessions.get(ws);
    this.sessions.delete(ws);
    if (name !== undefined) this.broadcast({ quit: name });
  }

  broadcast(message) {
    for (const ws of this.sessions.keys()) ws.send(JSON.stringify(message));
  }
}

export class Limiter extends DurableObject {
  #next = 0;

  fetch() {
    const now = Date.now() / 1000;
    this.#next = Math.max(now, this.#next) + 5;
    return new Response(String(Math.max(0, this.#next - now - 20)));
  }
}

export default {
  async fetch(request, env) {
    try {
      const [, what, name] = new URL(request.url).pathname.split("/");
      if (what === "") return new Response("<!doctype html><title>native</title>", { headers: { "content-type": "text/html" } });
      if (what === "private") return new Response(env.rooms.newUniqueId().toString());
      if (what === "foreign") return new Response(env.rooms.idFromString(env.limiters.newUniqueId().toString()));
      const id = name.length === 64 ? env.rooms.idFromString(name) : env.rooms.idFromName(name);
      return await env.rooms.get(id).fetch(request);
    } catch (error) {
      return new Response(`${error}`, { status: 500 });
    }
  },
};
