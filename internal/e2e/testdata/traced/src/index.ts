/*
 * Objects that ask others, and an outside server, when they are told to; and
 * that throw. Where a request has been is seen there, and in traces.
 */

import { DurableObject } from "cloudflare:workers";

interface Env {
  STOPS: DurableObjectNamespace<Stop>;
}

export class Stop extends DurableObject<Env> {
  override async fetch(request: Request): Promise<Response> {
    if (request.headers.get("Upgrade") === "websocket") {
      const [client, server] = Object.values(new WebSocketPair()) as [WebSocket, WebSocket];
      this.ctx.acceptWebSocket(server);
      return new Response(null, { status: 101, webSocket: client });
    }
    await scheduler.wait(1);
    throw new RangeError("thrown in fetch");
  }

  /** "outside URL", "fetch NAME URL" or "call NAME URL": by way of another object. */
  override async webSocketMessage(ws: WebSocket, message: string): Promise<void> {
    const [how, ...rest] = message.split(" ");
    if (how === "throw") throw new TypeError("thrown in a message");
    if (how === "call") ws.send(await this.env.STOPS.getByName(rest[0]!).outside(rest[1]!));
    else ws.send(await this.outside(rest[0]!));
  }

  async outside(url: string): Promise<string> {
    return (await fetch(url)).text();
  }

  async fail(): Promise<never> {
    await scheduler.wait(1);
    throw new RangeError("thrown in a call");
  }

  override alarm(): void {}
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const { pathname } = new URL(request.url);
    const stub = env.STOPS.getByName("there");
    switch (pathname) {
      case "/":
        return new Response("ready");
      case "/fetch":
        return stub.fetch(request);
      case "/call":
        await stub.fail();
        break;
      case "/self":
        throw new Error("thrown in the Worker");
    }
    return env.STOPS.getByName(pathname).fetch(request);
  },
};
