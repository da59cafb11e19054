// After tldraw's own template for Durable Objects.
import { DurableObjectSqliteSyncWrapper, SQLiteSyncStorage, TLSocketRoom } from "@tldraw/sync-core";
import { createTLSchema } from "@tldraw/tlschema";
import { DurableObject } from "cloudflare:workers";
import { AutoRouter, error } from "itty-router";

const schema = createTLSchema();

export class Room extends DurableObject {
  #room;
  #sockets = new Map(); // by session

  constructor(ctx, env) {
    super(ctx, env);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair('{"type":"ping"}', '{"type":"pong"}'));
    this.#room = new TLSocketRoom({
      schema,
      storage: new SQLiteSyncStorage({ sql: new DurableObjectSqliteSyncWrapper(ctx.storage) }),
      clientTimeout: Infinity, // pings do not reach us
      onSessionSnapshot: (id, snapshot) => this.#sockets.get(id)?.serializeAttachment({ id, snapshot }),
    });
    for (const socket of ctx.getWebSockets()) {
      const { id, snapshot } = socket.deserializeAttachment();
      this.#sockets.set(id, socket);
      if (snapshot !== undefined) this.#room.handleSocketResume({ sessionId: id, socket, snapshot });
      else this.#room.handleSocketConnect({ sessionId: id, socket }); // it has not said yet who it is
    }
  }

  fetch(request) {
    const url = new URL(request.url);
    if (request.headers.get("upgrade") !== "websocket") {
      return Response.json(this.ctx.getWebSockets().map((s) => JSON.stringify(s.deserializeAttachment()).length));
    }
    const { 0: client, 1: socket } = new WebSocketPair();
    const id = url.searchParams.get("sessionId");
    this.ctx.acceptWebSocket(socket);
    socket.serializeAttachment({ id });
    this.#sockets.set(id, socket);
    this.#room.handleSocketConnect({ sessionId: id, socket });
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketMessage(socket, message) {
    this.#room.handleSocketMessage(socket.deserializeAttachment().id, message);
  }

  webSocketClose(socket) {
    this.#room.handleSocketClose(socket.deserializeAttachment().id);
  }

  webSocketError(socket) {
    this.#room.handleSocketError(socket.deserializeAttachment().id);
  }
}

const router = AutoRouter({ catch: (e) => error(e) }).get("/api/connect/:room", (request, env) =>
  env.Rooms.get(env.Rooms.idFromName(request.params.room)).fetch(request.url, { headers: request.headers, body: request.body }));

export default { fetch: router.fetch };
