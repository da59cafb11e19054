import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";

export class Room extends DurableObject {
  async open(until) {
    await this.ctx.storage.setAlarm(until);
  }

  async alarm() {
    await this.ctx.storage.put("closed", Date.now());
  }

  closed() {
    return this.ctx.storage.get("closed");
  }

  fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketMessage(ws, message) {
    ws.send(`room ${message}`);
  }
}

export default class extends WorkerEntrypoint {
  fetch(request) {
    return new Response(`rooms ${new URL(request.url).pathname}`);
  }

  size() {
    return this.env.SIZE;
  }
}
