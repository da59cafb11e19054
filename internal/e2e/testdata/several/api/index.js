// The Worker that clients reach: it calls another one, in every way there is.
import { DurableObject, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
import fs from "node:fs";

export class Mine extends DurableObject {
  /** What it writes is durable before the other Worker's object hears of it. */
  add(room, n) {
    this.ctx.storage.kv.put("added", n);
    return this.env.ROOM.getByName(room).add(n);
  }
  who() {
    return `mine ${this.ctx.id.name}`;
  }
  fetch(request) {
    return this.env.ROOM.getByName("through").fetch(request);
  }
}

export class Self extends WorkerEntrypoint {
  hello() {
    return this.ctx.props;
  }
  fetch() {
    return Response.json(this.ctx.props);
  }
}

class Counter extends RpcTarget {
  n = 0;
  up(by) {
    return (this.n += by);
  }
}

/** An error as whoever called sees it. */
const caught = async (call) => {
  try {
    return { value: await call() };
  } catch (e) {
    return { name: e.name, message: e.message, remote: e.remote, retryable: e.retryable, code: e.code };
  }
};

const text = async (response) => (await response).text();

const deeds = {
  names: (env) => Object.keys(env).sort(),
  code: (env) => env.CODE,
  add: (env) => env.ROOM.getByName("lobby").add(2),
  fetch: (env) => text(env.ROOMS.fetch("https://rooms/hi?x", { method: "POST", body: "body", headers: { "x-code": "7" } })),
  objectFetch: (env) => text(env.ROOM.getByName("lobby").fetch("https://room/there")),
  props: (env) => env.ADMIN.props(),
  propsOfFetch: (env) => text(env.ADMIN.fetch("https://admin/")),
  through: (env) => env.MINE.getByName("mine").add("other", 5),
  throws: (env) => env.ADMIN.throws(),
  objectThrows: (env) => env.ROOM.getByName("lobby").throws(),
  fetchThrows: (env) => env.ROOMS.fetch("https://rooms/throw"),
  callbacks: (env) => env.ADMIN.callbacks((x) => x * 2, new Counter()),
  pipelined: (env) => env.ADMIN.basket(3).add(4).total(),
  async stubOfTheirs(env) {
    using room = await env.ADMIN.room("passed");
    return [await room.add(1), await text(room.fetch("https://room/passed"))];
  },
  stubOfOurs: (env) => env.ADMIN.ask(env.MINE.getByName("lent")),
  serviceOfOurs: (env) => env.ADMIN.askService(env.SELF),
  stream: async (env) => (await text(new Response(await env.ADMIN.stream(300_000)))).length,
  big: async (env) => (await text(env.ROOMS.fetch("https://rooms/echo", { method: "POST", body: new Blob(["y".repeat(1_000_000)]).stream() }))).length,
  self: async (env) => [await env.SELF.hello(), await (await env.SELF.fetch("https://self/")).json()],
  reset: async (env) => [await caught(() => env.ROOM.getByName("reset").abort()), await env.ROOM.getByName("reset").add(1)],
  missing: (env) => env.ADMIN.nothing(),
  /** Both Workers name their stores the same: what this one has written, and what the other one has of it. */
  async stores(env) {
    await env.KV.put("key", "of api");
    await env.FILES.put("key", "of api");
    return [await env.KV.get("key"), await text(await env.FILES.get("key")), await env.ADMIN.stored("key")];
  },
  /** How much the other Worker keeps under a key of its own, and what this one has of it. */
  async storesOfTheirs(env, length) {
    const theirs = await env.ADMIN.store("theirs", "x".repeat(length));
    const keys = [...(await env.KV.list()).keys.map((k) => k.name), ...(await env.FILES.list()).objects.map((o) => o.key)];
    return [theirs.map((kept) => kept.length), await env.KV.get("theirs"), await env.FILES.head("theirs"), await env.FILES.get("theirs"), keys];
  },
  /** What a key leads to that is the path of a file. */
  async storesByPath(env, path) {
    return [await env.KV.get(path), await env.FILES.get(path)];
  },
  file: (_env, path) => fs.readFileSync(path, "latin1").length,
};

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const what = url.pathname.slice(1);
    if (request.headers.get("upgrade") === "websocket") {
      if (what === "object") return env.ROOM.getByName("socket").fetch(request);
      if (what === "mine") return env.MINE.getByName("socket").fetch(request);
      return env.ROOMS.fetch(request);
    }
    if (!(what in deeds)) return new Response("api");
    return Response.json(await caught(() => deeds[what](env, url.searchParams.get("x"))));
  },
};
