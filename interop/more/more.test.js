// Libraries that were tried beside the ten, each with a client where it has one.
import assert from "node:assert/strict";
import { test } from "node:test";

import { createTRPCClient, httpBatchLink } from "@trpc/client";
import { createClient } from "graphql-ws";
import ReconnectingWebSocket from "reconnecting-websocket";

import { event, Inbox, serve } from "../support/harness.js";

test("more libraries", async (t) => {
  const world = await serve(t, import.meta.url);

  await t.test("@cloudflare/actors with reconnecting-websocket", async () => {
    const socket = world.watch(new ReconnectingWebSocket(`${world.ws}/talk`, [], { WebSocket }), "talker");
    t.after(() => socket.close());
    await event(socket, "open");
    const inbox = new Inbox(socket, (e) => e.data);
    const says = (text, answer) => {
      socket.send(text);
      return inbox.take(answer, (m) => m === answer);
    };
    await says("a", "1: a");
    const talk = world.object("more-Talk", "name:all");
    await world.overSleep(talk, () => says("b", "2: b"));
    await world.overSleep(talk, () => says("c", "3: c"), { crash: true });
  });

  await t.test("itty-durable", async () => {
    const add = async (n) => (await fetch(`${world.url}/counter`, { method: "POST", body: n })).json();
    assert.deepEqual([await add(2), await add(3)], [{ counter: 2 }, { counter: 5 }]);
    const [counter] = await world.objectsOf("Counter");
    await world.object("more-Counter", counter.id).asleep();
    assert.deepEqual(await add(4), { counter: 9 });
  });

  await t.test("workers-qb", async () => {
    const rows = await (await fetch(`${world.url}/rows`)).json();
    assert.deepEqual(rows, [{ name: "felix", age: 10 }, { name: "fido", age: 3 }]);
  });

  await t.test("tRPC", async () => {
    const client = createTRPCClient({ links: [httpBatchLink({ url: `${world.url}/trpc` })] });
    assert.deepEqual(await Promise.all([client.add.mutate(1), client.add.mutate(2)]).then((all) => all.length), 2);
    await world.object("more-Procedures", "name:main").asleep();
    assert.deepEqual(await client.add.mutate(4), { total: 7 });
    await assert.rejects(client.refuse.query(), (e) => e.data.code === "FORBIDDEN" && e.message === "not you");
  });

  await t.test("graphql-ws", async () => {
    const client = createClient({ url: `${world.ws}/graph`, webSocketImpl: WebSocket });
    const ticks = [];
    for await (const { data } of client.iterate({ query: "subscription { ticks(to: 3) }" })) ticks.push(data.ticks);
    assert.deepEqual(ticks, [1, 2, 3]);
    for await (const { data } of client.iterate({ query: "{ hello }" })) assert.equal(data.hello, "world");
    await client.dispose();
    await world.object("more-Graph", "name:main").asleep();
  });
});
