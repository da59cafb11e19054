// tldraw's sync room, with its own client.
import assert from "node:assert/strict";
import { test } from "node:test";

import { serve, until } from "../support/harness.js";

// The client asks for a little of a browser.
globalThis.window = globalThis;
globalThis.devicePixelRatio = 1;
globalThis.document = Object.assign(new EventTarget(), { hidden: false, visibilityState: "visible" });
globalThis.addEventListener = (...args) => document.addEventListener(...args);
globalThis.removeEventListener = (...args) => document.removeEventListener(...args);
globalThis.requestAnimationFrame = (f) => setTimeout(() => f(performance.now()), 16);
globalThis.cancelAnimationFrame = clearTimeout;

const { atom } = await import("@tldraw/state");
const { Store } = await import("@tldraw/store");
const { ClientWebSocketAdapter, TLSyncClient } = await import("@tldraw/sync-core");
const { createTLSchema, InstancePresenceRecordType, PageRecordType } = await import("@tldraw/tlschema");

test("tldraw: a drawing over two sleeps", async (t) => {
  const world = await serve(t, import.meta.url);
  const open = async (name) => {
    const adapter = new ClientWebSocketAdapter(() => `${world.ws}/api/connect/drawing?sessionId=${name}`);
    const lost = world.watch(new EventTarget(), name);
    const seen = adapter.onStatusChange(({ status }) => status !== "online" && lost.dispatchEvent(new Event("close")));
    const store = new Store({ schema: createTLSchema(), props: { defaultName: "", assets: { resolve() {}, upload() {} }, onMount() {} } });
    const presence = InstancePresenceRecordType.create({
      id: InstancePresenceRecordType.createId(name), userId: `user:${name}`, userName: name, currentPageId: "page:page",
    });
    const client = await new Promise((loaded, fail) => {
      const c = new TLSyncClient({
        store, socket: adapter, presence: atom("presence", presence), presenceMode: atom("mode", "full"),
        onLoad: () => loaded(c), onSyncError: (reason) => fail(new Error(reason)),
      });
    });
    await until(`${name} is connected`, () => client.isConnectedToRoom);
    const close = () => {
      seen();
      client.close();
      adapter.close();
    };
    t.after(close);
    return { store, close, socket: () => adapter._ws };
  };
  const people = (c) => [...c.store.query.records("instance_presence").get()].map((p) => p.userName).sort();

  const [a, b] = [await open("A"), await open("B")];
  const page = PageRecordType.create({ id: PageRecordType.createId("x"), name: "Page X", index: "a2" });
  a.store.put([page]);
  await until("b has the page", () => b.store.get(page.id)?.name === "Page X");
  await until("b sees a", () => people(b).join() === "A");

  const object = world.object("tldraw-Room", "name:drawing");
  await world.overSleep(object, async () => {
    // Its own pings wake nobody: the harness looks that there was one constructor, and here we look before it.
    const before = await object.constructions();
    for (let i = 0; i < 10; i++) {
      const pong = new Promise((r) => a.socket().addEventListener("message", r, { once: true }));
      a.socket().send('{"type":"ping"}');
      assert.equal((await pong).data, '{"type":"pong"}');
    }
    assert.equal(await object.constructions(), before);
    assert.equal((await object.look()).state, "hibernated");
    b.store.update(page.id, (p) => ({ ...p, name: "Page Y" }));
    await until("a has the new name", () => a.store.get(page.id).name === "Page Y");
  });
  await world.overSleep(object, async () => {
    const c = await open("C");
    assert.equal(c.store.get(page.id).name, "Page Y");
    await until("c sees both", () => people(c).join() === "A,B");
    await until("a sees b and c", () => people(a).join() === "B,C");
    c.close();
    await until("c is gone", () => people(a).join() === "B");
  }, { crash: true });

  for (const { attachment_bytes: bytes } of (await object.look()).socket_list) assert.ok(bytes > 500 && bytes <= 16_384, `attachment of ${bytes} bytes`);
});
