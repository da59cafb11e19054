// Damaged files, folders that cannot be written, full disks, and death at any moment.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { moveLog, TestFolder, type TestObject } from "./host.ts";

/** An object with 100 rows whose file is closed, and has no WAL. */
async function filled(folder: TestFolder): Promise<TestObject> {
  const object = folder.object();
  await object.event(({ api }) => {
    api.sql.exec("create table t (a integer primary key, b)");
    for (let i = 0; i < 100; i++) api.sql.exec("insert into t (b) values (?)", "x".repeat(1000));
  });
  object.storage.close();
  folder.pool.closeIdle();
  moveLog(object.path);
  return object;
}

test("a file that is no database: the object is broken with advice, its neighbours run on", async () => {
  await using folder = new TestFolder();
  const object = await filled(folder);
  writeFileSync(object.path, "This was a database once. ".repeat(500));
  object.start();
  assert.throws(() => object.api.sql.exec("select 1"), { message: "file is not a database: SQLITE_NOTADB" });
  assert.match(object.broken_!.message, /^Durable Object storage failed: .*SQLITE_NOTADB \(its file is not a database: restore/);
  assert.ok(!object.broken_!.message.includes(folder.path));
  await assert.rejects(object.api.get("a"), /no longer accessible/);
  const other = folder.object();
  await other.event(({ api }) => void api.put("a", 1));
  assert.equal(await other.api.get("a"), 1);
});

test("a damaged page: found when it is read", async () => {
  await using folder = new TestFolder();
  const object = await filled(folder);
  const bytes = readFileSync(object.path);
  bytes.fill(0xa5, 2 * 4096, 20 * 4096);
  writeFileSync(object.path, bytes);
  object.start();
  assert.throws(() => object.api.sql.exec("select sum(length(b)) as n from t").toArray(), /database disk image is malformed: SQLITE_CORRUPT/);
  assert.match(object.broken_!.message, /its file is damaged/);
  assert.equal(object.storage.commitTurn(), false);
});

test("a file that was cut short", async () => {
  await using folder = new TestFolder();
  const object = await filled(folder);
  truncateSync(object.path, 5 * 4096);
  object.start();
  assert.throws(() => object.api.sql.exec("select sum(length(b)) as n from t").toArray(), /SQLITE_CORRUPT/);
  assert.ok(object.broken_ !== null);
});

test("a folder that cannot be made", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  writeFileSync(dirname(object.path), "not a folder");
  await assert.rejects(object.api.put("a", 1), /ENOTDIR: not a directory$/);
  assert.match(object.broken_!.message, /^Durable Object storage failed: ENOTDIR: not a directory/);
  assert.ok(!object.broken_!.message.includes(folder.path));
});

test("a folder where the file should be", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  mkdirSync(object.path, { recursive: true });
  await assert.rejects(object.api.get("a"), /unable to open database file: SQLITE_CANTOPEN/);
  assert.match(object.broken_!.message, /look at the permissions of the data folder/);
});

test("an empty file, as a crash may leave one, is a new object", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  mkdirSync(dirname(object.path));
  writeFileSync(object.path, "");
  assert.equal(await object.api.get("a"), undefined);
  await object.event(({ api }) => void api.put("a", 1));
  assert.equal(await object.api.get("a"), 1);
});

test("a new file that a power cut has taken the header of is a new object", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  mkdirSync(dirname(object.path));
  writeFileSync(object.path, new Uint8Array(4096));
  assert.equal(await object.api.get("a"), undefined);
  await object.event(({ api }) => void api.put("a", 1));
  assert.equal(await object.api.get("a"), 1);
});

test("an error that takes the whole transaction resets the object, and nothing of the turn stays", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  await object.event(({ api }) => void api.sql.exec("create table t (a primary key); insert into t values (1)"));
  await object.event(({ api }) => {
    api.sql.exec("insert into t values (2)");
    assert.throws(() => api.sql.exec("insert or rollback into t values (1)"), /UNIQUE constraint failed/);
  });
  assert.equal(object.broken_?.message, "Cannot commit transaction due to an earlier SQL critical error");
  object.start();
  assert.deepEqual(object.api.sql.exec("select a from t").toArray(), [{ a: 1 }]);
});

/** A small file system of its own, if we may mount one. */
function smallDisk(): string | null {
  const path = mkdtempSync(join(tmpdir(), "dormouse-disk-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", path], { stdio: "ignore" });
    return path;
  } catch {
    rmSync(path, { recursive: true });
    return null;
  }
}

test("a full disk: the object is reset, keeps what was committed, and goes on when there is room", async (t) => {
  const disk = smallDisk();
  if (disk === null) {
    t.skip("may not mount a small file system");
    return;
  }
  const folder = new TestFolder({}, disk);
  try {
    const object = folder.object();
    await object.event(({ api }) => void api.put("kept", 1));
    const ballast = join(disk, "ballast");
    writeFileSync(ballast, "");
    try {
      for (;;) appendFileSync(ballast, Buffer.alloc(1 << 12));
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
    }
    // Either the write itself fails, or the commit at the end of the turn does.
    await object.event(({ api }) => api.put("lost", new Uint8Array(100_000)).catch(() => {}));
    assert.match(object.broken_!.message, /^Durable Object storage failed: .*(SQLITE_FULL|SQLITE_IOERR)/);
    const other = folder.object();
    await other.api.put("a", 1).catch(() => {});
    other.storage.commitTurn();
    assert.ok(other.broken_ !== null);
    rmSync(ballast);
    for (const o of [object, other]) {
      o.start();
      await o.event(({ api }) => void api.put("again", 1));
      assert.equal(o.broken_, null);
    }
    assert.deepEqual([...(await object.api.list()).keys()], ["again", "kept"]);
    object.storage.close();
    other.storage.close();
  } finally {
    folder.pool.closeIdle();
    execFileSync("umount", [disk]);
    rmSync(disk, { recursive: true });
  }
});

test("after kill -9 the file holds whole turns, up to the last that was told", async () => {
  await using folder = new TestFolder();
  for (let round = 0; round < 5; round++) {
    const child = spawn(process.execPath, [join(import.meta.dirname, "kit/writer.ts"), folder.file("victim")], { stdio: ["ignore", "pipe", "inherit"] });
    let told = 0;
    child.stdout.on("data", (text: Buffer) => {
      told = Number(String(text).trimEnd().split("\n").at(-1));
      if (told > (round + 1) * 40) child.kill("SIGKILL");
    });
    await once(child, "exit");
    const object = folder.object({}, "victim");
    const { turns, rows } = object.api.sql.exec("select count(distinct turn) as turns, count(*) as rows from t").one();
    assert.equal(rows, (turns as number) * 3);
    assert.ok((turns as number) >= told, `${turns} turns in the file, ${told} were told`);
    assert.equal(await object.api.get("turns"), turns);
    assert.deepEqual(object.api.sql.exec("pragma quick_check").one(), { quick_check: "ok" });
    object.storage.close();
    folder.pool.closeIdle();
  }
});

test("a failure within transactions ends them all, and is the error that is told", async () => {
  await using folder = new TestFolder();
  const object = await filled(folder);
  const bytes = readFileSync(object.path);
  bytes.fill(0xa5, 2 * 4096, 20 * 4096);
  writeFileSync(object.path, bytes);
  object.start();
  const { api } = object;
  await assert.rejects(api.transaction(async () => api.transactionSync(() => {
    api.sql.exec("insert into t (b) values ('fine')");
    return api.sql.exec("select sum(length(b)) as n from t").one();
  })), /database disk image is malformed: SQLITE_CORRUPT/);
  assert.match(object.broken_!.message, /its file is damaged/);
});

test("a database that grows beyond its limit: the object is reset, its data stay", async () => {
  await using folder = new TestFolder({ databaseBytes: 200_000 });
  const object = folder.object();
  await object.event(({ api }) => void api.put("a", "x".repeat(100_000)));
  await object.event(async ({ api }) => {
    await assert.rejects(api.put("b", "x".repeat(200_000)), { message: "database or disk is full: SQLITE_FULL" });
  });
  object.start();
  assert.deepEqual([...(await object.api.list()).keys()], ["a"]);
  await object.event(({ api }) => void api.put("c", 1));
  assert.equal(object.broken_, null);
});
