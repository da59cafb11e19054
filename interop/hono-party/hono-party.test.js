// hono-party: rooms behind Hono; a room that sleeps hears another through RPC.
import assert from "node:assert/strict";
import { test } from "node:test";

import { PartySocket } from "partysocket";

import { Inbox, serve } from "../support/harness.js";

test("hono-party: one room speaks into another that sleeps", async (t) => {
  const world = await serve(t, import.meta.url);
  const join = async (room) => {
    const socket = world.watch(new PartySocket({ host: world.host, party: "room", room }), room);
    t.after(() => socket.close());
    const inbox = new Inbox(socket, (e) => e.data);
    const hears = (text) => inbox.take(text, (m) => m === text);
    await hears(`in ${room}`);
    return { socket, hears };
  };
  const [east, west] = [await join("east"), await join("west")];
  const asleep = world.object("hono-party-Room", "name:west");
  for (const crash of [false, true]) {
    await world.overSleep(asleep, async () => {
      east.socket.send("hello");
      await Promise.all([east.hears("east: hello"), west.hears("east: hello")]);
    }, { crash });
  }
  assert.equal(await (await fetch(world.url)).text(), "home");
  assert.equal((await fetch(`${world.url}/parties/nothing/x`)).status, 400);
});
