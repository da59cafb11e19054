// crossws (nitro, h3), with ws as its client.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import WebSocket from "ws";

import { Inbox, serve } from "../support/harness.js";

test("crossws: topics over two sleeps", async (t) => {
  const world = await serve(t, import.meta.url, { hibernateAfter: "1h" });
  const join = async (name) => {
    const socket = world.watch(new WebSocket(world.ws), name);
    t.after(() => socket.terminate());
    const inbox = new Inbox(socket, (e) => String(e.data));
    const [response] = await once(socket, "upgrade");
    assert.equal(response.headers["x-up"], "1");
    return { socket, hears: (text) => inbox.take(text, (m) => m === text) };
  };

  const a = await join("a");
  await a.hears("peers 1");
  const b = await join("b");
  await b.hears("peers 2");
  a.socket.send("one");
  await b.hears("one");
  // From the Worker, through RPC. crossws keeps peers in a variable of its module, so that
  // this fails after a sleep, on workerd too: here the object sleeps when it is told to.
  assert.equal(await (await fetch(world.url, { method: "POST", body: "from outside" })).text(), "published");
  await Promise.all([a.hears("from outside"), b.hears("from outside")]);

  const denied = new WebSocket(`${world.ws}/?denied`);
  denied.on("error", () => {});
  const [, answer] = await once(denied, "unexpected-response");
  assert.equal(answer.statusCode, 403);

  const object = world.object("crossws-Sockets", "name:crossws");
  await world.overSleep(object, async () => {
    b.socket.send("two");
    await a.hears("two");
  }, { told: true });
  await world.overSleep(object, async () => {
    a.socket.send("peers");
    await a.hears("peers 2");
    a.socket.send("three");
    await b.hears("three");
  }, { told: true, crash: true });

  b.socket.close(4001);
  await a.hears("left 4001");
});
