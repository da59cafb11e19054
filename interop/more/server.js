import { Actor } from "@cloudflare/actors";
import { initTRPC, TRPCError } from "@trpc/server";
import { fetchRequestHandler } from "@trpc/server/adapters/fetch";
import { DurableObject } from "cloudflare:workers";
import { buildSchema } from "graphql";
import { makeServer } from "graphql-ws";
import { createDurable } from "itty-durable/itty-durable.js";
import { proxyDurable } from "itty-durable/proxy-durable.js";
import { DOQB } from "workers-qb";

/** @cloudflare/actors: hibernating sockets, SQL by template. */
export class Talk extends Actor {
  static configuration() {
    return { sockets: { upgradePath: "/talk" } };
  }

  async onInit() {
    this.sql`CREATE TABLE IF NOT EXISTS said (text TEXT)`;
  }

  shouldUpgradeSocket() {
    return true;
  }

  onWebSocketMessage(_ws, message) {
    this.sql`INSERT INTO said VALUES (${message})`;
    const [{ n }] = this.sql`SELECT count(*) AS n FROM said`;
    this.sockets.message(`${n}: ${message}`, "*");
  }
}

/** itty-durable: an object as a proxy over fetch, which persists its fields. */
export class Counter extends createDurable({ autoReturn: true, autoPersist: true }) {
  constructor(state, env) {
    super(state, env);
    this.counter = 0;
  }

  add(n) {
    this.counter += n;
  }
}

/** workers-qb. */
export class Rows extends DurableObject {
  #qb = new DOQB(this.ctx.storage.sql);

  async work() {
    this.#qb.dropTable({ tableName: "pets", ifExists: true }).execute();
    this.#qb.createTable({ tableName: "pets", schema: "name TEXT, age INTEGER" }).execute();
    this.#qb.insert({ tableName: "pets", data: [{ name: "fido", age: 3 }, { name: "felix", age: 9 }] }).execute();
    this.#qb.update({ tableName: "pets", data: { age: 10 }, where: { conditions: "name = ?", params: ["felix"] } }).execute();
    return this.#qb.fetchAll({ tableName: "pets", fields: ["name", "age"], orderBy: "age DESC" }).execute().results;
  }
}

const trpc = initTRPC.context().create();
const router = trpc.router({
  add: trpc.procedure.input((n) => Number(n)).mutation(async ({ ctx, input }) => {
    const total = (ctx.storage.kv.get("total") ?? 0) + input; // calls of a batch run side by side
    ctx.storage.kv.put("total", total);
    return { total };
  }),
  refuse: trpc.procedure.query(() => {
    throw new TRPCError({ code: "FORBIDDEN", message: "not you" });
  }),
});

/** tRPC over fetch, in an object. */
export class Procedures extends DurableObject {
  fetch(req) {
    return fetchRequestHandler({ endpoint: "/trpc", req, router, createContext: () => ({ storage: this.ctx.storage }) });
  }
}

const schema = buildSchema("type Query { hello: String } type Subscription { ticks(to: Int!): Int }");
const rootValue = {
  hello: () => "world",
  async *ticks({ to }) {
    for (let i = 1; i <= to; i++) yield { ticks: i };
  },
};

/** graphql-ws on a socket of its own; it keeps its object in memory. */
export class Graph extends DurableObject {
  #server = makeServer({ schema, roots: { query: rootValue, subscription: rootValue } });

  fetch() {
    const { 0: client, 1: socket } = new WebSocketPair();
    socket.accept();
    let heard = async () => {};
    const closed = this.#server.opened({
      protocol: "graphql-transport-ws",
      send: (data) => socket.send(data),
      close: (code, reason) => socket.close(code, reason),
      onMessage: (f) => (heard = f),
    }, { socket });
    socket.addEventListener("message", (e) => heard(String(e.data)).catch((error) => socket.close(1011, error.message)));
    socket.addEventListener("close", (e) => closed(e.code, e.reason));
    return new Response(null, { status: 101, webSocket: client, headers: { "sec-websocket-protocol": "graphql-transport-ws" } });
  }
}

export default {
  async fetch(request, env) {
    const [, what] = new URL(request.url).pathname.split("/");
    switch (what) {
      case "talk": return Talk.get("all").fetch(request);
      case "counter": {
        const counter = proxyDurable(env.Counter, { name: "counter", class: Counter, parse: true }).get("main");
        return Response.json(await counter.add(Number(await request.text())));
      }
      case "rows": return Response.json(await env.Rows.getByName("main").work());
      case "trpc": return env.Procedures.getByName("main").fetch(request);
      case "graph": return env.Graph.getByName("main").fetch(request);
    }
    return new Response("not found", { status: 404 });
  },
};
