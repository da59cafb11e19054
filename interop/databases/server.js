import { Browsable } from "@outerbase/browsable-durable-object";
import { DurableObject } from "cloudflare:workers";
import { count, desc, eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/durable-sqlite";
import { migrate } from "drizzle-orm/durable-sqlite/migrator";
import { blob, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { tryWhile } from "durable-utils/retries";
import { isErrorRetryable, stubByName } from "durable-utils/do-utils";
import { SQLSchemaMigrations } from "durable-utils/sql-migrations";
import { Hono } from "hono";
import { upgradeWebSocket } from "hono/cloudflare-workers";
import { Kysely } from "kysely";
import { DODialect } from "kysely-do";

const users = sqliteTable("users", {
  id: integer().primaryKey({ autoIncrement: true }),
  name: text().notNull().unique(),
  portrait: blob({ mode: "buffer" }),
  made: integer({ mode: "timestamp" }),
});

const migrations = {
  journal: { entries: [{ idx: 0, when: 1_700_000_000_000, tag: "0000_users", breakpoints: true }, { idx: 1, when: 1_700_000_000_001, tag: "0001_index", breakpoints: true }] },
  migrations: {
    m0000: "CREATE TABLE `users` (`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL, `name` text NOT NULL, `portrait` blob, `made` integer);\n--> statement-breakpoint\nCREATE UNIQUE INDEX `users_name` ON `users` (`name`);",
    m0001: "CREATE INDEX `users_made` ON `users` (`made`);",
  },
};

@Browsable()
export class Tables extends DurableObject {
  #db;
  #kysely;
  #migrated;

  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.#db = drizzle(ctx.storage, { schema: { users } });
    this.#kysely = new Kysely({ dialect: new DODialect({ ctx }) });
    ctx.blockConcurrencyWhile(async () => {
      await migrate(this.#db, migrations);
      this.#migrated = await new SQLSchemaMigrations({
        doStorage: ctx.storage,
        migrations: [{ idMonotonicInc: 1, description: "one", sql: "CREATE TABLE one (x); CREATE TABLE two (x);" }],
      }).runAll();
    });
  }

  /** What the migrations of this instance's constructor wrote. */
  migrated() {
    return this.#migrated;
  }

  add(name, portrait) {
    return this.#db.insert(users).values({ name, portrait: Buffer.from(portrait), made: new Date(1_000_000) }).returning().get();
  }

  /** A transaction that is given up, and what is left of it. */
  async rollback(name) {
    let error;
    try {
      this.#db.transaction((tx) => {
        tx.insert(users).values({ name }).run();
        tx.rollback();
      });
    } catch (e) {
      error = e.constructor.name;
    }
    return { error, left: await this.#db.select({ n: count() }).from(users).where(eq(users.name, name)).get() };
  }

  newest() {
    return this.#db.query.users.findFirst({ orderBy: desc(users.id), columns: { name: true, made: true } });
  }

  async counted() {
    return (await this.#kysely.selectFrom("users").select((eb) => eb.fn.countAll().as("n")).executeTakeFirstOrThrow()).n;
  }

  inserted() {
    return this.ctx.storage.sql.exec("INSERT INTO users (name) VALUES ('raw')").rowsWritten;
  }
}

const app = new Hono();
app.get("/echo", upgradeWebSocket(() => ({
  onMessage: (event, ws) => ws.send(`hono:${event.data}`),
})));
app.post("/query/raw", (c) => stubByName(c.env.Tables, "main").fetch(c.req.raw));
app.post("/:method", async (c) => {
  const { method } = c.req.param();
  const args = await c.req.json();
  const call = () => stubByName(c.env.Tables, "main")[method](...args);
  return c.json(await tryWhile(call, isErrorRetryable), 200, { "x-by": "hono" });
});
app.notFound((c) => c.text("no such thing", 404));

export default app;
