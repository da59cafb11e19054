// Objects that write numbers down and say so, for tests in which everything is
// killed. Each number is written in three places, in one commit; they must
// never differ.

import { DurableObject } from "cloudflare:workers";

interface Env {
  LEDGERS: DurableObjectNamespace<Ledger>;
}

export class Ledger extends DurableObject<Env> {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS entries(n INTEGER PRIMARY KEY); CREATE TABLE IF NOT EXISTS copies(n INTEGER, pad BLOB)");
  }

  #write(n: number): void {
    const { sql, kv } = this.ctx.storage;
    sql.exec("INSERT INTO entries VALUES (?)", n);
    // Now and then more than the page cache holds: its frames are in the log before the commit is.
    sql.exec("INSERT INTO copies VALUES (?, zeroblob(?))", n, n % 50 === 0 ? 1_500_000 : 500);
    if (n % 50 === 0) sql.exec("UPDATE copies SET pad = NULL WHERE length(pad) > 1000");
    kv.put("count", ((kv.get("count") as number | undefined) ?? 0) + 1);
  }

  webSocketMessage(ws: WebSocket, message: string): void {
    this.#write(Number(message));
    ws.send(message);
  }

  async fetch(request: Request): Promise<Response> {
    const { searchParams } = new URL(request.url);
    if (request.headers.get("Upgrade") === "websocket") {
      const { 0: client, 1: server } = new WebSocketPair();
      this.ctx.acceptWebSocket(server);
      return new Response(null, { status: 101, webSocket: client });
    }
    if (request.method === "POST") {
      const n = Number(searchParams.get("n"));
      this.#write(n);
      return Response.json(n);
    }
    const { sql, kv } = this.ctx.storage;
    const one = (query: string) => sql.exec(query).one()["n"];
    return Response.json({
      numbers: sql.exec("SELECT n FROM entries ORDER BY n").toArray().map((row) => row["n"]),
      entries: one("SELECT count(*) AS n FROM entries"),
      copies: one("SELECT count(*) AS n FROM copies"),
      count: kv.get("count") ?? 0,
      check: sql.exec("PRAGMA quick_check").one()["quick_check"],
    });
  }
}

export default {
  fetch(request: Request, env: Env): Promise<Response> | Response {
    const name = new URL(request.url).pathname.slice(1);
    if (name === "") return new Response("ok");
    return env.LEDGERS.get(env.LEDGERS.idFromName(name)).fetch(request);
  },
};
