/*
 * An object that goes to its limits when it is told to, and keeps what its
 * sockets' handlers were told.
 */

import { DurableObject } from "cloudflare:workers";

interface Env {
  OBJECTS: DurableObjectNamespace<Bounded>;
}

export class Bounded extends DurableObject<Env> {
  override fetch(): Response {
    const [client, server] = Object.values(new WebSocketPair()) as [WebSocket, WebSocket];
    try {
      this.ctx.acceptWebSocket(server);
    } catch (e) {
      return new Response((e as Error).message, { status: 409 });
    }
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(ws: WebSocket, message: string): Promise<void> {
    const [what, n] = message.split(" ");
    switch (what) {
      case "attach":
        try {
          ws.serializeAttachment("x".repeat(Number(n)));
          ws.send("attached");
        } catch (e) {
          ws.send(`${(e as Error).name}: ${(e as Error).message}`);
        }
        break;
      case "flood":
        for (let i = 0; i < Number(n); i++) {
          ws.send("x".repeat(64 << 10));
          await scheduler.wait(0);
        }
        break;
      case "close":
        ws.close(4000, "bye");
        break;
      case "timer":
        setTimeout(() => {}, Number(n));
        ws.send("set");
        break;
      case "told":
        ws.send(String(this.ctx.storage.kv.get("told")));
        break;
    }
  }

  override webSocketClose(_ws: WebSocket, code: number, _reason: string, wasClean: boolean): void {
    this.ctx.storage.kv.put("told", `close ${code} ${wasClean}`);
  }

  override webSocketError(_ws: WebSocket, error: unknown): void {
    this.ctx.storage.kv.put("told", String(error));
  }
}

export default {
  fetch(request: Request, env: Env): Response | Promise<Response> {
    if (request.headers.get("Upgrade") !== "websocket") return new Response("ready");
    return env.OBJECTS.getByName(new URL(request.url).pathname).fetch(request);
  },
};
