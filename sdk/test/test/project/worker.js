import { DurableObject } from "cloudflare:workers";

export class Clock extends DurableObject {
  ran = 0;

  now() {
    return [Date.now(), new Date().getTime(), new Date(5).getTime(), new Date() instanceof Date];
  }

  async remind(ms) {
    await this.ctx.storage.setAlarm(Date.now() + ms);
  }

  async alarm({ scheduledTime }) {
    this.ran++;
    const times = (await this.ctx.storage.get("times")) ?? [];
    await this.ctx.storage.put("times", [...times, scheduledTime <= Date.now()]);
  }

  times() {
    return this.ctx.storage.get("times");
  }

  mirror(...values) {
    return values;
  }

  get nested() {
    return { list: [1, 2, 3] };
  }

  fails() {
    throw Object.assign(new RangeError("too far"), { code: "E_FAR" });
  }
}

export class Plain {
  constructor(state) {
    this.state = state;
    this.secret = 42;
  }

  async fetch(request) {
    if (request.headers.get("upgrade") === "websocket") {
      const { 0: client, 1: server } = new WebSocketPair();
      this.state.acceptWebSocket(server, [request.headers.get("x-tag") ?? "none"]);
      return new Response(null, { status: 101, webSocket: client, headers: { "sec-websocket-protocol": "second" } });
    }
    return new Response(`${request.method} ${request.url} ${await request.text()}`, { status: 201, headers: { "x-name": `${this.state.id.name}` } });
  }

  webSocketMessage(ws, message) {
    ws.send(`${this.state.getTags(ws)} ${message}`);
  }
}

export default {
  fetch: (request) => new Response(`worker ${new URL(request.url).pathname}`),
};
