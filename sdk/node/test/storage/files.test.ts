// Database files change hands: workerd's are read and written on here, ours are read by workerd.

import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { moveLog, TestFolder, type TestObject } from "./host.ts";
import { runStep } from "./kit/run.js";
import { recordings } from "./record.ts";
import { files } from "./scenarios/files.js";
import { findWorkerd, type Seen, Workerd } from "./workerd.ts";

const recorded: Record<string, Seen[]> = JSON.parse(readFileSync(recordings.scenarios, "utf8"));

const play = (object: TestObject, scenario: unknown, step: number) =>
  object.event(({ api }) => runStep(scenario, step, api, {})) as Promise<Seen>;

test("a file of workerd's is read, written and read again", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  mkdirSync(dirname(object.path));
  copyFileSync(recordings.file, object.path);
  const expected = recorded["files: everything"]![1];
  assert.deepEqual(await play(object, files[0], 1), expected);
  object.storage.close();
  folder.pool.closeIdle();
  object.start();
  assert.deepEqual(await play(object, files[0], 1), expected);
});

test("our tables are laid out as workerd's, and the file says what its does", async () => {
  await using folder = new TestFolder();
  const object = folder.object();
  await play(object, files[0], 0);
  object.storage.close();
  folder.pool.closeIdle();
  const describe = (path: string | URL) => {
    using db = new DatabaseSync(path);
    const pragma = (name: string) => Object.values(db.prepare(`PRAGMA ${name}`).get()!)[0];
    return {
      schema: db.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY name").all(),
      alarm: db.prepare("SELECT key, value FROM _cf_METADATA", { readBigInts: true }).all(),
      pragmas: ["page_size", "encoding", "journal_mode", "auto_vacuum", "user_version", "application_id"].map(pragma),
      keys: db.prepare("SELECT hex(key), typeof(key), typeof(value) FROM _cf_KV").all(),
    };
  };
  assert.deepEqual(describe(object.path), describe(recordings.file));
});

test("our files are read by workerd", { skip: findWorkerd() === undefined && "no workerd here" }, async () => {
  await using folder = new TestFolder();
  const first = await Workerd.start(findWorkerd()!);
  try {
    for (const scenario of files) {
      const before = new Set(existsSync(`${first.folder}/data/sql`) ? first.databases("sql") : []);
      // Only so that the file of this object has a name.
      await first.play("sql", scenario.name, "storage: other members", 0);
      const [theirs] = first.databases("sql").filter((file) => !before.has(file));
      const object = folder.object();
      await play(object, scenario, 0);
      object.storage.close();
      folder.pool.closeIdle();
      moveLog(object.path);
      copyFileSync(object.path, `${theirs}.ours`);
    }
  } finally {
    await first.stop(true);
  }
  for (const file of first.databases("sql")) {
    for (const end of ["", "-wal", "-shm"]) rmSync(file + end, { force: true });
    copyFileSync(`${file}.ours`, file);
  }
  const second = await Workerd.start(findWorkerd()!, first.folder);
  try {
    for (const scenario of files) {
      assert.deepEqual(await second.play("sql", scenario.name, scenario.name, 1), recorded[scenario.name]![1]);
    }
  } finally {
    await second.stop();
  }
});
