// Objects that ask a database outside. Both drivers find that they run in a
// Worker, and connect by cloudflare:sockets.
import { DurableObject } from "cloudflare:workers";
import pg from "pg";
import postgres from "postgres";

export class Ledger extends DurableObject {
  /** A connection for each call, as it is done where instances come and go. */
  async add(amount) {
    const client = new pg.Client({ connectionString: this.env.DATABASE });
    client.on("error", () => {}); // the end of its own connection, on Cloudflare too
    await client.connect();
    await client.query("CREATE TABLE IF NOT EXISTS ledger (at timestamptz DEFAULT now(), amount int, note jsonb)");
    await client.query("INSERT INTO ledger (amount, note) VALUES ($1, $2)", [amount, { by: this.ctx.id.name }]);
    const { rows } = await client.query("SELECT sum(amount)::int AS total, max(note->>'by') AS by FROM ledger");
    await client.end();
    return rows[0];
  }

  /** The driver's own array of rows goes through RPC. */
  async list(length) {
    const sql = postgres(this.env.DATABASE, { max: 1, fetch_types: false });
    const rows = await sql`SELECT amount, repeat('x', ${length}::int) AS long FROM ledger ORDER BY amount`;
    await sql.end();
    return rows;
  }

  async wrong() {
    const sql = postgres(this.env.DATABASE, { max: 1, fetch_types: false });
    try {
      return await sql`SELECT nothing`;
    } catch (e) {
      return e.code;
    } finally {
      await sql.end();
    }
  }
}

export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    const ledger = env.Ledger.getByName("main");
    switch (pathname) {
      case "/add": return Response.json(await ledger.add(Number(searchParams.get("n"))));
      case "/list": return Response.json((await ledger.list(300_000)).map((r) => [r.amount, r.long.length]));
      case "/wrong": return Response.json(await ledger.wrong());
    }
    return new Response("not found", { status: 404 });
  },
};
