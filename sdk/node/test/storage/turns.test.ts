// What the storage tells the guest around it, and when.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { TestFolder } from "./host.ts";

const far = 4102444800000; // 2100-01-01
const table = "create table if not exists t (a)";

test("a turn is one commit, told once", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  await object.event(({ api }) => {
    api.sql.exec(table);
    api.kv.put("a", 1);
    api.sql.exec("insert into t values (1)");
    assert.deepEqual(object.told, ["dirty"]);
  });
  assert.deepEqual(object.told, ["dirty", "commit confirmed"]);
});

test("reading makes no file, no transaction and no commit", async () => {
  await using folder = new TestFolder();
  const object = folder.object({}, "reader");
  await object.event(async ({ api }) => {
    assert.equal(await api.get("a"), undefined);
    assert.equal((await api.list()).size, 0);
    assert.equal(await api.delete("a"), false);
    assert.equal(await api.getAlarm(), null);
    await api.deleteAlarm();
    await api.deleteAll();
    await api.transaction(async (txn) => void await txn.get("a"));
    api.transactionSync(() => api.kv.get("a"));
    assert.deepEqual(api.sql.exec("select 1 as a; select count(*) as n from sqlite_master").toArray(), [{ n: 0 }]);
    assert.throws(() => api.sql.exec("insert into t values (1)"), /no such table: t/);
    assert.throws(() => api.sql.exec("selec"), /syntax error/);
  });
  assert.equal(object.storage.commitTurn(), false);
  assert.deepEqual(object.told, []);
  assert.ok(!existsSync(folder.file("reader")));
});

test("unconfirmed writes make a commit that nothing waits for; one confirmed write makes it confirmed", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  await object.event(({ api }) => void api.put("a", 1, { allowUnconfirmed: true }));
  await object.event(({ api }) => void api.setAlarm(far, { allowUnconfirmed: true }));
  await object.event(({ api }) => void api.delete("a", { allowUnconfirmed: true }));
  await object.event(({ api }) => {
    void api.put("a", 1, { allowUnconfirmed: true });
    void api.put("b", 1);
  });
  assert.deepEqual(object.told.filter((told) => told.startsWith("commit")),
    ["commit unconfirmed", "commit unconfirmed", "commit unconfirmed", "commit confirmed"]);
});

test("what was dirty and came to nothing is ended by a commit that nothing waits for", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  await object.event(({ api }) => {
    assert.throws(() => api.transactionSync(() => { api.sql.exec(table); throw new Error("no"); }), /no/);
  });
  assert.deepEqual(object.told, ["dirty", "commit unconfirmed"]);
});

test("rollbackTurn undoes the turn and nothing else", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  await object.event(({ api }) => void api.sql.exec(`${table}; insert into t values (1)`));
  object.api.sql.exec("insert into t values (2)");
  object.api.kv.put("a", 1);
  object.storage.rollbackTurn();
  assert.equal(object.storage.commitTurn(), false);
  assert.deepEqual(object.api.sql.exec("select a from t").toArray(), [{ a: 1 }]);
  assert.equal(object.api.kv.get("a"), undefined);
  await object.event(({ api }) => void api.kv.put("a", 2));
  assert.equal(object.api.kv.get("a"), 2);
});

test("transaction() commits what was written before it, spans turns, and commits once", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  await object.event(({ api }) => void api.sql.exec(table));
  object.told.length = 0;
  const { api } = object;
  api.sql.exec("insert into t values ('before')");
  let go = () => {};
  const going = new Promise<void>((resolve) => { go = resolve; });
  let inside = () => {};
  const isInside = new Promise<void>((resolve) => { inside = resolve; });
  const transaction = api.transaction(async () => {
    api.sql.exec("insert into t values ('in')");
    inside();
    await going;
    await api.put("k", 1);
  });
  await isInside;
  assert.deepEqual(object.told, ["dirty", "commit confirmed"]);
  assert.equal(object.storage.commitTurn(), false); // The turn ends, the transaction does not.
  go();
  await transaction;
  assert.deepEqual(object.told, ["dirty", "commit confirmed", "commit confirmed"]);
});

test("a transaction that is rolled back, or writes nothing, tells nothing", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  await object.event(({ api }) => void api.put("a", 1));
  object.told.length = 0;
  await object.api.transaction(async (txn) => { await txn.put("a", 2); txn.rollback(); });
  await object.api.transaction(async (txn) => void await txn.get("a"));
  await assert.rejects(object.api.transaction(async (txn) => { await txn.put("a", 3); throw new Error("no"); }), /no/);
  assert.deepEqual(object.told, []);
  assert.equal(await object.api.get("a"), 1);
});

test("an inner transaction that nobody awaits ends with the one around it", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  const { transactions } = object.storage;
  const outer = transactions.begin();
  const inner = transactions.begin();
  object.storage.put([["a", 1]], true);
  assert.throws(() => transactions.end(outer, "commit"), /nested transaction was still running/);
  assert.equal(inner.over, "rolled back");
  transactions.end(inner, "commit"); // It has nothing left to end.
  assert.equal(await object.api.get("a"), undefined);
  await object.event(({ api }) => void api.put("a", 2));
  assert.equal(await object.api.get("a"), 2);
});

test("an alarm is told earlier before the commit and later after it", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  const told = async (f: (api: typeof object.api) => unknown) => {
    object.told.length = 0;
    await object.event(({ api }) => void f(api));
    return object.told.slice(1).map((line) => line.replace(String(far), "far").replace(String(far - 5), "sooner").replace(String(far + 5), "later"));
  };
  const commit = "commit confirmed";
  assert.deepEqual(await told((api) => api.setAlarm(far)), ["alarm far before commit", commit]);
  assert.deepEqual(await told((api) => api.setAlarm(far)), [commit]);
  assert.deepEqual(await told((api) => api.setAlarm(far - 5)), ["alarm sooner before commit", commit]);
  assert.deepEqual(await told((api) => api.setAlarm(far + 5)), [commit, "alarm later after commit"]);
  assert.deepEqual(await told((api) => { void api.setAlarm(far - 5); void api.setAlarm(far + 5); }), [commit]);
  assert.deepEqual(await told((api) => {
    void api.setAlarm(far);
    assert.throws(() => api.transactionSync(() => { void api.setAlarm(far - 5); throw new Error("no"); }), /no/);
  }), ["alarm far before commit", commit]);
  assert.deepEqual(await told((api) => api.deleteAlarm()), [commit, "alarm null after commit"]);
  assert.deepEqual(await told((api) => { void api.setAlarm(far); void api.deleteAlarm(); }), [commit]);
  assert.deepEqual(await told((api) => { void api.setAlarm(far); void api.deleteAll(); }), [commit]);
  await told((api) => api.setAlarm(far));
  assert.deepEqual(await told((api) => api.deleteAll()), [commit, "alarm null after commit"]);
});

test("an alarm that was there when the database was opened is told once", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  await object.event(({ api }) => void api.setAlarm(far));
  assert.deepEqual(object.found, []);
  object.storage.close();
  folder.pool.closeIdle();
  for (let i = 0; i < 2; i++) {
    object.storage = object.start();
    await object.event(({ api }) => void api.kv.get("a"));
    object.storage.close();
    assert.deepEqual(object.found, [far]);
  }
  const mute = folder.object({ alarmHandler: false }, "mute");
  await mute.event(({ api }) => void api.kv.put("a", 1));
  assert.deepEqual(mute.found, []);
});

test("the name of an object is kept with its alarm", async () => {
  await using folder = new TestFolder();
  const object = folder.object({ name: "lobby" }, "a");
  assert.equal(object.storage.keptName, undefined);
  await object.event(({ api }) => void api.kv.put("a", 1));
  assert.equal(object.storage.keptName, undefined);
  await object.event(({ api }) => void api.setAlarm(far));
  assert.equal(object.storage.keptName, "lobby");
  await object.event(({ api }) => void api.deleteAll());
  assert.equal(object.storage.keptName, undefined);
  await object.event(({ api }) => void api.setAlarm(far));
  object.storage.close();
  assert.equal(folder.object({}, "a").storage.keptName, "lobby");

  const old = folder.object({ name: "old", compat: { deleteAllDeletesAlarm: false } }, "b");
  await old.event(({ api }) => { void api.setAlarm(far); void api.deleteAll(); });
  assert.equal(old.storage.keptName, "old");
  await folder.object({}, "c").event(({ api }) => void api.setAlarm(far));
});

test("an alarm that is set while its handler runs is told, also to the same time", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  const now = Date.now() + 3_600_000;
  await object.event(({ api }) => void api.setAlarm(now));
  assert.deepEqual(object.storage.startAlarm(now), { due: now });
  object.told.length = 0;
  await object.event(async ({ api }) => {
    assert.equal(await api.getAlarm(), null);
    assert.throws(() => api.transactionSync(() => { void api.setAlarm(now); throw new Error("no"); }), /no/);
    assert.equal(await api.getAlarm(), null);
  });
  assert.deepEqual(object.told.filter((t) => t.startsWith("alarm")), []);
  await object.event(({ api }) => void api.setAlarm(now));
  assert.deepEqual(object.told.filter((t) => t.startsWith("alarm")), [`alarm ${now} after commit`]);
  await object.event(() => object.storage.finishAlarm(true));
  await object.event(async ({ api }) => assert.equal(await api.getAlarm(), now));
});

test("deleteAll keeps the alarm before 2026-02-24", async () => {
  await using folder = new TestFolder();
  const object = folder.object({ compat: { deleteAllDeletesAlarm: false } });
  await object.event(({ api }) => { void api.setAlarm(far); void api.put("a", 1); });
  await object.event(({ api }) => void api.deleteAll());
  assert.equal(await object.api.getAlarm(), far);
  assert.equal(await object.api.get("a"), undefined);
});

test("an alarm rings when its truth says so, is hidden meanwhile, and stays if its handler fails", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  const { storage, api } = object;
  assert.deepEqual(storage.startAlarm(far), { due: null, next: null });
  await object.event(() => void api.setAlarm(far));
  assert.deepEqual(storage.startAlarm(far - 1), { due: null, next: far });
  assert.equal(await api.getAlarm(), far);

  assert.deepEqual(storage.startAlarm(far), { due: far });
  assert.equal(await api.getAlarm(), null);
  storage.finishAlarm(false);
  assert.equal(await api.getAlarm(), far);

  assert.deepEqual(storage.startAlarm(far), { due: far });
  assert.throws(() => api.transactionSync(() => { void api.setAlarm(far + 5); throw new Error("no"); }), /no/);
  assert.equal(await api.getAlarm(), null);
  storage.finishAlarm(true);
  storage.commitTurn();
  assert.equal(await api.getAlarm(), null);
  assert.deepEqual(storage.startAlarm(far), { due: null, next: null });
});

test("nothing works after close, and what was not committed is gone", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  await object.event(({ api }) => void api.sql.exec(`${table}; insert into t values (1)`));
  const { api } = object;
  const cursor = api.sql.exec("select a from t");
  api.sql.exec("insert into t values (2)");
  object.storage.close();
  object.storage.close();
  for (const f of [() => api.sql.exec("select 1"), () => api.kv.get("a"), () => api.sql.databaseSize, () => api.transactionSync(() => 1)]) {
    assert.throws(f, { message: "Durable Object storage is no longer accessible." });
  }
  for (const p of [api.get("a"), api.put("a", 1), api.list(), api.sync(), api.getAlarm(), api.transaction(async () => 1)]) {
    await assert.rejects(p, { message: "Durable Object storage is no longer accessible." });
  }
  assert.equal(object.storage.commitTurn(), false);
  assert.ok(Array.isArray(cursor.toArray())); // It has ended; it does not fail.
  object.start();
  assert.deepEqual(object.api.sql.exec("select a from t").toArray(), [{ a: 1 }]);
});

test("an instance sees what the one before it committed, through the same handle", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  for (let i = 0; i < 5; i++) {
    await object.event(({ api }) => {
      api.sql.exec(table);
      api.sql.exec("insert into t values (?)", i);
      void api.put("n", i);
    });
    object.storage.close();
    object.start();
    assert.equal(await object.api.get("n"), i);
    assert.deepEqual(object.api.sql.exec("select count(*) as n from t").one(), { n: i + 1 });
    assert.equal(folder.pool.open, 1);
  }
});

test("a deferred constraint that is violated resets the object with its text", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  await object.event(({ api }) => void api.sql.exec(
    "create table p (id integer primary key); create table c (p references p (id) deferrable initially deferred)"));
  await object.event(({ api }) => void api.sql.exec("insert into c values (1)"));
  assert.equal(object.broken_?.message, "Durable Object was reset and rolled back to its last known good state because the "
    + "application left the database in a state where constraints were violated: FOREIGN KEY constraint failed: "
    + "SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY)");
  object.start();
  assert.deepEqual(object.api.sql.exec("select count(*) as n from c").one(), { n: 0 });
});
