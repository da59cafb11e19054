import { DurableObject } from "cloudflare:workers";

/** Does what it is told; guesttest.Subject says which words there are. */
export class Kit extends DurableObject {
  #messages = 0;

  async fetch(request) {
    const [, word, rest] = new URL(request.url).pathname.split("/");
    switch (word) {
      case "accept": {
        const { 0: client, 1: server } = new WebSocketPair();
        this.ctx.acceptWebSocket(server, [decodeURIComponent(rest)]);
        return new Response(null, { status: 101, webSocket: client });
      }
      case "echo":
        return new Response(request.body, { status: 201 });
      case "throw":
        throw new TypeError("no");
      case "ask": {
        const stub = this.env.KIT.get(this.env.KIT.idFromName(rest));
        const answer = await stub.fetch("https://object/hello", { method: "POST", body: "hi" });
        return new Response(answer.body);
      }
    }
    return new Response("what?", { status: 404 });
  }

  webSocketMessage(ws, message) {
    this.#messages++;
    const space = message.indexOf(" ");
    const word = space < 0 ? message : message.slice(0, space);
    const rest = space < 0 ? "" : message.slice(space + 1);
    switch (word) {
      case "echo":
        ws.send(rest);
        break;
      case "all":
        for (const each of this.ctx.getWebSockets()) each.send(rest);
        break;
      case "nth":
        ws.send(`${this.#messages}`);
        break;
      case "tags":
        ws.send(this.ctx.getTags(ws).join(","));
        break;
      case "count":
        ws.send(`${this.ctx.getWebSockets().length}`);
        break;
      case "set":
        ws.serializeAttachment(rest);
        break;
      case "get":
        ws.send(ws.deserializeAttachment() ?? "none");
        break;
      case "pair":
        this.ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(...rest.split(" ")));
        break;
      case "stamp": {
        const at = this.ctx.getWebSocketAutoResponseTimestamp(ws);
        ws.send(at === null ? "never" : `${at.getTime()}`);
        break;
      }
      case "timeout":
        this.ctx.setHibernatableWebSocketEventTimeout(Number(rest));
        break;
      case "close": {
        const [code, ...reason] = rest.split(" ");
        ws.close(Number(code), reason.join(" "));
        break;
      }
      case "task":
        this.ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, Number(rest))));
        break;
      case "throw":
        throw new Error(rest);
      case "abort":
        this.ctx.abort(rest);
    }
  }

  webSocketClose(ws, code) {
    for (const each of this.ctx.getWebSockets()) if (each !== ws) each.send(`left ${code}`);
  }
}

export default {
  fetch() {
    return new Response("kit");
  },
};
