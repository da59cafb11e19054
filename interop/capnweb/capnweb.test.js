// Cap'n Web in an object, over a WebSocket and in batches, beside RPC between stubs.
import assert from "node:assert/strict";
import { test } from "node:test";

import { newHttpBatchRpcSession, newWebSocketRpcSession } from "capnweb";

import { event, serve } from "../support/harness.js";

test("capnweb: a session keeps its object in memory", async (t) => {
  const world = await serve(t, import.meta.url);
  const socket = world.watch(new WebSocket(world.ws), "session");
  await event(socket, "open");
  using api = newWebSocketRpcSession(socket);
  assert.equal(await api.add(1, 2), 3);
  using counter = await api.counter();
  assert.equal(await counter.add(2), 7);
  assert.deepEqual(await api.each([1, 2, 3], (x) => x * x), [1, 4, 9]);
  assert.deepEqual(await api.tomorrow(new Date(0)), new Date(86_400_000));
  await assert.rejects(async () => api.fails(), { name: "TypeError", message: "bad" });
  assert.equal(await api.user("u7").greet("yo"), "yo u7");

  const batch = newHttpBatchRpcSession(world.url);
  assert.deepEqual(await Promise.all([batch.add(1, 1), batch.user("x").greet("hi")]), [2, "hi x"]);
  assert.deepEqual(await (await fetch(`${world.url}/native`)).json(), [2, 5, [10, 20], true]);

  // The state of the session is JavaScript: it may not hibernate, however quiet it is.
  const object = world.object("capnweb-Api", "name:main");
  const before = await object.constructions();
  for (let i = 0; i < 5; i++) {
    await new Promise((r) => setTimeout(r, 300));
    const { state, why_awake: why } = await object.look();
    assert.ok(state === "active" || state === "idle", state);
    assert.ok(why.some((w) => w.kind === "socket"), JSON.stringify(why));
  }
  assert.equal(await counter.add(1), 8);
  assert.equal(await object.constructions(), before);
  world.noCloses();

  socket.close();
  await object.asleep();
});
