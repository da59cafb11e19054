// Drivers of a database, against Postgres itself (PGlite, which serves one connection at a time).
import assert from "node:assert/strict";
import { test } from "node:test";

import { PGlite } from "@electric-sql/pglite";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";

import { serve, withSecrets } from "../support/harness.js";

test("pg and postgres", async (t) => {
  const db = await PGlite.create();
  const server = new PGLiteSocketServer({ db, host: "127.0.0.1", port: 0 });
  t.after(async () => {
    await server.stop();
    await db.close();
  });
  await server.start();
  const world = await serve(t, import.meta.url, await withSecrets(t, { DATABASE: `postgres://postgres:secret@${server.getServerConn()}/postgres` }));
  const ask = async (path) => (await fetch(world.url + path)).json();

  assert.deepEqual(await ask("/add?n=2"), { total: 2, by: "main" });
  await world.object("postgres-Ledger", "name:main").asleep();
  assert.deepEqual(await ask("/add?n=3"), { total: 5, by: "main" });
  assert.deepEqual(await ask("/list"), [[2, 300_000], [3, 300_000]]);
  assert.equal(await ask("/wrong"), "42703", "there is no such column");
});
