import { DurableObject } from "cloudflare:workers";

/** A class in JavaScript that calls one in Go, and is called by it. */
export class Room extends DurableObject {
  add(n) {
    const total = (this.ctx.storage.kv.get("total") ?? 0) + n;
    this.ctx.storage.kv.put("total", total);
    return total;
  }

  // Values of all kinds, to Go and back.
  mirror(value) {
    return { value, kind: Object.prototype.toString.call(value) };
  }

  nothing() {}

  fail(text) {
    throw new RangeError(text);
  }

  stub() {
    return () => 1;
  }

  slow() {
    return new Promise((resolve) => setTimeout(resolve, 60_000));
  }

  async viaGo(name, n) {
    return this.env.COUNTERS.getByName(name).add(n);
  }

  async goFails(name) {
    try {
      await this.env.COUNTERS.getByName(name).fail("from Go");
    } catch (e) {
      return { name: e.name, message: e.message, remote: e.remote === true };
    }
  }

  async refused(name, method, ...args) {
    try {
      await this.env.COUNTERS.getByName(name)[method](...args.map((a) => (a === "function" ? () => 1 : a)));
    } catch (e) {
      return `${e.name}: ${e.message}`;
    }
    return "not refused";
  }

  async describe(name) {
    return this.env.COUNTERS.getByName(name).describe({ name: "Ada", when: new Date(0), tags: new Set(["a"]), sum: 10n ** 20n });
  }

  async fetchGo(name) {
    const answer = await this.env.COUNTERS.getByName(name).fetch("http://go/hello", { method: "POST", body: "hi" });
    return `${answer.status} ${await answer.text()}`;
  }

  // A client's WebSocket goes through to the object in Go.
  async fetch(request) {
    return this.env.COUNTERS.getByName("sockets").fetch(request);
  }
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === "/go") return env.COUNTERS.getByName("sockets").fetch(request);
    return env.ROOMS.getByName(url.pathname.slice(1)).fetch(request);
  },
};
