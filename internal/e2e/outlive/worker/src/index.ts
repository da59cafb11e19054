/*
 * Objects that count: each socket's messages are numbered by its client, and the
 * answers by the object. Both counts live in the socket's attachment, so that an
 * instance, a process or a version of the code that ends between two messages must
 * not be seen in them.
 */

import { DurableObject } from "cloudflare:workers";

import { page } from "./page";
import { version } from "./version";

interface Env {
  LINES: DurableObjectNamespace<Line>;
}

interface Count {
  name: string;
  got: number; // the number of the last message
  sent: number; // answers
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export class Line extends DurableObject<Env> {
  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    if (url.pathname.endsWith("/html")) return new Response(page, { headers: { "Content-Type": "text/html" } });
    if (url.pathname.endsWith("/stream")) return new Response(this.#lines(Number(url.searchParams.get("lines"))));
    if (url.pathname.endsWith("/standard")) return this.#standard();
    if (url.pathname.endsWith("/outbound")) {
      const answer = await fetch(url.searchParams.get("to") ?? "", { headers: { Upgrade: "websocket" } });
      answer.webSocket?.accept();
      return new Response(String(answer.status));
    }
    if (url.pathname.endsWith("/sockets")) {
      return Response.json({
        total: this.ctx.storage.kv.get<number>("total") ?? 0,
        closed: this.ctx.storage.kv.get<number>("closed") ?? 0,
        sockets: this.ctx.getWebSockets().map((ws) => ({
          tags: this.ctx.getTags(ws),
          attachment: ws.deserializeAttachment() as Count,
        })),
      });
    }
    const name = url.searchParams.get("name") ?? "";
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server, [name, url.searchParams.get("kind") ?? ""]);
    server.serializeAttachment({ name, got: 0, sent: 0 } satisfies Count);
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(ws: WebSocket, message: string): Promise<void> {
    if (message.startsWith("sleep ")) {
      await sleep(Number(message.slice(6)));
      this.ctx.storage.kv.put("total", (this.ctx.storage.kv.get<number>("total") ?? 0) + 1);
      ws.send(`slept ${message.slice(6)}`);
      return;
    }
    const count = ws.deserializeAttachment() as Count;
    await this.ctx.storage.get("nothing"); // the input gate must hold what follows
    const n = Number(message);
    const gap = n === count.got + 1 ? "" : ` after ${count.got}`;
    count.got = n;
    count.sent++;
    ws.serializeAttachment(count);
    this.ctx.storage.kv.put("total", (this.ctx.storage.kv.get<number>("total") ?? 0) + 1);
    ws.send(`${n} ${count.sent} ${version}${gap}`);
  }

  override webSocketClose(_ws: WebSocket, code: number): void {
    this.ctx.storage.kv.put("closed", code);
  }

  #standard(): Response {
    const { 0: client, 1: server } = new WebSocketPair();
    server.accept();
    server.addEventListener("message", (event) => server.send(event.data as string));
    return new Response(null, { status: 101, webSocket: client });
  }

  #lines(n: number): ReadableStream<Uint8Array> {
    const encoder = new TextEncoder();
    let i = 0;
    return new ReadableStream({
      async pull(controller) {
        if (i === n) return controller.close();
        await sleep(100);
        controller.enqueue(encoder.encode(`line ${++i}\n`));
      },
    });
  }
}

export default {
  fetch(request: Request, env: Env): Response | Promise<Response> {
    const object = new URL(request.url).pathname.split("/")[1] ?? "";
    if (object === "") return new Response("ready");
    return env.LINES.getByName(object).fetch(request);
  },
};
