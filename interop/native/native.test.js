// The bare API, with ws and a real browser as its clients.
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter } from "node:path";
import { test } from "node:test";

import WebSocket from "ws";

import { Inbox, serve } from "../support/harness.js";

test("the bare API: a private room over two sleeps", async (t) => {
  const world = await serve(t, import.meta.url);
  const id = await (await fetch(`${world.url}/private`, { method: "POST" })).text();
  assert.match(id, /^[0-9a-f]{64}$/);
  assert.equal(await (await fetch(`${world.url}/foreign`)).text(), "TypeError: Durable Object ID is not valid for this namespace.");

  const join = async (name) => {
    const socket = world.watch(new WebSocket(`${world.ws}/room/${id}`), name);
    t.after(() => socket.terminate());
    const inbox = new Inbox(socket, (e) => (e.data === "pong" ? { pong: true } : JSON.parse(e.data)));
    await once(socket, "open");
    socket.send(JSON.stringify({ name }));
    await inbox.take("its own joining", (m) => m.joined === name);
    return { socket, inbox, say: (message) => socket.send(JSON.stringify({ message })), hears: (m) => inbox.take(m, (x) => x.message === m) };
  };
  const [alice, bob] = [await join("alice"), await join("bob")];
  alice.say("one");
  assert.equal((await bob.hears("one")).name, "alice");

  const room = world.object("native-Room", id);
  for (const crash of [false, true]) {
    await world.overSleep(room, async () => {
      alice.socket.send("ping");
      await alice.inbox.take("pong", (m) => m.pong);
      assert.equal((await room.look()).state, "hibernated", "a ping wakes nobody");
      const text = `after ${crash}`;
      bob.say(text);
      assert.equal((await alice.hears(text)).name, "bob", "the name was in the attachment");
      await bob.hears(text);
    }, { crash });
  }
  const pinged = await (await fetch(`${world.url}/room/${id}/pinged`)).json();
  assert.deepEqual(pinged.map((p) => p !== null).sort(), [false, true]);

  const carol = await join("carol");
  assert.deepEqual(carol.inbox.all.slice(0, 3).map((m) => m.message), ["one", "after false", "after true"], "the history");
  await browser(t, world, id, alice);
  world.noCloses();
  bob.socket.close();
  await alice.inbox.take("bob's leaving", (m) => m.quit === "bob");
});

/** A page of a real browser joins, sleeps through a hibernation, and speaks. */
async function browser(t, world, id, alice) {
  const executablePath = [process.env.CHROMIUM, ...(process.env.PATH ?? "").split(delimiter).flatMap((d) => ["chromium", "chromium-browser", "google-chrome"].map((n) => `${d}/${n}`))].find((p) => p && existsSync(p));
  if (executablePath === undefined) {
    assert.notEqual(process.env.CI, "true", "CI=true, so there has to be a browser");
    t.diagnostic("NOT TESTED: no browser");
    return;
  }
  const { chromium } = createRequire(new URL("../../tools/package.json", import.meta.url))("playwright-core");
  const b = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"] });
  t.after(() => b.close());
  const page = await b.newPage();
  await page.goto(world.url);
  await page.evaluate((url) => {
    window.seen = [];
    window.ws = new WebSocket(url);
    window.ws.onopen = () => window.ws.send(JSON.stringify({ name: "page" }));
    window.ws.onmessage = (e) => window.seen.push(JSON.parse(e.data));
    window.ws.onclose = (e) => window.seen.push({ closed: e.code });
  }, `${world.ws}/room/${id}`);
  await alice.inbox.take("the page's joining", (m) => m.joined === "page");
  await world.overSleep(world.object("native-Room", id), async () => {
    await page.evaluate(() => window.ws.send(JSON.stringify({ message: "from the page" })));
    await alice.hears("from the page");
    alice.say("to the page");
    await page.waitForFunction(() => window.seen.some((m) => m.message === "to the page"));
  });
  assert.deepEqual(await page.evaluate(() => window.seen.filter((m) => m.closed !== undefined)), []);
}
