// Objects with alarms, for a test that ends processes under them. Each writes
// down, durably, what its handler was given.

import { DurableObject } from "cloudflare:workers";

interface Env {
  OBJECTS: DurableObjectNamespace<Clock>;
}

interface Run {
  isRetry: boolean;
  retryCount: number;
  scheduledTime: number;
}

export class Clock extends DurableObject<Env> {
  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const { storage } = this.ctx;
    switch (url.pathname.split("/")[2]) {
      case "set": {
        storage.kv.put("how", url.searchParams.get("how") ?? "");
        const at = Date.now() + Number(url.searchParams.get("ms"));
        await storage.setAlarm(at);
        return Response.json({ at });
      }
      case "hold":
        return this.#hold(url.searchParams.get("how") ?? "", url.searchParams.get("url") ?? "");
      default:
        return Response.json({ runs: this.#runs(), alarm: await storage.getAlarm(), born: this.#born });
    }
  }

  readonly #born = Math.random();

  #runs(): Run[] {
    return this.ctx.storage.kv.get<Run[]>("runs") ?? [];
  }

  override async alarm(info?: AlarmInvocationInfo): Promise<void> {
    const { isRetry, retryCount, scheduledTime } = info as unknown as Run;
    const before = this.#runs();
    this.ctx.storage.kv.put("runs", [...before, { isRetry, retryCount, scheduledTime }]);
    await this.ctx.storage.sync();
    if (before.length > 0) return;
    // The first run does as it was told.
    const how = this.ctx.storage.kv.get<string>("how");
    if (how === "hang") await new Promise((done) => setTimeout(done, 3_600_000));
    if (how === "loop") for (;;);
    if (how === "throw") throw new Error("as it was told");
  }

  /** Begins something that keeps the object in memory. */
  #hold(how: string, url: string): Response {
    switch (how) {
      case "waitUntil":
        this.ctx.waitUntil(new Promise(() => {}));
        break;
      case "timer":
        setTimeout(() => {}, 3_600_000);
        break;
      case "interval":
        setInterval(() => {}, 60_000);
        break;
      case "fetch":
        void fetch(url).catch(() => {});
        break;
      case "socket":
        new WebSocket(url);
        break;
      default:
        return new Response(`no way to hold: ${how}`, { status: 400 });
    }
    return Response.json({});
  }
}

export default {
  fetch(request: Request, env: Env): Promise<Response> {
    return env.OBJECTS.getByName(new URL(request.url).pathname.split("/")[1]!).fetch(request);
  },
};
