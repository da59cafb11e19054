// The Worker behind it: its objects and entrypoints are called by the other one.
import { DurableObject, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

export class Room extends DurableObject {
  add(n) {
    const sum = (this.ctx.storage.kv.get("n") ?? 0) + n;
    this.ctx.storage.kv.put("n", sum);
    return sum;
  }
  throws() {
    throw Object.assign(new RangeError("the room says no"), { code: 7 });
  }
  abort() {
    this.ctx.abort("on purpose");
  }
  fetch(request) {
    if (request.headers.get("upgrade") !== "websocket") return new Response(`${this.ctx.id.name} ${request.url}`);
    const [theirs, ours] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(ours);
    return new Response(null, { status: 101, webSocket: theirs });
  }
  webSocketMessage(ws, message) {
    ws.send(`${this.ctx.id.name} ${message} ${this.add(1)}`);
  }
}

class Basket extends RpcTarget {
  #items;
  constructor(...items) {
    super();
    this.#items = items;
  }
  add(item) {
    return new Basket(...this.#items, item);
  }
  total() {
    return this.#items.reduce((a, b) => a + b, 0);
  }
}

export class Admin extends WorkerEntrypoint {
  props() {
    return this.ctx.props;
  }
  fetch() {
    return Response.json(this.ctx.props);
  }
  throws() {
    throw Object.assign(new RangeError("the entrypoint says no"), { code: 8 });
  }
  async callbacks(double, counter) {
    return [await double(21), await counter.up(2), await counter.up(3)];
  }
  basket(n) {
    return new Basket(n);
  }
  room(name) {
    return this.env.ROOM.getByName(name);
  }
  ask(stub) {
    return stub.who();
  }
  async askService(service) {
    return [await service.hello(), await (await service.fetch("https://service/")).json()];
  }
  stream(n) {
    return new Response("x".repeat(n)).body;
  }
  /** What the stores of this Worker have under a key. */
  async stored(key) {
    return [await this.env.KV.get(key), (await (await this.env.FILES.get(key))?.text()) ?? null];
  }
  async store(key, body) {
    await this.env.KV.put(key, body);
    await this.env.FILES.put(key, body);
    return this.stored(key);
  }
}

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (request.headers.get("upgrade") === "websocket") return env.ROOM.getByName("service").fetch(request);
    if (pathname === "/echo") return new Response(request.body);
    if (pathname === "/throw") throw new TypeError("the Worker says no");
    return Response.json({ code: env.CODE, method: request.method, url: request.url, body: await request.text(), header: request.headers.get("x-code"), names: Object.keys(env).sort() });
  },
};
