// The test kit itself, of which docs/testing.md tells.
import assert from "node:assert/strict";
import { test } from "node:test";

import { start } from "../index.js";
import { until } from "../server.js";

const project = new URL("project/", import.meta.url);

test("a server for tests", async (t) => {
  const dormouse = await start({ project, hibernateAfter: "1h" });
  t.after(() => dormouse.stop());
  const { env } = dormouse;
  const next = (socket) => new Promise((resolve) => socket.addEventListener("message", (e) => resolve(e.data), { once: true }));

  await t.test("env", async () => {
    assert.deepEqual(Object.keys(env).sort(), ["CLOCKS", "GREETING", "NUMBERS", "PLAIN"]);
    assert.equal(env.GREETING, "hello");
    assert.deepEqual(env.NUMBERS, [1, 2]);
    assert.equal(await (await dormouse.fetch("/x?y")).text(), "worker /x");
  });

  await t.test("ids are those of the server", async () => {
    const ours = env.CLOCKS.idFromName("é");
    const theirs = await dormouse.inWorker((e, name) => e.CLOCKS.idFromName(name).toString(), "é");
    assert.equal(`${ours}`, theirs);
    assert.ok(env.CLOCKS.idFromString(theirs).equals(ours));
    assert.throws(() => env.PLAIN.idFromString(theirs), /not valid for this namespace/);
    const unique = env.PLAIN.get(env.PLAIN.newUniqueId());
    assert.equal((await unique.fetch("http://x/")).headers.get("x-name"), "undefined");
  });

  await t.test("fetch and sockets", async () => {
    const plain = env.PLAIN.getByName("a");
    const answer = await plain.fetch("https://any.example/path?q=1", { method: "PUT", body: "body" });
    assert.deepEqual([answer.status, answer.headers.get("x-name"), await answer.text()], [201, "a", "PUT https://any.example/path?q=1 body"]);
    const socket = await plain.connect("https://any.example/", { headers: { "x-tag": "blue" }, protocols: ["first", "second"] });
    assert.equal(socket.protocol, "second");
    socket.send("one");
    assert.equal(await next(socket), "blue one");
    await dormouse.hibernate(plain);
    assert.equal(await dormouse.state(plain), "hibernated");
    socket.send("two");
    assert.equal(await next(socket), "blue two");
    assert.equal(await dormouse.constructions(plain), 2);

    const closed = new Promise((resolve) => socket.addEventListener("close", (e) => resolve(e.code)));
    await dormouse.evict(plain);
    assert.equal(await closed, 1006);
    assert.equal(await dormouse.state(plain), "inactive");
  });

  await t.test("calls", async () => {
    const clock = env.CLOCKS.getByName("calls");
    const values = [new Date(5), new Map([["k", 1n]]), new Uint8Array([1]), undefined, null, -0];
    assert.deepEqual(await clock.mirror(...values), values);
    assert.deepEqual(await clock.nested.list, [1, 2, 3]);
    await assert.rejects(clock.fails(), { name: "RangeError", message: "too far", code: "E_FAR", remote: true });
    await assert.rejects(clock.missing(), { name: "TypeError", message: 'The RPC receiver does not implement the method "missing".' });
    await assert.rejects(clock.mirror(() => {}), /structured clone/);
    assert.equal(clock.then, undefined, "a stub is no promise");
  });

  await t.test("the inside of an object", async () => {
    const plain = env.PLAIN.getByName("inside");
    assert.equal(await dormouse.inside(plain, (instance, ctx, add) => instance.secret + add, 1), 43);
    await dormouse.inside(plain, async (instance, state) => {
      instance.secret = 7;
      await state.storage.put("kept", new Set([1]));
    });
    assert.equal(await dormouse.inside(plain, (instance) => instance.secret), 7);
    await dormouse.crash();
    assert.deepEqual(await dormouse.inside(plain, async (instance, state) => [instance.secret, await state.storage.get("kept")]), [42, new Set([1])]);
    await assert.rejects(dormouse.inside(plain, () => t), { name: "ReferenceError" });
    await assert.rejects(dormouse.inside({}, () => 1), /no stub of this server/);
  });

  await t.test("alarms and the clock", async () => {
    const clock = env.CLOCKS.getByName("alarms");
    assert.equal(await dormouse.runAlarm(clock), false);
    await clock.remind(3_600_000);
    assert.equal(await dormouse.runAlarm(clock), true);
    assert.equal(await dormouse.runAlarm(clock), false, "it has run");

    await clock.remind(3_600_000);
    await dormouse.hibernate(clock);
    await dormouse.advance(3_500_000);
    assert.equal(await dormouse.state(clock), "inactive", "it is not due yet");
    await dormouse.advance(200_000);
    await until("the alarm has run", async () => (await clock.times()).length === 2);
    assert.deepEqual(await clock.times(), [false, true]);
    for (const other of [clock, env.CLOCKS.getByName("other")]) {
      const [now, made, given, is] = await other.now();
      assert.ok(Math.abs(now - dormouse.now()) < 60_000 && Math.abs(made - now) < 1000, `${now} ${made}`);
      assert.deepEqual([given, is], [5, true]);
    }
    // A process that is new has the same clock.
    await dormouse.crash();
    assert.ok((await clock.now())[0] > Date.now() + 3_600_000);
    await assert.rejects(dormouse.advance(-1), /cannot be set back/);
  });

  await t.test("deleteAll", async () => {
    await dormouse.deleteAll();
    assert.equal(await env.CLOCKS.getByName("alarms").times(), undefined);
  });
});

test("what a server without --testing refuses", async (t) => {
  const { Process } = await import("../server.js");
  const server = await Process.start({ project });
  t.after(() => server.stop());
  for (const path of ["run", "clock", "delete-all", "run/kit-Plain/name:a"]) {
    assert.equal((await fetch(`${server.admin}/api/test/${path}`, { method: "POST" })).status, 404, path);
  }
});

test("a project that does not start says why", async () => {
  await assert.rejects(start({ project: new URL("nothing/", import.meta.url) }), /dormouse ended/);
});

test("several Workers in a server for tests", async (t) => {
  const dormouse = await start({ project: ["api", "rooms"].map((name) => new URL(`several/${name}/`, import.meta.url)), hibernateAfter: "1h" });
  t.after(() => dormouse.stop());
  const { env } = dormouse;
  const rooms = dormouse.worker("rooms");

  assert.deepEqual(Object.keys(env).sort(), ["ROOM", "ROOMS", "VISITS"]);
  assert.deepEqual(Object.keys(rooms.env).sort(), ["OWN", "SIZE"]);
  assert.equal(dormouse.worker("api").env, env, "the first");
  assert.throws(() => dormouse.worker("room"), /no Worker "room" runs here, but "api", "rooms"/);
  assert.equal(await (await dormouse.fetch("/x")).text(), "rooms /x");
  assert.equal(await env.ROOMS.size(), 8);
  assert.equal(await rooms.inWorker((e) => e.SIZE), 8);
  assert.equal(await env.VISITS.getByName("a").add(), 1);

  // One object, by the binding of either.
  const theirs = env.ROOM.getByName("lobby");
  const own = rooms.env.OWN.getByName("lobby");
  const socket = await theirs.connect("http://x/");
  const next = () => new Promise((resolve) => socket.addEventListener("message", (e) => resolve(e.data), { once: true }));
  await dormouse.hibernate(own);
  assert.equal(await dormouse.state(theirs), "hibernated");
  socket.send("one");
  assert.equal(await next(), "room one");
  await dormouse.crash();
  socket.send("two");
  assert.equal(await next(), "room two");
  assert.equal(await dormouse.constructions(theirs), 3);

  const hour = 3_600_000;
  await theirs.open(dormouse.now() + hour);
  await dormouse.advance(hour);
  const closed = await until("the alarm has run", () => dormouse.inside(own, (instance) => instance.closed()));
  assert.ok(closed >= Date.now() + hour - 60_000, "its clock was set, too");

  await dormouse.deleteAll();
  assert.equal(await own.closed(), undefined);
  assert.equal(await env.VISITS.getByName("a").add(), 1);
});
