/*
 * An object that does whatever it is told, also what no object should do. Each
 * text is answered with the number of messages that this instance has had, the
 * text, and when the instance began.
 */

import { DurableObject } from "cloudflare:workers";
import { Readable, Transform } from "node:stream";
import timers from "node:timers/promises";
import { deflate } from "node:zlib";

interface Env {
  OBJECTS: DurableObjectNamespace<Misbehaving>;
}

export class Misbehaving extends DurableObject<Env> {
  #born = crypto.randomUUID();
  #count = 0;
  #kept: unknown[] = [];

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    // Only once: the next instance behaves.
    if (ctx.storage.kv.get("loop in constructor") === true) {
      const [socket] = ctx.getWebSockets();
      if (socket !== undefined && socket.deserializeAttachment() === "loop") {
        socket.serializeAttachment("looped");
        forever();
      }
    }
  }

  override fetch(request: Request): Response {
    const url = new URL(request.url);
    if (url.pathname.endsWith("/loop")) forever();
    if (url.pathname.endsWith("/hello")) return new Response("hello");
    const [client, server] = Object.values(new WebSocketPair()) as [WebSocket, WebSocket];
    this.ctx.acceptWebSocket(server, ["visitor"]);
    server.serializeAttachment("kept");
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(ws: WebSocket, message: string): Promise<void> {
    this.#count++;
    switch (message) {
      case "loop":
        return forever();
      case "loop, caught":
        try {
          forever();
        } catch (e) {
          ws.send(`caught ${e}`);
        } finally {
          ws.send("finally");
        }
        return;
      case "loop in a timer":
        setTimeout(forever, 1);
        break;
      case "loop of promises":
        for (;;) await null;
      case "loop behind a digest":
        await crypto.subtle.digest("SHA-256", new Uint8Array(1));
        return forever();
      case "loop in a next tick":
        process.nextTick(forever);
        return;
      case "loop in a callback of zlib":
        deflate("x", () => forever());
        return;
      case "loop in a stream":
        Readable.from(["x"]).pipe(new Transform({ transform: forever }));
        return;
      case "loop behind a stream":
        for await (const _ of new Blob(["x"]).stream()) forever();
        return;
      case "loop behind a compressor": {
        const writer = new CompressionStream("gzip");
        void writer.writable.close();
        await new Response(writer.readable).arrayBuffer();
        return forever();
      }
      case "loop in a timer of Node's":
        await timers.setTimeout(1);
        return forever();
      case "loop of sends":
        for (let i = 0; ; i++) {
          const socket = this.ctx.getWebSockets()[0];
          if (i % 10_000 === 0) socket?.send("again");
        }
      case "loop in a query":
        this.ctx.storage.sql.exec("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c").toArray();
        break;
      case "loop behind a write":
        this.ctx.storage.kv.put("written", true);
        ws.send("not to be seen");
        return forever();
      case "what was written?":
        ws.send(`${this.ctx.storage.kv.get("written")}`);
        return;
      case "loop in the next constructor":
        this.ctx.storage.kv.put("loop in constructor", true);
        ws.serializeAttachment("loop");
        break;
      case "eat strings":
        for (let i = 0; ; i++) this.#kept.push(`${i}`.repeat(1000).split(""));
      case "leak":
        for (let i = 0; i < 20_000; i++) leaked.push(new Leaked(leaked.length));
        break;
      case "eat buffers":
        for (;;) this.#kept.push(new Uint8Array(1 << 20).fill(1));
      case "throw in a timer":
        setTimeout(() => {
          throw new Error("thrown in a timer");
        }, 1);
        break;
      case "throw":
        throw new Error("thrown in a handler");
      case "exit":
        ws.send(exits());
        return;
      case "store things":
        console.log("said by the object");
        this.ctx.storage.kv.put("answer", { to: "everything", is: [42] });
        this.ctx.storage.sql.exec("CREATE TABLE things (name TEXT); INSERT INTO things VALUES ('a'), ('b')");
        break;
      case "burn":
        for (const end = Date.now() + 100; Date.now() < end; );
        break;
      case "attachment and tags":
        ws.send(JSON.stringify([ws.deserializeAttachment(), this.ctx.getTags(ws)]));
        return;
    }
    ws.send(JSON.stringify({ count: this.#count, text: message, born: this.#born }));
  }
}

/** What nobody lets go of: a cache without a bound, as in many a module. */
const leaked: Leaked[] = [];

class Leaked {
  readonly text: string;
  constructor(readonly number: number) {
    this.text = `the leaked one ${number}`;
  }
}

function forever(): never {
  for (;;);
}

/** Everything that could end the process, and what it says. */
function exits(): string {
  const p = (globalThis as unknown as { process: Record<string, (...args: unknown[]) => unknown> }).process;
  const ways: [string, () => unknown][] = [
    ["exit", () => p["exit"]!(1)],
    ["abort", () => p["abort"]!()],
    ["kill", () => p["kill"]!(1, 9)],
    ["reallyExit", () => p["reallyExit"]!(1)],
  ];
  return ways
    .map(([name, way]) => {
      try {
        way();
        return `${name}: went through`;
      } catch {
        return `${name}: refused`;
      }
    })
    .join(", ");
}

export default {
  fetch(request: Request, env: Env): Response | Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/") return new Response("ready");
    if (pathname === "/loop") forever();
    return env.OBJECTS.getByName(decodeURIComponent(pathname.split("/")[1]!)).fetch(request);
  },
};
