import { Hono } from "hono";
import { partyserverMiddleware } from "hono-party";
import { getServerByName, Server } from "partyserver";

/** A room whose messages go to every room, by way of the hub. */
export class Room extends Server {
  static options = { hibernate: true };

  async onConnect(connection) {
    await (await getServerByName(this.env.Hub, "hub")).join(this.name);
    connection.send(`in ${this.name}`);
  }

  async onMessage(_connection, message) {
    await (await getServerByName(this.env.Hub, "hub")).tell(`${this.name}: ${message}`);
  }

  said(text) {
    this.broadcast(text);
    return [...this.getConnections()].length;
  }
}

export class Hub extends Server {
  async join(room) {
    await this.ctx.storage.put(`room:${room}`, true);
  }

  async tell(text) {
    const rooms = [...(await this.ctx.storage.list({ prefix: "room:" })).keys()];
    return Promise.all(rooms.map(async (r) => (await getServerByName(this.env.Room, r.slice(5))).said(text)));
  }
}

const app = new Hono();
app.use("*", partyserverMiddleware({ onError: (e) => console.error(e) }));
app.get("/", (c) => c.text("home"));

export default app;
