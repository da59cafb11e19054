// What SQL does beyond what a single comparison with workerd can show: compiled statements, cursors
// that are left open, waiting queries.

import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { TestFolder, type TestObject } from "./host.ts";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

async function filled(folder: TestFolder, rows = 10): Promise<TestObject> {
  const object = folder.object();
  await object.event(({ api }) => {
    api.sql.exec("create table t (id integer primary key, v text)");
    for (let i = 1; i <= rows; i++) api.sql.exec("insert into t (v) values (?)", `row ${i}`);
  });
  return object;
}

/** Queries in progress on the object's database. */
const inProgress = ({ storage }: TestObject) => storage.reading.database.queries.size;

test("a query sees the database as it was when it was executed, asked for at once or later", async () => {
  await using folder = new TestFolder();
  const { api: { sql } } = await filled(folder, 1);
  for (let round = 0; round < 3; round++) {
    const value = () => sql.exec("select v from t where id = 1");
    const waiting = value();
    sql.exec("update t set v = ? where id = 1", `round ${round}`);
    assert.deepEqual(value().toArray(), [{ v: `round ${round}` }]);
    assert.deepEqual(waiting.toArray(), [{ v: round === 0 ? "row 1" : `round ${round - 1}` }]);
    const one = value();
    sql.exec("delete from t where id = 1");
    assert.deepEqual(one.one(), { v: `round ${round}` });
    sql.exec("insert into t values (1, ?)", `round ${round}`);
  }
});

test("a query that waits is begun by whatever happens next: writes of kv, commits, rollbacks, deleteAll", async () => {
  await using folder = new TestFolder();
  const object = await filled(folder, 3);
  const { api, storage } = object;
  const waiting = () => api.sql.exec("select count(*) as n from sqlite_master where name = '_cf_KV'");
  const before = waiting();
  api.kv.put("a", 1);
  assert.deepEqual(before.one(), { n: 0 });
  const rolledBack = waiting();
  storage.rollbackTurn();
  assert.deepEqual(rolledBack.toArray(), [{ n: 1 }]);
  const rows = api.sql.exec("select id from t");
  await api.deleteAll();
  assert.throws(() => rows.toArray(), { message: "SQLite query was canceled because the database was deleted." });
  const closed = api.sql.exec("select 1 as a");
  storage.commitTurn();
  storage.close();
  assert.deepEqual(closed.toArray(), [{ a: 1 }]);
});

test("bytes are bound as they were when the query was executed", async () => {
  await using folder = new TestFolder();
  const { api: { sql } } = await filled(folder, 1);
  const bytes = new Uint8Array([1, 2]);
  const cursor = sql.exec("select ? as b", bytes);
  bytes[0] = 9;
  assert.deepEqual(new Uint8Array(cursor.one()["b"] as ArrayBuffer), new Uint8Array([1, 2]));
});

test("queries before the last one of a text are ended at once", async () => {
  await using folder = new TestFolder();
  const object = await filled(folder);
  const { sql } = object.api;
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(sql.exec("select * from t; update t set v = 'x' where id = 1; select v from t where id = 1").toArray(), [{ v: "x" }]);
    assert.deepEqual(sql.exec("with recursive c (x) as (select 1 union all select x + 1 from c) select x from c; select 7 as a").toArray(), [{ a: 7 }]);
    assert.equal(inProgress(object), 0);
  }
  assert.throws(() => sql.exec("select abs(-9223372036854775808); select 1"), /integer overflow/);
});

test("a query that fails on its way fails when it is executed", async () => {
  await using folder = new TestFolder();
  const object = await filled(folder);
  const { sql } = object.api;
  for (const text of ["select abs(-9223372036854775808)", "select json(v) from t", "select 1 limit 'x'", "select * from json_each('{')"]) {
    assert.throws(() => sql.exec(text), { name: "Error" });
  }
  assert.throws(() => sql.exec("select 1 limit ?", "x"), /datatype mismatch/);
  assert.throws(() => sql.exec("select id, case when id = 5 then abs(-9223372036854775808) end as x from t").toArray(), /integer overflow/);
  await object.event(() => void sql.exec("create virtual table f using fts5 (x)"));
  assert.throws(() => sql.exec("select * from f('\"')"), /unterminated string/);
  assert.equal(inProgress(object), 0);
});

test("a failure in the middle is told once, and ends the cursor", async () => {
  await using folder = new TestFolder();
  const { api: { sql } } = await filled(folder, 3);
  const cursor = sql.exec("select case when id = 3 then abs(-9223372036854775808) else id end as x from t");
  assert.deepEqual([cursor.next().value, cursor.next().value], [{ x: 1 }, { x: 2 }]);
  assert.throws(() => cursor.next(), /integer overflow: SQLITE_ERROR/);
  assert.deepEqual(cursor.next(), { done: true, value: undefined });
});

test("the same text while its cursor is open: few rows are read ahead, many are left where they are", async () => {
  await using folder = new TestFolder();
  const object = await filled(folder, 1000);
  const { sql } = object.api;
  for (const [limit, open] of [[50, 1], [1000, 2]] as const) {
    const text = `select id from t limit ${limit}`;
    const first = sql.exec(text);
    assert.equal(first.next().value?.["id"], 1);
    const second = sql.exec(text);
    assert.equal(second.next().value?.["id"], 1);
    assert.equal(inProgress(object), open);
    assert.deepEqual(first.toArray().map((row) => row["id"]), Array.from({ length: limit - 1 }, (_, i) => i + 2));
    assert.equal(second.toArray().length, limit - 1);
    assert.equal(inProgress(object), 0);
  }
});

test("cursors that nobody takes do not pile up", async () => {
  await using folder = new TestFolder();
  const object = await filled(folder);
  for (let i = 0; i < 5000; i++) object.api.sql.exec("select * from t");
  assert.ok(inProgress(object) <= 1);
});

test("a cursor that nobody can reach gives its place back", async () => {
  await using folder = new TestFolder();
  const object = await filled(folder, 1000);
  for (let i = 0; i < 20; i++) object.api.sql.exec(`select id from t where ${i} = ${i}`).next();
  assert.equal(inProgress(object), 20);
  for (let i = 0; i < 100 && inProgress(object) > 0; i++) {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(inProgress(object), 0);
});

test("thousands of different texts are forgotten in time, and the recent ones work on", async () => {
  await using folder = new TestFolder();
  const object = await filled(folder);
  const { sql } = object.api;
  const often = sql.exec("select id from t where id < ?", 5);
  often.next();
  for (let i = 0; i < 3000; i++) {
    assert.deepEqual(sql.exec(`select ${i} as n`).one(), { n: i });
    if (i % 100 === 0) assert.equal(sql.exec("select count(*) as n from t").one()["n"], 10);
  }
  assert.deepEqual(often.toArray(), [{ id: 2 }, { id: 3 }, { id: 4 }]);
});

test("a long text is not kept, and works", async () => {
  await using folder = new TestFolder();
  const { api: { sql } } = await filled(folder);
  for (let i = 0; i < 30; i++) assert.deepEqual(sql.exec(`select ${i} as n /*${"x".repeat(99_000)}*/`).one(), { n: i });
});

test("what is compiled serves the next instance, after a change of the schema, too", async () => {
  await using folder = new TestFolder();
  const object = await filled(folder, 1);
  const text = "select * from t";
  assert.deepEqual(object.api.sql.exec(text).columnNames, ["id", "v"]);
  await object.event(({ api }) => void api.sql.exec("alter table t add column w default 7"));
  object.storage.close();
  object.start();
  assert.deepEqual(object.api.sql.exec(text).toArray(), [{ id: 1, v: "row 1", w: 7 }]);
  object.api.sql.exec("alter table t drop column v");
  assert.deepEqual(object.api.sql.exec(text).toArray(), [{ id: 1, w: 7 }]);
  object.storage.rollbackTurn();
  assert.deepEqual(object.api.sql.exec(text).toArray(), [{ id: 1, v: "row 1", w: 7 }]);
});

test("a row may have an id that no number can hold, and is there after the commit", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  await object.event(({ api: { sql } }) => {
    sql.exec("create table t (id integer primary key, v text)");
    sql.exec("insert into t values (9007199254740993, 'a')");
    sql.exec("update t set v = 'b'");
  });
  assert.equal(object.broken_, null);
  const rows = object.api.sql.exec("select cast(id as text) as id, v from t").toArray();
  assert.deepEqual(rows, [{ id: "9007199254740993", v: "b" }]);
});

test("the first write of an object may come in the middle of a text", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  const { sql } = object.api;
  const early = sql.exec("select 'nothing yet' as v");
  assert.deepEqual(sql.exec("select 1; create table t (a); insert into t values (1); select a from t").toArray(), [{ a: 1 }]);
  assert.deepEqual(early.toArray(), [{ v: "nothing yet" }]);
  assert.equal(object.storage.commitTurn(), true);
});

test("a table that came and went with a rollback is made again", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  for (let i = 0; i < 3; i++) {
    object.api.kv.put("a", i);
    await object.api.setAlarm(4102444800000);
    object.storage.rollbackTurn();
    assert.equal(object.api.kv.get("a"), undefined);
    assert.equal(await object.api.getAlarm(), null);
  }
  await object.event(({ api }) => void api.kv.put("a", 9));
  assert.equal(object.api.kv.get("a"), 9);
});

test("deleteAll gives the pages back, and cyclic foreign keys do not stop it", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  await object.event(({ api }) => {
    api.sql.exec(`create table a (id integer primary key, b references b (id) deferrable initially deferred);
      create table b (id integer primary key, a references a (id) deferrable initially deferred);
      insert into a values (1, 1); insert into b values (1, 1); create table "we""ird" (x); create index "i""x" on "we""ird" (x);
      create virtual table f using fts5 (x); create virtual table r using rtree (id, x1, x2)`);
    for (let i = 0; i < 200; i++) void api.put(`key${i}`, "x".repeat(10_000));
  });
  const size = object.api.sql.databaseSize;
  assert.ok(size > 2_000_000);
  await object.event(({ api }) => void api.deleteAll());
  assert.equal(object.broken_, null);
  assert.equal(object.api.sql.databaseSize, 4096);
  assert.deepEqual(object.storage.reading.database.ask("PRAGMA page_count", []), [[1n]]); // Not only free pages.
  assert.throws(() => object.api.sql.exec("attach ':memory:' as m"), /not authorized/);
  await object.event(({ api }) => {
    void api.deleteAll();
    api.sql.exec("create table c (id integer primary key, p references c (id))");
    assert.throws(() => api.sql.exec("insert into c values (1, 77)"), /FOREIGN KEY/); // At once, not at the commit.
  });
  assert.equal(object.broken_, null);
});

test("keys at the limits: long ones, every kind of character, a hundred thousand", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  const keys = ["", "\0", "\0\0", "a\0", "a\0b", "\ud800", "\udfff\ud800", "\uffff", "😀", "é", "x".repeat(100_000), "%", "_", "'"];
  await object.event(async ({ api }) => {
    for (const key of keys) await api.put(key, key.length);
    for (const key of keys) assert.equal(await api.get(key), key.length, JSON.stringify(key.slice(0, 10)));
    assert.equal((await api.get(keys) as Map<string, number>).size, keys.length);
    assert.equal((await api.list()).size, keys.length);
    assert.equal(await api.delete(keys), keys.length);
    for (let i = 0; i < 100_000; i++) api.kv.put(`many${String(i).padStart(6, "0")}`, i);
  });
  const some = await object.api.list({ prefix: "many05", startAfter: "many050000", limit: 3, reverse: true });
  assert.deepEqual([...some], [["many059999", 59999], ["many059998", 59998], ["many059997", 59997]]);
  let count = 0;
  for (const [, value] of object.api.kv.list({ prefix: "many" })) count += value === count ? 1 : 0;
  assert.equal(count, 100_000);
});

test("a key-value class has its limits", async () => {
  await using folder = new TestFolder();
  const { api } = folder.object({ sqlEnabled: false });
  await api.put("é".repeat(1024), 1);
  await assert.rejects(api.put("é".repeat(1025), 1), {
    name: "RangeError", message: "Keys cannot be larger than 2048 bytes. A key of size 2050 was provided.",
  });
  await api.put("v", new Uint8Array(131_000));
  await assert.rejects(api.put("v", new Uint8Array(131_072)), {
    name: "RangeError", message: "Values cannot be larger than 131072 bytes. A value of size 131085 was provided.",
  });
  const many = Array.from({ length: 129 }, (_, i) => `k${i}`);
  await assert.rejects(api.get(many), { name: "RangeError", message: "Maximum number of key value pairs is 128. 129 pairs were provided." });
});

test("put of several is all or nothing", async () => {
  await using folder = new TestFolder();
  const { api } = folder.object();
  await assert.rejects(api.put({ a: 1, b: () => 1 }), { name: "DataCloneError" });
  assert.equal((await api.list()).size, 0);
});
