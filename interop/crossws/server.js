import { DurableObject } from "cloudflare:workers";
import crossws from "crossws/adapters/cloudflare";

const ws = crossws({
  hooks: {
    upgrade(request) {
      if (new URL(request.url).searchParams.has("denied")) return new Response("no", { status: 403 });
      return { headers: { "x-up": "1" } };
    },
    open(peer) {
      peer.subscribe("room");
      peer.send(`peers ${peer.peers.size}`);
    },
    message(peer, message) {
      if (message.text() === "peers") peer.send(`peers ${peer.peers.size}`);
      else peer.publish("room", message.text());
    },
    close(peer, details) {
      peer.publish("room", `left ${details.code}`);
    },
  },
});

export class Sockets extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ws.handleDurableInit(this, ctx, env);
  }

  fetch(request) {
    return ws.handleDurableUpgrade(this, request);
  }

  webSocketMessage(client, message) {
    return ws.handleDurableMessage(this, client, message);
  }

  webSocketPublish(topic, message, opts) {
    return ws.handleDurablePublish(this, topic, message, opts);
  }

  webSocketClose(client, code, reason, clean) {
    return ws.handleDurableClose(this, client, code, reason, clean);
  }
}

export default {
  async fetch(request, env, ctx) {
    if (request.headers.get("upgrade") === "websocket") return ws.handleUpgrade(request, env, ctx);
    await ws.publish("room", await request.text());
    return new Response("published");
  },
};
