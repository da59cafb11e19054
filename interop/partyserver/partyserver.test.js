// partyserver, with partysocket as its client.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";

import { PartySocket } from "partysocket";

import { event, Inbox, serve } from "../support/harness.js";

if (process.argv[2] === "doomed") {
  // A client that is killed: it tells its parent when it has been welcomed.
  const [, , , host, room] = process.argv;
  new PartySocket({ host, party: "chat", room, id: "doomed" }).addEventListener("message", () => process.send("here"));
} else {
  test("partyserver: a chat over two sleeps", async (t) => {
    const world = await serve(t, import.meta.url);
    const join = async (id, query) => {
      const socket = world.watch(new PartySocket({ host: world.host, party: "chat", room: "lobby", id, query }), id);
      t.after(() => socket.close());
      const inbox = new Inbox(socket);
      return { socket, inbox, welcome: await inbox.type("all") };
    };
    const hi = async () => (await fetch(`${world.url}/hi?room=lobby`)).json();

    const ada = await join("ada", { role: "admin", u: "A" });
    const bob = await join("bob", { u: "B" });
    assert.deepEqual(bob.welcome, { type: "all", said: [], loaded: 0, room: "lobby" });
    assert.equal(await hi(), 1);
    bob.socket.send("hello");
    assert.equal((await ada.inbox.type("said")).text, "hello");

    const room = world.object("party-Chat", "name:lobby");
    await world.overSleep(room, async () => {
      bob.socket.send("still here");
      const said = await ada.inbox.type("said");
      assert.deepEqual(said, { type: "said", who: "bob", text: "still here", loaded: 1 }, "onStart has loaded what was said before");
    });
    await world.overSleep(room, async () => {
      ada.socket.send("who");
      const { all } = await ada.inbox.type("who");
      const seen = all.find((c) => c.id === "bob");
      assert.deepEqual(seen.state, { joined: 1, u: "B" });
      assert.match(seen.uri, /\/parties\/chat\/lobby\?.*_pk=bob/);
      assert.deepEqual(seen.tags, ["bob", "user"]);
      assert.deepEqual(all.find((c) => c.id === "ada").tags, ["ada", "admin"]);
    }, { crash: true });
    assert.equal(await hi(), 2);

    const child = fork(import.meta.filename, ["doomed", world.host, "lobby"]);
    await once(child, "message");
    child.kill("SIGKILL");
    const left = await ada.inbox.type("left");
    assert.deepEqual(left, { type: "left", who: "doomed", code: 1006, reason: "WebSocket disconnected without sending Close frame.", clean: false });

    world.noCloses();
    const closed = event(bob.socket, "close");
    bob.socket.send("bye");
    const { code, reason } = await closed;
    assert.deepEqual([code, reason], [1000, "bye"]);

    const options = await fetch(`${world.url}/parties/chat/lobby`, { method: "OPTIONS", headers: { origin: "https://elsewhere.example" } });
    assert.deepEqual([options.status, options.headers.get("access-control-allow-origin")], [200, "*"]);
    assert.deepEqual(await (await fetch(`${world.url}/parties/chat/lobby`)).json(), { method: "GET", room: "lobby" });
  });
}
