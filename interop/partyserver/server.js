import { getServerByName, routePartykitRequest, Server } from "partyserver";

/** A chat with a history, in which admins see who everybody is. */
export class Chat extends Server {
  static options = { hibernate: true };

  #loaded = -1;

  onStart() {
    this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS said (n INTEGER PRIMARY KEY, who TEXT, text TEXT)");
    this.#loaded = this.#said().length;
  }

  #said() {
    return [...this.ctx.storage.sql.exec("SELECT who, text FROM said ORDER BY n")];
  }

  getConnectionTags(_connection, { request }) {
    return [new URL(request.url).searchParams.get("role") ?? "user"];
  }

  onConnect(connection, { request }) {
    connection.setState({ joined: 1, u: new URL(request.url).searchParams.get("u") });
    connection.send(JSON.stringify({ type: "all", said: this.#said(), loaded: this.#loaded, room: this.name }));
  }

  onMessage(connection, message) {
    if (message === "who") {
      const all = [...this.getConnections()].map((c) => ({ id: c.id, state: c.state, uri: c.uri, tags: c.tags, loaded: this.#loaded }));
      for (const admin of this.getConnections("admin")) admin.send(JSON.stringify({ type: "who", all }));
      return;
    }
    if (message === "bye") {
      connection.close(1000, "bye");
      return;
    }
    this.ctx.storage.sql.exec("INSERT INTO said (who, text) VALUES (?, ?)", connection.id, message);
    this.broadcast(JSON.stringify({ type: "said", who: connection.id, text: message, loaded: this.#loaded }), [connection.id]);
  }

  onClose(connection, code, reason, clean) {
    this.broadcast(JSON.stringify({ type: "left", who: connection.id, code, reason, clean }), [connection.id]);
  }

  async hi() {
    const n = ((await this.ctx.storage.get("hi")) ?? 0) + 1;
    await this.ctx.storage.put("hi", n);
    return n;
  }

  onRequest(request) {
    return Response.json({ method: request.method, room: this.name });
  }
}

/** Says back what it hears: what bench/ measures. */
export class Echo extends Server {
  static options = { hibernate: true };

  onMessage(connection, message) {
    connection.send(message);
  }
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === "/hi") return Response.json(await (await getServerByName(env.Chat, url.searchParams.get("room"))).hi());
    return (await routePartykitRequest(request, env, { cors: true })) ?? new Response("not found", { status: 404 });
  },
};
