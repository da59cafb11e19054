import assert from "node:assert/strict";
import { test } from "node:test";
import { serialize } from "../src/storage/index.ts";
import type { Said } from "./support/frames.ts";
import { Host } from "./support/host.ts";

const source = `
import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS t(a UNIQUE)");
  }
  async fetch(request) { return new Response("of the author"); }
}
export default { fetch() { return new Response("of the Worker"); } };`;

type Of<K extends Said["type"]> = Extract<Said, { type: K }>;

/** Has the object do something as an operator, and returns what it answers. */
async function ask(host: Host, exchange: number, change: object): Promise<{ status: number; body: any }> {
  host.write((f) => f
    .request({ exchange, object: 1, method: "POST", entrypoint: "dormouse:storage", body: true })
    .body(exchange, Buffer.from(JSON.stringify(change)))
    .bodyEnd(exchange));
  const { status } = await host.next<Of<"response">>((s) => s.type === "response" && s.exchange === exchange);
  await host.next((s) => s.type === "bodyEnd" && s.exchange === exchange);
  const body = Buffer.concat(host.of("body").filter((b) => b.exchange === exchange).map((b) => b.data)).toString();
  return { status, body: JSON.parse(body) };
}

const base64 = (bytes: string | Uint8Array) => Buffer.from(bytes as string).toString("base64");

test("an operator writes, all or nothing, and the class hears nothing of it", async () => {
  await using host = await Host.start({ source, classes: ["Room"] });
  host.write((f) => f.start({ object: 1 }));
  const sql = (exchange: number, text: string) => ask(host, exchange, { do: "sql", sql: text, limit: 2 });
  assert.deepEqual(await sql(2, "INSERT INTO t VALUES (1), (x'00ff'), (9e999); SELECT a FROM t ORDER BY rowid"), {
    status: 200, body: { columns: ["a"], rows: [[1], [{ blob: "AP8=" }]], more: true, changed: 3 },
  });
  const refused = await sql(4, "INSERT INTO t VALUES (2); INSERT INTO t VALUES (1)");
  assert.equal(refused.status, 400);
  assert.match(refused.body.error, /UNIQUE constraint failed/);
  assert.deepEqual((await sql(6, "SELECT count(*) AS n FROM t")).body.rows, [[3]]);
  assert.match((await sql(8, "SELECT * FROM _cf_KV")).body.error, /prohibited|not authorized|no such table/);
  assert.match((await sql(10, "SELEC")).body.error, /syntax error/);

  // A key with half a surrogate pair, as bytes.
  const key = base64(Uint8Array.of(0x6b, 0xed, 0xa0, 0x80, 0x2e));
  assert.deepEqual(await ask(host, 12, { do: "put", key, value: base64(serialize(new Map([[1, "one"]]))) }), { status: 200, body: { stored: true } });
  assert.deepEqual((await ask(host, 14, { do: "delete", key })).body, { deleted: true });
  assert.deepEqual((await ask(host, 16, { do: "delete", key })).body, { deleted: false });
  assert.equal((await ask(host, 18, { do: "put", key, value: base64("nonsense") })).status, 400);
  assert.equal((await ask(host, 20, { do: "dance" })).status, 400);
  assert.ok(!host.said.some((s) => s.type === "body" && s.data.toString().includes("of the author")));
});

test("the answer stands behind the commit", async () => {
  await using host = await Host.start({ source, classes: ["Room"] });
  host.write((f) => f.start({ object: 1 }));
  await host.next((s) => s.type === "started");
  const from = host.said.length;
  await ask(host, 2, { do: "put", key: base64("k"), value: base64(serialize(1)) });
  const said = host.said.slice(from).map((s) => s.type);
  assert.ok(said.indexOf("commit") >= 0 && said.indexOf("commit") < said.indexOf("response"), `said ${said.join(", ")}`);
});
