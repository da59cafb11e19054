// Open databases: how many, for how long, and what the keeper does for them.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readlinkSync, rmSync, statSync } from "node:fs";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { Keeper } from "../../src/storage/index.ts";
import { TestFolder, type TestObject } from "./host.ts";

const thread = new URL("../../src/storage/keeper-thread.ts", import.meta.url);

/** A keeper in a thread of its own, and the errors that it reports. */
class TestKeeper implements AsyncDisposable {
  readonly worker = new Worker(thread);
  readonly errors: string[] = [];
  readonly keeper = new Keeper(this.worker, (path, error) => void this.errors.push(`${path}: ${error.message}`));

  async [Symbol.asyncDispose](): Promise<void> {
    await this.worker.terminate();
  }
}

/** Descriptors of files in the folder that this process has open. */
function descriptors(folder: TestFolder): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(folder.path);
    } catch {
      return false; // The one that reads the folder.
    }
  }).length;
}

async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !condition() && Date.now() < end; ) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.ok(condition());
}

const write = (object: TestObject, value: unknown = 1) => object.event(({ api }) => void api.put("a", value));

test("the longest unused database is closed first, those in use never", async () => {
  await using folder = new TestFolder({ maxOpen: 2 });
  const objects = ["a", "b", "c"].map((name) => folder.object({}, name));
  for (const object of objects) await write(object);
  assert.equal(folder.pool.open, 3);
  objects[1]!.storage.close();
  assert.equal(folder.pool.open, 2);
  objects[0]!.storage.close();
  objects[2]!.storage.close();
  assert.equal(folder.pool.open, 2);
  for (const object of objects) {
    object.start();
    assert.equal(await object.api.get("a"), 1);
  }
});

test("one database has one user", async () => {
  await using folder = new TestFolder();
  await write(folder.object({}, "same"));
  await assert.rejects(folder.object({}, "same").api.get("a"), /is in use by another instance/);
});

test("a connection that somebody has changed is not given to the next instance", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  await write(object);
  await object.event(({ api }) => void api.sql.exec("pragma case_sensitive_like = on"));
  assert.deepEqual(object.api.sql.exec("select 'a' like 'A' as v").one(), { v: 0 });
  object.storage.close();
  assert.equal(folder.pool.open, 0);
  object.start();
  assert.deepEqual(object.api.sql.exec("select 'a' like 'A' as v").one(), { v: 1 });
});

test("a connection that was cut off within a transaction is closed, which undoes it", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  await write(object);
  object.storage.reading.database.run("BEGIN; DELETE FROM _cf_KV");
  object.storage.close();
  assert.equal(folder.pool.open, 0);
  object.start();
  assert.equal(await object.api.get("a"), 1);
});

test("descriptors are counted as they are", { skip: !existsSync("/proc/self/fd") }, async () => {
  await using kept = new TestKeeper();
  await using folder = new TestFolder({ keeper: kept.keeper });
  const objects = Array.from({ length: 5 }, () => folder.object());
  for (const object of objects) await write(object);
  await Promise.all(objects.map((object) => kept.keeper.held(object.path)));
  assert.equal(folder.pool.descriptors, 25);
  assert.equal(descriptors(folder), 25);
});

test("closing leaves the WAL to the keeper, whose last close empties it into the file", async () => {
  await using kept = new TestKeeper();
  await using folder = new TestFolder({ maxOpen: 0, keeper: kept.keeper });
  const object = folder.object();
  await write(object, "x".repeat(100_000));
  const file = object.path;
  await kept.keeper.hold(file);
  object.storage.close();
  await until(() => folder.pool.open === 0);
  await kept.keeper.checkpoint(file); // Answered after what was asked before.
  assert.ok(statSync(`${file}-wal`).size > 100_000);
  await kept.keeper.release(file);
  assert.ok(!existsSync(`${file}-wal`));
  assert.ok(statSync(file).size > 100_000);
  object.start();
  assert.equal((await object.api.get("a") as string).length, 100_000);
  assert.deepEqual(kept.errors, []);
});

test("the guest never checkpoints, the keeper does when it is told, and only then is the WAL begun anew", async () => {
  await using kept = new TestKeeper();
  await using folder = new TestFolder({ keeper: kept.keeper });
  const object = folder.object();
  for (let i = 0; i < 50; i++) await write(object, String(i).repeat(50_000));
  const wal = `${object.path}-wal`;
  const grown = statSync(wal).size;
  assert.ok(grown > 4_000_000, `${grown} bytes`); // SQLite would have checkpointed at 4 MB.
  const { frames, checkpointed, busy } = await kept.keeper.checkpoint(object.path);
  assert.ok(frames > 1000 && checkpointed === frames && !busy);
  await write(object);
  assert.equal(statSync(wal).size, grown); // The first frames are written over.
  const emptied = await kept.keeper.checkpoint(object.path, "truncate");
  assert.deepEqual(emptied, { busy: false, frames: 0, checkpointed: 0 });
  assert.equal(statSync(wal).size, 0);
  assert.equal(await object.api.get("a"), 1);
});

test("an open cursor holds its place in the WAL, and a checkpoint goes no further", async () => {
  await using kept = new TestKeeper();
  await using folder = new TestFolder({ keeper: kept.keeper });
  const object = folder.object();
  await object.event(({ api }) => void api.sql.exec("create table t (a); insert into t values (1), (2)"));
  const cursor = object.api.sql.exec("select a from t");
  cursor.next();
  await object.event(({ api }) => void api.sql.exec("insert into t values (3)"));
  const held = await kept.keeper.checkpoint(object.path);
  assert.ok(held.checkpointed < held.frames);
  assert.deepEqual(cursor.toArray(), [{ a: 2 }, { a: 3 }]); // As in workerd, it sees what its own object writes.
  const free = await kept.keeper.checkpoint(object.path);
  assert.equal(free.checkpointed, free.frames);
});

test("the keeper's errors are answers, and break the object that needed it", async () => {
  await using kept = new TestKeeper();
  await assert.rejects(kept.keeper.checkpoint("/nowhere"), /the keeper cannot checkpoint the database: it is not held/);
  await assert.rejects(kept.keeper.hold("/nowhere/at/all"), /the keeper cannot hold the database: unable to open database file/);

  const port = { postMessage() {}, on() {} };
  const reported: string[] = [];
  const failing = new Keeper(port, (path) => void reported.push(path));
  failing.hold = () => Promise.reject(new Error("too many open files"));
  await using folder = new TestFolder({ keeper: failing });
  const object = folder.object();
  await write(object);
  await until(() => object.broken_ !== null);
  assert.equal(object.broken_!.message, "Durable Object storage failed: too many open files");
  assert.deepEqual(reported, [object.path]);
  await assert.rejects(object.api.get("a"), /no longer accessible/);
});

test("everything that waits for a keeper whose thread has ended is told so", async () => {
  const kept = new TestKeeper();
  const { keeper } = kept;
  await keeper.checkpoint("x").catch(() => {});
  const asked = keeper.checkpoint("x");
  await Promise.all([assert.rejects(asked, /keeper thread has ended|is not held/), kept.worker.terminate()]);
  await assert.rejects(keeper.hold("y"), /keeper thread has ended/);
});

test("an object whose file is taken away begins anew", async () => {
  await using folder = new TestFolder({ maxOpen: 0 });
  const object = folder.object();
  await write(object);
  object.storage.close();
  for (const end of ["", "-wal", "-shm"]) rmSync(object.path + end, { force: true });
  object.start();
  assert.equal(await object.api.get("a"), undefined);
  await write(object, 2);
  assert.equal(await object.api.get("a"), 2);
});
