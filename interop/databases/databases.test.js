// Hono in front, and query builders, migrations and a browser of SQL in an object.
import assert from "node:assert/strict";
import { test } from "node:test";

import { event, Inbox, serve } from "../support/harness.js";

test("hono, drizzle, kysely, durable-utils and browsable-durable-object", async (t) => {
  const world = await serve(t, import.meta.url);
  const post = async (path, body) => {
    const answer = await fetch(`${world.url}/${path}`, { method: "POST", body: JSON.stringify(body) });
    assert.equal(answer.status, 200, await answer.clone().text());
    return answer.json();
  };
  const call = (method, ...args) => post(method, args);

  // A socket of the Worker, which has no object.
  const socket = world.watch(new WebSocket(`${world.ws}/echo`), "echo");
  await event(socket, "open");
  const echoes = new Inbox(socket, (e) => e.data);
  socket.send("x");
  await echoes.take("the echo", (m) => m === "hono:x");
  assert.equal((await fetch(`${world.url}/nothing`)).status, 404);

  const first = await call("migrated");
  assert.ok(first.rowsWritten > 0, JSON.stringify(first));
  const ada = await call("add", "ada", [1, 2, 3]);
  // A Buffer comes out of RPC as what it is, a Uint8Array.
  assert.deepEqual(ada, { id: 1, name: "ada", portrait: { 0: 1, 1: 2, 2: 3 }, made: new Date(1_000_000).toJSON() });
  assert.deepEqual(await call("rollback", "bob"), { error: "TransactionRollbackError", left: { n: 0 } });
  assert.deepEqual(await call("newest"), { name: "ada", made: new Date(1_000_000).toJSON() });
  assert.equal(await call("counted"), 1);
  // One row, two indexes of it, and the sequence of AUTOINCREMENT.
  assert.equal(await call("inserted"), 4);

  const object = world.object("databases-Tables", "name:main");
  await object.asleep();
  const before = await object.constructions();
  assert.deepEqual(await call("migrated"), { rowsRead: 0, rowsWritten: 0 });
  assert.equal(await object.constructions(), before + 1);
  assert.equal(await call("counted"), 2);

  const { result } = await post("query/raw", { transaction: [{ sql: "SELECT name FROM users WHERE id = ?", params: [1] }, { sql: "SELECT count(*) AS n FROM users" }] });
  assert.deepEqual(result.map((r) => [r.columns, r.rows, r.meta.rows_written]), [[["name"], [["ada"]], 0], [["n"], [[2]], 0]]);
  assert.deepEqual((await call("__studio", { type: "query", statement: "SELECT name FROM users ORDER BY id" })).rows, [{ name: "ada" }, { name: "raw" }]);
  socket.send("y");
  await echoes.take("an echo at the end", (m) => m === "hono:y");
  world.noCloses();
});
