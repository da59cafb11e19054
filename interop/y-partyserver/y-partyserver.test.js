// y-partyserver with its own provider, and with stock y-websocket.
import assert from "node:assert/strict";
import { test } from "node:test";

import { WebsocketProvider } from "y-websocket";
import YProvider from "y-partyserver/provider";
import * as Y from "yjs";

import { serve, until } from "../support/harness.js";

test("y-partyserver: a document over two sleeps", async (t) => {
  const world = await serve(t, import.meta.url);
  const watched = (provider) => {
    t.after(() => {
      provider.destroy();
      provider.doc.destroy(); // and with it the timer of its awareness
    });
    const lost = world.watch(new EventTarget(), "a provider");
    provider.on("connection-close", () => lost.dispatchEvent(new Event("close")));
    return provider;
  };
  const open = (name) => {
    const doc = new Y.Doc();
    const provider = watched(new YProvider(world.host, "page", doc, { party: "doc", disableBc: true }));
    const heard = [];
    provider.on("custom-message", (m) => heard.push(m));
    return { name, doc, text: doc.getText("text"), provider, heard };
  };
  const hears = (who, what) => until(`${who.name} hears ${what}`, () => who.heard.find((m) => what.test(m)));
  const shows = (who, text) => until(`${who.name} shows ${text}, not ${who.text}`, () => who.text.toString() === text);

  const [a, b] = [open("a"), open("b")];
  await until("both have synced", () => a.provider.synced && b.provider.synced);
  a.text.insert(0, "hello ");
  await shows(b, "hello ");
  b.text.insert(6, "world");
  await shows(a, "hello world");
  await until("they agree on who is here", () => a.provider.awareness.getStates().size === 2);
  const saved = Number(/\d+/.exec(await hears(a, /^saved/))[0]);

  const page = world.object("yjs-Doc", "name:page");
  await world.overSleep(page, async () => {
    b.text.insert(0, ">> ");
    await shows(a, ">> hello world");
  });
  const size = Y.encodeStateAsUpdate(a.doc).byteLength;
  assert.ok(size > saved);
  await hears(b, new RegExp(`^saved ${size}$`));
  await world.overSleep(page, async () => {
    a.provider.sendMessage("x");
    await hears(a, new RegExp(`^re:x ArrayBuffer ${size}$`));
    await hears(b, /^bc:x$/);
  }, { crash: true });

  const c = { name: "y-websocket", doc: new Y.Doc() };
  c.text = c.doc.getText("text");
  const stock = watched(new WebsocketProvider(`${world.ws}/parties/doc`, "page", c.doc, { disableBc: true }));
  await until("stock y-websocket has synced", () => stock.synced);
  assert.equal(c.text.toString(), ">> hello world");
  c.text.insert(0, "c");
  await shows(a, "c>> hello world");
  stock.awareness.setLocalStateField("user", "c");
  await until("c is here", () => a.provider.awareness.getStates().has(c.doc.clientID));
  world.noCloses();
  stock.destroy();
  await until("c is gone", () => !a.provider.awareness.getStates().has(c.doc.clientID));
});
