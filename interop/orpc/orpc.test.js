// oRPC over a hibernating socket, with its own client.
import assert from "node:assert/strict";
import { test } from "node:test";

import { createORPCClient } from "@orpc/client";
import { RPCLink } from "@orpc/client/websocket";

import { event, serve } from "../support/harness.js";

test("oRPC: a subscription over two sleeps", async (t) => {
  const world = await serve(t, import.meta.url);
  const connect = async (name) => {
    const websocket = world.watch(new WebSocket(world.ws), name);
    t.after(() => websocket.close());
    await event(websocket, "open");
    return createORPCClient(new RPCLink({ websocket }));
  };
  const [a, b] = [await connect("a"), await connect("b")];
  const events = await a.events();
  const next = async () => (await events.next()).value;

  assert.equal(await b.say("one"), 2);
  assert.deepEqual(await next(), { text: "one", at: new Date(86_400_000), big: 10n ** 20n });
  await assert.rejects(b.fails(), { code: "INTERNAL_SERVER_ERROR", status: 500 });
  await assert.rejects(b.refuses(), { code: "FORBIDDEN", status: 403, message: "not you" });

  const object = world.object("orpc-Events", "name:all");
  await world.overSleep(object, async () => {
    assert.equal(await b.say("two"), 2);
    assert.deepEqual(await next(), { text: "two", at: new Date(86_400_000), big: 10n ** 20n });
  });
  await world.overSleep(object, async () => {
    await b.say("three");
    assert.equal((await next()).text, "three");
  }, { crash: true });
});
