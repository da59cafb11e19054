// A class, its storage, its environment and the Worker, each inside a Proxy that
// makes spans of what is called.
import { instrument, instrumentDO } from "@microlabs/otel-cf-workers";

class Plain {
  constructor(state, env) {
    this.state = state;
    this.env = env;
  }

  async fetch(request) {
    if (request.headers.get("upgrade") === "websocket") {
      const { 0: client, 1: socket } = new WebSocketPair();
      this.state.acceptWebSocket(socket);
      return new Response(null, { status: 101, webSocket: client });
    }
    const visits = ((await this.state.storage.get("visits")) ?? 0) + 1;
    await this.state.storage.put("visits", visits);
    await this.env.Names.put("last", `visit ${visits}`);
    return Response.json({ visits, last: await this.env.Names.get("last"), keys: [...(await this.state.storage.list()).keys()] });
  }

  async webSocketMessage(socket, message) {
    socket.send(`heard ${message}`);
  }
}

const config = (env) => ({ exporter: { url: env.COLLECTOR }, service: { name: "traced" } });

export const Room = instrumentDO(Plain, config);

export default instrument({
  fetch: (request, env) => env.Room.get(env.Room.idFromName("main")).fetch(request),
}, config);
