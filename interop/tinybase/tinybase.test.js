// tinybase, with its own client over ws.
import assert from "node:assert/strict";
import { test } from "node:test";

import { createMergeableStore } from "tinybase";
import { createWsSynchronizer } from "tinybase/synchronizers/synchronizer-ws-client";
import WebSocket from "ws";

import { serve, until } from "../support/harness.js";

test("tinybase: stores over two sleeps", async (t) => {
  const world = await serve(t, import.meta.url);
  const open = async (name) => {
    const store = createMergeableStore(name);
    const synchronizer = await createWsSynchronizer(store, world.watch(new WebSocket(`${world.ws}/pets`), name));
    t.after(() => synchronizer.destroy());
    await synchronizer.startSync();
    return { store, synchronizer };
  };
  const heard = async () => (await fetch(world.url)).json();

  const [a, b] = [await open("a"), await open("b")];
  a.store.setCell("pets", "fido", "species", "dog");
  await until("b has the cell", () => b.store.getCell("pets", "fido", "species") === "dog");
  b.store.setValue("open", true);
  await until("a has the value", () => a.store.getValue("open") === true);

  const pets = world.object("tinybase-Stores", "name:pets");
  await world.overSleep(pets, async () => {
    b.store.setCell("pets", "felix", "species", "cat");
    await until("a has the cell of after the sleep", () => a.store.getCell("pets", "felix", "species") === "cat");
  });
  const c = await world.overSleep(pets, () => open("c"), { crash: true });
  await until("c has everything", () => c.store.getValue("open") === true && c.store.getRowCount("pets") === 2);
  assert.deepEqual(JSON.parse(c.store.getTablesJson()), { pets: { fido: { species: "dog" }, felix: { species: "cat" } } });
  world.noCloses();

  for (const [left, who] of [[2, c], [1, b], [0, a]]) {
    await who.synchronizer.destroy();
    await until("the object has heard it", async () => (await heard()).filter((h) => h.startsWith("client -1")).length === 3 - left);
  }
  assert.deepEqual((await heard()).filter((h) => h.includes("-1")), ["client -1 of 3", "client -1 of 2", "client -1 of 1", "path -1"]);
  assert.equal((await heard()).filter((h) => h === "path 1").length, 1);
});
