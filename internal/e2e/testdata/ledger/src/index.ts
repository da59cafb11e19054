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
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS due(n INTEGER PRIMARY KEY)");
  }

  /** Is called by the Worker. */
  write(n: number): number {
    this.#write(n);
    return n;
  }

  /** Has the alarm write a number. It is due from the same commit on as the alarm is set. */
  writeSoon(n: number): number {
    this.ctx.storage.sql.exec("INSERT INTO due VALUES (?)", n);
    void this.ctx.storage.setAlarm(Date.now() + 50);
    return n;
  }

  override alarm(): void {
    const { sql } = this.ctx.storage;
    for (const { n } of sql.exec("SELECT n FROM due").toArray()) this.#write(n as number);
    sql.exec("DELETE FROM due");
  }

  has(n: number): boolean {
    return this.ctx.storage.sql.exec("SELECT 1 FROM entries WHERE n = ?", n).toArray().length > 0;
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
    if (message === "?") {
      ws.send(this.ctx.storage.sql.exec("SELECT n FROM entries ORDER BY n").toArray().map((row) => row["n"]).join(" "));
      return;
    }
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
  async fetch(request: Request, env: Env): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const name = pathname.slice(1);
    if (name === "") return new Response("ok");
    const ledger = env.LEDGERS.get(env.LEDGERS.idFromName(name));
    const n = Number(searchParams.get("n"));
    switch (searchParams.get("call")) {
      case "write":
        return Response.json(await ledger.write(n));
      case "writeSoon":
        return Response.json(await ledger.writeSoon(n));
      case "has":
        return Response.json(await ledger.has(n));
    }
    return ledger.fetch(request);
  },
};
