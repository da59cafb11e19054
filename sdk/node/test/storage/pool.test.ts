// Open databases: how many, for how long, and what the keeper does for them.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readlinkSync, rmSync, statSync, truncateSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { Keeper } from "../../src/storage/index.ts";
import { TestFolder, type TestObject } from "./host.ts";

const thread = new URL("../../src/storage/keeper-thread.ts", import.meta.url);

/** A keeper in a thread of its own. */
class TestKeeper implements AsyncDisposable {
  readonly worker = new Worker(thread);
  readonly keeper: Keeper;

  constructor(folder?: TestFolder) {
    this.keeper = new Keeper(this.worker, (path) => folder?.pool.leavePlace(path));
  }

  /** All at once, as if everything were on disk. */
  async checkpoint(path: string) {
    await this.keeper.hold(path);
    return this.keeper.move(path);
  }

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

test("objects in the middle of nothing let go of their databases while memory is short", async () => {
  let short = false;
  await using folder = new TestFolder({ maxOpen: 3, short: () => short });
  const names = ["a", "b", "c", "d", "e", "f"];
  const objects = names.map((name) => folder.object({}, name));
  for (const [i, object] of objects.entries()) await write(object, i);
  assert.equal(folder.pool.open, 6, "while there is memory, everybody keeps what is used");

  const [writing, asking, reading] = objects as [TestObject, TestObject, TestObject];
  void writing.api.put("b", "uncommitted");
  await asking.event(({ api }) => void api.sql.exec("CREATE TABLE t (v)"));
  await asking.event(({ api }) => void api.sql.exec("INSERT INTO t VALUES (1), (2)"));
  assert.equal(asking.api.sql.exec("SELECT last_insert_rowid() AS v").one()["v"], 2);
  await reading.event(({ api }) => void api.sql.exec("CREATE TABLE t (v); INSERT INTO t VALUES (1), (2), (3)"));
  const cursor = reading.api.sql.exec("SELECT v FROM t");
  assert.deepEqual(cursor.next().value, { v: 1 });

  short = true;
  const more = ["g", "h", "i"].map((name) => folder.object({}, name));
  for (const object of more) await write(object);
  assert.ok(folder.pool.open <= 5, `${folder.pool.open} are open: more than three that cannot be closed, one that is used, and one that was`);
  // Nobody has noticed.
  assert.equal(asking.api.sql.exec("SELECT last_insert_rowid() AS v").one()["v"], 2);
  assert.deepEqual(cursor.toArray(), [{ v: 2 }, { v: 3 }]);
  writing.storage.commitTurn();
  assert.equal(await writing.api.get("b"), "uncommitted");
  for (const [i, object] of objects.entries()) assert.equal(await object.api.get("a"), i);
});

test("a cursor that is kept tells its counts after its database was let go", async () => {
  let short = false;
  await using folder = new TestFolder({ maxOpen: 1, short: () => short });
  const object = folder.object({}, "a");
  await object.event(({ api }) => void api.sql.exec("CREATE TABLE t (v)"));
  const inserted = await object.event(({ api }) => api.sql.exec("INSERT INTO t VALUES (1), (2)"));
  const read = object.api.sql.exec("SELECT * FROM t");
  assert.equal(read.toArray().length, 2);
  short = true;
  for (const name of ["b", "c"]) await write(folder.object({}, name));
  assert.equal(inserted.rowsWritten, 2);
  assert.equal(read.rowsRead, 2);
  assert.deepEqual(read.columnNames, ["v"]);
  assert.deepEqual(object.api.sql.exec("SELECT count(*) AS n FROM t").one(), { n: 2 });
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
  await using folder = new TestFolder();
  const objects = Array.from({ length: 5 }, () => folder.object());
  for (const object of objects) await write(object);
  assert.equal(folder.pool.descriptors, 15);
  assert.equal(descriptors(folder), 15);
});

test("closing leaves the WAL to the host, and nothing is lost by that", async () => {
  const closed: string[] = [];
  await using folder = new TestFolder({ maxOpen: 0, closed: (path) => closed.push(path) });
  const object = folder.object();
  await write(object, "x".repeat(100_000));
  object.storage.close();
  assert.equal(folder.pool.open, 0);
  assert.deepEqual(closed, [object.path]);
  assert.equal(statSync(object.path).size, 4096);
  assert.ok(statSync(`${object.path}-wal`).size > 100_000);
  object.start();
  assert.equal((await object.api.get("a") as string).length, 100_000);
});

test("a database that is not to be kept is closed when it is not used any more", async () => {
  const closed: string[] = [];
  await using folder = new TestFolder({ closed: (path) => closed.push(path) });
  const [idle, used] = [folder.object(), folder.object()];
  for (const object of [idle, used]) await write(object);
  idle.storage.close();
  for (const object of [idle, used]) folder.pool.close(object.path);
  assert.deepEqual(closed, [idle.path]);
  assert.ok(folder.pool.has(used.path));
  used.storage.close();
  assert.deepEqual(closed, [idle.path, used.path]);
  used.start();
  await write(used);
  used.storage.close();
  assert.equal(folder.pool.open, 1); // The wish was for that time.
});

test("what cannot be closed without moving the WAL stays open, until it can", async () => {
  const closed: string[] = [];
  await using folder = new TestFolder({ maxOpen: 0, closed: (path) => closed.push(path) });
  const object = folder.object();
  await write(object);
  const { database } = object.storage.reading;
  const close = database.close.bind(database);
  database.close = () => { throw new Error("too many open files"); };
  object.storage.close();
  assert.ok(folder.pool.has(object.path));
  assert.deepEqual(closed, []);
  database.close = close;
  folder.pool.close(object.path);
  assert.deepEqual(closed, [object.path]);
});

test("the guest never checkpoints, the keeper does when it is told, and only then is the WAL begun anew", async () => {
  await using folder = new TestFolder();
  await using kept = new TestKeeper(folder);
  const object = folder.object();
  for (let i = 0; i < 50; i++) await write(object, String(i).repeat(50_000));
  const wal = `${object.path}-wal`;
  const grown = statSync(wal).size;
  assert.ok(grown > 4_000_000, `${grown} bytes`); // SQLite would have checkpointed at 4 MB.
  assert.equal(statSync(object.path).size, 4096);
  const { frames, moved } = await kept.checkpoint(object.path);
  assert.ok(frames > 1000 && moved === frames);
  await write(object);
  assert.equal(statSync(wal).size, grown); // The first frames are written over.
  assert.equal(await object.api.get("a"), 1);
});

test("nothing beyond the snapshot is moved", async () => {
  await using folder = new TestFolder();
  await using kept = new TestKeeper(folder);
  const object = folder.object();
  await write(object);
  await kept.keeper.hold(object.path);
  await write(object, "x".repeat(10_000));
  const { frames, moved } = await kept.keeper.move(object.path);
  assert.ok(moved > 0 && moved < frames, `${moved} of ${frames}`);
  await kept.keeper.hold(object.path);
  await kept.keeper.end(object.path);
  const all = await kept.checkpoint(object.path);
  assert.equal(all.moved, all.frames);
});

test("a checkpoint goes on when everybody else has closed, and leaves the WAL", async () => {
  await using folder = new TestFolder({ maxOpen: 0 });
  await using kept = new TestKeeper(folder);
  const object = folder.object();
  await write(object);
  await kept.keeper.hold(object.path);
  await write(object, "x".repeat(10_000)); // Beyond what the host was asked about.
  object.storage.close();
  const { frames, moved } = await kept.keeper.move(object.path);
  assert.ok(moved < frames);
  assert.ok(existsSync(`${object.path}-wal`));
  object.start();
  assert.equal((await object.api.get("a") as string).length, 10_000);
});

test("an open cursor holds its place in the WAL, and a checkpoint goes no further", async () => {
  await using folder = new TestFolder();
  await using kept = new TestKeeper(folder);
  const object = folder.object();
  await object.event(({ api }) => void api.sql.exec("create table t (a); insert into t values (1), (2)"));
  const cursor = object.api.sql.exec("select a from t");
  cursor.next();
  await object.event(({ api }) => void api.sql.exec("insert into t values (3)"));
  const held = await kept.checkpoint(object.path);
  assert.ok(held.moved < held.frames);
  assert.deepEqual(cursor.toArray(), [{ a: 2 }, { a: 3 }]); // As in workerd, it sees what its own object writes.
  const free = await kept.checkpoint(object.path);
  assert.equal(free.moved, free.frames);
});

test("between its transactions a database keeps its place in the WAL, until somebody wants it back", async () => {
  await using folder = new TestFolder();
  await using others = new TestKeeper(); // It asks nobody to leave.
  await using kept = new TestKeeper(folder);
  const object = folder.object();
  await write(object);
  await write(object);
  await write(object, "x".repeat(10_000));
  const held = await others.checkpoint(object.path);
  assert.ok(held.moved < held.frames, `${held.moved} of ${held.frames}`);
  const free = await kept.checkpoint(object.path);
  assert.equal(free.moved, free.frames);
});

test("a place in the WAL is in nobody's way: tables are dropped, files shrink, what is rolled back is not seen", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  const { sql } = object.api;
  const names = () => sql.exec("select name from sqlite_schema where name like 't_'").toArray().map(({ name }) => name);
  for (const t of ["t1", "t2", "t3"]) await object.event(() => void sql.exec(`create table ${t} (a)`));
  await object.event(() => void sql.exec("insert into t1 values (1); drop table t1"));
  await object.event(() => void sql.exec("drop table t2"));
  assert.deepEqual(names(), ["t3"]);
  await object.event(({ api }) => {
    assert.throws(() => api.transactionSync(() => {
      sql.exec("drop table t3; create table t4 (a); insert into t4 values (1)");
      throw new Error("taken back");
    }), /taken back/);
  });
  assert.deepEqual(names(), ["t3"]);
  await object.event(() => void sql.exec("insert into t3 values (?)", "x".repeat(100_000)));
  const size = sql.databaseSize;
  await object.event(({ api }) => api.deleteAll());
  assert.ok(sql.databaseSize < size);
  assert.deepEqual(names(), []);
  await object.event(() => void sql.exec("create table t5 (a); create virtual table t6 using fts5 (a)"));
  await object.event(() => void sql.exec("insert into t6 values ('word')"));
  await object.event(() => void sql.exec("drop table t6"));
  assert.deepEqual(names(), ["t5"]);
});

test("the keeper's errors are answers", async () => {
  await using kept = new TestKeeper();
  await assert.rejects(kept.keeper.move("/nowhere"), /the keeper cannot move the database: it is not held/);
  await assert.rejects(kept.keeper.hold("/nowhere/at/all"), /the keeper cannot hold the database: unable to open database file/);
  await using folder = new TestFolder();
  const object = folder.object();
  await write(object);
  await kept.keeper.hold(object.path);
  await assert.rejects(kept.keeper.hold(object.path), /it is held already/);
});

test("everything that waits for a keeper whose thread has ended is told so", async () => {
  const kept = new TestKeeper();
  const { keeper } = kept;
  await keeper.end("x").catch(() => {});
  const asked = keeper.end("x");
  await Promise.all([assert.rejects(asked, /keeper thread has ended|is not held/), kept.worker.terminate()]);
  await assert.rejects(keeper.hold("y"), /keeper thread has ended/);
});

test("a file that is smaller than an empty database is made anew, and has no log of another", async () => {
  await using folder = new TestFolder({ maxOpen: 0 });
  const object = folder.object();
  await write(object, "old");
  object.storage.close();
  for (const size of [0, 100]) {
    truncateSync(object.path, size);
    object.start();
    assert.equal(await object.api.get("a"), undefined);
    await write(object, size);
    assert.equal(await object.api.get("a"), size);
    object.storage.close();
  }
  assert.deepEqual(readdirSync(dirname(object.path)).filter((name) => name.endsWith(".new")), []);
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
