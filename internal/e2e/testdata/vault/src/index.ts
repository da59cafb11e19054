// Objects that store what they are told, for tests of what an operator can do
// with stored data. POST /NAME/OPERATION with JSON.

import { DurableObject } from "cloudflare:workers";
import { sharing, show, values } from "./values.ts";

interface Env {
  VAULTS: DurableObjectNamespace;
}

export class Vault extends DurableObject<Env> {
  readonly operations: Record<string, (argument: any) => unknown> = {
    id: () => this.ctx.id.toString(),
    put: async ({ key, value }) => {
      await this.ctx.storage.put(key, value);
    },
    get: async (key) => (await this.ctx.storage.get(key)) ?? null,
    show: async (key) => show(await this.ctx.storage.get(key)),
    keys: async () => [...(await this.ctx.storage.list()).keys()],
    sql: (statement) => this.ctx.storage.sql.exec(statement).toArray(),
    // Numbered keys, and a table beside them: as many as asked for, in one commit.
    fill: ({ from, count, bytes }) => {
      const value = new Uint8Array(bytes ?? 10);
      for (let i = from; i < from + count; i++) this.ctx.storage.kv.put(`k${String(i).padStart(8, "0")}`, value);
    },
    // One commit: a number in two places, which must never differ.
    count: (n) => {
      this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS counts(n INTEGER PRIMARY KEY, pad BLOB)");
      this.ctx.storage.sql.exec("INSERT OR IGNORE INTO counts VALUES (?, zeroblob(500))", n);
      this.ctx.storage.kv.put("last", n);
      return n;
    },
    everything: async () => {
      for (const [key, value] of Object.entries(values)) this.ctx.storage.kv.put(`value ${key}`, value);
      for (const key of ["", "nul\0key", "slash/key", "\u{1F600}", "\ud800"]) this.ctx.storage.kv.put(`key ${key}`, key);
      this.ctx.storage.sql.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, a, b BLOB); INSERT INTO t VALUES (1, 'one', x'00ff'), (2, 2.5, NULL)");
      this.ctx.storage.sql.exec("CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES ('hello world')");
    },
    shown: async () => {
      const all: Record<string, string> = {};
      for (const [key, value] of this.ctx.storage.kv.list()) all[JSON.stringify(key)] = show(value);
      all["sharing"] = String(sharing(this.ctx.storage.kv.get("value shared")));
      all["t"] = show(this.ctx.storage.sql.exec("SELECT * FROM t").toArray());
      all["f"] = show(this.ctx.storage.sql.exec("SELECT * FROM f WHERE f MATCH 'world'").toArray());
      return all;
    },
    setAlarm: (time) => this.ctx.storage.setAlarm(time),
    getAlarm: () => this.ctx.storage.getAlarm(),
    rang: async () => (await this.ctx.storage.get("rang")) ?? null,
  };

  async fetch(request: Request): Promise<Response> {
    const operation = new URL(request.url).pathname.split("/").at(-1)!;
    try {
      const result = await this.operations[operation]!(await request.json());
      return Response.json(result ?? null);
    } catch (e) {
      return Response.json({ error: String(e) }, { status: 400 });
    }
  }

  async alarm(): Promise<void> {
    await this.ctx.storage.put("rang", Date.now());
  }
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const name = decodeURIComponent(new URL(request.url).pathname.split("/")[1]!);
    if (request.method !== "POST") return new Response("ready");
    return env.VAULTS.get(env.VAULTS.idFromName(name)).fetch(request);
  },
} satisfies ExportedHandler<Env>;
