/*
 * An object that puts what it is told into its storage or into an attachment,
 * and says what the attachment holds.
 */

import { DurableObject } from "cloudflare:workers";

interface Env {
  OBJECTS: DurableObjectNamespace<Keeper>;
}

export class Keeper extends DurableObject<Env> {
  override fetch(): Response {
    const [client, server] = Object.values(new WebSocketPair()) as [WebSocket, WebSocket];
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  override webSocketMessage(ws: WebSocket, message: string): void {
    const [what, value] = message.split(" ");
    if (what === "store") this.ctx.storage.kv.put("value", value);
    if (what === "attach") ws.serializeAttachment({ value });
    ws.send(String((ws.deserializeAttachment() as { value: string } | null)?.value));
  }
}

export default {
  fetch(request: Request, env: Env): Response | Promise<Response> {
    if (request.headers.get("Upgrade") !== "websocket") return new Response("ready");
    return env.OBJECTS.getByName(new URL(request.url).pathname).fetch(request);
  },
};
