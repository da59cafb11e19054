import { DurableObject } from "cloudflare:workers";

/** What there is to be sold: ten of everything. */
export class Stock extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS taken (item TEXT PRIMARY KEY, count INTEGER)");
  }

  /** Called from Go: server.Invoke[int](ctx, stock, "take", item{"acorn", 3}). */
  take({ item, count }) {
    const { sql } = this.ctx.storage;
    const { taken } = sql.exec("SELECT coalesce(sum(count), 0) AS taken FROM taken WHERE item = ?", item).one();
    if (taken + count > 10) throw new RangeError(`only ${10 - taken} of ${item} left`);
    sql.exec("INSERT INTO taken VALUES (?1, ?2) ON CONFLICT DO UPDATE SET count = count + ?2", item, count);
    return 10 - taken - count;
  }
}

export default {
  async fetch(request, env) {
    const name = new URL(request.url).pathname.slice(1);
    if (request.method !== "POST") return new Response("POST an item to a cart\n", { status: 405 });
    try {
      // A class in Go: its methods are called as those of any other.
      return Response.json(await env.CARTS.getByName(name).add(await request.json()));
    } catch (e) {
      return new Response(`${e.message}\n`, { status: 409 });
    }
  },
};
