import { ORPCError, os } from "@orpc/server";
import { encodeHibernationRPCEvent, HibernationEventIterator, HibernationPlugin } from "@orpc/server/hibernation";
import { RPCHandler } from "@orpc/server/websocket";
import { DurableObject } from "cloudflare:workers";

const router = {
  // The subscription outlives the instance: its id is the socket's attachment.
  events: os.handler(({ context }) => new HibernationEventIterator((id) => {
    context.ws.serializeAttachment({ ...context.ws.deserializeAttachment(), id });
  })),
  say: os.handler(({ input, context }) => {
    for (const ws of context.ctx.getWebSockets()) {
      const { id } = ws.deserializeAttachment() ?? {};
      if (id !== undefined) ws.send(encodeHibernationRPCEvent(id, { text: input, at: new Date(86_400_000), big: 10n ** 20n }));
    }
    return context.ctx.getWebSockets().length;
  }),
  fails: os.handler(() => {
    throw new Error("hidden");
  }),
  refuses: os.handler(() => {
    throw new ORPCError("FORBIDDEN", { message: "not you" });
  }),
};

const handler = new RPCHandler(router, { plugins: [new HibernationPlugin()] });

export class Events extends DurableObject {
  fetch() {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketMessage(ws, message) {
    return handler.message(ws, message, { context: { ws, ctx: this.ctx } });
  }

  webSocketClose(ws) {
    handler.close(ws);
  }
}

export default {
  fetch: (request, env) => env.Events.getByName("all").fetch(request),
};
